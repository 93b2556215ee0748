//! Platforms: `os/architecture/variant`.

use std::fmt;
use std::str::FromStr;

/// A platform, in its usual form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// Such as `linux`.
    pub os: String,
    /// Such as `amd64`.
    pub architecture: String,
    /// Such as `v7`; `None` for the usual one of an architecture.
    pub variant: Option<String>,
}

/// Why a text is no platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a platform: it is written os/architecture or os/architecture/variant, such as linux/arm64"
)]
pub struct PlatformError(String);

impl Platform {
    /// A platform of Linux.
    pub fn linux(architecture: &str) -> Self {
        normal("linux", architecture, None)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let word = |part: &&str| {
            !part.is_empty()
                && part.len() <= 32
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        if !parts.iter().all(word) {
            return Err(PlatformError(text.chars().take(100).collect()));
        }
        match parts.as_slice() {
            // One word alone: an operating system that is known, otherwise an architecture.
            [os] if ["linux", "windows", "darwin", "freebsd"].contains(&os.to_ascii_lowercase().as_str()) => {
                Ok(normal(os, "amd64", None))
            }
            [architecture] => Ok(normal("linux", architecture, None)),
            [os, architecture] => Ok(normal(os, architecture, None)),
            [os, architecture, variant] => Ok(normal(os, architecture, Some(variant))),
            _ => Err(PlatformError(text.chars().take(100).collect())),
        }
    }
}

/// The usual names of what is written in many ways.
fn normal(os: &str, architecture: &str, variant: Option<&str>) -> Platform {
    let os = match os.to_ascii_lowercase().as_str() {
        "macos" => "darwin".to_owned(),
        other => other.to_owned(),
    };
    let architecture = architecture.to_ascii_lowercase();
    let variant = variant.map(str::to_ascii_lowercase).unwrap_or_default();
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386" | "i486" | "i586" | "i686" | "x86", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64", other) => ("amd64", other),
        ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
        ("aarch64", other) => ("arm64", other),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        other => other,
    };
    Platform {
        os,
        architecture: architecture.to_owned(),
        variant: (!variant.is_empty()).then(|| variant.to_owned()),
    }
}
