use std::time::Duration;

use super::*;
use crate::vulndb::import;

const NOW: Timestamp = Timestamp::from_millis(i64::MAX / 2);

struct World {
    home: tempfile::TempDir,
}

impl World {
    fn of(records: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("all.json"), records).unwrap();
        import(home.path(), &home.path().join("all.json"), None, NOW).unwrap();
        Self { home }
    }

    fn check(&self, os: Option<(&str, &str)>, packages: &[Package]) -> VulnReport {
        let os = os.map(|(id, version)| Os { id: id.into(), version: version.into(), name: String::new() });
        let contents = Contents { os, packages: packages.to_vec(), ..Contents::default() };
        check(&contents, &Database::at(self.home.path(), Duration::MAX), NOW)
    }
}

fn record(id: &str, ecosystem: &str, name: &str, events: &str, more: &str) -> String {
    format!(
        r#"{{"id":"{id}","affected":[{{"package":{{"ecosystem":"{ecosystem}","name":"{name}"}},
        "ranges":[{{"type":"ECOSYSTEM","events":[{events}]}}]}}]{more}}}"#
    )
}

fn ids(report: &VulnReport) -> Vec<String> {
    report.found.iter().map(|f| format!("{} {}", f.id, f.fixed.as_deref().unwrap_or("-"))).collect()
}

#[test]
fn ranges_are_read_as_the_specification_says() {
    let events = r#"{"introduced":"2.0"},{"fixed":"2.5"},{"introduced":"0"},{"fixed":"1.2"},{"introduced":"3.0"},{"last_affected":"3.4"}"#;
    let world = World::of(&record("A", "PyPI", "x", events, ""));
    let cases = [
        ("0.1", &["A 1.2"][..]),
        ("1.2", &[]),
        ("1.10", &[]),
        ("2.0", &["A 2.5"]),
        ("2.5.dev1", &["A 2.5"]),
        ("2.5", &[]),
        ("3.4", &["A -"]),
        ("3.4.1", &[]),
    ];
    for (version, expected) in cases {
        let report = world.check(None, &[Package::new(Kind::Pypi, "X", version)]);
        assert_eq!(ids(&report), expected, "{version}");
        assert_eq!(report.incomplete(), None);
    }
}

#[test]
fn distributions_are_asked_by_source_package_and_release() {
    let records = [
        record(
            "DEBIAN-CVE-2024-1",
            "Debian:12",
            "openssl",
            r#"{"introduced":"0"},{"fixed":"3.0.11-1~deb12u2"}"#,
            r#","upstream":["CVE-2024-1"]"#,
        ),
        record(
            "DEBIAN-CVE-2024-1",
            "Debian:11",
            "openssl",
            r#"{"introduced":"0"}"#,
            r#","upstream":["CVE-2024-1"]"#,
        ),
        record(
            "DSA-1",
            "Debian:12",
            "openssl",
            r#"{"introduced":"0"},{"fixed":"3.0.11-1~deb12u2"}"#,
            r#","upstream":["CVE-2024-1","CVE-2024-2"]"#,
        ),
        record(
            "DSA-2",
            "Debian:12",
            "openssl",
            r#"{"introduced":"0"},{"fixed":"9"}"#,
            r#","upstream":["CVE-2024-1","CVE-2024-1"]"#,
        ),
    ];
    let world = World::of(&format!("[{}]", records.join(",")));
    let ssl = |version: &str| Package {
        source: Some(("openssl".into(), String::new())),
        ..Package::new(Kind::Deb, "libssl3", version)
    };
    let report = world.check(Some(("debian", "12")), &[ssl("3.0.11-1~deb12u1")]);
    assert_eq!(ids(&report), ["CVE-2024-1 3.0.11-1~deb12u2", "DSA-1 3.0.11-1~deb12u2"]);
    assert_eq!(report.found[0].aliases, ["DEBIAN-CVE-2024-1"]);
    assert!(ids(&world.check(Some(("debian", "13")), &[ssl("1")])).is_empty());
    let nowhere = world.check(None, &[ssl("1")]);
    assert!(nowhere.incomplete().unwrap().contains("does not say which distribution"));
    assert!(world.check(Some(("fedora", "40")), &[ssl("1")]).incomplete().unwrap().contains("fedora"));
}

#[test]
fn one_vulnerability_with_several_advisories_is_named_once() {
    let records = [
        record("PYSEC-1", "PyPI", "x", r#"{"introduced":"0"},{"fixed":"2"}"#, r#","aliases":["CVE-2024-9"]"#),
        record(
            "GHSA-1",
            "PyPI",
            "x",
            r#"{"introduced":"0"},{"fixed":"2"}"#,
            r#","aliases":["CVE-2024-9"],"database_specific":{"severity":"HIGH"}"#,
        ),
        record(
            "GHSA-2",
            "PyPI",
            "x",
            r#"{"introduced":"0"}"#,
            r#","database_specific":{"severity":"CRITICAL"}"#,
        ),
    ];
    let report =
        World::of(&format!("[{}]", records.join(","))).check(None, &[Package::new(Kind::Pypi, "x", "1")]);
    assert_eq!(ids(&report), ["GHSA-2 -", "CVE-2024-9 2"]);
    assert_eq!(report.found[1].severity, Some(Severity::High));
    assert_eq!(report.found[1].aliases, ["GHSA-1", "PYSEC-1"]);
    let sarif = sarif("shop", &report);
    assert_eq!(sarif["runs"][0]["results"].as_array().unwrap().len(), 2);
}

#[test]
fn what_was_not_checked_is_never_clean() {
    let world = World::of(&record("A", "PyPI", "x", r#"{"introduced":"0"}"#, ""));
    let report = world.check(None, &[Package::new(Kind::Npm, "a", "1.0.0")]);
    assert_eq!(report.not_checked[0].why, "there are no advisories for npm");
    assert!(world.check(None, &[]).incomplete().is_some());
    let odd = world.check(None, &[Package::new(Kind::Pypi, "x", "not a version")]);
    assert!(odd.incomplete().unwrap().contains("cannot be compared"));
    let unread = Contents { notes: vec!["/x is too large".into()], ..Contents::default() };
    let report = check(&unread, &Database::at(world.home.path(), Duration::MAX), NOW);
    assert!(report.incomplete().unwrap().contains("/x is too large"));
}

#[test]
fn what_the_distribution_cares_for_is_its_own_business() {
    let world = World::of(&record("A", "PyPI", "x", r#"{"introduced":"0"}"#, ""));
    let package = Package { distribution: true, ..Package::new(Kind::Pypi, "x", "1") };
    assert!(world.check(None, &[package]).found.is_empty());
}
