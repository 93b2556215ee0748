//! What evidence an environment asks for (`require`), and what of it is missing. The facts come from signed statements
//! that somebody else has verified; what is not known counts as not there.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use windlass_kernel::{Digest, ServiceName, Timestamp};

use crate::Digests;
use crate::manifest::BranchPattern;

/// What an environment asks of each image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Requirements {
    /// Tests that passed in the run that made it.
    pub tests: bool,
    /// A list of what is in it.
    pub sbom: bool,
    /// No secrets in its layers.
    pub secrets: bool,
    /// How it came to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provenance: Option<ProvenanceRule>,
    /// Its known vulnerabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vulns: Option<VulnRule>,
    /// How it fared under load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<LoadRule>,
}

/// Where an image must come from: a run of this platform, and of one of these branches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProvenanceRule {
    /// The branches; empty: any ref.
    pub branches: Vec<BranchPattern>,
}

/// What a load test must have shown. Its own demands must be kept in any case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadRule {
    /// The most requests of a hundred that may have failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<u32>,
    /// The most milliseconds within which 95 of a hundred were answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95: Option<u64>,
    /// The same for 99 of a hundred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99: Option<u64>,
}

/// Which vulnerabilities an image may have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VulnRule {
    /// The worst that is let through.
    pub max: Level,
    /// What does not count.
    pub except: Vec<Exception>,
}

/// How bad a vulnerability is (the words of CVSS).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Not at all: as a limit, nothing is let through.
    None,
    /// A score below 4.
    Low,
    /// A score below 7.
    Medium,
    /// A score below 9; and what nobody has rated.
    High,
    /// The rest.
    Critical,
}

/// A vulnerability that is known, understood, and let through for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// Its id, or one of its other names.
    pub id: String,
    /// Why.
    pub reason: String,
    /// From when on it counts again.
    pub expires: Timestamp,
}

/// What verified statements say of an image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// The tests of a run that made it.
    pub tests: Option<TestResult>,
    /// There is a list of what is in it.
    pub sbom: bool,
    /// How many secrets were found in its layers, if they were looked for.
    pub secrets: Option<u64>,
    /// The runs of this platform that made it.
    pub origins: Vec<Origin>,
    /// Its vulnerabilities, or why they are not known.
    pub vulns: Option<Result<Vec<Vulnerability>, String>>,
    /// The load tests of a run that made it.
    pub load: Option<LoadResult>,
}

/// How tests went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestResult {
    /// How many passed.
    pub passed: u64,
    /// How many failed.
    pub failed: u64,
}

/// How load tests went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadResult {
    /// How many requests there were.
    pub requests: u64,
    /// How many of them failed.
    pub failed: u64,
    /// Milliseconds within which 95 of a hundred were answered, if that is known.
    pub p95: Option<f64>,
    /// The same for 99 of a hundred.
    pub p99: Option<f64>,
    /// What the tests themselves demanded and did not get.
    pub broken: Vec<String>,
}

/// A run that made an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The run, for people.
    pub run: String,
    /// The full ref that it was of.
    pub git_ref: String,
}

/// A vulnerability of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vulnerability {
    /// Its id.
    pub id: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// How bad it is; none: nobody has rated it.
    pub level: Option<Level>,
    /// The package and its version.
    pub package: String,
    /// The first version without it, if there is one.
    pub fixed: Option<String>,
}

/// All that is known, for one decision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// By image.
    pub images: BTreeMap<Digest, Known>,
    /// Exceptions that people have granted for this environment.
    pub exceptions: Vec<Exception>,
}

/// Something that an environment asks for and an image lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The service whose image it is.
    pub service: ServiceName,
    /// The requirement, as the manifest names it.
    pub requirement: String,
    /// What is missing.
    pub what: String,
    /// How to get it.
    pub how: String,
}

/// How many vulnerabilities are named one by one.
const NAMED: usize = 20;

impl Level {
    /// All of them, as they are written.
    pub const WORDS: [&'static str; 5] = ["none", "low", "medium", "high", "critical"];
    const ALL: [Self; 5] = [Self::None, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The level of that name.
    pub fn parse(word: &str) -> Option<Self> {
        Self::WORDS.iter().position(|w| *w == word).map(|at| Self::ALL[at])
    }

    /// As it is written.
    pub fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}; {}", self.requirement, self.service, self.what, self.how)
    }
}

impl Requirements {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is asked for, in words.
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        for (wanted, word) in [(self.tests, "tests"), (self.sbom, "sbom"), (self.secrets, "secrets")] {
            words.extend(wanted.then(|| word.to_owned()));
        }
        if let Some(rule) = &self.provenance {
            let branches: Vec<&str> = rule.branches.iter().map(BranchPattern::as_str).collect();
            words.push(match &branches[..] {
                [] => "provenance".to_owned(),
                branches => format!("provenance from {}", branches.join(", ")),
            });
        }
        if let Some(rule) = &self.vulns {
            words.push(format!("vulns up to {}", rule.max.word()));
            words.extend(rule.except.iter().map(|e| format!("except {}: {}", e.id, e.reason)));
        }
        if let Some(rule) = &self.load {
            words.push("load".to_owned());
            words.extend(rule.errors.map(|most| format!("at most {most} % errors")));
            for (share, most) in [("95", rule.p95), ("99", rule.p99)] {
                words.extend(most.map(|most| format!("{share} % within {most} ms")));
            }
        }
        words
    }

    /// Everything that these images lack, in the order of the services.
    pub fn missing(&self, digests: &Digests, evidence: &Evidence, now: Timestamp) -> Vec<Missing> {
        let unknown = Known::default();
        let mut missing = Vec::new();
        for (service, digest) in digests {
            let known = evidence.images.get(digest).unwrap_or(&unknown);
            let mut say = |requirement: &str, lack: (String, &str)| {
                missing.push(Missing {
                    service: service.clone(),
                    requirement: requirement.to_owned(),
                    what: lack.0,
                    how: lack.1.to_owned(),
                });
            };
            if let Some(lack) = self.tests.then(|| test_results(known)).flatten() {
                say("tests", lack);
            }
            if self.sbom && !known.sbom {
                let how = "push it to this registry again, or ask for it with `windlass image inspect`";
                say("sbom", ("there is no signed list of what is in it".to_owned(), how));
            }
            if let Some(lack) = self.secrets.then(|| secrets(known)).flatten() {
                say("secrets", lack);
            }
            if let Some(lack) = self.provenance.as_ref().and_then(|rule| provenance(rule, known)) {
                say("provenance", lack);
            }
            for lack in self.vulns.iter().flat_map(|rule| vulns(rule, known, evidence, now)) {
                say("vulns", lack);
            }
            for lack in self.load.iter().flat_map(|rule| load(rule, known)) {
                say("load", lack);
            }
        }
        missing
    }
}

type Lack = (String, &'static str);

fn test_results(known: &Known) -> Option<Lack> {
    match known.tests {
        None => Some((
            "no test results are known of a run that made it".to_owned(),
            "upload the tests' JUnit report with `actions/upload-artifact` in the run that builds the image, before it deploys",
        )),
        Some(TestResult { failed, .. }) if failed > 0 => {
            let noun = if failed == 1 { "test" } else { "tests" };
            Some((format!("{failed} {noun} failed"), "make them pass, and build the image again"))
        }
        Some(TestResult { passed: 0, .. }) => {
            Some(("no test was run".to_owned(), "run some, and upload their report"))
        }
        Some(_) => None,
    }
}

fn load(rule: &LoadRule, known: &Known) -> Vec<Lack> {
    let again = "make it faster, or ask for less; then build and test it again";
    let Some(result) = &known.load else {
        return vec![(
            "no load test is known of a run that made it".to_owned(),
            "upload the summary of k6, vegeta or oha with `actions/upload-artifact` under the name `load-test` in the run that builds the image, before it deploys",
        )];
    };
    if result.requests == 0 {
        return vec![(
            "its load test made no request".to_owned(),
            "let it make some, and upload its summary",
        )];
    }
    let mut lacks = Vec::new();
    if !result.broken.is_empty() {
        lacks.push((
            format!("its load test did not get what it demands: {}", result.broken.join(", ")),
            again,
        ));
    }
    if let Some(most) = rule.errors
        && u128::from(result.failed) * 100 > u128::from(result.requests) * u128::from(most)
    {
        let (failed, all) = (result.failed, result.requests);
        lacks.push((format!("{failed} of {all} requests failed, more than {most} %"), again));
    }
    for (name, most, found) in [("95", rule.p95, result.p95), ("99", rule.p99, result.p99)] {
        let Some(most) = most else { continue };
        match found {
            // Milliseconds of a rule are few enough for a number of this kind.
            Some(found) if found <= most as f64 => {}
            Some(found) => {
                lacks.push((
                    format!("{name} % of the requests took up to {found:.0} ms, more than {most} ms"),
                    again,
                ));
            }
            None => lacks.push((
                format!(
                    "its load test does not say within which time {name} % of the requests were answered"
                ),
                "let the summary have it (k6: `--summary-trend-stats`)",
            )),
        }
    }
    lacks
}

fn secrets(known: &Known) -> Option<Lack> {
    match known.secrets {
        Some(0) => None,
        Some(n) => Some((
            format!("{n} secrets lie in its layers"),
            "`windlass image inspect` says where: revoke them, keep them out of every layer, and build again",
        )),
        None => Some((
            "its layers were not looked through for secrets".to_owned(),
            "push it to this registry again, or ask for it with `windlass image inspect`",
        )),
    }
}

fn provenance(rule: &ProvenanceRule, known: &Known) -> Option<Lack> {
    if known.origins.is_empty() {
        return Some((
            "no run of this platform made it".to_owned(),
            "build it in a workflow, with `windlass/build@v1` or by a push with the job's token",
        ));
    }
    let admitted = |origin: &&Origin| {
        let branch = origin.git_ref.strip_prefix("refs/heads/");
        rule.branches.is_empty() || branch.is_some_and(|b| rule.branches.iter().any(|p| p.matches(b)))
    };
    if known.origins.iter().any(|origin| admitted(&origin)) {
        return None;
    }
    let patterns = rule.branches.iter().map(BranchPattern::as_str).collect::<Vec<_>>().join(", ");
    let from = known.origins.iter().map(|o| format!("{} of {}", o.run, o.git_ref)).collect::<Vec<_>>();
    Some((
        format!("it comes from {}, not from a branch that {patterns} names", from.join(" and ")),
        "merge, and let the run of that branch build it",
    ))
}

fn vulns(rule: &VulnRule, known: &Known, evidence: &Evidence, now: Timestamp) -> Vec<Lack> {
    let found = match &known.vulns {
        Some(Ok(found)) => found,
        Some(Err(why)) => {
            return vec![(
                format!("its vulnerabilities are not checked: {why}"),
                "bring the database up to date with `windlass vulndb update` or `windlass vulndb import`",
            )];
        }
        None => {
            return vec![(
                "its vulnerabilities are not checked".to_owned(),
                "give the platform a database with `windlass vulndb update` or `windlass vulndb import`",
            )];
        }
    };
    let exceptions: Vec<&Exception> = rule.except.iter().chain(&evidence.exceptions).collect();
    let mut lacks = Vec::new();
    let mut more = 0;
    for vulnerability in found {
        let names: Vec<&String> = std::iter::once(&vulnerability.id).chain(&vulnerability.aliases).collect();
        let named = |e: &&&Exception| names.iter().any(|name| name.eq_ignore_ascii_case(&e.id));
        let excepted: Vec<&&Exception> = exceptions.iter().filter(named).collect();
        let level = vulnerability.level.unwrap_or(Level::High);
        if level <= rule.max || excepted.iter().any(|e| now < e.expires) {
            continue;
        }
        if lacks.len() >= NAMED {
            more += 1;
            continue;
        }
        let rated = vulnerability.level.map_or("not rated, counts as high", Level::word);
        let expired = excepted.iter().map(|e| e.expires).max();
        let expired = expired.map_or(String::new(), |at| format!(" (its exception ended at {at})"));
        let what = format!("{} in {} is {rated}{expired}", vulnerability.id, vulnerability.package);
        lacks.push(match &vulnerability.fixed {
            Some(fixed) => {
                (format!("{what}, fixed in {fixed}"), "build with that version, or except it with a reason")
            }
            None => (what, "it has no fix: except it with a reason, or do without the package"),
        });
    }
    if more > 0 {
        lacks.push((format!("and {more} more"), "`windlass image vulns` lists them"));
    }
    lacks
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn requirements() -> Requirements {
        Requirements {
            tests: true,
            sbom: true,
            secrets: true,
            provenance: Some(ProvenanceRule { branches: vec!["main".parse().unwrap()] }),
            vulns: Some(VulnRule { max: Level::Medium, except: Vec::new() }),
            load: Some(LoadRule { errors: Some(1), p95: Some(300), p99: None }),
        }
    }

    fn good() -> Known {
        Known {
            tests: Some(TestResult { passed: 3, failed: 0 }),
            sbom: true,
            secrets: Some(0),
            origins: vec![Origin { run: "run 1".into(), git_ref: "refs/heads/main".into() }],
            vulns: Some(Ok(Vec::new())),
            load: Some(LoadResult { requests: 200, failed: 2, p95: Some(300.0), ..LoadResult::default() }),
        }
    }

    fn lacks(requirements: &Requirements, known: Known, exceptions: Vec<Exception>) -> Vec<String> {
        let digest = Digest::sha256(b"image");
        let digests = Digests::from([("web".parse().unwrap(), digest.clone())]);
        let evidence = Evidence { images: BTreeMap::from([(digest, known)]), exceptions };
        requirements.missing(&digests, &evidence, NOW).iter().map(ToString::to_string).collect()
    }

    fn vulnerability(id: &str, level: Option<Level>) -> Vulnerability {
        Vulnerability {
            id: id.into(),
            aliases: vec![format!("CVE-{id}")],
            level,
            package: "openssl 3.0".into(),
            fixed: Some("3.1".into()),
        }
    }

    #[test]
    fn what_has_everything_lacks_nothing_and_what_is_unknown_lacks_everything() {
        assert_eq!(lacks(&requirements(), good(), Vec::new()), Vec::<String>::new());
        assert_eq!(lacks(&Requirements::default(), Known::default(), Vec::new()), Vec::<String>::new());
        let all = lacks(&requirements(), Known::default(), Vec::new());
        let named: Vec<&str> = all.iter().filter_map(|l| l.split(' ').next()).collect();
        assert_eq!(named, ["tests", "sbom", "secrets", "provenance", "vulns", "load"]);
        // An image of which nothing at all was said.
        let digests = Digests::from([("web".parse().unwrap(), Digest::sha256(b"other"))]);
        assert_eq!(requirements().missing(&digests, &Evidence::default(), NOW).len(), 6);
    }

    #[test]
    fn each_lack_is_named_with_what_to_do() {
        type Change = fn(&mut Known);
        let cases: [(Change, &str); 11] = [
            (|k| k.tests = Some(TestResult { passed: 5, failed: 2 }), "2 tests failed; make them pass"),
            (|k| k.tests = Some(TestResult { passed: 0, failed: 0 }), "no test was run"),
            (|k| k.load.as_mut().unwrap().failed = 3, "3 of 200 requests failed, more than 1 %"),
            (|k| k.load.as_mut().unwrap().p95 = Some(300.6), "took up to 301 ms, more than 300 ms"),
            (|k| k.load.as_mut().unwrap().p95 = None, "does not say within which time 95 %"),
            (|k| k.load.as_mut().unwrap().broken.push("p(95)<9".into()), "what it demands: p(95)<9"),
            (|k| k.load.as_mut().unwrap().requests = 0, "made no request"),
            (|k| k.secrets = Some(2), "2 secrets lie in its layers"),
            (|k| k.origins[0].git_ref = "refs/heads/x".into(), "run 1 of refs/heads/x, not from a branch"),
            (|k| k.origins[0].git_ref = "refs/tags/main".into(), "not from a branch that main names"),
            (
                |k| k.vulns = Some(Err("the database is 9 days old".into())),
                "not checked: the database is 9 days old",
            ),
        ];
        for (change, expected) in cases {
            let mut known = good();
            change(&mut known);
            let lacks = lacks(&requirements(), known, Vec::new());
            assert_eq!(lacks.len(), 1, "{lacks:?}");
            assert!(lacks[0].contains(expected), "{} / {expected}", lacks[0]);
        }
    }

    #[test]
    fn vulnerabilities_count_above_the_limit_and_exceptions_only_while_they_hold() {
        let with = |level| Known { vulns: Some(Ok(vec![vulnerability("A-1", level)])), ..good() };
        let refused = |level| !lacks(&requirements(), with(level), Vec::new()).is_empty();
        assert!(!refused(Some(Level::Low)) && !refused(Some(Level::Medium)));
        assert!(refused(Some(Level::High)) && refused(Some(Level::Critical)) && refused(None));

        let except = |id: &str, expires| Exception {
            id: id.into(),
            reason: "x".into(),
            expires: Timestamp::from_millis(expires),
        };
        let high = || with(Some(Level::High));
        assert!(lacks(&requirements(), high(), vec![except("cve-A-1", 1_000_001)]).is_empty());
        let expired = lacks(&requirements(), high(), vec![except("A-1", 1_000_000)]);
        assert!(expired[0].contains("its exception ended"), "{expired:?}");
        assert!(!lacks(&requirements(), high(), vec![except("A-2", 1_000_001)]).is_empty());
        let mut in_manifest = requirements();
        in_manifest.vulns.as_mut().unwrap().except.push(except("A-1", 1_000_001));
        assert!(lacks(&in_manifest, high(), Vec::new()).is_empty());
    }

    #[test]
    fn a_long_list_is_cut() {
        let many = (0..50).map(|n| vulnerability(&n.to_string(), Some(Level::Critical))).collect();
        let lacks = lacks(&requirements(), Known { vulns: Some(Ok(many)), ..good() }, Vec::new());
        assert_eq!(lacks.len(), NAMED + 1);
        assert!(lacks[NAMED].contains("and 30 more"));
    }
}
