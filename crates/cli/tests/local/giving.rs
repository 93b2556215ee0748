//! What a run is given: secrets, variables, inputs, environment, events, repositories, the working tree.

use std::io::Write as _;

use crate::fixture::{Repo, files, job, on_push};

#[test]
fn values_arrive_and_secrets_are_masked() {
    let script = "echo one=${{ secrets.ONE }}. two=$TWO\necho $TWO | base64\n\
                  echo var=${{ vars.COLOUR }} env=$GIVEN ${{ env.GIVEN }} actor=$GITHUB_ACTOR";
    let more = "env:\n  TWO: ${{ secrets.TWO }}\n  GIVEN: from the job";
    let repo = Repo::with(&on_push(&job("a", more, script)));
    repo.write("secrets.env", "# some\nTWO='hunter two'\n");
    let said = repo.here(&[
        "-s",
        "ONE=hunter1",
        "--secret-file",
        "secrets.env",
        "--var",
        "COLOUR=red",
        "--env",
        "GIVEN=from here",
        "--actor",
        "ann",
    ]);
    let said = said.ended(0).says("one=***. two=***").says("var=red env=from here from here actor=ann");
    said.says_not("hunter1").says_not("hunter two").says_not("aHVudGVyIHR3bw");
}

#[test]
fn a_secret_without_a_value_comes_from_its_variable_or_is_refused() {
    let repo = Repo::with(&on_push(&job("a", "", "test '${{ secrets.KEY }}' = open && echo it fits")));
    let mut command = repo.command(&["-P", "ubuntu-latest=host", "-s", "KEY"]);
    let done = command.env("KEY", "open").output().unwrap();
    assert!(String::from_utf8_lossy(&done.stdout).contains("it fits"), "{done:?}");
    repo.here(&["-s", "KEY"]).ended(2).complains("nobody can be asked");
}

#[test]
fn inputs_are_checked_and_typed() {
    let text = "on:\n  workflow_dispatch:\n    inputs:\n      level: {type: choice, options: [low, high], required: true}\n      \
                count: {type: number, default: 3}\njobs:\n";
    let script =
        "echo level=${{ inputs.level }} sum=${{ inputs.count == 3 }} text=${{ github.event.inputs.level }}";
    let repo = Repo::with(&(text.to_owned() + &job("a", "", script)));
    repo.here(&["workflow_dispatch", "--input", "level=high"]).ended(0).says("level=high sum=true text=high");
    repo.here(&["workflow_dispatch", "--input", "level=other"]).ended(2).complains("level");
    repo.here(&["workflow_dispatch"]).ended(2).complains("level");
}

#[test]
fn an_event_of_ones_own_takes_the_place_of_what_is_made_up() {
    let script = "echo ref=$GITHUB_REF name=$GITHUB_REF_NAME what=${{ github.event.what }}";
    let repo = Repo::with(&on_push(&job("a", "", script)));
    repo.write("event.json", r#"{"ref": "refs/tags/v1", "what": "mine"}"#);
    repo.here(&["-e", "event.json"]).ended(0).says("ref=refs/tags/v1 name=v1 what=mine");
    repo.write("event.json", "[]");
    repo.here(&["-e", "event.json"]).ended(2).complains("JSON object");
}

const CHECKOUT: &str =
    "  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n      - run: |\n";

#[test]
fn a_checkout_gives_the_working_tree_as_it_is_and_leaves_it_alone() {
    let script = "          cat README fresh; test ! -e ignored; git status --short; git log --format=%s; echo >> README\n";
    let repo = Repo::with(&on_push(&format!("{CHECKOUT}{script}")));
    repo.write("README", "changed\n");
    repo.write("fresh", "new\n");
    repo.write(".gitignore", "ignored\n");
    repo.write("ignored", "secret\n");
    let before: Vec<_> = files(&repo.root()).into_iter().map(|f| (std::fs::read(&f).unwrap(), f)).collect();
    for place in ["ubuntu-latest=host", "ubuntu-latest=sandbox"] {
        let said = repo.run(&["-P", place]).ended(0);
        said.says("changed").says("new").says("M README").says("?? fresh").says("The first");
    }
    let after: Vec<_> = files(&repo.root()).into_iter().map(|f| (std::fs::read(&f).unwrap(), f)).collect();
    assert!(before == after, "the user's tree was touched");
    let left: Vec<_> = files(&repo.cache()).into_iter().filter(|f| !f.ends_with("sandbox.json")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_folder_stands_for_another_repository() {
    let steps = "  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n        with: {repository: octo/tools, \
                 ref: v1, path: tools}\n      - run: cat tools/tool\n";
    let repo = Repo::with(&on_push(steps));
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("tool"), "the tool itself\n").unwrap();
    let stands = format!("Octo/Tools@v1={}", other.path().display());
    repo.here(&["--local-repository", &stands]).ended(0).says("the tool itself");
    repo.here(&[]).ended(1).says("--local-repository octo/tools@v1=PATH");
    repo.here(&["--local-repository", "octo/tools@v1=/no/such"]).ended(3).complains("/no/such");
}

#[test]
fn what_a_build_made_is_there_again_with_reuse() {
    let script = "          test -e target/made && echo it was there; mkdir -p target; touch target/made; test ! -e gone\n";
    let repo = Repo::with(&on_push(&format!("{CHECKOUT}{script}")));
    repo.write(".gitignore", "target\n");
    repo.here(&["--reuse"]).ended(0).says_not("│ it was there");
    repo.here(&["--reuse"]).ended(0).says("│ it was there");
    repo.here(&[]).ended(0).says_not("│ it was there");
}

#[test]
fn a_value_from_standard_input_is_not_taken_for_a_secret() {
    let repo = Repo::with(&on_push(&job("a", "", "cat; echo end")));
    let mut command = repo.command(&["-P", "ubuntu-latest=host"]);
    let mut child =
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    // A run may be over before it is written: then nobody reads it, which is the point.
    let _ = child.stdin.take().unwrap().write_all(b"typed\n");
    let done = child.wait_with_output().unwrap();
    let out = String::from_utf8_lossy(&done.stdout);
    assert!(out.contains("end") && !out.contains("typed"), "{out}");
}

#[test]
fn a_folder_stands_for_an_action_too() {
    let steps = "  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: octo/greet@v1\n        with: {who: Ann}\n";
    let repo = Repo::with(&on_push(steps));
    let action = tempfile::tempdir().unwrap();
    let text = "name: Greet\ndescription: greets\ninputs: {who: {required: true}}\nruns:\n  using: composite\n  steps:\n    - shell: bash\n      \
                run: echo \"good day, ${{ inputs.who }}\"\n";
    std::fs::write(action.path().join("action.yml"), text).unwrap();
    let stands = format!("octo/greet@v1={}", action.path().display());
    repo.here(&["--local-repository", &stands]).ended(0).says("good day, Ann");
}
