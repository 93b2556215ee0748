//! Words and what becomes of them. Each row is a documented behaviour of BuildKit's shell lexer.

use super::*;

fn variables() -> Variables {
    [
        ("a", "one"),
        ("empty", ""),
        ("two", "b  c"),
        ("path", "/usr/local/bin:/usr/bin"),
        ("file", "archive.tar.gz"),
        ("star", "a*b*c"),
        ("lines", "x\ny"),
        ("é", "accent"),
        ("A1_b", "mixed"),
    ]
    .into_iter()
    .collect()
}

/// Words and what they become.
const WORDS: &[(&str, &str)] = &[
    // Nothing special.
    ("", ""),
    ("plain", "plain"),
    ("a b", "a b"),
    ("$", "$"),
    ("a$", "a$"),
    ("$ a", "$ a"),
    ("$%", "$%"),
    // Names.
    ("$a", "one"),
    ("${a}", "one"),
    ("$ax", ""),
    ("${a}x", "onex"),
    ("x$a-y", "xone-y"),
    ("$a$a", "oneone"),
    ("$é", "accent"),
    ("$A1_b.", "mixed."),
    ("$1a", "a"),
    ("$12", ""),
    ("$@x", "x"),
    ("$$a", "a"),
    ("$unknown|", "|"),
    ("${unknown}|", "|"),
    // Quotes.
    ("'$a'", "$a"),
    ("\"$a\"", "one"),
    ("\"'$a'\"", "'one'"),
    ("'\"'", "\""),
    ("a'b c'd", "ab cd"),
    ("''", ""),
    ("\"\"", ""),
    ("'a\\b'", "a\\b"),
    // Escapes.
    ("\\$a", "$a"),
    ("\\\\$a", "\\one"),
    ("\\a", "a"),
    ("a\\", "a"),
    ("\"\\$a\"", "$a"),
    ("\"\\a\"", "\\a"),
    ("\"\\\"\"", "\""),
    ("\"\\\\\"", "\\"),
    ("\\'a\\'", "'a'"),
    // Defaults.
    ("${a:-x}", "one"),
    ("${empty:-x}", "x"),
    ("${empty-x}", ""),
    ("${unknown:-x}", "x"),
    ("${unknown-x}", "x"),
    ("${unknown:-$a}", "one"),
    ("${unknown:-${empty:-deep}}", "deep"),
    ("${unknown:-'a b'}", "a b"),
    ("${unknown:-}", ""),
    ("${unknown:-a\\}b}", "a}b"),
    // Alternatives.
    ("${a:+x}", "x"),
    ("${empty:+x}", ""),
    ("${empty+x}", "x"),
    ("${unknown:+x}", ""),
    ("${unknown+x}", ""),
    ("${a:+$two}", "b  c"),
    // Requirements.
    ("${a:?no}", "one"),
    ("${empty?no}", ""),
    // The shortest and the longest beginning.
    ("${path#*/}", "usr/local/bin:/usr/bin"),
    ("${path##*/}", "bin"),
    ("${path#x}", "/usr/local/bin:/usr/bin"),
    ("${file#?}", "rchive.tar.gz"),
    ("${file##*.}", "gz"),
    ("${unknown#a}", ""),
    ("${star#a\\*}", "b*c"),
    ("${a#\"o\"}", "ne"),
    ("${lines#*}", "x\ny"),
    ("${lines##*}", "\ny"),
    // The shortest and the longest end.
    ("${file%.*}", "archive.tar"),
    ("${file%%.*}", "archive"),
    ("${path%/*}", "/usr/local/bin:/usr"),
    ("${path%%/*}", ""),
    ("${path%x}", "/usr/local/bin:/usr/bin"),
    ("${star%\\*c}", "a*b"),
    // Replacements.
    ("${path/usr/opt}", "/opt/local/bin:/usr/bin"),
    ("${path//usr/opt}", "/opt/local/bin:/opt/bin"),
    ("${path/\\//_}", "_usr/local/bin:/usr/bin"),
    ("${path//\\//_}", "_usr_local_bin:_usr_bin"),
    ("${file/a*r/X}", "X.gz"),
    ("${file//?r/-}", "-chive.t-.gz"),
    ("${a/x/y}", "one"),
    ("${a/o/}", "ne"),
    ("${a//n/$two}", "ob  ce"),
    ("${unknown/a/b}", ""),
    ("${a//n/[$$0]}", "o[0]e"),
    // Here-document marks are nothing special in a word.
    ("a<b", "a<b"),
    ("<< EOF", "<< EOF"),
];

#[test]
fn words_are_expanded() {
    for &(word, wanted) in WORDS {
        let found = Lexer::new('\\').expand(word, &variables());
        assert_eq!(found.map(|found| found.text), Ok(wanted.to_owned()), "{word}");
    }
}

#[test]
fn words_that_cannot_be_expanded_say_why() {
    for (word, wanted) in [
        ("'a", ExpandError::SingleQuote),
        ("\"a", ExpandError::DoubleQuote),
        ("\"a\\\"", ExpandError::DoubleQuote),
        ("${", ExpandError::MissingBrace),
        ("${a", ExpandError::MissingBrace),
        ("${a:", ExpandError::MissingBrace),
        ("${a:-b", ExpandError::MissingBrace),
        ("${a:-'b}", ExpandError::MissingBrace),
        ("${}", ExpandError::NoName),
        ("${:-a}", ExpandError::NoName),
        ("${{a}}", ExpandError::NoName),
        ("${a:=b}", ExpandError::Modifier(":=".into())),
        ("${a:#b}", ExpandError::Modifier(":#".into())),
        ("${a^^}", ExpandError::Modifier("^".into())),
        ("${a b}", ExpandError::Modifier(" ".into())),
        ("${a/b}", ExpandError::MissingSlash),
        ("${a#\\o}", ExpandError::Escape("o".into())),
        ("${a#b\\}", ExpandError::MissingBrace),
    ] {
        assert_eq!(Lexer::new('\\').expand(word, &variables()), Err(wanted), "{word}");
    }
    for (word, wanted) in [
        ("${unknown:?}", "unknown: is not allowed to be unset"),
        ("${unknown?}", "unknown: is not allowed to be unset"),
        ("${empty:?}", "empty: is not allowed to be empty"),
        ("${empty:?say $a}", "empty: say one"),
    ] {
        let found = Lexer::new('\\').expand(word, &variables());
        assert_eq!(found.map_err(|error| error.to_string()), Err(wanted.to_owned()), "{word}");
    }
}

#[test]
fn unquoted_white_space_separates_words() {
    for (word, wanted) in [
        ("a b", vec!["a", "b"]),
        ("  a\t b  ", vec!["a", "b"]),
        ("'a b' c", vec!["a b", "c"]),
        ("a'b c'", vec!["ab c"]),
        ("$two", vec!["b", "c"]),
        ("x$two", vec!["xb", "c"]),
        ("\"$two\"", vec!["b  c"]),
        ("a\\ b", vec!["a b"]),
        ("", vec![]),
        ("$empty", vec![]),
        ("a $empty b", vec!["a", "b"]),
        ("<< EOF x", vec!["<< EOF", "x"]),
    ] {
        let found = Lexer::new('\\').expand(word, &variables()).unwrap();
        assert_eq!(found.words, wanted, "{word}");
    }
}

#[test]
fn the_escape_character_may_be_a_backtick() {
    for (word, wanted) in [
        ("`$a", "$a"),
        ("a\\b", "a\\b"),
        ("\"`$a\"", "$a"),
        ("\"\\$a\"", "\\one"),
        ("C:\\$a", "C:\\one"),
        ("``", "`"),
    ] {
        let found = Lexer::new('`').expand(word, &variables());
        assert_eq!(found.map(|found| found.text), Ok(wanted.to_owned()), "{word}");
    }
}

#[test]
fn in_a_here_document_quotes_are_text() {
    for (word, wanted) in [("'$a' \"$a\"", "'one' \"one\""), ("\\$a \\\\ \\n", "$a \\ n"), ("it's", "it's")] {
        let found = Lexer::heredoc().expand(word, &variables());
        assert_eq!(found.map(|found| found.text), Ok(wanted.to_owned()), "{word}");
    }
}

#[test]
fn unknown_variables_can_stay_as_they_are() {
    let lexer = Lexer { keep_unset: true, raw_quotes: true, ..Lexer::new('\\') };
    for word in ["$x", "${x}", "${x:-a}", "${x#a}", "${x//a/b}", "\"$x\"", "'a'"] {
        assert_eq!(lexer.expand(word, &variables()).map(|found| found.text), Ok(word.to_owned()), "{word}");
    }
}

#[test]
fn what_was_used_and_what_was_missing_is_told() {
    let found =
        Lexer::new('\\').expand("$a ${empty:-$nope} '$quoted' \"${two}\" ${gone+x}", &variables()).unwrap();
    assert_eq!(found.used.iter().map(String::as_str).collect::<Vec<_>>(), ["a", "empty", "two"]);
    assert_eq!(found.missing.iter().map(String::as_str).collect::<Vec<_>>(), ["gone", "nope"]);
}

#[test]
fn a_word_cannot_grow_or_nest_without_end() {
    let deep = format!("{}x{}", "${q:-".repeat(1_000), "}".repeat(1_000));
    assert_eq!(Lexer::new('\\').expand(&deep, &variables()), Err(ExpandError::TooDeep));
    let mut all = variables();
    all.set("big", &"x".repeat(100_000));
    let many = "$big".repeat(11);
    assert_eq!(Lexer::new('\\').expand(&many, &all), Err(ExpandError::TooLong));
    assert_eq!(Lexer::new('\\').expand("${big//x/$big}", &all), Err(ExpandError::TooLong));
    let pattern = format!("${{big#{}y}}", "*x".repeat(1_000));
    assert_eq!(Lexer::new('\\').expand(&pattern, &all), Err(ExpandError::TooLong));
    let fits = format!("${{big#{}y}}", "*x".repeat(50));
    assert_eq!(Lexer::new('\\').expand(&fits, &all).map(|found| found.text.len()), Ok(100_000));
}
