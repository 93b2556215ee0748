//! Rules of the registry: which tags never move, and what is kept for how long. A rule names repositories and tags by
//! patterns; what no rule speaks of may move, and is kept.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use windlass_kernel::{Actor, Document, Timestamp};

use crate::{NameError, RepositoryName, Tag};

/// A pattern of names: `*` stands for any characters (also `/`), `?` for one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

/// What a rule says of the tags that it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RuleKind {
    /// Once set, they neither move nor go away.
    Immutable,
    /// The newest `last` of each repository, and those younger than `days`, are kept; the others are removed when
    /// garbage is collected. Of several rules, one that keeps a tag is enough.
    Keep {
        /// How many of each repository.
        last: Option<u32>,
        /// How many days, since they were moved last.
        days: Option<u32>,
    },
    /// Manifests that no tag reaches are removed this many days after they were pushed.
    Untagged {
        /// How many days.
        days: u32,
    },
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryRule {
    /// Its name.
    pub name: String,
    /// The repositories that it speaks of.
    pub repositories: Pattern,
    /// The tags that it speaks of.
    pub tags: Pattern,
    /// What it says.
    #[serde(flatten)]
    pub kind: RuleKind,
    /// When it was made.
    pub set_at: Timestamp,
    /// By whom.
    pub set_by: Actor,
}

impl Document for RegistryRule {
    const KIND: &'static str = "registry_rule";
    fn id(&self) -> String {
        self.name.clone()
    }
}

impl RegistryRule {
    /// Whether it speaks of that tag of that repository.
    pub fn names(&self, repository: &RepositoryName, tag: &Tag) -> bool {
        self.repositories.matches(repository.as_str()) && self.tags.matches(tag.as_str())
    }

    /// The rule that keeps that tag from moving, if there is one.
    pub fn forbids<'a>(rules: &'a [Self], repository: &RepositoryName, tag: &Tag) -> Option<&'a Self> {
        rules.iter().find(|rule| rule.kind == RuleKind::Immutable && rule.names(repository, tag))
    }
}

impl fmt::Display for RegistryRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (repositories, tags) = (&self.repositories, &self.tags);
        match self.kind {
            RuleKind::Immutable => write!(f, "tags {tags} of {repositories} never move"),
            RuleKind::Keep { last, days } => {
                let last = last.map(|n| format!("the last {n}"));
                let days = days.map(|n| format!("those of the last {n} days"));
                let kept: Vec<String> = last.into_iter().chain(days).collect();
                write!(f, "of tags {tags} of {repositories}, {} are kept", kept.join(" and "))
            }
            RuleKind::Untagged { days } => {
                write!(f, "what no tag of {repositories} reaches goes after {days} days")
            }
        }
    }
}

impl Pattern {
    /// Everything.
    pub fn any() -> Self {
        Self("*".to_owned())
    }

    /// Whether all of `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut p, mut t) = (0, 0);
        // Where the last `*` stood, and where the text was then: the only place to go back to.
        let mut star = None;
        while t < text.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    star = Some((p, t));
                    p += 1;
                }
                Some(b) if *b == b'?' || *b == text[t] => {
                    p += 1;
                    t += 1;
                }
                _ => {
                    let Some((stars, from)) = star else { return false };
                    star = Some((stars, from + 1));
                    (p, t) = (stars + 1, from + 1);
                }
            }
        }
        pattern[p..].iter().all(|b| *b == b'*')
    }
}

impl FromStr for Pattern {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"*?._-/".contains(&b);
        if text.is_empty() || text.len() > 255 || !text.bytes().all(good) {
            return Err(NameError::new(
                text,
                "a pattern",
                "letters, digits, `.`, `_`, `-`, `/`, `*` and `?` make one, 255 at most",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Pattern {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_all_of_a_name() {
        let cases = [
            ("*", "", true),
            ("*", "a/b", true),
            ("v*", "v1.2", true),
            ("v*", "av1", false),
            ("v?.?", "v1.2", true),
            ("v?.?", "v10.2", false),
            ("team/*", "team/a/b", true),
            ("team/*", "team", false),
            ("*-rc*", "1.0-rc1", true),
            ("*-rc", "1.0-rc1", false),
            ("a*b*c", "aXbXbc", true),
            ("latest", "latest", true),
            ("latest", "latest1", false),
        ];
        for (pattern, text, fits) in cases {
            assert_eq!(pattern.parse::<Pattern>().unwrap().matches(text), fits, "{pattern} {text}");
        }
        for bad in ["", "a b", "é", "[a]", &"a".repeat(256)] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn many_stars_are_no_search_without_end() {
        let pattern: Pattern = "*a".repeat(120).parse().unwrap();
        assert!(!pattern.matches(&("a".repeat(119) + &"b".repeat(5000))));
    }
}
