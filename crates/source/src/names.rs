//! Names from outside that go onto a `git` command line: each is a type that cannot hold an option, a path outside of
//! the repository, or anything else that `git` would read as more than a name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is no name of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}")]
pub struct NameRefused {
    text: String,
    what: &'static str,
}

/// An object's id: 40 lower-case hexadecimal characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha(String);

/// A full ref name, such as `refs/heads/main` (the rules of `git check-ref-format`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefName(String);

/// A path within a repository: relative, `/` between components, no `.` or `..`; empty for the root.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoPath(String);

impl Sha {
    /// The empty tree, which git knows without storing it: what a first commit is compared with.
    pub fn empty_tree() -> Self {
        Self("4b825dc642cb6eb9a060e54bf8d69288fbee4904".into())
    }

    /// The id of nothing: what git says instead of an id that is not there.
    pub(crate) const ZERO: &'static str = "0000000000000000000000000000000000000000";

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Parses an id; the zero id is `None`.
    pub(crate) fn parse_or_zero(text: &str) -> Result<Option<Self>, NameRefused> {
        if text == Self::ZERO { Ok(None) } else { text.parse().map(Some) }
    }
}

impl RefName {
    /// A branch.
    pub fn branch(short: &str) -> Result<Self, NameRefused> {
        format!("refs/heads/{short}").parse()
    }

    /// A tag.
    pub fn tag(short: &str) -> Result<Self, NameRefused> {
        format!("refs/tags/{short}").parse()
    }

    /// The full name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The branch's name, if it is a branch.
    pub fn as_branch(&self) -> Option<&str> {
        self.0.strip_prefix("refs/heads/")
    }

    /// The tag's name, if it is a tag.
    pub fn as_tag(&self) -> Option<&str> {
        self.0.strip_prefix("refs/tags/")
    }

    /// The name for people: without `refs/heads/` or `refs/tags/`.
    pub fn short(&self) -> &str {
        self.as_branch().or_else(|| self.as_tag()).unwrap_or(&self.0)
    }
}

impl RepoPath {
    /// The repository's root.
    pub fn root() -> Self {
        Self(String::new())
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path of an entry of this folder.
    pub(crate) fn entry(&self, name: &str) -> String {
        if self.is_root() { name.to_owned() } else { format!("{}/{name}", self.0) }
    }
}

fn sha_ok(text: &str) -> bool {
    text.len() == 40
        && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        && text != Sha::ZERO
}

fn ref_ok(text: &str) -> bool {
    let part_ok = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with('.')
            && std::path::Path::new(part).extension().is_none_or(|e| e != "lock")
    };
    text.len() <= 1024
        && text.starts_with("refs/")
        && text.split('/').count() >= 3
        && text.split('/').all(part_ok)
        && !text.contains("..")
        && !text.contains("@{")
        && !text.bytes().any(|b| b <= b' ' || b == 0x7f || b"~^:?*[\\".contains(&b))
}

fn path_ok(text: &str) -> bool {
    let part_ok = |part: &str| !part.is_empty() && part != "." && part != "..";
    text.is_empty()
        || (text.len() <= 4096 && text.split('/').all(part_ok) && !text.chars().any(char::is_control))
}

macro_rules! texts {
    ($($name:ident $ok:ident $what:literal;)*) => {$(
        impl FromStr for $name {
            type Err = NameRefused;
            fn from_str(text: &str) -> Result<Self, NameRefused> {
                if $ok(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameRefused { text: text.chars().take(100).collect(), what: $what })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

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

texts! {
    Sha sha_ok "a commit's id (40 lower-case hexadecimal characters)";
    RefName ref_ok "a full ref name, such as refs/heads/main";
    RepoPath path_ok "a path within a repository";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_have_no_value() {
        for bad in
            ["", "-x", "--upload-pack=touch /tmp/x", "abc", Sha::ZERO, &"A".repeat(40), &"a".repeat(41)]
        {
            assert!(bad.parse::<Sha>().is_err(), "{bad}");
        }
        for bad in [
            "main",
            "refs/heads/",
            "refs/heads",
            "--exec=x",
            "refs/heads/a..b",
            "refs/heads/.a",
            "refs/heads/a.lock",
            "refs/heads/a b",
            "refs/heads/a:b",
            "refs/heads/a\n",
            "refs/heads/a@{1}",
            "refs//heads/a",
            "refs/heads/a.",
            "refs/heads/../../config",
            "refs/heads/a^",
            "refs/heads/a\\b",
            "/refs/heads/a",
        ] {
            assert!(bad.parse::<RefName>().is_err(), "{bad}");
        }
        for bad in ["/etc/passwd", "../x", "a/../b", "./a", "a//b", "a/", "a\nb", "a\0b"] {
            assert!(bad.parse::<RepoPath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ordinary_names_do() {
        for good in [
            "refs/heads/main",
            "refs/heads/feature/a-b_c",
            "refs/tags/v1.2.3",
            "refs/heads/-x",
            "refs/heads/ü",
        ] {
            assert_eq!(good.parse::<RefName>().unwrap().as_str(), good);
        }
        for good in ["", "a", "a/b.txt", ".github/workflows/ci.yml", "with space", "--option", ":(glob)x"] {
            assert_eq!(good.parse::<RepoPath>().unwrap().as_str(), good);
        }
        assert_eq!(RefName::branch("a/b").unwrap().as_branch(), Some("a/b"));
        assert_eq!(RefName::tag("v1").unwrap().short(), "v1");
    }
}
