use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::expr::StatusFunction;

struct Given {
    success: bool,
}

impl Scope for Given {
    fn context(&self, name: &str) -> Option<Value> {
        (name == "github").then(|| Value::from(json!({"ref": "main", "list": [1, 2], "n": 1.50})))
    }

    fn status(&self, function: StatusFunction, _: &[Value]) -> Result<Value, EvalError> {
        Ok(Value::Bool(match function {
            StatusFunction::Success => self.success,
            StatusFunction::Failure => !self.success,
            StatusFunction::Cancelled => false,
            StatusFunction::Always => true,
        }))
    }
}

#[test]
fn templates_render() {
    let table = [
        ("", json!("")),
        ("plain }} text", json!("plain }} text")),
        ("a ${{ github.ref }} b", json!("a main b")),
        ("${{ github.list }}", json!([1, 2])),
        ("${{ github.n }}", json!(1.5)),
        ("${{ github.list }} ", json!("Array ")),
        ("${{ 'a}}b' }}", json!("a}}b")),
        ("${{ 'it''s }}' }}!", json!("it's }}!")),
        ("${{1}}${{2}}", json!("12")),
        ("$ {{ x }} ${ { y", json!("$ {{ x }} ${ { y")),
        ("é${{ github.ref }}", json!("émain")),
    ];
    for (text, expected) in table {
        let template = Template::parse(text).unwrap();
        assert_eq!(template.render(&Given { success: true }).unwrap().to_json(), expected, "{text}");
    }
    assert_eq!(Template::of_literal("${{ x").literal(), Some("${{ x"));
}

#[test]
fn errors_stand_at_their_byte() {
    for (text, offset, part) in [
        ("ab ${{ 1", 3, "not closed"),
        ("${{ 'x }}", 0, "not closed"),
        ("é ${{ foo }}", 7, "Unrecognized named-value: 'foo'. Located at position 1 within expression: foo"),
        ("${{ }}", 3, "An expression was expected"),
        ("${{ 1 }} ${{ 1 + }}", 15, "Unexpected symbol: '+'"),
    ] {
        let error = Template::parse(text).unwrap_err();
        assert_eq!(error.offset, offset, "{text}");
        assert!(error.message.contains(part), "{error}");
    }
}

#[test]
fn conditions_hold_or_not() {
    let table = [
        ("", true, false),
        ("true", true, false),
        ("github.ref == 'main'", true, false),
        ("${{ github.ref == 'x' }}", false, false),
        ("  ${{ true }}  ", true, false),
        ("always()", true, true),
        ("${{ failure() || success() }}", true, true),
        ("!cancelled() && github.n > 1", true, true),
        ("failure()", false, true),
        ("github.ref == '${{'", false, false),
    ];
    for (text, after_success, after_failure) in table {
        let condition = Condition::parse(text).unwrap();
        assert_eq!(condition.evaluate(&Given { success: true }).unwrap().holds, after_success, "{text}");
        assert_eq!(condition.evaluate(&Given { success: false }).unwrap().holds, after_failure, "{text}");
    }
    for bad in ["x ${{ true }}", "${{ true }} == true", "${{ true }}${{ true }}", "!", "${{ true"] {
        assert!(Condition::parse(bad).is_err(), "{bad}");
    }
    assert!(Condition::plain("", "always()").unwrap().evaluate(&Given { success: false }).unwrap().holds);
}

#[test]
fn an_unmet_condition_is_explained() {
    let verdict = Condition::parse("github.ref == 'x'").unwrap().evaluate(&Given { success: true }).unwrap();
    assert_eq!(verdict, Verdict { holds: false, explained: "success() && ('main' == 'x')".into() });
}

proptest! {
    #[test]
    fn no_text_panics(text in "(\\$\\{\\{|\\}\\}|'|github|\\.|\\(|\\)|&&|é|[a-z0-9 \\[\\]!=<>*,-]){0,30}") {
        if let Ok(template) = Template::parse(&text) {
            let _ = template.render(&Given { success: true });
        }
        if let Ok(condition) = Condition::parse(&text) {
            let _ = condition.evaluate(&Given { success: true });
        }
    }
}
