use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{RunId, UserName};

/// Who did something. Written into every ledger event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// Windlass itself: a reconciler, a scheduler, a recovery after a restart.
    System,
    /// A person (or a person's token).
    User(UserName),
    /// A run, acting with its job's token.
    Run(RunId),
    /// A runner, acting with its own token.
    Runner(String),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::User(name) => write!(f, "user:{name}"),
            Self::Run(id) => write!(f, "run:{id}"),
            Self::Runner(name) => write!(f, "runner:{name}"),
        }
    }
}

impl FromStr for Actor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not an actor (system, user:NAME, run:ID or runner:NAME)");
        if text == "system" {
            return Ok(Self::System);
        }
        let (kind, rest) = text.split_once(':').ok_or_else(bad)?;
        match kind {
            "user" => rest.parse().map(Self::User).map_err(|_| bad()),
            "run" => rest.parse().map(Self::Run).map_err(|_| bad()),
            "runner" if !rest.is_empty() => Ok(Self::Runner(rest.to_owned())),
            _ => Err(bad()),
        }
    }
}

impl Serialize for Actor {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Actor {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}
