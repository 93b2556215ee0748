//! One task per environment: look, plan, act, sleep until something may have changed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use windlass_delivery::manifest::Health;
use windlass_delivery::rollout::{Desired, Mode, Observed, Plan, Wanted};
use windlass_delivery::{Deployment, DeploymentState, Instance, InstanceState, Outcome, Release};
use windlass_kernel::{
    Actor, Batch, EnvironmentName, NewEvent, ProjectName, Query, ReleaseId, StoreExt as _, Timestamp,
    Versioned,
};

use crate::context::Context;
use crate::delivery::environment::{EnvironmentDoc, Live, environment_id};
use crate::delivery::{act, facts, instance_dir, routes};

/// With nothing happening, facts are looked at this often.
const CALM: Duration = Duration::from_secs(2);
/// Lines of an instance that go into a failure's report.
const LAST_LINES: usize = 20;

/// Keeps every environment as it should be, until `stop`.
pub(crate) async fn run(ctx: Arc<Context>, stop: CancellationToken) {
    // The gateway may have been started anew as well: first of all, what stands in the documents.
    while let Err(e) = publish_all(&ctx).await {
        tracing::warn!(error = %e, "the gateway does not take the routes yet");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
    }
    if let Err(e) = act::sweep(&ctx).await {
        tracing::warn!(error = %format!("{e:#}"), "what is left of forgotten instances cannot be cleared away");
    }
    let tasks = TaskTracker::new();
    let mut known: HashSet<String> = HashSet::new();
    let wakes: Arc<std::sync::Mutex<Vec<Arc<Notify>>>> = Arc::default();
    loop {
        match ctx.store.list::<EnvironmentDoc>(&Query::default()).await {
            Ok(environments) => {
                for environment in environments {
                    let (project, name) = (environment.value.project, environment.value.name);
                    if known.insert(environment_id(&project, &name)) {
                        let wake = Arc::new(Notify::new());
                        wakes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(wake.clone());
                        tasks.spawn(tend(ctx.clone(), project, name, wake, stop.clone()));
                    }
                }
            }
            Err(e) => tracing::error!(error = %e, "cannot list the environments"),
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = ctx.delivery_changed.notified() => {}
            () = tokio::time::sleep(Duration::from_secs(5)) => {
                if let Err(e) = routes::refresh(&ctx).await {
                    tracing::warn!(error = %format!("{e:#}"), "the routes could not be put in force again");
                }
            }
        }
        for wake in wakes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter() {
            wake.notify_one();
        }
    }
    tasks.close();
    tasks.wait().await;
}

async fn publish_all(ctx: &Context) -> anyhow::Result<()> {
    let mut turn = routes::turn(ctx).await;
    routes::publish(ctx, &mut turn, None).await.map(|_| ())
}

async fn tend(
    ctx: Arc<Context>,
    project: ProjectName,
    name: EnvironmentName,
    wake: Arc<Notify>,
    stop: CancellationToken,
) {
    let mut failures = 0u32;
    loop {
        let pause = match round(&ctx, &project, &name).await {
            Ok(pause) => {
                failures = 0;
                pause
            }
            Err(e) => {
                failures += 1;
                tracing::warn!(%project, environment = %name, error = %format!("{e:#}"), "a round failed; it is repeated");
                Duration::from_millis(100 * u64::from(failures.min(50)))
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// What a round works on.
pub(crate) struct Scene {
    pub(crate) environment: Versioned<EnvironmentDoc>,
    pub(crate) deployment: Option<Versioned<Deployment>>,
    pub(crate) instances: Vec<Versioned<Instance>>,
    pub(crate) releases: BTreeMap<ReleaseId, Release>,
    /// Why routes were left out of the gateway's table.
    pub(crate) refused: Vec<String>,
}

/// Looks, plans, acts once. Gives how long to wait before the next round.
pub(crate) async fn round(
    ctx: &Context,
    project: &ProjectName,
    name: &EnvironmentName,
) -> anyhow::Result<Duration> {
    let Some(mut scene) = gather(ctx, project, name).await? else { return Ok(CALM) };
    // What a kill left half ended.
    act::end_stopping(ctx, &scene);
    let Some(desired) = desired(&scene, ctx.started_at) else { return Ok(CALM) };
    observe(ctx, &mut scene).await?;
    let observed = observed(ctx, &scene).await;
    let plan = windlass_delivery::rollout::plan(&desired, &observed, ctx.now());
    let acted = !plan.actions.is_empty();
    let carried_out = act::carry_out(ctx, &mut scene, &plan.actions).await;
    act::end_stopping(ctx, &scene);
    carried_out?;
    let ended = note(ctx, &mut scene, &plan).await?;
    if acted || ended || plan.roll_back.is_some() {
        return Ok(Duration::ZERO);
    }
    Ok(pause(&scene, &plan, ctx.now()))
}

/// Reads the documents; starts the next deployment in the queue if none is under way.
async fn gather(
    ctx: &Context,
    project: &ProjectName,
    name: &EnvironmentName,
) -> anyhow::Result<Option<Scene>> {
    let id = environment_id(project, name);
    let Some(environment) = ctx.store.get::<EnvironmentDoc>(&id).await? else { return Ok(None) };
    let states = vec!["active".to_owned(), "queued".to_owned()];
    let query = Query { parent: Some(id.clone()), states, ..Query::default() };
    let mut deployments = ctx.store.list::<Deployment>(&query).await?;
    let active = deployments.iter().position(|d| !matches!(d.value.state, DeploymentState::Queued));
    let deployment = match active {
        Some(index) => Some(deployments.swap_remove(index)),
        None if deployments.is_empty() => None,
        None => Some(begin(ctx, &environment.value, deployments.swap_remove(0)).await?),
    };
    let query = Query { parent: Some(id), ..Query::default() };
    let instances = ctx.store.list::<Instance>(&query).await?;
    let mut scene =
        Scene { environment, deployment, instances, releases: BTreeMap::new(), refused: Vec::new() };
    let mut wanted: BTreeSet<ReleaseId> = scene.instances.iter().map(|i| i.value.release).collect();
    wanted.extend(
        [&scene.environment.value.live, &scene.environment.value.warm]
            .into_iter()
            .flatten()
            .map(|l| l.release),
    );
    if let Some(deployment) = &scene.deployment {
        wanted.insert(deployment.value.release);
        wanted.extend(deployment.value.previous);
    }
    for id in wanted {
        if let Some(release) = ctx.store.get::<Release>(&id.to_string()).await? {
            scene.releases.insert(id, release.value);
        }
    }
    Ok(Some(scene))
}

async fn begin(
    ctx: &Context,
    environment: &EnvironmentDoc,
    queued: Versioned<Deployment>,
) -> anyhow::Result<Versioned<Deployment>> {
    let now = ctx.now();
    let previous = environment.live.as_ref().map(|l| l.release);
    let mut deployment = queued.value.start(previous, now)?;
    deployment.note(now, "started");
    let event = event_of(&deployment, "deployment.started", now);
    ctx.commit(Batch::new().update(&deployment, queued.version).event(event)).await?;
    Ok(Versioned { value: deployment, version: queued.version + 1 })
}

/// `started`: since when control runs. Time in which nobody looked does not count against new instances.
fn desired(scene: &Scene, started: Timestamp) -> Option<Desired> {
    let environment = &scene.environment.value;
    let wanted = |live: &Live| wanted(scene, live.release, live.generation);
    let name = environment.name.clone();
    if let Some(deployment) = &scene.deployment {
        let deployment = &deployment.value;
        let redeploy = deployment.cause == windlass_delivery::Cause::Redeploy;
        let target = self::wanted(scene, deployment.release, redeploy.then_some(deployment.id))?;
        let previous = environment.live.as_ref().and_then(wanted);
        let mode = match &deployment.state {
            DeploymentState::RollingBack { since, failure, .. } => {
                Mode::RollingBack { since: (*since).max(started), failure: failure.clone() }
            }
            DeploymentState::Running { since, .. } => Mode::Deploying { since: (*since).max(started) },
            _ => return None,
        };
        return Some(Desired { environment: name, target, previous, mode });
    }
    let target = match &environment.live {
        Some(live) => wanted(live)?,
        // Nothing is live: what a failed first deployment left is cleared away.
        None => {
            let release = scene.instances.first()?.value.release;
            Wanted { release, number: 0, sha: String::new(), generation: None, services: Vec::new() }
        }
    };
    let previous = environment.warm.as_ref().and_then(wanted);
    Some(Desired { environment: name, target, previous, mode: Mode::Steady })
}

fn wanted(
    scene: &Scene,
    release: ReleaseId,
    generation: Option<windlass_kernel::DeploymentId>,
) -> Option<Wanted> {
    let found = scene.releases.get(&release)?;
    let environment = &scene.environment.value;
    // Only services that have an image are delivered.
    let mut services = found.manifest.for_environment(&environment.name, &environment.project);
    services.retain(|s| found.images.contains_key(&s.name));
    Some(Wanted { release, number: found.number, sha: found.sha.clone(), generation, services })
}

/// The health check of a service in the release that an instance belongs to.
pub(crate) fn health_of(scene: &Scene, instance: &Instance) -> Option<Health> {
    wanted(scene, instance.release, None)?
        .services
        .into_iter()
        .find(|s| s.name == instance.service)
        .map(|s| s.service.health)
}

/// Brings the instances' documents up to what is seen.
async fn observe(ctx: &Context, scene: &mut Scene) -> anyhow::Result<()> {
    let healths: Vec<Option<Health>> = scene.instances.iter().map(|i| health_of(scene, &i.value)).collect();
    // One that was told to end belongs to whoever ends it.
    let looked_at =
        scene.instances.iter_mut().zip(healths).filter(|(i, _)| i.value.state != InstanceState::Stopping);
    let looks = looked_at.map(|(instance, health)| async move {
        let health = health?;
        let before = instance.value.state.clone();
        facts::look(ctx, &mut instance.value, &health).await.then_some((instance, before))
    });
    for (instance, before) in futures_util::future::join_all(looks).await.into_iter().flatten() {
        let mut batch = Batch::new().update(&instance.value, instance.version);
        if before.word() != instance.value.state.word() {
            batch = batch.event(instance_event(&instance.value, ctx.now()));
        }
        ctx.commit(batch).await?;
        instance.version += 1;
    }
    Ok(())
}

async fn observed(ctx: &Context, scene: &Scene) -> Observed {
    let instances: Vec<Instance> = scene.instances.iter().map(|i| i.value.clone()).collect();
    let draining: Vec<&Instance> =
        instances.iter().filter(|i| matches!(i.state, InstanceState::Draining { .. })).collect();
    let mut drained = BTreeSet::new();
    if !draining.is_empty() {
        // A gateway that does not answer has nothing drained; the drain's deadline still holds.
        if let Ok(loads) = ctx.gateway.loads().await {
            let busy: HashSet<String> = loads.into_iter().filter(|l| l.in_flight > 0).map(|l| l.id).collect();
            drained = draining.iter().map(|i| i.id).filter(|id| !busy.contains(&id.to_string())).collect();
        }
    }
    let mut lines = BTreeMap::new();
    if scene.deployment.is_some() {
        for instance in instances.iter().filter(|i| !i.state.ready()) {
            let logs = ctx.instances.logs(&instance_dir(&ctx.data, instance.id));
            lines.insert(instance.id, facts::last_lines(&logs, LAST_LINES));
        }
    }
    Observed { instances, routes: scene.environment.value.routes.clone(), drained, lines }
}

/// Keeps what the plan says of the deployment. Gives whether it ended.
async fn note(ctx: &Context, scene: &mut Scene, plan: &Plan) -> anyhow::Result<bool> {
    let Some(current) = scene.deployment.take() else { return Ok(false) };
    let now = ctx.now();
    let mut deployment = current.value.clone();
    for text in plan.notes.iter().chain(&scene.refused) {
        deployment.note(now, text);
    }
    if let Some(phase) = plan.phase
        && matches!(deployment.state, DeploymentState::Running { .. })
    {
        deployment = deployment.reach(phase)?;
    }
    let mut batch = Batch::new();
    let mut events = Vec::new();
    if let Some(failure) = &plan.roll_back {
        deployment = deployment.roll_back(failure.clone(), now)?;
        events.push(event_of(&deployment, "deployment.rolling_back", now));
    }
    let ended = plan.outcome.is_some();
    if let Some(outcome) = &plan.outcome {
        deployment = deployment.end(outcome.clone(), now)?;
        let mut environment = scene.environment.value.clone();
        settle(&mut environment, &deployment, outcome, now);
        forget_routes(&mut environment, scene);
        events.push(event_of(&deployment, kind(&deployment.state), now));
        batch = batch.update(&environment, scene.environment.version);
    }
    if deployment != current.value {
        ctx.commit(batch.update(&deployment, current.version).events(events)).await?;
    }
    if ended {
        ctx.runs_changed.notify_one();
        // What is live says where a service without an instance would be.
        if let Err(e) = publish_all(ctx).await {
            tracing::warn!(error = %format!("{e:#}"), "the routes could not be put in force again");
        }
    }
    Ok(ended)
}

/// A service that the live release does not have any more, and that nothing answers for, has no route.
fn forget_routes(environment: &mut EnvironmentDoc, scene: &Scene) {
    let Some(live) = environment.live.as_ref().and_then(|l| scene.releases.get(&l.release)) else { return };
    environment.routes.retain(|service, to| !to.is_empty() || live.images.contains_key(service));
}

/// What an ended deployment leaves live and warm.
fn settle(environment: &mut EnvironmentDoc, deployment: &Deployment, outcome: &Outcome, now: Timestamp) {
    if !matches!(outcome, Outcome::Succeeded { .. }) {
        return;
    }
    let redeploy = deployment.cause == windlass_delivery::Cause::Redeploy;
    let generation = redeploy.then_some(deployment.id);
    let live = Live { release: deployment.release, generation, since: now };
    let before = environment.live.replace(live);
    // The same release deployed once more leaves what was warm as it is.
    if let Some(before) = before
        && before.release != deployment.release
    {
        environment.warm = Some(before);
    }
}

fn kind(state: &DeploymentState) -> &'static str {
    match state {
        DeploymentState::Succeeded { .. } => "deployment.succeeded",
        DeploymentState::RolledBack { .. } => "deployment.rolled_back",
        DeploymentState::Cancelled { .. } => "deployment.cancelled",
        _ => "deployment.failed",
    }
}

/// A ledger event about a deployment.
pub(crate) fn event_of(deployment: &Deployment, kind: &str, now: Timestamp) -> NewEvent {
    NewEvent::new(now, deployment.created_by.clone(), kind, deployment.id).project(&deployment.project).data(
        json!({
            "environment": deployment.environment,
            "release": deployment.release,
            "previous": deployment.previous,
            "cause": deployment.cause,
            "reason": deployment.reason(),
        }),
    )
}

fn instance_event(instance: &Instance, now: Timestamp) -> NewEvent {
    let kind = format!("instance.{}", instance.state.word());
    NewEvent::new(now, Actor::System, &kind, instance.id).project(&instance.project).data(json!({
        "environment": instance.environment,
        "service": instance.service,
        "release": instance.release,
        "health": instance.last_health.as_ref().map(|h| &h.text),
    }))
}

/// Until the next check, the plan's own time, or a calm while.
fn pause(scene: &Scene, plan: &Plan, now: Timestamp) -> Duration {
    let checks =
        scene.instances.iter().filter_map(|i| facts::next_check(&i.value, &health_of(scene, &i.value)?));
    let next = checks.chain(plan.next).min();
    let busy = scene.deployment.is_some();
    let longest = if busy { Duration::from_millis(100) } else { CALM };
    next.map_or(longest, |at| at.since(now).max(Duration::from_millis(10)).min(longest))
}
