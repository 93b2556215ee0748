//! Versions come in the order in which the programs have them.

use std::cmp::Ordering;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use windlass_evidence::{Kind, compare};
use windlass_testkit::{ask_node, node_package, skip};

use crate::python;

fn number(order: Option<Ordering>) -> i64 {
    order.expect("a version that can be read") as i64
}

fn pairs<'a>(versions: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    versions.iter().flat_map(|a| versions.iter().map(move |b| (*a, *b))).collect()
}

/// Pairs of versions put together of these pieces, the same ones at every run; the second often is the first but for a
/// piece.
fn drawn(pieces: &[&str], count: usize) -> Vec<(String, String)> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |most: usize| {
        // Xorshift (Marsaglia).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % most as u64) as usize
    };
    let mut pairs = Vec::new();
    for _ in 0..count {
        let one: Vec<&str> = (0..2 + below(6)).map(|_| pieces[below(pieces.len())]).collect();
        let mut other = one.clone();
        for _ in 0..=below(2) {
            let at = below(other.len());
            match below(3) {
                0 => other[at] = pieces[below(pieces.len())],
                1 => other.insert(at, pieces[below(pieces.len())]),
                _ => other.truncate(at.max(1)),
            }
        }
        pairs.push((format!("1{}", one.concat()), format!("1{}", other.concat())));
    }
    pairs
}

#[test]
fn drawn_versions_of_debian_and_rpm_come_as_their_programs_have_them() {
    const NAME: &str = "drawn_versions_of_debian_and_rpm_come_as_their_programs_have_them";
    let pieces = [".", "0", "1", "9", "10", "a", "rc", "~", "+", "-1", "-2", ".el9", "deb12u", "00"];
    if Command::new("dpkg").arg("--version").output().is_err() {
        return skip(NAME, "there is no dpkg on this machine");
    }
    for (a, b) in drawn(&pieces, 400) {
        let order = compare(Kind::Deb, &a, &b).expect("always");
        let word = ["lt", "eq", "gt"][(order as i8 + 1) as usize];
        let said = Command::new("dpkg").args(["--compare-versions", &a, word, &b]).status();
        assert!(said.expect("dpkg").success(), "{a} {word} {b}");
    }
    let pieces = [".", "0", "1", "9", "10", "a", "rc", "~", "^", "-1", "-2", ".el9", "_", "00", "+"];
    // More than one `-` does not occur: it parts version and release.
    let single = |text: &String| text.matches('-').count() < 2;
    let pairs: Vec<_> = drawn(&pieces, 3000).into_iter().filter(|(a, b)| single(a) && single(b)).collect();
    let Some(answers) = rpm_says(pairs.iter().map(|(a, b)| (a.as_str(), b.as_str()))) else {
        return skip(NAME, "there is no rpm on this machine");
    };
    for ((a, b), theirs) in pairs.iter().zip(answers) {
        assert_eq!(number(compare(Kind::Rpm, a, b)), theirs, "{a} {b}");
    }
}

/// What rpm says of pairs of versions; none if there is no rpm.
fn rpm_says<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Vec<i64>> {
    let script: Vec<String> = pairs.map(|(a, b)| format!("print(rpm.vercmp('{a}','{b}'))")).collect();
    let mut answers = Vec::new();
    for part in script.chunks(500) {
        let expression = format!("%{{lua: {}}}", part.join("; "));
        let output = Command::new("rpm").args(["--eval", &expression]).output().ok()?;
        let text = String::from_utf8(output.stdout).expect("text");
        let before = answers.len();
        // It prints the answers without anything between them.
        let mut chars = text.chars().filter(|c| !c.is_whitespace());
        while let Some(c) = chars.next() {
            answers.push(match c {
                '-' => -i64::from(chars.next() == Some('1')),
                digit => i64::from(digit == '1'),
            });
        }
        assert_eq!(answers.len() - before, part.len(), "{text}");
    }
    Some(answers)
}

#[test]
fn drawn_versions_of_python_come_as_packaging_has_them() {
    let python = match python::with("packaging", &["packaging==24.2"]) {
        Ok(python) => python,
        Err(why) => return skip("drawn_versions_of_python_come_as_packaging_has_them", &why),
    };
    let pieces =
        [".0", ".1", ".10", "a1", "b2", "rc1", ".dev1", ".post1", "-1", "+l.1", "+l.a", ".2", "_", "rc"];
    let pairs = drawn(&pieces, 4000);
    let script = "import sys, json\nfrom packaging.version import Version as V, InvalidVersion\n\
        def c(a, b):\n    try: a, b = V(a), V(b)\n    except InvalidVersion: return None\n    return (a > b) - (a < b)\n\
        print(json.dumps([c(a, b) for a, b in json.load(sys.stdin)]))";
    let answers: Vec<Option<i64>> =
        serde_json::from_str(&python::ask(&python, script, &json!(pairs).to_string())).expect("JSON");
    assert!(answers.iter().flatten().count() > 500, "too few of them are versions");
    for ((a, b), theirs) in pairs.iter().zip(answers) {
        // What is no version has no order there; here it may have one.
        if let Some(theirs) = theirs {
            assert_eq!(compare(Kind::Pypi, a, b).map(|order| order as i64), Some(theirs), "{a} {b}");
        }
    }
}

#[test]
fn debian_versions_as_dpkg_has_them() {
    const VERSIONS: &[&str] = &[
        "1.0",
        "1.0-1",
        "1.0-1+b1",
        "1.0~rc1-1",
        "1.0~~",
        "1.0~",
        "1.0a",
        "1.0+dfsg-2",
        "1:0.1",
        "0:1.0",
        "1.10",
        "1.9",
        "1.0-1~bpo12+1",
        "1.0-1ubuntu1",
        "3.0.11-1~deb12u2",
        "3.0.11-1~deb12u10",
        "2.36-9+deb12u4",
        "1.0.",
        "1.00",
        "20230311",
        "0",
        "1.0-0",
        "1.2-3-4",
    ];
    if Command::new("dpkg").arg("--version").output().is_err() {
        return skip("debian_versions_as_dpkg_has_them", "there is no dpkg on this machine");
    }
    for (a, b) in pairs(VERSIONS) {
        let says = |how: &str| {
            Command::new("dpkg").args(["--compare-versions", a, how, b]).status().expect("dpkg").success()
        };
        let order = compare(Kind::Deb, a, b).expect("always");
        let word = ["lt", "eq", "gt"][(order as i8 + 1) as usize];
        assert!(says(word), "{a} {word} {b}");
    }
}

#[test]
fn rpm_versions_as_rpm_has_them() {
    const VERSIONS: &[&str] = &[
        "1.0-1",
        "1.0-2",
        "1.0",
        "1.0~rc1-1",
        "1.0^git1-1",
        "1.0^git2-1",
        "1.0^-1",
        "1.0~~-1",
        "1.0.1-1",
        "1.0a-1",
        "1.0.a-1",
        "1:0.5-1",
        "0:1.0-1",
        "2:0.5-1",
        "1.10-1",
        "1.9-1",
        "1_0-1",
        "1.0-1.el9",
        "1.0-1.el9_2",
        "1.0-1.el10",
        "10xyz-1",
        "xyz10-1",
        "xyz-1",
        "1.0~rc1^git1-1",
        "1.05-1",
        "1.5-1",
        "1.0^git1~pre-1",
        "5.2.15-3.fc38",
        "a+-1",
        "-1",
        "1.0.^x-1",
        "1.0~^-1",
    ];
    let pairs = pairs(VERSIONS);
    let Some(answers) = rpm_says(pairs.iter().copied()) else {
        return skip("rpm_versions_as_rpm_has_them", "there is no rpm on this machine");
    };
    for ((a, b), theirs) in pairs.into_iter().zip(answers) {
        assert_eq!(number(compare(Kind::Rpm, a, b)), theirs, "{a} {b}");
    }
}

#[test]
fn python_versions_as_packaging_has_them() {
    const VERSIONS: &[&str] = &[
        "1.0",
        "1.0.0",
        "1",
        "1.0a1",
        "1.0.alpha2",
        "1.0b2",
        "1.0rc1",
        "1.0c2",
        "1.0.post1",
        "1.0-1",
        "1.0.dev3",
        "1.0a1.dev1",
        "1.0.post1.dev2",
        "1.0+local.1",
        "1.0+local.a",
        "1.0+local.10",
        "1!0.5",
        "2.0",
        "1.10",
        "1.9",
        "v1.0",
        "1.0-preview3",
        "2024.1",
        "1.0.0.0.1",
        "1.0rev4",
        "0.0.1",
    ];
    let python = match python::with("packaging", &["packaging==24.2"]) {
        Ok(python) => python,
        Err(why) => return skip("python_versions_as_packaging_has_them", &why),
    };
    let pairs = pairs(VERSIONS);
    let script = "import sys, json\nfrom packaging.version import Version as V\n\
        print(json.dumps([(V(a) > V(b)) - (V(a) < V(b)) for a, b in json.load(sys.stdin)]))";
    let answers: Vec<i64> =
        serde_json::from_str(&python::ask(&python, script, &json!(pairs).to_string())).expect("JSON");
    for ((a, b), theirs) in pairs.into_iter().zip(answers) {
        assert_eq!(number(compare(Kind::Pypi, a, b)), theirs, "{a} {b}");
    }
}

#[test]
fn node_versions_as_semver_has_them() {
    const VERSIONS: &[&str] = &[
        "1.0.0",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0+build.5",
        "1.0.1",
        "1.10.0",
        "1.9.9",
        "0.0.0-20200101000000-abcdef012345",
        "10.0.0-0",
        "10.0.0-a-b",
        "1.0.0-1",
        "1.0.0-A",
        "1.0.0-a",
    ];
    let folder = match node_package(Path::new(env!("CARGO_TARGET_TMPDIR")), "semver@7.6.3") {
        Ok(folder) => folder,
        Err(why) => return skip("node_versions_as_semver_has_them", &why),
    };
    let script = "const s=require('semver');require('readline').createInterface({input:process.stdin})\
        .on('line',l=>{const [a,b]=JSON.parse(l);console.log(JSON.stringify(s.compare(a,b)))})";
    let pairs = pairs(VERSIONS);
    let questions: Vec<Value> = pairs.iter().map(|pair| json!(pair)).collect();
    let answers = match ask_node(&folder, &["-e", script], &questions) {
        Ok(answers) => answers,
        Err(why) => return skip("node_versions_as_semver_has_them", &why),
    };
    assert_eq!(answers.len(), pairs.len());
    for ((a, b), theirs) in pairs.into_iter().zip(answers) {
        assert_eq!(Some(number(compare(Kind::Npm, a, b))), theirs.as_i64(), "{a} {b}");
    }
}
