//! Node's packages: what lies in `node_modules`, and what a lock file asks for.

use serde_json::Value;

use crate::package::{Kind, Package};

/// Whether this `package.json` is that of an installed package: right below `node_modules`, or below a scope there.
pub(super) fn installed(path: &str) -> bool {
    let Some((_, below)) = path.rsplit_once("node_modules/") else { return false };
    let parts: Vec<&str> = below.split('/').collect();
    match parts[..] {
        [name, _] => !name.starts_with(['@', '.']),
        [scope, _, _] => scope.starts_with('@'),
        _ => false,
    }
}

pub(super) fn package(bytes: &[u8]) -> Option<Package> {
    let json: Value = serde_json::from_slice(bytes).ok()?;
    let name = json["name"].as_str().filter(|n| !n.is_empty())?;
    let version = json["version"].as_str().filter(|v| !v.is_empty())?;
    let old = json["licenses"].as_array().into_iter().flatten().filter_map(|l| l["type"].as_str());
    let licence = json["license"].as_str().or(json["license"]["type"].as_str());
    let licences = licence.into_iter().chain(old).map(str::to_owned).collect();
    Some(Package { licences, ..Package::new(Kind::Npm, name, version) })
}

/// The packages of a lock file (versions 2 and 3: `packages`; 1: `dependencies`), those for development apart.
pub(super) fn locked(bytes: &[u8]) -> Vec<Package> {
    let Ok(json) = serde_json::from_slice::<Value>(bytes) else { return Vec::new() };
    let mut found = Vec::new();
    if let Some(packages) = json["packages"].as_object() {
        for (path, entry) in packages {
            let Some((_, name)) = path.rsplit_once("node_modules/") else { continue };
            let name = entry["name"].as_str().unwrap_or(name);
            if let Some(version) = entry["version"].as_str().filter(|_| wanted(entry)) {
                let licences = entry["license"].as_str().map(str::to_owned).into_iter().collect();
                found.push(Package { licences, ..Package::new(Kind::Npm, name, version) });
            }
        }
    } else {
        dependencies(&json["dependencies"], &mut found, 0);
    }
    found
}

/// Whether it is installed where the program runs: not what only development asks for, nor what is for other systems.
fn wanted(entry: &Value) -> bool {
    let systems = || entry["os"].as_array();
    let ours = systems().is_none_or(|systems| {
        systems
            .iter()
            .any(|s| s == "linux" || s.as_str().is_some_and(|s| s.starts_with('!') && s != "!linux"))
    });
    entry["dev"] != true && ours
}

fn dependencies(of: &Value, found: &mut Vec<Package>, depth: usize) {
    // The text of a file from outside decides how deep this goes.
    if depth > 30 {
        return;
    }
    for (name, entry) in of.as_object().into_iter().flatten() {
        if let Some(version) = entry["version"].as_str().filter(|_| entry["dev"] != true) {
            found.push(Package::new(Kind::Npm, name, version));
        }
        dependencies(&entry["dependencies"], found, depth + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_packages_own_file_counts() {
        let cases = [
            ("app/node_modules/left-pad/package.json", true),
            ("app/node_modules/@types/node/package.json", true),
            ("app/node_modules/a/node_modules/b/package.json", true),
            ("app/node_modules/a/lib/package.json", false),
            ("app/node_modules/@types/node/lib/package.json", false),
            ("app/package.json", false),
        ];
        for (path, expected) in cases {
            assert_eq!(installed(path), expected, "{path}");
        }
    }

    #[test]
    fn packages_and_locks_are_read() {
        let found = package(br#"{"name":"@a/b","version":"1.2.3","license":{"type":"MIT"}}"#).unwrap();
        assert_eq!((found.name.as_str(), found.licences[0].as_str()), ("@a/b", "MIT"));
        assert_eq!(package(b"{\"name\": \"x\"}"), None);
        let lock = br#"{"packages":{"":{"name":"app","version":"1"},"node_modules/a":{"version":"1.0.0"},
            "node_modules/d":{"version":"2.0.0","dev":true},"node_modules/a/node_modules/b":{"version":"3.0.0"}}}"#;
        let names: Vec<_> = locked(lock).into_iter().map(|p| p.name).collect();
        assert_eq!(names, ["a", "b"]);
        let old = br#"{"dependencies":{"a":{"version":"1.0.0","dependencies":{"b":{"version":"2.0.0"}}}}}"#;
        assert_eq!(locked(old).len(), 2);
        assert!(locked(b"[").is_empty());
    }
}
