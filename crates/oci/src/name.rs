//! Names of repositories, tags and images, as in the OCI distribution specification ("Pulling manifests").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use windlass_kernel::{Digest, ProjectName};

/// Why a text is no name of an image or a part of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {why}")]
pub struct NameError {
    text: String,
    what: &'static str,
    why: &'static str,
}

impl NameError {
    pub(crate) fn new(text: &str, what: &'static str, why: &'static str) -> Self {
        Self { text: text.chars().take(160).collect(), what, why }
    }
}

fn refuse<T>(text: &str, what: &'static str, why: &'static str) -> Result<T, NameError> {
    Err(NameError::new(text, what, why))
}

/// A repository's name within a registry: lower-case path components such as `tasks` or `team/tasks`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(String);

/// A tag: a name that may be moved from one manifest to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

/// What a manifest is asked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// By a tag.
    Tag(Tag),
    /// By its digest.
    Digest(Digest),
}

/// An image as people write it: `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    /// The registry, if one is named.
    pub host: Option<String>,
    /// The repository.
    pub repository: RepositoryName,
    /// The tag, if given.
    pub tag: Option<Tag>,
    /// The digest, if given. It wins over the tag.
    pub digest: Option<Digest>,
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = |b: Option<&u8>| b.is_some_and(|b| alphanumeric(*b));
    if !ends(bytes.first()) || !ends(bytes.last()) {
        return false;
    }
    text.split(|c: char| alphanumeric(c as u8) && c.is_ascii())
        .all(|between| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|b| b == b'-'))
}

impl RepositoryName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The project whose images these are: the first component, if that can be a project's name.
    pub fn project(&self) -> Option<ProjectName> {
        self.0.split('/').next().and_then(|first| first.parse().ok())
    }
}

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let what = "a repository's name";
        if text.len() > 255 {
            return refuse(text, what, "it is longer than 255 characters");
        }
        if !text.split('/').all(is_component) {
            return refuse(
                text,
                what,
                "components are lower-case letters and digits, joined by `.`, `_`, `__` or hyphens, and separated by `/`",
            );
        }
        Ok(Self(text.to_owned()))
    }
}

impl From<&ProjectName> for RepositoryName {
    fn from(name: &ProjectName) -> Self {
        // A DNS label in lower case is a component (hyphens only inside).
        Self(name.as_str().to_owned())
    }
}

impl FromStr for Tag {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let what = "a tag";
        if text.is_empty() || text.len() > 128 {
            return refuse(text, what, "a tag has 1 to 128 characters");
        }
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let mut bytes = text.bytes();
        if !bytes.next().is_some_and(word) || !bytes.all(|b| word(b) || b == b'.' || b == b'-') {
            return refuse(
                text,
                what,
                "only letters, digits, `_`, `.` and `-` are allowed, and a letter, digit or `_` first",
            );
        }
        Ok(Self(text.to_owned()))
    }
}

impl Tag {
    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `latest`.
    pub fn latest() -> Self {
        Self("latest".to_owned())
    }
}

impl FromStr for Reference {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.contains(':') {
            match text.parse() {
                Ok(digest) => Ok(Self::Digest(digest)),
                Err(_) => {
                    refuse(text, "a digest", "expected sha256: and 64 lower-case hexadecimal characters")
                }
            }
        } else {
            text.parse().map(Self::Tag)
        }
    }
}

impl FromStr for ImageName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => match digest.parse() {
                Ok(digest) => (rest, Some(digest)),
                Err(_) => return refuse(text, "an image's name", "what follows `@` is not a digest"),
            },
            None => (text, None),
        };
        // The first component is a host if it could not be a repository's: it has a dot or a port, or is localhost.
        let (host, rest) = match rest.split_once('/') {
            Some((first, more)) if first.contains(['.', ':', '[']) || first == "localhost" => {
                (Some(first), more)
            }
            _ => (None, rest),
        };
        if host.is_some_and(|h| !is_host(h)) {
            return refuse(text, "an image's name", "the part before the first `/` is not a registry's host");
        }
        let (name, tag) = match rest.split_once(':') {
            Some((name, tag)) => (name, Some(tag.parse()?)),
            None => (rest, None),
        };
        Ok(Self { host: host.map(str::to_owned), repository: name.parse()?, tag, digest })
    }
}

impl ImageName {
    /// What the manifest is asked for by: the digest, else the tag, else `latest`.
    pub fn reference(&self) -> Reference {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => Reference::Digest(digest.clone()),
            (None, Some(tag)) => Reference::Tag(tag.clone()),
            (None, None) => Reference::Tag(Tag::latest()),
        }
    }
}

/// Whether `text` can stand as host and port in an address.
pub(crate) fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let good = match inner {
        Some(v6) => !v6.is_empty() && v6.bytes().all(|b| b.is_ascii_hexdigit() || b == b':' || b == b'.'),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-'),
    };
    good && port.is_none_or(|p| p.parse::<u16>().is_ok())
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{host}/")?;
        }
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

as_text!(RepositoryName, Tag);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_names_follow_the_specification() {
        for good in ["a", "tasks", "team/tasks", "a.b", "a_b", "a__b", "a---b", "0/1/2", "a-b.c_d"] {
            assert!(good.parse::<RepositoryName>().is_ok(), "{good}");
        }
        let long = "a".repeat(256);
        for bad in [
            "", "/", "a/", "/a", "a//b", "A", "-a", "a-", "a..b", "a___b", "a._b", "..", "a/../b", "é",
            "a b", &long,
        ] {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn tags_follow_the_specification() {
        for good in ["latest", "1.0", "_x", "A-b.C", &"a".repeat(128)] {
            assert!(good.parse::<Tag>().is_ok(), "{good}");
        }
        for bad in ["", ".a", "-a", "a/b", "a b", "ä", &"a".repeat(129)] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
    }

    #[test]
    fn image_names_split_into_their_parts() {
        let digest = Digest::sha256(b"x");
        let cases = [
            ("tasks", None, "tasks", None, false),
            ("team/tasks:1", None, "team/tasks", Some("1"), false),
            ("localhost/tasks", Some("localhost"), "tasks", None, false),
            ("127.0.0.1:7700/tasks:v1", Some("127.0.0.1:7700"), "tasks", Some("v1"), false),
            ("[::1]:5000/a/b", Some("[::1]:5000"), "a/b", None, false),
            ("docker.io/library/alpine:3.20", Some("docker.io"), "library/alpine", Some("3.20"), false),
            (&format!("h.example/tasks:v1@{digest}"), Some("h.example"), "tasks", Some("v1"), true),
        ];
        for (text, host, name, tag, by_digest) in cases {
            let image: ImageName = text.parse().unwrap();
            assert_eq!(image.host.as_deref(), host, "{text}");
            assert_eq!(image.repository.as_str(), name, "{text}");
            assert_eq!(image.tag.as_ref().map(Tag::as_str), tag, "{text}");
            assert_eq!(image.digest.is_some(), by_digest, "{text}");
            assert_eq!(image.to_string(), text);
        }
        for bad in
            ["", "Tasks", "tasks@sha256:0", "tasks:", "a.b c/tasks", "evil.host@x/tasks", "h.example:99999/a"]
        {
            assert!(bad.parse::<ImageName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_project_is_the_first_component() {
        let project = |name: &str| name.parse::<RepositoryName>().unwrap().project().map(|p| p.to_string());
        assert_eq!(project("tasks/worker"), Some("tasks".into()));
        assert_eq!(project("a.b/c"), None);
    }
}
