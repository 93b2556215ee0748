//! What is known of images: statements, packages, vulnerabilities, secrets in layers; and the keys that signed it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use windlass_kernel::Timestamp;

/// Everything that is known of an image.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ImageEvidence {
    /// The repository.
    pub repository: String,
    /// The image's digest.
    pub digest: String,
    /// When it was made, as it says itself (RFC 3339).
    pub created: Option<String>,
    /// The distribution that it holds.
    pub os: Option<String>,
    /// How many packages were recognised in it.
    pub packages: u64,
    /// Why it could not be looked into.
    pub problem: Option<String>,
    /// What in it could not be looked into.
    pub notes: Vec<String>,
    /// Statements about it, oldest first.
    pub statements: Vec<StatementView>,
    /// Its vulnerabilities, as they are known now.
    pub vulnerabilities: Vulnerabilities,
    /// Secrets in its layers.
    pub leaks: Vec<LeakView>,
}

/// A statement about an image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StatementView {
    /// The digest of the manifest that carries it.
    pub referrer: String,
    /// What it is about, in a word.
    pub word: String,
    /// What it is about, as in-toto names it.
    pub predicate_type: String,
    /// When it was put there.
    #[schema(value_type = i64)]
    pub at: Timestamp,
    /// The key of this platform that signed it, if it counts.
    pub key: Option<String>,
    /// Why it does not count.
    pub problem: Option<String>,
    /// What it says, in a line.
    pub says: String,
    /// The signed statement as a sigstore bundle.
    pub bundle: serde_json::Value,
}

/// An image's known vulnerabilities.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Vulnerabilities {
    /// Whether all of it was checked. Where it was not, nothing found means nothing.
    pub complete: bool,
    /// The advisories that it was compared with.
    pub checked: Vec<AdvisoriesView>,
    /// What could not be checked, and why.
    pub not_checked: Vec<String>,
    /// The worst first.
    pub found: Vec<VulnerabilityView>,
}

/// The advisories of an ecosystem.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AdvisoriesView {
    /// Such as `Debian` or `PyPI`.
    pub ecosystem: String,
    /// How many.
    pub advisories: u64,
    /// How things stood when they were published.
    #[schema(value_type = i64)]
    pub as_of: Timestamp,
}

/// A vulnerability of a package.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VulnerabilityView {
    /// Its id.
    pub id: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// `low`, `medium`, `high` or `critical`, if anybody has rated it.
    pub severity: Option<String>,
    /// Its CVSS score.
    pub score: Option<f64>,
    /// What it is about.
    pub summary: String,
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The first version without it.
    pub fixed: Option<String>,
    /// The package's URL.
    pub purl: String,
    /// The place of the layer that brought the package, from the bottom.
    pub layer: u64,
}

/// A secret in a layer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LeakView {
    /// The file.
    pub path: String,
    /// The line.
    pub line: u32,
    /// What it is.
    pub what: String,
    /// Its beginning, the rest masked.
    pub masked: String,
    /// The place of the layer, from the bottom.
    pub layer: u64,
    /// A layer above removes the file; the secret is in the image all the same.
    pub removed: bool,
}

/// What differs between two images.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageDiff {
    /// The one.
    pub from: String,
    /// The other.
    pub to: String,
    /// Packages that came, went, or changed.
    pub packages: Vec<PackageChange>,
    /// Vulnerabilities that the other does not have any more.
    pub vulnerabilities_gone: Vec<String>,
    /// Those that it has beyond.
    pub vulnerabilities_new: Vec<String>,
    /// Why the vulnerabilities may not be all.
    pub not_checked: Option<String>,
    /// How many layers both have.
    pub layers_shared: u64,
    /// How many only the other has.
    pub layers_new: u64,
}

/// A package that differs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PackageChange {
    /// Its kind, such as `deb` or `pypi`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its versions in the one.
    pub from: Option<String>,
    /// Its versions in the other.
    pub to: Option<String>,
}

/// A key that signs statements.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StatementKey {
    /// Its name: the digest of its public half, in base64.
    pub id: String,
    /// The public half (PEM).
    pub pem: String,
    /// Since when it signs.
    #[schema(value_type = i64)]
    pub created_at: Timestamp,
    /// Until when it signed.
    #[schema(value_type = Option<i64>)]
    pub replaced_at: Option<Timestamp>,
}

/// Lets a vulnerability through, for a time.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GrantException {
    /// The vulnerability, by any of its names.
    pub id: String,
    /// Why it does no harm.
    pub reason: String,
    /// For how many days: 7, if nothing is said; at most 90.
    pub days: Option<u32>,
}

/// A vulnerability that is let through.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VulnerabilityException {
    /// The vulnerability.
    pub id: String,
    /// Where.
    pub environment: String,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: String,
    /// When.
    #[schema(value_type = i64)]
    pub at: Timestamp,
    /// From when on it counts again.
    #[schema(value_type = i64)]
    pub expires: Timestamp,
}
