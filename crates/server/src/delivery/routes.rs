//! The gateway's table, made from what every environment says of its routes.

use windlass_delivery::{Instance, Manifest, Release};
use windlass_gateway::{BackendSpec, Label, Route, RouteTable};
use windlass_kernel::{Query, StoreExt as _};

use crate::context::Context;
use crate::delivery::environment::EnvironmentDoc;

/// How long an instance may take to begin its answer, in milliseconds.
const ANSWER_WITHIN: u64 = 60_000;

/// Puts the routes in force that the environments' documents tell, with `changed` in place of its own document.
/// Returns once the gateway has taken them.
pub(crate) async fn publish(ctx: &Context, changed: Option<&EnvironmentDoc>) -> anyhow::Result<()> {
    let mut environments: Vec<EnvironmentDoc> =
        ctx.store.list::<EnvironmentDoc>(&Query::default()).await?.into_iter().map(|v| v.value).collect();
    if let Some(changed) = changed {
        environments.retain(|e| (&e.project, &e.name) != (&changed.project, &changed.name));
        environments.push(changed.clone());
    }
    let mut routes = Vec::new();
    for environment in &environments {
        routes.extend(of_environment(ctx, environment).await?);
    }
    // Two environments that claim one address: the first keeps it, and it is said; the others must go on.
    let mut seen = std::collections::BTreeSet::new();
    routes.retain(|route: &Route| {
        let fresh = seen.insert((route.host.clone(), route.path.clone()));
        if !fresh {
            tracing::error!(host = route.host, path = route.path, service = %route.label, "route is taken by another service; left out");
        }
        fresh
    });
    let version = ctx.store.next_number("route-table").await?;
    ctx.gateway.put_table(&RouteTable { version, routes }).await?;
    Ok(())
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
