//! A list of what an image holds, as other tools read it: CycloneDX 1.6 and SPDX 2.3, both as JSON. The same image
//! gives the same bytes: the document's own number comes from the digest, its time from the image.

mod cyclonedx;
mod licence;
mod spdx;

use windlass_kernel::Digest;

use crate::catalog::Contents;

pub use cyclonedx::cyclonedx;
pub use spdx::spdx;

/// The image that a list is about.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// Its name, without tag and digest.
    pub name: &'a str,
    /// Its digest.
    pub digest: &'a Digest,
    /// When it was made, RFC 3339, as its configuration says.
    pub created: Option<&'a str>,
    /// What is in it.
    pub contents: &'a Contents,
}

impl Subject<'_> {
    /// The time of the document: the image's, to the second; the epoch where it says none, or says it wrongly.
    fn time(&self) -> String {
        let time = self.created.and_then(|text| text.parse::<jiff::Timestamp>().ok()).unwrap_or_default();
        format!("{:.0}", time.round(jiff::Unit::Second).unwrap_or_default())
    }

    /// A UUID (RFC 9562, version 8) of the digest.
    fn uuid(&self) -> String {
        let mut hex: Vec<char> =
            Digest::sha256(format!("sbom of {}", self.digest).as_bytes()).hex().chars().take(32).collect();
        hex[12] = '8';
        hex[16] = 'a';
        let part = |from: usize, to: usize| hex[from..to].iter().collect::<String>();
        format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
    }

    /// The image's own package URL.
    fn purl(&self) -> String {
        let name = self.name.rsplit('/').next().unwrap_or(self.name).to_ascii_lowercase();
        format!("pkg:oci/{name}@{}", self.digest.to_string().replace(':', "%3A"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::package::{Kind, Os, Package};

    pub(super) fn contents() -> Contents {
        let deb = Package {
            licences: vec!["GPL-2.0-or-later".into(), "custom".into()],
            source: Some(("glibc".into(), "2.36".into())),
            arch: Some("amd64".into()),
            path: "var/lib/dpkg/status".into(),
            ..Package::new(Kind::Deb, "libc6", "2.36-9+deb12u4")
        };
        let pip = Package {
            licences: vec!["MIT OR Apache-2.0".into()],
            layer: 1,
            ..Package::new(Kind::Pypi, "Flask", "3.0.0")
        };
        Contents {
            os: Some(Os { id: "debian".into(), version: "12".into(), name: "Debian 12".into() }),
            packages: vec![deb, pip, Package::new(Kind::Npm, "@a/b", "1.0.0")],
            notes: vec!["/x is not looked into: it has 100 MiB".into()],
            layers: vec![Digest::sha256(b"0").to_string(), Digest::sha256(b"1").to_string()],
            ..Contents::default()
        }
    }

    #[test]
    fn the_same_image_gives_the_same_bytes() {
        let (contents, digest) = (contents(), Digest::sha256(b"image"));
        let subject = Subject {
            name: "shop/web",
            digest: &digest,
            created: Some("2024-05-01T10:00:00.123+02:00"),
            contents: &contents,
        };
        for make in [cyclonedx, spdx] {
            let first: Value = make(&subject);
            assert_eq!(first.to_string(), make(&subject).to_string());
            assert!(first.to_string().contains("2024-05-01T08:00:00Z"), "{first}");
        }
        let other = Digest::sha256(b"other");
        let other = Subject { digest: &other, ..subject.clone() };
        assert_ne!(cyclonedx(&subject)["serialNumber"], cyclonedx(&other)["serialNumber"]);
        assert_ne!(spdx(&subject)["documentNamespace"], spdx(&other)["documentNamespace"]);
    }

    #[test]
    fn an_image_that_says_no_time_has_that_of_the_epoch() {
        let (contents, digest) = (Contents::default(), Digest::sha256(b"image"));
        for created in [None, Some("yesterday")] {
            let subject = Subject { name: "x", digest: &digest, created, contents: &contents };
            assert_eq!(cyclonedx(&subject)["metadata"]["timestamp"], "1970-01-01T00:00:00Z");
        }
    }
}
