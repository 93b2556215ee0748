//! A package that an image holds, and its name for other tools (package URL).

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// What kind of package: which tool brought it, and how its versions are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Debian and its kin.
    Deb,
    /// Alpine and its kin.
    Apk,
    /// Fedora, Red Hat, SUSE and their kin.
    Rpm,
    /// Python.
    Pypi,
    /// Conda.
    Conda,
    /// Node.js.
    Npm,
    /// Rust.
    Cargo,
    /// Go.
    Golang,
    /// Java.
    Maven,
    /// Ruby.
    Gem,
}

/// A package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Its kind.
    pub kind: Kind,
    /// Its name, as its own ecosystem has it (`@scope/name`, `group:artifact`).
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it was built for, where the package says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// The name and version of the source package, where they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<(String, String)>,
    /// Its licences, as it names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licences: Vec<String>,
    /// The place of the layer that brought it, from the bottom.
    pub layer: usize,
    /// The file that says so.
    pub path: String,
    /// Brought by a package of the distribution, which cares for it: its own ecosystem's advisories do not count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub distribution: bool,
}

/// The distribution, as `os-release` names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Os {
    /// `ID`, such as `debian`.
    pub id: String,
    /// `VERSION_ID`, such as `12`.
    pub version: String,
    /// `PRETTY_NAME`.
    pub name: String,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Deb,
        Self::Apk,
        Self::Rpm,
        Self::Pypi,
        Self::Conda,
        Self::Npm,
        Self::Cargo,
        Self::Golang,
        Self::Maven,
        Self::Gem,
    ];

    /// Whether the distribution's own tool brought it.
    pub(crate) fn of_distribution(self) -> bool {
        matches!(self, Self::Deb | Self::Apk | Self::Rpm)
    }

    /// The type in a package URL.
    pub fn word(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Apk => "apk",
            Self::Rpm => "rpm",
            Self::Pypi => "pypi",
            Self::Conda => "conda",
            Self::Npm => "npm",
            Self::Cargo => "cargo",
            Self::Golang => "golang",
            Self::Maven => "maven",
            Self::Gem => "gem",
        }
    }
}

impl Package {
    /// A package of which only this is known.
    pub fn new(kind: Kind, name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
            version: version.into(),
            arch: None,
            source: None,
            licences: Vec::new(),
            layer: 0,
            path: String::new(),
            distribution: false,
        }
    }

    /// The package URL (purl specification 1.0).
    pub fn purl(&self, os: Option<&Os>) -> String {
        let mut purl = format!("pkg:{}/", self.kind.word());
        let (namespace, name) = self.purl_name(os);
        for part in namespace.split('/').filter(|part| !part.is_empty()) {
            purl.push_str(&escaped(part));
            purl.push('/');
        }
        purl.push_str(&escaped(&name));
        let (epoch, version) = match (self.kind, self.version.split_once(':')) {
            (Kind::Rpm, Some((epoch, version))) => (Some(epoch), version),
            _ => (None, self.version.as_str()),
        };
        if !version.is_empty() {
            purl.push('@');
            purl.push_str(&escaped(version));
        }
        let mut qualifiers = Vec::new();
        if let Some(arch) = &self.arch {
            qualifiers.push(format!("arch={}", escaped(arch)));
        }
        if let (true, Some(os)) = (self.kind.of_distribution(), os.filter(|os| !os.id.is_empty())) {
            let dash = if os.version.is_empty() { "" } else { "-" };
            qualifiers.push(format!("distro={}{dash}{}", escaped(&os.id), escaped(&os.version)));
        }
        if let Some(epoch) = epoch {
            qualifiers.push(format!("epoch={}", escaped(epoch)));
        }
        if let Some((name, version)) = &self.source {
            let version = if version.is_empty() { String::new() } else { format!("%40{}", escaped(version)) };
            qualifiers.push(format!("upstream={}{version}", escaped(name)));
        }
        if !qualifiers.is_empty() {
            let _ = write!(purl, "?{}", qualifiers.join("&"));
        }
        purl
    }

    fn purl_name(&self, os: Option<&Os>) -> (String, String) {
        match self.kind {
            Kind::Deb | Kind::Apk => {
                let os = os.map_or("", |os| os.id.as_str());
                (os.to_owned(), self.name.to_ascii_lowercase())
            }
            // RPM's names tell capitals apart.
            Kind::Rpm => (os.map_or("", |os| os.id.as_str()).to_owned(), self.name.clone()),
            Kind::Pypi => (String::new(), normal_pypi(&self.name)),
            Kind::Npm | Kind::Golang => {
                let (namespace, name) = self.name.rsplit_once('/').unwrap_or(("", &self.name));
                (namespace.to_owned(), name.to_owned())
            }
            Kind::Maven => {
                let (group, artifact) = self.name.split_once(':').unwrap_or(("", &self.name));
                (group.to_owned(), artifact.to_owned())
            }
            Kind::Cargo | Kind::Gem | Kind::Conda => (String::new(), self.name.clone()),
        }
    }
}

/// A Python project's name as it is compared (PEP 503).
pub(crate) fn normal_pypi(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for c in name.chars() {
        let c = if matches!(c, '_' | '.' | '-') { '-' } else { c.to_ascii_lowercase() };
        if c != '-' || !normal.ends_with('-') {
            normal.push(c);
        }
    }
    normal
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => {
                escaped.push(char::from(byte));
            }
            _ => {
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_urls_have_each_types_form() {
        let os = Os { id: "debian".into(), version: "12".into(), name: String::new() };
        let deb = Package {
            arch: Some("amd64".into()),
            source: Some(("openssl".into(), String::new())),
            ..Package::new(Kind::Deb, "libssl3", "3.0.11-1~deb12u2+b1")
        };
        let cases = [
            (
                deb,
                "pkg:deb/debian/libssl3@3.0.11-1~deb12u2%2Bb1?arch=amd64&distro=debian-12&upstream=openssl",
            ),
            (
                Package::new(Kind::Rpm, "ImageMagick", "1:6.9-2.el9"),
                "pkg:rpm/debian/ImageMagick@6.9-2.el9?distro=debian-12&epoch=1",
            ),
            (Package::new(Kind::Pypi, "Zope.Interface_x", "1.0"), "pkg:pypi/zope-interface-x@1.0"),
            (Package::new(Kind::Npm, "@angular/core", "1.0.0"), "pkg:npm/%40angular/core@1.0.0"),
            (Package::new(Kind::Golang, "golang.org/x/net", "v0.1.0"), "pkg:golang/golang.org/x/net@v0.1.0"),
            (Package::new(Kind::Maven, "org.x:y", "1"), "pkg:maven/org.x/y@1"),
            (Package::new(Kind::Cargo, "serde", ""), "pkg:cargo/serde"),
        ];
        for (package, expected) in cases {
            assert_eq!(package.purl(Some(&os)), expected);
        }
    }
}
