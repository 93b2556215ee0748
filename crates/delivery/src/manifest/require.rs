//! `require`: what evidence an environment asks for. Each entry is a word, or a word with particulars.

use std::time::Duration;

use windlass_kernel::Timestamp;

use super::keys::{self, nearest};
use super::reader::Reader;
use super::tree::{Node, Value, clip};
use super::{BranchPattern, environments::patterns};
use crate::requirements::{Exception, Level, LoadRule, ProvenanceRule, Requirements, VulnRule};

/// The longest id and reason of an exception, in bytes.
const LONGEST_ID: usize = 100;
const LONGEST_REASON: usize = 1000;
const DAY: i64 = 86_400_000;
/// The longest time within which a request may be answered.
const LONGEST_ANSWER: Duration = Duration::from_hours(1);

/// Reads the list.
pub(super) fn requirements(node: &Node, r: &mut Reader) -> Requirements {
    let mut all = Requirements::default();
    let items = match &node.value {
        // One word stands for a list of it.
        Value::Scalar { .. } => std::slice::from_ref(node),
        _ => r.items(node, "`require`").unwrap_or_default(),
    };
    if items.is_empty() && matches!(node.value, Value::List(_)) {
        r.error(node.at, "`require` is empty: name some, or leave the key out");
    }
    let mut seen: Vec<&str> = Vec::new();
    for item in items {
        let (word, at, particulars) = match &item.value {
            Value::Scalar { text, .. } => (text.as_str(), item.at, None),
            Value::Map(pairs) if pairs.len() == 1 => {
                (pairs[0].0.text.as_str(), pairs[0].0.at, Some(&pairs[0].1))
            }
            _ => {
                r.error(item.at, "an entry of `require` is a word, or one key with its particulars (`vulns: { max: high }`)");
                continue;
            }
        };
        if seen.contains(&word) {
            r.error(at, format!("`{}` is required twice", clip(word)));
            continue;
        }
        seen.push(word);
        let particulars = particulars.filter(|n| !n.is_null());
        match (word, particulars) {
            ("tests", None) => all.tests = true,
            ("sbom", None) => all.sbom = true,
            ("secrets", None) => all.secrets = true,
            ("tests" | "sbom" | "secrets", Some(n)) => {
                r.error(n.at, format!("`{word}` has no particulars: write `- {word}`"));
            }
            ("provenance", particulars) => {
                all.provenance = Some(particulars.map(|n| provenance(n, r)).unwrap_or_default());
            }
            ("load", particulars) => {
                all.load = Some(particulars.map(|n| load(n, r)).unwrap_or_default());
            }
            ("vulns", Some(n)) => all.vulns = vulns(n, r),
            ("vulns", None) => {
                r.error(at, "`vulns` needs the worst that is let through: `vulns: { max: high }`");
            }
            _ => unknown(word, at, r),
        }
    }
    all
}

fn unknown(word: &str, at: super::tree::Place, r: &mut Reader) {
    let known = keys::REQUIRE.iter().map(|k| k.name).chain(keys::REQUIRED_WORDS.iter().copied());
    let hint = match nearest(word, known.clone()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => format!("; known here: {}", known.collect::<Vec<_>>().join(", ")),
    };
    r.error(at, format!("`{}` cannot be required{hint}", clip(word)));
}

fn provenance(node: &Node, r: &mut Reader) -> ProvenanceRule {
    let Some(f) = r.fields(node, "`provenance`", keys::PROVENANCE) else { return ProvenanceRule::default() };
    if let Some(builder) = f.get("builder")
        && r.text(builder, "`builder`").is_some_and(|text| text != "this")
    {
        r.error(builder.at, "`builder` can only be `this`: statements of others are not verified here");
    }
    let branches: Vec<BranchPattern> =
        f.get("branch").map(|n| patterns(n, "`branch`", r)).unwrap_or_default();
    ProvenanceRule { branches }
}

fn load(node: &Node, r: &mut Reader) -> LoadRule {
    let Some(f) = r.fields(node, "`load`", keys::LOAD) else { return LoadRule::default() };
    let errors = f.get("errors").and_then(|n| r.integer(n, "`errors`", 0, 100));
    let mut within = |key: &str| {
        let least = Duration::from_millis(1);
        let found = f.get(key).and_then(|n| r.duration(n, &format!("`{key}`"), least, LONGEST_ANSWER))?;
        u64::try_from(found.as_millis()).ok()
    };
    LoadRule { errors, p95: within("p95"), p99: within("p99") }
}

fn vulns(node: &Node, r: &mut Reader) -> Option<VulnRule> {
    let f = r.fields(node, "`vulns`", keys::VULNS)?;
    let Some(max) = f.get("max") else {
        r.error(f.at, "`vulns` needs the worst that is let through: `vulns: { max: high }`");
        return None;
    };
    let word = r.text(max, "`max`")?;
    let Some(level) = Level::parse(word) else {
        let near = nearest(word, Level::WORDS.into_iter());
        let hint = near
            .map_or(format!("; one of {}", Level::WORDS.join(", ")), |n| format!("; did you mean `{n}`?"));
        r.error(max.at, format!("`{}` is no severity{hint}", clip(word)));
        return None;
    };
    let items = f.get("except").and_then(|n| r.items(n, "`except`")).unwrap_or_default();
    let except = items.iter().filter_map(|item| exception(item, r)).collect();
    Some(VulnRule { max: level, except })
}

fn exception(node: &Node, r: &mut Reader) -> Option<Exception> {
    let f = r.fields(node, "an exception", keys::EXCEPTION)?;
    let mut text = |key: &str, longest: usize, why: &str| {
        let Some(n) = f.get(key) else {
            r.error(f.at, format!("an exception needs `{key}`: {why}"));
            return None;
        };
        let text = r.text(n, &format!("`{key}`"))?;
        if text.trim().is_empty() || text.len() > longest {
            r.error(n.at, format!("`{key}` must have 1 to {longest} characters"));
            return None;
        }
        Some((text.trim().to_owned(), n.at))
    };
    let id = text("id", LONGEST_ID, "the vulnerability, such as CVE-2024-1234");
    let reason = text("reason", LONGEST_REASON, "why it does no harm here");
    let expires = text("expires", 10, "a date such as 2027-01-31, after which it counts again");
    let (date, at) = expires?;
    let Some(expires) = after(&date) else {
        r.error(
            at,
            format!("`expires` must be a date such as 2027-01-31, but `{}` stands here", clip(&date)),
        );
        return None;
    };
    Some(Exception { id: id?.0, reason: reason?.0, expires })
}

/// The end of a day (UTC): the last moment at which an exception that expires on it does not hold any more.
pub(crate) fn after(date: &str) -> Option<Timestamp> {
    let mut parts = date.split('-');
    let mut part = |length: usize| -> Option<i64> {
        let text = parts.next()?;
        (text.len() == length && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
    };
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    if parts.next().is_some() {
        return None;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = lengths.get(usize::try_from(month - 1).ok()?)?;
    if year < 1970 || day < 1 || day > *length {
        return None;
    }
    let leaps_before = |year: i64| (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
    let whole_years = (year - 1970) * 365 + leaps_before(year) - leaps_before(1970);
    let months: i64 = lengths.iter().take(usize::try_from(month - 1).ok()?).sum();
    Some(Timestamp::from_millis((whole_years + months + day) * DAY))
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn read(require: &str) -> Result<Requirements, String> {
        let text =
            format!("services: {{ web: {{ port: 80 }} }}\nenvironments: {{ p: {{ require: {require} }} }}");
        let parsed = parse(&text);
        match parsed.manifest {
            Some(manifest) => Ok(manifest.environments[0].require.clone()),
            None => {
                let lines =
                    parsed.diagnostics.iter().map(|d| format!("{}:{} {}", d.line, d.column, d.message));
                Err(lines.collect::<Vec<_>>().join(
                    "
",
                ))
            }
        }
    }

    #[test]
    fn words_and_words_with_particulars_are_read() {
        let all = read(
            "[tests, sbom, secrets, provenance: { builder: this, branch: [main, release/*] }, vulns: { max: high, except: \
             [{ id: CVE-2024-1, reason: not reachable, expires: 2024-02-29 }] }]",
        )
        .unwrap();
        assert!(all.tests && all.sbom && all.secrets);
        assert_eq!(all.provenance.unwrap().branches.len(), 2);
        let vulns = all.vulns.unwrap();
        assert_eq!(vulns.max, Level::High);
        // The first moment of March 2024.
        assert_eq!(vulns.except[0].expires, Timestamp::from_millis(1_709_251_200_000));
        assert_eq!(read("sbom").unwrap(), Requirements { sbom: true, ..Requirements::default() });
        assert!(read("[provenance]").unwrap().provenance.is_some());
        assert_eq!(read("load").unwrap().load, Some(LoadRule::default()));
        let load = read("[load: { errors: 1, p95: 300ms, p99: 2s }]").unwrap().load.unwrap();
        assert_eq!(load, LoadRule { errors: Some(1), p95: Some(300), p99: Some(2000) });
    }

    #[test]
    fn each_mistake_is_named_where_it_stands() {
        let cases = [
            ("[test]", "2:32 `test` cannot be required; did you mean `tests`?"),
            ("[magic]", "known here: "),
            ("[]", "`require` is empty"),
            ("[sbom, sbom]", "required twice"),
            ("[load: { errors: 101 }]", "from 0 to 100"),
            ("[load: { p95: 300 }]", "`p95`"),
            ("[load: { p90: 300ms }]", "`p90` is not a key of `load`"),
            ("[vulns]", "the worst that is let through"),
            ("[vulns: {}]", "the worst that is let through"),
            ("[vulns: { max: hihg }]", "did you mean `high`?"),
            ("[vulns: { maximum: high }]", "`maximum` is not a key of `vulns`"),
            ("[vulns: { max: high, except: [{ id: A }] }]", "needs `reason`"),
            ("[vulns: { max: high, except: [{ id: A, reason: x }] }]", "needs `expires`"),
            ("[vulns: { max: high, except: [{ id: A, reason: x, expires: soon }] }]", "must be a date"),
            ("[vulns: { max: high, except: [{ id: A, reason: x, expires: 2023-02-29 }] }]", "must be a date"),
            ("[provenance: { builder: github }]", "can only be `this`"),
            ("[provenance: { branch: 'x?' }]", "not understood in a branch pattern"),
            ("[sbom: { a: b }]", "has no particulars"),
            ("[{ sbom: , tests: }]", "one key with its particulars"),
            ("{ sbom: true }", "must be a list"),
        ];
        for (text, expected) in cases {
            let said = read(text).expect_err(text);
            assert!(said.contains(expected), "{text}: {said}");
        }
    }

    #[test]
    fn dates_end_with_their_day() {
        let cases = [
            ("1970-01-01", Some(DAY)),
            ("2000-02-29", Some(951_868_800_000)),
            ("2026-12-31", Some(1_798_761_600_000)),
            ("2100-02-29", None),
            ("2026-13-01", None),
            ("2026-00-01", None),
            ("2026-1-01", None),
            ("2026-01-01-01", None),
        ];
        for (date, expected) in cases {
            assert_eq!(after(date).map(Timestamp::as_millis), expected, "{date}");
        }
    }
}
