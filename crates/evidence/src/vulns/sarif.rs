//! What was found as SARIF 2.1.0, for editors and for Windlass' own reports.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Severity, VulnReport};

/// The report about the image of this name.
pub fn sarif(image: &str, report: &VulnReport) -> Value {
    let mut rules: BTreeMap<&str, Value> = BTreeMap::new();
    let mut results = Vec::new();
    for found in &report.found {
        let summary = if found.summary.is_empty() { &found.id } else { &found.summary };
        let mut rule = json!({ "id": found.id, "shortDescription": { "text": summary } });
        if let Some(score) = found.score {
            rule["properties"] = json!({ "security-severity": format!("{score:.1}") });
        }
        rules.entry(&found.id).or_insert(rule);
        let level = match found.severity {
            Some(Severity::Critical | Severity::High) | None => "error",
            Some(Severity::Medium) => "warning",
            Some(Severity::Low) => "note",
        };
        let fix = match &found.fixed {
            Some(fixed) => format!("fixed in {fixed}"),
            None => "no fix is known".to_owned(),
        };
        results.push(json!({
            "ruleId": found.id,
            "level": level,
            "message": { "text": format!("{} {}: {summary} ({fix})", found.package, found.version) },
            "locations": [{ "physicalLocation": { "artifactLocation": { "uri": found.path }, "region": { "startLine": 1 } } }],
            "partialFingerprints": { "package/v1": format!("{}:{}", found.id, found.purl) },
        }));
    }
    let notices: Vec<Value> = report
        .not_checked
        .iter()
        .map(|n| json!({ "level": "warning", "message": { "text": format!("not checked: {}", n.why) } }))
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "windlass",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.into_values().collect::<Vec<_>>(),
            } },
            "automationDetails": { "id": format!("image/{image}") },
            "invocations": [{
                "executionSuccessful": report.not_checked.is_empty(),
                "toolExecutionNotifications": notices,
            }],
            "results": results,
        }],
    })
}
