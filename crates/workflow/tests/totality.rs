//! No text brings the reading down: neither a random one, nor a workflow with something broken in it.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use windlass_workflow::{Diagnostic, Severity, parse, parse_action, parse_bytes};

/// Pieces that mean something to the language.
const PIECES: [&str; 40] = [
    "on",
    "jobs",
    ":",
    ": ",
    "\n",
    "\n  ",
    "\n    - ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "${{",
    "}}",
    "'",
    "\"",
    "|\n",
    ">-\n ",
    "&a ",
    "*a",
    "!!str ",
    "<<: ",
    "#",
    "runs-on",
    "steps",
    "needs",
    "if",
    "run: x",
    "uses: ",
    "matrix",
    "include",
    "${{ github.ref }}",
    "${{ needs.a }}",
    "~",
    "é",
    "\u{feff}",
    "\r",
    "\t",
    "\0",
];

fn corpus() -> Vec<String> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut texts = Vec::new();
    for folder in ["ok", "bad"] {
        for entry in fs::read_dir(data.join(folder)).expect("the test data") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "yml") {
                texts.push(fs::read_to_string(path).expect("a text"));
            }
        }
    }
    texts.sort();
    texts
}

fn check_findings(text: &str, usable: bool, findings: &[Diagnostic]) {
    let errors = findings.iter().any(|found| found.severity == Severity::Error);
    assert_eq!(usable, !errors, "{findings:?}");
    for found in findings {
        let (start, end) = (found.span.start, found.span.end);
        assert!(start.offset <= end.offset && end.offset <= text.len(), "{found:?}");
        assert!(text.is_char_boundary(start.offset) && text.is_char_boundary(end.offset), "{found:?}");
        assert!(start.line >= 1 && start.column >= 1, "{found:?}");
        assert!(!found.message.contains('\n') && !found.message.is_empty(), "{found:?}");
        assert!(found.snippet("w.yml", text).starts_with(found.severity.as_str()));
    }
}

fn check(text: &str) {
    let parsed = parse("w.yml", text);
    check_findings(text, parsed.workflow.is_some(), &parsed.diagnostics);
    if let Some(workflow) = parsed.workflow {
        assert_eq!(workflow.topological().len(), workflow.jobs.len());
        for job in &workflow.jobs {
            assert!(!workflow.ancestors(&job.id).iter().any(|ancestor| ancestor.id == job.id));
        }
    }
    let action = parse_action(text);
    check_findings(text, action.action.is_some(), &action.diagnostics);
}

#[derive(Clone, Debug)]
struct Edit {
    place: prop::sample::Index,
    remove: usize,
    insert: String,
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let insert = prop_oneof![
        3 => prop::sample::select(&PIECES[..]).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
        1 => Just(String::new()),
    ];
    let edit = (any::<prop::sample::Index>(), 0..12_usize, insert).prop_map(|(place, remove, insert)| Edit {
        place,
        remove,
        insert,
    });
    prop::collection::vec(edit, 1..6)
}

fn edited(text: &str, edits: &[Edit]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for edit in edits {
        let at = edit.place.index(chars.len() + 1);
        let end = (at + edit.remove).min(chars.len());
        chars.splice(at..end, edit.insert.chars());
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text(text in "[\\PC\n\t\r]{0,200}") {
        check(&text);
    }

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        parse_bytes("w.yml", &bytes);
    }

    #[test]
    fn pieces_of_the_language(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..60)) {
        check(&pieces.concat());
    }

    #[test]
    fn broken_workflows(which in any::<prop::sample::Index>(), edits in edits()) {
        let corpus = corpus();
        check(&edited(which.get::<String>(&corpus), &edits));
    }
}

#[test]
fn bytes_that_are_no_text_are_told_with_their_place() {
    let parsed = parse_bytes("w.yml", b"on: push\nname: \xff\n");
    let shown: Vec<String> = parsed.diagnostics.iter().map(|found| found.one_line("w.yml")).collect();
    assert_eq!(shown, ["w.yml:2:7: error: The file is not UTF-8 text"]);
}

#[test]
fn a_file_of_many_jobs_is_read() {
    let mut text = String::from("on: push\njobs:\n");
    for job in 0..3_000 {
        let needs = if job == 0 { String::new() } else { format!("needs: [j{}], ", job - 1) };
        text.push_str(&format!("  j{job}: {{{needs}runs-on: x, steps: [{{run: x}}]}}\n"));
    }
    let parsed = parse("w.yml", &text);
    let workflow = parsed.workflow.expect("no error");
    assert_eq!(workflow.ancestors("J2999").len(), 2_999);
}

/// Files that cost much to look at where each look costs much: each ends, with bounded findings.
#[test]
fn files_made_to_be_costly_are_looked_at_in_bounded_work() {
    let properties = (0..10_000).map(|n| format!("p{n}: {n}, ")).collect::<Vec<_>>().concat();
    let reads = |what: &str| -> String {
        (0..5_000)
            .map(|n| format!("      - {{id: s{n}, run: \"${{{{ {what} }}}}\"}}\n"))
            .collect::<Vec<_>>()
            .concat()
    };
    let job = "on: push\njobs:\n  a:\n    runs-on: x\n";
    let texts = [
        format!(
            "{job}    strategy: {{matrix: {{o: [{{{properties}}}]}}}}\n    steps:\n{}",
            reads("matrix.o[1] || matrix.o.x")
        ),
        format!("{job}    outputs: {{{properties}}}\n    steps:\n{}", reads("steps.nothing.x || needs.b")),
        format!("{job}    steps:\n      - run: |\n{}", "          ::set-output \n".repeat(30_000)),
        format!("{job}    steps:\n      - run: echo {}\n", "${{ github.head_ref }}".repeat(900)),
        format!("{job}    steps:\n      - if: {}1\n        run: x\n", "github.event.".repeat(1_500)),
    ];
    for text in texts {
        let found =
            windlass_workflow::lint::workflow("w.yml", &text, windlass_workflow::lint::Options::default());
        assert!(found.len() <= 6_000, "{}", found.len());
    }
}
