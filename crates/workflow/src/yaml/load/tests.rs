use super::*;
use crate::yaml::Resolved;

fn ok(text: &str) -> Node {
    load(&Source::new(text), &Limits::WORKFLOW).unwrap_or_else(|found| panic!("{text:?}: {found:?}")).root
}

fn first_error(text: &str) -> String {
    let found = load(&Source::new(text), &Limits::WORKFLOW).expect_err(text);
    found[0].one_line("f")
}

fn place(span: Span) -> (u32, u32, u32, u32) {
    (span.start.line, span.start.column, span.end.line, span.end.column)
}

#[test]
fn nodes_know_where_they_stand() {
    let text = "é: x\nlist:\n  - one\n  - 'two'\nm: {a: 1, b: [2]}\n";
    let root = ok(text);
    let list = root.get("list").unwrap();
    let Value::Sequence(items) = &list.value else { panic!("{list:?}") };
    assert_eq!(place(items[0].span), (3, 5, 3, 8));
    assert_eq!(place(items[1].span), (4, 5, 4, 10));
    let m = root.get("m").unwrap();
    assert_eq!(place(m.span).0, 5);
    assert_eq!(place(m.get("a").unwrap().span), (5, 8, 5, 9));
    assert_eq!(place(root.get("é").unwrap().span), (1, 4, 1, 5));
}

#[test]
fn source_text_is_kept() {
    let root = ok("a: 010\nb: 1.10\nc: ~\nd: yes\ne:\n");
    let text = |key| root.get(key).unwrap().as_scalar().unwrap().as_text().to_owned();
    assert_eq!(text("a"), "010");
    assert_eq!(text("b"), "1.10");
    assert_eq!(text("c"), "");
    assert_eq!(text("e"), "");
    assert_eq!(root.get("d").unwrap().as_scalar().unwrap().resolved, Resolved::String);
}

#[test]
fn byte_order_mark_and_carriage_returns() {
    let root = ok("\u{feff}a: 1\r\nb: é\r\nc: x\r\n");
    assert_eq!(place(root.get("c").unwrap().span), (3, 4, 3, 5));
    assert_eq!(root.get("c").unwrap().span.start.offset, 3 + 6 + 7 + 3);
}

#[test]
fn aliases_are_copies() {
    let root = ok("a: &x {k: [1, 2]}\nb: *x\n");
    assert_eq!(root.get("a"), root.get("b"));
}

#[test]
fn an_empty_file_is_null() {
    for text in ["", "   \n", "# only a comment\n", "---\n"] {
        assert!(ok(text).is_null(), "{text:?}");
    }
}

#[test]
fn what_is_refused() {
    for (text, wanted) in [
        ("a: 1\nA: 2\n", "f:2:1: error: 'A' is already defined"),
        ("a: &x [*x]\n", "f:1:8: error: The alias stands for"),
        ("a: *x\n", "f:1:4: error: This is not valid YAML"),
        ("<<: {a: 1}\nb: 2\n<<: {c: 3}\n", "f:3:1: error: '<<' is already defined"),
        ("a: &a {<<: *a}\n", "f:1:12: error: The alias stands for"),
        ("a: 1\n---\nb: 1\n", "f:2:1: error: Only one YAML document"),
        ("[a]: 1\n", "f:1:1: error: A sequence was not expected"),
        ("a: !!int x\n", "f:1:10: error: The tag"),
        ("a: !mine x\n", "f:1:10: error: The tag"),
        ("a: 'x\n", "f:"),
        ("a:\n\t- b\n", "f:2:"),
        ("a: b: c\n", "f:1:"),
        ("%YAML 1.2\n%YAML 1.2\n---\na", "f:2:"),
        ("- a\nb: c\n", "f:2:1: error: This is not valid YAML"),
    ] {
        let found = first_error(text);
        assert!(found.starts_with(wanted), "{text:?}: {found}");
    }
}

#[test]
fn bombs_end_with_an_error() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let before = level - 1;
        let items = vec![format!("*a{before}"); 10].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    assert!(first_error(&laughs).contains("more than 50000 nodes"));

    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 200].join(", "));
    assert!(first_error(&long).contains("once its aliases are expanded"));

    for open in ["[", "{a: ", "- ", "? ", "[{a: "] {
        let deep = open.repeat(200_000);
        assert!(first_error(&deep[..deep.len().min(1_000_000)]).contains("error"), "{open}");
    }
    assert!(first_error(&"[".repeat(60)).contains("nesting is deeper than 50"));
    assert!(first_error(&"a: 1\n".repeat(300_000)).contains("larger than 1048576 bytes"));
    assert!(first_error(&format!("[{}]", "1,".repeat(60_000))).contains("more than 50000 nodes"));
}

#[test]
fn nesting_through_aliases_counts() {
    let mut text = String::from("a0: &a0 [x]\n");
    for level in 1..60 {
        text.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(first_error(&text).contains("nesting is deeper than 50"));
}

#[test]
fn one_long_line_of_many_nodes_is_read_in_linear_work() {
    let text = format!("[{}]", "é,".repeat(40_000));
    let Value::Sequence(items) = ok(&text).value else { panic!("a sequence") };
    assert_eq!(items.len(), 40_000);
    assert_eq!(items[39_999].span.start.column, 80_000);
}

#[test]
fn merge_keys_bring_what_is_not_written() {
    let keys = |node: &Node| -> String {
        let Value::Mapping(pairs) = &node.value else { panic!("{node:?}") };
        let shown = |pair: &Pair| format!("{}={}", pair.key.text, pair.value.as_scalar().unwrap().text);
        pairs.iter().map(shown).collect::<Vec<_>>().join(" ")
    };
    for (text, wanted) in [
        ("x: &a {a: 1, b: 2}\nm: {<<: *a}", "a=1 b=2"),
        ("x: &a {a: 1, b: 2}\nm: {B: 3, <<: *a, c: 4}", "B=3 a=1 c=4"),
        ("x: &a {a: 1, b: 2}\nm: {c: 0, <<: *a, b: 3}", "c=0 a=1 b=3"),
        ("x: &a {a: 1}\ny: &b {a: 2, b: 2}\nm: {<<: [*a, *b]}", "a=1 b=2"),
        ("x: &a {a: 1}\ny: &b {<<: *a, b: 2}\nm: {<<: *b, c: 3}", "a=1 b=2 c=3"),
        ("m: {<<: {a: 1}}", "a=1"),
        ("m: {<<: x}", "<<=x"),
        ("m: {'<<': 1}", "<<=1"),
    ] {
        assert_eq!(keys(ok(text).get("m").unwrap()), wanted, "{text}");
    }
    let loaded = load(&Source::new("m: {<<: {a: 1}}"), &Limits::WORKFLOW).unwrap();
    assert_eq!(place(loaded.warnings[0].span), (1, 5, 1, 7));
}
