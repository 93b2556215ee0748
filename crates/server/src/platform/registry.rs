//! The calls about the registry.

use async_trait::async_trait;
use windlass_api as api;
use windlass_identity::Principal;
use windlass_web::{Answer, RegistryPlatform};

use crate::platform::Control;

#[async_trait]
impl RegistryPlatform for Control {
    async fn image_repositories(&self, who: &Principal, project: &str) -> Answer<Vec<api::RepositoryView>> {
        self.0.image_repositories(who, project).await
    }

    async fn image_repository(&self, who: &Principal, name: &str) -> Answer<api::RepositoryDetail> {
        self.0.image_repository(who, name).await
    }

    async fn image_detail(&self, who: &Principal, image: &str) -> Answer<api::ImageDetail> {
        self.0.image_detail(who, image).await
    }

    async fn registry_rules(&self, who: &Principal) -> Answer<Vec<api::RegistryRuleView>> {
        self.0.registry_rules(who).await
    }

    async fn set_registry_rule(
        &self,
        who: &Principal,
        name: &str,
        rule: api::SetRegistryRule,
    ) -> Answer<api::RegistryRuleView> {
        self.0.set_registry_rule(who, name, rule).await
    }

    async fn remove_registry_rule(&self, who: &Principal, name: &str) -> Answer<()> {
        self.0.remove_registry_rule(who, name).await
    }

    async fn mirrors(&self, who: &Principal) -> Answer<Vec<api::MirrorView>> {
        self.0.mirrors(who).await
    }

    async fn set_mirror(&self, who: &Principal, name: &str, how: api::SetMirror) -> Answer<api::MirrorView> {
        self.0.set_mirror(who, name, how).await
    }

    async fn remove_mirror(&self, who: &Principal, name: &str) -> Answer<()> {
        self.0.remove_mirror(who, name).await
    }

    async fn collect_registry(
        &self,
        who: &Principal,
        how: api::CollectRegistry,
    ) -> Answer<api::CollectedView> {
        self.0.collect_registry(who, how).await
    }

    async fn scrub_registry(&self, who: &Principal) -> Answer<api::ScrubView> {
        self.0.scrub_registry(who).await
    }
}
