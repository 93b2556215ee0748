//! Checks that need the whole manifest: references between its parts, and routes that collide.

use std::collections::BTreeMap;

use windlass_kernel::{EnvironmentName, ServiceName};

use super::Manifest;
use super::keys::nearest;
use super::read::Places;
use super::reader::Reader;

pub(super) fn check(manifest: &Manifest, places: &Places, r: &mut Reader) {
    after(manifest, places, r);
    overrides(manifest, places, r);
    routes(manifest, places, r);
}

fn after(manifest: &Manifest, places: &Places, r: &mut Reader) {
    let before: BTreeMap<_, _> =
        manifest.environments.iter().filter_map(|e| Some((&e.name, e.after.as_ref()?))).collect();
    for (name, first) in &before {
        let at = places.after.get(*name).copied().unwrap_or_default();
        if !places.environments.contains_key(*first) {
            let near = nearest(first.as_str(), places.environments.keys().map(EnvironmentName::as_str));
            let hint = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            r.error(at, format!("there is no environment `{first}`{hint}"));
            continue;
        }
        let mut way = vec![*name];
        let mut next = before.get(name);
        while let Some(environment) = next {
            if environment == name {
                let way = way.iter().map(|e| e.as_str()).collect::<Vec<_>>().join(" after ");
                r.error(at, format!("environments wait for each other in a circle: {way} after {name}"));
                break;
            }
            // A circle that this environment only leads into is reported where it is.
            if way.contains(environment) {
                break;
            }
            way.push(environment);
            next = before.get(environment);
        }
    }
}

fn overrides(manifest: &Manifest, places: &Places, r: &mut Reader) {
    for (service, at) in &places.overrides {
        if !places.services.contains_key(service) && !manifest.services.contains_key(service) {
            let near = nearest(service.as_str(), manifest.services.keys().map(ServiceName::as_str));
            let hint = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            r.error(*at, format!("there is no service `{service}` above{hint}"));
        }
    }
    for environment in &manifest.environments {
        for (service, overrides) in &environment.overrides {
            let Some(secrets) = manifest.services.get(service).map(|s| &s.secrets) else { continue };
            for name in overrides.env.keys().filter(|name| secrets.contains(name)) {
                let at = places
                    .overrides
                    .iter()
                    .find(|(s, _)| s == service)
                    .map(|(_, at)| *at)
                    .unwrap_or_default();
                r.error(
                    at,
                    format!("`{name}` is a secret of {service}: a variable cannot have the same name"),
                );
            }
        }
    }
}

/// Each (host, path) belongs to one service in one environment.
fn routes(manifest: &Manifest, places: &Places, r: &mut Reader) {
    let names: Vec<String> = match manifest.environments.as_slice() {
        // None declared: the services of any one environment must not collide.
        [] => vec!["{environment}".into()],
        some => some.iter().map(|e| e.name.to_string()).collect(),
    };
    let mut taken: BTreeMap<(String, String), (&ServiceName, String)> = BTreeMap::new();
    for environment in names {
        for (name, service) in &manifest.services {
            let Some(route) = &service.route else { continue };
            let host = route.host.replace("{environment}", &environment).replace("{service}", name.as_str());
            let at = places.routes.get(name).copied().unwrap_or_default();
            let Some((other, there)) = taken.get(&(host.clone(), route.path.clone())) else {
                taken.insert((host, route.path.clone()), (name, environment.clone()));
                continue;
            };
            let address = format!("{host}{}", route.path);
            if *other == name {
                r.error(at, format!("{name} would be at {address} in {there} and in {environment}: put {{environment}} into the host"));
                return;
            }
            r.error(
                at,
                format!("{other} and {name} would both be at {address}: give one another host or path"),
            );
            return;
        }
    }
}
