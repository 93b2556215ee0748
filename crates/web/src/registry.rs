//! What the pages and the JSON handlers ask about the registry.

use async_trait::async_trait;
use windlass_api as api;
use windlass_identity::Principal;

use crate::Answer;

/// The calls about the registry; a part of [`Platform`](crate::Platform).
#[async_trait]
pub trait RegistryPlatform: Send + Sync + 'static {
    /// A project's repositories.
    async fn image_repositories(&self, who: &Principal, project: &str) -> Answer<Vec<api::RepositoryView>>;
    /// What a repository holds.
    async fn image_repository(&self, who: &Principal, name: &str) -> Answer<api::RepositoryDetail>;
    /// An image in all its parts (`NAME`, `NAME:TAG`, `NAME@DIGEST`).
    async fn image_detail(&self, who: &Principal, image: &str) -> Answer<api::ImageDetail>;
    /// The rules.
    async fn registry_rules(&self, who: &Principal) -> Answer<Vec<api::RegistryRuleView>>;
    /// Sets a rule.
    async fn set_registry_rule(
        &self,
        who: &Principal,
        name: &str,
        rule: api::SetRegistryRule,
    ) -> Answer<api::RegistryRuleView>;
    /// Removes a rule.
    async fn remove_registry_rule(&self, who: &Principal, name: &str) -> Answer<()>;
    /// The registries that are mirrored.
    async fn mirrors(&self, who: &Principal) -> Answer<Vec<api::MirrorView>>;
    /// Mirrors one, or changes how.
    async fn set_mirror(&self, who: &Principal, name: &str, how: api::SetMirror) -> Answer<api::MirrorView>;
    /// No longer mirrors one; what is here stays.
    async fn remove_mirror(&self, who: &Principal, name: &str) -> Answer<()>;
    /// Collects garbage.
    async fn collect_registry(
        &self,
        who: &Principal,
        how: api::CollectRegistry,
    ) -> Answer<api::CollectedView>;
    /// Reads every blob and looks whether it is what it was.
    async fn scrub_registry(&self, who: &Principal) -> Answer<api::ScrubView>;
}
