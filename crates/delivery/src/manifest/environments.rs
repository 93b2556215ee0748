//! Environments: their rules, and what they change of services.

use std::collections::BTreeMap;
use std::time::Duration;

use windlass_kernel::{EnvironmentName, ServiceName};

use super::keys;
use super::read::{Places, limits, strategy, variables};
use super::reader::Reader;
use super::tree::{Node, Value, clip};
use super::{BranchPattern, Environment, Overrides, require};
use crate::gate::Reviewer;

/// What waits longer than this is given up anyhow.
const LONGEST_WAIT: Duration = Duration::from_hours(24 * 30);

pub(super) fn environment(
    name: EnvironmentName,
    node: &Node,
    places: &mut Places,
    r: &mut Reader,
) -> Option<Environment> {
    let f = r.fields(node, "an environment", keys::ENVIRONMENT)?;
    let after = f.get("after").and_then(|n| {
        places.after.insert(name.clone(), n.at);
        r.parsed(n, "`after`")
    });
    let mut reviewers: Vec<Reviewer> = Vec::new();
    for (text, at) in f.get("reviewers").map(|n| r.texts(n, "`reviewers`", true)).unwrap_or_default() {
        match text.parse() {
            Ok(reviewer) if !reviewers.contains(&reviewer) => reviewers.push(reviewer),
            Ok(_) => {}
            Err(e) => r.error(at, e.to_string()),
        }
    }
    let approvals = f.get("approvals").and_then(|n| r.integer(n, "`approvals`", 1, 20));
    if let (Some(at), Some(wanted)) = (f.get("approvals").map(|n| n.at), approvals) {
        if reviewers.is_empty() {
            r.error(at, "`approvals` needs `reviewers`: who may approve?");
        } else if !reviewers.contains(&Reviewer::Anyone) && wanted as usize > reviewers.len() {
            r.error(
                at,
                format!("{wanted} approvals are wanted, more than the reviewers named ({})", reviewers.len()),
            );
        }
    }
    let branches = f.get("branches").map(|n| patterns(n, "`branches`", r)).unwrap_or_default();
    // An empty list would mean `all`, the opposite of what it says.
    for key in ["branches", "reviewers"] {
        if let Some(n) = f.get(key)
            && matches!(&n.value, Value::List(items) if items.is_empty())
        {
            r.error(n.at, format!("`{key}` is empty: name some, or leave the key out"));
        }
    }
    let require = f.get("require").map(|n| require::requirements(n, r)).unwrap_or_default();
    let overrides = f.get("services").map(|n| overrides(n, places, r)).unwrap_or_default();
    Some(Environment {
        name,
        after,
        approvals: if reviewers.is_empty() { 0 } else { approvals.unwrap_or(1) },
        reviewers,
        self_approval: f.get("self_approval").and_then(|n| r.flag(n, "`self_approval`")).unwrap_or(false),
        branches,
        wait: f
            .get("wait")
            .and_then(|n| r.duration(n, "`wait`", Duration::ZERO, LONGEST_WAIT))
            .unwrap_or_default(),
        require,
        overrides,
    })
}

/// Branch patterns: one, or a list.
pub(super) fn patterns(node: &Node, what: &str, r: &mut Reader) -> Vec<BranchPattern> {
    let mut patterns = Vec::new();
    for (text, at) in r.texts(node, what, true) {
        match text.parse() {
            Ok(pattern) => patterns.push(pattern),
            Err(why) => r.error(at, format!("`{}`: {why}", clip(text))),
        }
    }
    patterns
}

fn overrides(node: &Node, places: &mut Places, r: &mut Reader) -> BTreeMap<ServiceName, Overrides> {
    let mut all = BTreeMap::new();
    for (key, node) in r.pairs(node, "`services`").unwrap_or_default() {
        let name = match key.text.parse::<ServiceName>() {
            Ok(name) => name,
            Err(e) => {
                r.error(key.at, e.to_string());
                continue;
            }
        };
        places.overrides.push((name.clone(), key.at));
        let Some(f) = r.fields(node, "a service of an environment", keys::OVERRIDE) else { continue };
        let overrides = Overrides {
            replicas: f.get("replicas").and_then(|n| r.integer(n, "`replicas`", 1, 100)),
            strategy: f.get("strategy").and_then(|n| strategy(n, r)),
            env: f.get("env").map(|n| variables(n, r)).unwrap_or_default(),
            limits: f.get("limits").map(|n| limits(n, r)).unwrap_or_default(),
        };
        all.insert(name, overrides);
    }
    all
}
