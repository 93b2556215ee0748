//! The gateway's table, made from what every environment says of its routes.
//!
//! One table holds all environments' routes, so that it is made by one task at a time: [`Turn`] is held from reading the
//! documents until what was put in force is kept. Without it a slower task would put another environment's routes of
//! yesterday back in force, whose instances are about to be stopped.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tokio::sync::MutexGuard;
use windlass_delivery::{Instance, Manifest, Release};
use windlass_gateway::{BackendSpec, Label, Route, RouteTable};
use windlass_kernel::{Batch, Document, EnvironmentName, ProjectName, Query, StoreExt as _};

use crate::context::Context;
use crate::delivery::environment::{EnvironmentDoc, environment_id};

/// How long an instance may take to begin its answer, in milliseconds.
const ANSWER_WITHIN: u64 = 60_000;

/// The right to make the table; holds the version that was put in force last.
pub(crate) type Turn<'a> = MutexGuard<'a, u64>;

/// A host and path that an environment's service has. Whoever has it keeps it for as long as it wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RouteClaim {
    address: String,
    label: Label,
}

impl Document for RouteClaim {
    const KIND: &'static str = "route_claim";

    fn id(&self) -> String {
        self.address.clone()
    }

    fn parent(&self) -> String {
        format!("{}/{}", self.label.project, self.label.environment)
    }
}

/// A route that was left out of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) label: Label,
    pub(crate) why: String,
}

/// Waits for the right to make the table.
pub(crate) async fn turn(ctx: &Context) -> Turn<'_> {
    ctx.locks.routing.lock().await
}

/// Puts the routes in force that the environments' documents tell, with `changed` in place of its own document.
/// Returns once the gateway has taken them; gives what had to be left out.
pub(crate) async fn publish(
    ctx: &Context,
    turn: &mut Turn<'_>,
    changed: Option<&EnvironmentDoc>,
) -> anyhow::Result<Vec<Refused>> {
    let mut environments: BTreeMap<String, EnvironmentDoc> = BTreeMap::new();
    for found in ctx.store.list::<EnvironmentDoc>(&Query::default()).await? {
        environments.insert(found.value.id(), found.value);
    }
    if let Some(changed) = changed {
        environments.insert(changed.id(), changed.clone());
    }
    let mut wanted = Vec::new();
    for environment in environments.values() {
        wanted.extend(of_environment(ctx, environment).await?);
    }
    let (routes, refused) = settle_claims(ctx, wanted).await?;
    for one in &refused {
        tracing::error!(service = %one.label, why = one.why, "a route is left out");
    }
    let version = ctx.store.next_number("route-table").await?;
    ctx.gateway.put_table(&RouteTable { version, routes }).await?;
    **turn = version;
    Ok(refused)
}

/// Puts the routes in force again if the gateway does not have the newest: it was started anew with an old table.
pub(crate) async fn refresh(ctx: &Context) -> anyhow::Result<()> {
    let mut turn = turn(ctx).await;
    match ctx.gateway.table().await {
        Ok(table) if table.version == *turn => Ok(()),
        Ok(_) => publish(ctx, &mut turn, None).await.map(|_| ()),
        // It is starting; it will be asked again.
        Err(_) => Ok(()),
    }
}

/// The key of an address: `/api` and `/api/` cover the same paths.
fn key(host: &str, path: &str) -> String {
    format!("{host}{}", path.trim_end_matches('/'))
}

/// Of several services that want one address, the one that has it keeps it; the others are refused and must go on
/// without. So is a route that the gateway cannot take: one such would keep it from taking any.
async fn settle_claims(ctx: &Context, wanted: Vec<Route>) -> anyhow::Result<(Vec<Route>, Vec<Refused>)> {
    let mut claims: BTreeMap<String, Label> = BTreeMap::new();
    for found in ctx.store.list::<RouteClaim>(&Query::default()).await? {
        claims.insert(found.value.address, found.value.label);
    }
    let before = claims.clone();
    let claimants: BTreeSet<(String, Label)> =
        wanted.iter().map(|r| (key(&r.host, &r.path), r.label.clone())).collect();
    claims.retain(|address, label| claimants.contains(&(address.clone(), label.clone())));
    let (mut routes, mut refused) = (Vec::new(), Vec::new());
    for route in wanted {
        if let Err(e) = (RouteTable { version: 0, routes: vec![route.clone()] }).check() {
            refused.push(Refused { label: route.label, why: e.to_string() });
            continue;
        }
        let owner = claims.entry(key(&route.host, &route.path)).or_insert_with(|| route.label.clone());
        if *owner == route.label {
            routes.push(route);
        } else {
            let why = taken(&route.host, &route.path, owner);
            refused.push(Refused { label: route.label, why });
        }
    }
    let mut batch = Batch::new();
    for address in before.keys().filter(|a| !claims.contains_key(*a)) {
        batch = batch.delete::<RouteClaim>(address);
    }
    for (address, label) in claims.iter().filter(|(a, label)| before.get(*a) != Some(*label)) {
        batch = batch.put(&RouteClaim { address: address.clone(), label: label.clone() });
    }
    if !batch.writes.is_empty() {
        ctx.commit(batch).await?;
    }
    Ok((routes, refused))
}

fn taken(host: &str, path: &str, owner: &Label) -> String {
    format!(
        "{host}{path} is the route of {owner} already; give `route:` in windlass.yml another host or path"
    )
}

/// Why a release cannot have its routes in an environment: another environment has one of them.
pub(crate) async fn conflict(
    ctx: &Context,
    manifest: &Manifest,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> anyhow::Result<Option<String>> {
    for spec in manifest.for_environment(environment, project) {
        let Some(route) = spec.service.route else { continue };
        let found = ctx.store.get::<RouteClaim>(&key(&route.host, &route.path)).await?;
        if let Some(claim) = found.filter(|c| c.value.parent() != environment_id(project, environment)) {
            return Ok(Some(taken(&route.host, &route.path, &claim.value.label)));
        }
    }
    Ok(None)
}

async fn of_environment(ctx: &Context, environment: &EnvironmentDoc) -> anyhow::Result<Vec<Route>> {
    let mut routes = Vec::new();
    for (service, instances) in &environment.routes {
        let mut backends = Vec::new();
        let mut newest: Option<Instance> = None;
        for id in instances {
            let Some(found) = ctx.store.get::<Instance>(&id.to_string()).await? else { continue };
            let address = std::net::SocketAddr::from(([127, 0, 0, 1], found.value.port));
            backends.push(BackendSpec { id: id.to_string(), address });
            newest = Some(found.value);
        }
        // Without an instance left, the live release still says where the service would be: 503 there, not 404.
        let release = newest.map(|i| i.release).or(environment.live.as_ref().map(|l| l.release));
        let Some(release) = release else { continue };
        let Some(release) = ctx.store.get::<Release>(&release.to_string()).await? else { continue };
        let Some((host, path)) = address(&release.value.manifest, environment, service) else { continue };
        let label = Label {
            project: environment.project.to_string(),
            environment: environment.name.to_string(),
            service: service.to_string(),
        };
        routes.push(Route { host, path, label, backends, timeout_ms: ANSWER_WITHIN });
    }
    Ok(routes)
}

/// The host and path of a service in an environment, if it has a route there.
pub(crate) fn address(
    manifest: &Manifest,
    environment: &EnvironmentDoc,
    service: &windlass_kernel::ServiceName,
) -> Option<(String, String)> {
    let specs = manifest.for_environment(&environment.name, &environment.project);
    let route = specs.into_iter().find(|s| s.name == *service)?.service.route?;
    Some((route.host, route.path))
}
