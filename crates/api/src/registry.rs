//! The registry: repositories and images; its rules, mirrors, collections and scrubs.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use windlass_kernel::{Secret, Timestamp};

/// A repository of images.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RepositoryView {
    /// Its name.
    pub name: String,
    /// How many tags it has.
    pub tags: u64,
    /// How many manifests it holds.
    pub manifests: u64,
    /// When something was pushed last.
    #[schema(value_type = i64)]
    pub pushed_at: Timestamp,
    /// Where one of its images runs, such as `production`.
    pub runs_in: Vec<String>,
}

/// A manifest of a repository.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ManifestView {
    /// Its digest.
    pub digest: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its media type.
    pub media_type: String,
    /// What kind of artifact it is, if it is no image.
    pub artifact_type: Option<String>,
    /// The manifest that it says something about.
    pub subject: Option<String>,
    /// The size of all that it names.
    pub size: u64,
    /// When it was pushed first.
    #[schema(value_type = i64)]
    pub pushed_at: Timestamp,
    /// By whom.
    pub pushed_by: String,
    /// Where it runs, such as `production`.
    pub runs_in: Vec<String>,
}

/// A repository with what it holds, newest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RepositoryDetail {
    /// Its name.
    pub name: String,
    /// What to give a client to pull from it.
    pub address: String,
    /// Images, indexes, and artifacts; at most 500.
    pub manifests: Vec<ManifestView>,
    /// How many there are.
    pub total: u64,
    /// The rules that speak of it, in words.
    pub rules: Vec<String>,
}

/// An image in all its parts.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageDetail {
    /// The repository.
    pub repository: String,
    /// What it is.
    pub manifest: ManifestView,
    /// What to give a client to pull it.
    pub address: String,
    /// The platforms of an index.
    pub platforms: Vec<PlatformView>,
    /// Its layers, bottom first.
    pub layers: Vec<LayerView>,
    /// How it came about, oldest first; lines that made no layer too.
    pub history: Vec<HistoryView>,
    /// How it is run: name and value.
    pub config: Vec<(String, String)>,
    /// What is said of it.
    pub referrers: Vec<ManifestView>,
    /// What differs from the image that production has now, if that is another one.
    pub change: Option<ImageChange>,
    /// Where it runs.
    #[serde(default)]
    pub runs: Vec<crate::ImageRunsView>,
    /// The run that pushed it.
    #[serde(default)]
    pub origin: Option<crate::ImageOriginView>,
    /// What its manifest is annotated with: name and value.
    #[serde(default)]
    pub annotations: Vec<(String, String)>,
    /// The rules that forbid to move or delete its tags: the tag, and the rule's name.
    #[serde(default)]
    pub immutable: Vec<(String, String)>,
    /// What of it cannot be read, and what to do about it.
    #[serde(default)]
    pub problem: Option<String>,
}

/// A platform of an index.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PlatformView {
    /// Such as `linux/amd64`.
    pub platform: String,
    /// The image's digest.
    pub digest: String,
    /// Its manifest's size.
    pub size: u64,
    /// The size of all that it names; none if it is not here.
    #[serde(default)]
    pub content_size: Option<u64>,
}

/// A layer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LayerView {
    /// Its digest.
    pub digest: String,
    /// Its media type.
    pub media_type: String,
    /// Its size as it is stored.
    pub size: u64,
    /// What made it.
    pub created_by: String,
    /// Whether production's image has it too; none if there is none to compare with.
    pub in_production: Option<bool>,
    /// The name of the file that it is, where an artifact gives it one.
    #[serde(default)]
    pub title: Option<String>,
    /// Whether its bytes are here.
    #[serde(default)]
    pub missing: bool,
}

/// A line of an image's history.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HistoryView {
    /// What was done.
    pub created_by: String,
    /// Whether it made no layer.
    pub empty: bool,
}

/// What differs from the image that production has now.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageChange {
    /// The environment.
    pub environment: String,
    /// Its image.
    pub digest: String,
    /// The bytes of layers that are new.
    pub new_size: u64,
    /// The bytes of layers that both have.
    pub shared_size: u64,
    /// Settings that differ: name, there, here.
    pub settings: Vec<(String, String, String)>,
}

/// How two images are run otherwise, each said as names and values: name, there, here.
pub fn differing_settings(
    there: &[(String, String)],
    here: &[(String, String)],
) -> Vec<(String, String, String)> {
    let value = |of: &[(String, String)], name: &str| {
        of.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap_or_default()
    };
    let names: BTreeSet<&String> = there.iter().chain(here).map(|(name, _)| name).collect();
    let all = names.into_iter().map(|name| (name.clone(), value(there, name), value(here, name)));
    all.filter(|(_, there, here)| there != here).collect()
}

/// A rule of the registry.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RegistryRuleView {
    /// Its name.
    pub name: String,
    /// What it says.
    #[serde(flatten)]
    pub rule: SetRegistryRule,
    /// The same in words.
    pub words: String,
    /// When it was set.
    #[schema(value_type = i64)]
    pub set_at: Timestamp,
    /// By whom.
    pub set_by: String,
}

/// Sets a rule.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SetRegistryRule {
    /// The repositories that it speaks of: `*` stands for any characters.
    pub repositories: String,
    /// The tags that it speaks of.
    pub tags: String,
    /// `immutable`, `keep` or `untagged`.
    pub kind: RegistryRuleKind,
    /// For `keep`: how many of each repository.
    pub last: Option<u32>,
    /// For `keep` and `untagged`: how many days.
    pub days: Option<u32>,
}

/// What a rule says of what it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RegistryRuleKind {
    /// Tags never move.
    Immutable,
    /// Some tags are kept, the others are removed.
    Keep,
    /// What no tag reaches is removed after a while.
    Untagged,
}

/// A registry that is mirrored.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MirrorView {
    /// Its name here.
    pub name: String,
    /// Its address.
    pub url: String,
    /// Who pulls there.
    pub user: Option<String>,
    /// How long a tag is taken for what it was, in seconds.
    pub fresh_seconds: u64,
    /// What to put before a repository's name to pull it.
    pub prefix: String,
    /// When it was set.
    #[schema(value_type = i64)]
    pub set_at: Timestamp,
    /// By whom.
    pub set_by: String,
}

/// Mirrors a registry.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SetMirror {
    /// Its address, such as `https://registry.example`.
    pub url: String,
    /// Who pulls there; nobody in particular if none.
    pub user: Option<String>,
    /// The password or token.
    #[schema(value_type = Option<String>)]
    pub password: Option<Secret<String>>,
    /// How long a tag is taken for what it was, in seconds; 600 if not said.
    pub fresh_seconds: Option<u64>,
}

/// Collects the registry's garbage.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct CollectRegistry {
    /// Only say what would go.
    #[serde(default)]
    pub dry_run: bool,
    /// What was touched within so many seconds stays; an hour if not said.
    pub grace_seconds: Option<u64>,
}

/// What a collection did, or would do.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CollectedView {
    /// Whether it was only said.
    pub dry_run: bool,
    /// What went; at most 1,000.
    pub taken: Vec<TakenView>,
    /// How many things went.
    pub total: u64,
    /// The bytes that became free.
    pub freed: u64,
    /// How many blobs stay.
    pub kept: u64,
    /// Their size.
    pub kept_size: u64,
    /// Manifests that could not be read: everything of their repositories stays.
    pub unreadable: Vec<String>,
}

/// Something that went.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TakenView {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
    /// The bytes that became free with it.
    pub size: u64,
}

/// What a scrub found.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ScrubView {
    /// How many blobs were read.
    pub checked: u64,
    /// Their size.
    pub size: u64,
    /// Those that were wrong, and the first of those that images need and that were not there.
    pub rotten: Vec<RottenView>,
    /// How many were not there.
    #[serde(default)]
    pub missing: u64,
}

/// A blob whose bytes are not what they were, or that is not there although an image needs it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RottenView {
    /// The blob.
    pub digest: String,
    /// Some of the repositories that hold it.
    pub repositories: Vec<String>,
    /// The mirrored repository from which it was fetched anew.
    pub healed: Option<String>,
    /// Of one that was not there: some of the images that need it, as `NAME:TAG` or `NAME@DIGEST`.
    #[serde(default)]
    pub needed_by: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_differ_are_named_with_both_values() {
        let of = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>()
        };
        let there = of(&[("A", "1"), ("B", "2"), ("C", "3")]);
        let found = differing_settings(&there, &of(&[("D", "4"), ("A", "1"), ("B", "x")]));
        let expected = [("B", "2", "x"), ("C", "3", ""), ("D", "", "4")];
        assert_eq!(found, expected.map(|(n, a, b)| (n.to_owned(), a.to_owned(), b.to_owned())));
    }
}
