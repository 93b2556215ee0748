use super::*;

fn matchers(json: &str) -> Matchers {
    let mut matchers = Matchers::default();
    matchers.add(json).unwrap();
    matchers
}

const COMPILER: &str = r#"{"problemMatcher":[{"owner":"cc","pattern":[{"regexp":"^(.+):(\\d+):(\\d+): (\\w+): (.+?)(?: \\[(.+)\\])?$",
    "file":1,"line":2,"column":3,"severity":4,"message":5,"code":6}]}]}"#;

fn found(matchers: &mut Matchers, line: &str) -> Option<Finding> {
    matchers.see(line).finding
}

#[test]
fn one_line_patterns_find_places() {
    let mut matchers = matchers(COMPILER);
    let finding = found(&mut matchers, "\x1b[31msrc/a.c:3:7: warning: unused [-Wx]\x1b[0m").unwrap();
    assert_eq!(
        (finding.level, finding.message.as_str(), finding.code.as_deref()),
        ("warning", "unused", Some("-Wx"))
    );
    assert_eq!((finding.file.as_deref(), finding.line, finding.column), (Some("src/a.c"), Some(3), Some(7)));
    for (line, level) in
        [("a:1:2: ERROR: x", Some("error")), ("a:1:2: notice: x", Some("notice")), ("a:1:2: info: x", None)]
    {
        assert_eq!(found(&mut matchers, line).map(|f| f.level), level, "{line}");
    }
    assert_eq!(found(&mut matchers, "all is well"), None);
    matchers.remove(Some("CC"), "").unwrap();
    assert_eq!(found(&mut matchers, "src/a.c:3:7: warning: unused"), None);
    assert!(matchers.remove(Some("x"), "file.json").is_err());
}

#[test]
fn the_last_pattern_may_repeat() {
    let mut matchers = matchers(
        r#"{"problemMatcher":[{"owner":"lint","severity":"warning","pattern":[{"regexp":"^(\\S+\\.js)$","file":1},
           {"regexp":"^\\s+(\\d+):(\\d+)\\s+(.+)$","line":1,"column":2,"message":3,"loop":true}]}]}"#,
    );
    let found: Vec<_> = ["a.js", "  1:2 one", "  3:4 two", "", "  5:6 none", "b.js", "c.js", "  7:8 three"]
        .iter()
        .filter_map(|line| found(&mut matchers, line))
        .map(|f| (f.file.unwrap(), f.line.unwrap(), f.message))
        .collect();
    let wanted = [("a.js", 1, "one"), ("a.js", 3, "two"), ("c.js", 7, "three")];
    assert_eq!(found, wanted.map(|(f, l, m)| (f.to_owned(), l, m.to_owned())));
}

#[test]
fn patterns_of_several_lines_follow_each_other() {
    let mut matchers = matchers(
        r#"{"problemMatcher":[{"owner":"r","pattern":[{"regexp":"^(warning|error): (.+)$","severity":1,"message":2},
           {"regexp":"^ --> (.+):(\\d+)$","file":1,"line":2}]}]}"#,
    );
    let found: Vec<_> =
        ["error: a", "error: b", " --> x.rs:3", " --> y.rs:4", "warning: c", "other", " --> z.rs:5"]
            .iter()
            .filter_map(|line| found(&mut matchers, line))
            .map(|f| (f.message, f.file.unwrap(), f.line.unwrap()))
            .collect();
    assert_eq!(found, [("b".to_owned(), "x.rs".to_owned(), 3)]);
}

#[test]
fn files_are_named_by_their_place_in_the_workspace_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Path::new("/w/shop");
    for (path, text) in [
        ("shop/src/a.c", ""),
        ("shop/lib/b.c", ""),
        ("other", ""),
        ("shop/m.json", COMPILER),
        ("shop/bad.json", "{"),
    ] {
        std::fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
        std::fs::write(dir.path().join(path), text).unwrap();
    }
    let below = Beneath::new(dir.path(), Path::new("/w")).unwrap();
    let mut matchers = Matchers::below(below, workspace.to_owned());
    matchers.want("m.json").unwrap();
    for (file, wanted) in [
        ("src/a.c", Some("src/a.c")),
        ("./src/../src/a.c", Some("src/a.c")),
        ("/w/shop/src/a.c", Some("src/a.c")),
        ("../other", None),
        ("/etc/passwd", None),
        ("src/missing.c", None),
    ] {
        let finding = found(&mut matchers, &format!("{file}:1:1: error: x")).unwrap();
        assert_eq!(finding.file.as_deref(), wanted, "{file}");
    }
    matchers
        .add(r#"{"problemMatcher":[{"owner":"cc","pattern":[{"regexp":"^(.+) in (.+): (.+)$","file":1,"fromPath":2,"message":3}]}]}"#)
        .unwrap();
    let finding = found(&mut matchers, "b.c in lib/x.proj: m").unwrap();
    assert_eq!(finding.file.as_deref(), Some("lib/b.c"));
    assert!(matchers.want("bad.json").unwrap_err().contains("/w/shop/bad.json` cannot be used"));
    assert!(matchers.want("none.json").unwrap_err().contains("cannot read"));
    assert!(matchers.want(" ").is_err());
    assert_eq!(matchers.in_workspace("/w/shop/x/../y"), "y");
    assert_eq!(matchers.in_workspace("/elsewhere/y"), "/elsewhere/y");
}

#[test]
fn the_newest_comes_first_and_one_of_the_same_owner_is_replaced() {
    let one = |owner: &str, message: &str| {
        format!(
            r#"{{"problemMatcher":[{{"owner":"{owner}","pattern":[{{"regexp":"(x)({message})?","message":1,"code":2}}]}}]}}"#
        )
    };
    let mut matchers = matchers(&one("a", "1"));
    matchers.add(&one("b", "2")).unwrap();
    assert_eq!(found(&mut matchers, "x2").unwrap().code.as_deref(), Some("2"));
    matchers.add(&one("B", "3")).unwrap();
    assert_eq!(matchers.active.len(), 2);
    assert_eq!(found(&mut matchers, "x3").unwrap().code.as_deref(), Some("3"));
}

#[test]
fn patterns_that_look_around_work_and_those_that_take_too_long_are_given_up() {
    let mut matchers = matchers(
        r#"{"problemMatcher":[{"owner":"slow","pattern":[{"regexp":"^(?=(a+)+$)(a|a)*\\1b$","message":1}]},
           {"owner":"look","pattern":[{"regexp":"^(?!ok)(\\w+)(?=!)","message":1}]}]}"#,
    );
    assert_eq!(found(&mut matchers, "bad!").unwrap().message, "bad");
    assert_eq!(found(&mut matchers, "okay!"), None);
    let line = "a".repeat(40);
    let dropped: Vec<_> = (0..4).map(|_| matchers.see(&line).dropped).collect();
    assert_eq!(dropped.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 1, 0], "{dropped:?}");
    assert!(
        dropped[2][0].starts_with("Removing issue matcher 'slow'. Matcher failed 3 times."),
        "{dropped:?}"
    );
    assert_eq!(found(&mut matchers, "bad!").unwrap().message, "bad");
}

#[test]
fn unusable_matchers_say_why() {
    let one = |patterns: &str| format!(r#"{{"problemMatcher":[{{"owner":"x","pattern":[{patterns}]}}]}}"#);
    for (json, why) in [
        ("{}".to_owned(), "problemMatcher"),
        (one(""), "no pattern"),
        (one(r#"{"regexp":"(","message":0}"#), "owner `x`"),
        (one(r#"{"regexp":"a"}"#), "At least one pattern must set 'message'"),
        (one(r#"{"regexp":"a","message":0,"loop":true}"#), "Only the last pattern"),
        (
            one(r#"{"regexp":"a","message":0},{"regexp":"b","loop":true}"#),
            "The loop pattern must set 'message'",
        ),
        (
            one(r#"{"regexp":"a","message":0},{"regexp":"b","message":0}"#),
            "The property 'message' is set twice",
        ),
        (r#"{"problemMatcher":[{"owner":" ","pattern":[]}]}"#.to_owned(), "no `owner`"),
    ] {
        let error = Matchers::default().add(&json).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn what_was_done_to_a_copy_is_done_again() {
    let of = |owner: &str, word: &str| {
        format!(
            r#"{{"problemMatcher":[{{"owner":"{owner}","pattern":[{{"regexp":"^{word} (.+)$","message":1}}]}}]}}"#
        )
    };
    let mut all = matchers(&of("a", "one"));
    all.add(&of("b", "two")).unwrap();
    let (mut copy, before) = (all.clone(), all.marks());
    copy.remove(Some("a"), "").unwrap();
    copy.add(&of("b", "three")).unwrap();
    copy.add(&of("c", "four")).unwrap();
    all.add(&of("d", "five")).unwrap();
    all.follow(copy, &before);
    let seen: Vec<_> = ["one x", "two x", "three x", "four x", "five x"]
        .iter()
        .map(|line| found(&mut all, line).is_some())
        .collect();
    assert_eq!(seen, [false, false, true, true, true]);
}
