//! What cannot be read, and what is said of it. What can be read is shown by `tests/corpus`.

use super::*;

#[track_caller]
fn refused(text: &str, wanted: &str) {
    let parsed = parse(text);
    let found: Vec<String> = parsed.diagnostics.iter().map(|finding| finding.one_line("f")).collect();
    assert!(parsed.dockerfile.is_none(), "{text:?} can be read");
    assert_eq!(found.join("\n"), wanted, "{text:?}");
}

/// Texts and what is said of them.
const REFUSED: &[(&str, &str)] = &[
    ("", "f:1:1: error: the file has no instructions: it begins with a FROM"),
    ("# only\n\n", "f:1:1: error: the file has no instructions: it begins with a FROM"),
    ("ARG a", "f:1:1: error: the file has no FROM, so there is no stage to build"),
    ("RUN x", "f:1:1: error: RUN stands before the first FROM: only ARG may stand there"),
    (
        "FROM",
        "f:1:1: error: FROM needs one argument, or three with AS in the middle (it is written FROM image, or FROM image AS name)",
    ),
    (
        "FROM a b",
        "f:1:1: error: FROM needs one argument, or three with AS in the middle (it is written FROM image, or FROM image AS name)",
    ),
    (
        "FROM a IN b",
        "f:1:1: error: FROM needs one argument, or three with AS in the middle (it is written FROM image, or FROM image AS name)",
    ),
    (
        "FROM a AS 1x",
        "f:1:11: error: '1x' cannot be a stage's name (it begins with a letter, and has letters, digits, '-', '_' and '.')",
    ),
    (
        "FROM a AS é",
        "f:1:11: error: 'é' cannot be a stage's name (it begins with a letter, and has letters, digits, '-', '_' and '.')",
    ),
    ("FROM --platfrom=x a", "f:1:6: error: FROM has no flag --platfrom (did you mean --platform?)"),
    ("FROM --platform a", "f:1:6: error: --platform needs a value: --platform=…"),
    ("FROM a\nRUNN x", "f:2:1: error: there is no instruction RUNN (did you mean 'RUN'?)"),
    ("FROM a\nhi", "f:2:1: error: there is no instruction HI"),
    ("FROM a\nRUN", "f:2:1: error: RUN needs a command"),
    ("FROM a\nRUN [\"a\", 1]", "f:2:5: error: the JSON form is a list of strings, and of nothing else"),
    ("FROM a\nCOPY x", "f:2:1: error: COPY needs at least a source and a destination"),
    ("FROM a\nCOPY [\"x\"]", "f:2:1: error: COPY needs at least a source and a destination"),
    ("FROM a\nCOPY --form=b x y", "f:2:6: error: COPY has no flag --form (did you mean --from?)"),
    ("FROM a\nCOPY --link=maybe x y", "f:2:6: error: --link is true or false, not 'maybe'"),
    ("FROM a\nCOPY --from=b --from=c x y", "f:2:15: error: --from is given twice"),
    ("FROM a\nCOPY x <<EOF\nEOF\n", "f:2:8: error: COPY cannot have a here-document as its destination"),
    ("FROM a\nCOPY <<EOF x\ny\n", "f:2:1: error: the here-document EOF has no end (a line 'EOF' ends it)"),
    ("FROM a\nENV", "f:2:1: error: ENV needs at least one argument"),
    ("FROM a\nENV a", "f:2:1: error: ENV needs a name and a value"),
    (
        "FROM a\nENV a=b c",
        "f:2:9: error: 'c' has no =: ENV is written name=value (put the value in quotes if it has spaces)",
    ),
    ("FROM a\nENV =b", "f:2:5: error: a name of ENV is empty"),
    ("FROM a\nARG", "f:2:1: error: ARG needs at least one argument"),
    ("FROM a\nARG =b", "f:2:5: error: an ARG has no name in front of its ="),
    ("FROM a\nARG --x=y b", "f:2:5: error: ARG has no flag --x (ARG has no flags)"),
    ("FROM a\nEXPOSE", "f:2:1: error: EXPOSE needs at least one argument"),
    ("FROM a\nWORKDIR", "f:2:1: error: WORKDIR needs exactly one argument"),
    ("FROM a\nVOLUME [\"\"]", "f:2:8: error: a VOLUME is empty"),
    (
        "FROM a\nSHELL /bin/sh",
        "f:2:1: error: SHELL has to be written in the JSON form (such as SHELL [\"/bin/bash\", \"-c\"])",
    ),
    ("FROM a\nSHELL []", "f:2:1: error: SHELL needs at least one argument"),
    ("FROM a\nHEALTHCHECK", "f:2:1: error: HEALTHCHECK needs CMD and a command, or NONE"),
    ("FROM a\nHEALTHCHECK NONE x", "f:2:1: error: HEALTHCHECK NONE has no arguments"),
    ("FROM a\nHEALTHCHECK CMD", "f:2:1: error: HEALTHCHECK CMD needs a command"),
    (
        "FROM a\nHEALTHCHECK RUN x",
        "f:2:13: error: HEALTHCHECK RUN is nothing (it is HEALTHCHECK CMD and a command, or HEALTHCHECK NONE)",
    ),
    (
        "FROM a\nHEALTHCHECK --interval=30 CMD x",
        "f:2:13: error: '30' is no time for --interval (write it with its unit, such as 30s or 1m30s)",
    ),
    ("FROM a\nHEALTHCHECK --interval=1us CMD x", "f:2:13: error: --interval is less than 1ms"),
    ("FROM a\nHEALTHCHECK --retries=-1 CMD x", "f:2:13: error: '-1' is no number of --retries"),
    ("FROM a\nONBUILD", "f:2:1: error: ONBUILD needs an instruction"),
    ("FROM a\nONBUILD FROM b", "f:2:9: error: FROM cannot be kept by ONBUILD"),
    ("FROM a\nONBUILD ONBUILD RUN x", "f:2:9: error: ONBUILD cannot be kept by ONBUILD"),
    ("FROM a\nONBUILD CPY a b", "f:2:9: error: there is no instruction CPY (did you mean 'COPY'?)"),
    (
        "FROM a\nRUN --mount=type=cache,taget=/x y",
        "f:2:24: error: a mount has no option 'taget' (did you mean 'target'?)",
    ),
    ("FROM a\nRUN --mount=target y", "f:2:13: error: target needs a value: target=…"),
    (
        "FROM a\nRUN --mount=type=bind,from=$x,target=/y z",
        "f:2:23: error: the from of a mount cannot have variables (name a stage of its own with the variable in its FROM, and take that)",
    ),
    (
        "FROM a\nRUN --network=hots x",
        "f:2:5: error: 'hots' is no network: it is default, none or host (did you mean 'host'?)",
    ),
    ("FROM a\nRUN --security=no x", "f:2:5: error: 'no' is no security: it is sandbox or insecure"),
    ("# escape=x\nFROM a", "f:1:10: error: 'x' cannot be the escape character (it is \\ or a backtick)"),
    (
        "# escape=\\\n# escape=`\nFROM a",
        "f:2:10: error: there is a second escape directive: only one may be there",
    ),
    ("# check=sip=all\nFROM a", "f:1:9: error: 'sip' is no option of check (did you mean 'skip'?)"),
    ("# check=error=maybe\nFROM a", "f:1:15: error: 'maybe' is neither true nor false"),
    (
        "# check=all\nFROM a",
        "f:1:9: error: 'all' is no option of check (it is written skip=…, error=true or experimental=…)",
    ),
];

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    for &(text, wanted) in REFUSED {
        refused(text, wanted);
    }
}

#[test]
fn all_findings_of_a_file_are_told() {
    refused(
        "FROM a\nRUNN x\nCOPY y\nUSER\n",
        "f:2:1: error: there is no instruction RUNN (did you mean 'RUN'?)\n\
         f:3:1: error: COPY needs at least a source and a destination\n\
         f:4:1: error: USER needs exactly one argument",
    );
}

#[test]
fn a_place_in_a_continued_line_is_that_of_the_file() {
    refused(
        "FROM a\nCOPY \\\n  # why\n  --lnk \\\n  a b\n",
        "f:4:3: error: COPY has no flag --lnk (did you mean --link?)",
    );
    refused(
        "FROM a\nENV a=b \\\n    é=c \\\n    d\n",
        "f:4:5: error: 'd' has no =: ENV is written name=value (put the value in quotes if it has spaces)",
    );
}

#[test]
fn limits_have_their_messages() {
    refused(&"x".repeat(LONGEST_FILE + 1), "f:1:1: error: the file is longer than 4194304 bytes");
    refused(
        &format!("FROM a\nRUN {}", "x".repeat(LONGEST_LINE)),
        "f:2:1: error: the line is longer than 65535 bytes",
    );
    let many = format!("FROM a\n{}", "USER x\n".repeat(MOST_INSTRUCTIONS));
    refused(&many, "f:10001:1: error: the file has more than 10000 instructions");
    let wrong = format!("FROM a\n{}", "X\n".repeat(1_000));
    assert_eq!(parse(&wrong).diagnostics.len(), MOST_FINDINGS);
}
