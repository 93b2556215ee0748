//! What a Rust program is made of, as `cargo auditable` writes it into programs: a list of packages as JSON, which those who
//! look at an image find in the program's section `.dep-v0`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// The list for a package, from what `cargo metadata` says. What is needed only for tests is left out; what runs only while
/// the program is built is marked so. None if the metadata does not have the package.
pub fn audited(metadata: &Value, package: &str) -> Option<Value> {
    let packages: BTreeMap<&str, &Value> = by_id(&metadata["packages"]);
    let nodes: BTreeMap<&str, &Value> = by_id(&metadata["resolve"]["nodes"]);
    let members: BTreeSet<&str> =
        metadata["workspace_members"].as_array()?.iter().filter_map(Value::as_str).collect();
    let own = |id: &&str| packages.get(id).is_some_and(|found| found["name"] == package);
    let root = members.iter().copied().find(own)?;
    // Running comes first: what both need is a need of running.
    let mut kinds: BTreeMap<&str, bool> = BTreeMap::new();
    let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut waiting = vec![(root, true)];
    while let Some((id, running)) = waiting.pop() {
        if kinds.get(id).is_some_and(|known| *known || !running) {
            continue;
        }
        kinds.insert(id, running);
        for dep in nodes.get(id)?["deps"].as_array().into_iter().flatten() {
            let Some(target) = dep["pkg"].as_str() else { continue };
            let kinds = dep["dep_kinds"].as_array().into_iter().flatten();
            for kind in kinds.map(|kind| kind["kind"].as_str()).filter(|kind| *kind != Some("dev")) {
                needs.entry(id).or_default().insert(target);
                waiting.push((target, running && kind.is_none()));
            }
        }
    }
    let mut order: Vec<&str> = kinds.keys().copied().collect();
    order.sort_by_key(|id| packages.get(id).map(|one| (one["name"].as_str(), one["version"].as_str())));
    let at = |id: &&str| order.iter().position(|known| known == id);
    let mut list = Vec::new();
    for id in &order {
        let found = packages.get(id)?;
        let mut entry =
            json!({"name": found["name"], "version": found["version"], "source": source(&found["source"])});
        if kinds.get(id) == Some(&false) {
            entry["kind"] = json!("build");
        }
        let mut edges: Vec<usize> = needs.get(id).into_iter().flatten().filter_map(at).collect();
        edges.sort_unstable();
        if !edges.is_empty() {
            entry["dependencies"] = json!(edges);
        }
        if *id == root {
            entry["root"] = json!(true);
        }
        list.push(entry);
    }
    Some(json!({ "packages": list }))
}

fn by_id(list: &Value) -> BTreeMap<&str, &Value> {
    list.as_array().into_iter().flatten().filter_map(|one| Some((one["id"].as_str()?, one))).collect()
}

/// Where a package comes from. Addresses stay out: they may have what only the builder should know.
fn source(source: &Value) -> &'static str {
    match source.as_str() {
        None => "local",
        Some(text) if text.contains("github.com/rust-lang/crates.io-index") => "crates.io",
        Some(text) if text.starts_with("git+") => "git",
        Some(_) => "registry",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_of_running_building_and_testing_are_told_apart() {
        let index = "registry+https://github.com/rust-lang/crates.io-index";
        let package = |name: &str, source: Option<&str>| json!({"id": name, "name": name, "version": "1.0.0", "source": source});
        let dep = |name: &str, kind: Option<&str>| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let metadata = json!({
            "packages": [package("app", None), package("a", Some(index)), package("b", Some(index)),
                package("both", Some("git+https://user:secret@example.org")), package("t", Some(index))],
            "workspace_members": ["app"],
            "resolve": {"nodes": [
                {"id": "app", "deps": [dep("b", Some("build")), dep("a", None), dep("t", Some("dev"))]},
                {"id": "a", "deps": [dep("both", None)]}, {"id": "b", "deps": [dep("both", None)]},
                {"id": "both", "deps": []}, {"id": "t", "deps": []},
            ]},
        });
        let found = audited(&metadata, "app").unwrap();
        assert_eq!(
            found,
            json!({"packages": [
                {"name": "a", "version": "1.0.0", "source": "crates.io", "dependencies": [3]},
                {"name": "app", "version": "1.0.0", "source": "local", "dependencies": [0, 2], "root": true},
                {"name": "b", "version": "1.0.0", "source": "crates.io", "kind": "build", "dependencies": [3]},
                {"name": "both", "version": "1.0.0", "source": "git"},
            ]})
        );
        assert_eq!(audited(&metadata, "t"), None);
    }
}
