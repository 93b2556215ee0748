//! Findings of analysers: SARIF 2.1.0 (OASIS), as far as a list of findings on lines needs it.

use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::marker::PhantomData;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};

use super::junit::cut;

/// The most findings of one report.
pub(super) const MOST: usize = 5000;
/// How long a finding's texts may be, in characters.
const TEXT: usize = 1000;
const NAME: usize = 200;

/// What an analyser found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Finding {
    pub(super) tool: String,
    pub(super) rule: String,
    /// `error`, `warning` or `note`.
    pub(super) level: String,
    pub(super) message: String,
    pub(super) path: Option<String>,
    pub(super) line: Option<u32>,
    /// The same finding in another commit has the same.
    pub(super) fingerprint: String,
}

/// At most [`MOST`] elements of a sequence: the rest is read over.
#[derive(Debug)]
struct Capped<T>(Vec<T>);

impl<T> Default for Capped<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Capped<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Elements<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
            type Value = Capped<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Capped::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while all.len() < MOST {
                    match seq.next_element()? {
                        Some(one) => all.push(one),
                        None => return Ok(Capped(all)),
                    }
                }
                while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                Ok(Capped(all))
            }
        }
        from.deserialize_any(Elements(PhantomData))
    }
}

#[derive(Deserialize)]
struct Log {
    #[serde(default)]
    runs: Capped<Run>,
}

#[derive(Deserialize)]
struct Run {
    tool: Option<Tool>,
    #[serde(default)]
    results: Capped<Outcome>,
}

#[derive(Deserialize)]
struct Tool {
    driver: Option<Driver>,
}

#[derive(Default, Deserialize)]
struct Driver {
    #[serde(default)]
    name: String,
    #[serde(default)]
    rules: Capped<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    id: String,
    default_configuration: Option<Configuration>,
}

#[derive(Deserialize)]
struct Configuration {
    level: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    rule_id: Option<String>,
    rule_index: Option<i64>,
    rule: Option<Reference>,
    level: Option<String>,
    kind: Option<String>,
    message: Option<Message>,
    #[serde(default)]
    locations: Capped<Location>,
    #[serde(default)]
    partial_fingerprints: Option<HashMap<String, String>>,
    #[serde(default)]
    suppressions: Capped<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Reference {
    id: Option<String>,
    index: Option<i64>,
}

#[derive(Deserialize)]
struct Message {
    text: Option<String>,
    markdown: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    physical_location: Option<Physical>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Option<Artifact>,
    region: Option<Region>,
}

#[derive(Deserialize)]
struct Artifact {
    uri: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: Option<u32>,
}

/// Reads a log's findings, without those that were suppressed or that say that all is well.
pub(super) fn read(from: impl Read) -> Result<Vec<Finding>, serde_json::Error> {
    let log: Log = serde_json::from_reader(from)?;
    let mut found = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for run in log.runs.0 {
        let driver = run.tool.and_then(|t| t.driver).unwrap_or_default();
        for outcome in run.results.0 {
            if found.len() >= MOST {
                return Ok(found);
            }
            if outcome.suppressions.0.is_empty() && outcome.kind.as_deref().is_none_or(|k| k == "fail") {
                found.push(finding(&driver, outcome, &mut seen));
            }
        }
    }
    Ok(found)
}

fn finding(driver: &Driver, outcome: Outcome, seen: &mut HashMap<String, usize>) -> Finding {
    let index = outcome.rule_index.or(outcome.rule.as_ref().and_then(|r| r.index));
    let by_index = index.and_then(|i| usize::try_from(i).ok()).and_then(|i| driver.rules.0.get(i));
    let id = outcome.rule_id.or(outcome.rule.and_then(|r| r.id)).or(by_index.map(|r| r.id.clone()));
    let id = id.unwrap_or_default();
    let rule = by_index.or_else(|| driver.rules.0.iter().find(|r| r.id == id));
    let usual = rule.and_then(|r| r.default_configuration.as_ref()).and_then(|c| c.level.clone());
    let level = match outcome.level.or(usual).as_deref() {
        Some("error") => "error",
        Some("note" | "none") => "note",
        _ => "warning",
    };
    let place = outcome.locations.0.into_iter().find_map(|l| l.physical_location);
    let (path, line) = place.map_or((None, None), |p| {
        (p.artifact_location.and_then(|a| a.uri), p.region.and_then(|r| r.start_line))
    });
    let path = path.map(|p| cut(p.trim_start_matches("file://").trim_start_matches("./"), NAME * 2));
    let message = outcome.message.and_then(|m| m.text.or(m.markdown)).unwrap_or_default();
    let given = outcome.partial_fingerprints.unwrap_or_default();
    let given = given.get("primaryLocationLineHash").or_else(|| given.values().min());
    // Without a fingerprint of the tool's own: what was said of which file, not where, as lines move.
    let what = given.map_or_else(|| message.clone(), |g| format!("fingerprint {g}"));
    let mut hash = Sha256::new();
    for part in [&driver.name, &id, path.as_deref().unwrap_or_default(), &what] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let hash = hex::encode(&hash.finalize()[..12]);
    let nth = seen.entry(hash.clone()).and_modify(|n| *n += 1).or_insert(1);
    Finding {
        tool: cut(&driver.name, NAME),
        rule: cut(&id, NAME),
        level: level.to_owned(),
        message: cut(&message, TEXT),
        path,
        line,
        fingerprint: format!("{hash}:{nth}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"lint","rules":[{"id":"R1","defaultConfiguration":{"level":"error"}}]}},
        "results":[
        {"ruleIndex":0,"message":{"text":"bad"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"src/a.rs"},"region":{"startLine":3}}}]},
        {"ruleId":"R1","message":{"text":"bad"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"src/a.rs"},"region":{"startLine":9}}}]},
        {"ruleId":"R2","level":"note","message":{"text":"hm"},"partialFingerprints":{"primaryLocationLineHash":"f"}},
        {"ruleId":"R2","message":{"text":"quiet"},"suppressions":[{"kind":"inSource"}]},
        {"ruleId":"R2","kind":"pass","message":{"text":"fine"}}]}]}"#;

    #[test]
    fn findings_are_read_with_their_rules_levels_and_places() {
        let found = read(LOG.as_bytes()).unwrap();
        let short: Vec<_> =
            found.iter().map(|f| (f.rule.as_str(), f.level.as_str(), f.path.as_deref(), f.line)).collect();
        let expected = [
            ("R1", "error", Some("src/a.rs"), Some(3)),
            ("R1", "error", Some("src/a.rs"), Some(9)),
            ("R2", "note", None, None),
        ];
        assert_eq!(short, expected);
        assert_ne!(found[0].fingerprint, found[1].fingerprint, "two of a kind are two");
    }

    #[test]
    fn a_finding_that_only_moved_is_the_same() {
        let moved = read(LOG.replace("\"startLine\":3", "\"startLine\":30").as_bytes()).unwrap();
        assert_eq!(read(LOG.as_bytes()).unwrap()[0].fingerprint, moved[0].fingerprint);
    }

    #[test]
    fn odd_and_hostile_logs_end_in_an_error_or_in_few_findings() {
        for bad in ["", "7", "{\"runs\":7}", "{\"runs\":[{\"results\":[1]}]}"] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(read("{\"runs\":[{\"results\":null,\"tool\":{}}]}".as_bytes()).unwrap().is_empty());
        let deep = format!("{{\"x\":{}", "[".repeat(100_000));
        assert!(read(deep.as_bytes()).is_err());
        let many = vec!["{\"message\":{\"text\":\"m\"}}"; MOST + 100].join(",");
        assert_eq!(read(format!("{{\"runs\":[{{\"results\":[{many}]}}]}}").as_bytes()).unwrap().len(), MOST);
    }
}
