//! `windlass image`: what is known of an image.

mod files;
mod own;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;
use windlass_api::{Client, ImageDiff, ImageEvidence, StatementKey, Vulnerabilities};
use windlass_evidence::{Bundle, PublicKey};
use windlass_kernel::Digest;

use crate::connection::{Global, part};
use crate::failure::{Exit, Failure};
use crate::show::{self, Field, Tone};

/// What is known of images, of a server's and of this machine's own: packages, vulnerabilities, where they come from, who signed it
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Image {
    #[command(flatten)]
    Local(crate::build::images::Local),
    /// Everything that is known of an image
    #[command(after_help = "Examples:
  windlass image inspect tasks:latest
  windlass image inspect oci:out
  windlass image inspect tasks@sha256:… --json")]
    Inspect(Named),
    /// The list of what is in an image, as CycloneDX 1.6 or SPDX 2.3
    #[command(after_help = "Examples:
  windlass image sbom tasks:latest > sbom.json
  windlass image sbom docker-archive:image.tar
  windlass image sbom tasks:latest --format spdx")]
    Sbom(Sbom),
    /// The known vulnerabilities of what is in an image, with the version that fixes each
    #[command(after_help = "Examples:
  windlass image vulns tasks:latest
  windlass image vulns tasks:latest --fail-on high
  windlass image vulns tasks:latest --format sarif > findings.sarif")]
    Vulns(Vulns),
    /// Check the signatures of what is stated about an image, here, and say what each statement claims
    #[command(after_help = "Examples:
  windlass image verify tasks:latest
  windlass image verify tasks:latest --key windlass.pem
  windlass image verify sha256:… --key windlass.pem --bundle provenance.json    asks nobody")]
    Verify(Verify),
    /// What differs between two images
    #[command(after_help = "Examples:
  windlass image diff tasks:v1 tasks:v2
  windlass image diff docker-archive:old.tar oci:out    needs no server")]
    Diff(Two),
    /// The public key that signs statements, as PEM; with --all, those before it too
    #[command(after_help = "Examples:\n  windlass image key > windlass.pem\n  windlass image key --all")]
    Key(Keys),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Named {
    /// The image: NAME, NAME:TAG or NAME@sha256:…; oci:DIR[:TAG] or docker-archive:FILE for one in files
    image: String,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Sbom {
    /// The image: NAME, NAME:TAG or NAME@sha256:…; oci:DIR[:TAG] or docker-archive:FILE for one in files
    image: String,
    /// The format
    #[arg(long, value_enum, default_value_t = Format::Cyclonedx)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Cyclonedx,
    Spdx,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Vulns {
    /// The image: NAME, NAME:TAG or NAME@sha256:…; oci:DIR[:TAG] or docker-archive:FILE for one in files
    image: String,
    /// The format
    #[arg(long, value_enum, default_value_t = Told::Text)]
    format: Told,
    /// End with 1 if one is as bad as this or worse, or if not everything could be checked
    #[arg(long, value_enum, value_name = "SEVERITY")]
    fail_on: Option<Severity>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Told {
    Text,
    Json,
    Sarif,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Verify {
    /// The image: NAME, NAME:TAG or NAME@sha256:…; with --bundle, a digest is enough
    image: String,
    /// The public key (PEM) that must have signed, instead of those that the platform shows
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// A statement in a file (a sigstore bundle or a DSSE envelope), instead of those in the registry
    #[arg(long, value_name = "FILE", requires = "key")]
    bundle: Vec<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Two {
    /// The one
    from: String,
    /// The other
    to: String,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Keys {
    /// All keys, with the time in which they signed
    #[arg(long)]
    all: bool,
}

/// Carries an image command out.
pub(crate) async fn run(global: &Global, command: Image) -> Result<Exit> {
    match command {
        Image::Local(local) => crate::build::images::run(global, local).await,
        Image::Inspect(named) => inspect(global, &named.image).await,
        Image::Sbom(sbom) => {
            let format = match sbom.format {
                Format::Cyclonedx => "cyclonedx",
                Format::Spdx => "spdx",
            };
            let path = format!("/api/v1/evidence/sbom?image={}&format={format}", part(&sbom.image));
            let asked = async { Ok(global.client()?.get::<Value>(&path).await?) };
            match own::answer(global, &sbom.image, asked).await? {
                Ok(list) => show::json(&list)?,
                Err(own) => {
                    eprintln!("windlass: {}", own.title());
                    show::json(&own.sbom(matches!(sbom.format, Format::Spdx)))?;
                }
            }
            Ok(Exit::Done)
        }
        Image::Vulns(vulns) => self::vulns(global, &vulns).await,
        Image::Verify(verify) => self::verify(global, &verify).await,
        Image::Diff(two) => diff(global, &two).await,
        Image::Key(keys) => key(global, &keys).await,
    }
}

async fn evidence(client: &Client, image: &str) -> Result<ImageEvidence> {
    Ok(client.get(&format!("/api/v1/evidence?image={}", part(image))).await?)
}

async fn inspect(global: &Global, image: &str) -> Result<Exit> {
    let asked = async { evidence(&global.client()?, image).await };
    let found = own::answer(global, image, asked).await?;
    let (known, title) = match found {
        Ok(known) => {
            let title = format!("{}@{}", known.repository, known.digest);
            (known, title)
        }
        Err(own) if global.json => {
            show::json(&own.marked(&own.evidence())?)?;
            return Ok(Exit::Done);
        }
        Err(own) => (own.evidence(), own.title()),
    };
    if global.json {
        show::json(&known)?;
        return Ok(Exit::Done);
    }
    told(&known, &title)?;
    Ok(Exit::Done)
}

/// Everything that is known of an image, for people.
fn told(known: &ImageEvidence, title: &str) -> Result<()> {
    show::print(title)?;
    if let Some(problem) = &known.problem {
        show::print(&format!("it cannot be looked into: {}", show::clean(problem)))?;
    }
    let os = known.os.as_deref().map(|os| format!(", {}", show::clean(os))).unwrap_or_default();
    show::print(&format!("{} packages{os}", known.packages))?;
    for note in &known.notes {
        show::print(&format!("  {}", show::clean(note)))?;
    }
    show::print(&summary(&known.vulnerabilities))?;
    for leak in &known.leaks {
        let gone = if leak.removed { ", removed by a later layer, but in the image" } else { "" };
        let line = format!("secret: {} in /{}:{} ({}){gone}", leak.what, leak.path, leak.line, leak.masked);
        show::print(&Tone::Bad.paint(show::clean(&line)))?;
    }
    let rows = known.statements.iter().map(|s| {
        let state = match &s.problem {
            None => Field::toned("signed", Tone::Good),
            Some(why) => Field::toned(show::clean(why), Tone::Bad),
        };
        [s.word.clone().into(), state, show::clean(&s.says).into(), Field::dim(show::ago(s.at))]
    });
    show::table(["statement", "", "says", "since"], rows.collect(), "nothing is stated about it")
}

/// Vulnerabilities in a line: never that there are none where nobody looked.
fn summary(found: &Vulnerabilities) -> String {
    let count =
        |severity: Option<&str>| found.found.iter().filter(|f| f.severity.as_deref() == severity).count();
    let words: Vec<String> = [Some("critical"), Some("high"), Some("medium"), Some("low"), None]
        .into_iter()
        .map(|severity| (count(severity), severity.unwrap_or("unrated")))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    let known = if words.is_empty() { "none found".to_owned() } else { words.join(", ") };
    match found.not_checked.as_slice() {
        [] => format!("vulnerabilities: {known}"),
        why if found.found.is_empty() => format!("vulnerabilities: not checked ({})", why.join("; ")),
        why => format!("vulnerabilities: {known}; not everything was checked ({})", why.join("; ")),
    }
}

async fn vulns(global: &Global, vulns: &Vulns) -> Result<Exit> {
    let path = format!("/api/v1/evidence/vulns?image={}", part(&vulns.image));
    let asked = async { Ok(global.client()?.get::<Vulnerabilities>(&path).await?) };
    let answer = own::answer(global, &vulns.image, asked).await?;
    let (found, own) = match answer {
        Ok(found) => (found, None),
        Err(own) => (own.vulnerabilities(), Some(own)),
    };
    let format = if global.json && vulns.format == Told::Text { Told::Json } else { vulns.format };
    match (format, &own) {
        (Told::Sarif, None) => {
            let path = format!("/api/v1/evidence/vulns.sarif?image={}", part(&vulns.image));
            show::json(&global.client()?.get::<Value>(&path).await?)?;
        }
        (Told::Sarif, Some(own)) => {
            eprintln!("windlass: {}", own.title());
            show::json(&own.sarif())?;
        }
        (Told::Json, None) => show::json(&found)?,
        (Told::Json, Some(own)) => show::json(&own.marked(&found)?)?,
        (Told::Text, own) => {
            if let Some(own) = own {
                show::print(&own.title())?;
            }
            list(&found)?;
        }
    }
    let rank = |word: &str| Severity::from_str(word, true).ok();
    let bad = |limit: Severity| {
        // What nobody has rated may be anything.
        let worse =
            |severity: &Option<String>| severity.as_deref().map_or(Some(Severity::High), rank) >= Some(limit);
        !found.complete || found.found.iter().any(|f| worse(&f.severity))
    };
    Ok(if vulns.fail_on.is_some_and(bad) { Exit::Failed } else { Exit::Done })
}

fn list(found: &Vulnerabilities) -> Result<()> {
    let rows = found.found.iter().map(|f| {
        let (word, tone) = match f.severity.as_deref() {
            Some(word @ ("critical" | "high")) => (word, Tone::Bad),
            Some(word @ "medium") => (word, Tone::Busy),
            Some(word) => (word, Tone::Dim),
            None => ("unrated", Tone::Busy),
        };
        let fixed =
            f.fixed.as_deref().map_or(Field::dim("no fix"), |v| Field::toned(show::clean(v), Tone::Good));
        let summary: String = show::clean(&f.summary).chars().take(60).collect();
        [
            Field::toned(word, tone),
            show::clean(&f.id).into(),
            show::clean(&f.package).into(),
            show::clean(&f.version).into(),
            fixed,
            Field::dim(summary),
        ]
    });
    let empty = if found.complete { "no known vulnerabilities" } else { "nothing found" };
    show::table(["severity", "id", "package", "version", "fixed in", "about"], rows.collect(), empty)?;
    for state in &found.checked {
        show::print(&format!(
            "compared with {} advisories for {} ({})",
            state.advisories,
            state.ecosystem,
            show::ago(state.as_of)
        ))?;
    }
    for why in &found.not_checked {
        show::print(&Tone::Bad.paint(format!("not checked: {}", show::clean(why))))?;
    }
    Ok(())
}

async fn verify(global: &Global, verify: &Verify) -> Result<Exit> {
    let given: Vec<PublicKey> = verify.key.iter().map(|path| key_in(path)).collect::<Result<_>>()?;
    let mut bundles: Vec<(String, Value)> = Vec::new();
    let digest: Digest;
    let mut keys = given;
    if verify.bundle.is_empty() {
        let client = global.client()?;
        let known = evidence(&client, &verify.image).await?;
        digest = known.digest.parse().context("the platform names no digest")?;
        bundles.extend(known.statements.into_iter().map(|s| (s.word, s.bundle)));
        if keys.is_empty() {
            let shown: Vec<StatementKey> = client.get("/api/v1/evidence/keys").await?;
            keys = shown.iter().filter_map(|key| PublicKey::from_pem(&key.pem).ok()).collect();
        }
    } else {
        let text = verify.image.rsplit('@').next().unwrap_or(&verify.image);
        digest = text.parse().map_err(|_| {
            Failure::usage(format!(
                "`{}` is no digest: with --bundle, name the image by sha256:…",
                verify.image
            ))
        })?;
        for path in &verify.bundle {
            let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            bundles.push((path.display().to_string(), value));
        }
    }
    let mut good = 0;
    let mut told = Vec::new();
    for (name, bundle) in &bundles {
        let verified = Bundle::parse(bundle.to_string().as_bytes())
            .and_then(|b| b.verify(&digest, &keys).map(|(statement, key)| (statement, key.id())));
        good += usize::from(verified.is_ok());
        let (state, says) = match &verified {
            Ok((statement, _)) => (Tone::Good.paint("good"), show::clean(&statement.words())),
            Err(why) => (Tone::Bad.paint("bad"), show::clean(&why.to_string())),
        };
        let kind = verified.as_ref().map_or_else(|_| name.clone(), |(s, _)| s.predicate_type.clone());
        told.push(serde_json::json!({
            "type": kind, "good": verified.is_ok(), "says": says, "key": verified.as_ref().ok().map(|(_, key)| key),
        }));
        if !global.json {
            show::print(&format!("{} {}: {says}", state, show::clean(&kind)))?;
        }
    }
    if global.json {
        show::json(&serde_json::json!({ "digest": digest, "statements": told }))?;
    } else {
        show::print(&format!(
            "{good} of {} statements about {digest} are signed by {}",
            bundles.len(),
            by(&keys)
        ))?;
    }
    Ok(if good == 0 || (good < bundles.len() && !verify.bundle.is_empty()) {
        Exit::Failed
    } else {
        Exit::Done
    })
}

fn by(keys: &[PublicKey]) -> String {
    match keys {
        [one] => format!("the key {}", one.id()),
        several => format!("one of {} keys", several.len()),
    }
}

fn key_in(path: &Path) -> Result<PublicKey> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    PublicKey::from_pem(&text).with_context(|| path.display().to_string())
}

async fn diff(global: &Global, two: &Two) -> Result<Exit> {
    if let Some(diff) = own::difference(global, &two.from, &two.to).await? {
        return told_difference(global, &diff);
    }
    let path = format!("/api/v1/evidence/diff?from={}&to={}", part(&two.from), part(&two.to));
    let diff: ImageDiff = global.client()?.get(&path).await?;
    told_difference(global, &diff)
}

fn told_difference(global: &Global, diff: &ImageDiff) -> Result<Exit> {
    if global.json {
        show::json(diff)?;
        return Ok(Exit::Done);
    }
    show::print(&format!("{} layers are the same, {} are new", diff.layers_shared, diff.layers_new))?;
    let version = |v: &Option<String>| v.as_deref().map_or(Field::dim("–"), |v| show::clean(v).into());
    let rows = diff
        .packages
        .iter()
        .map(|p| [Field::dim(p.kind.clone()), show::clean(&p.name).into(), version(&p.from), version(&p.to)]);
    show::table(["", "package", "before", "after"], rows.collect(), "the packages are the same")?;
    for gone in &diff.vulnerabilities_gone {
        show::print(&Tone::Good.paint(format!("gone: {}", show::clean(gone))))?;
    }
    for new in &diff.vulnerabilities_new {
        show::print(&Tone::Bad.paint(format!("new: {}", show::clean(new))))?;
    }
    if let Some(why) = &diff.not_checked {
        show::print(&format!("vulnerabilities are not all known: {}", show::clean(why)))?;
    }
    Ok(Exit::Done)
}

async fn key(global: &Global, keys: &Keys) -> Result<Exit> {
    let shown: Vec<StatementKey> = global.client()?.get("/api/v1/evidence/keys").await?;
    if global.json {
        show::json(&shown)?;
        return Ok(Exit::Done);
    }
    let wanted = if keys.all { shown.len() } else { 1 };
    for key in shown.iter().take(wanted) {
        if keys.all {
            let until = key.replaced_at.map_or_else(|| "now".to_owned(), |at| at.to_string());
            show::print(&format!("# {} signed from {} until {until}", key.id, key.created_at))?;
        }
        show::print(key.pem.trim_end())?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_checked_is_never_called_clean() {
        let mut found = Vulnerabilities { complete: true, ..Vulnerabilities::default() };
        assert_eq!(summary(&found), "vulnerabilities: none found");
        found.complete = false;
        found.not_checked = vec!["there are no advisories for npm".into()];
        assert_eq!(summary(&found), "vulnerabilities: not checked (there are no advisories for npm)");
    }
}
