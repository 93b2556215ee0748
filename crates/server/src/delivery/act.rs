//! Doing what a plan says. Documents first where a later round must count on them, the world first where a document
//! would otherwise claim what is not so (routes: the gateway has them before they are kept).

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use windlass_delivery::{Action, Instance, InstanceState};
use windlass_kernel::{
    Actor, Batch, InstanceId, NewEvent, Query, ReleaseId, ServiceName, StoreExt as _, Versioned,
};

use crate::context::Context;
use crate::delivery::rounds::Scene;
use crate::delivery::{instance_dir, launch, routes};

/// How long an instance that is stopped may take to end by itself.
const GRACE: Duration = Duration::from_secs(10);

/// Carries actions out in order. All routes of a plan go into one table.
pub(crate) async fn carry_out(ctx: &Context, scene: &mut Scene, actions: &[Action]) -> anyhow::Result<()> {
    let mut new_routes: BTreeMap<ServiceName, BTreeSet<InstanceId>> = BTreeMap::new();
    for action in actions {
        if let Action::Route { service, instances } = action {
            new_routes.insert(service.clone(), instances.clone());
        }
    }
    let (mut routed, mut outcome) = (false, Ok(()));
    for action in actions {
        if matches!(action, Action::Route { .. }) && std::mem::replace(&mut routed, true) {
            continue;
        }
        // Actions of one plan do not hang on each other: one that fails must not hold up the rest.
        if let Err(e) = carry_out_one(ctx, scene, action, &new_routes).await {
            outcome = Err(e.context(format!("{action:?}")));
        }
    }
    outcome
}

async fn carry_out_one(
    ctx: &Context,
    scene: &mut Scene,
    action: &Action,
    new_routes: &BTreeMap<ServiceName, BTreeSet<InstanceId>>,
) -> anyhow::Result<()> {
    match action {
        Action::Start { service, release, count } => {
            for _ in 0..*count {
                start(ctx, scene, service, *release).await?;
            }
            Ok(())
        }
        Action::Restart { instance } => restart(ctx, scene, *instance).await,
        Action::Route { .. } => route(ctx, scene, new_routes).await,
        Action::Drain { instance } => change(ctx, scene, *instance, |i, now| i.drain(now)).await,
        Action::KeepWarm { instance } => change(ctx, scene, *instance, |i, now| i.keep_warm(now)).await,
        Action::Stop { instance } => change(ctx, scene, *instance, |i, _| i.stopping()).await,
    }
}

/// The document first (the next plan counts it), then the process.
async fn start(
    ctx: &Context,
    scene: &mut Scene,
    service: &ServiceName,
    release: ReleaseId,
) -> anyhow::Result<()> {
    let environment = &scene.environment.value;
    let now = ctx.now();
    let choosing = ctx.locks.ports.lock().await;
    let instance = Instance {
        id: InstanceId::new(&ctx.ids),
        project: environment.project.clone(),
        environment: environment.name.clone(),
        service: service.clone(),
        release,
        deployment: scene.deployment.as_ref().map(|d| d.value.id),
        port: free_port(ctx).await?,
        state: InstanceState::Starting,
        restarts: 0,
        last_health: None,
        streak: 0,
        created_at: now,
        started_at: now,
    };
    ctx.commit(Batch::new().create(&instance).event(event(ctx, &instance, "instance.started"))).await?;
    drop(choosing);
    scene.instances.push(Versioned { value: instance.clone(), version: 1 });
    spawn(ctx, scene, &instance).await
}

async fn spawn(ctx: &Context, scene: &Scene, instance: &Instance) -> anyhow::Result<()> {
    let release = scene.releases.get(&instance.release).context("the instance's release is not there")?;
    let dir = instance_dir(&ctx.data, instance.id);
    match launch::spec(ctx, release, instance).await {
        Ok(spec) => ctx.instances.spawn(&dir, &spec).await.context("cannot start the instance's shim"),
        Err(e) => {
            // What cannot be started is an instance that ended at once: the planner decides what follows.
            launch::note_failure(&dir, &format!("{e:#}"), ctx.now());
            tracing::warn!(instance = %instance.id, error = %format!("{e:#}"), "cannot prepare an instance");
            Ok(())
        }
    }
}

async fn restart(ctx: &Context, scene: &mut Scene, id: InstanceId) -> anyhow::Result<()> {
    ctx.instances.stop(&instance_dir(&ctx.data, id), GRACE).await?;
    let choosing = ctx.locks.ports.lock().await;
    let port = free_port(ctx).await?;
    let now = ctx.now();
    let Some(instance) = scene.instances.iter_mut().find(|i| i.value.id == id) else { return Ok(()) };
    instance.value.restarted(now);
    // Whoever took the port meanwhile keeps it.
    if TcpListener::bind(("127.0.0.1", instance.value.port)).is_err() {
        instance.value.port = port;
    }
    let event = event(ctx, &instance.value, "instance.restarted");
    ctx.commit(Batch::new().update(&instance.value, instance.version).event(event)).await?;
    drop(choosing);
    instance.version += 1;
    let value = instance.value.clone();
    spawn(ctx, scene, &value).await
}

/// The swap: the gateway first, then the documents.
async fn route(
    ctx: &Context,
    scene: &mut Scene,
    changed: &BTreeMap<ServiceName, BTreeSet<InstanceId>>,
) -> anyhow::Result<()> {
    let mut environment = scene.environment.value.clone();
    environment.routes.extend(changed.iter().map(|(s, i)| (s.clone(), i.clone())));
    let mut turn = routes::turn(ctx).await;
    let refused = routes::publish(ctx, &mut turn, Some(&environment)).await?;
    let own = |r: &routes::Refused| {
        r.label.project == environment.project.as_str() && r.label.environment == environment.name.as_str()
    };
    scene.refused = refused.into_iter().filter(own).map(|r| r.why).collect();
    let now = ctx.now();
    let subject = format!("{}/{}", environment.project, environment.name);
    let event = NewEvent::new(now, Actor::System, "route.changed", subject)
        .project(&environment.project)
        .data(json!({"routes": environment.routes}));
    let mut batch = Batch::new().update(&environment, scene.environment.version).event(event);
    let routed: BTreeSet<InstanceId> = changed.values().flatten().copied().collect();
    let mut touched = Vec::new();
    for (index, instance) in scene.instances.iter().enumerate().filter(|(_, i)| routed.contains(&i.value.id))
    {
        let mut value = instance.value.clone();
        value.routed(now);
        if value != instance.value {
            batch = batch.update(&value, instance.version);
            touched.push((index, value));
        }
    }
    ctx.commit(batch).await?;
    drop(turn);
    scene.environment = Versioned { value: environment, version: scene.environment.version + 1 };
    for (index, value) in touched {
        let version = scene.instances[index].version + 1;
        scene.instances[index] = Versioned { value, version };
    }
    Ok(())
}

async fn change(
    ctx: &Context,
    scene: &mut Scene,
    id: InstanceId,
    how: impl Fn(&mut Instance, windlass_kernel::Timestamp),
) -> anyhow::Result<()> {
    let now = ctx.now();
    let Some(instance) = scene.instances.iter_mut().find(|i| i.value.id == id) else { return Ok(()) };
    let before = instance.value.clone();
    how(&mut instance.value, now);
    if instance.value == before {
        return Ok(());
    }
    let kind = format!("instance.{}", instance.value.state.word());
    let event = event(ctx, &instance.value, &kind);
    ctx.commit(Batch::new().update(&instance.value, instance.version).event(event)).await?;
    instance.version += 1;
    Ok(())
}

/// Sees to it that every instance that was told to end does, and is forgotten. Said first, then done: what a kill (or an
/// error) left half done is found again by its state. An instance that takes its time holds up nobody.
pub(crate) fn end_stopping(ctx: &Context, scene: &Scene) {
    for instance in scene.instances.iter().filter(|i| i.value.state == InstanceState::Stopping) {
        let instance = instance.value.clone();
        if !ctx.locks.ending().insert(instance.id) {
            continue;
        }
        let ctx = ctx.clone();
        tokio::spawn(async move {
            let ended = end(&ctx, &instance).await;
            ctx.locks.ending().remove(&instance.id);
            match ended {
                Ok(()) => ctx.delivery_changed.notify_one(),
                Err(e) => {
                    tracing::warn!(instance = %instance.id, error = %format!("{e:#}"), "an instance cannot be ended; it is tried again");
                }
            }
        });
    }
}

async fn end(ctx: &Context, instance: &Instance) -> anyhow::Result<()> {
    let dir = instance_dir(&ctx.data, instance.id);
    ctx.instances.stop(&dir, GRACE).await?;
    crate::observe::take_last_lines(ctx, instance).await;
    // A round that read its documents earlier may ask once more: it is told once.
    let event = event(ctx, instance, "instance.stopped").key(format!("instance.stopped/{}", instance.id));
    ctx.commit(Batch::new().delete::<Instance>(instance.id).event(event)).await?;
    let _ = tokio::fs::remove_dir_all(&dir).await;
    Ok(())
}

/// Ends and removes what a kill left of instances that are forgotten already.
pub(crate) async fn sweep(ctx: &Context) -> anyhow::Result<()> {
    let mut folders = tokio::fs::read_dir(ctx.data.path("instances")).await?;
    while let Some(folder) = folders.next_entry().await? {
        let name = folder.file_name();
        let Some(id) = name.to_str().and_then(|n| n.parse::<InstanceId>().ok()) else { continue };
        if ctx.store.get::<Instance>(&id.to_string()).await?.is_none() {
            tracing::warn!(instance = %id, "clearing away an instance that nothing knows");
            ctx.instances.stop(&folder.path(), GRACE).await?;
            let _ = tokio::fs::remove_dir_all(folder.path()).await;
        }
    }
    Ok(())
}

fn event(ctx: &Context, instance: &Instance, kind: &str) -> NewEvent {
    NewEvent::new(ctx.now(), Actor::System, kind, instance.id).project(&instance.project).data(json!({
        "environment": instance.environment,
        "service": instance.service,
        "release": instance.release,
        "port": instance.port,
    }))
}

/// A port of the loopback that nobody listens on now and no instance of any environment was given: another's instance
/// on it would answer this one's health checks, and get its requests. To be called with `ports` locked.
async fn free_port(ctx: &Context) -> anyhow::Result<u16> {
    let given: BTreeSet<u16> =
        ctx.store.list::<Instance>(&Query::default()).await?.iter().map(|i| i.value.port).collect();
    for _ in 0..64 {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        if !given.contains(&port) {
            return Ok(port);
        }
    }
    anyhow::bail!("no free port on the loopback")
}
