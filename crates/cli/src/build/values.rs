//! The values of options that have a small language of their own: `type=…,dest=…`.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::Result;
use windlass_build::{CacheFrom, CacheTo, Compression, Destination, ImageName, NamedContext, Output};
use windlass_kernel::Secret;

use crate::failure::Failure;

/// `a=b,c=d`, as BuildKit's options are written; values may be in double quotes.
fn fields(option: &str, text: &str) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let (mut field, mut quoted) = (String::new(), false);
    let mut put = |field: &mut String| -> Result<()> {
        let text = std::mem::take(field);
        let (name, value) = text.split_once('=').unwrap_or((&text, "true"));
        if name.trim().is_empty() {
            return Err(Failure::usage(format!("{option}: `{text}` is no NAME=VALUE")).into());
        }
        found.insert(name.trim().to_ascii_lowercase(), value.to_owned());
        Ok(())
    };
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => put(&mut field)?,
            c => field.push(c),
        }
    }
    put(&mut field)?;
    Ok(found)
}

/// Reads each.
pub(super) fn all<T>(texts: &[String], read: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
    texts.iter().map(|text| read(text)).collect()
}

/// `NAME=VALUE`, as often as given.
pub(super) fn pairs(option: &str, texts: &[String]) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for text in texts {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) =
            pair.ok_or_else(|| Failure::usage(format!("{option}: `{text}` is no NAME=VALUE")))?;
        found.insert(name.to_owned(), value.to_owned());
    }
    Ok(found)
}

/// `--build-arg`: without a value, that of the variable here, if there is one.
pub(super) fn build_args(texts: &[String]) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for text in texts {
        match text.split_once('=') {
            Some(("", _)) => return Err(Failure::usage(format!("--build-arg: `{text}` has no name")).into()),
            Some((name, value)) => drop(found.insert(name.to_owned(), value.to_owned())),
            None => {
                if let Ok(value) = std::env::var(text) {
                    found.insert(text.clone(), value);
                }
            }
        }
    }
    Ok(found)
}

/// `--secret`.
pub(super) fn secrets(texts: &[String]) -> Result<BTreeMap<String, Secret<Vec<u8>>>> {
    let mut found = BTreeMap::new();
    for text in texts {
        let fields = fields("--secret", text)?;
        let id = fields.get("id").ok_or_else(|| Failure::usage(format!("--secret: `{text}` has no id=")))?;
        let file = fields.get("src").or_else(|| fields.get("source"));
        let variable = fields.get("env");
        let of_type = fields.get("type").map(String::as_str);
        let value = match (file, variable, of_type) {
            (Some(file), _, Some("file") | None) => read(id, file)?,
            (Some(name), _, _) | (None, Some(name), _) => variable_value(id, name)?,
            (None, None, Some("file")) => read(id, id)?,
            (None, None, _) => match std::env::var_os(id) {
                Some(_) => variable_value(id, id)?,
                None => read(id, id)?,
            },
        };
        found.insert(id.clone(), Secret::new(value));
    }
    Ok(found)
}

fn read(id: &str, path: &str) -> Result<Vec<u8>> {
    let read = std::fs::read(path);
    Ok(read.map_err(|e| Failure::usage(format!("--secret id={id}: {path} cannot be read: {e}")))?)
}

fn variable_value(id: &str, name: &str) -> Result<Vec<u8>> {
    let value = std::env::var(name);
    let value =
        value.map_err(|_| Failure::usage(format!("--secret id={id}: the variable {name} is not set")))?;
    Ok(value.into_bytes())
}

/// `--ssh`.
pub(super) fn agents(texts: &[String]) -> Result<BTreeMap<String, PathBuf>> {
    use std::os::unix::fs::FileTypeExt as _;
    let mut found = BTreeMap::new();
    for text in texts {
        let (id, path) = match text.split_once('=') {
            Some((id, path)) => (id.to_owned(), PathBuf::from(path)),
            None => {
                let missing = || Failure::usage("--ssh: no agent runs here (SSH_AUTH_SOCK is not set)");
                (text.clone(), std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from).ok_or_else(missing)?)
            }
        };
        let socket = std::fs::metadata(&path).is_ok_and(|meta| meta.file_type().is_socket());
        if !socket {
            let why = format!(
                "--ssh: {} is no agent's socket; keys are added to an agent (ssh-add), not given as files",
                path.display()
            );
            return Err(Failure::usage(why).into());
        }
        found.insert(id, path);
    }
    Ok(found)
}

/// `--build-context`.
pub(super) fn contexts(texts: &[String]) -> Result<BTreeMap<String, NamedContext>> {
    let mut found = BTreeMap::new();
    for (name, value) in pairs("--build-context", texts)? {
        let context = value.parse().map_err(|e| Failure::usage(format!("--build-context {name}: {e}")))?;
        found.insert(name, context);
    }
    Ok(found)
}

fn image(option: &str, text: &str) -> Result<windlass_build::ImageName> {
    Ok(text.parse().map_err(|e| Failure::usage(format!("{option}: {e}")))?)
}

fn wanted<'a>(option: &str, fields: &'a BTreeMap<String, String>, names: &[&str]) -> Result<&'a String> {
    let found = names.iter().find_map(|name| fields.get(*name));
    Ok(found.ok_or_else(|| Failure::usage(format!("{option}: {}= is missing", names[0])))?)
}

fn not_a_cache(option: &str, kind: &str, known: &str) -> anyhow::Error {
    let why = match kind {
        "gha" => {
            "type=gha, the cache of a CI service, is not spoken here: in a job of Windlass steps are known from one run to the next anyway; elsewhere"
        }
        "s3" | "azblob" => "caches in object stores are not spoken here:",
        _ => "that type is not known:",
    };
    Failure::usage(format!("{option}: type={kind}: {why} use {known}")).into()
}

/// `--cache-from`.
pub(super) fn cache_from(text: &str) -> Result<CacheFrom> {
    const OPTION: &str = "--cache-from";
    if !text.contains('=') {
        return Ok(CacheFrom::Registry(image(OPTION, text)?));
    }
    let fields = fields(OPTION, text)?;
    match fields.get("type").map_or("registry", String::as_str) {
        "registry" => Ok(CacheFrom::Registry(image(OPTION, wanted(OPTION, &fields, &["ref"])?)?)),
        "local" => Ok(CacheFrom::Local(wanted(OPTION, &fields, &["src"])?.into())),
        other => Err(not_a_cache(OPTION, other, "registry or local")),
    }
}

/// `--cache-to`.
pub(super) fn cache_to(text: &str) -> Result<CacheTo> {
    const OPTION: &str = "--cache-to";
    if !text.contains('=') {
        return Ok(CacheTo::Registry(image(OPTION, text)?));
    }
    let fields = fields(OPTION, text)?;
    match fields.get("type").map_or("registry", String::as_str) {
        "registry" => Ok(CacheTo::Registry(image(OPTION, wanted(OPTION, &fields, &["ref"])?)?)),
        "local" => Ok(CacheTo::Local(wanted(OPTION, &fields, &["dest"])?.into())),
        "inline" => Ok(CacheTo::Inline),
        other => Err(not_a_cache(OPTION, other, "registry, local or inline")),
    }
}

/// What each kind of output may be told, besides `type`, `compression` and where to.
fn known(kind: &str) -> &'static [&'static str] {
    match kind {
        "image" => &["name", "push", "store", "oci-mediatypes", "rewrite-timestamp"],
        "registry" => &["name", "oci-mediatypes", "rewrite-timestamp"],
        "oci" => &["name", "dest", "destination", "tar", "oci-mediatypes", "rewrite-timestamp"],
        "docker" => &["name", "dest", "destination", "rewrite-timestamp"],
        _ => &["dest", "destination"],
    }
}

/// `--output`, and the names that it gives; no output where it says no more than what happens anyway.
pub(super) fn output(text: &str) -> Result<(Option<Output>, Vec<ImageName>)> {
    const OPTION: &str = "--output";
    if text == "-" {
        return Ok((Some(Output::Tar(Destination::Stdout)), Vec::new()));
    }
    if !text.contains('=') {
        return Ok((Some(Output::Local(text.into())), Vec::new()));
    }
    let fields = fields(OPTION, text)?;
    let kind = fields.get("type").map_or("local", String::as_str);
    let compressed = !matches!(kind, "local" | "tar");
    for (name, value) in &fields {
        let usual = name == "type" || (compressed && name == "compression");
        let off = name == "oci-mediatypes" && value == "false";
        if off || !(usual || known(kind).contains(&name.as_str())) {
            let why = format!("{OPTION}: type={kind} does not have `{name}={value}` here; leave it out");
            return Err(Failure::usage(why).into());
        }
    }
    let names = fields.get("name").map(String::as_str).unwrap_or_default();
    let names = names.split(',').filter(|name| !name.is_empty()).map(|name| image(OPTION, name));
    Ok((place(kind, &fields)?, names.collect::<Result<_>>()?))
}

fn place(kind: &str, fields: &BTreeMap<String, String>) -> Result<Option<Output>> {
    const OPTION: &str = "--output";
    let compression = |usual: Compression| match fields.get("compression") {
        Some(name) => name.parse().map_err(|e| Failure::usage(format!("{OPTION}: {e}"))),
        None => Ok(usual),
    };
    let is = |name: &str| fields.get(name).is_some_and(|value| value == "true" || value == "1");
    let place = || match fields.get("dest").or_else(|| fields.get("destination")) {
        Some(path) if path != "-" => Ok(Destination::Path(path.into())),
        _ if std::io::stdout().is_terminal() => {
            Err(Failure::usage(format!("{OPTION}: an archive is not written to a terminal: give dest=FILE")))
        }
        _ => Ok(Destination::Stdout),
    };
    Ok(match kind {
        "registry" => Some(Output::Push(compression(Compression::Gzip)?)),
        "image" => is("push").then(|| compression(Compression::Gzip).map(Output::Push)).transpose()?,
        "oci" => {
            let folder = fields.get("tar").is_some_and(|tar| tar == "false");
            Some(Output::Oci { to: place()?, folder, compression: compression(Compression::Gzip)? })
        }
        "docker" if fields.contains_key("dest") => {
            Some(Output::Docker { to: place()?, compression: compression(Compression::None)? })
        }
        "docker" => Some(Output::DockerLoad),
        "local" => Some(Output::Local(wanted(OPTION, fields, &["dest"])?.into())),
        "tar" => Some(Output::Tar(place()?)),
        other => {
            let known = "image, registry, oci, docker, local or tar";
            return Err(Failure::usage(format!("{OPTION}: type={other} is not known: use {known}")).into());
        }
    })
}

/// `512m`, `2g`, bytes.
pub(super) fn bytes(text: &str) -> Result<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &lower[digits.len()..] {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        _ => 64,
    };
    let number = digits.parse::<u64>().ok().filter(|n| *n > 0);
    let bytes = number.and_then(|n| n.checked_mul(1_u64.checked_shl(shift)?));
    Ok(bytes.ok_or_else(|| Failure::usage(format!("`{text}` is no number of bytes: write 512m or 2g")))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_read_as_buildkit_writes_them() {
        let path = |text: &str| Destination::Path(text.into());
        for (text, expected) in [
            ("-", Some(Output::Tar(Destination::Stdout))),
            ("out", Some(Output::Local("out".into()))),
            ("type=local,dest=out", Some(Output::Local("out".into()))),
            ("type=tar", Some(Output::Tar(Destination::Stdout))),
            ("type=docker", Some(Output::DockerLoad)),
            ("type=image", None),
            ("type=image,push=true,compression=zstd", Some(Output::Push(Compression::Zstd))),
            (
                "type=oci,\"dest=a,b.tar\"",
                Some(Output::Oci { to: path("a,b.tar"), folder: false, compression: Compression::Gzip }),
            ),
            (
                "type=oci,tar=false,dest=d,compression=uncompressed",
                Some(Output::Oci { to: path("d"), folder: true, compression: Compression::None }),
            ),
        ] {
            assert_eq!(output(text).unwrap(), (expected, Vec::new()), "{text}");
        }
        let (pushed, names) = output("type=registry,\"name=h.example/a:1,h.example/b\"").unwrap();
        assert_eq!((pushed, names.len()), (Some(Output::Push(Compression::Gzip)), 2));
        for bad in [
            "type=what",
            "type=local",
            "type=oci,compression=lzma",
            "type=registry,push-by-digest=true",
            "type=image,oci-mediatypes=false",
            "type=local,dest=x,compression=gzip",
            "type=tar,name=x",
        ] {
            assert!(output(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn caches_and_sizes_are_read() {
        assert_eq!(cache_from("type=local,src=x").unwrap(), CacheFrom::Local("x".into()));
        assert_eq!(cache_to("type=inline").unwrap(), CacheTo::Inline);
        assert!(matches!(cache_from("h.example/x").unwrap(), CacheFrom::Registry(_)));
        assert!(cache_to("type=local").is_err());
        for text in ["type=gha", "type=gha,scope=x,mode=max", "type=s3,bucket=b"] {
            let why = cache_from(text).unwrap_err().to_string() + &cache_to(text).unwrap_err().to_string();
            assert!(why.matches("not spoken here").count() == 2, "{why}");
        }
        assert_eq!(bytes("2g").unwrap(), 2 << 30);
        assert_eq!(bytes("100").unwrap(), 100);
        assert!(bytes("x").is_err() && bytes("99999999999g").is_err() && bytes("0").is_err());
    }
}
