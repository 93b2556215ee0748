//! What the fake platform knows of images.

use async_trait::async_trait;
use serde_json::{Value, json};
use windlass_api::*;
use windlass_identity::Principal;
use windlass_web::{Answer, EvidencePlatform};

use super::Fake;

#[async_trait]
impl EvidencePlatform for Fake {
    async fn image_evidence(&self, _: &Principal, image: &str) -> Answer<ImageEvidence> {
        if image.starts_with("nope") {
            return Err(Problem::not_found("there is no such image"));
        }
        let found = VulnerabilityView {
            id: "CVE-2024-1".into(),
            aliases: vec!["GHSA-1".into()],
            severity: Some("high".into()),
            score: Some(7.5),
            summary: self.data.t("reads too much"),
            package: "flask".into(),
            version: "1.0".into(),
            fixed: Some("2.0".into()),
            purl: "pkg:pypi/flask@1.0".into(),
            layer: 1,
        };
        let statement = |word: &str, problem: Option<&str>| StatementView {
            referrer: "sha256:00".into(),
            word: word.into(),
            predicate_type: "https://slsa.dev/provenance/v1".into(),
            at: self.data.ago(60),
            key: problem.is_none().then(|| "key".into()),
            problem: problem.map(str::to_owned),
            says: self.data.t("built by ci.yml"),
            bundle: Value::Null,
        };
        Ok(ImageEvidence {
            repository: "tasks".into(),
            digest: "sha256:00".into(),
            os: Some("Debian GNU/Linux 12".into()),
            packages: 90,
            statements: vec![
                statement("provenance", None),
                statement("tests", Some("by none of the known keys")),
            ],
            vulnerabilities: Vulnerabilities {
                complete: false,
                checked: Vec::new(),
                not_checked: vec!["there are no advisories for npm".into()],
                found: vec![found],
            },
            ..ImageEvidence::default()
        })
    }

    async fn image_sbom(&self, _: &Principal, image: &str, format: &str) -> Answer<Value> {
        self.note(format!("image_sbom {image} {format}"));
        Ok(json!({ "bomFormat": "CycloneDX" }))
    }

    async fn image_vulns(&self, who: &Principal, image: &str) -> Answer<Vulnerabilities> {
        Ok(self.image_evidence(who, image).await?.vulnerabilities)
    }

    async fn image_vulns_sarif(&self, _: &Principal, _: &str) -> Answer<Value> {
        Ok(json!({ "version": "2.1.0" }))
    }

    async fn image_diff(&self, _: &Principal, from: &str, to: &str) -> Answer<ImageDiff> {
        Ok(ImageDiff {
            from: from.into(),
            to: to.into(),
            packages: Vec::new(),
            vulnerabilities_gone: Vec::new(),
            vulnerabilities_new: Vec::new(),
            not_checked: None,
            layers_shared: 1,
            layers_new: 1,
        })
    }

    async fn statement_keys(&self) -> Answer<Vec<StatementKey>> {
        let pem = "-----BEGIN PUBLIC KEY-----\n".to_owned();
        Ok(vec![StatementKey { id: "key".into(), pem, created_at: self.data.ago(60), replaced_at: None }])
    }

    async fn rotate_statement_key(&self, _: &Principal) -> Answer<Vec<StatementKey>> {
        self.note("rotate_statement_key");
        self.statement_keys().await
    }

    async fn exceptions(&self, _: &Principal, _: &str, _: &str) -> Answer<Vec<VulnerabilityException>> {
        Ok(Vec::new())
    }

    async fn except(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
        how: GrantException,
    ) -> Answer<VulnerabilityException> {
        self.note(format!("except {project} {environment} {}", how.id));
        Ok(VulnerabilityException {
            id: how.id,
            environment: environment.into(),
            reason: how.reason,
            by: who.actor.to_string(),
            at: self.data.ago(0),
            expires: self.data.ago(0),
        })
    }
}
