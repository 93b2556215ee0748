//! From a push to the end of a run: gates, leases, reports, logs, artifacts, caches, clocks.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use windlass_api as api;
use windlass_api::ErrorCode;
use windlass_api::runner as wire;
use windlass_identity::Role;
use windlass_kernel::{Query, Secret, StoreExt as _};
use windlass_pipeline::{JobState, Run};

use super::world::{World, bearer, finished, person, runner, started};
use crate::runs::{Clockwork, look};

pub(super) const CI: (&str, &str) = (
    ".github/workflows/ci.yml",
    "on: push\njobs:\n  test:\n    runs-on: ubuntu-latest\n    steps:\n      - run: 'true'\n",
);
const PRODUCTION: (&str, &str) = (
    ".github/workflows/ci.yml",
    "on: push\njobs:\n  ship:\n    runs-on: ubuntu-latest\n    environment: production\n    steps:\n      - run: 'true'\n",
);
const GUARDED: (&str, &str) = (
    "windlass.yml",
    "services:\n  web:\n    port: 80\nenvironments:\n  production:\n    branches: main\n    reviewers: [bob]\n",
);
const OPEN: (&str, &str) =
    ("windlass.yml", "services:\n  web:\n    port: 80\nenvironments:\n  production: {}\n");

fn reason(run: &Run) -> String {
    run.jobs[0].reason().unwrap_or_default()
}

async fn set_secret(world: &World, environment: Option<&str>, value: &str) {
    let how =
        api::SetSetting { environment: environment.map(str::to_owned), value: Secret::new(value.to_owned()) };
    world.ctx.set_setting(&person("ada", Role::Member), "shop", true, "TOKEN", how).await.unwrap();
}

#[tokio::test]
async fn a_push_starts_a_run_once_and_by_whom() {
    let world = World::new();
    world.pushed("shop", "ada", &[CI]).await;
    let project = "shop".parse().unwrap();
    crate::source::take_in(&world.ctx, &project).await.unwrap();
    let run = world.run().await;
    assert_eq!((run.number, run.event.as_str(), run.actor.to_string().as_str()), (1, "push", "user:ada"));
    assert_eq!(world.told("ref.updated").await, 1);
    assert_eq!(world.told("run.created").await, 1);

    // What two see at a time is taken in once, and numbered without a gap.
    world.push("shop", "main", "bob", &[("a", "1")]);
    let both = tokio::join!(
        crate::source::take_in(&world.ctx, &project),
        crate::source::take_in(&world.ctx, &project)
    );
    assert!(both.0.is_ok() && both.1.is_ok());
    let run = world.run().await;
    assert_eq!((run.number, run.actor.to_string().as_str()), (2, "user:bob"));
}

#[tokio::test]
async fn odd_refs_do_not_keep_a_project_from_being_taken_in() {
    let world = World::new();
    world.pushed("shop", "ada", &[CI, ("big", "x")]).await;
    let repository = world.dir.path().join("data/repos/shop.git");
    let git = |args: &[&str]| {
        let output = std::process::Command::new("git").current_dir(&repository).args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let (blob, tree) = (git(&["rev-parse", "main:big"]), git(&["rev-parse", "main^{tree}"]));
    git(&["update-ref", "refs/tags/blob", &blob]);
    git(&["update-ref", "refs/tags/tree", &tree]);
    git(&["update-ref", "refs/notes/x", &git(&["rev-parse", "main"])]);
    world.push("shop", "odd", "ada", &[("note", "y")]);
    let work = world.dir.path().join("work/shop");
    std::fs::remove_dir_all(work.join(".github/workflows")).unwrap();
    world.push("shop", "file", "ada", &[(".github/workflows", "not a folder")]);
    crate::source::take_in(&world.ctx, &"shop".parse().unwrap()).await.unwrap();
    assert_eq!(world.told("ref.updated").await, 6);
}

#[tokio::test]
async fn the_default_branch_says_the_rules_and_no_secret_leaves_before_they_hold() {
    let world = World::new();
    world.pushed("shop", "ada", &[CI, GUARDED]).await;
    set_secret(&world, Some("production"), "hunter2-production").await;
    // A branch that strikes the rules out, and one that has no manifest at all.
    for branch in ["loose", "none"] {
        let files: &[_] = if branch == "loose" { &[PRODUCTION, OPEN] } else { &[PRODUCTION] };
        world.push("shop", branch, "mallory", files);
        if branch == "none" {
            std::fs::remove_file(world.dir.path().join("work/shop/windlass.yml")).unwrap();
            world.push("shop", branch, "mallory", &[]);
        }
        crate::source::take_in(&world.ctx, &"shop".parse().unwrap()).await.unwrap();
        look(&world.ctx, true).await;
        let run = world.run().await;
        assert!(run.git_ref.ends_with(branch) && run.is_completed(), "{run:?}");
        assert!(reason(&run).contains("may not deploy to production"), "{}", reason(&run));
    }
    assert_eq!(world.told("job.started").await, 0);
}

#[tokio::test]
async fn gate_approval_lease_and_secrets() {
    let world = World::new();
    world.pushed("shop", "bob", &[PRODUCTION, GUARDED]).await;
    set_secret(&world, None, "hunter2-project").await;
    set_secret(&world, Some("production"), "hunter2-production").await;
    look(&world.ctx, true).await;
    assert!(world.lease().await.unwrap().is_none(), "nothing is handed out before the approval");
    let approvals = world.ctx.approvals(&person("bob", Role::Member), Some("shop")).await.unwrap();
    let id = approvals[0].id.clone();
    let yes = || api::Decide { approve: true, comment: String::new() };
    // Who pushed it, who is no reviewer, and who may not at all.
    for (who, role) in [("bob", Role::Member), ("ada", Role::Member), ("bob", Role::Viewer)] {
        let refused = world.ctx.decide(&person(who, role), &id, yes()).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Forbidden, "{who} {role}");
    }
    // Pushed by somebody else, the reviewer's word counts, once.
    world.push("shop", "main", "ada", &[("a", "1")]);
    crate::source::take_in(&world.ctx, &"shop".parse().unwrap()).await.unwrap();
    look(&world.ctx, true).await;
    let id = format!("{}:production", world.run().await.id);
    world.ctx.decide(&person("bob", Role::Member), &id, yes()).await.unwrap();
    let again = world.ctx.decide(&person("bob", Role::Member), &id, yes()).await.unwrap_err();
    assert_eq!(again.code, ErrorCode::Conflict);
    look(&world.ctx, true).await;
    let job = world.lease().await.unwrap().unwrap();
    assert_eq!(job.secrets["TOKEN"].expose(), "hunter2-production");
    let ledger = serde_json::to_string(&windlass_kernel::Store::events(&*world.store, 0, 0).await.unwrap());
    assert!(!ledger.unwrap().contains("hunter2"));
    world.finish(&job).await.unwrap();

    // Done again it asks again: an earlier attempt's approval says nothing about this one.
    let run = world.run().await.id.to_string();
    let how = api::Rerun::default();
    world.ctx.rerun(&person("ada", Role::Member), &run, how).await.unwrap();
    look(&world.ctx, true).await;
    assert!(world.lease().await.unwrap().is_none());
    // And what is cancelled asks nobody any more.
    for _ in 0..2 {
        let _ = world.ctx.cancel_run(&person("ada", Role::Member), &run).await;
    }
    look(&world.ctx, true).await;
    let left = world.ctx.approvals(&person("bob", Role::Member), Some("shop")).await.unwrap();
    assert!(left.iter().all(|a| a.run != run), "{left:?}");
}

#[tokio::test]
async fn a_lost_job_is_handed_out_anew_and_its_old_token_opens_nothing() {
    let world = World::new();
    world.pushed("shop", "ada", &[CI]).await;
    let first = world.lease().await.unwrap().unwrap();
    world.tell(&first, 1, &[started()]).await.unwrap();
    let append = |offset: u64, text: &'static str| {
        let who = bearer(&first);
        let (ctx, job) = (world.ctx.clone(), first.job.clone());
        async move { ctx.append_log(&who, &job, offset, Body::from(text)).await.unwrap().next_offset }
    };
    assert_eq!(append(0, "the first try\n").await, 14);

    // Another runner cannot give it up, nor can word of another hand-out.
    let lost = |attempt| wire::Lost { reason: "its unit died".into(), attempt };
    let other = windlass_identity::Principal::runner("elsewhere");
    world.ctx.lost(&other, &first.job, lost(Some(1))).await.unwrap();
    world.ctx.lost(&runner(), &first.job, lost(Some(2))).await.unwrap();
    assert!(world.run().await.jobs[0].lease().is_some());

    world.clock.advance(Duration::from_secs(31));
    look(&world.ctx, true).await;
    assert!(matches!(world.run().await.jobs[0].state, JobState::Queued { .. }));
    let second = world.lease().await.unwrap().unwrap();
    assert_eq!((second.attempt, second.job.as_str()), (2, first.job.as_str()));
    let authenticate = |token: &Secret<String>| {
        let credential = windlass_web::Credential::Bearer(token.clone());
        let ctx = world.ctx.clone();
        async move { ctx.authenticate(&credential).await.unwrap() }
    };
    assert!(authenticate(&first.token).await.is_none());
    let who = authenticate(&second.token).await.unwrap();

    // Started is told before the first byte: the new log begins at nothing all the same.
    world.tell(&second, 1, &[started()]).await.unwrap();
    assert_eq!(append(0, "again\n").await, 6);
    world.tell(&second, 2, &[finished()]).await.unwrap();
    let told = world.tell(&second, 2, &[finished()]).await.unwrap();
    assert!(!told.lost && told.acknowledged == 2, "an end told twice is no loss: {told:?}");
    assert!(!world.ctx.at_work(&who).await, "an ended job's token is for its last words only");
    let artifact = world.ctx.put_artifact(&who, &second.job, "late", None, false, Body::from("x")).await;
    assert_eq!(artifact.unwrap_err().code, ErrorCode::Conflict);
    let log = world.ctx.job_log(&person("ada", Role::Viewer), &second.run, &second.job, 0, 0).await.unwrap();
    assert_eq!(to_bytes(log.body, 100).await.unwrap(), "again\n");
}

#[tokio::test]
async fn a_log_takes_each_byte_once_whatever_is_repeated() {
    let world = World::new();
    world.pushed("shop", "ada", &[CI]).await;
    let job = world.lease().await.unwrap().unwrap();
    let who = bearer(&job);
    for (offset, text, next) in [
        (0, "one ", 4),
        (0, "one two ", 8),
        (2, "e ", 8),
        (20, "from the future", 8),
        (8, "three", 13),
        (13, "", 13),
    ] {
        let reply = world.ctx.append_log(&who, &job.job, offset, Body::from(text)).await.unwrap();
        assert_eq!(reply.next_offset, next, "{offset} {text}");
    }
    let piece = |text: &'static str| world.ctx.append_log(&who, &job.job, 13, Body::from(text));
    let (a, b) = tokio::join!(piece(" four"), piece(" four"));
    assert_eq!((a.unwrap().next_offset, b.unwrap().next_offset), (18, 18));
    let log = world.ctx.job_log(&person("ada", Role::Viewer), &job.run, &job.job, 4, 9).await.unwrap();
    assert_eq!(to_bytes(log.body, 100).await.unwrap(), "two three");
}

#[tokio::test]
async fn a_job_that_cannot_be_handed_out_does_not_hold_up_the_others() {
    let world = World::new();
    world.pushed("shop", "ada", &[CI]).await;
    set_secret(&world, None, "value").await;
    // Sealed with a key that is gone.
    let mut record = world.store.list::<windlass_secrets::SecretRecord>(&Query::default()).await.unwrap();
    let mut record = record.remove(0).value;
    record.ciphertext = "AAAA".into();
    world.ctx.commit(windlass_kernel::Batch::new().put(&record)).await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    world.pushed("other", "ada", &[CI]).await;
    let job = world.lease().await.unwrap().unwrap();
    assert_eq!(job.project, "other");
    for _ in 0..3 {
        let _ = world.lease().await.unwrap();
    }
    let runs = world.store.list::<Run>(&Query::default()).await.unwrap();
    let stuck = runs.iter().find(|r| r.value.project.as_str() == "shop").unwrap();
    assert!(
        stuck.value.is_completed() && reason(&stuck.value).contains("could not be handed"),
        "{:?}",
        stuck.value.jobs
    );
}

#[tokio::test]
async fn artifacts_are_one_of_a_name_and_caches_stay_in_their_scope() {
    let world = World::new();
    world.pushed("shop", "ada", &[CI]).await;
    let main = world.lease().await.unwrap().unwrap();
    let (a, b) = (bearer(&main), bearer(&main));
    let raced = tokio::join!(
        world.ctx.put_artifact(&a, &main.job, "raced", None, false, Body::from("1")),
        world.ctx.put_artifact(&b, &main.job, "raced", None, false, Body::from("2")),
    );
    assert!(raced.0.is_ok() != raced.1.is_ok());
    let who = bearer(&main);
    world.ctx.put_artifact(&who, &main.job, "site", None, false, Body::from("x")).await.unwrap();
    let twice = world.ctx.put_artifact(&who, &main.job, "site", None, false, Body::from("y")).await;
    assert_eq!(twice.unwrap_err().code, ErrorCode::Conflict);
    world.ctx.put_artifact(&who, &main.job, "site", None, true, Body::from("y")).await.unwrap();
    assert_eq!(world.ctx.list_artifacts(&who, &main.job).await.unwrap().len(), 2);

    world.push("shop", "feature", "ada", &[("f", "1")]);
    crate::source::take_in(&world.ctx, &"shop".parse().unwrap()).await.unwrap();
    let feature = world.lease().await.unwrap().unwrap();
    let keys = |k: &str| vec![k.to_owned()];
    world.ctx.put_cache(&bearer(&feature), &feature.job, "v", "deps-1", Body::from("bad")).await.unwrap();
    let seen = world.ctx.get_cache(&who, &main.job, "v", &keys("deps-1")).await.unwrap();
    assert!(seen.is_none(), "the default branch must not read what another branch wrote");
    world.ctx.put_cache(&who, &main.job, "v", "deps-0", Body::from("good")).await.unwrap();
    let seen = world.ctx.get_cache(&bearer(&feature), &feature.job, "v", &keys("deps-0")).await.unwrap();
    assert_eq!(seen.unwrap().0, "deps-0");
    // Another run's job, and another job's token.
    let foreign = world.ctx.get_cache(&who, &feature.job, "v", &keys("deps-0")).await;
    assert!(foreign.is_err());
}

#[tokio::test]
async fn a_schedule_fires_once_also_across_restarts() {
    let mut world = World::new();
    let cron = "on:\n  schedule:\n    - cron: '*/5 * * * *'\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: 'true'\n";
    world.pushed("shop", "ada", &[(".github/workflows/c.yml", cron)]).await;
    world.pushed("broken", "ada", &[CI]).await;
    std::fs::remove_dir_all(world.dir.path().join("data/repos/broken.git")).unwrap();
    let mut clockwork = Clockwork::default();
    let scheduled = |world: &World| {
        let store = world.store.clone();
        async move {
            let runs = store.list::<Run>(&Query::default()).await.unwrap();
            runs.iter().filter(|r| r.value.event == "schedule").count()
        }
    };
    clockwork.tick(&world.ctx).await.unwrap();
    assert_eq!(scheduled(&world).await, 0, "nothing from before it was seen");
    world.clock.advance(Duration::from_mins(5));
    clockwork.tick(&world.ctx).await.unwrap();
    world.clock.advance(Duration::from_secs(31));
    clockwork.tick(&world.ctx).await.unwrap();
    assert_eq!(scheduled(&world).await, 1);
    // A long time during which nobody looked counts once.
    world.restart(world.store.clone());
    world.clock.advance(Duration::from_hours(1));
    let mut clockwork = Clockwork::default();
    clockwork.tick(&world.ctx).await.unwrap();
    clockwork.tick(&world.ctx).await.unwrap();
    assert_eq!(scheduled(&world).await, 2);
}
