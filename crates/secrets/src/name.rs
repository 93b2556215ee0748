//! Names of secrets and variables.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A secret's or variable's name: letters, digits and `_`, no digit first, not `GITHUB_…`; without regard to case
/// (kept in capitals), as on GitHub.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SettingName(String);

/// Why a text is no such name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot name a secret or a variable: {why}")]
pub struct SettingNameError {
    text: String,
    why: &'static str,
}

impl SettingName {
    /// The name, in capitals.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SettingName {
    type Err = SettingNameError;

    fn from_str(text: &str) -> Result<Self, SettingNameError> {
        let bad = |why| SettingNameError { text: text.chars().take(80).collect(), why };
        let name = text.to_ascii_uppercase();
        if name.is_empty() {
            return Err(bad("it is empty"));
        }
        if name.len() > 200 {
            return Err(bad("it is longer than 200 characters"));
        }
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(bad("only letters, digits and underscores are allowed"));
        }
        if name.as_bytes()[0].is_ascii_digit() {
            return Err(bad("it cannot begin with a digit"));
        }
        if name.starts_with("GITHUB_") {
            return Err(bad("names that begin with GITHUB_ are reserved"));
        }
        Ok(Self(name))
    }
}

impl fmt::Display for SettingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for SettingName {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SettingName {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (text, expected) in [("TOKEN", "TOKEN"), ("_x1", "_X1"), ("db_Url", "DB_URL")] {
            assert_eq!(text.parse::<SettingName>().unwrap().as_str(), expected);
        }
        for text in ["", "1A", "A-B", "GITHUB_TOKEN", "github_x", "A B", "Ä", "A\n", &"A".repeat(201)] {
            assert!(text.parse::<SettingName>().is_err(), "{text}");
        }
    }
}
