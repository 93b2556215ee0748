//! What starts runs besides a push, workflows that call workflows, and runs that are done again.

use std::collections::BTreeMap;

use axum::body::{Body, to_bytes};
use serde_json::json;
use windlass_api as api;
use windlass_api::ErrorCode;
use windlass_api::runner as wire;
use windlass_identity::Role;
use windlass_kernel::{Query, Secret, StoreExt as _};
use windlass_pipeline::{Conclusion, Run};

use super::runs::CI;
use super::world::{World, bearer, finished, person, started};
use crate::runs::{Follower, look};

fn workflow(on: &str) -> String {
    format!("name: W\non: {on}\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: 'true'\n")
}

fn failed() -> wire::JobHappening {
    wire::JobHappening::Finished {
        conclusion: api::Conclusion::Failure,
        reason: None,
        outputs: BTreeMap::new(),
        environment_url: None,
    }
}

/// Event and workflow file of each run, oldest first.
async fn runs(world: &World) -> Vec<(String, String)> {
    let runs = world.store.list::<Run>(&Query::default()).await.unwrap();
    let name = |run: &Run| run.workflow.file.rsplit('/').next().unwrap_or_default().to_owned();
    runs.iter().map(|run| (run.value.event.clone(), name(&run.value))).collect()
}

async fn secret(world: &World, name: &str, value: &str) {
    let how = api::SetSetting { environment: None, value: Secret::new(value.to_owned()) };
    world.ctx.set_setting(&person("ada", Role::Member), "shop", true, name, how).await.unwrap();
}

#[tokio::test]
async fn workflows_call_workflows_of_their_own_and_of_other_projects() {
    let world = World::new();
    let deep = "on:\n  workflow_call:\n    inputs: {who: {type: string}}\n    secrets: {key: {required: true}}\njobs:\n  say:\n    runs-on: ubuntu-latest\n    steps:\n      - run: 'true'\n";
    let outer = "on:\n  workflow_call:\n    inputs: {who: {type: string, required: true}}\njobs:\n  inner:\n    uses: ./.github/workflows/deep.yml\n    with: {who: \"${{ inputs.who }}!\"}\n    secrets: {key: \"${{ secrets.TOKEN }}-${{ secrets.GITHUB_TOKEN != '' }}\"}\n";
    world
        .pushed(
            "tools",
            "ada",
            &[(".github/workflows/outer.yml", outer), (".github/workflows/deep.yml", deep)],
        )
        .await;
    world.pushed("shop", "ada", &[]).await;
    secret(&world, "TOKEN", "t").await;
    secret(&world, "OTHER", "o").await;
    let call = "on: push\njobs:\n  all:\n    uses: windlass/tools/.github/workflows/outer.yml@main\n    with: {who: world}\n    secrets: inherit\n";
    world.pushed("shop", "ada", &[(".github/workflows/ci.yml", call)]).await;
    let job = world.lease().await.unwrap().unwrap();
    assert_eq!((job.name.as_str(), job.key.as_str()), ("all / inner / say", "say"));
    assert_eq!(
        (job.workflow_file.as_str(), job.workflow_text.as_str()),
        (".github/workflows/deep.yml", deep)
    );
    assert_eq!(
        (job.inputs.clone(), &job.github["workflow"]),
        (json!({"who": "world!"}), &json!(".github/workflows/ci.yml"))
    );
    let secrets: Vec<(&str, &str)> =
        job.secrets.iter().map(|(name, value)| (name.as_str(), value.expose().as_str())).collect();
    assert_eq!(secrets, [("key", "t-true")], "only what was handed on, under the names it has there");
    world.tell(&job, 1, &[started(), finished()]).await.unwrap();
    assert_eq!(world.run().await.conclusion(), Some(Conclusion::Success));

    // What cannot be called is said before anything runs.
    let wrong = call.replace("@main", "@v9").replace("with: {who: world}", "with: {whom: world}");
    world.pushed("shop", "ada", &[(".github/workflows/ci.yml", &wrong)]).await;
    let run = world.run().await;
    assert_eq!(run.conclusion(), Some(Conclusion::StartupFailure));
    assert!(run.diagnostics[0].message.contains("no branch, tag or commit 'v9'"), "{:?}", run.diagnostics);
    let elsewhere = call.replace("windlass/tools", "acme/tools");
    world.pushed("shop", "ada", &[(".github/workflows/ci.yml", &elsewhere)]).await;
    let said = &world.run().await.diagnostics[0].message;
    assert!(said.contains("write windlass/tools"), "{said}");
}

#[tokio::test]
async fn earlier_attempts_stay_readable_with_their_logs() {
    let world = World::new();
    let two = CI
        .1
        .replace("jobs:\n", "jobs:\n  lint:\n    runs-on: ubuntu-latest\n    steps:\n      - run: 'true'\n");
    world.pushed("shop", "ada", &[(CI.0, &two)]).await;
    let mut both = [world.lease().await.unwrap().unwrap(), world.lease().await.unwrap().unwrap()];
    both.sort_by_key(|job| job.name.clone());
    let [lint, test] = both;
    world.tell(&lint, 1, &[started(), finished()]).await.unwrap();
    world.ctx.append_log(&bearer(&test), &test.job, 0, Body::from("it broke\n")).await.unwrap();
    world.tell(&test, 1, &[started(), failed()]).await.unwrap();
    let (ada, run) = (person("ada", Role::Member), test.run.clone());
    let again = api::Rerun { failed_only: true, ..api::Rerun::default() };
    world.ctx.rerun(&ada, &run, again).await.unwrap();
    let second = world.lease().await.unwrap().unwrap();
    assert_ne!(second.job, test.job);
    assert_eq!(second.github["run_attempt"], "2");
    world.finish(&second).await.unwrap();

    let numbers =
        |list: Vec<api::RunSummary>| list.iter().map(|r| (r.attempt, r.conclusion)).collect::<Vec<_>>();
    let (good, bad) = (Some(api::Conclusion::Success), Some(api::Conclusion::Failure));
    assert_eq!(numbers(world.ctx.attempts(&ada, &run).await.unwrap()), [(2, good), (1, bad)]);
    let first = world.ctx.attempt(&ada, &run, 1).await.unwrap();
    let job = first.jobs.iter().find(|job| job.id == test.job).unwrap();
    assert_eq!((first.summary.conclusion, job.conclusion), (bad, bad));
    let log = world.ctx.job_log(&ada, &run, &test.job, 0, 0).await.unwrap();
    assert_eq!(to_bytes(log.body, 100).await.unwrap(), "it broke\n");
    assert!(world.ctx.log_outline(&ada, &run, &test.job).await.is_ok(), "by lines, too");
    assert_eq!(world.ctx.attempt(&ada, &run, 2).await.unwrap().summary.conclusion, good);
    assert_eq!(world.ctx.attempt(&ada, &run, 3).await.unwrap_err().code, ErrorCode::NotFound);

    // One job, and nothing else.
    let one = api::Rerun { job: Some(lint.job.clone()), ..api::Rerun::default() };
    world.ctx.rerun(&ada, &run, one).await.unwrap();
    let third = world.lease().await.unwrap().unwrap();
    assert_eq!(third.name, "lint");
    assert!(world.lease().await.unwrap().is_none());
    world.finish(&third).await.unwrap();
    assert_eq!(world.ctx.attempts(&ada, &run).await.unwrap().len(), 3);
}

#[tokio::test]
async fn an_event_of_ones_own_starts_what_waits_for_it() {
    let world = World::new();
    let files = [
        (".github/workflows/any.yml", workflow("repository_dispatch")),
        (".github/workflows/some.yml", workflow("{repository_dispatch: {types: [deploy]}}")),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    world.pushed("shop", "ada", &files).await;
    assert_eq!(runs(&world).await, []);
    let ada = person("ada", Role::Member);
    let event = |name: &str, keys: usize| api::RepositoryDispatch {
        event_type: name.to_owned(),
        client_payload: (0..keys).map(|i| (format!("k{i}"), json!({"deep": [i]}))).collect(),
    };
    let started = world.ctx.repository_dispatch(&ada, "shop", event("other", 0)).await.unwrap();
    assert_eq!(started.len(), 1);
    world.ctx.repository_dispatch(&ada, "shop", event("deploy", 2)).await.unwrap();
    let run = world.run().await;
    assert_eq!(run.github["event"]["action"], "deploy");
    assert_eq!(run.github["event"]["client_payload"], json!({"k0": {"deep": [0]}, "k1": {"deep": [1]}}));
    assert_eq!((run.git_ref.as_str(), &run.github["event"]["branch"]), ("refs/heads/main", &json!("main")));
    assert_eq!(runs(&world).await.len(), 3);
    let long = "x".repeat(101);
    for (name, keys, says) in [("", 0, "event_type"), (long.as_str(), 0, "event_type"), ("x", 11, "11 keys")]
    {
        let problem = world.ctx.repository_dispatch(&ada, "shop", event(name, keys)).await.unwrap_err();
        assert!(problem.code == ErrorCode::Invalid && problem.detail.contains(says), "{problem:?}");
    }
    let viewer = person("vera", Role::Viewer);
    assert!(world.ctx.repository_dispatch(&viewer, "shop", event("x", 0)).await.is_err());
    assert_eq!(runs(&world).await.len(), 3);
}

#[tokio::test]
async fn refs_that_come_and_go_and_the_changes_that_they_propose() {
    let world = World::new();
    let files = [
        (".github/workflows/create.yml", workflow("create")),
        (".github/workflows/delete.yml", workflow("delete")),
        (".github/workflows/pr.yml", workflow("{pull_request: {types: [opened, closed]}}")),
        (".github/workflows/target.yml", workflow("pull_request_target")),
        (".github/workflows/tags.yml", workflow("{push: {tags: ['v*']}}")),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    world.pushed("shop", "ada", &files).await;
    let project = "shop".parse().unwrap();
    let of = |event: &str, file: &str| (event.to_owned(), file.to_owned());
    assert_eq!(runs(&world).await, [of("create", "create.yml")]);
    world.push("shop", "feature", "bob", &[("f", "1")]);
    crate::source::take_in(&world.ctx, &project).await.unwrap();
    let mut some = runs(&world).await.split_off(1);
    some.sort();
    assert_eq!(
        some,
        [of("create", "create.yml"), of("pull_request", "pr.yml"), of("pull_request_target", "target.yml")]
    );
    let all = world.store.list::<Run>(&Query::default()).await.unwrap();
    let target = &all.iter().find(|run| run.value.event == "pull_request_target").unwrap().value;
    assert_eq!((target.git_ref.as_str(), &target.github["head_ref"]), ("refs/heads/main", &json!("feature")));
    let payload = &target.github["event"];
    assert_eq!(
        (&payload["action"], &payload["pull_request"]["head"]["ref"]),
        (&json!("opened"), &json!("feature"))
    );
    assert_eq!(payload["pull_request"]["number"], payload["number"]);

    world.clock.advance(std::time::Duration::from_millis(10));
    world.git("shop", &["tag", "v1", "main"]);
    world.git("shop", &["push", "--quiet", "TARGET", "v1", ":feature"]);
    crate::source::take_in(&world.ctx, &project).await.unwrap();
    let mut last = runs(&world).await.split_off(4);
    last.sort();
    assert_eq!(
        last,
        [
            of("create", "create.yml"),
            of("delete", "delete.yml"),
            of("pull_request", "pr.yml"),
            of("push", "tags.yml"),
        ]
    );
    let all = world.store.list::<Run>(&Query::default()).await.unwrap();
    let tag = all.iter().find(|run| run.value.event == "push").unwrap();
    assert_eq!((&tag.value.github["ref_type"], &tag.value.github["ref_name"]), (&json!("tag"), &json!("v1")));
    let closed = all.iter().rfind(|run| run.value.event == "pull_request").unwrap();
    let payload = &closed.value.github["event"];
    assert_eq!((&payload["action"], &payload["pull_request"]["merged"]), (&json!("closed"), &json!(false)));
    let gone = all.iter().find(|run| run.value.event == "delete").unwrap();
    assert_eq!(
        (&gone.value.github["event"]["ref"], &gone.value.github["ref"]),
        (&json!("feature"), &json!("refs/heads/main"))
    );
}

#[tokio::test]
async fn a_push_is_told_as_github_tells_it() {
    let world = World::new();
    let old = world.pushed("shop", "ada", &[CI]).await;
    world.push("shop", "main", "ada", &[("a", "1")]);
    let new = world.push("shop", "main", "bob", &[("b", "1")]);
    crate::source::take_in(&world.ctx, &"shop".parse().unwrap()).await.unwrap();
    let run = world.run().await;
    let event = &run.github["event"];
    assert_eq!(
        (&event["before"], &event["after"], &event["created"]),
        (&json!(old), &json!(new), &json!(false))
    );
    assert_eq!((&event["forced"], event["commits"].as_array().map(Vec::len)), (&json!(false), Some(2)));
    assert_eq!((&event["commits"][1]["id"], &event["head_commit"]["id"]), (&json!(new), &json!(new)));
    assert_eq!(event["repository"]["default_branch"], "main");
    let numeric =
        |key: &str| run.github[key].as_str().is_some_and(|id| id.parse::<u64>().is_ok_and(|id| id > 0));
    assert!(numeric("repository_id") && numeric("repository_owner_id") && numeric("actor_id"));
    assert_eq!(run.github["triggering_actor"], run.github["actor"]);
}

#[tokio::test]
async fn a_run_starts_another_once_and_not_for_ever() {
    let mut world = World::new();
    let mut follower = Follower::default();
    let after = workflow("{workflow_run: {workflows: [CI, W], types: [completed], branches: [main]}}");
    let ci = CI.1.replace("on: push", "name: CI\non: push");
    follower.tick(&world.ctx).await.unwrap();
    world.pushed("shop", "ada", &[(CI.0, &ci), (".github/workflows/after.yml", &after)]).await;
    follower.tick(&world.ctx).await.unwrap();
    assert_eq!(runs(&world).await.len(), 1, "it has not ended yet");
    for chain in 1..=3 {
        let job = world.lease().await.unwrap().unwrap();
        world.clock.advance(std::time::Duration::from_millis(10));
        world.finish(&job).await.unwrap();
        follower.tick(&world.ctx).await.unwrap();
        // A control that begins anew reads on where the old one was.
        world.restart(world.store.clone());
        follower = Follower::default();
        follower.tick(&world.ctx).await.unwrap();
        assert_eq!(runs(&world).await.len(), 1 + chain);
    }
    let run = world.run().await;
    assert_eq!((run.event.as_str(), run.git_ref.as_str()), ("workflow_run", "refs/heads/main"));
    let event = &run.github["event"];
    assert_eq!(
        (&event["action"], &event["workflow_run"]["conclusion"]),
        (&json!("completed"), &json!("success"))
    );
    assert_eq!(event["workflow_run"]["event"], "workflow_run");
    let job = world.lease().await.unwrap().unwrap();
    world.finish(&job).await.unwrap();
    follower.tick(&world.ctx).await.unwrap();
    look(&world.ctx, true).await;
    assert_eq!(runs(&world).await.len(), 4, "three in a row are the most");
}

#[tokio::test]
async fn inputs_that_name_environments_name_such_as_there_are() {
    let world = World::new();
    let on =
        "{workflow_dispatch: {inputs: {where: {type: environment}, sure: {type: boolean, required: true}}}}";
    let ship = workflow(on);
    let manifest = "services:\n  web:\n    port: 80\nenvironments:\n  staging: {}\n  production: {}\n";
    world.pushed("shop", "ada", &[(".github/workflows/ship.yml", &ship), ("windlass.yml", manifest)]).await;
    let start = |environment: &str| {
        let given = [("where", json!(environment)), ("sure", json!(true))];
        let inputs = given.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        let how = api::Dispatch { git_ref: "main".into(), inputs };
        let (ctx, ada) = (world.ctx.clone(), person("ada", Role::Member));
        async move { ctx.dispatch(&ada, "shop", "ship.yml", how).await }
    };
    for (environment, says) in [("nowhere", "staging"), ("No Where", "must name an environment")] {
        let problem = start(environment).await.unwrap_err();
        assert!(problem.code == ErrorCode::Invalid && problem.detail.contains(says), "{problem:?}");
    }
    start("staging").await.unwrap();
    let run = world.run().await;
    assert_eq!(run.inputs, json!({"where": "staging", "sure": true}));
    assert_eq!(run.github["event"]["inputs"], json!({"where": "staging", "sure": "true"}));
    start("").await.unwrap();
}
