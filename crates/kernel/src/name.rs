use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot be {what} name: {why}")]
pub struct NameError {
    text: String,
    what: &'static str,
    why: &'static str,
}

/// A DNS label (RFC 1123): names of this kind become host names, folders and image names.
fn label(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > 63 {
        return Err("it is longer than 63 characters");
    }
    if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Err("only lower-case letters, digits and hyphens are allowed");
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err("it cannot begin or end with a hyphen");
    }
    Ok(())
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                match label(text) {
                    Ok(()) => Ok(Self(text.to_owned())),
                    Err(why) => Err(NameError { text: text.chars().take(80).collect(), what: $what, why }),
                }
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

names! {
    /// A project's name: also its repository's (`NAME.git`) and its images' (`host/NAME`).
    ProjectName, "a project";
    /// An environment's name: also a label of its services' hosts.
    EnvironmentName, "an environment";
    /// A service's name: also a label of its host.
    ServiceName, "a service";
    /// An account's name.
    UserName, "a user";
}
