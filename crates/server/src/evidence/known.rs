//! What verified statements say of images: the facts that a gate decides with. A statement counts if a key of this
//! platform signed it while that key was in use, and if it is about exactly this image.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use windlass_delivery::requirements::{Known, LoadResult, Origin, TestResult, Vulnerability};
use windlass_delivery::{Digests, Evidence, Exception, Level};
use windlass_evidence::{BUNDLE, Bundle, Claim, LARGEST_BUNDLE, Statement};
use windlass_kernel::{Digest, EnvironmentName, ProjectName, Query, StoreExt as _, Timestamp};
use windlass_oci::{Manifest, ManifestRecord, MediaType, Reference, RepositoryName};

use super::attach::bundle_of;
use super::documents::{EvidenceDoc, ExceptionDoc};
use crate::context::Context;

/// How many statements about one image are read.
const MOST: usize = 1000;

/// A statement beside an image, as it was found.
pub(super) struct Found {
    pub(super) record: ManifestRecord,
    pub(super) bundle: Option<Bundle>,
    /// The statement and the key that signed it; or why it does not count.
    pub(super) verified: Result<(Statement, String), String>,
}

/// Reads and verifies all statements about an image, oldest first.
pub(super) async fn statements(
    ctx: &Context,
    repository: &RepositoryName,
    digest: &Digest,
) -> anyhow::Result<Vec<Found>> {
    let mut records = ctx.images.registry.index().referrers(repository, digest).await?;
    records.retain(|record| record.artifact_type.as_deref() == Some(BUNDLE));
    records.sort_by(|a, b| (a.pushed_at, &a.annotations).cmp(&(b.pushed_at, &b.annotations)));
    // The newest count: what somebody else piled up before them does not hide them.
    let skipped = records.len().saturating_sub(MOST);
    let mut found = Vec::new();
    for record in records.into_iter().skip(skipped) {
        let (bundle, verified) = match read(ctx, &record).await {
            Err(e) => (None, Err(format!("{e:#}"))),
            Ok(bundle) => {
                let keys = ctx.statement_keys().await.map_err(|p| anyhow::anyhow!("{p}"))?;
                let keys = keys.at(record.pushed_at);
                let verified = bundle.verify(digest, &keys).map(|(statement, key)| (statement, key.id()));
                (Some(bundle), verified.map_err(|e| e.to_string()))
            }
        };
        found.push(Found { record, bundle, verified });
    }
    Ok(found)
}

async fn read(ctx: &Context, record: &ManifestRecord) -> anyhow::Result<Bundle> {
    let registry = &ctx.images.registry;
    let stored = registry.manifest(&record.repository, &Reference::Digest(record.digest.clone())).await?;
    let manifest = Manifest::parse(MediaType::parse(&stored.media_type)?, &stored.bytes)?;
    let Manifest::Image(manifest) = manifest else { anyhow::bail!("it is an index") };
    let layer = bundle_of(&manifest.layers).ok_or_else(|| anyhow::anyhow!("it holds no bundle"))?;
    Ok(Bundle::parse(&registry.blobs().read(&layer.digest, LARGEST_BUNDLE).await?)?)
}

/// What is known of the images that want to pass to an environment.
pub(crate) async fn facts(
    ctx: &Context,
    project: &ProjectName,
    environment: &EnvironmentName,
    digests: &Digests,
) -> anyhow::Result<Evidence> {
    let mut images = BTreeMap::new();
    for digest in digests.values() {
        let query =
            Query { parent: Some(project.to_string()), states: vec![digest.to_string()], ..Query::default() };
        let mut known = Known::default();
        for doc in ctx.store.list::<EvidenceDoc>(&query).await? {
            super::bring_up_to_date(ctx, &doc.value.repository, digest).await?;
            for statement in own(ctx, &doc.value.repository, digest).await? {
                learn(&mut known, &statement, ctx.now(), ctx.evidence.database.fresh());
            }
        }
        images.insert(digest.clone(), known);
    }
    Ok(Evidence { images, exceptions: exceptions(ctx, project, environment).await? })
}

/// The verified statements that control itself put beside an image, in the order in which it did. What somebody copied
/// there from elsewhere, or put there once more to make it look new, is genuine but does not count.
async fn own(ctx: &Context, repository: &RepositoryName, digest: &Digest) -> anyhow::Result<Vec<Statement>> {
    let (doc, _) = EvidenceDoc::load(ctx, repository, digest).await?;
    let mut own = Vec::new();
    for found in statements(ctx, repository, digest).await? {
        let place = doc.made.iter().position(|made| made.referrer == found.record.digest);
        if let (Some(place), Ok((statement, _))) = (place, found.verified) {
            own.push((place, statement));
        }
    }
    own.sort_by_key(|(place, _)| *place);
    Ok(own.into_iter().map(|(_, statement)| statement).collect())
}

/// The exceptions that people have granted.
async fn exceptions(
    ctx: &Context,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> anyhow::Result<Vec<Exception>> {
    let query = Query { parent: Some(format!("{project}/{environment}")), ..Query::default() };
    let found = ctx.store.list::<ExceptionDoc>(&query).await?;
    let exception = |doc: ExceptionDoc| Exception { id: doc.id, reason: doc.reason, expires: doc.expires };
    Ok(found.into_iter().map(|doc| exception(doc.value)).collect())
}

/// Adds what a verified statement says; of several of one kind the newest counts, which comes last.
fn learn(known: &mut Known, statement: &Statement, now: Timestamp, fresh: Duration) {
    let says = &statement.predicate;
    match statement.claim() {
        Some(Claim::Provenance) => {
            let git_ref = says["buildDefinition"]["externalParameters"]["workflow"]["ref"].as_str();
            let run = says["runDetails"]["metadata"]["invocationId"].as_str();
            if let (Some(git_ref), Some(run)) = (git_ref, run) {
                let run = run.split("/runs/").last().unwrap_or(run).split('/').next().unwrap_or(run);
                known.origins.push(Origin { run: format!("run {run}"), git_ref: git_ref.to_owned() });
            }
        }
        Some(Claim::CycloneDx | Claim::Spdx) => known.sbom = true,
        Some(Claim::Leaks) => known.secrets = says["found"].as_array().map(|found| found.len() as u64),
        Some(Claim::Tests) => {
            let count = |key: &str| says["counts"][key].as_u64();
            if let (Some(passed), Some(failed)) = (count("passed"), count("failed")) {
                known.tests = Some(TestResult { passed, failed });
            }
        }
        Some(Claim::Load) => {
            let requests = &says["requests"];
            if let (Some(total), Some(failed)) = (requests["total"].as_u64(), requests["failed"].as_u64()) {
                let broken = says["broken"].as_array().into_iter().flatten().filter_map(Value::as_str);
                known.load = Some(LoadResult {
                    requests: total,
                    failed,
                    p95: says["millis"]["p95"].as_f64(),
                    p99: says["millis"]["p99"].as_f64(),
                    broken: broken.map(str::to_owned).collect(),
                });
            }
        }
        Some(Claim::Vulns) => known.vulns = Some(vulns(says, now, fresh)),
        Some(Claim::Approval | Claim::Findings | Claim::Signature) | None => {}
    }
}

fn vulns(says: &Value, now: Timestamp, fresh: Duration) -> Result<Vec<Vulnerability>, String> {
    let scanner = &says["scanner"];
    let unread = || "the statement about them cannot be read".to_owned();
    let not: Vec<&str> =
        scanner["notChecked"].as_array().into_iter().flatten().filter_map(|n| n["why"].as_str()).collect();
    if !not.is_empty() {
        return Err(not.join("; "));
    }
    let ecosystems = scanner["db"]["ecosystems"].as_array().ok_or_else(unread)?;
    for ecosystem in ecosystems {
        let as_of = Timestamp::from_millis(ecosystem["as_of"].as_i64().ok_or_else(unread)?);
        if now.since(as_of) > fresh {
            let days = now.since(as_of).as_secs() / 86_400;
            let name = ecosystem["ecosystem"].as_str().unwrap_or_default();
            return Err(format!("the advisories for {name} that it was compared with are {days} days old"));
        }
    }
    let results = scanner["result"].as_array().ok_or_else(unread)?;
    results.iter().map(|result| vulnerability(result).ok_or_else(unread)).collect()
}

fn vulnerability(result: &Value) -> Option<Vulnerability> {
    let about = &result["annotations"][0];
    let text = |key: &str| about[key].as_str();
    let word = result["severity"].as_array()?.iter().find(|s| s["method"] == "word")?["score"].as_str()?;
    let aliases = about["aliases"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Some(Vulnerability {
        id: result["id"].as_str()?.to_owned(),
        aliases: aliases.map(str::to_owned).collect(),
        level: Level::parse(word),
        package: format!("{} {}", text("package")?, text("version")?),
        fixed: text("fixed").map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use windlass_evidence::{Contents, Finding, NotChecked, Severity, State, VulnReport};

    use super::super::predicates;
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);
    const WEEK: Duration = Duration::from_hours(7 * 24);

    fn statement(claim: Claim, predicate: Value) -> Statement {
        Statement::new("shop", &Digest::sha256(b"image"), claim, predicate)
    }

    fn report() -> VulnReport {
        let state = State {
            ecosystem: "PyPI".into(),
            advisories: 1,
            packages: 1,
            as_of: NOW - Duration::from_hours(24),
            imported_at: NOW,
        };
        let finding = Finding {
            id: "CVE-1".into(),
            aliases: vec!["GHSA-1".into()],
            severity: Some(Severity::High),
            score: Some(7.5),
            summary: String::new(),
            package: "flask".into(),
            version: "1.0".into(),
            fixed: Some("2.0".into()),
            purl: "pkg:pypi/flask@1.0".into(),
            layer: 0,
            path: String::new(),
        };
        VulnReport { checked: vec![state], not_checked: Vec::new(), found: vec![finding] }
    }

    fn known(report: &VulnReport, now: Timestamp) -> Result<Vec<Vulnerability>, String> {
        let mut known = Known::default();
        learn(&mut known, &statement(Claim::Vulns, predicates::vulns(report, NOW)), now, WEEK);
        known.vulns.unwrap()
    }

    #[test]
    fn what_a_statement_about_vulnerabilities_says_is_read_back() {
        let found = known(&report(), NOW).unwrap();
        assert_eq!(found[0].package, "flask 1.0");
        assert_eq!((found[0].level, found[0].fixed.as_deref()), (Some(Level::High), Some("2.0")));
        assert_eq!(found[0].aliases, ["GHSA-1"]);
        let unrated =
            VulnReport { found: vec![Finding { severity: None, ..report().found.remove(0) }], ..report() };
        assert_eq!(known(&unrated, NOW).unwrap()[0].level, None);
    }

    #[test]
    fn what_was_not_checked_or_is_too_old_is_not_known() {
        let odd = NotChecked {
            ecosystem: "npm".into(),
            packages: 1,
            why: "there are no advisories for npm".into(),
        };
        let partial = VulnReport { not_checked: vec![odd], ..report() };
        assert_eq!(known(&partial, NOW).unwrap_err(), "there are no advisories for npm");
        assert!(known(&report(), NOW + WEEK).unwrap_err().contains("8 days old"));
        let broken = statement(Claim::Vulns, json!({"scanner": {"result": [{}], "db": {"ecosystems": []}}}));
        let mut learnt = Known::default();
        learn(&mut learnt, &broken, NOW, WEEK);
        assert!(learnt.vulns.unwrap().is_err());
    }

    #[test]
    fn the_newest_statement_of_a_kind_counts() {
        let mut known = Known::default();
        let tests = |failed: u64| statement(Claim::Tests, json!({"counts": {"passed": 3, "failed": failed}}));
        for failed in [2, 0] {
            learn(&mut known, &tests(failed), NOW, WEEK);
        }
        assert_eq!(known.tests, Some(TestResult { passed: 3, failed: 0 }));
        let leaks = predicates::leaks(&Contents::default(), NOW);
        learn(&mut known, &statement(Claim::Leaks, leaks), NOW, WEEK);
        learn(&mut known, &statement(Claim::Spdx, json!({})), NOW, WEEK);
        assert_eq!((known.secrets, known.sbom, known.origins.len()), (Some(0), true, 0));
    }
}
