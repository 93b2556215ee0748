//! Image manifests, indexes and configurations: the OCI image specification's and Docker's (version 2, schema 2),
//! which differ in their media types only. Read strictly; the exact bytes are what counts and are never rewritten.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use windlass_kernel::Digest;

/// The largest manifest that is taken, in bytes (the specification asks registries for at least this).
pub const LARGEST_MANIFEST: u64 = 4 << 20;

/// The media types that Windlass understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// An OCI image manifest.
    OciManifest,
    /// An OCI image index.
    OciIndex,
    /// A Docker image manifest.
    DockerManifest,
    /// A Docker manifest list.
    DockerList,
}

/// A parsed manifest.
#[derive(Clone, Debug, PartialEq)]
pub enum Manifest {
    /// One image, or another artifact.
    Image(Box<ImageManifest>),
    /// Several manifests, by platform.
    Index(Box<ImageIndex>),
}

/// A reference to content (image specification, "Content Descriptors").
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The content's media type.
    pub media_type: String,
    /// The content's digest.
    pub digest: Digest,
    /// The content's size in bytes.
    pub size: u64,
    /// Addresses outside of the registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub urls: Vec<String>,
    /// Anything to tell about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What kind of artifact it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The platform that it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

impl Descriptor {
    /// One with nothing but what it must have.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            artifact_type: None,
            platform: None,
        }
    }
}

/// A platform (image specification, "Image Index").
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Platform {
    /// As in Go's `GOARCH`, such as `amd64`.
    pub architecture: String,
    /// As in Go's `GOOS`, such as `linux`.
    pub os: String,
    /// Such as `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// An image manifest (image specification, "Image Manifest"), or Docker's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// Always 2.
    pub schema_version: u32,
    /// Its own media type; older writers leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What kind of artifact it is, when it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, bottom first.
    #[serde(deserialize_with = "null_is_empty")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one says something about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Anything to tell about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An image index (image specification, "Image Index"), or Docker's manifest list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIndex {
    /// Always 2.
    pub schema_version: u32,
    /// Its own media type; older writers leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What kind of artifact it is, when it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifests.
    #[serde(deserialize_with = "null_is_empty")]
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one says something about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Anything to tell about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An image's configuration (image specification, "Image Configuration"). Fields not named here are kept as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When it was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// As in Go's `GOARCH`.
    pub architecture: String,
    /// As in Go's `GOOS`.
    pub os: String,
    /// How to run it.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub config: ContainerConfig,
    /// The layers' uncompressed digests.
    pub rootfs: RootFs,
    /// How each layer came about.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub history: Vec<History>,
    /// What else it says.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// How to run an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// `uid`, `uid:gid`, or names.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_is_empty")]
    pub user: String,
    /// `port/protocol` to nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_empty")]
    pub exposed_ports: BTreeMap<String, Value>,
    /// `NAME=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub env: Vec<String>,
    /// The program to start.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub entrypoint: Vec<String>,
    /// Its default arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub cmd: Vec<String>,
    /// The working directory.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_is_empty")]
    pub working_dir: String,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What else it says (volumes, stop signal, health check).
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// The layers as the configuration names them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The digests of the uncompressed layers, bottom first.
    #[serde(deserialize_with = "null_is_empty")]
    pub diff_ids: Vec<Digest>,
}

/// A line of an image's history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// True if it made no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
    /// What else it says.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Why bytes are no manifest (or no configuration).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// A media type that is not known.
    #[error(
        "`{0}` is not a media type of a manifest that this registry takes (OCI image manifest or index, Docker version 2 schema 2)"
    )]
    MediaType(String),
    /// Too many bytes.
    #[error("the manifest has {size} bytes; at most {LARGEST_MANIFEST} are taken")]
    TooLarge {
        /// How many came.
        size: u64,
    },
    /// The JSON does not fit.
    #[error("the {what} cannot be read: {why}")]
    Malformed {
        /// What it should have been.
        what: &'static str,
        /// What the decoder said.
        why: String,
    },
}

/// Go writes empty lists and maps as `null`.
fn null_is_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(d).map(Option::unwrap_or_default)
}

fn malformed<T>(what: &'static str, why: impl fmt::Display) -> Result<T, ManifestError> {
    Err(ManifestError::Malformed { what, why: why.to_string() })
}

impl MediaType {
    /// All of them, for an `Accept` header.
    pub const ALL: [Self; 4] = [Self::OciManifest, Self::OciIndex, Self::DockerManifest, Self::DockerList];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OciManifest => "application/vnd.oci.image.manifest.v1+json",
            Self::OciIndex => "application/vnd.oci.image.index.v1+json",
            Self::DockerManifest => "application/vnd.docker.distribution.manifest.v2+json",
            Self::DockerList => "application/vnd.docker.distribution.manifest.list.v2+json",
        }
    }

    /// The media type of that name; parameters (`; charset=…`) are not looked at.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let name = text.split(';').next().unwrap_or_default().trim();
        let found = Self::ALL.into_iter().find(|m| m.as_str().eq_ignore_ascii_case(name));
        found.ok_or_else(|| ManifestError::MediaType(text.chars().take(120).collect()))
    }

    /// Whether it names manifests rather than layers.
    pub fn is_index(self) -> bool {
        matches!(self, Self::OciIndex | Self::DockerList)
    }
}

impl Manifest {
    /// Reads a manifest that came with the media type `media_type`.
    pub fn parse(media_type: MediaType, bytes: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Shape {
            #[serde(default)]
            manifests: Option<serde::de::IgnoredAny>,
            #[serde(default)]
            layers: Option<serde::de::IgnoredAny>,
            #[serde(default)]
            config: Option<serde::de::IgnoredAny>,
        }
        if bytes.len() as u64 > LARGEST_MANIFEST {
            return Err(ManifestError::TooLarge { size: bytes.len() as u64 });
        }
        let what = if media_type.is_index() { "index" } else { "image manifest" };
        let read = |e: serde_json::Error| ManifestError::Malformed { what, why: e.to_string() };
        let shape: Shape = serde_json::from_slice(bytes).map_err(read)?;
        // One document must not be both: two readers would take it for two different images.
        if shape.manifests.is_some() && (shape.layers.is_some() || shape.config.is_some()) {
            return malformed(
                what,
                "it has `manifests` beside `layers` or `config`: it must be one or the other",
            );
        }
        let parsed = if media_type.is_index() {
            Self::Index(Box::new(serde_json::from_slice(bytes).map_err(read)?))
        } else {
            Self::Image(Box::new(serde_json::from_slice(bytes).map_err(read)?))
        };
        let (version, own) = match &parsed {
            Self::Image(m) => (m.schema_version, m.media_type.as_deref()),
            Self::Index(m) => (m.schema_version, m.media_type.as_deref()),
        };
        if version != 2 {
            return malformed(what, format!("schemaVersion is {version}, only 2 is taken"));
        }
        match own {
            Some(own) if own != media_type.as_str() => {
                malformed(what, format!("its mediaType is `{own}`, it was sent as `{}`", media_type.as_str()))
            }
            None if matches!(media_type, MediaType::DockerManifest | MediaType::DockerList) => {
                malformed(what, "a Docker manifest must name its mediaType")
            }
            _ => Ok(parsed),
        }
    }

    /// The manifest that this one says something about.
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Image(m) => m.subject.as_ref(),
            Self::Index(m) => m.subject.as_ref(),
        }
    }

    /// What kind of artifact it is (distribution specification, "Listing Referrers").
    pub fn artifact_type(&self) -> Option<&str> {
        match self {
            Self::Image(m) => Some(m.artifact_type.as_deref().unwrap_or(&m.config.media_type)),
            Self::Index(m) => m.artifact_type.as_deref(),
        }
    }

    /// Its annotations.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Image(m) => &m.annotations,
            Self::Index(m) => &m.annotations,
        }
    }

    /// The sum of the sizes of all that it names, in bytes.
    pub fn content_size(&self) -> u64 {
        let sum = |list: &[Descriptor]| list.iter().fold(0u64, |sum, d| sum.saturating_add(d.size));
        match self {
            Self::Image(m) => sum(&m.layers).saturating_add(m.config.size),
            Self::Index(m) => sum(&m.manifests),
        }
    }
}

impl ImageIndex {
    /// The manifest for `os` and `architecture`, or the only one when it names no platform.
    pub fn select(&self, os: &str, architecture: &str) -> Option<&Descriptor> {
        let fits = |d: &&Descriptor| {
            d.platform.as_ref().is_some_and(|p| p.os == os && p.architecture == architecture)
        };
        match self.manifests.as_slice() {
            [only] if only.platform.is_none() => Some(only),
            all => all.iter().find(fits),
        }
    }

    /// The manifest for a platform: of its own variant where there is one, else of any that fits `select`.
    pub fn select_variant(&self, platform: &Platform) -> Option<&Descriptor> {
        let own = self.manifests.iter().find(|d| d.platform.as_ref() == Some(platform));
        own.or_else(|| self.select(&platform.os, &platform.architecture))
    }
}

impl ImageConfig {
    /// Reads a configuration.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let config: Self = serde_json::from_slice(bytes)
            .map_err(|e| ManifestError::Malformed { what: "image configuration", why: e.to_string() })?;
        if config.rootfs.kind != "layers" {
            return malformed(
                "image configuration",
                format!("rootfs.type is `{}`, not `layers`", config.rootfs.kind),
            );
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor() -> String {
        format!(r#"{{"mediaType":"application/x","digest":"{}","size":3}}"#, Digest::sha256(b"abc"))
    }

    #[test]
    fn what_is_ambiguous_or_malformed_is_refused() {
        let d = descriptor();
        let oci = MediaType::OciManifest;
        let good = format!(r#"{{"schemaVersion":2,"config":{d},"layers":[{d}]}}"#);
        assert!(Manifest::parse(oci, good.as_bytes()).is_ok());
        let negative = good.replace("\"size\":3", "\"size\":-3");
        let short = good.replace("sha256:", "sha256:0");
        let cases = [
            (oci, "[]".to_owned()),
            (oci, String::new()),
            (oci, format!(r#"{{"config":{d},"layers":[]}}"#)),
            (oci, format!(r#"{{"schemaVersion":1,"config":{d},"layers":[]}}"#)),
            (oci, format!(r#"{{"schemaVersion":2,"config":{d},"layers":[],"manifests":[]}}"#)),
            (oci, format!(r#"{{"schemaVersion":2,"schemaVersion":2,"config":{d},"layers":[]}}"#)),
            (oci, format!(r#"{{"schemaVersion":2,"layers":[{d}]}}"#)),
            (oci, negative),
            (oci, short),
            (oci, good.replacen('2', "2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\"", 1)),
            (MediaType::OciIndex, good.clone()),
            (MediaType::DockerManifest, good.clone()),
        ];
        for (media_type, text) in cases {
            assert!(Manifest::parse(media_type, text.as_bytes()).is_err(), "{media_type:?} {text}");
        }
        let large = vec![b' '; LARGEST_MANIFEST as usize + 1];
        assert!(matches!(Manifest::parse(oci, &large), Err(ManifestError::TooLarge { .. })));
    }

    #[test]
    fn a_platform_is_selected() {
        let list = format!(
            r#"{{"schemaVersion":2,"manifests":[{},{}]}}"#,
            descriptor().replace('}', r#","platform":{"os":"linux","architecture":"arm64"}}"#),
            descriptor()
                .replace("\"size\":3}", r#""size":4,"platform":{"os":"linux","architecture":"amd64"}}"#)
        );
        let Ok(Manifest::Index(index)) = Manifest::parse(MediaType::OciIndex, list.as_bytes()) else {
            panic!("{list}")
        };
        assert_eq!(index.select("linux", "amd64").map(|d| d.size), Some(4));
        assert!(index.select("linux", "s390x").is_none());
    }

    #[test]
    fn nulls_of_other_writers_are_empty_and_unknown_fields_survive() {
        let text = br#"{"architecture":"amd64","os":"linux","config":{"Env":null,"Cmd":["/x"],"StopSignal":"SIGINT"},
            "rootfs":{"type":"layers","diff_ids":null},"container":"abc"}"#;
        let config = ImageConfig::parse(text).unwrap();
        assert_eq!(config.config.cmd, ["/x"]);
        let again = serde_json::to_value(&config).unwrap();
        assert_eq!(again["container"], "abc");
        assert_eq!(again["config"]["StopSignal"], "SIGINT");
        assert!(again["config"].get("Env").is_none());
    }

    #[test]
    fn media_types_ignore_parameters_and_refuse_schema_1() {
        let parse = MediaType::parse;
        assert_eq!(parse("application/vnd.oci.image.index.v1+json; charset=utf-8"), Ok(MediaType::OciIndex));
        for bad in ["", "application/json", "application/vnd.docker.distribution.manifest.v1+prettyjws"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
