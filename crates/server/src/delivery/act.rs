//! Doing what a plan says. Documents first where a later round must count on them, the world first where a document
//! would otherwise claim what is not so (routes: the gateway has them before they are kept).

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use windlass_delivery::{Action, Instance, InstanceState};
use windlass_kernel::{Actor, Batch, InstanceId, NewEvent, ReleaseId, ServiceName, Versioned};

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
        Action::Stop { instance } => stop(ctx, scene, *instance).await,
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
    let instance = Instance {
        id: InstanceId::new(&ctx.ids),
        project: environment.project.clone(),
        environment: environment.name.clone(),
        service: service.clone(),
        release,
        deployment: scene.deployment.as_ref().map(|d| d.value.id),
        port: free_port(scene)?,
        state: InstanceState::Starting,
        restarts: 0,
        last_health: None,
        streak: 0,
        created_at: now,
        started_at: now,
    };
    ctx.commit(Batch::new().create(&instance).event(event(ctx, &instance, "instance.started"))).await?;
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
    let port = free_port(scene)?;
    let now = ctx.now();
    let Some(instance) = scene.instances.iter_mut().find(|i| i.value.id == id) else { return Ok(()) };
    instance.value.restarted(now);
    // Whoever took the port meanwhile keeps it.
    if TcpListener::bind(("127.0.0.1", instance.value.port)).is_err() {
        instance.value.port = port;
    }
    let event = event(ctx, &instance.value, "instance.restarted");
    ctx.commit(Batch::new().update(&instance.value, instance.version).event(event)).await?;
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
    routes::publish(ctx, Some(&environment)).await?;
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

/// Said first, then done, then forgotten: a kill in between repeats it.
async fn stop(ctx: &Context, scene: &mut Scene, id: InstanceId) -> anyhow::Result<()> {
    change(ctx, scene, id, |i, _| i.stopping()).await?;
    let dir = instance_dir(&ctx.data, id);
    ctx.instances.stop(&dir, GRACE).await?;
    let Some(index) = scene.instances.iter().position(|i| i.value.id == id) else { return Ok(()) };
    crate::observe::take_last_lines(ctx, &scene.instances[index].value).await;
    let event = event(ctx, &scene.instances[index].value, "instance.stopped");
    ctx.commit(Batch::new().delete::<Instance>(id).event(event)).await?;
    scene.instances.remove(index);
    let _ = tokio::fs::remove_dir_all(&dir).await;
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

/// A port of the loopback that nobody listens on now and no instance of the environment was given.
fn free_port(scene: &Scene) -> anyhow::Result<u16> {
    for _ in 0..64 {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        if scene.instances.iter().all(|i| i.value.port != port) {
            return Ok(port);
        }
    }
    anyhow::bail!("no free port on the loopback")
}
