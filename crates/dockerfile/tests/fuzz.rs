//! What the crate reads from outside, fuzzed: see `windlass_testkit::Fuzz` and `cargo xtask fuzz`.

use std::collections::{BTreeMap, BTreeSet};

use windlass_dockerfile::expand::{Lexer, Variables};
use windlass_dockerfile::plan::{Action, Base};
use windlass_dockerfile::{
    Ignore, ImageConfig, Options, Parent, Plan, Platform, StageRun, lint, parse_bytes,
};
use windlass_testkit::{Fuzz, way};

fn options() -> Options {
    Options {
        build_args: BTreeMap::from([("GIVEN".to_owned(), "given".to_owned())]),
        target: None,
        platform: Platform::linux("arm64"),
        build_platform: Platform::linux("amd64"),
        contexts: BTreeSet::from(["ctx".to_owned()]),
    }
}

/// Goes the whole way of a text. Says which way it took.
fn whole_way(bytes: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(bytes);
    let parsed = parse_bytes(bytes);
    let mut ways = 0_u64;
    for found in lint(&parsed, &options(), Some(&Ignore::parse("*.x\n!y").expect("patterns"))) {
        let (start, end) = (found.span.start, found.span.end);
        assert!(start.offset <= end.offset && end.offset <= text.len(), "{found:?}");
        assert!(found.snippet("f", &text).starts_with(found.severity.as_str()));
        ways |= 1 << (way(&found.message) % 61);
    }
    let errors = parsed.diagnostics.iter().any(windlass_dockerfile::Diagnostic::is_error);
    assert_eq!(parsed.dockerfile.is_none(), errors, "{:?}", parsed.diagnostics);
    let Some(file) = parsed.dockerfile else { return ways };
    let Ok(plan) = Plan::new(&file, options()) else { return ways.rotate_left(3) };
    let mut runs: BTreeMap<usize, StageRun> = BTreeMap::new();
    for index in plan.order() {
        let parent = match plan.stages()[index].base {
            Base::Stage(base) => Parent::Stage(&runs[&base]),
            _ => Parent::Image(ImageConfig::default()),
        };
        let Ok(mut run) = plan.begin(index, parent) else { return ways };
        for step in run.by_ref() {
            ways ^= way(&step.map_or_else(|found| found.message, |step| kind(&step.action).to_owned()));
        }
        runs.insert(index, run);
    }
    ways
}

/// What a step does, roughly.
fn kind(action: &Action) -> &'static str {
    match action {
        Action::Run(run) if run.script.is_some() => "script",
        Action::Run(run) if run.mounts.is_empty() => "run",
        Action::Run(_) => "mounted",
        Action::Transfer(transfer) if transfer.sources.len() > 1 => "many",
        Action::Transfer(_) => "one",
        Action::Folder(_) => "folder",
        Action::Config => "config",
        Action::Nothing => "nothing",
    }
}

/// Pieces that mean something to the language.
const PIECES: [&str; 77] = [
    "FROM ",
    "scratch",
    " AS a",
    "RUN ",
    "COPY ",
    "ADD ",
    "ENV ",
    "ARG ",
    "LABEL ",
    "CMD ",
    "ENTRYPOINT ",
    "HEALTHCHECK ",
    "ONBUILD ",
    "SHELL ",
    "EXPOSE ",
    "VOLUME ",
    "USER ",
    "WORKDIR ",
    "STOPSIGNAL ",
    "MAINTAINER ",
    "--from=",
    "--mount=type=",
    "cache",
    "secret",
    "bind",
    "ssh",
    "tmpfs",
    ",target=/",
    ",id=",
    "--chmod=",
    "--chown=",
    "--platform=",
    "--interval=",
    "--exclude=",
    "--parents",
    "--link",
    "--checksum=sha256:",
    "<<EOF",
    "<<-'E'",
    "EOF\n",
    "\nE\n",
    "\\\n",
    "`\n",
    "# ",
    "# escape=`\n",
    "# check=skip=",
    ";error=true",
    "[\"",
    "\"]",
    "\", \"",
    "'",
    "\"",
    "$",
    "${",
    "}",
    ":-",
    ":+",
    ":?",
    "##",
    "%%",
    "//",
    "$GIVEN",
    "\n",
    "\r\n",
    "\t",
    " ",
    "=",
    "\u{feff}",
    "é",
    "http://x/y",
    "git@x:y.git#z:q",
    "80-90/udp",
    "5s",
    "NONE",
    "ctx",
    "/./",
    "**",
];

#[test]
fn dockerfile() {
    Fuzz { name: "dockerfile", words: &PIECES, longest: 4_000 }.run(whole_way);
}

#[test]
fn words() {
    let words = [
        "$", "${", "}", "a", "empty", ":-", ":+", ":?", "-", "+", "?", "#", "##", "%", "%%", "/", "//", "*",
        "\\", "'", "\"", " ", "<<", "é", "\n", "$$", "`",
    ];
    let variables: Variables =
        [("a", "some/long*value\nwith é"), ("empty", ""), ("b", "x")].into_iter().collect();
    Fuzz { name: "dockerfile-words", words: &words, longest: 400 }.run(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let plain = Lexer::new('\\').expand(&text, &variables);
        _ = Lexer::heredoc().expand(&text, &variables);
        _ = Lexer { keep_unset: true, raw_quotes: true, raw_escapes: true, ..Lexer::new('`') }
            .expand(&text, &variables);
        match plain {
            Ok(found) => {
                let joined: String = found.words.concat();
                assert!(joined.len() <= found.text.len(), "{found:?}");
                found.words.len() as u64 ^ way(&found.missing.len().to_string())
            }
            Err(error) => way(&format!("{:?}", std::mem::discriminant(&error))),
        }
    });
}

#[test]
fn dockerignore() {
    let words =
        ["*", "**", "/", "!", "?", "[", "]", "^", "-", "\\", "a", "b", "\n", "#", " ", ".", "..", "**/", "é"];
    Fuzz { name: "dockerignore", words: &words, longest: 400 }.run(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        match Ignore::parse(&text) {
            Ok(ignore) => ["a", "a/b", "b/a/c", "é", "a/.b"].iter().fold(0, |ways, path| {
                let folder = path.split('/').next().unwrap_or(path);
                if ignore.excludes(folder) && ignore.excludes_all_below(folder) {
                    assert!(ignore.excludes(path), "{path} is below {folder}: {text:?}");
                }
                ways << 1 | u64::from(ignore.excludes(path))
            }),
            Err(error) => way(&error.to_string()),
        }
    });
}
