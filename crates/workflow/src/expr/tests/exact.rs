//! The finer points, each as GitHub's runner does it.

use serde_json::{Value as Json, json};

use super::super::*;

/// A scope of the values below, without functions.
struct Given(Json);

impl Scope for Given {
    fn context(&self, name: &str) -> Option<Value> {
        self.0.get(name).map(Value::from)
    }
}

fn given() -> Given {
    Given(json!({
        "github": {"list": [[1, 2], [3], {"name": "x", "tags": ["t", "u"]}], "text": "Hello", "none": null},
        "matrix": {"a": {"v": 1}, "b": {"v": 2}, "c": 3},
    }))
}

fn of(text: &str) -> Result<Json, String> {
    let expr = Expr::parse(text).map_err(|e| e.message)?;
    expr.evaluate(&given()).map(|v| v.to_json()).map_err(|e| e.message)
}

fn check(table: &[(&str, Json)]) {
    for (text, expected) in table {
        assert_eq!(of(text).as_ref(), Ok(expected), "{text}");
    }
}

#[test]
fn only_what_is_needed_is_evaluated() {
    check(&[
        ("format('x', fromJSON(''))", json!("x")),
        ("format('{1}', fromJSON(''), 2)", json!("2")),
        ("contains(fromJSON('[]'), fromJSON(''))", json!(false)),
        ("contains(github, fromJSON(''))", json!(false)),
        ("startsWith(github, fromJSON(''))", json!(false)),
        ("endsWith(github.list, fromJSON(''))", json!(false)),
        ("join(fromJSON('[1]'), fromJSON(''))", json!("1")),
        ("join('x', fromJSON(''))", json!("x")),
        ("github.none[fromJSON('')]", json!(null)),
        ("github.text[fromJSON('')]", json!(null)),
        ("case(true, 1, fromJSON(''), 2, fromJSON(''))", json!(1)),
    ]);
    for text in
        ["contains('a', fromJSON(''))", "join(fromJSON('[1, 2]'), fromJSON(''))", "github[fromJSON('')]"]
    {
        assert!(of(text).is_err(), "{text}");
    }
}

#[test]
fn a_filtered_array_stays_one() {
    check(&[
        ("github.list.*[0]", json!([1, 3])),
        ("github.list.*['0']", json!([1, 3])),
        ("github.list.*.name", json!(["x"])),
        ("github.list[*].tags[1]", json!(["u"])),
        ("github.list.*.*", json!([1, 2, 3, "x", ["t", "u"]])),
        ("github.list.*.*.*", json!(["t", "u"])),
        ("(github.list.*)[0]", json!([1, 3])),
        ("(github.list.* || 'x').name", json!(["x"])),
        ("(github.none || github.list.*)[0]", json!([1, 3])),
        ("(true && github.list.*)[0]", json!([1, 3])),
        ("case(true, github.list.*, 1)[0]", json!([1, 3])),
        ("fromJSON(toJSON(github.list.*))[0]", json!([1, 2])),
        ("matrix.*.v", json!([1, 2])),
        ("matrix.c.*", json!([])),
        ("matrix.c.*.x", json!([])),
        ("github.list.*.*[99]", json!([])),
        ("join(matrix.*.v, '+')", json!("1+2")),
    ]);
}

#[test]
fn texts_compare_and_search_ignoring_case() {
    check(&[
        ("'ß' == 'SS'", json!(false)),
        ("'ı' == 'I'", json!(false)),
        ("'i' == 'I'", json!(true)),
        ("'ſ' == 's'", json!(false)),
        ("'ÄÖÜ' == 'äöü'", json!(true)),
        ("'σ' == 'Σ'", json!(true)),
        ("'ᾳ' == 'ᾼ'", json!(true)),
        ("'ﬁ' == 'FI'", json!(false)),
        ("'Z' < 'a'", json!(false)),
        ("'_' < 'a'", json!(false)), // `_` is behind `A`
        ("'abc' < 'ABD'", json!(true)),
        ("'' < 'a'", json!(true)),
        ("contains('Straße', 'RASS')", json!(false)),
        ("contains('Straße', 'RAß')", json!(true)),
        ("contains('x', '')", json!(true)),
        ("contains('', '')", json!(true)),
        ("contains(null, '')", json!(true)),
        ("contains(true, 'RU')", json!(true)),
        ("contains(1.50, '1.5')", json!(true)),
        ("startsWith('ÉCOLE', 'é')", json!(true)),
        ("endsWith('abÉ', 'Bé')", json!(true)),
        ("endsWith('b', 'ab')", json!(false)),
        ("endsWith('', '')", json!(true)),
        ("startsWith(null, null)", json!(true)),
    ]);
}

#[test]
fn kinds_become_numbers_where_they_differ() {
    check(&[
        ("null < 1", json!(true)),
        ("null <= null", json!(true)),
        ("null > -1", json!(true)),
        ("false < true", json!(true)),
        ("true <= true", json!(true)),
        ("true > null", json!(true)),
        ("'' == false", json!(true)),
        ("' ' == 0", json!(true)),
        ("'1' == true", json!(true)),
        ("'Infinity' == Infinity", json!(true)),
        ("'-infinity' < -1", json!(true)),
        ("'0b1' == 1", json!(false)),
        ("'0XF' == 15", json!(false)),
        ("'0xF' == 15", json!(true)),
        ("'0xFFFFFFFF' == -1", json!(true)),
        ("'0o777' == 511", json!(true)),
        ("'1_000' == 1000", json!(false)),
        ("'1e3' == 1000", json!(true)),
        ("'.' == 0", json!(false)),
        ("'\u{a0}7\u{2003}' == 7", json!(true)),
        ("fromJSON('[]') == 0", json!(false)),
        ("fromJSON('[]') == ''", json!(false)),
        ("fromJSON('[]') == null", json!(false)),
        ("fromJSON('{}') != 'Object'", json!(true)),
        ("matrix.a >= matrix.a", json!(true)),
        ("matrix.a > matrix.a", json!(false)),
        ("matrix.a == matrix.b", json!(false)),
        ("NaN != NaN", json!(true)),
        ("NaN <= NaN", json!(false)),
        ("github.list[NaN]", json!(null)),
        ("github.list[Infinity]", json!(null)),
        ("github.list[true]", json!([3])),
        ("github.list[null]", json!([1, 2])),
        ("github.list[' 1 ']", json!([3])),
        ("github.list['x']", json!(null)),
        ("matrix[github]", json!(null)),
    ]);
}

#[test]
fn formats_and_joins() {
    check(&[
        ("format('{0:}', 'a')", json!("a")),
        ("format('{00}', 'a')", json!("a")),
        ("format('{{{{{0}}}}}', 'a')", json!("{{a}}")),
        ("format('{0}{0}', 1e21)", json!("1E+211E+21")),
        ("format('{0}|{1}|{2}|{3}', null, github, github.list, -0)", json!("|Object|Array|0")),
        ("format('{0}', '{1}')", json!("{1}")),
        ("format(1)", json!("1")),
        ("format('')", json!("")),
        ("join(fromJSON('[1, [2], {}, null, \"x\"]'))", json!("1,Array,Object,,x")),
        ("join(fromJSON('[1, 2]'), github)", json!("1,2")),
        ("join(fromJSON('[1, 2]'), null)", json!("12")),
        ("join(fromJSON('[1, 2]'), 0)", json!("102")),
        ("join(fromJSON('[]'), '-')", json!("")),
        ("join(null)", json!("")),
        ("join(1.0)", json!("1")),
    ]);
    assert!(of("format('{0}')").unwrap_err().contains("more arguments than were supplied"));
}

#[test]
fn json_in_and_out() {
    check(&[
        ("toJSON(null)", json!("null")),
        ("toJSON(NaN)", json!("NaN")),
        ("toJSON(-Infinity)", json!("-Infinity")),
        ("toJSON(1e21)", json!("1E+21")),
        ("toJSON(-0)", json!("0")),
        ("toJSON('\u{7f}\u{85}/')", json!("\"\u{7f}\\u0085/\"")),
        ("toJSON('\u{1f}\u{b}')", json!("\"\\u001f\\u000b\"")),
        ("toJSON(fromJSON('[[], {}, [[]]]'))", json!("[\n  [],\n  {},\n  [\n    []\n  ]\n]")),
        ("fromJSON('{bare: 1, $x_2: ''y''}').bare", json!(1)),
        ("fromJSON('[.5, 1., 0x1F, 010, 1e3, -0]')", json!([0.5, 1, 31, 8, 1000, 0])),
        ("fromJSON('{\"a\": 1, \"A\": 2}')", json!({"a": 2})),
        ("fromJSON(' \"\\u00e9\" ')", json!("é")),
        ("fromJSON('\"\\ud800\"')", json!("\u{fffd}")),
        ("fromJSON('\"a\nb\"')", json!("a\nb")),
        ("fromJSON(1.5)", json!(1.5)),
        ("fromJSON(true)", json!(true)),
        ("fromJSON('null')", json!(null)),
    ]);
    for text in
        ["fromJSON('08')", "fromJSON('0x')", "fromJSON('0x+1')", "fromJSON('tru')", "fromJSON(github)"]
    {
        assert!(of(text).is_err(), "{text}");
    }
}

#[test]
fn parentheses_make_nothing_deep() {
    let many = format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000));
    assert_eq!(of(&many), Ok(json!(1)));
    let flat = format!("{}true{}", "(".repeat(1_500), " && true)".repeat(1_500));
    assert_eq!(of(&flat), Ok(json!(true)));
    let deep = |n: usize| format!("{}1{}", "!(".repeat(n), ")".repeat(n));
    assert_eq!(of(&deep(49)), Ok(json!(false)));
    assert_eq!(of(&deep(50)), Err("Exceeded max expression depth 50".into()));
    // What is wrong with the text is told first.
    assert!(of(&format!("{} && foo", deep(60))).unwrap_err().starts_with("Unrecognized named-value"));
    assert_eq!(of("!(github.list).x == true"), Ok(json!(true)));
}

#[test]
fn limits_have_their_messages() {
    let long = |n: usize| format!("'{}'", "x".repeat(n));
    assert!(of(&long(20_998)).is_ok());
    assert_eq!(of(&long(20_999)), Err("Exceeded max expression length 21000".into()));
    let scope = Given(json!({"github": {"text": "x".repeat(1 << 20)}}));
    let spent = |text: &str| Expr::parse(text).unwrap().evaluate(&scope).unwrap_err().message;
    let read = vec!["contains(github.text, 'y')"; 300].join(" || ");
    assert!(spent(&read).contains("maximum allowed work"), "{}", spent(&read));
    let compared = vec!["github.text != github.text"; 300].join(" || ");
    assert!(spent(&compared).contains("maximum allowed work"));
    let quoted = Given(json!({"github": {"text": "\\".repeat(1 << 20)}}));
    let doubled = Expr::parse("toJSON(toJSON(toJSON(toJSON(github.text))))").unwrap().evaluate(&quoted);
    assert!(doubled.unwrap_err().message.contains("maximum allowed memory"));
    let wide = Given(json!({"github": {"list": vec![0; 1 << 20]}}));
    let listed = Expr::parse("join(github.list, '0123456789')").unwrap().evaluate(&wide);
    assert!(listed.unwrap_err().message.contains("maximum allowed memory"));
    let nested = format!("{}github.text{}", "format('{0}{0}{0}', ".repeat(4), ")".repeat(4));
    assert!(spent(&nested).contains("maximum allowed memory"));
}

#[test]
fn other_contexts_may_be_named() {
    let scope = Given(json!({"own": {"x": 1}}));
    let expr = Expr::parse_over("Own.x", |name| name.eq_ignore_ascii_case("own")).unwrap();
    assert_eq!(expr.evaluate(&scope).unwrap(), Value::from(1));
    assert!(
        Expr::parse_over("github.x", |_| false).unwrap_err().message.starts_with("Unrecognized named-value")
    );
}

#[test]
fn large_objects_look_up_as_small_ones() {
    let mut object = Object::new();
    for i in 0..100 {
        object.insert(format!("Key{i}É"), Value::from(i));
        object.insert(format!("key{i}é"), Value::from(i + 1));
    }
    assert_eq!(object.len(), 100);
    for i in 0..100 {
        assert_eq!(object.get(&format!("KEY{i}é")), Some(&Value::from(i + 1)));
    }
    let mut exact = Object::exact();
    for i in 0..100 {
        exact.insert(format!("k{i}"), Value::from(i));
        exact.insert(format!("K{i}"), Value::from(-i));
    }
    assert_eq!(
        (exact.len(), exact.get("K7"), exact.get("k7")),
        (200, Some(&Value::from(-7)), Some(&Value::from(7)))
    );
}
