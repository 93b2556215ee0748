//! Changes of people who may not write: their runs wait, get nothing, and leave nothing that others rely on.

use serde_json::json;
use windlass_api as api;
use windlass_api::ErrorCode;
use windlass_api::runner::Assignment;
use windlass_identity::{Grant, JobUse, Permissions, Principal, Role, Scope};
use windlass_kernel::{Actor, Query, Secret, Store as _, StoreExt as _};
use windlass_pipeline::{Conclusion, Run, RunState};
use windlass_source::{ChangeRecord, Origin};
use windlass_web::{Credential, Page};

use super::world::{World, finished, person, started};
use crate::results::CacheScopes;
use crate::runs::{Follower, look};

/// A workflow of one job, on these events and with these lines of the job.
fn workflow(on: &str, job: &str) -> String {
    format!(
        "name: W\non: {on}\npermissions: write-all\njobs:\n  a:\n    runs-on: ubuntu-latest\n{job}    steps:\n      - run: 'true'\n"
    )
}

const PR: &str = ".github/workflows/pr.yml";

/// A project whose workflow runs on changes, with a secret.
async fn shop(more: &[(&str, &str)]) -> World {
    let world = World::new();
    let text = workflow("pull_request", "");
    let files = [&[(PR, text.as_str()), ("a.txt", "a\n")], more].concat();
    world.pushed("shop", "ada", &files).await;
    let how = api::SetSetting { environment: None, value: Secret::new("hush".to_owned()) };
    world.ctx.set_setting(&ada(), "shop", true, "TOKEN", how).await.unwrap();
    world
}

fn ada() -> Principal {
    person("ada", Role::Member)
}

/// Proposes these files for `main`, as the receive hook does for somebody who may not write. Gives the commit.
async fn propose(world: &World, number: u64, by: &str, files: &[(&str, &str)]) -> String {
    world.clock.advance(std::time::Duration::from_millis(10));
    let project = "shop".parse().unwrap();
    let repository = world.ctx.repositories.get(&project).unwrap();
    if repository.change(number).unwrap().is_none() {
        let record = ChangeRecord {
            number: 0,
            base: "main".into(),
            author: Actor::User(by.parse().unwrap()),
            origin: Origin::Topic("fix".into()),
            outside: true,
            open: true,
        };
        assert_eq!(repository.open_change(record).unwrap().number, number);
        world.git("shop", &["checkout", "--quiet", "-B", "proposed", "main"]);
    }
    let work = world.dir.path().join("work/shop");
    for (path, text) in files {
        std::fs::create_dir_all(work.join(path).parent().unwrap()).unwrap();
        std::fs::write(work.join(path), text).unwrap();
    }
    world.git("shop", &["add", "--all"]);
    world.git(
        "shop",
        &["-c", &format!("user.name=user:{by}"), "commit", "--quiet", "--allow-empty", "-m", "Mine"],
    );
    let name = format!("HEAD:refs/changes/{number}/head");
    world.git("shop", &["push", "--quiet", "--force", "TARGET", &name]);
    crate::source::take_in(&world.ctx, &project).await.unwrap();
    world.git("shop", &["rev-parse", "HEAD"]).trim().to_owned()
}

async fn runs(world: &World) -> Vec<Run> {
    let runs = world.store.list::<Run>(&Query::default()).await.unwrap();
    runs.into_iter().map(|found| found.value).collect()
}

async fn approve(
    world: &World,
    who: &Principal,
    run: &Run,
    approve: bool,
) -> Result<api::ApprovalView, api::Problem> {
    let how = api::Decide { approve, comment: "read it".into() };
    world.ctx.decide(who, &run.id.to_string(), how).await
}

/// Who a job's token is.
async fn bearer_of(world: &World, token: &Secret<String>) -> Principal {
    world.ctx.authenticate(&Credential::Bearer(token.clone())).await.unwrap().unwrap()
}

fn usage(who: &Principal) -> JobUse {
    let Scope::Job { usage, .. } = &who.scope else { panic!("{who:?}") };
    *usage
}

#[tokio::test]
async fn a_run_of_an_outsiders_change_waits_until_somebody_who_may_write_approves_it() {
    let world = shop(&[]).await;
    let head = propose(&world, 1, "eve", &[("b.txt", "b\n")]).await;
    let run = world.run().await;
    assert_eq!(run.state, RunState::Held { reason: "waiting for approval: first change of eve".into() });
    look(&world.ctx, true).await;
    assert!(world.lease().await.unwrap().is_none(), "nothing is handed out before");
    let view = world.ctx.run(&ada(), &run.id.to_string()).await.unwrap();
    assert_eq!(view.summary.waits_for.as_deref(), Some("waiting for approval: first change of eve"));
    assert!(
        view.summary.untrusted && view.diagnostics.iter().any(|d| d.message.contains("secrets are empty"))
    );
    let [waiting] = &world.ctx.approvals(&ada(), Some("shop")).await.unwrap()[..] else {
        panic!("one waits")
    };
    assert_eq!((waiting.id.as_str(), waiting.caller_may), (run.id.to_string().as_str(), true));
    assert_eq!(waiting.change.as_ref().map(|c| (c.number, c.head.as_str())), Some((1, head.as_str())));

    let own = Principal::job(&run.project, run.id, run.jobs[0].id);
    for who in
        [person("eve", Role::Contributor), person("vera", Role::Viewer), person("eve", Role::Member), own]
    {
        let refused = approve(&world, &who, &run, true).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Forbidden, "{who:?}");
        assert!(world.lease().await.unwrap().is_none());
    }
    let decided = approve(&world, &ada(), &run, true).await.unwrap();
    assert_eq!((decided.state.as_str(), &decided.decided_by[..]), ("approved", &["ada".to_owned()][..]));
    assert!(world.lease().await.unwrap().is_some());
    let ledger = world.store.events(0, 1000).await.unwrap();
    let told = ledger.iter().find(|event| event.body.kind == "change.approved").unwrap();
    assert_eq!((told.body.actor.to_string().as_str(), &told.body.data["head"]), ("user:ada", &json!(head)));
    assert_eq!(world.told("run.approved").await, 1);
    assert_eq!(world.told("run.restricted").await, 1);
    assert_eq!(approve(&world, &ada(), &run, true).await.unwrap_err().code, ErrorCode::Conflict);
}

#[tokio::test]
async fn an_approval_is_of_one_commit_and_of_all_its_runs() {
    let other = workflow("pull_request", "");
    let world = shop(&[(".github/workflows/other.yml", other.as_str())]).await;
    propose(&world, 1, "eve", &[("b.txt", "b\n")]).await;
    let first = runs(&world).await;
    assert_eq!(first.len(), 2);
    propose(&world, 1, "eve", &[("b.txt", "worse\n")]).await;
    look(&world.ctx, true).await;
    let all = runs(&world).await;
    assert_eq!(all.len(), 4);
    for old in &all[..2] {
        assert_eq!(old.conclusion(), Some(Conclusion::Cancelled), "{:?}", old.state);
        let refused = approve(&world, &ada(), old, true).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Conflict);
    }
    assert!(world.lease().await.unwrap().is_none(), "what takes its place is asked for anew");
    approve(&world, &ada(), &all[3], true).await.unwrap();
    for _ in 0..2 {
        let job = world.lease().await.unwrap().expect("both runs of the commit");
        world.finish(&job).await.unwrap();
    }
    propose(&world, 1, "eve", &[("b.txt", "again\n")]).await;
    look(&world.ctx, true).await;
    assert!(world.lease().await.unwrap().is_none(), "a new push asks again");
    let reason = RunState::Held { reason: "waiting for approval: a change of eve".into() };
    let newest = runs(&world).await.pop().unwrap();
    assert_eq!(newest.state, reason);
    approve(&world, &ada(), &newest, false).await.unwrap();
    let newest = runs(&world).await.pop().unwrap();
    assert_eq!(newest.cancellation.as_ref().unwrap().reason, "rejected by ada: read it");
    assert!(world.lease().await.unwrap().is_none());
}

#[tokio::test]
async fn an_untrusted_job_gets_no_secret_and_tokens_that_only_read() {
    let world = shop(&[]).await;
    let (path, text) = (PR, workflow("pull_request", "    permissions: write-all\n"));
    propose(&world, 1, "eve", &[(path, text.as_str())]).await;
    let run = world.run().await;
    approve(&world, &ada(), &run, true).await.unwrap();
    let job = world.lease().await.unwrap().unwrap();
    assert!(job.secrets.is_empty(), "it sees secrets: {:?}", job.secrets.keys());
    let services = job.services.as_ref().unwrap();
    assert!(services.id_token.is_none(), "it may ask for identity tokens");
    let steps = bearer_of(&world, &services.github_token).await;
    let JobUse::Steps(granted) = usage(&steps) else { panic!("{steps:?}") };
    assert_eq!(granted, Permissions::READ_ALL);
    assert!(granted.contents < Grant::Write);
    let unit = bearer_of(&world, &job.token).await;
    assert_eq!(usage(&unit), JobUse::UntrustedUnit);
    let runtime = bearer_of(&world, &services.runtime_token).await;
    for who in [&steps, &unit, &runtime] {
        let refused = world.ctx.id_token(who, None).await.unwrap_err();
        assert!(refused.detail.contains("proposed from outside"), "{refused:?}");
    }
    let id = run.id.to_string();
    assert_eq!(world.ctx.cancel_run(&steps, &id).await.unwrap_err().code, ErrorCode::Forbidden);
    assert_eq!(
        world.ctx.rerun(&steps, &id, api::Rerun::default()).await.unwrap_err().code,
        ErrorCode::Forbidden
    );
    let event = api::RepositoryDispatch { event_type: "x".into(), client_payload: serde_json::Map::new() };
    assert!(world.ctx.repository_dispatch(&steps, "shop", event).await.is_err());
    let how = windlass_api::runner::StartDeployment { images: std::collections::BTreeMap::new() };
    let refused = world.ctx.start_deployment(&unit, &job.job, how).await.unwrap_err();
    assert!(refused.detail.contains("proposed from outside"), "{refused:?}");
    let artifact =
        world.ctx.put_artifact(&unit, &job.job, "left", None, false, axum::body::Body::from("zip"));
    assert!(artifact.await.unwrap().untrusted, "it is marked");
    let scopes = CacheScopes::of(&run, Some("refs/heads/main"));
    assert_eq!((scopes.own.as_str(), scopes.read_only), ("refs/pull/1/merge", None));
    assert_eq!(scopes.read, ["refs/pull/1/merge", "refs/heads/main"]);
}

#[tokio::test]
async fn no_environment_lets_an_untrusted_job_in() {
    for manifest in [None, Some("services:\n  web:\n    port: 80\nenvironments:\n  production: {}\n")] {
        let more: Vec<(&str, &str)> = manifest.iter().map(|text| ("windlass.yml", *text)).collect();
        let world = shop(&more).await;
        let text = workflow("pull_request", "    environment: production\n");
        propose(&world, 1, "eve", &[(PR, text.as_str())]).await;
        approve(&world, &ada(), &world.run().await, true).await.unwrap();
        look(&world.ctx, true).await;
        let run = world.run().await;
        assert_eq!(run.conclusion(), Some(Conclusion::Failure));
        let reason = run.jobs[0].reason().unwrap();
        assert!(reason.contains("gets no environment"), "{reason}");
        assert!(world.lease().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn pull_request_target_runs_the_projects_own_code_with_its_trust_at_once() {
    let target = workflow("pull_request_target", "");
    let world = shop(&[(".github/workflows/target.yml", target.as_str())]).await;
    let evil = target.replace("'true'", "'steal'");
    let head = propose(&world, 1, "eve", &[(".github/workflows/target.yml", evil.as_str())]).await;
    let job: Assignment = world.lease().await.unwrap().expect("it waits for nobody");
    assert_eq!(job.github["event_name"], "pull_request_target");
    assert!(!job.workflow_text.contains("steal"), "the proposed workflow ran with trust");
    assert_eq!(job.secrets["TOKEN"].expose(), "hush");
    let main = world.git("shop", &["rev-parse", "main"]);
    assert_eq!((&job.github["sha"], &job.github["ref"]), (&json!(main.trim()), &json!("refs/heads/main")));
    let request = &job.github["event"]["pull_request"];
    assert_eq!((&request["head"]["sha"], &request["head"]["repo"]["fork"]), (&json!(head), &json!(true)));
    let id: windlass_kernel::RunId = job.run.parse().unwrap();
    let run = runs(&world).await.into_iter().find(|run| run.id == id).unwrap();
    assert!(CacheScopes::of(&run, Some("refs/heads/main")).read_only.is_some());
    assert!(world.lease().await.unwrap().is_none(), "the other one waits");
}

#[tokio::test]
async fn a_change_is_tested_as_the_merge_that_it_would_be() {
    let world = shop(&[]).await;
    world.push(
        "shop",
        "feature",
        "ada",
        &[("b.txt", "b\n"), (PR, &workflow("pull_request", "    name: new\n"))],
    );
    let main = world.push("shop", "main", "ada", &[("c.txt", "c\n")]);
    crate::source::take_in(&world.ctx, &"shop".parse().unwrap()).await.unwrap();
    let run = world.run().await;
    let head = world.git("shop", &["rev-parse", "feature"]).trim().to_owned();
    assert!(!run.untrusted && run.jobs[0].name == "new", "the workflow is that of the merge");
    let github = &run.github;
    let told = ["ref", "ref_name", "ref_type", "head_ref", "base_ref"].map(|key| github[key].clone());
    assert_eq!(told, ["refs/pull/1/merge", "1/merge", "branch", "feature", "main"].map(|text| json!(text)));
    let repository = world.ctx.repositories.get(&"shop".parse().unwrap()).unwrap();
    let merge = repository.commit(&run.sha.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(
        merge.parents.iter().map(|sha| sha.as_str()).collect::<Vec<_>>(),
        [main.as_str(), head.as_str()]
    );
    assert_eq!(repository.resolve("refs/pull/1/merge").await.unwrap(), Some(merge.sha));
    assert_eq!(repository.resolve("refs/pull/1/head").await.unwrap().unwrap().as_str(), head);
    let event = &github["event"];
    assert_eq!(
        (&event["number"], &event["pull_request"]["head"]["repo"]["fork"]),
        (&json!(1), &json!(false))
    );
    assert_eq!(event["pull_request"]["base"]["sha"], json!(main));
    assert!(world.lease().await.unwrap().is_some(), "a member's change waits for nobody");
}

#[tokio::test]
async fn a_change_that_conflicts_runs_nothing_on_pull_request_and_says_so() {
    let target = workflow("pull_request_target", "");
    let world = shop(&[(".github/workflows/target.yml", target.as_str())]).await;
    world.push("shop", "feature", "ada", &[("a.txt", "one\n")]);
    world.push("shop", "main", "ada", &[("a.txt", "another\n")]);
    crate::source::take_in(&world.ctx, &"shop".parse().unwrap()).await.unwrap();
    let events: Vec<String> = runs(&world).await.into_iter().map(|run| run.event).collect();
    assert_eq!(events, ["pull_request_target"]);
    let page = Page::default();
    let [change] = &world.ctx.changes(&ada(), "shop", &page).await.unwrap()[..] else { panic!("one change") };
    assert_eq!((&change.conflicts[..], &change.merge), (&["a.txt".to_owned()][..], &None));
    let told = world.store.events(0, 1000).await.unwrap();
    let opened = told.iter().find(|event| event.body.kind == "change.opened").unwrap();
    assert_eq!(opened.body.data["conflicts"], json!(["a.txt"]));
    // Once it merges, it runs.
    world.push("shop", "feature", "ada", &[("a.txt", "a\n"), ("b.txt", "b\n")]);
    crate::source::take_in(&world.ctx, &"shop".parse().unwrap()).await.unwrap();
    assert!(runs(&world).await.iter().any(|run| run.event == "pull_request"));
}

#[tokio::test]
async fn a_change_keeps_its_number_until_it_is_merged_or_closed() {
    let world = shop(&[]).await;
    let project = "shop".parse().unwrap();
    world.push("shop", "feature", "ada", &[("b.txt", "b\n")]);
    world.push("shop", "feature", "ada", &[("b.txt", "bb\n")]);
    crate::source::take_in(&world.ctx, &project).await.unwrap();
    propose(&world, 2, "eve", &[("e.txt", "e\n")]).await;
    world.push("shop", "feature", "ada", &[("b.txt", "bbb\n")]);
    crate::source::take_in(&world.ctx, &project).await.unwrap();
    let standing = async || -> Vec<(u64, String, String)> {
        let all = world.ctx.changes(&ada(), "shop", &Page::default()).await.unwrap();
        all.into_iter().map(|c| (c.number, c.state, c.head_name)).collect()
    };
    let entry = |number: u64, state: &str, head: &str| (number, state.to_owned(), head.to_owned());
    assert_eq!(standing().await, [entry(2, "open", "eve/fix"), entry(1, "open", "feature")]);
    let actions: Vec<_> =
        runs(&world).await.iter().map(|run| run.github["event"]["action"].clone()).collect();
    assert_eq!(actions, [json!("opened"), json!("opened"), json!("synchronize")]);

    // Eve's is merged by ada: that is her word for it.
    world.git("shop", &["checkout", "--quiet", "main"]);
    world.git("shop", &["merge", "--quiet", "--no-edit", "proposed"]);
    world.clock.advance(std::time::Duration::from_millis(10));
    world.git("shop", &["push", "--quiet", "TARGET", "main"]);
    crate::source::take_in(&world.ctx, &project).await.unwrap();
    assert_eq!(standing().await, [entry(2, "merged", "eve/fix"), entry(1, "open", "feature")]);
    assert!(!world.ctx.repositories.get(&project).unwrap().change(2).unwrap().unwrap().open);

    let closed = world.ctx.close_change(&person("vera", Role::Viewer), "shop", 1).await;
    assert_eq!(closed.unwrap_err().code, ErrorCode::Forbidden);
    let closed = world.ctx.close_change(&person("eve", Role::Contributor), "shop", 1).await;
    assert_eq!(closed.unwrap_err().code, ErrorCode::Forbidden, "it is not hers");
    world.ctx.close_change(&ada(), "shop", 1).await.unwrap();
    assert_eq!(world.ctx.close_change(&ada(), "shop", 1).await.unwrap_err().code, ErrorCode::Conflict);
    world.push("shop", "feature", "ada", &[("b.txt", "4\n")]);
    crate::source::take_in(&world.ctx, &project).await.unwrap();
    assert_eq!(standing().await[0], entry(3, "open", "feature"));
}

#[tokio::test]
async fn what_nobody_approved_starts_no_other_run() {
    let after = workflow("{workflow_run: {workflows: [W], types: [requested, completed]}}", "");
    let world =
        shop(&[(".github/workflows/after.yml", after.replace("name: W", "name: After").as_str())]).await;
    let mut follower = Follower::default();
    follower.tick(&world.ctx).await.unwrap();
    propose(&world, 1, "eve", &[("b.txt", "b\n")]).await;
    follower.tick(&world.ctx).await.unwrap();
    let run = world.run().await;
    assert_eq!(runs(&world).await.len(), 1);
    approve(&world, &ada(), &run, true).await.unwrap();
    follower.tick(&world.ctx).await.unwrap();
    let requested = runs(&world).await.pop().unwrap();
    assert_eq!((requested.event.as_str(), requested.untrusted), ("workflow_run", false));
    let told = &requested.github["event"]["workflow_run"];
    assert_eq!((&told["head_branch"], &told["head_repository"]["fork"]), (&json!("eve/fix"), &json!(true)));
    propose(&world, 1, "eve", &[("b.txt", "more\n")]).await;
    let held = runs(&world).await.into_iter().rfind(|run| run.untrusted).unwrap();
    approve(&world, &ada(), &held, false).await.unwrap();
    let before = runs(&world).await.len();
    follower.tick(&world.ctx).await.unwrap();
    assert_eq!(runs(&world).await.len(), before, "a rejected run concerns nobody");
}

#[tokio::test]
async fn what_is_proposed_is_no_place_to_start_a_workflow_from() {
    let by_hand = workflow("workflow_dispatch", "");
    let world = shop(&[(".github/workflows/hand.yml", by_hand.as_str())]).await;
    let head = propose(&world, 1, "eve", &[("b.txt", "b\n")]).await;
    for git_ref in ["refs/pull/1/merge", "refs/pull/1/head", "refs/changes/1/head", &head] {
        let how = api::Dispatch { git_ref: git_ref.to_owned(), inputs: std::collections::BTreeMap::new() };
        let refused = world.ctx.dispatch(&ada(), "shop", "hand.yml", how).await.unwrap_err();
        assert!(refused.detail.contains("is not a branch or tag"), "{git_ref}: {refused:?}");
    }
    let how = api::Dispatch { git_ref: "refs/heads/main".into(), inputs: std::collections::BTreeMap::new() };
    world.ctx.dispatch(&ada(), "shop", "hand.yml", how).await.unwrap();
}

#[tokio::test]
async fn a_rejected_run_is_done_again_only_by_somebody_who_answers_for_it() {
    let world = shop(&[]).await;
    propose(&world, 1, "eve", &[("b.txt", "b\n")]).await;
    let run = world.run().await;
    approve(&world, &ada(), &run, false).await.unwrap();
    let id = run.id.to_string();
    let write = JobUse::Steps(Permissions::WRITE_ALL);
    let bot = Principal::job_for(&run.project, run.id, run.jobs[0].id, write);
    let refused = world.ctx.rerun(&bot, &id, api::Rerun::default()).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Forbidden);
    assert!(world.lease().await.unwrap().is_none());
    world.ctx.rerun(&ada(), &id, api::Rerun::default()).await.unwrap();
    let job = world.lease().await.unwrap().expect("ada answers for it");
    assert!(job.secrets.is_empty(), "it is no more trusted than before");
    assert_eq!(world.told("change.approved").await, 1);
    let reports = [started(), finished()];
    world.tell(&job, 1, &reports).await.unwrap();
    assert!(world.run().await.is_completed());
}

#[tokio::test]
async fn the_default_branch_is_protected_and_what_is_proposed_for_it_is_not() {
    let push = workflow("push", "");
    let world = shop(&[(".github/workflows/push.yml", push.as_str())]).await;
    world.push("shop", "feature", "ada", &[("b.txt", "b\n")]);
    crate::source::take_in(&world.ctx, &"shop".parse().unwrap()).await.unwrap();
    let mut told: Vec<(String, serde_json::Value)> = runs(&world)
        .await
        .into_iter()
        .map(|run| (run.git_ref, run.github["ref_protected"].clone()))
        .collect();
    told.sort_by(|one, other| one.0.cmp(&other.0));
    let wanted = [("refs/heads/feature", false), ("refs/heads/main", true), ("refs/pull/1/merge", false)];
    assert_eq!(told, wanted.map(|(name, protected)| (name.to_owned(), json!(protected))));
}
