//! Results of load tests: the summaries in JSON of k6 (`--summary-export`, or what `handleSummary` gets), vegeta
//! (`report -type=json`) and oha (`--output-format json`). Each comes down to the same few figures.

use std::io::Read;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::junit::cut;

/// The largest summary, in bytes: what is larger is a list of single requests.
pub(super) const LARGEST: u64 = 4 << 20;
/// How many thresholds that were not kept are named.
const MOST_BROKEN: usize = 50;
const LONGEST: usize = 200;

/// How a load test went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Load {
    /// The program that said so.
    pub(super) tool: String,
    pub(super) requests: u64,
    pub(super) failed: u64,
    /// Requests in a second.
    pub(super) rate: f64,
    /// Milliseconds within which half, and 95 and 99 of a hundred were answered, where it says so.
    pub(super) p50: Option<f64>,
    pub(super) p95: Option<f64>,
    pub(super) p99: Option<f64>,
    /// What the test itself demanded and did not get.
    pub(super) broken: Vec<String>,
}

/// Reads a summary.
pub(super) fn read(from: impl Read) -> Result<Load, String> {
    let json: Value = serde_json::from_reader(from).map_err(|e| format!("it is not JSON: {e}"))?;
    let load = if json["metrics"]["http_reqs"].is_object() {
        k6(&json)
    } else if json["latencies"].is_object() && json["requests"].is_u64() {
        vegeta(&json)
    } else if json["summary"]["requestsPerSec"].is_number() {
        oha(&json)
    } else {
        return Err("it is no summary of k6, vegeta or oha".to_owned());
    };
    load.ok_or_else(|| "figures are missing in it".to_owned())
}

/// Whether a text begins such a summary: cheap, before all of it is read.
pub(super) fn looks_like(text: &str) -> bool {
    ["\"metrics\"", "\"latencies\"", "\"requestsPerSec\"", "\"root_group\"", "\"summary\""]
        .iter()
        .any(|word| text.contains(word))
}

/// A number that is one: what is not finite or below zero says nothing.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().filter(|n| n.is_finite() && *n >= 0.0)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`number` gives none below zero")]
fn count(value: &Value) -> Option<u64> {
    number(value).map(|n| n.round() as u64)
}

fn k6(json: &Value) -> Option<Load> {
    // The figures of a metric stand in it, or in `values`.
    let of = |metric: &str| {
        let metric = &json["metrics"][metric];
        if metric["values"].is_object() { metric["values"].clone() } else { metric.clone() }
    };
    let (requests, failing, lasting) = (of("http_reqs"), of("http_req_failed"), of("http_req_duration"));
    let total = count(&requests["count"])?;
    // Of this rate, what "passes" is what failed.
    let failed = match (count(&failing["passes"]), number(&failing["rate"]).or(number(&failing["value"]))) {
        (Some(failed), _) => failed,
        (None, Some(rate)) => count(&Value::from(rate * total as f64))?,
        (None, None) => return None,
    };
    let mut broken = Vec::new();
    for (name, metric) in json["metrics"].as_object()? {
        for (threshold, kept) in metric["thresholds"].as_object().into_iter().flatten() {
            // `{"ok": true}` in the one form; in the other, true says that it was crossed.
            if kept["ok"] == false || *kept == Value::Bool(true) {
                broken.push(cut(&format!("{name}: {threshold}"), LONGEST));
            }
        }
    }
    let checks = count(&of("checks")["fails"]).unwrap_or_default();
    if checks > 0 {
        broken.push(format!("{checks} checks failed"));
    }
    broken.truncate(MOST_BROKEN);
    Some(Load {
        tool: "k6".to_owned(),
        requests: total,
        failed: failed.min(total),
        rate: number(&requests["rate"])?,
        p50: number(&lasting["med"]),
        p95: number(&lasting["p(95)"]),
        p99: number(&lasting["p(99)"]),
        broken,
    })
}

fn vegeta(json: &Value) -> Option<Load> {
    let requests = json["requests"].as_u64()?;
    let success = number(&json["success"]).filter(|share| *share <= 1.0)?;
    // Nanoseconds.
    let millis = |key: &str| number(&json["latencies"][key]).map(|n| n / 1e6);
    Some(Load {
        tool: "vegeta".to_owned(),
        requests,
        failed: count(&Value::from((1.0 - success) * requests as f64))?,
        rate: number(&json["throughput"]).or_else(|| number(&json["rate"]))?,
        p50: millis("50th"),
        p95: millis("95th"),
        p99: millis("99th"),
        broken: Vec::new(),
    })
}

fn oha(json: &Value) -> Option<Load> {
    let sum = |name: &str, counts: fn(&str) -> bool| -> u64 {
        let entries = json[name].as_object().into_iter().flatten();
        entries.filter(|(key, _)| counts(key)).filter_map(|(_, n)| n.as_u64()).sum()
    };
    let answered = sum("statusCodeDistribution", |_| true);
    // What the test itself cut off at its end did not fail.
    let cut_off = |error: &str| error != "aborted due to deadline";
    let lost = sum("errorDistribution", cut_off);
    let refused = sum("statusCodeDistribution", |code| !code.starts_with(['2', '3']));
    let requests = answered.checked_add(lost).filter(|all| *all > 0)?;
    // Seconds.
    let millis = |key: &str| number(&json["latencyPercentiles"][key]).map(|n| n * 1e3);
    Some(Load {
        tool: "oha".to_owned(),
        requests,
        failed: refused + lost,
        rate: number(&json["summary"]["requestsPerSec"])?,
        p50: millis("p50"),
        p95: millis("p95"),
        p99: millis("p99"),
        broken: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Load, String> {
        assert!(looks_like(text));
        read(text.as_bytes())
    }

    #[test]
    fn both_forms_of_k6_say_the_same() {
        let exported = r#"{"root_group":{"name":""},"metrics":{
            "http_reqs":{"count":1000,"rate":99.5},
            "http_req_failed":{"passes":20,"fails":980,"value":0.02,"thresholds":{"rate<0.01":true}},
            "http_req_duration":{"avg":12,"min":1,"med":10.5,"max":99,"p(90)":20,"p(95)":30.25,"thresholds":{"p(95)<50":false}},
            "checks":{"passes":10,"fails":0,"value":1}}}"#;
        let handled = r#"{"root_group":{},"metrics":{
            "http_reqs":{"type":"counter","values":{"count":1000,"rate":99.5}},
            "http_req_failed":{"type":"rate","values":{"rate":0.02,"passes":20,"fails":980},"thresholds":{"rate<0.01":{"ok":false}}},
            "http_req_duration":{"type":"trend","values":{"med":10.5,"p(95)":30.25},"thresholds":{"p(95)<50":{"ok":true}}}}}"#;
        let expected = Load {
            tool: "k6".into(),
            requests: 1000,
            failed: 20,
            rate: 99.5,
            p50: Some(10.5),
            p95: Some(30.25),
            p99: None,
            broken: vec!["http_req_failed: rate<0.01".into()],
        };
        assert_eq!(of(exported), Ok(expected.clone()));
        assert_eq!(of(handled), Ok(expected));
    }

    #[test]
    fn vegeta_counts_nanoseconds_and_oha_seconds() {
        let vegeta = r#"{"latencies":{"total":1,"mean":2,"50th":1500000,"90th":2000000,"95th":2500000,"99th":4000000,"max":9},
            "requests":200,"rate":50.1,"throughput":49.5,"success":0.99,"status_codes":{"200":198,"500":2},"errors":["500"]}"#;
        let read = of(vegeta).unwrap();
        assert_eq!((read.requests, read.failed, read.p95, read.rate), (200, 2, Some(2.5), 49.5));
        let oha = r#"{"summary":{"successRate":1.0,"total":10.0,"requestsPerSec":20.5},
            "latencyPercentiles":{"p50":0.002,"p95":0.004,"p99":null},
            "statusCodeDistribution":{"200":190,"503":10},"errorDistribution":{"aborted due to deadline":5,"refused":5}}"#;
        let read = of(oha).unwrap();
        assert_eq!((read.requests, read.failed, read.p50, read.p99), (205, 15, Some(2.0), None));
    }

    #[test]
    fn what_says_too_little_is_refused() {
        for text in [
            "{\"metrics\":",
            "{\"metrics\":{}}",
            "{\"metrics\":{\"http_reqs\":{\"rate\":1}}}",
            "{\"latencies\":{},\"requests\":5,\"success\":7}",
            "{\"summary\":{\"requestsPerSec\":1}}",
        ] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
