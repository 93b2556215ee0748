use proptest::prelude::*;

use super::*;

#[test]
fn patterns_match_as_documented() {
    let table: &[(&str, &[&str], &[&str])] = &[
        ("feature/*", &["feature/my-branch", "feature/"], &["feature/beta-a/my", "feature", "Feature/x"]),
        ("feature/**", &["feature/beta-a/my-branch", "feature/x"], &["feature"]),
        ("main", &["main"], &["mainline", "a/main", "Main"]),
        ("'*'", &["'x'"], &["x"]),
        ("*", &["main", "releases"], &["all/the/branches"]),
        ("**", &["all/the/branches", "", "x"], &[]),
        ("*feature", &["mona-feature", "feature", "ver-10-feature"], &["feature-x", "a/feature"]),
        ("v2*", &["v2", "v2.0", "v2.9"], &["v1"]),
        ("v[12].[0-9]+.[0-9]+", &["v1.10.1", "v2.0.0"], &["v3.0.0", "v1.0", "v1..1"]),
        ("*.jsx?", &["page.js", "page.jsx"], &["page.jsxx", "a/page.js"]),
        ("**.js", &["index.js", "js/index.js", "src/js/app.js"], &["index.jsx"]),
        ("docs/*", &["docs/README.md", "docs/file.txt"], &["docs/a/b.txt"]),
        (
            "docs/**/*.md",
            &["docs/README.md", "docs/mona/hello.md", "docs/a/b/c.md"],
            &["docs.md", "docs/a.txt"],
        ),
        (
            "**/docs/**",
            &["docs/hello.md", "dir/docs/my-file.txt", "space/docs/plan/x.md"],
            &["docs", "mydocs/x"],
        ),
        ("**/README.md", &["README.md", "js/README.md"], &["XREADME.md"]),
        ("**/*src/**", &["a/src/app.js", "my-src/code/js/app.js"], &["src"]),
        ("**/*-post.md", &["my-post.md", "path/their-post.md"], &["post.md"]),
        ("**/migrate-*.sql", &["migrate-10909.sql", "db/migrate-v1.0.sql"], &["migrate.sql"]),
        ("a\\*b", &["a*b"], &["axb", "ab"]),
        ("ab+c", &["abc", "abbbc"], &["ac"]),
        ("ab?c", &["abc", "ac"], &["abbc"]),
        ("[a-]x", &["ax", "-x"], &["bx"]),
        ("!main", &["main"], &["x"]),
    ];
    for (pattern, yes, no) in table {
        let parsed = Pattern::parse(pattern).unwrap();
        yes.iter().for_each(|text| assert!(parsed.matches(text), "{pattern} must match {text}"));
        no.iter().for_each(|text| assert!(!parsed.matches(text), "{pattern} must not match {text}"));
    }
}

#[test]
fn what_is_no_pattern_is_refused() {
    for bad in ["", "!", "?x", "+x", "[]", "[a", "x[", "a\\", "[z-a]", "[a-"] {
        assert!(Pattern::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_last_pattern_that_matches_decides() {
    let filter = Filter::parse(["releases/**", "!releases/**-alpha", "releases/keep-alpha"]).unwrap();
    for (text, expected) in [
        ("releases/10", true),
        ("releases/beta/mona", true),
        ("releases/10-alpha", false),
        ("releases/keep-alpha", true),
        ("main", false),
    ] {
        assert_eq!(filter.matches(text), expected, "{text}");
    }
    assert!(!Filter::parse(["!main"]).unwrap().has_positive());
}

#[test]
fn a_pattern_made_to_backtrack_does_not() {
    let pattern = Pattern::parse(&"a*".repeat(200)).unwrap();
    assert!(!pattern.matches(&("a".repeat(5_000) + "/")));
}

proptest! {
    #[test]
    fn no_text_panics(pattern in ".{0,40}", text in ".{0,40}") {
        if let Ok(pattern) = Pattern::parse(&pattern) {
            pattern.matches(&text);
        }
    }

    #[test]
    fn an_escaped_text_matches_itself_only(text in "[a-z*?+!/.\\[\\]]{1,12}", other in "[a-z*?+!/.\\[\\]]{1,12}") {
        let escaped: String = text.chars().flat_map(|c| ['\\', c]).collect();
        let pattern = Pattern::parse(&escaped).unwrap();
        prop_assert!(pattern.matches(&text));
        prop_assert_eq!(pattern.matches(&other), text == other);
    }
}
