//! What the fake platform knows of the registry.

use async_trait::async_trait;
use windlass_api::*;
use windlass_identity::Principal;
use windlass_web::{Answer, RegistryPlatform};

use super::Fake;

impl Fake {
    fn manifest(&self, digest: &str, kind: Option<&str>) -> ManifestView {
        ManifestView {
            digest: format!("sha256:{}", digest.repeat(64)),
            tags: if kind.is_none() { vec!["latest".into(), "v1".into()] } else { Vec::new() },
            media_type: "application/vnd.oci.image.manifest.v1+json".into(),
            artifact_type: kind.map(str::to_owned),
            subject: kind.map(|_| format!("sha256:{}", "a".repeat(64))),
            size: 12_345_678,
            pushed_at: self.data.ago(3600),
            pushed_by: "user:ana".into(),
            runs_in: if kind.is_none() { vec!["production".into()] } else { Vec::new() },
        }
    }
}

#[async_trait]
impl RegistryPlatform for Fake {
    async fn image_repositories(&self, _: &Principal, project: &str) -> Answer<Vec<RepositoryView>> {
        Ok(vec![RepositoryView {
            name: format!("{project}/web"),
            tags: 2,
            manifests: 3,
            pushed_at: self.data.ago(3600),
            runs_in: vec!["production".into()],
        }])
    }

    async fn image_repository(&self, _: &Principal, name: &str) -> Answer<RepositoryDetail> {
        Ok(RepositoryDetail {
            name: name.into(),
            address: format!("127.0.0.1:7700/{name}"),
            manifests: vec![self.manifest("a", None), self.manifest("b", Some("application/spdx+json"))],
            total: 3,
            rules: vec![self.data.t("tags v* of * never move")],
        })
    }

    async fn image_detail(&self, _: &Principal, image: &str) -> Answer<ImageDetail> {
        let repository = image.split(['@', ':']).next().unwrap_or_default().to_owned();
        let layer = |digest: &str, shared| LayerView {
            digest: format!("sha256:{}", digest.repeat(64)),
            media_type: "application/vnd.oci.image.layer.v1.tar+gzip".into(),
            size: 4_000_000,
            created_by: self.data.t("RUN pip install -r requirements.txt"),
            in_production: Some(shared),
            title: None,
            missing: false,
        };
        let line = |text: &str, empty| HistoryView { created_by: self.data.t(text), empty };
        Ok(ImageDetail {
            address: format!("127.0.0.1:7700/{image}"),
            manifest: self.manifest("a", None),
            platforms: vec![PlatformView {
                platform: "linux/amd64".into(),
                digest: format!("sha256:{}", "c".repeat(64)),
                size: 700,
                content_size: Some(9_000),
            }],
            layers: vec![layer("1", true), layer("2", false)],
            history: vec![line("FROM base", false), line("ENV A=1", true)],
            config: vec![("Entrypoint".into(), self.data.t("\"/app\""))],
            referrers: vec![self.manifest("b", Some("application/spdx+json"))],
            change: Some(ImageChange {
                environment: "production".into(),
                digest: format!("sha256:{}", "d".repeat(64)),
                new_size: 4_000_000,
                shared_size: 4_000_000,
                settings: vec![("Env A".into(), self.data.t("0"), self.data.t("1"))],
            }),
            runs: vec![ImageRunsView {
                environment: "production".into(),
                service: "web".into(),
                since: self.data.ago(3600),
                release: 3,
                title: self.data.t("Say hello"),
            }],
            origin: Some(ImageOriginView {
                run: super::data::RUN.into(),
                workflow: self.data.t("Deliver"),
                number: 7,
                git_ref: "refs/heads/main".into(),
                sha: "0123456789abcdef0123456789abcdef01234567".into(),
                title: self.data.t("Say hello"),
                actor: "user:ana".into(),
            }),
            annotations: vec![("org.opencontainers.image.source".into(), self.data.t("https://example.org"))],
            immutable: vec![("v1".into(), "releases".into())],
            problem: Some(self.data.t("a blob is corrupt: push the image again")),
            repository,
        })
    }

    async fn registry_rules(&self, _: &Principal) -> Answer<Vec<RegistryRuleView>> {
        Ok(Vec::new())
    }

    async fn set_registry_rule(
        &self,
        _: &Principal,
        name: &str,
        rule: SetRegistryRule,
    ) -> Answer<RegistryRuleView> {
        let (set_at, set_by) = (self.data.ago(0), "user:ana".into());
        Ok(RegistryRuleView { name: name.into(), rule, words: String::new(), set_at, set_by })
    }

    async fn remove_registry_rule(&self, _: &Principal, _: &str) -> Answer<()> {
        Ok(())
    }

    async fn mirrors(&self, _: &Principal) -> Answer<Vec<MirrorView>> {
        Ok(Vec::new())
    }

    async fn set_mirror(&self, _: &Principal, _: &str, _: SetMirror) -> Answer<MirrorView> {
        Err(Problem::invalid("not here"))
    }

    async fn remove_mirror(&self, _: &Principal, _: &str) -> Answer<()> {
        Ok(())
    }

    async fn collect_registry(&self, _: &Principal, _: CollectRegistry) -> Answer<CollectedView> {
        Err(Problem::invalid("not here"))
    }

    async fn scrub_registry(&self, _: &Principal) -> Answer<ScrubView> {
        Ok(ScrubView { checked: 0, size: 0, rotten: Vec::new(), missing: 0 })
    }
}
