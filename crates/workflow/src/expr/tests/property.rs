use proptest::prelude::*;
use serde_json::json;

use super::super::*;

struct Given;

impl Scope for Given {
    fn context(&self, name: &str) -> Option<Value> {
        (name == "github").then(|| json!({"a": [1, {"b": "x"}, null], "b": {"a": "0x10", "c": true}}).into())
    }
}

/// Well-formed expressions.
fn text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("github".to_owned()),
        Just("NaN".to_owned()),
        any::<i32>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        "[a-zé{}\\[\\]\"]{0,8}".prop_map(|s| format!("'{s}'")),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        prop_oneof![
            (
                inner.clone(),
                inner.clone(),
                prop::sample::select(vec!["&&", "||", "==", "!=", "<", ">=", ">", "<="])
            )
                .prop_map(|(a, b, op)| format!("({a} {op} {b})")),
            inner.clone().prop_map(|a| format!("!{a}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("fromJSON(toJSON({a}))[{b}]")),
            (inner.clone(), "[a-c]").prop_map(|(a, name)| format!("({a} || github).{name}")),
            inner.clone().prop_map(|a| format!("(github || {a}).*.a[*]")),
            (
                inner.clone(),
                inner.clone(),
                prop::sample::select(vec!["contains", "startsWith", "endsWith", "join", "format"])
            )
                .prop_map(|(a, b, f)| format!("{f}({a}, {b})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(p, a, b)| format!("case({p}, {a}, {b})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics_the_parser(text in ".{0,60}") {
        let _ = Expr::parse(&text);
    }

    #[test]
    fn no_token_soup_panics(text in "(github|contains|case|fromJSON|toJSON|'|''|\\(|\\)|\\[|\\]|\\.|\\*|!|&&|==|<|0x|-|1|,| ){0,40}") {
        if let Ok(expr) = Expr::parse(&text) {
            let _ = expr.evaluate(&Given);
        }
    }

    #[test]
    fn every_well_formed_expression_ends(text in text()) {
        // A literal behind a bracket-free operand may not be dereferenced; those texts are refused, the rest evaluate.
        if let Ok(expr) = Expr::parse(&text) {
            let value = expr.evaluate(&Given);
            let again = expr.evaluate(&Given);
            prop_assert_eq!(value.map(|v| v.to_json_text()), again.map(|v| v.to_json_text()));
            prop_assert!(expr.explain(&Given).chars().count() <= 401);
        }
    }

    #[test]
    fn json_round_trips(text in "\\PC{0,20}", number in -1_000_000i32..1_000_000) {
        let value = Value::from(json!({"k": [text, number, {"x": null, "y": true}], "e": [], "o": {}}));
        let mut scope_text = value.to_json_text().replace('\'', "''");
        scope_text.insert_str(0, "fromJSON('");
        scope_text.push_str("')");
        let read = Expr::parse(&scope_text).unwrap().evaluate(&Given).unwrap();
        prop_assert_eq!(read, value);
    }

    #[test]
    fn a_number_reads_back_from_its_text(n in -1.0e14f64..1.0e14) {
        let back = Value::from(Value::Number(n).to_text().to_string()).to_number();
        prop_assert!((back - n).abs() <= n.abs() * 1e-14);
    }
}
