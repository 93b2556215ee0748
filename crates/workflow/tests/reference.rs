//! `docs/reference/workflow-language.md` is made from the tables of the crate. `UPDATE_EXPECT=1` writes it anew.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use windlass_workflow::keys::{KeyRow, Place, keys_of};
use windlass_workflow::supported::{
    ACTIONS, EVENTS, INERT_EVENTS, FORMS_NOT_YET, KEYS_NOT_YET, key_not_yet,
};
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
and its run says why.

";

const DIFFERENCES: &str = "## Good to know

- A file is one YAML 1.2 document of at most 1 MiB, 50,000 nodes, 50 levels and 10 MB once its aliases are expanded.
  Anchors and aliases work; merge keys (`<<`) are not part of the language. `yes` and `on` are texts.
- Where a text is wanted, a number stays as it is written: `VERSION: 1.10` gives `1.10`. In a matrix it is a number,
  and a warning says so where digits would be lost.
- `permissions` are read and kept; in this version a job's token is read-only whatever they say.
- `run` takes at most 21,000 characters.
- Names in `needs.ID` and `steps.ID` that nothing in the file has are a warning: on GitHub they read as nothing.
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
        ".\nComposite actions of the repository (`uses: ./path`) work too. All others are refused for now.\n\n",
    );
    page.push_str(
        "## Keys\n\n`*` marks those that must be there. Behind \"literal\", no expression may stand.\n",
    );
    for place in PLACES {
        table(&mut page, place);
    }
    page
}

fn refused(page: &mut String) {
    page.push_str("## Refused for now\n\n| where | what it would ask for |\n| --- | --- |\n");
    for (place, name, meaning) in KEYS_NOT_YET {
        _ = writeln!(page, "| `{name}` in `{}` | {meaning} |", place.path());
    }
    for (_, form, meaning) in FORMS_NOT_YET {
        _ = writeln!(page, "| `{form}` | {meaning} |");
    }
    page.push_str("| the other events and actions below | |\n\nThis file:\n\n```yaml\n");
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
