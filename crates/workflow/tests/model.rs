//! What a file means, typed: `tests/data/ok/everything.yml`, field by field, and actions' metadata.

use std::path::Path;

use windlass_workflow::action::{ActionMeta, ActionRuns};
use windlass_workflow::expr::{Scope, Value};
use windlass_workflow::matrix::{MatrixInput, expand};
use windlass_workflow::model::{Access, ActionRef, Job, Map, Permissions, Setting, StepKind, Uses};
use windlass_workflow::{Workflow, parse, parse_action};

fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ok").join(name);
    std::fs::read_to_string(path).expect("a text")
}

fn everything() -> Workflow {
    parse("everything.yml", &text("everything.yml")).workflow.expect("no error")
}

fn action(name: &str) -> ActionMeta {
    parse_action(&text(name)).action.expect("no error")
}

fn pairs(map: &Map) -> Vec<(&str, &str)> {
    map.entries().iter().map(|entry| (entry.name.as_str(), entry.value.text())).collect()
}

fn expression<T>(setting: &Setting<T>) -> &str {
    match setting {
        Setting::Expression(template) => template.text(),
        Setting::Literal(_) => "(literal)",
    }
}

struct Inputs;

impl Scope for Inputs {
    fn context(&self, name: &str) -> Option<Value> {
        (name == "inputs").then(|| Value::object([("text", Value::from("hello"))]))
    }
}

#[test]
fn the_workflow_itself() {
    let workflow = everything();
    assert_eq!(workflow.display_name(), "CI");
    assert_eq!(workflow.run_name.as_ref().map(|name| name.text()), Some("Deploy by ${{ github.actor }}"));
    assert_eq!(
        workflow.permissions,
        Some(Permissions::Scopes(vec![
            ("contents".to_owned(), Access::Read),
            ("id-token".to_owned(), Access::Write)
        ]))
    );
    assert_eq!(
        pairs(&workflow.env),
        [("VERSION", "1.10"), ("ZIP", "010"), ("EMPTY", ""), ("TOKEN", "${{ secrets.TOKEN }}")]
    );
    assert_eq!(workflow.defaults.shell.as_ref().map(|shell| shell.text()), Some("bash"));
    assert_eq!(workflow.defaults.working_directory.as_ref().map(|folder| folder.text()), Some("app"));
    let concurrency = workflow.concurrency.as_ref().expect("concurrency");
    assert_eq!(concurrency.group.text(), "${{ github.workflow }}-${{ github.ref }}");
    assert_eq!(expression(&concurrency.cancel_in_progress), "${{ github.event_name == 'pull_request' }}");
    assert_eq!(workflow.on.names(), ["push", "pull_request", "workflow_dispatch", "schedule"]);
    let inputs = workflow.on.dispatch_inputs().expect("inputs");
    let kinds: Vec<_> =
        inputs.iter().map(|input| (input.name.as_str(), input.kind.as_str(), input.required)).collect();
    assert_eq!(
        kinds,
        [
            ("level", "choice", false),
            ("dry", "boolean", true),
            ("n", "number", false),
            ("env", "environment", false),
            ("text", "string", false)
        ]
    );
    assert_eq!(inputs[2].default, Some(Value::Number(3.0)));
}

#[test]
fn jobs() {
    let workflow = everything();
    let ids: Vec<&str> = workflow.jobs.iter().map(|job| job.id.as_str()).collect();
    assert_eq!(ids, ["lint", "Test", "deploy"]);
    let test = workflow.job("TEST").expect("by id, ignoring case");
    assert_eq!(test.needs[0].value, "lint", "spelt as the job spells it");
    assert!(test.condition.as_ref().is_some_and(|condition| condition.implies_success()));
    assert!(matches!(&test.env, Map::Expression(whole) if whole.text().starts_with("${{ fromJSON")));
    assert_eq!(test.timeout_minutes.as_ref().map(expression), Some("${{ fromJSON('30') }}"));
    assert_eq!(test.continue_on_error, Setting::Literal(true));
    assert_eq!(test.permissions, Some(Permissions::ReadAll));
    assert_eq!(test.concurrency.as_ref().map(|found| found.group.text()), Some("test-${{ matrix.os }}"));
    let deploy = workflow.job("deploy").expect("the job");
    let runs_on = deploy.runs_on.as_ref().expect("runs-on");
    assert_eq!(runs_on.group.as_ref().map(|group| group.text()), Some("big"));
    assert_eq!(runs_on.labels[0].text(), "x64");
    let environment = deploy.environment.as_ref().expect("an environment");
    assert_eq!(environment.name.text(), "production");
    assert_eq!(environment.url.as_ref().map(|url| url.text()), Some("https://${{ steps.d.outputs.host }}"));
    assert_eq!(deploy.permissions, Some(Permissions::Scopes(Vec::new())));
    let names = |jobs: Vec<&Job>| jobs.into_iter().map(|job| job.id.value.clone()).collect::<Vec<_>>();
    assert_eq!(names(workflow.ancestors("deploy")), ["lint", "Test"]);
    assert_eq!(names(workflow.ancestors("lint")), Vec::<String>::new());
    assert_eq!(names(workflow.topological()), ["lint", "Test", "deploy"]);
}

#[test]
fn the_matrix() {
    let workflow = everything();
    let strategy = workflow.job("test").and_then(|job| job.strategy.as_ref()).expect("a strategy");
    assert_eq!(strategy.fail_fast, Setting::Literal(false));
    assert_eq!(strategy.max_parallel, Some(Setting::Literal(2.0)));
    let matrix = strategy.matrix.as_ref().expect("a matrix");
    assert_eq!(matrix.literal(), None, "it holds an expression");
    let value = matrix.render(&Inputs).expect("a value");
    let legs = expand(&MatrixInput::from_value(&value).expect("a matrix")).expect("legs");
    let shown: Vec<String> = legs.iter().map(|leg| leg.values.to_json().to_string()).collect();
    assert_eq!(
        shown,
        [
            r#"{"os":"a","config":{"name":"x","flags":[1,2]},"extra":"yes"}"#,
            r#"{"os":"a","config":{"name":"hello","flags":[]},"extra":"yes"}"#,
            r#"{"os":"b","config":{"name":"hello","flags":[]}}"#,
        ]
    );
}

#[test]
fn steps() {
    let workflow = everything();
    let [checkout, lint] = workflow.jobs[0].steps() else { panic!("two steps") };
    let StepKind::Uses(Uses { action, with }) = &checkout.kind else { panic!("uses") };
    assert_eq!(action.repository_name().as_deref(), Some("actions/checkout"));
    assert_eq!(with.get("Fetch-Depth").map(|depth| depth.text()), Some("0"));
    let StepKind::Run(run) = &lint.kind else { panic!("run") };
    assert_eq!(run.script.text(), "echo \"x=${{ env.VERSION }}\" >> \"$GITHUB_OUTPUT\"\n");
    assert_eq!(run.shell.as_ref().map(|shell| shell.text()), Some("bash -x {0}"));
    assert_eq!(run.working_directory.as_ref().map(|folder| folder.text()), Some("${{ github.workspace }}/x"));
    assert_eq!(lint.id.as_ref().map(|id| id.as_str()), Some("lint"));
    assert!(lint.condition.as_ref().is_some_and(|condition| !condition.implies_success()));
    assert_eq!(lint.timeout_minutes, Some(Setting::Literal(1.5)));
    assert_eq!(expression(&lint.continue_on_error), "${{ github.ref_name == 'next' }}");
    assert_eq!((lint.span.start.line, lint.span.start.column), (40, 9));
    let local = &workflow.jobs[1].steps()[0];
    let StepKind::Uses(Uses { action, .. }) = &local.kind else { panic!("uses") };
    assert_eq!(action.value, ActionRef::Local { path: ".github/actions/x".to_owned() });
}

#[test]
fn actions() {
    let composite = action("action-composite.yml");
    assert_eq!(composite.name.as_deref(), Some("Greet"));
    let who = composite.input("WHO-TO greet").expect("an input");
    assert!(who.required);
    assert_eq!(who.default.as_ref().map(|text| text.text()), Some("${{ github.actor }}"));
    assert_eq!(composite.input("old").and_then(|old| old.deprecation.as_deref()), Some("use new"));
    let time = composite.outputs[0].value.as_ref().expect("a value");
    assert_eq!(time.text(), "${{ steps.t.outputs.time }}");
    let ActionRuns::Composite { steps } = &composite.runs else { panic!("composite") };
    assert_eq!(steps.len(), 2);

    let ActionRuns::Node(node) = action("action-node.yml").runs else { panic!("node") };
    assert_eq!((node.using.as_str(), node.main.as_str()), ("node20", "dist/index.js"));
    let (post, when) = node.post.expect("a post step");
    assert_eq!((post.as_str(), when.text()), ("dist/post.js", "success()"));
    assert!(node.pre.is_none());

    let ActionRuns::Docker(docker) = action("action-docker.yml").runs else { panic!("docker") };
    assert_eq!(docker.image, "Dockerfile");
    assert_eq!(docker.args.len(), 2);
    assert_eq!(pairs(&docker.env), [("A", "${{ inputs.y }}")]);
}

#[test]
fn anchors_give_equal_jobs() {
    let workflow = parse("w.yml", &text("anchors.yml")).workflow.expect("no error");
    assert_eq!(workflow.jobs[0].kind, workflow.jobs[1].kind);
    let runs_on = workflow.job("b").and_then(|job| job.runs_on.as_ref());
    assert_eq!(runs_on.map(|runs_on| runs_on.labels[0].text()), Some("x"));
}
