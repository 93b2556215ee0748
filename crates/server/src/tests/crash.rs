//! Control is killed at each of its commits, right before it and right after it: whoever takes over ends where the
//! undisturbed one ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use windlass_api as api;
use windlass_api::runner as wire;
use windlass_delivery::{Deployment, Instance};
use windlass_identity::Role;
use windlass_kernel::{Query, StoreExt as _};
use windlass_pipeline::Run;

use super::world::{Killed, World, bearer, finished, person, started};
use crate::runs::look;

const CI: &str = "on: push\njobs:\n  ship:\n    runs-on: ubuntu-latest\n    environment: production\n    steps:\n      - run: 'true'\n";
const MANIFEST: &str = "services:\n  web:\n    port: 80\n    health:\n      path: /\n      interval: 200ms\n    drain: 1s\nenvironments:\n  production:\n    reviewers: [bob]\n";

/// Far more commits than there are.
const NEVER: i64 = 1_000_000;

/// What people and the runner do, each thing again until it is done. `job` is what the runner holds in its memory.
async fn play(world: &World, image: &str, job: &mut Option<wire::Assignment>) -> anyhow::Result<()> {
    let project = "shop".parse()?;
    crate::source::create_project(&world.ctx, &person("ada", Role::Member).actor, &project).await?;
    crate::source::take_in(&world.ctx, &project).await?;
    look(&world.ctx, true).await;
    for approval in world.ctx.approvals(&person("bob", Role::Member), None).await? {
        let yes = api::Decide { approve: true, comment: String::new() };
        world.ctx.decide(&person("bob", Role::Member), &approval.id, yes).await?;
    }
    look(&world.ctx, true).await;
    if job.is_none() {
        *job = world.lease().await?;
    }
    let Some(held) = job.clone() else { return Ok(()) };
    if world.tell(&held, 1, &[started()]).await?.lost {
        *job = None;
        return Ok(());
    }
    let images = BTreeMap::from([("web".to_owned(), image.to_owned())]);
    world.ctx.start_deployment(&bearer(&held), &held.job, wire::StartDeployment { images }).await?;
    anyhow::ensure!(world.settle("shop", "production").await, "the deployment does not end");
    world.tell(&held, 1, &[started(), finished()]).await?;
    Ok(())
}

/// How things stand at the end, without ids and times.
async fn stand(world: &World) -> Vec<String> {
    let mut stand = Vec::new();
    for run in world.store.list::<Run>(&Query::default()).await.unwrap() {
        stand.push(format!("run {} {:?} {}", run.value.number, run.value.conclusion(), run.value.actor));
    }
    for d in world.store.list::<Deployment>(&Query::default()).await.unwrap() {
        stand.push(format!("deployment {} {}", d.value.environment, d.value.state.word()));
    }
    for i in world.store.list::<Instance>(&Query::default()).await.unwrap() {
        stand.push(format!("instance {}", i.value.state.word()));
    }
    stand.push(format!("{} processes", world.instances.running()));
    stand.push(format!(
        "{:?} behind the route",
        world.gateway.behind("web.production.localhost").map(|b| b.len())
    ));
    for kind in [
        "project.created",
        "ref.updated",
        "run.created",
        "run.completed",
        "approval.given",
        "deployment.created",
        "deployment.started",
        "deployment.succeeded",
        "release.created",
    ] {
        stand.push(format!("{kind} {}", world.told(kind).await));
    }
    let head = windlass_kernel::Store::events(&*world.store, 0, 0).await.unwrap();
    let mut chain = windlass_kernel::ChainHead::empty();
    for event in &head {
        chain = windlass_kernel::verify_link(&chain, event).unwrap();
    }
    stand
}

/// Plays everything, killed at one commit; gives how it stands then, and how many commits there were.
async fn killed_at(commit: i64, kept: bool) -> (Vec<String>, i64) {
    let mut world = World::new();
    let image = world.image("shop", "an image").await;
    let files = [(".github/workflows/ci.yml", CI), ("windlass.yml", MANIFEST)];
    world.ctx.repositories.get_or_create(&"shop".parse().unwrap()).await.unwrap();
    world.push("shop", "main", "ada", &files);
    let store = Arc::new(Killed::at(&world.store, commit, kept));
    world.restart(store.clone());
    let (mut job, mut died) = (None, false);
    for _ in 0..12 {
        let outcome = play(&world, &image, &mut job).await;
        if store.is_dead() && !died {
            died = true;
            world.restart(world.store.clone());
        } else if outcome.is_err() || job.is_none() {
            // Whoever had the job never heard of it: its lease must run out.
            world.clock.advance(Duration::from_secs(31));
        }
        let runs = world.store.list::<Run>(&Query::default()).await.unwrap();
        if !runs.is_empty() && runs.iter().all(|r| r.value.is_completed()) && (died || commit == NEVER) {
            break;
        }
    }
    world.settle("shop", "production").await;
    (stand(&world).await, store.spent(commit))
}

async fn ends_the_same(kept: bool) {
    let (expected, commits) = killed_at(NEVER, false).await;
    assert!(expected.iter().any(|line| line == "run 1 Some(Success) user:ada"), "{expected:#?}");
    assert!(expected.iter().any(|line| line == "deployment production succeeded"), "{expected:#?}");
    assert!(commits > 10, "{commits}");
    for commit in 0..commits {
        let (mut stands, _) = killed_at(commit, kept).await;
        // A run's number may be left out when its commit was lost: it is unique, not dense.
        for line in &mut stands {
            if line.starts_with("run ") {
                *line = line.replacen("run 2", "run 1", 1);
            }
        }
        let when = if kept { "after" } else { "before" };
        assert_eq!(stands, expected, "killed {when} commit {commit} of {commits}");
    }
}

#[tokio::test]
async fn killed_before_any_commit_the_next_control_ends_where_the_undisturbed_one_ends() {
    ends_the_same(false).await;
}

#[tokio::test]
async fn killed_after_any_commit_the_next_control_ends_where_the_undisturbed_one_ends() {
    ends_the_same(true).await;
}
