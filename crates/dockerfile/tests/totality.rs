//! No text brings the reading down, and what is told of a text holds together.

use proptest::prelude::*;
use windlass_dockerfile::expand::{Lexer, Variables};
use windlass_dockerfile::{Ignore, parse};

const PIECES: [&str; 36] = [
    "FROM a",
    " AS b",
    "RUN ",
    "COPY ",
    "ENV ",
    "ARG ",
    "LABEL ",
    "ONBUILD ",
    "HEALTHCHECK ",
    "--from=b ",
    "--mount=",
    "type=cache,target=/x ",
    "<<E ",
    "\nE\n",
    "\\\n",
    "# c\n",
    "# escape=`\n",
    "[\"a\"]",
    "$a",
    "${a:-b}",
    "'",
    "\"",
    "=",
    " ",
    "\n",
    "\r\n",
    "\t",
    "\0",
    "é",
    "\u{feff}",
    "`",
    "\\",
    "<<-\"q r\" ",
    "CMD",
    "#",
    "--",
];

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..60)
            .prop_map(|pieces| pieces.concat()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gives_a_file_or_findings(text in texts()) {
        let parsed = parse(&text);
        prop_assert_eq!(parsed.dockerfile.is_none(), !parsed.diagnostics.is_empty());
        for finding in &parsed.diagnostics {
            let span = finding.span;
            prop_assert!(span.start.offset <= span.end.offset && span.end.offset <= text.len());
            prop_assert!(text.is_char_boundary(span.start.offset) && text.is_char_boundary(span.end.offset));
        }
        if let Some(file) = parsed.dockerfile {
            prop_assert!(!file.stages.is_empty());
            let mut last = 0;
            for instruction in file.stages.iter().flat_map(|stage| &stage.instructions) {
                let span = instruction.span;
                prop_assert!(last <= span.start.offset && span.start.offset < span.end.offset);
                prop_assert!(span.end.offset <= text.len());
                let written = &text[instruction.keyword.span.start.offset..instruction.keyword.span.end.offset];
                prop_assert!(written.contains('\n') || written == instruction.keyword.text);
                last = span.end.offset;
            }
        }
    }

    #[test]
    fn a_word_without_anything_special_is_itself(word in "[a-zA-Z0-9_./:, é-]*") {
        let found = Lexer::new('\\').expand(&word, &Variables::default()).unwrap();
        prop_assert_eq!(&found.text, &word);
        prop_assert_eq!(found.words, word.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    }

    #[test]
    fn single_quotes_keep_everything(word in "[^']*") {
        let found = Lexer::new('\\').expand(&format!("'{word}'"), &Variables::default()).unwrap();
        prop_assert_eq!(found.text, word);
    }

    #[test]
    fn a_prefix_and_what_is_left_are_the_value(value in "[a-c*]{0,12}", pattern in "[a-c?*]{0,6}") {
        let variables: Variables = [("v", value.as_str())].into_iter().collect();
        let left = |modifier: &str| {
            let word = format!("${{v{modifier}{pattern}}}");
            Lexer::new('\\').expand(&word, &variables).unwrap().text
        };
        prop_assert!(value.ends_with(&left("#")) && value.ends_with(&left("##")));
        prop_assert!(left("##").len() <= left("#").len());
        prop_assert!(value.starts_with(&left("%")) && value.starts_with(&left("%%")));
        prop_assert!(left("%%").len() <= left("%").len());
    }

    #[test]
    fn what_is_taken_back_last_is_kept(name in "[a-z]{1,5}", below in "[a-z]{1,5}") {
        let path = format!("{name}/{below}");
        let ignore = Ignore::parse(&format!("{name}\n!{path}")).unwrap();
        prop_assert!(ignore.excludes(&name) && !ignore.excludes(&path));
        prop_assert!(!ignore.excludes_all_below(&name));
    }
}
