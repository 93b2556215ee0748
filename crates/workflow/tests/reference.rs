//! `docs/reference/workflow-language.md` is made from the tables of the crate. `UPDATE_EXPECT=1` writes it anew.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use windlass_workflow::keys::{KeyRow, Place, keys_of, schema};
use windlass_workflow::lint::RULES;
use windlass_workflow::supported::{ACTIONS, EVENTS, FORMS_NOT_YET, INERT_EVENTS, KEYS_NOT_YET, key_not_yet};
use windlass_workflow::{parse, yaml};

const PLACES: [Place; 33] = [
    Place::Workflow,
    Place::Push,
    Place::PullRequest,
    Place::Called,
    Place::CallInput,
    Place::CallOutput,
    Place::CallSecret,
    Place::WorkflowRun,
    Place::RepositoryDispatch,
    Place::Activity,
    Place::Dispatch,
    Place::DispatchInput,
    Place::Schedule,
    Place::RunDefaults,
    Place::Concurrency,
    Place::Job,
    Place::JobRunDefaults,
    Place::JobConcurrency,
    Place::RunsOn,
    Place::Strategy,
    Place::Environment,
    Place::Container,
    Place::Service,
    Place::Credentials,
    Place::Snapshot,
    Place::Step,
    Place::Action,
    Place::ActionInput,
    Place::ActionOutput,
    Place::CompositeRuns,
    Place::CompositeStep,
    Place::NodeRuns,
    Place::DockerRuns,
];

const REFUSED: &str = "on: [push, release]
jobs:
  test:
    runs-on: linux
    services: {db: {image: postgres}}
    steps:
      - uses: actions/chekout@v4
      - run: echo ${{ secret.TOKEN }}
";

const INTRODUCTION: &str = "# Workflow language

<!-- Made by `UPDATE_EXPECT=1 cargo test -p windlass-workflow --test reference` from the crate's tables. -->

Windlass reads the workflow language of GitHub Actions from `.github/workflows/*.yml` and `*.yaml`. What it does not
run yet is refused, with the line and the column; nothing is silently ignored. A file with an error starts nothing,
and its run says why. For editors there are JSON Schemas of [workflows](workflow.schema.json) and
[actions](action.schema.json); what of the language works is listed in [compatibility](compatibility.md), and what
becomes of workflows that were not written for it in [published workflows](published-workflows.md).

";

const DIFFERENCES: &str = "## Good to know

- A file is one YAML 1.2 document of at most 1 MiB, 50,000 nodes, 50 levels and 10 MB once its aliases are expanded.
  Anchors and aliases work. Merge keys (`<<: *a`, `<<: [*a, *b]`) do here, with a warning: GitHub refuses them. What is
  written beside one counts, then what comes first in its list. `yes` and `on` are texts.
- Where a text is wanted, a number stays as it is written: `VERSION: 1.10` gives `1.10`. In a matrix it is a number,
  and a warning says so where digits would be lost.
- `permissions` say what a job's token may do: `contents`, `packages`, `actions` and `id-token` have something behind
  them here ([services](services.md)); the other scopes may be named and open nothing.
- `run` takes at most 21,000 characters.
- Names in expressions that nothing in the file has are a warning: on GitHub they read as nothing.
- Time zones of `schedule` come from the machine's own time zone database; `UTC` always works.

";

fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    refused(&mut page);
    page.push_str(DIFFERENCES);
    page.push_str("## Events\n\nThese start runs: ");
    page.push_str(&code_list(EVENTS));
    page.push_str(".\n\nThese never happen here; a workflow may name them, and a warning says so: ");
    page.push_str(&code_list(&INERT_EVENTS.iter().map(|(name, _)| *name).collect::<Vec<_>>()));
    page.push_str(".\n\n## Actions\n\nBuilt in, and needing no network: ");
    page.push_str(&code_list(ACTIONS));
    page.push_str(
        ".\nOthers come from the repository itself (`./path`, `$/path`), a mirror, this server's repositories, or by Git\n(`OWNER/REPO@REF`), or are images (`docker://IMAGE`).\n\n",
    );
    lint(&mut page);
    page.push_str(
        "## Keys\n\n`*` marks those that must be there. Behind \"literal\", no expression may stand.\n",
    );
    for place in PLACES {
        table(&mut page, place);
    }
    page
}

fn lint(page: &mut String) {
    page.push_str(
        "## What lint finds\n\n`windlass lint [PATH…] [--format text|json|sarif] [--strict] [--notes] [--github]` reads workflows and actions as\n\
         the platform will, and looks at the other files of the repository that they call. It ends with 1 when there is an\n\
         error (with `--strict`: or a warning), with 3 when there is no such file. `--github` reads the whole language,\n\
         also what Windlass does not run yet. Notes are shown with `--notes`; JSON and SARIF always hold them.\n\n\
         | rule | at most | finds |\n| --- | --- | --- |\n",
    );
    for rule in RULES {
        _ = writeln!(page, "| `{}` | {} | {} |", rule.name, rule.severity, rule.finds);
    }
    page.push('\n');
}

fn refused(page: &mut String) {
    page.push_str("## Refused for now\n\n| where | what it would ask for |\n| --- | --- |\n");
    for (place, name, meaning) in KEYS_NOT_YET {
        _ = writeln!(page, "| `{name}` in `{}` | {meaning} |", place.path());
    }
    for (_, form, meaning) in FORMS_NOT_YET {
        _ = writeln!(page, "| `{form}` | {meaning} |");
    }
    page.push_str("\nThis file:\n\n```yaml\n");
    page.push_str(REFUSED);
    page.push_str("```\n\nis refused like this:\n\n```text\n");
    for finding in parse("ci.yml", REFUSED).diagnostics {
        page.push_str(&finding.snippet(".github/workflows/ci.yml", REFUSED));
    }
    page.push_str("```\n\n");
}

fn table(page: &mut String, place: Place) {
    _ = writeln!(
        page,
        "\n### {}\n\n| key | value | expressions may name |\n| --- | --- | --- |",
        place.path()
    );
    for key in keys_of(place) {
        let star = if key.required { "\\*" } else { "" };
        let refused = if key_not_yet(place, key.name).is_some() { " (refused for now)" } else { "" };
        _ = writeln!(page, "| `{}`{star}{refused} | {} | {} |", key.name, key.kind.words(), names(key));
    }
}

fn names(key: &KeyRow) -> String {
    if key.availability.is_literal() {
        return "literal".to_owned();
    }
    let functions = key.availability.functions().map(|name| format!("{name}()"));
    key.availability.contexts().map(str::to_owned).chain(functions).collect::<Vec<_>>().join(", ")
}

fn code_list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_reference_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/workflow-language.md");
    let page = reference();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, &page).expect("written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let differs = yaml::lines(&found).zip(yaml::lines(&page)).find(|(old, new)| old != new);
    assert!(found == page, "{}: not up to date: {differs:?}", path.display());
}

fn check(name: &str, content: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, content).expect("written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == content, "{}: not up to date", path.display());
}

#[test]
fn the_schemas_are_up_to_date_and_name_only_what_they_define() {
    for (file, schema) in
        [("workflow.schema.json", schema::workflow()), ("action.schema.json", schema::action())]
    {
        let text = serde_json::to_string_pretty(&schema).expect("JSON") + "\n";
        for part in text.split("#/definitions/").skip(1) {
            let name = part.split('"').next().unwrap_or_default();
            let name = ["%3C", "%3E", "%5B", "%5D", "%28", "%29", "%2A", "%20"]
                .iter()
                .zip(["<", ">", "[", "]", "(", ")", "*", " "])
                .fold(name.to_owned(), |name, (from, to)| name.replace(from, to));
            assert!(schema["definitions"].get(&name).is_some(), "{file}: {name} is not defined");
        }
        check(file, &text);
    }
}
