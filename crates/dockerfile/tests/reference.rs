//! `docs/reference/dockerfile.md` is made from the tables that the reading uses, and no line of it says more than a test
//! shows. `UPDATE_EXPECT=1` writes the page anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use windlass_dockerfile::lint::RULES;
use windlass_dockerfile::parse::{FLAGS, FlagShape, MOUNT_OPTIONS, MOUNT_TYPES};
use windlass_dockerfile::plan::{AUTOMATIC, PROXIES};

/// What of the language is there, and where it is shown: a test's name, or a file of `tests/corpus/data`.
const FEATURES: &[(&str, &[&str])] = &[
    (
        "`# syntax=`, `# escape=`, `# check=` in front of everything else",
        &["directives", "directive-too-late", "escape-backtick", "shebang"],
    ),
    (
        "comments, also within continued lines; empty lines there (told)",
        &["continuation", "buildkits_own_parser_reads_the_same"],
    ),
    (
        "here-documents of `RUN`, `COPY`, `ADD`: several of a line, `<<-`, quoted names, scripts with `#!`",
        &["heredoc-run", "heredoc-copy", "heredoc-crlf"],
    ),
    ("JSON form and shell form; what is no JSON is the shell form", &["json-forms", "json-not-strings"]),
    ("keywords in any case", &["keywords-any-case"]),
    (
        "`ARG`: global, of a stage, with defaults that name others, inherited by stages on a stage",
        &["arg-scopes", "arg-env-order", "buildkit_gives_the_same_configuration"],
    ),
    (
        "arguments about platforms",
        &["automatic-platforms", "platform-per-stage", "platforms_have_a_usual_form"],
    ),
    (
        "proxy arguments, in no key and no history",
        &["proxies", "proxies_need_no_declaration_and_are_in_no_key"],
    ),
    (
        "`$a`, `${a}`, `:-` `-` `:+` `+` `:?` `?` `#` `##` `%` `%%` `/` `//`, quotes and escapes",
        &["words_are_expanded", "words_that_cannot_be_expanded_say_why", "expansion"],
    ),
    ("`ENV` and `LABEL` in both forms", &["env-forms"]),
    ("`COPY` and `ADD` with all flags", &["copy-flags", "add-sources"]),
    ("`RUN --mount=type=bind|cache|tmpfs|secret|ssh`, `--network`, `--security`", &["mounts"]),
    ("`HEALTHCHECK` with all options, `NONE`", &["healthcheck", "healthchecks"]),
    ("`ONBUILD`, of a base stage and of a base image", &["onbuild", "a_base_images_onbuild_comes_first"]),
    ("`ENTRYPOINT` takes the base's `CMD` away", &["entrypoint-resets-cmd", "entrypoints"]),
    (
        "`WORKDIR`, `USER`, `VOLUME`, `EXPOSE` with ranges, `STOPSIGNAL`, `SHELL`",
        &["workdirs", "expose", "stop-signals", "ports_are_read_with_ranges_and_protocols"],
    ),
    (
        "stages by name and number, `--target`, only what is needed",
        &["only_what_the_target_needs_is_built", "multi-stage"],
    ),
    (
        "stages that need themselves, or ones below",
        &["cycle", "a_stage_below_is_only_wrong_where_it_is_needed"],
    ),
    ("named contexts", &["named-context", "contexts_go_before_stages_and_images"]),
    (
        "`.dockerignore`: `!`, `**`, classes, comments",
        &["patterns_are_paths_from_the_root", "the_last_pattern_decides", "two_stars_are_any_folders"],
    ),
    (
        "any text gives a file or findings, within limits",
        &[
            "any_text_gives_a_file_or_findings",
            "limits_have_their_messages",
            "a_word_cannot_grow_or_nest_without_end",
        ],
    ),
];

/// What is read otherwise than BuildKit reads it.
const DIFFERENT: [&str; 6] = [
    "All errors of a file are told at once, with places and with what was likely meant.",
    "An absolute `WORKDIR` loses its `//` and `..` at once.",
    "`--target` and the `from` of a mount may be a stage's number.",
    "`FROM Name` finds the stage `name`, whatever the case.",
    "A variable that a stage on an image uses, and nobody sets, is told only when its name is near to one that is set: what the image sets is not fetched for it.",
    "`# syntax=` is read and changes nothing: the language is always the whole one.",
];

fn page() -> String {
    let mut out = String::from(
        "# The Dockerfile language\n\n<!-- Made by crates/dockerfile/tests/reference.rs; UPDATE_EXPECT=1 writes it anew. -->\n\n\
         `windlass build` reads Dockerfiles as BuildKit does; how it builds them stands in [Building images](build.md).\n\
         `windlass lint Dockerfile` and `windlass build --check` say what is wrong and what could be better.\n\n\
         ## What is there\n\n| of the language | shown by |\n| --- | --- |\n",
    );
    for (feature, tests) in FEATURES {
        let tests: Vec<String> = tests.iter().map(|test| format!("`{test}`")).collect();
        _ = writeln!(out, "| {} | {} |", feature.replace('|', "\\|"), tests.join(", "));
    }
    out.push_str("\nNames with dashes are files of `crates/dockerfile/tests/corpus/data`, each beside what becomes of it.\n\n## Otherwise than BuildKit\n\n");
    for line in DIFFERENT {
        _ = writeln!(out, "- {line}");
    }
    out.push_str("\n## Instructions and their flags\n\n| instruction | flags |\n| --- | --- |\n");
    for (name, flags) in FLAGS {
        let shown: Vec<String> = flags
            .iter()
            .map(|(flag, shape)| match shape {
                FlagShape::Switch => format!("`--{flag}[=true\\|false]`"),
                FlagShape::Value => format!("`--{flag}=…`"),
                FlagShape::Values => format!("`--{flag}=…` as often as one likes"),
            })
            .collect();
        _ = writeln!(out, "| `{name}` | {} |", shown.join(", "));
    }
    _ = writeln!(out, "\nTypes of `--mount`: {}. Options:", list(&MOUNT_TYPES));
    for (name, others) in MOUNT_OPTIONS {
        let also = if others.is_empty() { String::new() } else { format!(" (also {})", list(others)) };
        _ = writeln!(out, "- `{name}`{also}");
    }
    _ = writeln!(
        out,
        "\nArguments that are there without being given: {}. Without being declared: {}.",
        list(&AUTOMATIC),
        list(&PROXIES)
    );
    out.push_str(
        "\n## What lint finds\n\nErrors of the language are errors. The rules are warnings; `# check=error=true` makes them errors, \
         `# check=skip=RULE,…` turns\nthem off for the file, the same comment directly above an instruction for that one. Rules marked with * are only checked\n\
         with `# check=experimental=RULE,…` or `all`.\n\n| rule | what it wants |\n| --- | --- |\n",
    );
    for rule in RULES {
        let mark = if rule.experimental { " *" } else { "" };
        _ = writeln!(out, "| `{}`{mark} | {} |", rule.name, rule.about);
    }
    out
}

fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_page_is_what_the_tables_say() {
    let path = root().join("docs/reference/dockerfile.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, page()).expect("written");
    }
    assert_eq!(fs::read_to_string(&path).unwrap_or_default(), page(), "UPDATE_EXPECT=1 writes the page anew");
}

/// The names of all functions below a folder.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a text");
            for part in text.split("fn ").skip(1) {
                let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(0);
                found.insert(part[..end].to_owned());
            }
        }
    }
}

#[test]
fn what_the_page_names_is_there() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut known = BTreeSet::new();
    functions(&own.join("src"), &mut known);
    functions(&own.join("tests"), &mut known);
    for name in FEATURES.iter().flat_map(|(_, tests)| tests.iter()) {
        let file = own.join(format!("tests/corpus/data/{name}.dockerfile"));
        assert!(known.contains(*name) || file.is_file(), "there is no test and no file {name}");
    }
}

#[test]
fn every_rule_is_shown_to_find_something() {
    let tests = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lint/tests.rs"))
        .expect("the tests");
    for rule in RULES {
        assert!(tests.contains(&format!("{} ", rule.name)), "no test finds {}", rule.name);
    }
}
