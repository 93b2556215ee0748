//! Expressions of the language, drawn at random but the same in every run. It stays where the language's two
//! implementations agree; where they do not is listed in `differences`.

use serde_json::{Value as Json, json};

/// Draws.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    pub(crate) fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// What may stand at a place.
#[derive(Clone, Copy)]
struct Place {
    depth: usize,
    /// Whether it may have no value: not where one implementation evaluates and the other does not.
    fail: bool,
    /// Whether `NaN` and the infinities may stand there: not within `toJSON`, where they are written differently.
    endless: bool,
}

/// Texts, many of which are nearly numbers.
const TEXTS: [&str; 58] = [
    "",
    " ",
    "0",
    "-0",
    "1",
    " 1 ",
    "1.0",
    "01",
    "1e3",
    "1E3",
    "1e+2",
    "1e-2",
    ".5",
    "5.",
    "+1",
    "-1",
    "- 1",
    "0x1F",
    "0x",
    "0xg",
    "0o17",
    "0o8",
    "0o",
    "-0x1",
    "Infinity",
    "-Infinity",
    "+Infinity",
    "NaN",
    "nan",
    "1e",
    "e1",
    "--1",
    "1 2",
    "1,000",
    "1_0",
    "true",
    "TRUE",
    "false",
    "null",
    "Null",
    "abc",
    "ABC",
    "aBd",
    "a",
    "b",
    "é",
    "É",
    "x.y",
    "*",
    "é*",
    "Array",
    "Object",
    "\t7\n",
    "list",
    "Name",
    "it's",
    "line\nbreak",
    "\"q\\",
];

const NUMBERS: [&str; 25] = [
    "0",
    "1",
    "2",
    "-1",
    "+1",
    "-0",
    "3.5",
    ".5",
    "5.",
    "-0.25",
    "1e3",
    "1E2",
    "1e-3",
    "0x10",
    "0xfF",
    "0o17",
    "100",
    "123456789012345",
    "0.1",
    "0.0001",
    "2.50",
    "12.75",
    "-3",
    "999999",
    "1.00000000001",
];

const JSONS: [&str; 22] = [
    "1",
    "-0.5",
    "1e2",
    "true",
    "null",
    "\"x\"",
    "\"\\u00e9\\n\"",
    "[]",
    "{}",
    "[1, 2, 3]",
    "[\"a\", \"B\", null, true]",
    "[[1, [2]], [3], {\"a\": 4}]",
    "{\"a\": 1, \"b\": {\"c\": [1]}}",
    " { \"Name\" : \"x\" } ",
    "[{\"a\": 1}, {\"a\": 2}, {\"b\": 3}]",
    "\"\"",
    "[\"\"]",
    "",
    "{",
    "[1",
    "tru",
    "{\"a\"}",
];

const FORMATS: [&str; 18] = [
    "",
    "x",
    "{0}",
    "{0}{1}",
    "a{1}b{0}c",
    "{{}}",
    "{{{0}}}",
    "{{0}}",
    "}}{{",
    "{2}",
    "{0",
    "0}",
    "{",
    "}",
    "{}",
    "{a}",
    "{ 0}",
    "{00}",
];

const PATHS: [&str; 30] = [
    "github",
    "github.event",
    "github.event.list",
    "github.event.list[1]",
    "github.EVENT.Name",
    "github['event']['name']",
    "github.event.list.*",
    "github.event.list.*.a",
    "github.event.list[*].a",
    "github.event.list.*.*",
    "github.event.*",
    "github.event.none",
    "github.event.none.x",
    "github.event.name.x",
    "github.event.name[0]",
    "github.event.list.*[0]",
    "matrix",
    "matrix.*",
    "matrix.os",
    "matrix.*.v",
    "matrix.n",
    "matrix.f",
    "matrix.nil",
    "matrix.list",
    "matrix.empty",
    "vars['it''s']",
    "vars.text",
    "vars.*",
    "vars.number",
    "vars.yes",
];

/// The contexts that the expressions read.
pub(crate) fn contexts() -> Json {
    json!({
        "github": {
            "event": {
                "name": "push", "list": [{"a": 1}, [10, [20]], "text", {"a": {"b": 2}, "c": null}, null, [{"a": 3}]],
                "flag": true, "nothing": null,
            },
            "ref": "refs/heads/main", "number": 12,
        },
        "matrix": {"os": "Linux", "n": 3, "f": 0.5, "nil": null, "yes": true, "list": ["x", "Y", 3], "empty": [], "o": {"v": 7}, "p": {"v": "8"}},
        "vars": {"text": "Hello World", "number": " 42 ", "yes": "true", "it's": "quoted", "": "nameless"},
    })
}

/// A well-formed expression.
pub(crate) fn expression(draw: &mut Draw) -> String {
    let depth = 1 + draw.below(5);
    node(draw, Place { depth, fail: true, endless: true })
}

/// A text that may well be none.
pub(crate) fn broken(draw: &mut Draw) -> String {
    const PIECES: [&str; 34] = [
        "(", ")", "[", "]", ".", "*", "!", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "&", "|", "=", "'",
        "''", "github", "matrix", "foo", "toJSON", "format(", "1", "-1", ".5", "1.2.3", "null", "true", "x",
        "$", "\"",
    ];
    let mut chars: Vec<char> = expression(draw).chars().collect();
    for _ in 0..=draw.below(3) {
        let at = draw.below(chars.len() + 1);
        let end = (at + draw.below(3)).min(chars.len());
        let piece = if draw.below(3) == 0 { "" } else { draw.one(&PIECES) };
        chars.splice(at..end, piece.chars());
    }
    chars.into_iter().collect()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn node(draw: &mut Draw, place: Place) -> String {
    if place.depth == 0 || draw.below(8) == 0 {
        return leaf(draw, place);
    }
    let inner = Place { depth: place.depth - 1, ..place };
    let sure = Place { fail: false, ..inner };
    match draw.below(20) {
        0..=3 => {
            let operator = draw.one(&["==", "!=", "<", "<=", ">", ">="]);
            infix(draw, inner, operator)
        }
        4..=5 => infix(draw, inner, "&&"),
        6..=7 => infix(draw, inner, "||"),
        8 => format!("!{}", group(draw, inner)),
        9..=10 => {
            let name = draw.one(&["contains", "startsWith", "endsWith", "CONTAINS"]);
            format!("{name}({}, {})", node(draw, inner), node(draw, sure))
        }
        11 => {
            let separator =
                if draw.below(2) == 0 { format!(", {}", node(draw, sure)) } else { String::new() };
            format!("join({}{separator})", node(draw, inner))
        }
        12..=13 => call_format(draw, place, sure),
        14 => format!("toJSON({})", node(draw, Place { endless: false, ..inner })),
        15 => from_json(draw, place, inner),
        16 => {
            let (test, then, otherwise) = (node(draw, sure), node(draw, sure), node(draw, sure));
            let test = if place.fail && draw.below(4) == 0 { test } else { format!("!({test})") };
            format!("case({test}, {then}, {otherwise})")
        }
        17 => format!("({})[{}]", node(draw, inner), node(draw, sure)),
        18 => {
            let access = draw.one(&[
                ".a", ".*", "[*]", ".list", "[0]", "['A']", ".*.a", "[1.5]", "[-1]", ".*[0]", ".Name",
            ]);
            format!("({}){access}", node(draw, inner))
        }
        _ => leaf(draw, place),
    }
}

fn infix(draw: &mut Draw, inner: Place, operator: &str) -> String {
    let left = group(draw, inner);
    let space = draw.one(&[" ", "", "  ", "\n"]);
    format!("{left}{space}{operator}{space}{}", group(draw, inner))
}

/// With parentheses around it, or not: then precedence decides.
fn group(draw: &mut Draw, place: Place) -> String {
    let text = node(draw, place);
    if draw.below(2) == 0 { format!("({text})") } else { text }
}

fn call_format(draw: &mut Draw, place: Place, sure: Place) -> String {
    let template = if place.fail { draw.one(&FORMATS) } else { draw.one(&FORMATS[..9]) };
    // Where it must have a value there are enough arguments.
    let least = if place.fail { 0 } else { 2 };
    let count = least + draw.below(3);
    let mut text = format!("format({}", quoted(template));
    for _ in 0..count {
        text.push_str(", ");
        text.push_str(&node(draw, sure));
    }
    text.push(')');
    text
}

fn from_json(draw: &mut Draw, place: Place, inner: Place) -> String {
    if draw.below(3) == 0 {
        return format!("fromJSON(toJSON({}))", node(draw, Place { endless: false, ..inner }));
    }
    let json = if place.fail { draw.one(&JSONS) } else { draw.one(&JSONS[..17]) };
    format!("fromJSON({})", quoted(json))
}

fn leaf(draw: &mut Draw, place: Place) -> String {
    match draw.below(12) {
        0..=3 => draw.one(&PATHS).to_owned(),
        4..=7 => quoted(draw.one(&TEXTS)),
        8..=9 => draw.one(&NUMBERS).to_owned(),
        10 => draw.one(&["true", "false", "null"]).to_owned(),
        _ if place.endless => draw.one(&["NaN", "Infinity", "-Infinity"]).to_owned(),
        _ => draw.one(&["true", "false", "null"]).to_owned(),
    }
}
