//! The whole language, typed: what `tests/data/whole` holds, whether Windlass runs it already or not.

use std::collections::BTreeMap;
use std::path::Path;

use windlass_workflow::expr::{Scope, Value};
use windlass_workflow::model::{
    ActionRef, CacheMode, CallSecrets, Container, ContainerSetting, List, Queue, Services, Setting, StepKind,
    Tree, WorkflowRef,
};
use windlass_workflow::trigger::{CallInputKind, NameFilter, TriggerEvent};
use windlass_workflow::{Admit, Workflow, parse, parse_admitting};

fn text() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/whole/everything.yml");
    std::fs::read_to_string(path).expect("a text")
}

fn whole() -> Workflow {
    let parsed = parse_admitting("everything.yml", &text(), Admit::Everything);
    let shown: Vec<String> =
        parsed.diagnostics.iter().map(|found| found.one_line("everything.yml")).collect();
    parsed.workflow.unwrap_or_else(|| panic!("{shown:#?}"))
}

/// What `vars` and `github` hold while expressions of the file are evaluated.
struct Vars;

impl Scope for Vars {
    fn context(&self, name: &str) -> Option<Value> {
        let json = Value::from(r#"{"fail-fast":false,"matrix":{"node":[20,22]}}"#.to_owned());
        let more = Value::from(r#"{"dry":false}"#.to_owned());
        match name {
            "vars" => Some(Value::object([("STRATEGY", json), ("MORE", more)])),
            "github" => Some(Value::object([
                ("ref_name", Value::from("main".to_owned())),
                ("ref", Value::from("refs/heads/main".to_owned())),
            ])),
            _ => None,
        }
    }
}

fn written(setting: Option<&ContainerSetting>) -> &Container {
    match setting {
        Some(ContainerSetting::Written(container)) => container,
        other => panic!("{other:?}"),
    }
}

fn items(list: &List) -> Vec<&str> {
    match list {
        List::Items(items) => items.iter().map(|item| item.text()).collect(),
        List::Expression(template) => vec![template.text()],
    }
}

#[test]
fn what_is_not_run_yet_is_refused_and_all_else_is_read() {
    let parsed = parse("everything.yml", &text());
    for finding in parsed.diagnostics.iter().filter(|finding| finding.is_error()) {
        assert!(finding.message.contains("is not supported yet"), "{finding:?}");
    }
}

#[test]
fn an_event_that_never_happens_here_is_a_warning() {
    let text = "on: [push, watch]\njobs: {a: {runs-on: x, steps: [{run: x}]}}\n";
    let parsed = parse("w.yml", text);
    let shown: Vec<String> = parsed.diagnostics.iter().map(|found| found.one_line("w.yml")).collect();
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(shown[0].starts_with("w.yml:1:12: warning: the event 'watch' never happens here"), "{shown:?}");
    assert!(parsed.workflow.is_some());
    assert!(parse_admitting("w.yml", text, Admit::Everything).diagnostics.is_empty(), "nobody said where");
}

#[test]
fn every_event_is_read() {
    let on = whole().on;
    assert_eq!(
        on.names(),
        [
            "pull_request_target",
            "workflow_call",
            "workflow_run",
            "repository_dispatch",
            "release",
            "issues",
            "merge_group",
            "image_version",
            "fork"
        ]
    );
    let decide = |event| on.decide(&event).run;
    let activity = |event, action, branch| TriggerEvent::Activity { event, action, branch };
    assert!(decide(activity("release", Some("published"), None)));
    assert!(!decide(activity("release", Some("created"), None)));
    assert!(decide(activity("issues", Some("untyped"), None)), "all types when none are named");
    assert!(decide(activity("fork", None, None)));
    assert!(!decide(activity("watch", Some("started"), None)));
    assert!(!decide(activity("merge_group", Some("checks_requested"), Some("x"))));
    let run = |workflow, action, head_branch| TriggerEvent::WorkflowRun { workflow, action, head_branch };
    assert!(decide(run("CI", "completed", "main")));
    assert!(!decide(run("ci", "completed", "main")));
    assert!(!decide(run("CI", "requested", "main")));
    assert!(!decide(run("CI", "completed", "wip/x")));
    assert!(decide(TriggerEvent::RepositoryDispatch { event_type: "roll_back" }));
    assert!(!decide(TriggerEvent::RepositoryDispatch { event_type: "other" }));
    let files = ["src/a".to_owned()];
    let target =
        |action| TriggerEvent::PullRequestTarget { action, base_branch: "main", changed_files: Some(&files) };
    assert!(decide(target("labeled")));
    assert!(!decide(target("opened")));
    assert!(matches!(on.activities[3].versions, Some(NameFilter::Only(_))));
}

#[test]
fn a_called_workflow_takes_typed_inputs() {
    let called = whole().on.call.expect("workflow_call");
    let kinds: Vec<_> =
        called.inputs.iter().map(|input| (input.name.as_str(), input.kind, input.required)).collect();
    assert_eq!(
        kinds,
        [
            ("level", CallInputKind::String, true),
            ("dry", CallInputKind::Boolean, false),
            ("n", CallInputKind::Number, false),
            ("ref", CallInputKind::String, false)
        ]
    );
    let secrets: Vec<_> =
        called.secrets.iter().map(|secret| (secret.name.as_str(), secret.required)).collect();
    assert_eq!(secrets, [("token", true), ("other", false)]);
    assert_eq!(called.outputs[0].value.text(), "${{ jobs.deploy.outputs.url }}");
    let given = |name: &str, value| vec![(name.to_owned(), value)];
    let values = called.inputs(&given("LEVEL", Value::Number(3.0)), &Vars).expect("inputs");
    let expected = BTreeMap::from([
        ("level".to_owned(), Value::from("3".to_owned())),
        ("dry".to_owned(), Value::Bool(true)),
        ("n".to_owned(), Value::Number(3.0)),
        ("ref".to_owned(), Value::from("refs/heads/main".to_owned())),
    ]);
    assert_eq!(values, expected);
    let wrong = called.inputs(&given("dri", Value::from("true".to_owned())), &Vars).expect_err("refused");
    assert_eq!(
        wrong,
        [
            "Invalid input, dri is not defined in the referenced workflow. Did you mean 'dry'?",
            "Input level is required, but not provided while calling."
        ]
    );
    assert_eq!(
        called.check_names(["level"], Some(vec!["x"])),
        [
            "Invalid secret, x is not defined in the referenced workflow.",
            "Secret token is required, but not provided while calling."
        ]
    );
    let typed = called.inputs(
        &[("level".into(), Value::from("x".to_owned())), ("dry".into(), Value::from("true".to_owned()))],
        &Vars,
    );
    assert_eq!(typed.expect_err("refused"), ["the input dry must be a boolean, not 'true'"]);
}

#[test]
fn containers_and_services_are_read() {
    let workflow = whole();
    let job = workflow.job("inside").expect("the job");
    let container = written(job.container.as_ref());
    assert_eq!(container.image.text(), "node:${{ matrix.node }}");
    let credentials = container.credentials.as_ref().expect("credentials");
    assert_eq!(
        (credentials.username.text(), credentials.password.text()),
        ("${{ github.actor }}", "${{ secrets.TOKEN }}")
    );
    assert_eq!(items(&container.ports), ["80", "8080:80/udp"]);
    assert_eq!(items(&container.volumes), ["/data", "cache:/cache:ro"]);
    assert_eq!(container.options.as_ref().map(|options| options.text()), Some("--cpus 1"));
    assert_eq!(container.env.get("B").map(|value| value.text()), Some("c"));
    let Services::Written(services) = &job.services else { panic!("{:?}", job.services) };
    let ids: Vec<&str> = services.iter().map(|service| service.id.as_str()).collect();
    assert_eq!(ids, ["db", "cache", "web"]);
    assert!(matches!(services[1].container, ContainerSetting::Expression(_)));
    let web = written(Some(&services[2].container));
    assert_eq!(web.entrypoint.as_ref().map(|text| text.text()), Some("/run.sh"));
    assert_eq!(web.command.as_ref().map(|text| text.text()), Some("--quick"));
    assert_eq!(items(&web.volumes), ["${{ fromJSON(vars.V) }}"]);
}

#[test]
fn settings_of_jobs_are_read() {
    let workflow = whole();
    assert_eq!(workflow.cache_mode, Some(CacheMode::Read));
    assert_eq!(workflow.concurrency.as_ref().map(|found| found.queue), Some(Queue::Max));
    let job = workflow.job("inside").expect("the job");
    assert_eq!(job.cache_mode, Some(CacheMode::WriteOnly));
    assert_eq!(job.cancel_timeout_minutes, Some(Setting::Literal(2.0)));
    let environment = job.environment.as_ref().expect("an environment");
    assert_eq!(environment.deployment, Setting::Literal(false));
    let snapshot = job.snapshot.as_ref().expect("a snapshot");
    assert_eq!(snapshot.image_name.text(), "base");
    assert_eq!(snapshot.version.as_ref().map(|version| version.text()), Some("1.*"));
    assert!(snapshot.condition.is_some());
    let shell = job.defaults.shell.as_ref().expect("a shell");
    assert_eq!(shell.text(), "${{ (fromJSON(vars.DEFAULTS))['shell'] }}");
}

#[test]
fn a_whole_strategy_is_an_expression_for_each_key() {
    let workflow = whole();
    let strategy = workflow.job("inside").and_then(|job| job.strategy.as_ref()).expect("a strategy");
    let matrix = strategy.matrix.as_ref().expect("a matrix").render(&Vars).expect("a value");
    assert_eq!(matrix.to_json().to_string(), r#"{"node":[20,22]}"#);
    let Setting::Expression(fail_fast) = &strategy.fail_fast else { panic!("{:?}", strategy.fail_fast) };
    assert_eq!(fail_fast.render(&Vars), Ok(Value::Bool(false)));
    let Some(Setting::Expression(parallel)) = &strategy.max_parallel else { panic!("no expression") };
    assert_eq!(parallel.render(&Vars), Ok(Value::Number(256.0)));
}

#[test]
fn keys_may_be_expressions_and_mappings_inserted() {
    let workflow = whole();
    let env = &workflow.job("inside").expect("the job").env;
    let values: Vec<_> = env.render(&Vars).expect("values");
    let shown: Vec<String> =
        values.iter().map(|(name, value)| format!("{name}={}", value.to_text())).collect();
    assert_eq!(shown, ["A=b", "X_main=y", "Z=z"]);
    let local = workflow.job("local").expect("the job");
    let with = &local.call().expect("a call").with;
    let values = with.render(&Vars).expect("values");
    let values: Vec<_> = values.as_object().expect("a mapping").keys().collect();
    assert_eq!(values, ["level", "dry"]);
    let matrix = local.strategy.as_ref().and_then(|strategy| strategy.matrix.as_ref()).expect("a matrix");
    let Tree::Mapping(_) = matrix else { panic!("{matrix:?}") };
    let value = matrix.render(&Vars).expect("a value").to_json().to_string();
    assert_eq!(value, r#"{"x":[1,2],"include":[{"y":2,"x":3}]}"#);
}

#[test]
fn background_steps_are_read() {
    let workflow = whole();
    let steps = workflow.job("inside").expect("the job").steps();
    assert!(steps[0].background && steps[1].background && !steps[2].background);
    let action = |at: usize| match &steps[at].kind {
        StepKind::Uses(uses) => uses.action.value.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(action(1), ActionRef::Docker { image: "alpine:3".into() });
    assert_eq!(action(2), ActionRef::Own { path: "actions/x".into() });
    let StepKind::Wait(ids) = &steps[5].kind else { panic!("{:?}", steps[5]) };
    assert_eq!(ids.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["server", "other"]);
    assert!(matches!(&steps[6].kind, StepKind::Cancel(id) if id.value == "other"));
    let StepKind::Parallel(inner) = &steps[7].kind else { panic!("{:?}", steps[7]) };
    assert_eq!(inner.len(), 2);
    assert_eq!(steps[8].kind, StepKind::WaitAll);
    assert_eq!(workflow.job("inside").map(|job| job.all_steps().count()), Some(11));
}

#[test]
fn called_workflows_are_read() {
    let workflow = whole();
    let call = |id: &str| workflow.job(id).and_then(|job| job.call()).cloned().expect("a call");
    assert_eq!(
        call("local").workflow.value,
        WorkflowRef::Local { path: ".github/workflows/other.yml".into() }
    );
    assert_eq!(call("local").secrets, CallSecrets::Inherit);
    let CallSecrets::Named(secrets) = call("remote").secrets else { panic!("named") };
    assert_eq!(secrets.get("TOKEN").map(|value| value.text()), Some("${{ secrets.TOKEN }}"));
    assert_eq!(call("remote").workflow.to_string(), "owner/repo/.github/workflows/f.yaml@v1");
    assert_eq!(call("own").workflow.value, WorkflowRef::Own { path: ".github/workflows/own.yml".into() });
    assert!(workflow.job("own").is_some_and(|job| job.runs_on.is_none() && job.steps().is_empty()));
}
