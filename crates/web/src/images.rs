//! What the pages and the JSON handlers ask about images looked at closely.

use async_trait::async_trait;
use windlass_api as api;
use windlass_identity::Principal;

use crate::Answer;

/// The calls about images; a part of [`Platform`](crate::Platform).
#[async_trait]
pub trait ImagePlatform: Send + Sync + 'static {
    /// All repositories that the caller may pull from, shared and mirrored ones too.
    async fn all_repositories(&self, who: &Principal) -> Answer<Vec<api::RepositoryView>>;
    /// A repository's tags whose name or digest holds `wanted`, from the place `from` on.
    async fn image_tags(&self, who: &Principal, name: &str, wanted: &str, from: u64) -> Answer<api::TagPage>;
    /// The packages of an image.
    async fn image_packages(&self, who: &Principal, image: &str) -> Answer<api::PackageList>;
    /// A folder of what one of an image's layers does to those below it.
    async fn layer_tree(
        &self,
        who: &Principal,
        image: &str,
        layer: &str,
        folder: &str,
        from: u64,
    ) -> Answer<api::LayerTree>;
    /// What differs between the files of two images, from the place `from` on.
    async fn files_diff(&self, who: &Principal, one: &str, other: &str, from: u64) -> Answer<api::FilesDiff>;
    /// What would be lost with a tag (`NAME:TAG`) or an image (`NAME@DIGEST`).
    async fn image_deletion(&self, who: &Principal, image: &str) -> Answer<api::DeletionView>;
    /// Deletes it.
    async fn delete_image(&self, who: &Principal, image: &str) -> Answer<api::DeletionView>;
    /// How the registry is: the disk, what was cared for lately, the advisories.
    async fn registry_state(&self, who: &Principal) -> Answer<api::RegistryState>;
}
