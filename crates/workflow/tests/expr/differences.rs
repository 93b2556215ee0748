//! Where the package does otherwise than the runner (and so than we do), each with the reason.

/// An expression, its value here and in the package, as JSON or `error`.
pub(crate) struct Row {
    pub(crate) expr: &'static str,
    pub(crate) ours: &'static str,
    pub(crate) theirs: &'static str,
    pub(crate) why: &'static str,
}

const fn row(expr: &'static str, ours: &'static str, theirs: &'static str, why: &'static str) -> Row {
    Row { expr, ours, theirs, why }
}

const LAZY: &str = "the runner evaluates an argument when it is needed";
const G15: &str = "the runner writes numbers with fifteen digits (G15)";
const NUMBERS: &str = "the runner reads numbers as .NET does";
const CASING: &str = "the runner compares by one character's upper case";
const LENIENT: &str = "the runner's reader of JSON is lenient";
const SYNTAX: &str = "the runner's parser does otherwise";
const FORMAT: &str = "the runner has format specifiers, which no value of ours takes";
const ESCAPES: &str = "the runner's writer of JSON escapes these";

pub(crate) const TABLE: &[Row] = &[
    row("format('x', fromJSON(''))", "\"x\"", "error", LAZY),
    row("contains(github, fromJSON(''))", "false", "error", LAZY),
    row("startsWith(matrix.list, fromJSON(''))", "false", "error", LAZY),
    row("join(fromJSON('[1]'), fromJSON(''))", "\"1\"", "error", LAZY),
    row("case(true, 1, fromJSON(''))", "1", "error", LAZY),
    row("matrix.nil[fromJSON('')]", "null", "error", LAZY),
    row("format('{0}', 1e15)", "\"1E+15\"", "\"1000000000000000\"", G15),
    row("format('{0}', 0.00001)", "\"1E-05\"", "\"0.00001\"", G15),
    row("format('{0}', 1234.56789012345678)", "\"1234.56789012346\"", "\"1234.567890123457\"", G15),
    row("format('{0}', 1e-20)", "\"1E-20\"", "\"0\"", G15),
    row("toJSON(NaN)", "\"NaN\"", "\"null\"", G15),
    row("toJSON(1e21)", "\"1E+21\"", "\"1e+21\"", G15),
    row("0xFFFFFFFF", "-1", "4294967295", NUMBERS),
    row("'0X1F' == 31", "false", "true", NUMBERS),
    row("'0b1' == 1", "false", "true", NUMBERS),
    row("0b1", "error", "1", NUMBERS),
    row("'infinity' == Infinity", "true", "false", NUMBERS),
    row("'0x1FFFFFFFF' == 8589934591", "false", "true", NUMBERS),
    row("'ß' == 'SS'", "false", "true", CASING),
    row("'ſ' == 'S'", "false", "true", CASING),
    row("contains('\u{212a}', 'k')", "false", "true", CASING),
    row("fromJSON('[1, /* two */ 2,]')", "[1,2]", "error", LENIENT),
    row("fromJSON('{''a'': 1}').a", "1", "error", LENIENT),
    row("fromJSON('{a: 010}').a", "8", "error", LENIENT),
    row("fromJSON('NaN')", "{\"$number\":\"NaN\"}", "error", LENIENT),
    row("fromJSON('{\"a\": 1, \"A\": 2}').a", "2", "1", LENIENT),
    row("join('x',)", "error", "\"x\"", SYNTAX),
    row("'a''b''c'", "\"a'b'c\"", "\"a'b''c\"", SYNTAX),
    row("1\u{a0}== 1", "true", "error", SYNTAX),
    row("format('{0:x}', 'a')", "error", "\"a\"", FORMAT),
    row("format('{0x}', 'a')", "error", "\"a\"", FORMAT),
    row("toJSON('\u{85}')", "\"\\\"\\\\u0085\\\"\"", "\"\\\"\u{85}\\\"\"", ESCAPES),
    row("toJSON('\u{2028}')", "\"\\\"\\\\u2028\\\"\"", "\"\\\"\u{2028}\\\"\"", ESCAPES),
    row(
        "((((((((((((((((((((((((((((((((((((((((((((((((((((1))))))))))))))))))))))))))))))))))))))))))))))))))))",
        "1",
        "error",
        SYNTAX,
    ),
];

/// Whether a drawn text is one of those by accident: a comma before `)`, two quotes within a text, a colon in a format.
pub(crate) fn known(text: &str) -> bool {
    let closed: String = text.split_whitespace().collect();
    closed.contains(",)") || text.matches("''").count() > 1
}
