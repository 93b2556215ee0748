//! What the fake platform knows of images looked at closely.

use async_trait::async_trait;
use windlass_api::*;
use windlass_identity::Principal;
use windlass_web::{Answer, ImagePlatform, RegistryPlatform};

use super::Fake;

/// How many tags and packages the fake has.
const MANY: u64 = 120;

impl Fake {
    fn row(&self, depth: u32, path: &str, kind: &str, change: &str, open: bool) -> TreeRow {
        let name = if depth == 0 { path } else { path.rsplit('/').next().unwrap_or(path) };
        TreeRow {
            depth,
            name: self.data.t(name),
            path: self.data.t(path),
            kind: kind.into(),
            change: change.into(),
            size: 1234,
            before: (change == "changed").then_some(1200),
            mode: 0o644,
            target: (kind == "link").then(|| self.data.t("main.py")),
            entries: if kind == "folder" { 3 } else { 0 },
            open,
        }
    }
}

#[async_trait]
impl ImagePlatform for Fake {
    async fn all_repositories(&self, who: &Principal) -> Answer<Vec<RepositoryView>> {
        let mut all = self.image_repositories(who, "tasks").await?;
        all.extend(self.image_repositories(who, "shared").await?);
        Ok(all)
    }

    async fn image_tags(&self, _: &Principal, _: &str, wanted: &str, from: u64) -> Answer<TagPage> {
        let all = (0..MANY).map(|n| format!("build-{n}"));
        let found: Vec<String> = all.filter(|tag| tag.contains(wanted)).collect();
        let total = found.len() as u64;
        let tags = found.into_iter().skip(from as usize).take(100).map(|tag| TagView {
            immutable_by: (!tag.ends_with('0')).then(|| "releases".into()),
            runs_in: if tag == "build-0" { vec!["production".into()] } else { Vec::new() },
            tag,
            digest: format!("sha256:{}", "a".repeat(64)),
            media_type: "application/vnd.oci.image.manifest.v1+json".into(),
            artifact_type: None,
            size: 12_345_678,
            moved_at: self.data.ago(600),
            pushed_by: "user:ana".into(),
        });
        Ok(TagPage { tags: tags.collect(), from, total, all: MANY })
    }

    async fn image_packages(&self, _: &Principal, image: &str) -> Answer<PackageList> {
        let package = |n: u64| PackageView {
            kind: if n.is_multiple_of(2) { "deb".into() } else { "pypi".into() },
            name: if n == 1 { "flask".into() } else { self.data.t(&format!("package-{n}")) },
            version: "1.0".into(),
            licences: vec![self.data.t("MIT")],
            layer: n % 2,
            path: self.data.t("var/lib/dpkg/status"),
            purl: if n == 1 { "pkg:pypi/flask@1.0".into() } else { format!("pkg:deb/debian/p{n}@1.0") },
        };
        let digest = image.split('@').nth(1).unwrap_or_default().to_owned();
        let packages = (0..MANY).map(package).collect();
        Ok(PackageList { digest, os: Some("Debian".into()), packages, notes: vec![self.data.t("a note")] })
    }

    async fn layer_tree(
        &self,
        _: &Principal,
        _: &str,
        layer: &str,
        folder: &str,
        from: u64,
    ) -> Answer<LayerTree> {
        if folder == "nowhere" {
            return Err(Problem::not_found("this layer does nothing in the folder /nowhere"));
        }
        let rows = if folder.is_empty() {
            vec![
                self.row(0, "app/src", "folder", "", true),
                self.row(1, "app/src/main.py", "file", "changed", false),
                self.row(1, "app/src/link", "link", "added", false),
                self.row(1, "app/src/deep", "folder", "added", true),
                self.row(2, "app/src/deep/file", "file", "added", false),
                self.row(0, "big", "folder", "added", false),
                self.row(0, "old.py", "file", "removed", false),
                self.row(0, "again", "file", "repeated", false),
            ]
        } else {
            (from..250.min(from + 200))
                .map(|n| self.row(0, &format!("f{n}"), "file", "added", false))
                .collect()
        };
        Ok(LayerTree {
            digest: layer.into(),
            place: 1,
            layers: 3,
            created_by: self.data.t("RUN pip install -r requirements.txt"),
            stored: 4_000_000,
            totals: TreeTotals {
                added: 4,
                changed: 1,
                removed: 1,
                repeated: 1,
                added_size: 9,
                hidden_size: 7,
            },
            folder: folder.into(),
            total: if folder.is_empty() { 4 } else { 250 },
            rows,
            from,
            problem: Some(self.data.t("not all of it could be read")),
        })
    }

    async fn files_diff(&self, _: &Principal, _: &str, _: &str, from: u64) -> Answer<FilesDiff> {
        let file = |path: &str, change: &str, what: &[&str]| FileChange {
            path: self.data.t(path),
            change: change.into(),
            what: what.iter().map(|text| self.data.t(text)).collect(),
            before: (change != "added").then_some(10),
            after: (change != "removed").then_some(2_000),
        };
        let all = [
            file("app/main.py", "changed", &["contents", "0644 → 0755"]),
            file("app/new.py", "added", &[]),
            file("app/old.py", "removed", &[]),
        ];
        let files = if from == 0 { all.to_vec() } else { Vec::new() };
        Ok(FilesDiff { added: 1, changed: 1, removed: 1, growth: 1980, files, from, problem: None })
    }

    async fn image_deletion(&self, _: &Principal, image: &str) -> Answer<DeletionView> {
        let (repository, digest) = image.split_once('@').unwrap_or((image, ""));
        let (repository, tag) = repository.split_once(':').map_or((repository, None), |(r, t)| (r, Some(t)));
        let digest = if digest.is_empty() { format!("sha256:{}", "a".repeat(64)) } else { digest.into() };
        let refused = tag.is_some_and(|tag| tag.ends_with("20"));
        Ok(DeletionView {
            repository: repository.into(),
            tag: tag.map(str::to_owned),
            digest,
            tags: vec![tag.unwrap_or("latest").into()],
            referrers: 4,
            freed: Some(12_000),
            last: true,
            refused: refused.then(|| self.data.t("the rule `releases` says no")),
        })
    }

    async fn delete_image(&self, who: &Principal, image: &str) -> Answer<DeletionView> {
        self.note(format!("delete_image {image}"));
        self.image_deletion(who, image).await
    }

    async fn registry_state(&self, _: &Principal) -> Answer<RegistryState> {
        let care = |kind: &str, rotten: Vec<RottenView>| CareView {
            kind: kind.into(),
            at: self.data.ago(3600),
            by: "user:ana".into(),
            freed: 5_000_000,
            things: 12,
            rotten,
        };
        let rotten = RottenView {
            digest: format!("sha256:{}", "e".repeat(64)),
            repositories: vec!["tasks/web".into()],
            healed: None,
            needed_by: Vec::new(),
        };
        Ok(RegistryState {
            disk_free: 5_000_000_000,
            disk_total: 100_000_000_000,
            disk_fills: true,
            busy: false,
            care: vec![
                care("registry.scrubbed", vec![rotten]),
                care("registry.disk_pressure", Vec::new()),
                care("registry.collected", Vec::new()),
            ],
            advisories: vec![AdvisoriesView {
                ecosystem: "PyPI".into(),
                advisories: 3,
                as_of: self.data.ago(20 * 86_400),
            }],
            advisories_days: 7,
        })
    }
}
