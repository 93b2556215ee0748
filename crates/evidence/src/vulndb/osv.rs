//! An advisory in the OSV format (schema 1.6), as far as it decides anything, and the form in which it is kept.

use std::str::FromStr as _;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::vulns::Severity;

/// Above so many listed versions only ranges are kept, where there are ranges: lists of thousands say the same.
const MOST_VERSIONS: usize = 200;
/// The longest summary, in characters.
const LONGEST_SUMMARY: usize = 200;

/// An advisory, as far as it concerns one package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Advisory {
    /// Its id.
    pub(crate) id: String,
    /// The ecosystem with its release, such as `Debian:12`.
    pub(crate) ecosystem: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) aliases: Vec<String>,
    /// The advisories that this one is made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) upstream: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) summary: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) severity: Option<Severity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) score: Option<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ranges: Vec<Vec<Event>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) versions: Vec<String>,
}

/// Where a range of versions begins or ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    /// From this version on; `0`: from the first.
    Introduced(String),
    /// No longer from this version on.
    Fixed(String),
    /// Up to this version.
    LastAffected(String),
}

/// A whole advisory, as it is published.
#[derive(Debug, Deserialize)]
pub(super) struct Record {
    id: String,
    #[serde(default)]
    withdrawn: Option<String>,
    #[serde(default)]
    aliases: Option<Vec<String>>,
    #[serde(default)]
    upstream: Option<Vec<String>>,
    #[serde(default)]
    summary: Option<String>,
    #[serde(default)]
    severity: Option<Vec<Vector>>,
    #[serde(default)]
    affected: Option<Vec<Affected>>,
    #[serde(default)]
    database_specific: Value,
}

#[derive(Debug, Deserialize)]
struct Vector {
    #[serde(rename = "type")]
    kind: String,
    score: String,
}

#[derive(Debug, Deserialize)]
struct Affected {
    #[serde(default)]
    package: Option<Package>,
    #[serde(default)]
    severity: Option<Vec<Vector>>,
    #[serde(default)]
    ranges: Option<Vec<Range>>,
    #[serde(default)]
    versions: Option<Vec<String>>,
    #[serde(default)]
    database_specific: Value,
    #[serde(default)]
    ecosystem_specific: Value,
}

#[derive(Debug, Deserialize)]
struct Package {
    ecosystem: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Range {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    events: Vec<serde_json::Map<String, Value>>,
}

impl Record {
    /// What it says of each package, with the package's name; nothing if it was withdrawn.
    pub(super) fn advisories(self) -> Vec<(String, Advisory)> {
        if self.withdrawn.is_some() {
            return Vec::new();
        }
        let summary: String = self.summary.unwrap_or_default().chars().take(LONGEST_SUMMARY).collect();
        let (aliases, upstream) = (self.aliases.unwrap_or_default(), self.upstream.unwrap_or_default());
        let of_record = self.severity.unwrap_or_default();
        let mut all = Vec::new();
        for affected in self.affected.unwrap_or_default() {
            let Some(package) = affected.package else { continue };
            let rated =
                rating(affected.severity.as_deref().unwrap_or_default()).or_else(|| rating(&of_record));
            let words = [
                &affected.ecosystem_specific["severity"],
                &affected.ecosystem_specific["urgency"],
                &affected.database_specific["severity"],
                &self.database_specific["severity"],
            ];
            let by_word = || words.iter().find_map(|w| Severity::of_word(w.as_str()?));
            let ranges: Vec<Vec<Event>> =
                affected.ranges.unwrap_or_default().into_iter().filter_map(events).collect();
            let mut versions = affected.versions.unwrap_or_default();
            if versions.len() > MOST_VERSIONS && !ranges.is_empty() {
                versions = Vec::new();
            }
            let advisory = Advisory {
                id: self.id.clone(),
                ecosystem: package.ecosystem,
                aliases: aliases.clone(),
                upstream: upstream.clone(),
                summary: summary.clone(),
                severity: rated.map(Severity::of_score).or_else(by_word),
                score: rated,
                ranges,
                versions,
            };
            all.push((package.name, advisory));
        }
        all
    }
}

/// The events of a range whose versions can be compared; one of commits says nothing about a package's version.
fn events(range: Range) -> Option<Vec<Event>> {
    if range.kind == "GIT" {
        return None;
    }
    let event = |map: serde_json::Map<String, Value>| {
        let (key, value) = map.into_iter().next()?;
        let version = value.as_str()?.to_owned();
        Some(match key.as_str() {
            "introduced" => Event::Introduced(version),
            "fixed" => Event::Fixed(version),
            "last_affected" => Event::LastAffected(version),
            // `limit` is about commits.
            _ => return None,
        })
    };
    let events: Vec<Event> = range.events.into_iter().filter_map(event).collect();
    (!events.is_empty()).then_some(events)
}

/// The score of the newest vector that can be read.
fn rating(vectors: &[Vector]) -> Option<f64> {
    let newest = ["CVSS_V4", "CVSS_V3"];
    newest.iter().find_map(|kind| {
        let vector = vectors.iter().find(|v| v.kind == *kind)?;
        cvss::Cvss::from_str(&vector.score).ok().map(|v| v.score())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, Advisory)> {
        serde_json::from_str::<Record>(text).unwrap().advisories()
    }

    #[test]
    fn ranges_versions_and_ratings_are_read() {
        let found = read(
            r#"{"id":"GHSA-1","aliases":["CVE-2024-1"],"summary":"Bad","severity":[{"type":"CVSS_V3","score":
            "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],"affected":[{"package":{"ecosystem":"PyPI","name":"x"},
            "ranges":[{"type":"GIT","events":[{"introduced":"0"}]},
            {"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1.2"}]}],"versions":["1.0","1.1"]}]}"#,
        );
        let (name, advisory) = &found[0];
        assert_eq!(name, "x");
        assert_eq!(advisory.ranges, [[Event::Introduced("0".into()), Event::Fixed("1.2".into())]]);
        assert_eq!((advisory.score, advisory.severity), (Some(9.8), Some(Severity::Critical)));
        assert_eq!(advisory.versions.len(), 2);
    }

    #[test]
    fn severities_come_from_vectors_else_from_words() {
        let of = |extra: &str| {
            let text =
                format!(r#"{{"id":"A","affected":[{{"package":{{"ecosystem":"E","name":"n"}}}}]{extra}}}"#);
            read(&text)[0].1.severity
        };
        let v4 = r#","severity":[{"type":"CVSS_V4","score":"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:L/SC:N/SI:N/SA:N"}]"#;
        assert_eq!(of(v4), Some(Severity::Medium));
        assert_eq!(of(r#","database_specific":{"severity":"MODERATE"}"#), Some(Severity::Medium));
        assert_eq!(of(r#","severity":[{"type":"CVSS_V3","score":"nonsense"}]"#), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn what_was_withdrawn_says_nothing() {
        let text = r#"{"id":"A","withdrawn":"2024-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"E","name":"n"}}]}"#;
        assert!(read(text).is_empty());
    }
}
