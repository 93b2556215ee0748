//! The calls about what is known of images.

use async_trait::async_trait;
use serde_json::Value;
use windlass_api as api;
use windlass_identity::Principal;
use windlass_web::{Answer, EvidencePlatform};

use crate::platform::Control;

#[async_trait]
impl EvidencePlatform for Control {
    async fn image_evidence(&self, who: &Principal, image: &str) -> Answer<api::ImageEvidence> {
        self.0.image_evidence(who, image).await
    }

    async fn image_sbom(&self, who: &Principal, image: &str, format: &str) -> Answer<Value> {
        self.0.image_sbom(who, image, format).await
    }

    async fn image_vulns(&self, who: &Principal, image: &str) -> Answer<api::Vulnerabilities> {
        self.0.image_vulns(who, image).await
    }

    async fn image_vulns_sarif(&self, who: &Principal, image: &str) -> Answer<Value> {
        self.0.image_vulns_sarif(who, image).await
    }

    async fn image_diff(&self, who: &Principal, from: &str, to: &str) -> Answer<api::ImageDiff> {
        self.0.image_diff(who, from, to).await
    }

    async fn statement_keys(&self) -> Answer<Vec<api::StatementKey>> {
        self.0.public_statement_keys().await
    }

    async fn rotate_statement_key(&self, who: &Principal) -> Answer<Vec<api::StatementKey>> {
        self.0.rotate_statement_key(who).await
    }

    async fn exceptions(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
    ) -> Answer<Vec<api::VulnerabilityException>> {
        self.0.exceptions(who, project, environment).await
    }

    async fn except(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
        how: api::GrantException,
    ) -> Answer<api::VulnerabilityException> {
        self.0.except(who, project, environment, how).await
    }
}
