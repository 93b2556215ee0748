//! The calls about images looked at closely.

use async_trait::async_trait;
use windlass_api as api;
use windlass_identity::Principal;
use windlass_web::{Answer, ImagePlatform};

use crate::platform::Control;

#[async_trait]
impl ImagePlatform for Control {
    async fn all_repositories(&self, who: &Principal) -> Answer<Vec<api::RepositoryView>> {
        self.0.all_repositories(who).await
    }

    async fn image_tags(&self, who: &Principal, name: &str, wanted: &str, from: u64) -> Answer<api::TagPage> {
        self.0.image_tags(who, name, wanted, from).await
    }

    async fn image_packages(&self, who: &Principal, image: &str) -> Answer<api::PackageList> {
        self.0.image_packages(who, image).await
    }

    async fn layer_tree(
        &self,
        who: &Principal,
        image: &str,
        layer: &str,
        folder: &str,
        from: u64,
    ) -> Answer<api::LayerTree> {
        self.0.layer_tree(who, image, layer, folder, from).await
    }

    async fn files_diff(&self, who: &Principal, one: &str, other: &str, from: u64) -> Answer<api::FilesDiff> {
        self.0.files_diff(who, one, other, from).await
    }

    async fn image_deletion(&self, who: &Principal, image: &str) -> Answer<api::DeletionView> {
        self.0.image_deletion(who, image).await
    }

    async fn delete_image(&self, who: &Principal, image: &str) -> Answer<api::DeletionView> {
        self.0.delete_image(who, image).await
    }

    async fn registry_state(&self, who: &Principal) -> Answer<api::RegistryState> {
        self.0.registry_state(who).await
    }
}
