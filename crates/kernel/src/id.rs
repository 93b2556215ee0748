use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Clock, Entropy};

/// Why a text is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what} id")]
pub struct IdError {
    text: String,
    what: &'static str,
}

/// Makes ids: 48 bits of time, 80 bits of randomness (as ULID does), so that they sort by age.
#[derive(Clone, Debug)]
pub struct Ids {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Ids {
    /// A source of ids.
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy }
    }

    fn value(&self) -> u128 {
        let mut random = [0u8; 16];
        self.entropy.fill(&mut random[6..]);
        let time = u128::from(self.clock.now().as_millis().max(0) as u64) << 80;
        time | u128::from_be_bytes(random)
    }
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

fn encode(value: u128) -> String {
    (0..26).rev().map(|i| ALPHABET[((value >> (i * 5)) & 31) as usize] as char).collect()
}

fn decode(text: &str) -> Option<u128> {
    if text.len() != 26 || text.as_bytes()[0] > b'7' {
        return None;
    }
    text.bytes().try_fold(0u128, |value, b| {
        let digit = ALPHABET.iter().position(|a| *a == b)?;
        Some(value << 5 | digit as u128)
    })
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// A new id.
            pub fn new(ids: &Ids) -> Self {
                Self(ids.value())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(decode)
                    .map(Self)
                    .ok_or_else(|| IdError { text: text.chars().take(80).collect(), what: $what })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// One run of a workflow, all its attempts.
    RunId, "run", "a run";
    /// One job of one attempt of a run.
    JobId, "job", "a job";
    /// An immutable release.
    ReleaseId, "rel", "a release";
    /// A release on its way to one environment.
    DeploymentId, "dep", "a deployment";
    /// One running copy of a service.
    InstanceId, "ins", "an instance";
    /// An artifact of a run.
    ArtifactId, "art", "an artifact";
    /// A runner.
    RunnerId, "rnr", "a runner";
    /// A person's account.
    UserId, "usr", "a user";
    /// An API token.
    TokenId, "tok", "a token";
    /// A browser session.
    SessionId, "ses", "a session";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OsEntropy, SystemClock};

    #[test]
    fn ids_round_trip_and_refuse_each_others_prefix() {
        let ids = Ids::new(Arc::new(SystemClock), Arc::new(OsEntropy));
        let run = RunId::new(&ids);
        assert_eq!(run.to_string().parse::<RunId>().unwrap(), run);
        assert!(run.to_string().parse::<JobId>().is_err());
        assert!("run_zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<RunId>().is_err(), "more than 128 bits");
    }
}
