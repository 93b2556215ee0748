//! The tree to the typed manifest.

use std::collections::BTreeMap;
use std::time::Duration;

use windlass_kernel::{EnvironmentName, ServiceName};

use super::environments::environment;
use super::keys;
use super::reader::{Fields, Reader, as_flag};
use super::tree::{Node, Place, Value, clip};
use super::{Check, Health, Limits, Manifest, Metrics, Route, Service, Strategy, Volume};

const HOUR: Duration = Duration::from_hours(1);
const MIB: u64 = 1 << 20;

/// The host of a service that names none.
const DEFAULT_HOST: &str = "{service}.{environment}.localhost";

/// Where the things stand that checks across the whole manifest speak of.
#[derive(Default)]
pub(super) struct Places {
    pub(super) services: BTreeMap<ServiceName, Place>,
    pub(super) routes: BTreeMap<ServiceName, Place>,
    pub(super) environments: BTreeMap<EnvironmentName, Place>,
    pub(super) after: BTreeMap<EnvironmentName, Place>,
    pub(super) overrides: Vec<(ServiceName, Place)>,
}

/// Reads what can be read; the findings tell whether it is whole.
pub(super) fn manifest(root: &Node, r: &mut Reader) -> (Manifest, Places) {
    let mut places = Places::default();
    let mut manifest = Manifest { services: BTreeMap::new(), environments: Vec::new() };
    let Some(top) = r.fields(root, "the manifest", keys::TOP) else { return (manifest, places) };
    let before = r.findings.len();
    if let Some(services) = top.get("services") {
        for (key, node) in r.pairs(services, "`services`").unwrap_or_default() {
            let name = key.text.parse::<ServiceName>().map_err(|e| r.error(key.at, e.to_string())).ok();
            let service = service(node, &key.text, r);
            if let (Some(name), Some((service, route_at))) = (name, service) {
                places.services.insert(name.clone(), key.at);
                places.routes.insert(name.clone(), route_at);
                manifest.services.insert(name, service);
            }
        }
    }
    if manifest.services.is_empty() && r.findings.len() == before {
        r.error(top.at, "a manifest needs at least one service: `services: { web: { port: 8080 } }`");
    }
    if let Some(environments) = top.get("environments") {
        for (key, node) in r.pairs(environments, "`environments`").unwrap_or_default() {
            match key.text.parse::<EnvironmentName>() {
                Ok(name) => {
                    places.environments.insert(name.clone(), key.at);
                    manifest.environments.extend(environment(name, node, &mut places, r));
                }
                Err(e) => r.error(key.at, e.to_string()),
            }
        }
    }
    (manifest, places)
}

fn service(node: &Node, name: &str, r: &mut Reader) -> Option<(Service, Place)> {
    let f = r.fields(node, "a service", keys::SERVICE)?;
    let Some(port) = f.get("port") else {
        r.error(f.at, format!("the service `{}` needs `port`: what its program listens on", clip(name)));
        return None;
    };
    let port = r.integer(port, "`port`", 1, 65535);
    let drain = f.get("drain").and_then(|n| r.duration(n, "`drain`", Duration::ZERO, HOUR));
    let replicas = f.get("replicas").and_then(|n| r.integer(n, "`replicas`", 1, 100));
    let env = f.get("env").map(|n| variables(n, r)).unwrap_or_default();
    let secrets = f.get("secrets").map(|n| secrets(n, &env, r)).unwrap_or_default();
    let volumes = f.get("volumes").map(|n| volumes(n, r)).unwrap_or_default();
    if let Some(at) = f.get("volumes").map(|n| n.at)
        && !volumes.is_empty()
        && replicas.unwrap_or(1) > 1
    {
        r.warn(at, "several replicas share each volume: the program must be able to work beside itself on one folder");
    }
    let service = Service {
        port: port.and_then(|p| u16::try_from(p).ok()).unwrap_or(1),
        health: f.get("health").map(|n| health(n, r)).unwrap_or_default(),
        replicas: replicas.unwrap_or(1),
        strategy: f.get("strategy").and_then(|n| strategy(n, r)).unwrap_or_default(),
        drain: drain.unwrap_or(Duration::from_secs(10)),
        limits: f.get("limits").map(|n| limits(n, r)).unwrap_or_default(),
        volumes,
        env,
        secrets,
        route: route(f.get("route"), r),
        metrics: f.get("metrics").map(|n| metrics(n, r)).unwrap_or_default(),
        command: f.get("command").and_then(|n| command(n, r)),
    };
    Some((service, f.get("route").map_or(f.at, |n| n.at)))
}

fn health(node: &Node, r: &mut Reader) -> Health {
    let usual = Health::default();
    if matches!(node.value, Value::Scalar { .. }) {
        let check = url_path(node, "`health`", r).map_or(Check::Connect, |path| Check::Http { path });
        return Health { check, ..usual };
    }
    let Some(f) = r.fields(node, "`health`", keys::HEALTH) else { return usual };
    let path = f.get("path").and_then(|n| url_path(n, "`path`", r));
    let mut duration = |key: &str, least: u64, most: Duration, usual: Duration| {
        let least = Duration::from_millis(least);
        f.get(key).and_then(|n| r.duration(n, &format!("`{key}`"), least, most)).unwrap_or(usual)
    };
    let interval = duration("interval", 100, HOUR, usual.interval);
    let timeout = duration("timeout", 10, HOUR, usual.timeout);
    let deadline = duration("deadline", 1000, HOUR, usual.deadline);
    if let Some(at) = f.get("deadline").or(f.get("interval")).map(|n| n.at)
        && deadline < interval
    {
        r.error(at, "`deadline` is shorter than `interval`: not even one check would be made in time");
    }
    let mut count = |key: &str, usual| {
        f.get(key).and_then(|n| r.integer(n, &format!("`{key}`"), 1, 100)).unwrap_or(usual)
    };
    Health {
        check: path.map_or(Check::Connect, |path| Check::Http { path }),
        interval,
        timeout,
        healthy_after: count("healthy_after", usual.healthy_after),
        unhealthy_after: count("unhealthy_after", usual.unhealthy_after),
        deadline,
    }
}

pub(super) fn limits(node: &Node, r: &mut Reader) -> Limits {
    let Some(f) = r.fields(node, "`limits`", keys::LIMITS) else { return Limits::default() };
    Limits {
        cpu_millis: f.get("cpu").and_then(|n| cpu(n, r)),
        memory_bytes: f.get("memory").and_then(|n| r.size(n, "`memory`", 4 * MIB, 1024 * 1024 * MIB)),
        processes: f.get("processes").and_then(|n| r.integer(n, "`processes`", 1, 100_000)),
    }
}

/// Cores, in decimal: read by hand, so that `1e9`, `inf` and `0x1` are no numbers here.
fn cpu(node: &Node, r: &mut Reader) -> Option<u32> {
    let text = r.text(node, "`cpu`")?;
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits =
        |s: &str, most: usize| (1..=most).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit());
    let millis = (digits(whole, 4) && digits(part, 3))
        .then(|| format!("{whole}{part:0<3}").parse::<u32>().ok())
        .flatten()
        .filter(|millis| (10..=1_024_000).contains(millis));
    if millis.is_none() {
        r.error(
            node.at,
            format!(
                "`cpu` must be a number of cores from 0.01 to 1024, such as 0.5, but `{}` stands here",
                clip(text)
            ),
        );
    }
    millis
}

fn volumes(node: &Node, r: &mut Reader) -> Vec<Volume> {
    let mut volumes: Vec<Volume> = Vec::new();
    for item in r.items(node, "`volumes`").unwrap_or_default() {
        let Some(f) = r.fields(item, "a volume", keys::VOLUME) else { continue };
        let (Some(name), Some(path)) = (f.get("name"), f.get("path")) else {
            r.error(item.at, "a volume needs `name` and `path`: `{ name: data, path: /data }`");
            continue;
        };
        // A volume's name becomes a folder's: the rules of a service's name keep it one.
        let label = r.text(name, "`name`").and_then(|text| match text.parse::<ServiceName>() {
            Ok(name) => Some(name.to_string()),
            Err(_) => {
                r.error(
                    name.at,
                    format!(
                        "`{}` cannot be a volume's name: lower-case letters, digits and hyphens",
                        clip(text)
                    ),
                );
                None
            }
        });
        let folder = r.text(path, "`path`").and_then(|text| match folder(text) {
            Ok(()) => Some(text.to_owned()),
            Err(why) => {
                r.error(path.at, format!("`{}` cannot be a volume's path: {why}", clip(text)));
                None
            }
        });
        let (Some(label), Some(folder)) = (label, folder) else { continue };
        if volumes.iter().any(|v| v.path == folder) {
            r.error(path.at, format!("two volumes cannot be seen at the same path {folder}"));
        } else if volumes.iter().any(|v| v.name == label) {
            r.error(name.at, format!("the volume `{label}` stands here twice"));
        } else {
            volumes.push(Volume { name: label, path: folder });
        }
    }
    volumes
}

fn folder(path: &str) -> Result<(), &'static str> {
    let Some(rest) = path.strip_prefix('/') else { return Err("it must be absolute (begin with `/`)") };
    if path.len() > 1024 || path.chars().any(char::is_control) {
        return Err("it is too long or holds control characters");
    }
    if rest.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("it must be a folder below `/`, without `.`, `..`, `//` or a `/` at its end");
    }
    if ["proc", "sys", "dev"].contains(&rest.split('/').next().unwrap_or_default()) {
        return Err("the system's own folders cannot be replaced");
    }
    Ok(())
}

pub(super) fn variables(node: &Node, r: &mut Reader) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for (key, value) in r.pairs(node, "`env`").unwrap_or_default() {
        if !variable_name(&key.text, key.at, r) {
            continue;
        }
        if value.is_null() {
            r.error(value.at, format!("`{}` has no value; write \"\" for an empty one", key.text));
        } else if let Some(text) = r.text(value, &format!("`{}`", key.text)) {
            variables.insert(key.text.clone(), text.to_owned());
        }
    }
    variables
}

fn variable_name(name: &str, at: Place, r: &mut Reader) -> bool {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !first || name.len() > 128 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        r.error(
            at,
            format!(
                "`{}` cannot be a variable's name: letters, digits and underscores, no digit first",
                clip(name)
            ),
        );
        return false;
    }
    if name == "PORT" {
        r.error(at, "`PORT` is set by Windlass: the program must listen on the port that it is told");
        return false;
    }
    true
}

fn secrets(node: &Node, env: &BTreeMap<String, String>, r: &mut Reader) -> Vec<String> {
    let mut secrets: Vec<String> = Vec::new();
    for (name, at) in r.texts(node, "`secrets`", false) {
        if !variable_name(name, at, r) {
            continue;
        }
        if env.contains_key(name) {
            r.error(
                at,
                format!("`{name}` is under `env` already: a secret and a variable cannot have one name"),
            );
        } else if secrets.iter().any(|s| s == name) {
            r.error(at, format!("the secret `{name}` stands here twice"));
        } else {
            secrets.push(name.to_owned());
        }
    }
    secrets
}

fn route(node: Option<&Node>, r: &mut Reader) -> Option<Route> {
    let usual = Route { host: DEFAULT_HOST.into(), path: "/".into() };
    let Some(node) = node else { return Some(usual) };
    match as_flag(node) {
        Some(false) => return None,
        Some(true) => return Some(usual),
        None => {}
    }
    let f: Fields<'_> = r.fields(node, "`route`", keys::ROUTE)?;
    let host = f.get("host").and_then(|n| host(n, r)).unwrap_or(usual.host);
    let path = f.get("path").and_then(|n| url_path(n, "`path`", r)).unwrap_or(usual.path);
    let path = if path.len() > 1 { path.trim_end_matches('/').to_owned() } else { path };
    Some(Route { host, path: if path.is_empty() { "/".into() } else { path } })
}

fn host(node: &Node, r: &mut Reader) -> Option<String> {
    let text = r.text(node, "`host`")?;
    let plain = text.replace("{environment}", "e").replace("{service}", "s").replace("{project}", "p");
    let labels = plain.split('.').all(|label| label.parse::<ServiceName>().is_ok());
    if labels && plain.len() <= 253 {
        return Some(text.to_owned());
    }
    let why = if plain.contains(['{', '}']) {
        "only {environment}, {service} and {project} are replaced"
    } else {
        "lower-case names with dots between, without port or path"
    };
    r.error(node.at, format!("`{}` cannot be a host: {why}", clip(text)));
    None
}

fn url_path(node: &Node, what: &str, r: &mut Reader) -> Option<String> {
    let text = r.text(node, what)?;
    let why = if !text.starts_with('/') {
        "it must begin with `/`"
    } else if text.len() > 1024 {
        "it is too long"
    } else if !text.bytes().all(|b| b.is_ascii_graphic() && !b"\\\"<>^`{|}#?".contains(&b)) {
        "only what a URL's path may hold is allowed: no blanks, no `?`, no `#`"
    } else if text.split('/').any(|part| part == "..") {
        "it must not hold `..`"
    } else {
        return Some(text.to_owned());
    };
    r.error(node.at, format!("`{}` cannot be {what}: {why}", clip(text)));
    None
}

fn metrics(node: &Node, r: &mut Reader) -> Metrics {
    match as_flag(node) {
        Some(true) => Metrics::IfThere,
        Some(false) => Metrics::None,
        None => url_path(node, "`metrics`", r).map_or(Metrics::IfThere, Metrics::At),
    }
}

fn command(node: &Node, r: &mut Reader) -> Option<Vec<String>> {
    if matches!(node.value, Value::Scalar { .. }) {
        r.error(node.at, "`command` must be a list, program and arguments apart: `[./tasks, --verbose]`");
        return None;
    }
    let words: Vec<String> =
        r.texts(node, "`command`", false).into_iter().map(|(t, _)| t.to_owned()).collect();
    if words.first().is_none_or(String::is_empty) {
        r.error(node.at, "`command` must name a program");
        return None;
    }
    Some(words)
}

pub(super) fn strategy(node: &Node, r: &mut Reader) -> Option<Strategy> {
    match r.text(node, "`strategy`")? {
        "rolling" => Some(Strategy::Rolling),
        "blue-green" => Some(Strategy::BlueGreen),
        other => {
            let near = keys::nearest(other, keys::STRATEGIES.iter().copied());
            let hint =
                near.map_or("it must be rolling or blue-green".into(), |n| format!("did you mean `{n}`?"));
            r.error(node.at, format!("`{}` is not a strategy; {hint}", clip(other)));
            None
        }
    }
}
