//! Deployments, from the request to the route, with instances that are pretended and a gateway that only remembers.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use windlass_api as api;
use windlass_api::ErrorCode;
use windlass_api::runner as wire;
use windlass_delivery::Instance;
use windlass_identity::Role;
use windlass_kernel::{Query, Secret, StoreExt as _};

use super::world::{World, bearer, finished, person, started};
use crate::delivery::EnvironmentDoc;
use crate::runs::look;

const DEPLOY: (&str, &str) = (
    ".github/workflows/ci.yml",
    "on: push\njobs:\n  ship:\n    runs-on: ubuntu-latest\n    environment: staging\n    steps:\n      - run: 'true'\n",
);

fn manifest(services: &[(&str, &str)]) -> String {
    let mut text = "services:\n".to_owned();
    for (name, host) in services {
        text.push_str(&format!(
            "  {name}:\n    port: 80\n    health:\n      path: /\n      interval: 200ms\n      deadline: 3s\n    drain: 1s\n    secrets: [TOKEN]\n    route:\n      host: {host}\n"
        ));
    }
    text + "environments:\n  staging: {}\n"
}

async fn set(world: &World, environment: Option<&str>, secret: bool, value: &str) {
    let how =
        api::SetSetting { environment: environment.map(str::to_owned), value: Secret::new(value.to_owned()) };
    world.ctx.set_setting(&person("ada", Role::Member), "shop", secret, "TOKEN", how).await.unwrap();
}

/// Pushes, and lets the job deploy; gives the deployment as it ended.
async fn ship(world: &World, project: &str, services: &[(&str, &str)], sick: bool) -> api::DeploymentView {
    let text = manifest(services);
    let sha = world.pushed(project, "ada", &[DEPLOY, ("windlass.yml", &text)]).await;
    if sick {
        world.make_sick(&sha);
    }
    look(&world.ctx, true).await;
    let job = world.lease().await.unwrap().unwrap();
    world.tell(&job, 1, &[started()]).await.unwrap();
    let deployment = order(world, &job, services).await.unwrap();
    assert!(world.settle(project, "staging").await);
    world.tell(&job, 2, &[finished()]).await.unwrap();
    world.ctx.deployment(&person("ada", Role::Viewer), &deployment.id).await.unwrap()
}

/// Has a project `shop` with a service in its environment `staging`.
pub(super) async fn ship_web(world: &World) {
    set(world, None, true, "one").await;
    let shipped = ship(world, "shop", &[("web", "web.test")], false).await;
    assert_eq!(shipped.state, api::DeploymentState::Succeeded, "{}", shipped.reason);
}

/// Ships the next version of it, which may never get well.
pub(super) async fn ship_another(world: &World, sick: bool) {
    let shipped = ship(world, "shop", &[("web", "web.test")], sick).await;
    let wanted = if sick { api::DeploymentState::RolledBack } else { api::DeploymentState::Succeeded };
    assert_eq!(shipped.state, wanted, "{}", shipped.reason);
}

async fn order(
    world: &World,
    job: &wire::Assignment,
    services: &[(&str, &str)],
) -> Result<api::DeploymentView, api::Problem> {
    let mut images = BTreeMap::new();
    for (name, _) in services {
        images.insert((*name).to_owned(), world.image(&job.project, &job.run).await);
    }
    world.ctx.start_deployment(&bearer(job), &job.job, wire::StartDeployment { images }).await
}

async fn instances(world: &World) -> Vec<Instance> {
    let found = world.store.list::<Instance>(&Query::default()).await.unwrap();
    found.into_iter().map(|i| i.value).collect()
}

#[tokio::test]
async fn a_release_goes_live_a_sick_one_goes_back_and_a_rollback_is_at_hand() {
    let world = World::new();
    set(&world, None, true, "one").await;
    let web = [("web", "web.test")];
    let first = ship(&world, "shop", &web, false).await;
    assert_eq!(first.state, api::DeploymentState::Succeeded, "{}", first.reason);
    let behind = world.gateway.behind("web.test").unwrap();
    assert_eq!(behind.len(), 1);
    let sick = ship(&world, "shop", &web, true).await;
    assert_eq!(sick.state, api::DeploymentState::RolledBack, "{}", sick.reason);
    assert!(sick.last_health.unwrap_or_default().contains("500"));
    assert_eq!(world.gateway.behind("web.test").unwrap(), behind, "the first one serves on");
    let third = ship(&world, "shop", &web, false).await;
    assert_eq!(third.state, api::DeploymentState::Succeeded);
    let now = world.gateway.behind("web.test").unwrap();
    assert!(now != behind && instances(&world).await.len() == 2, "the one before stays warm");
    let back = api::Rollback { release: None };
    let ada = person("ada", Role::Member);
    let back = world.ctx.rollback(&ada, "shop", "staging", back).await.unwrap();
    assert!(world.settle("shop", "staging").await);
    let back = world.ctx.deployment(&ada, &back.id).await.unwrap();
    assert_eq!((back.state, back.release.number), (api::DeploymentState::Succeeded, first.release.number));
    assert_eq!(world.gateway.behind("web.test").unwrap(), behind, "nothing was built or started for it");
    assert_eq!(world.instances.running(), instances(&world).await.len(), "no process without a document");
}

#[tokio::test]
async fn a_job_whose_environment_has_no_deployments_makes_none() {
    let world = World::new();
    set(&world, None, true, "one").await;
    let web = [("web", "web.test")];
    let quiet = DEPLOY.1.replace("environment: staging", "environment: {name: staging, deployment: false}");
    let text = manifest(&web);
    world.pushed("shop", "ada", &[(DEPLOY.0, quiet.as_str()), ("windlass.yml", &text)]).await;
    look(&world.ctx, true).await;
    let job = world.lease().await.unwrap().expect("its environment's rules hold all the same");
    world.tell(&job, 1, &[started()]).await.unwrap();
    let refused = order(&world, &job, &web).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Invalid);
    assert!(refused.detail.contains("`deployment: false`"), "{}", refused.detail);
    assert!(world.store.list::<windlass_delivery::Deployment>(&Query::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_repeated_order_deploys_once_and_going_back_while_it_runs_stops_it() {
    let world = World::new();
    set(&world, None, true, "one").await;
    let web = [("web", "web.test")];
    ship(&world, "shop", &web, false).await;
    let behind = world.gateway.behind("web.test");
    world.push("shop", "main", "ada", &[("more", "1")]);
    crate::source::take_in(&world.ctx, &"shop".parse().unwrap()).await.unwrap();
    look(&world.ctx, true).await;
    let job = world.lease().await.unwrap().unwrap();
    let (a, b) = (order(&world, &job, &web).await.unwrap(), order(&world, &job, &web).await.unwrap());
    assert_eq!(a.id, b.id);
    crate::delivery::round(&world.ctx, &"shop".parse().unwrap(), &"staging".parse().unwrap()).await.unwrap();
    let ada = person("ada", Role::Member);
    let stopped = world.ctx.rollback(&ada, "shop", "staging", api::Rollback { release: None }).await.unwrap();
    assert_eq!(stopped.id, a.id);
    assert!(world.settle("shop", "staging").await);
    let stopped = world.ctx.deployment(&ada, &a.id).await.unwrap();
    assert_eq!(stopped.state, api::DeploymentState::Cancelled, "{}", stopped.reason);
    assert_eq!(world.gateway.behind("web.test"), behind);
}

#[tokio::test]
async fn an_address_stays_with_whoever_has_it() {
    let world = World::new();
    set(&world, None, true, "one").await;
    let how = || api::SetSetting { environment: None, value: Secret::new("x".into()) };
    let ada = person("ada", Role::Member);
    for project in ["zebra", "shop"] {
        world.ctx.set_setting(&ada, project, true, "TOKEN", how()).await.unwrap();
    }
    ship(&world, "zebra", &[("web", "same.test")], false).await;
    assert_eq!(world.gateway.owner("same.test").unwrap(), "zebra/staging/web");
    // The other's name comes first, by the alphabet; it is told before anything is started.
    let text = manifest(&[("web", "same.test")]);
    world.pushed("shop", "ada", &[DEPLOY, ("windlass.yml", &text)]).await;
    look(&world.ctx, true).await;
    let job = world.lease().await.unwrap().unwrap();
    let refused = order(&world, &job, &[("web", "same.test")]).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict);
    assert!(refused.detail.contains("zebra/staging/web"), "{refused}");
    assert_eq!(world.gateway.owner("same.test").unwrap(), "zebra/staging/web");
}

#[tokio::test]
async fn a_service_that_is_dropped_loses_its_route_and_a_forgetful_gateway_gets_the_table_again() {
    let world = World::new();
    set(&world, None, true, "one").await;
    ship(&world, "shop", &[("web", "web.test"), ("admin", "admin.test")], false).await;
    assert!(world.gateway.behind("admin.test").is_some());
    let view = ship(&world, "shop", &[("web", "web.test")], false).await;
    assert_eq!(view.state, api::DeploymentState::Succeeded, "{}", view.reason);
    assert_eq!(world.gateway.behind("admin.test"), None);
    let environments = world.store.list::<EnvironmentDoc>(&Query::default()).await.unwrap();
    assert_eq!(environments[0].value.routes.len(), 1);
    let behind = world.gateway.behind("web.test");
    world.gateway.forget();
    crate::delivery::refresh(&world.ctx).await.unwrap();
    assert_eq!(world.gateway.behind("web.test"), behind);
}

#[tokio::test]
async fn routes_of_two_environments_that_change_at_a_time_both_hold() {
    let world = World::new();
    let ada = person("ada", Role::Member);
    let names = ["a", "b", "c", "d"];
    for name in names {
        let how = api::SetSetting { environment: None, value: Secret::new("x".into()) };
        world.ctx.set_setting(&ada, name, true, "TOKEN", how).await.unwrap();
        let host = format!("{name}.test");
        let services = [("web", host.as_str())];
        let text = manifest(&services);
        world.pushed(name, "ada", &[DEPLOY, ("windlass.yml", &text)]).await;
        look(&world.ctx, true).await;
        let job = world.lease().await.unwrap().unwrap();
        order(&world, &job, &services).await.unwrap();
    }
    let all = futures_util::future::join_all(names.map(|n| world.settle(n, "staging"))).await;
    assert!(all.iter().all(|settled| *settled));
    let ports: std::collections::BTreeSet<u16> = instances(&world).await.iter().map(|i| i.port).collect();
    assert_eq!(ports.len(), names.len(), "no port was given twice");
    for name in names {
        assert_eq!(world.gateway.behind(&format!("{name}.test")).unwrap().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn what_was_told_to_end_does_even_if_it_had_to_be_told_twice() {
    let mut world = World::new();
    set(&world, None, true, "one").await;
    let web = [("web", "web.test")];
    ship(&world, "shop", &web, false).await;
    ship(&world, "shop", &web, false).await;
    world.instances.stops_fail.store(true, Ordering::SeqCst);
    // The third makes the first superfluous, which cannot be ended now.
    world.push("shop", "main", "ada", &[("more", "1")]);
    crate::source::take_in(&world.ctx, &"shop".parse().unwrap()).await.unwrap();
    look(&world.ctx, true).await;
    let job = world.lease().await.unwrap().unwrap();
    order(&world, &job, &web).await.unwrap();
    world.rounds("shop", "staging", 100).await;
    let stopping = |all: Vec<Instance>| all.iter().filter(|i| i.state.word() == "stopping").count();
    assert_eq!(stopping(instances(&world).await), 1);
    // Control is killed; the next one finds it.
    world.restart(world.store.clone());
    world.instances.stops_fail.store(false, Ordering::SeqCst);
    assert!(world.settle("shop", "staging").await);
    assert_eq!(instances(&world).await.len(), 2);
    assert_eq!(world.instances.running(), 2);
    assert_eq!(world.told("instance.stopped").await, 1);
}

#[tokio::test]
async fn a_release_keeps_the_version_of_a_secret_that_it_was_made_with() {
    let world = World::new();
    let web = [("web", "web.test")];
    set(&world, None, true, "project-1").await;
    // A variable of the same name, of another version, is something else.
    set(&world, Some("staging"), false, "a variable").await;
    set(&world, Some("staging"), false, "a variable again").await;
    let first = ship(&world, "shop", &web, false).await;
    set(&world, None, true, "project-2").await;
    let ada = person("ada", Role::Member);
    let again = api::CreateDeployment { environment: "staging".into(), release: first.release.id.clone() };
    world.ctx.deploy(&ada, "shop", again).await.unwrap();
    assert!(world.settle("shop", "staging").await);
    let tokens = |world: &World| -> Vec<String> {
        world.instances.env().into_iter().map(|e| e["TOKEN"].clone()).collect()
    };
    assert!(tokens(&world).iter().all(|t| t == "project-1"), "{:?}", tokens(&world));
    ship(&world, "shop", &web, false).await;
    assert!(tokens(&world).contains(&"project-2".to_owned()));
    // Removed is gone: set anew, no old version of it comes back.
    world.ctx.delete_setting(&ada, "shop", true, None, "TOKEN").await.unwrap();
    set(&world, None, true, "project-new").await;
    let again = api::CreateDeployment { environment: "staging".into(), release: first.release.id };
    world.ctx.deploy(&ada, "shop", again).await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    assert!(world.settle("shop", "staging").await);
    let leaked = windlass_kernel::Store::events(&*world.store, 0, 0).await.unwrap();
    assert!(!serde_json::to_string(&leaked).unwrap().contains("project-"));
}
