//! Each rule, with a file that it finds something in and one that it does not.

use super::*;
use crate::parse::parse;
use crate::plan::Platform;

fn check(text: &str, ignore: Option<&str>) -> Vec<String> {
    let options = Options {
        build_args: std::collections::BTreeMap::new(),
        target: None,
        platform: Platform::linux("amd64"),
        build_platform: Platform::linux("amd64"),
        contexts: BTreeSet::new(),
    };
    let ignore = ignore.map(|text| Ignore::parse(text).unwrap());
    let found = lint(&parse(text), &options, ignore.as_ref());
    found
        .iter()
        .map(|finding| {
            let place = finding.span.start;
            format!("{} {}:{} {}", finding.rule, place.line, place.column, finding.severity)
        })
        .collect()
}

const EXPERIMENTAL: &str = "# check=experimental=all\n";

#[test]
fn each_rule_finds_what_it_is_for() {
    for (text, wanted) in [
        ("FROM scratch AS Build", vec!["StageNameCasing 1:17 warning"]),
        ("FROM scratch as b", vec!["FromAsCasing 1:14 warning"]),
        ("from scratch AS b", vec!["FromAsCasing 1:14 warning"]),
        ("from scratch as b", vec![]),
        ("FROM scratch\nRUN a \\\n\n  b", vec!["NoEmptyContinuation 4:1 warning"]),
        ("FROM scratch\nRUN a \\\n#\n  b", vec![]),
        ("FROM scratch\nrun a\nRUN b", vec!["ConsistentInstructionCasing 2:1 warning"]),
        ("from scratch\nrun a\nRUN b", vec!["ConsistentInstructionCasing 3:1 warning"]),
        ("FROM scratch\nRun a", vec!["ConsistentInstructionCasing 2:1 warning"]),
        (
            "FROM scratch AS a\nFROM scratch AS A",
            vec!["StageNameCasing 2:17 warning", "DuplicateStageName 2:17 warning"],
        ),
        ("FROM scratch AS context", vec!["ReservedStageName 1:17 warning"]),
        ("FROM scratch\nCMD a", vec!["JSONArgsRecommended 2:1 warning"]),
        ("FROM scratch\nENTRYPOINT a", vec!["JSONArgsRecommended 2:1 warning"]),
        ("FROM scratch\nCMD [\"a\"]", vec![]),
        ("FROM scratch\nSHELL [\"sh\"]\nCMD a", vec![]),
        ("FROM scratch AS a\nSHELL [\"sh\"]\nFROM a\nCMD b", vec![]),
        ("FROM scratch\nMAINTAINER me", vec!["MaintainerDeprecated 2:1 warning"]),
        ("ARG tag=1\nFROM a:${tga:-2}", vec!["UndefinedArgInFrom 2:6 warning"]),
        ("ARG tag\nFROM a:${tag:-2}", vec![]),
        ("FROM --platform=$BUILDPLATFORM a", vec![]),
        ("FROM scratch\nWORKDIR a", vec!["WorkdirRelativePath 2:9 warning"]),
        ("FROM scratch\nWORKDIR /a\nWORKDIR b", vec![]),
        ("FROM scratch AS a\nWORKDIR /a\nFROM a\nWORKDIR b", vec![]),
        ("FROM scratch\nENV a=$b", vec!["UndefinedVar 2:7 warning"]),
        ("FROM scratch\nARG b\nENV a=$b", vec![]),
        ("FROM scratch\nENV b=1\nENV a=$b c=$PATH", vec![]),
        ("FROM image\nENV a=$JAVA_HOME", vec![]),
        ("FROM image\nENV version=1\nENV a=$verison", vec!["UndefinedVar 3:7 warning"]),
        ("FROM scratch\nENV a=${b:-c}", vec!["UndefinedVar 2:7 warning"]),
        ("FROM scratch\nRUN echo $b", vec![]),
        ("FROM scratch\nCOPY <<E /x\n$b\nE\n", vec!["UndefinedVar 3:1 warning"]),
        ("FROM scratch\nCMD [\"a\"]\nCMD [\"b\"]", vec!["MultipleInstructionsDisallowed 2:1 warning"]),
        ("FROM scratch AS a\nCMD [\"a\"]\nFROM a\nCMD [\"b\"]", vec![]),
        (
            "FROM scratch\nHEALTHCHECK NONE\nHEALTHCHECK CMD x",
            vec!["MultipleInstructionsDisallowed 2:1 warning"],
        ),
        ("FROM scratch\nENV a b", vec!["LegacyKeyValueFormat 2:5 warning"]),
        ("FROM scratch\nLABEL a b", vec!["LegacyKeyValueFormat 2:7 warning"]),
        ("FROM --platform=$TARGETPLATFORM a", vec!["RedundantTargetPlatform 1:6 warning"]),
        ("FROM --platform=${TARGETPLATFORM:-x} a", vec!["RedundantTargetPlatform 1:6 warning"]),
        ("FROM --platform=linux/arm64 a", vec!["FromPlatformFlagConstDisallowed 1:6 warning"]),
        ("FROM --platform=linux/arm64 a AS build-arm64", vec![]),
        ("FROM scratch\nARG API_TOKEN", vec!["SecretsUsedInArgOrEnv 2:5 warning"]),
        ("FROM scratch\nENV aws_secret=x", vec!["SecretsUsedInArgOrEnv 2:5 warning"]),
        ("ARG password\nFROM scratch", vec!["SecretsUsedInArgOrEnv 1:5 warning"]),
        ("FROM scratch\nENV KEY_FILE=x PUBLIC_KEY=y TOKENS=z keyboard=q", vec![]),
        ("ARG base\nFROM ${base}", vec!["InvalidDefaultArgInFrom 2:6 warning", "language 2:6 error"]),
        ("ARG tag\nFROM a:${tag:-1}", vec![]),
        ("FROM scratch\nEXPOSE 80/TCP", vec!["ExposeProtoCasing 2:8 warning"]),
        ("FROM scratch\nEXPOSE 127.0.0.1:80:80", vec!["ExposeInvalidFormat 2:8 warning"]),
        ("FROM scratch\nEXPOSE 80/tcp", vec![]),
        ("# check=skip=a,JSONArgsRecommended\nFROM scratch\nCMD a", vec!["language 1:14 warning"]),
    ] {
        let mut found = check(text, None);
        let mut wanted: Vec<String> = wanted.into_iter().map(str::to_owned).collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "{text}");
    }
}

#[test]
fn some_rules_are_only_checked_when_asked_for() {
    let described = |above: &str| check(&format!("{EXPERIMENTAL}\n# {above}\nFROM scratch AS build"), None);
    assert_eq!(described("build makes it"), [""; 0]);
    assert_eq!(described("makes it"), ["InvalidDefinitionDescription 4:1 warning"]);
    assert_eq!(check("# makes it\nFROM scratch AS build", None), [""; 0]);
    let copy = format!("{EXPERIMENTAL}FROM scratch\nCOPY a /\nADD b/c /\nCOPY . /");
    assert_eq!(check(&copy, Some("a\nb")), ["CopyIgnoredFile 3:1 warning", "CopyIgnoredFile 4:1 warning"]);
    assert_eq!(check(&copy, Some("*")).len(), 3);
    assert_eq!(check(&copy, Some("a\n!a")), [""; 0]);
    assert_eq!(check(&copy, None), [""; 0]);
}

#[test]
fn rules_are_turned_off_by_the_file_or_above_an_instruction() {
    let text = "FROM scratch AS A\nCMD a";
    assert_eq!(check(text, None).len(), 2);
    assert_eq!(check(&format!("# check=skip=all\n{text}"), None), [""; 0]);
    assert_eq!(
        check(&format!("# check=skip=StageNameCasing\n{text}"), None),
        ["JSONArgsRecommended 3:1 warning"]
    );
    assert_eq!(
        check("FROM scratch AS A\n# check=skip=JSONArgsRecommended\nCMD a", None),
        ["StageNameCasing 1:17 warning"]
    );
    assert_eq!(
        check(&format!("# check=skip=StageNameCasing;error=true\n{text}"), None),
        ["JSONArgsRecommended 3:1 error"]
    );
}

#[test]
fn rules_are_named_once_and_in_order() {
    let names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(names, sorted);
}
