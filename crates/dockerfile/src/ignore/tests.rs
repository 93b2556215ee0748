//! Lists of patterns and what they leave out, as the documentation of `.dockerignore` has it.

use super::*;

#[track_caller]
fn check(patterns: &str, out: &[&str], kept: &[&str]) {
    let ignore = Ignore::parse(patterns).unwrap();
    for path in out {
        assert!(ignore.excludes(path), "{path} is left out by {patterns:?}");
    }
    for path in kept {
        assert!(!ignore.excludes(path), "{path} is kept by {patterns:?}");
    }
}

#[test]
fn patterns_are_paths_from_the_root() {
    check("a", &["a", "a/b", "a/b/c"], &["b/a", "ab", "aa"]);
    check("/a", &["a", "a/b"], &["b/a"]);
    check("./a/", &["a", "a/b"], &["b/a"]);
    check("a/b", &["a/b", "a/b/c"], &["a", "b", "x/a/b"]);
    check("a/../b", &["b"], &["a"]);
    check("  a  ", &["a"], &[]);
}

#[test]
fn one_star_is_within_a_folder() {
    check("*/temp*", &["a/temp", "a/temporary.txt", "a/temp/x"], &["temp", "a/b/temp"]);
    check("*/*/temp*", &["a/b/temp1"], &["a/temp", "a/b/c/temp"]);
    check("temp?", &["tempa", "tempb/x"], &["temp", "tempab", "a/tempa"]);
    check("*.md", &["README.md"], &["docs/README.md", "README.mdx"]);
    check("*", &["a", "a/b", ".git"], &[]);
}

#[test]
fn two_stars_are_any_folders() {
    check("**/*.go", &["a.go", "b/a.go", "b/c/a.go"], &["a.goo", "go"]);
    check("**/node_modules", &["node_modules", "a/node_modules/x"], &["node_modules2"]);
    check("a/**/b", &["a/b", "a/x/b", "a/x/y/b", "a/x/b/c"], &["b", "ab", "a/xb"]);
    check("a/**", &["a/b", "a/b/c"], &["a", "b"]);
    check("**", &["a", "a/b"], &[]);
    check("a**b", &["ab", "ax/b"], &["axb"]);
    check("**/a/**/b", &["a/b", "x/a/y/b"], &["b", "a"]);
}

#[test]
fn classes_and_escapes() {
    check("[ab].c", &["a.c", "b.c"], &["c.c", "ab.c"]);
    check("[a-c]x", &["ax", "cx"], &["dx"]);
    check("[^a]x", &["bx"], &["ax"]);
    check("a\\*b", &["a*b"], &["axb"]);
    check("a.b", &["a.b"], &["axb"]);
    check("a+(b)", &["a+(b)"], &["aab"]);
    check("é?", &["éx"], &["é"]);
}

#[test]
fn the_last_pattern_decides() {
    check("*.md\n!README.md", &["a.md"], &["README.md"]);
    check(
        "*.md\n!README*.md\nREADME-secret.md",
        &["a.md", "README-secret.md"],
        &["README.md", "README-x.md"],
    );
    check("*.md\nREADME-secret.md\n!README*.md", &["a.md"], &["README-secret.md"]);
    check("a\n!a/b", &["a", "a/c"], &["a/b", "a/b/c"]);
    check("a\n!a/b\na/b/c", &["a", "a/b/c"], &["a/b", "a/b/d"]);
    check("**\n!src/**", &["x", "src"], &["src/a", "src/a/b"]);
    check("!a", &[], &["a"]);
    check("! a\na", &["a"], &[]);
    // As a walk from the root has it: the second `a` is not asked where the first one has said it already.
    check("a\n!a/x\na", &["a", "a/y"], &["a/x"]);
}

#[test]
fn comments_and_empty_lines_are_no_patterns() {
    check("# a\n\n   \n#b\nc", &["c"], &["a", "b", "#b", "# a"]);
    check(" #a", &["#a"], &["a"]);
    check("\u{feff}a\r\nb\r\n", &["a", "b"], &[]);
    check("", &[], &["a"]);
    assert!(Ignore::parse("# x\n").unwrap().is_empty());
}

#[test]
fn what_is_no_pattern_is_refused_with_its_line() {
    assert_eq!(Ignore::parse("a\n!"), Err(IgnoreError::Alone(2)));
    assert_eq!(Ignore::parse("a\n! "), Err(IgnoreError::Alone(2)));
    for text in ["[", "[a", "a[]", "[a-", "[a-]", "a\\", "[\\"] {
        assert_eq!(Ignore::parse(text), Err(IgnoreError::Broken(1, text.to_owned())), "{text}");
    }
    assert!(Ignore::parse(&"x".repeat(5_000)).is_err());
    assert!(Ignore::parse(&"x\n".repeat(10_001)).is_err());
}

#[test]
fn a_folder_of_which_all_is_left_out_needs_no_look() {
    let all = |patterns: &str, folder: &str| Ignore::parse(patterns).unwrap().excludes_all_below(folder);
    assert!(all("a", "a"));
    assert!(all("a\n!b/c", "a"));
    assert!(!all("a\n!a/b", "a"));
    assert!(!all("a\n!a/b/c", "a/b"));
    assert!(!all("a\n!**/x", "a"));
    assert!(!all("a\n!a*/b", "a"));
    assert!(!all("a\n!a\\/b", "a"));
}

#[test]
fn a_pattern_cannot_take_long() {
    let pattern = "*a".repeat(2_000);
    let path = "a".repeat(3_000);
    check(&pattern, &[&path], &[&format!("{path}b")]);
    let deep = format!("{}x", "**/".repeat(1_000));
    check(&deep, &[&format!("{}x", "a/".repeat(100))], &[&format!("{}y", "a/".repeat(100))]);
}
