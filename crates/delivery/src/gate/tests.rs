//! Gates: who and what passes.

use std::collections::BTreeMap;

use windlass_kernel::Digest;

use super::*;

fn digests(text: &str) -> Digests {
    BTreeMap::from([("tasks".parse().unwrap(), Digest::sha256(text.as_bytes()))])
}

fn rules() -> Rules {
    Rules {
        environment: "production".parse().unwrap(),
        branches: vec!["main".parse().unwrap(), "release/*".parse().unwrap()],
        reviewers: vec!["ada".parse().unwrap(), "bob".parse().unwrap()],
        approvals: 1,
        self_approval: false,
        after: Some("staging".parse().unwrap()),
        wait: Duration::ZERO,
        require: Requirements::default(),
    }
}

fn says(by: &str, at: i64, approve: bool, about: &str) -> Approval {
    Approval {
        by: by.parse().unwrap(),
        at: Timestamp::from_millis(at),
        approve,
        comment: String::new(),
        digests: digests(about),
    }
}

fn decide(rules: &Rules, git_ref: &str, pusher: &str, approvals: &[Approval], passed: &[Digests]) -> Gate {
    let pusher = pusher.parse().unwrap();
    let digests = digests("good");
    let request = Request {
        git_ref,
        pusher: &pusher,
        digests: &digests,
        approvals,
        passed,
        since: Timestamp::from_millis(0),
        evidence: (&digests, &Evidence::default()),
    };
    evaluate(rules, &request, Timestamp::from_millis(0))
}

fn word(gate: &Gate) -> &'static str {
    match gate {
        Gate::Open => "open",
        Gate::Waiting { .. } => "waiting",
        Gate::Closed { .. } => "closed",
    }
}

#[test]
fn branches_fail_closed() {
    let ok = [says("ada", 1, true, "good")];
    for (git_ref, expected) in [
        ("refs/heads/main", "open"),
        ("refs/heads/release/1", "open"),
        ("refs/heads/release/1/x", "closed"),
        ("refs/heads/feature", "closed"),
        ("refs/tags/main", "closed"),
        ("main", "closed"),
        ("", "closed"),
    ] {
        assert_eq!(
            word(&decide(&rules(), git_ref, "user:eve", &ok, &[digests("good")])),
            expected,
            "{git_ref}"
        );
    }
}

#[test]
fn only_exactly_what_succeeded_before_passes() {
    let ok = [says("ada", 1, true, "good")];
    let main = "refs/heads/main";
    let mut more = digests("good");
    more.insert("web".parse().unwrap(), Digest::sha256(b"web"));
    assert_eq!(word(&decide(&rules(), main, "user:eve", &ok, &[])), "closed");
    assert_eq!(word(&decide(&rules(), main, "user:eve", &ok, &[digests("other"), more])), "closed");
    let gate = decide(&rules(), main, "user:eve", &ok, &[digests("other")]);
    let Gate::Closed { reason } = gate else { panic!("{gate:?}") };
    assert!(reason.contains("deploy them to staging first"), "{reason}");
    let nothing = Digests::new();
    let pusher = Actor::System;
    let request = Request {
        git_ref: main,
        pusher: &pusher,
        digests: &nothing,
        approvals: &ok,
        passed: &[Digests::new()],
        since: Timestamp::from_millis(0),
        evidence: (&Digests::new(), &Evidence::default()),
    };
    assert_eq!(
        word(&evaluate(&rules(), &request, Timestamp::from_millis(0))),
        "closed",
        "nothing has passed nothing"
    );
}

#[test]
fn approvals_count_once_per_reviewer_and_only_for_these_digests() {
    let two = Rules { approvals: 2, ..rules() };
    let own = Rules { self_approval: true, ..rules() };
    let anyone = Rules { reviewers: vec![Reviewer::Anyone], ..rules() };
    let yes = |who| says(who, 1, true, "good");
    let usual = rules();
    let cases: Vec<(&str, &Rules, &str, Vec<Approval>, &str)> = vec![
        ("nobody yet", &usual, "user:eve", vec![], "waiting"),
        ("a reviewer", &usual, "user:eve", vec![yes("ada")], "open"),
        ("no reviewer", &usual, "user:eve", vec![yes("mallory")], "waiting"),
        ("other digests", &usual, "user:eve", vec![says("ada", 1, true, "evil")], "waiting"),
        ("own approval", &usual, "user:ada", vec![yes("ada")], "waiting"),
        ("own approval allowed", &own, "user:ada", vec![yes("ada")], "open"),
        ("the other reviewer", &usual, "user:ada", vec![yes("ada"), yes("bob")], "open"),
        ("twice the same", &two, "user:eve", vec![yes("ada"), says("ada", 2, true, "good")], "waiting"),
        ("two", &two, "user:eve", vec![yes("ada"), yes("bob")], "open"),
        ("rejected", &two, "user:eve", vec![yes("ada"), says("bob", 2, false, "good")], "closed"),
        (
            "rejected by a stranger",
            &usual,
            "user:eve",
            vec![yes("ada"), says("mallory", 2, false, "good")],
            "open",
        ),
        ("taken back", &usual, "user:eve", vec![says("ada", 2, false, "good"), yes("ada")], "closed"),
        ("agreed after all", &usual, "user:eve", vec![says("ada", 0, false, "good"), yes("ada")], "open"),
        ("anyone", &anyone, "user:eve", vec![yes("zoe")], "open"),
        ("anyone but the pusher", &anyone, "user:eve", vec![yes("eve")], "waiting"),
        ("a run pushed it", &usual, "system", vec![yes("ada")], "open"),
    ];
    for (name, rules, pusher, approvals, expected) in cases {
        let gate = decide(rules, "refs/heads/main", pusher, &approvals, &[digests("good")]);
        assert_eq!(word(&gate), expected, "{name}: {gate:?}");
    }
}

#[test]
fn no_rules_are_an_open_gate_and_contradictory_ones_a_closed_one() {
    let none = Rules { branches: vec![], reviewers: vec![], approvals: 0, after: None, ..rules() };
    assert_eq!(decide(&none, "refs/tags/v1", "system", &[], &[]), Gate::Open);
    let contradictory = Rules { approvals: 1, ..none };
    assert_eq!(word(&decide(&contradictory, "refs/tags/v1", "system", &[], &[])), "closed");
}

#[test]
fn a_waiting_gate_says_for_whom() {
    let Gate::Waiting { reasons, wanted, .. } =
        decide(&rules(), "refs/heads/main", "user:ada", &[], &[digests("good")])
    else {
        panic!("waits")
    };
    assert_eq!(wanted, 1);
    assert_eq!(
        reasons,
        [
            "production waits for 1 approval by ada, bob",
            "ada pushed it, so ada's own approval does not count"
        ]
    );
}

#[test]
fn time_must_pass_besides_all_else() {
    let rules = Rules { wait: Duration::from_mins(30), ..rules() };
    let minutes = |n: i64| Timestamp::from_millis(n * 60_000);
    let at = |rules: &Rules, now: i64, approvals: &[Approval]| {
        let (pusher, digests) = ("user:eve".parse().unwrap(), digests("good"));
        let passed = [digests.clone()];
        let request = Request {
            git_ref: "refs/heads/main",
            pusher: &pusher,
            digests: &digests,
            approvals,
            passed: &passed,
            since: minutes(10),
            evidence: (&digests, &Evidence::default()),
        };
        evaluate(rules, &request, minutes(now))
    };
    let yes = [says("ada", 1, true, "good")];
    for (now, approvals, word, wanted) in [
        (10, &yes[..], "waiting", 0),
        (39, &yes[..], "waiting", 0),
        (40, &yes[..], "open", 0),
        (40, &[], "waiting", 1),
    ] {
        let gate = at(&rules, now, approvals);
        assert_eq!(self::word(&gate), word, "{now} {gate:?}");
        if let Gate::Waiting { wanted: found, until, .. } = gate {
            assert_eq!((found, until.is_some()), (wanted, now < 40));
        }
    }
    let alone = Rules { reviewers: vec![], approvals: 0, ..rules.clone() };
    let Gate::Waiting { reasons, until, .. } = at(&alone, 12, &[]) else { panic!("it must wait") };
    assert_eq!(until, Some(minutes(40)));
    assert!(reasons[0].contains("before"), "{reasons:?}");
    assert_eq!(at(&alone, 41, &[]), Gate::Open);
    // A rejection does not wait for the time.
    let no = [says("ada", 1, false, "good")];
    assert_eq!(self::word(&at(&rules, 11, &no)), "closed");
}

#[test]
fn what_lacks_evidence_is_refused_with_all_that_is_missing() {
    use crate::requirements::{Known, TestResult};
    let rules = Rules {
        require: Requirements { tests: true, sbom: true, ..Requirements::default() },
        reviewers: Vec::new(),
        approvals: 0,
        after: None,
        ..rules()
    };
    let pusher = "user:ada".parse().unwrap();
    let (none, digests) = (Digests::new(), digests("good"));
    let decide = |digests: &Digests, evidence: &Evidence| {
        let request = Request {
            git_ref: "refs/heads/main",
            pusher: &pusher,
            digests: &none,
            approvals: &[],
            passed: &[],
            since: Timestamp::from_millis(0),
            evidence: (digests, evidence),
        };
        evaluate(&rules, &request, Timestamp::from_millis(0))
    };
    let Gate::Closed { reason } = decide(&digests, &Evidence::default()) else { panic!("it is open") };
    let lines: Vec<&str> = reason.lines().collect();
    assert_eq!(lines.len(), 3, "{reason}");
    assert!(lines[1].starts_with("- tests (tasks): no test results"), "{reason}");
    assert!(lines[2].starts_with("- sbom (tasks): "), "{reason}");
    // Before there is an image there is nothing to ask of it.
    assert_eq!(decide(&none, &Evidence::default()), Gate::Open);
    let known = Known { tests: Some(TestResult { passed: 1, failed: 0 }), sbom: true, ..Known::default() };
    let images = digests.values().map(|digest| (digest.clone(), known.clone())).collect();
    assert_eq!(decide(&digests, &Evidence { images, ..Evidence::default() }), Gate::Open);
}
