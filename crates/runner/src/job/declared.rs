//! The artifacts that steps declare: a file of theirs, or an image by its digest, one a line in `$GITHUB_ARTIFACTS`. The
//! steps that follow read all that were declared so far, as JSON, in `$GITHUB_ARTIFACTS_LIST`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::{Going, Job, Progress};
use crate::place::PlaceError;
use crate::tool::Request;

/// The largest file of declarations, in bytes, and the most of a job.
pub(super) const LARGEST: u64 = 1 << 20;
const MOST: usize = 500;

/// The digests that an image may be declared by, and how long they are in hexadecimal.
const DIGESTS: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];

/// A line of declarations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Declaration {
    /// A file's path; if it is relative, from the workspace.
    File(String),
    /// An image's name, and its digest.
    Image { name: String, digest: String },
}

#[derive(Serialize)]
struct List<'a> {
    version: u32,
    subjects: Vec<Subject<'a>>,
}

#[derive(Serialize)]
struct Subject<'a> {
    name: &'a str,
    digest: &'a str,
    kind: &'a str,
}

/// What was declared in a job, by name: a digest and its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Declared(BTreeMap<String, (String, &'static str)>);

impl Declared {
    /// Adds one. What was declared before may be declared again, as it was. True if it is new.
    fn add(&mut self, name: &str, digest: &str, kind: &'static str) -> Result<bool, String> {
        if let Some((known, _)) = self.0.get(name) {
            if known == digest {
                return Ok(false);
            }
            return Err(format!("`{name}` was declared before as {known}, and is {digest} now"));
        }
        if self.0.len() >= MOST {
            return Err(format!("a job declares {MOST} artifacts at most"));
        }
        self.0.insert(name.to_owned(), (digest.to_owned(), kind));
        Ok(true)
    }

    /// Adds those of a step that ran beside others.
    pub(super) fn join(&mut self, others: &Self) -> Result<(), String> {
        others.0.iter().try_for_each(|(name, (digest, kind))| self.add(name, digest, kind).map(drop))
    }

    /// As the steps that follow read it.
    pub(super) fn list(&self) -> String {
        let subjects = self.0.iter().map(|(name, (digest, kind))| Subject { name, digest, kind });
        let list = List { version: 1, subjects: subjects.collect() };
        serde_json::to_string(&list).unwrap_or_default()
    }
}

/// Reads declarations, with the numbers of their lines.
pub(crate) fn declarations(text: &str) -> Result<Vec<(usize, Declaration)>, String> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(at, line)| Ok((at, declaration(line).map_err(|why| wrong(at, &why))?))).collect()
}

fn wrong(line: usize, why: &str) -> String {
    format!("Line {line} of $GITHUB_ARTIFACTS declares no artifact: {why}.")
}

fn declaration(line: &str) -> Result<Declaration, String> {
    if line.contains('=') {
        return Err("`=` is reserved".to_owned());
    }
    let Some((scheme, rest)) = line.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
        return Ok(image(line).ok().flatten().unwrap_or_else(|| Declaration::File(line.to_owned())));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "file" if rest.trim().is_empty() => Err("`file://` needs a path".to_owned()),
        "file" => Ok(Declaration::File(rest.to_owned())),
        "oci" => image(rest)?.ok_or_else(|| "`oci://` needs a name and a digest: NAME@sha256:…".to_owned()),
        other => Err(format!("`{other}://` is neither `file://` nor `oci://`")),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// `NAME@ALGORITHM:HEX`; none if it does not look like that at all.
fn image(text: &str) -> Result<Option<Declaration>, String> {
    let Some((name, digest)) = text.rsplit_once('@').filter(|(name, _)| !name.is_empty()) else {
        return Ok(None);
    };
    let Some((algorithm, hex)) = digest.split_once(':') else { return Ok(None) };
    let Some((_, length)) = DIGESTS.iter().find(|(known, _)| *known == algorithm) else { return Ok(None) };
    if hex.is_empty() || !hex.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(None);
    }
    if hex.len() != *length {
        return Err(format!("a {algorithm} digest has {length} hexadecimal digits, not {}", hex.len()));
    }
    let digest = format!("{algorithm}:{}", hex.to_ascii_lowercase());
    Ok(Some(Declaration::Image { name: name.to_owned(), digest }))
}

impl Job {
    /// Takes in what a step declared; all of it or, with the reason, nothing.
    pub(super) async fn declare(&self, progress: &mut Progress, going: &mut Going) -> Result<(), PlaceError> {
        let declared = std::mem::take(&mut going.effects.declared);
        let failed = |at: usize, why: &str| PlaceError::Failed(wrong(at, why));
        let (mut all, mut new) = (progress.declared.clone(), 0);
        for (at, declaration) in declared {
            let added = match declaration {
                Declaration::Image { name, digest } => all.add(&name, &digest, "oci"),
                Declaration::File(path) => {
                    let digest = self.file_digest(&path, going).await.map_err(|e| match e {
                        PlaceError::Failed(why) => failed(at, &why),
                        interrupted @ PlaceError::Interrupted(_) => interrupted,
                    })?;
                    let name =
                        Path::new(&path).file_name().unwrap_or_default().to_string_lossy().into_owned();
                    all.add(&name, &digest, "file")
                }
            };
            new += u32::from(added.map_err(|why| failed(at, &why))?);
        }
        progress.declared = all;
        if new > 0 {
            let together = progress.declared.0.len();
            going.voice.say(&format!("The step declared {new} artifact(s); the job has {together}."));
        }
        Ok(())
    }

    async fn file_digest(&self, path: &str, going: &Going) -> Result<String, PlaceError> {
        if self.in_container() && Path::new(path).is_absolute() {
            let why = format!("`{path}` is a path within the job's container; name it from the workspace");
            return Err(PlaceError::Failed(why));
        }
        let file = self.place.layout.workspace.join(path);
        let report = self.place.tool(&Request::Digest(file), None, &going.patience).await?;
        Ok(format!("sha256:{}", report.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_file_or_an_image() {
        let hex = "0123456789abcdef".repeat(4);
        let file = |path: &str| Declaration::File(path.to_owned());
        let image =
            |name: &str| Declaration::Image { name: name.to_owned(), digest: format!("sha256:{hex}") };
        for (line, wanted) in [
            ("dist/app", file("dist/app")),
            ("file://dist/app@1", file("dist/app@1")),
            ("FILE:///abs", file("/abs")),
            (&format!("h:5/a/b:1@sha256:{hex}"), image("h:5/a/b:1")),
            (&format!("oci://a@sha256:{}", hex.to_uppercase()), image("a")),
            ("a@sha256:0123", file("a@sha256:0123")),
            ("@scope/x", file("@scope/x")),
            (&format!("a@md5:{hex}"), file(&format!("a@md5:{hex}"))),
        ] {
            assert_eq!(declaration(line), Ok(wanted), "{line}");
        }
        for (line, why) in [
            ("a=b", "reserved"),
            ("file:// ", "needs a path"),
            ("oci://a", "needs a name"),
            ("oci://a@sha256:0123", "64 hexadecimal digits, not 4"),
            ("oci://@sha256:0123", "needs a name"),
            ("https://x/y", "neither"),
        ] {
            assert!(declaration(line).unwrap_err().contains(why), "{line}");
        }
        let found = declarations("# none\n\n  a  \r\nb\n").unwrap();
        assert_eq!(found, [(3, file("a")), (4, file("b"))]);
        assert!(declarations("a\nx=y\n").unwrap_err().contains("Line 2"));
    }

    #[test]
    fn a_name_means_one_thing_and_there_is_a_bound() {
        let mut all = Declared::default();
        assert_eq!(all.add("a", "sha256:1", "file"), Ok(true));
        assert_eq!(all.add("a", "sha256:1", "file"), Ok(false));
        assert!(all.add("a", "sha256:2", "file").is_err());
        assert_eq!(
            all.list(),
            r#"{"version":1,"subjects":[{"name":"a","digest":"sha256:1","kind":"file"}]}"#
        );
        let mut beside = all.clone();
        beside.add("b", "sha256:3", "oci").unwrap();
        all.join(&beside).unwrap();
        assert_eq!(all, beside);
        for n in 2..MOST {
            all.add(&n.to_string(), "sha256:1", "file").unwrap();
        }
        assert!(all.add("more", "sha256:1", "file").is_err() && all.add("a", "sha256:1", "file").is_ok());
    }
}
