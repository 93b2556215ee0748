//! What is known of an image, as the API tells it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use windlass_api as api;
use windlass_api::Problem;
use windlass_evidence::{Contents, Package, Subject, VulnReport, check, cyclonedx, sarif, spdx};
use windlass_identity::{Action, Principal};
use windlass_kernel::{Digest, Query, StoreExt as _};
use windlass_oci::{Reference, RepositoryName, Tag};
use windlass_web::Answer;

use super::contents::{self, Looked};
use super::documents::EvidenceDoc;
use super::known::{Found, statements};
use crate::context::{Context, internal, may_project, stored};

/// How many differences are told.
const MOST: usize = 1000;

/// `[host/]repository[:tag|@digest]`.
fn named(text: &str) -> Answer<(RepositoryName, Reference)> {
    let bad =
        || Problem::invalid(format!("`{text}` is not an image: NAME, NAME:TAG or NAME@sha256:… is expected"));
    let bare = |name: &str| match name.split_once('/') {
        // A first part with a dot or a colon is a host (as every client reads it).
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => rest.to_owned(),
        _ => name.to_owned(),
    };
    if let Some((name, digest)) = text.rsplit_once('@') {
        let digest: Digest = digest.parse().map_err(|_| bad())?;
        let name = bare(name);
        let name = name.split(':').next().unwrap_or_default();
        return Ok((name.parse().map_err(|_| bad())?, Reference::Digest(digest)));
    }
    let name = bare(text);
    let (name, tag) = name.split_once(':').unwrap_or((&name, "latest"));
    let tag: Tag = tag.parse().map_err(|_| bad())?;
    Ok((name.parse().map_err(|_| bad())?, Reference::Tag(tag)))
}

impl Context {
    /// The image of that name, if the caller may pull it.
    pub(super) async fn image_named(&self, who: &Principal, text: &str) -> Answer<(RepositoryName, Digest)> {
        let (repository, reference) = named(text)?;
        let project =
            repository.project().ok_or_else(|| Problem::not_found(format!("there is no image {text}")))?;
        may_project(who, Action::PullImage, &project)?;
        let missing = match self.images.registry.resolve(&repository, &reference).await {
            Ok(digest) => return Ok((repository, digest)),
            Err(e) => Problem::not_found(e.to_string()),
        };
        // A project's digest may lie in another of its repositories.
        let Reference::Digest(digest) = reference else { return Err(missing) };
        let query =
            Query { parent: Some(project.to_string()), states: vec![digest.to_string()], ..Query::default() };
        let found = self.store.list::<EvidenceDoc>(&query).await.map_err(stored)?;
        found.into_iter().next().map(|doc| (doc.value.repository, digest)).ok_or(missing)
    }

    pub(super) async fn looked(&self, repository: &RepositoryName, digest: &Digest) -> Answer<Looked> {
        let looked = contents::look(self, repository, digest).await;
        looked.map_err(|e| Problem::invalid(format!("{repository}@{digest} cannot be looked into: {e:#}")))
    }

    async fn checked(&self, looked: &Looked) -> Answer<VulnReport> {
        let (database, of, now) = (self.evidence.database.clone(), looked.contents.clone(), self.now());
        let checked = tokio::task::spawn_blocking(move || check(&of, &database, now)).await;
        checked.map_err(|e| internal("vulnerabilities cannot be looked up", &e))
    }

    /// Everything that is known of an image.
    pub(crate) async fn image_evidence(&self, who: &Principal, image: &str) -> Answer<api::ImageEvidence> {
        let (repository, digest) = self.image_named(who, image).await?;
        let broken =
            |e: anyhow::Error| internal("what is known of an image cannot be told", &format!("{e:#}"));
        super::bring_up_to_date(self, &repository, &digest).await.map_err(broken)?;
        let (doc, _) = EvidenceDoc::load(self, &repository, &digest).await.map_err(stored)?;
        let mut view = api::ImageEvidence {
            repository: repository.to_string(),
            digest: digest.to_string(),
            problem: doc.problem,
            ..api::ImageEvidence::default()
        };
        for found in statements(self, &repository, &digest).await.map_err(broken)? {
            view.statements.push(statement(found));
        }
        if let Ok(looked) = contents::look(self, &repository, &digest).await {
            let report = self.checked(&looked).await?;
            view.os = looked.contents.os.as_ref().map(|os| os.name.clone());
            view.created = looked.created;
            view.packages = looked.contents.packages.len() as u64;
            view.notes.clone_from(&looked.contents.notes);
            view.leaks = looked.contents.leaks.iter().map(leak_told).collect();
            view.vulnerabilities = vulnerabilities_told(&report);
        }
        Ok(view)
    }

    /// A list of what is in an image, in a format's JSON.
    pub(crate) async fn image_sbom(&self, who: &Principal, image: &str, format: &str) -> Answer<Value> {
        let make = match format {
            "" | "cyclonedx" => cyclonedx,
            "spdx" => spdx,
            other => {
                return Err(Problem::invalid(format!(
                    "`{other}` is no format: cyclonedx and spdx are known"
                )));
            }
        };
        let (repository, digest) = self.image_named(who, image).await?;
        let looked = self.looked(&repository, &digest).await?;
        let created = looked.created.as_deref();
        let name = repository.to_string();
        Ok(make(&Subject { name: &name, digest: &digest, created, contents: &looked.contents }))
    }

    /// An image's known vulnerabilities, as they are now.
    pub(crate) async fn image_vulns(&self, who: &Principal, image: &str) -> Answer<api::Vulnerabilities> {
        let (repository, digest) = self.image_named(who, image).await?;
        let looked = self.looked(&repository, &digest).await?;
        Ok(vulnerabilities_told(&self.checked(&looked).await?))
    }

    /// The same as SARIF.
    pub(crate) async fn image_vulns_sarif(&self, who: &Principal, image: &str) -> Answer<Value> {
        let (repository, digest) = self.image_named(who, image).await?;
        let looked = self.looked(&repository, &digest).await?;
        Ok(sarif(repository.as_str(), &self.checked(&looked).await?))
    }

    /// What differs between two images.
    pub(crate) async fn image_diff(&self, who: &Principal, from: &str, to: &str) -> Answer<api::ImageDiff> {
        let (one, other) = (self.image_named(who, from).await?, self.image_named(who, to).await?);
        let (a, b) = (self.looked(&one.0, &one.1).await?, self.looked(&other.0, &other.1).await?);
        let (before, after) = (self.checked(&a).await?, self.checked(&b).await?);
        let from = (format!("{}@{}", one.0, one.1), &a.contents, &before);
        Ok(difference(from, (format!("{}@{}", other.0, other.1), &b.contents, &after)))
    }
}

/// What differs between two images: their names, what they hold, and their known vulnerabilities.
pub fn difference(
    from: (String, &Contents, &VulnReport),
    to: (String, &Contents, &VulnReport),
) -> api::ImageDiff {
    let ids = |report: &VulnReport| -> BTreeSet<String> {
        report.found.iter().map(|f| format!("{} in {}", f.id, f.package)).collect()
    };
    let (old, new) = (ids(from.2), ids(to.2));
    let (layers, others) = (&from.1.layers, &to.1.layers);
    api::ImageDiff {
        packages: packages(&from.1.packages, &to.1.packages),
        vulnerabilities_gone: old.difference(&new).take(MOST).cloned().collect(),
        vulnerabilities_new: new.difference(&old).take(MOST).cloned().collect(),
        not_checked: to.2.incomplete().or(from.2.incomplete()),
        layers_shared: others.iter().filter(|l| layers.contains(l)).count() as u64,
        layers_new: others.iter().filter(|l| !layers.contains(l)).count() as u64,
        from: from.0,
        to: to.0,
    }
}

fn statement(found: Found) -> api::StatementView {
    let of_annotation = found.record.annotations.get("dev.sigstore.bundle.predicateType").cloned();
    let bundle = found.bundle.and_then(|bundle| serde_json::to_value(bundle).ok()).unwrap_or_default();
    let (kind, key, problem, says) = match found.verified {
        Ok((statement, key)) => (statement.predicate_type.clone(), Some(key), None, statement.words()),
        Err(why) => (of_annotation.unwrap_or_default(), None, Some(why), String::new()),
    };
    api::StatementView {
        referrer: found.record.digest.to_string(),
        word: windlass_evidence::Claim::of(&kind).map_or("other", windlass_evidence::Claim::word).to_owned(),
        predicate_type: kind,
        at: found.record.pushed_at,
        key,
        problem,
        says,
        bundle,
    }
}

/// A secret in a layer, as it is told.
pub fn leak_told(leak: &windlass_evidence::Leak) -> api::LeakView {
    api::LeakView {
        path: leak.path.clone(),
        line: leak.line,
        what: leak.what.clone(),
        masked: leak.masked.clone(),
        layer: leak.layer as u64,
        removed: leak.removed,
    }
}

/// Known vulnerabilities, as they are told.
pub fn vulnerabilities_told(report: &VulnReport) -> api::Vulnerabilities {
    let found = report.found.iter().map(|f| api::VulnerabilityView {
        id: f.id.clone(),
        aliases: f.aliases.clone(),
        severity: f.severity.map(|s| s.word().to_owned()),
        score: f.score,
        summary: f.summary.clone(),
        package: f.package.clone(),
        version: f.version.clone(),
        fixed: f.fixed.clone(),
        purl: f.purl.clone(),
        layer: f.layer as u64,
    });
    let checked = report.checked.iter().map(|state| api::AdvisoriesView {
        ecosystem: state.ecosystem.clone(),
        advisories: state.advisories,
        as_of: state.as_of,
    });
    api::Vulnerabilities {
        complete: report.not_checked.is_empty(),
        checked: checked.collect(),
        not_checked: report.not_checked.iter().map(|n| n.why.clone()).collect(),
        found: found.collect(),
    }
}

/// Packages that came, went, or changed their version.
fn packages(before: &[Package], after: &[Package]) -> Vec<api::PackageChange> {
    let versions = |list: &[Package]| {
        let mut all: BTreeMap<(&'static str, String), BTreeSet<String>> = BTreeMap::new();
        for package in list {
            let key = (package.kind.word(), package.name.clone());
            all.entry(key).or_default().insert(package.version.clone());
        }
        all
    };
    let (old, new) = (versions(before), versions(after));
    let names: BTreeSet<_> = old.keys().chain(new.keys()).cloned().collect();
    let joined = |set: Option<&BTreeSet<String>>| {
        set.map(|versions| versions.iter().cloned().collect::<Vec<_>>().join(", "))
    };
    let changes =
        names.into_iter().filter(|name| old.get(name) != new.get(name)).map(|name| api::PackageChange {
            from: joined(old.get(&name)),
            to: joined(new.get(&name)),
            kind: name.0.to_owned(),
            name: name.1,
        });
    changes.take(MOST).collect()
}
