//! What statements say, for people.

use serde_json::Value;

use crate::statement::{Claim, Statement};

impl Statement {
    /// What it says, in a line for people; empty where its kind is not known here.
    pub fn words(&self) -> String {
        let says = &self.predicate;
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        match self.claim() {
            Some(Claim::Provenance) => {
                let workflow = &says["buildDefinition"]["externalParameters"]["workflow"];
                let commit = text(&says["buildDefinition"]["resolvedDependencies"][0]["digest"]["gitCommit"]);
                let how = if text(&says["buildDefinition"]["buildType"]).contains("/build/") {
                    "built"
                } else {
                    "pushed"
                };
                let commit: String = commit.chars().take(12).collect();
                format!(
                    "{how} by {} of {} at {commit}, for {}",
                    text(&workflow["path"]),
                    text(&workflow["ref"]),
                    text(&says["buildDefinition"]["internalParameters"]["actor"])
                )
            }
            Some(Claim::CycloneDx) => {
                format!("{} components", says["components"].as_array().map_or(0, Vec::len))
            }
            Some(Claim::Spdx) => {
                format!(
                    "{} packages",
                    says["packages"].as_array().map_or(0, |list| list.len().saturating_sub(1))
                )
            }
            Some(Claim::Vulns) => {
                let found = says["scanner"]["result"].as_array().map_or(0, Vec::len);
                let not = says["scanner"]["notChecked"].as_array().map_or(0, Vec::len);
                let rest = if not > 0 { ", not everything was checked" } else { "" };
                format!("{found} known vulnerabilities{rest}")
            }
            Some(Claim::Tests) => {
                let counts = &says["counts"];
                format!("{}: {} passed, {} failed", text(&says["result"]), counts["passed"], counts["failed"])
            }
            Some(Claim::Approval) => {
                let by = says["approvals"].as_array().into_iter().flatten().map(|a| text(&a["by"]));
                format!("for {} by {}", text(&says["environment"]), by.collect::<Vec<_>>().join(", "))
            }
            Some(Claim::Findings) => {
                let count = |r: &Value| r["findings"].as_u64().unwrap_or(0);
                let sum: u64 = says["reports"].as_array().into_iter().flatten().map(count).sum();
                format!("{sum} findings in the code")
            }
            Some(Claim::Leaks) => {
                format!("{} secrets in layers", says["found"].as_array().map_or(0, Vec::len))
            }
            Some(Claim::Load) => {
                let counts = &says["requests"];
                format!(
                    "{}: {} requests, {} failed",
                    text(&says["result"]),
                    counts["total"],
                    counts["failed"]
                )
            }
            Some(Claim::Signature) => "made by a run of this platform".to_owned(),
            None => String::new(),
        }
    }
}
