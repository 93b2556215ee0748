//! What statements say: SLSA provenance v1, the attestation framework's test results and vulnerabilities, and our own
//! for approvals, findings and secrets.

use serde_json::{Value, json};
use windlass_api as api;
use windlass_evidence::{Contents, VulnReport};
use windlass_kernel::Timestamp;
use windlass_pipeline::Run;

use super::documents::{How, Origin};
use crate::runs::Approved;

/// How provenance names the ways in which an image comes into being here.
const BUILT: &str = "https://example.invalid/windlass/build/v1";
const PUSHED: &str = "https://example.invalid/windlass/pushed-by-run/v1";

/// How it was built (SLSA provenance v1), as control knows it.
pub(super) fn provenance(url: &str, run: &Run, origin: &Origin) -> Value {
    let project = &run.project;
    let repository = format!("{url}/{project}.git");
    let mut internal = json!({
        "actor": run.actor.to_string(),
        "event": run.event,
        "run_number": run.number,
        "attempt": origin.attempt,
        "title": run.title,
    });
    if let Some(job) = &origin.job {
        internal["job"] = json!(job);
    }
    let mut dependencies = vec![json!({
        "uri": format!("git+{repository}@{}", run.git_ref),
        "digest": { "gitCommit": run.sha },
        "name": "source",
    })];
    if let Some(base) = &origin.base {
        let host = url.split("://").last().unwrap_or_default().trim_end_matches('/');
        let place = if base.name.split('/').next().is_some_and(|part| part.contains(['.', ':'])) {
            base.name.clone()
        } else {
            format!("{host}/{}", base.name)
        };
        let name = base.name.rsplit('/').next().unwrap_or(&base.name);
        let text = base.digest.to_string();
        let (algorithm, hex) = text.split_once(':').unwrap_or(("sha256", &text));
        dependencies.push(json!({
            "uri": format!("pkg:oci/{name}@{algorithm}%3A{hex}?repository_url={}", place.replace(':', "%3A")),
            "digest": { algorithm: hex },
            "name": "base",
        }));
    }
    let started = run.started_at.unwrap_or(run.created_at);
    json!({
        "buildDefinition": {
            "buildType": match origin.how { How::Built => BUILT, How::Pushed => PUSHED },
            "externalParameters": {
                "workflow": { "repository": repository, "ref": run.git_ref, "path": run.workflow.file },
                "inputs": run.inputs,
            },
            "internalParameters": internal,
            "resolvedDependencies": dependencies,
        },
        "runDetails": {
            "builder": { "id": format!("{url}/"), "version": { "windlass": env!("CARGO_PKG_VERSION") } },
            "metadata": {
                "invocationId": format!("{url}/runs/{}/attempts/{}", run.id, origin.attempt),
                "startedOn": started.to_string(),
                "finishedOn": origin.at.to_string(),
            },
        },
    })
}

/// How the tests of a run went (in-toto test result v0.1).
pub(super) fn tests(url: &str, run: &Run, reports: &api::RunReports) -> Value {
    let failed: u64 = reports.tests.iter().map(|t| t.failed).sum();
    let flaky: u64 = reports.tests.iter().map(|t| t.flaky).sum();
    let names: Vec<&str> =
        reports.tests.iter().flat_map(|t| &t.failures).map(|failure| failure.name.as_str()).collect();
    let count = |of: fn(&api::TestReport) -> u64| reports.tests.iter().map(of).sum::<u64>();
    json!({
        "result": match (failed, flaky) { (0, 0) => "PASSED", (0, _) => "WARNED", _ => "FAILED" },
        "configuration": [{
            "name": run.workflow.file,
            "uri": format!("git+{url}/{}.git@{}", run.project, run.git_ref),
            "digest": { "gitCommit": run.sha },
        }],
        "url": format!("{url}/runs/{}", run.id),
        "failedTests": names,
        "counts": {
            "passed": count(|t| t.passed), "failed": failed, "skipped": count(|t| t.skipped), "flaky": flaky,
        },
        "reports": reports.tests.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(),
        "attempt": run.attempt,
    })
}

/// What analysers found in the code of a run.
pub(super) fn findings(url: &str, run: &Run, reports: &api::RunReports) -> Value {
    let uploads: Vec<Value> = reports
        .findings
        .iter()
        .map(|report| json!({ "name": report.name, "findings": report.findings.len() }))
        .collect();
    json!({ "url": format!("{url}/runs/{}", run.id), "commit": run.sha, "reports": uploads, "attempt": run.attempt })
}

/// How what the run made fared under load. Failed is what the test's own demands call so; without such, any request.
pub(super) fn load(url: &str, run: &Run, reports: &api::RunReports) -> Value {
    let sum = |of: fn(&api::LoadReport) -> u64| reports.load.iter().map(of).sum::<u64>();
    let broken: Vec<&str> = reports.load.iter().flat_map(|l| &l.broken).map(String::as_str).collect();
    let worst = |of: fn(&api::LoadReport) -> Option<f64>| reports.load.iter().filter_map(of).reduce(f64::max);
    let failed = sum(|l| l.failed);
    json!({
        "result": match (broken.is_empty(), failed) { (true, 0) => "PASSED", (true, _) => "WARNED", _ => "FAILED" },
        "url": format!("{url}/runs/{}", run.id),
        "commit": run.sha,
        "attempt": run.attempt,
        "requests": { "total": sum(|l| l.requests), "failed": failed },
        "broken": broken,
        "millis": { "p50": worst(|l| l.p50), "p95": worst(|l| l.p95), "p99": worst(|l| l.p99) },
        "reports": reports.load,
    })
}

/// Its known vulnerabilities (in-toto vulns v0.1).
pub(super) fn vulns(report: &VulnReport, now: Timestamp) -> Value {
    let oldest = report.checked.iter().map(|state| state.as_of).min();
    let result: Vec<Value> = report
        .found
        .iter()
        .map(|found| {
            let severity = found.severity.map_or("unknown", windlass_evidence::Severity::word);
            let mut severities = vec![json!({ "method": "word", "score": severity })];
            severities
                .extend(found.score.map(|s| json!({ "method": "cvss_score", "score": format!("{s:.1}") })));
            json!({
                "id": found.id,
                "severity": severities,
                "annotations": [{
                    "package": found.package, "version": found.version, "purl": found.purl,
                    "fixed": found.fixed, "aliases": found.aliases,
                }],
            })
        })
        .collect();
    let mut scanner = json!({
        "uri": "https://example.invalid/windlass",
        "version": env!("CARGO_PKG_VERSION"),
        "db": { "uri": "https://osv.dev", "ecosystems": report.checked },
        "result": result,
        "notChecked": report.not_checked,
    });
    if let Some(oldest) = oldest {
        scanner["db"]["lastUpdate"] = json!(oldest.to_string());
    }
    json!({ "scanner": scanner, "metadata": { "scanStartedOn": now.to_string(), "scanFinishedOn": now.to_string() } })
}

/// Which secrets lie in its layers.
pub(super) fn leaks(contents: &Contents, now: Timestamp) -> Value {
    json!({ "scannedOn": now.to_string(), "found": contents.leaks })
}

/// Who agreed to its deployment.
pub(super) fn approval(url: &str, approved: &Approved) -> Value {
    let given: Vec<Value> = approved
        .given
        .iter()
        .filter(|a| a.approve)
        .map(|a| json!({ "by": a.by, "at": a.at.to_string(), "comment": a.comment }))
        .collect();
    json!({
        "project": approved.project,
        "environment": approved.environment,
        "run": format!("{url}/runs/{}", approved.run),
        "attempt": approved.attempt,
        "approvals": given,
    })
}
