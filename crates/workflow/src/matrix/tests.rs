use serde_json::{Value as Json, json};

use super::*;

fn input(json: Json) -> MatrixInput {
    MatrixInput::from_value(&Value::from(json)).unwrap()
}

fn legs(json: Json) -> Vec<Json> {
    expand(&input(json)).unwrap().iter().map(|leg| leg.values.to_json()).collect()
}

fn names(json: Json) -> Vec<String> {
    expand(&input(json)).unwrap().iter().map(|leg| leg.display_name("test")).collect()
}

#[test]
fn the_first_vector_varies_slowest() {
    assert_eq!(
        names(json!({"os": ["linux", "mac"], "node": [10, 12.5], "flag": [true]})),
        [
            "test (linux, 10, true)",
            "test (linux, 12.5, true)",
            "test (mac, 10, true)",
            "test (mac, 12.5, true)"
        ]
    );
}

#[test]
fn githubs_documented_include_example() {
    let made = legs(json!({
        "fruit": ["apple", "pear"],
        "animal": ["cat", "dog"],
        "include": [
            {"color": "green"},
            {"color": "pink", "animal": "cat"},
            {"fruit": "apple", "shape": "circle"},
            {"fruit": "banana"},
            {"fruit": "banana", "animal": "cat"},
        ],
    }));
    assert_eq!(
        made,
        [
            json!({"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"}),
            json!({"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"}),
            json!({"fruit": "pear", "animal": "cat", "color": "pink"}),
            json!({"fruit": "pear", "animal": "dog", "color": "green"}),
            json!({"fruit": "banana"}),
            json!({"fruit": "banana", "animal": "cat"}),
        ]
    );
}

#[test]
fn excludes_are_partial_loose_and_nested() {
    assert_eq!(
        legs(json!({"os": ["Linux", "mac"], "v": [1, 2], "exclude": [{"OS": "linux", "v": "1"}, {"v": 2}]})),
        [json!({"os": "mac", "v": 1})]
    );
    assert_eq!(
        legs(
            json!({"os": [{"name": "a", "v": 1}, {"name": "b", "v": 2}], "exclude": [{"os": {"name": "b"}}]})
        ),
        [json!({"os": {"name": "a", "v": 1}})]
    );
    assert_eq!(legs(json!({"a": [1], "exclude": [{"a": 1}]})), Vec::<Json>::new());
}

#[test]
fn an_excluded_combination_may_come_back_by_include_and_extras_do_not_name() {
    let matrix = json!({"os": ["a", "b"], "exclude": [{"os": "b"}], "include": [{"os": "b", "x": 1}, {"os": "a", "x": 2}]});
    assert_eq!(legs(matrix.clone()), [json!({"os": "a", "x": 2}), json!({"os": "b", "x": 1})]);
    assert_eq!(names(matrix), ["test (a)", "test (b, 1)"]);
}

#[test]
fn an_include_never_changes_an_original_value() {
    let matrix = json!({"v": [1], "os": ["Linux"], "include": [{"V": "1", "OS": "linux", "x": 1}, {"x": 2}]});
    assert_eq!(legs(matrix), [json!({"v": 1, "os": "Linux", "x": 2})]);
}

#[test]
fn includes_alone_are_one_job_each() {
    assert_eq!(
        names(json!({"include": [{"site": "prod", "n": 1}, {"site": "stage"}]})),
        ["test (prod, 1)", "test (stage)"]
    );
}

#[test]
fn names_take_scalar_leaves_and_are_cut_at_100() {
    assert_eq!(names(json!({"os": [{"name": "a", "tags": ["x", null, ""]}]})), ["test (a, x)"]);
    let long = names(json!({"x": ["é".repeat(200)]}));
    assert_eq!(long[0].chars().count(), 100);
    assert!(long[0].ends_with("..."));
}

#[test]
fn what_cannot_expand_says_why() {
    let wide = |n: usize| (0..n).collect::<Vec<_>>();
    for (matrix, message) in [
        (json!({}), "Matrix must define at least one vector"),
        (json!({"a": []}), "Matrix vector 'a' does not contain any values"),
        (
            json!({"a": [1], "exclude": [{"b": 1}]}),
            "Matrix exclude key 'b' does not match any key within the matrix",
        ),
        (
            json!({"a": wide(17), "b": wide(16)}),
            "Strategy produced 272 configurations, but only 256 are supported",
        ),
    ] {
        assert_eq!(expand(&input(matrix)).unwrap_err().to_string(), message);
    }
    assert_eq!(expand(&input(json!({"a": wide(16), "b": wide(16)}))).unwrap().len(), 256);
    let huge = json!({"a": wide(256), "b": wide(256), "c": wide(256), "d": wide(256)});
    assert!(matches!(expand(&input(huge)), Err(MatrixError::TooMany(_))));
    for bad in [json!(1), json!({"a": 1}), json!({"include": {"a": 1}}), json!({"include": [1]})] {
        assert!(MatrixInput::from_value(&Value::from(bad)).is_err());
    }
}
