//! A branch's memory of its tests, coverage and findings.

use windlass_kernel::Ids;
use windlass_testkit::{TestClock, TestEntropy};

use super::*;

struct World {
    ids: Ids,
    project: ProjectName,
}

impl World {
    fn new() -> Self {
        let ids = Ids::new(
            std::sync::Arc::new(TestClock::at(1_795_000_000_000)),
            std::sync::Arc::new(TestEntropy::default()),
        );
        Self { ids, project: "shop".parse().unwrap() }
    }

    fn point(&self, number: u64, sha: &str) -> Point {
        Point {
            run: RunId::new(&self.ids),
            number,
            attempt: 1,
            workflow: "ci".into(),
            sha: sha.into(),
            at: Timestamp::from_millis(number as i64),
        }
    }
}

fn case(name: &str, outcome: Outcome) -> Case {
    Case { name: name.into(), outcome, millis: 1 }
}

fn finding(fingerprint: &str) -> Finding {
    Finding {
        tool: "lint".into(),
        rule: "R".into(),
        level: "warning".into(),
        message: fingerprint.into(),
        path: None,
        line: None,
        fingerprint: fingerprint.into(),
    }
}

#[test]
fn tests_are_remembered_run_by_run_and_forgotten_with_the_window() {
    let world = World::new();
    let mut history = TestHistory::new(&world.project, "refs/heads/main");
    let first = world.point(1, "a");
    history.take(&first, &[case("old", Outcome::Passed), case("t", Outcome::Passed)], 10);
    history.take(&first, &[case("t", Outcome::Failed)], 10);
    history.take(&first, &[case("t", Outcome::Failed)], 10);
    assert_eq!((history.tests["t"].as_str(), history.tests["old"].as_str()), ("f", "p"));
    for n in 2..=RUNS as u64 {
        history.take(&world.point(n, &n.to_string()), &[case("t", Outcome::Passed)], 10);
    }
    assert_eq!(history.tests["old"], format!("p{}", "-".repeat(RUNS - 1)));
    history.take(&world.point(99, "z"), &[case("t", Outcome::Skipped), case("new", Outcome::Flaky)], 10);
    assert_eq!(history.runs.len(), RUNS);
    assert_eq!(history.tests["t"], format!("{}s", "p".repeat(RUNS - 1)));
    assert_eq!(history.tests["new"], format!("{}x", "-".repeat(RUNS - 1)));
    assert!(!history.tests.contains_key("old"));
    history.take(
        &world.point(100, "y"),
        &(0..50).map(|n| case(&n.to_string(), Outcome::Passed)).collect::<Vec<_>>(),
        10,
    );
    assert_eq!(history.tests.len(), 10);
}

#[test]
fn a_test_is_flaky_when_a_commit_says_both_or_it_turns_back_and_forth() {
    let world = World::new();
    let mut history = TestHistory::new(&world.project, "b");
    history.runs = ["a", "a", "b", "c", "d", "e"].iter().map(|sha| world.point(1, sha)).collect();
    for (results, flaky) in [
        ("pfpppp", true),
        ("ffpppp", false),
        ("ppfppp", false),
        ("ppfpfp", true),
        ("--ffpp", false),
        ("----x-", true),
        ("psfsps", false),
    ] {
        assert_eq!(history.is_flaky(results), flaky, "{results}");
    }
}

#[test]
fn coverage_is_compared_with_the_newest_of_another_run() {
    let world = World::new();
    let mut history = CoverageHistory::new(&world.project, "refs/heads/main");
    let files = |covered| BTreeMap::from([("a".to_owned(), (covered, 10)), ("b".to_owned(), (1, 1))]);
    let coverage = |covered: u32| Coverage {
        sum: (u64::from(covered) + 1, 11),
        files: files(covered),
        cut: false,
        base: None,
    };
    let (first, second) = (world.point(1, "a"), world.point(2, "b"));
    assert!(history.base("c", first.run, &files(5)).is_none());
    history.take("c", &first, &coverage(5));
    assert!(history.base("c", first.run, &files(5)).is_none(), "not with itself");
    let base = history.base("c", second.run, &files(7)).unwrap();
    assert_eq!((base.point.number, base.sum), (1, (6, 11)));
    assert_eq!(base.files, BTreeMap::from([("a".to_owned(), (5, 10))]), "only what differs");
    history.take("c", &second, &coverage(7));
    history.take("c", &second, &coverage(7));
    assert_eq!(history.series["c"].points.len(), 2);
}

#[test]
fn a_finding_is_new_since_the_run_that_had_it_first() {
    let world = World::new();
    let mut main = FindingsHistory::new(&world.project, "refs/heads/main");
    let (one, two, three) = (world.point(1, "a"), world.point(2, "b"), world.point(3, "c"));
    let told = main.take("s", &one, vec![finding("x")], None);
    assert!(!told[0].new, "the first report of all has nothing new");
    for _ in 0..2 {
        let told = main.take("s", &two, vec![finding("x"), finding("y")], None);
        let short: Vec<_> =
            told.iter().map(|k| (k.finding.message.as_str(), k.since.number, k.new)).collect();
        assert_eq!(short, [("x", 1, false), ("y", 2, true)]);
    }
    let told = main.take("s", &three, vec![finding("y")], None);
    assert_eq!((told[0].since.number, told[0].new), (2, false));
    let gone: Vec<_> = main.gone.iter().map(|(k, p)| (k.finding.message.as_str(), p.number)).collect();
    assert_eq!(gone, [("x", 3)]);

    let mut branch = FindingsHistory::new(&world.project, "refs/heads/topic");
    for number in [4, 5] {
        let told = branch.take("s", &world.point(number, "d"), vec![finding("y"), finding("z")], Some(&main));
        let short: Vec<_> =
            told.iter().map(|k| (k.finding.message.as_str(), k.since.number, k.new)).collect();
        assert_eq!(short, [("y", 4, false), ("z", 4, true)], "new as long as the default branch has it not");
    }
}
