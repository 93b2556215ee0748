//! `uv.lock`: all packages of a project for every platform, and which needs which, when. What running needs is what can be
//! reached from the project itself; the markers on the ways there say when.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Unrecognised;
use super::requirements::{Pinned, elsewhere, normal, unreadable};

const FILE: &str = "uv.lock";

/// The most ways to one package that are told apart; behind that it is needed always.
const MOST_WAYS: usize = 32;

/// The markers on one way, all of which have to hold.
type Way = BTreeSet<String>;

/// A package, and the extras of it that are looked at.
type Node = (usize, String);

pub(super) fn packages(text: &str) -> Result<Vec<Pinned>, Unrecognised> {
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| unreadable(FILE, e.message()))?;
    let all: Vec<&toml::Value> =
        table.get("package").and_then(toml::Value::as_array).into_iter().flatten().collect();
    let own = |package: &&toml::Value| {
        let source = package.get("source");
        let at = |kind: &str| source.and_then(|source| source.get(kind)).and_then(toml::Value::as_str);
        at("virtual").or_else(|| at("editable")) == Some(".")
    };
    let Some(root) = all.iter().position(own) else {
        return Err(unreadable(FILE, "it does not say what of it is the project"));
    };
    let mut found = Vec::new();
    for (at, ways) in reached(&all, root) {
        if at == root {
            continue;
        }
        let package = all[at];
        if package.get("source").and_then(|source| source.get("registry")).is_none() {
            return Err(elsewhere(FILE, word(package, "name")));
        }
        let wheels = package.get("wheels").and_then(toml::Value::as_array).into_iter().flatten();
        let hashes = wheels.chain(package.get("sdist"));
        found.push(Pinned {
            name: word(package, "name").to_owned(),
            version: word(package, "version").to_owned(),
            marker: marker(&ways),
            hashes: hashes.filter_map(|file| file.get("hash")?.as_str().map(str::to_owned)).collect(),
        });
    }
    Ok(found)
}

fn word<'t>(value: &'t toml::Value, key: &str) -> &'t str {
    value.get(key).and_then(toml::Value::as_str).unwrap_or_default()
}

/// The packages that can be reached, each with the ways to it.
fn reached(all: &[&toml::Value], root: usize) -> BTreeMap<usize, BTreeSet<Way>> {
    let mut ways: BTreeMap<Node, BTreeSet<Way>> = BTreeMap::new();
    let mut waiting: VecDeque<(Node, Way)> = VecDeque::from([((root, String::new()), Way::new())]);
    while let Some((node, way)) = waiting.pop_front() {
        let known = ways.entry(node.clone()).or_default();
        // A way that asks for more than a known one says nothing new.
        if known.iter().any(|known| known.is_subset(&way)) {
            continue;
        }
        let way = if known.len() >= MOST_WAYS { Way::new() } else { way };
        known.retain(|known| !way.is_subset(known));
        known.insert(way.clone());
        for need in needs(all[node.0], &node.1) {
            let targets = all.iter().enumerate().filter(|(_, package)| is(package, need));
            let extras = need.get("extra").and_then(toml::Value::as_array).into_iter().flatten();
            let extras: Vec<&str> = extras.filter_map(toml::Value::as_str).collect();
            for (target, _) in targets {
                let mut next = way.clone();
                next.extend(need.get("marker").and_then(toml::Value::as_str).map(str::to_owned));
                for extra in std::iter::once("").chain(extras.iter().copied()) {
                    waiting.push_back(((target, extra.to_owned()), next.clone()));
                }
            }
        }
    }
    let mut merged: BTreeMap<usize, BTreeSet<Way>> = BTreeMap::new();
    for ((at, _), found) in ways {
        merged.entry(at).or_default().extend(found);
    }
    merged
}

/// What a package needs by itself, or for an extra of it.
fn needs<'t>(package: &'t toml::Value, extra: &str) -> Vec<&'t toml::Value> {
    let list = if extra.is_empty() {
        package.get("dependencies")
    } else {
        let extras = package.get("optional-dependencies").and_then(toml::Value::as_table);
        extras
            .and_then(|extras| extras.iter().find(|(name, _)| normal(name) == normal(extra)))
            .map(|(_, list)| list)
    };
    list.and_then(toml::Value::as_array).into_iter().flatten().collect()
}

/// Whether a package is the one that is needed: by name, and by version where there are several.
fn is(package: &toml::Value, need: &toml::Value) -> bool {
    let version = word(need, "version");
    word(package, "name") == word(need, "name") && (version.is_empty() || version == word(package, "version"))
}

/// The condition of a package: one of its ways.
fn marker(ways: &BTreeSet<Way>) -> Option<String> {
    if ways.iter().any(BTreeSet::is_empty) {
        return None;
    }
    let one = |way: &Way| {
        let parts: Vec<String> = way.iter().map(|marker| format!("({marker})")).collect();
        parts.join(" and ")
    };
    let all: Vec<String> = ways.iter().map(one).collect();
    Some(if let [only] = all.as_slice() { only.clone() } else { format!("({})", all.join(") or (")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
version = 1
[[package]]
name = "app"
version = "0"
source = { virtual = "." }
dependencies = [
    { name = "a" }, { name = "b", marker = "os_name == 'nt'" }, { name = "c", extra = ["fast"] },
]
[package.dev-dependencies]
dev = [{ name = "d" }]
[[package]]
name = "a"
version = "1"
source = { registry = "x" }
sdist = { url = "x", hash = "sha256:1" }
wheels = [{ url = "y", hash = "sha256:2" }]
[[package]]
name = "b"
version = "1"
source = { registry = "x" }
dependencies = [{ name = "e", marker = "python_version < '3'" }, { name = "a" }]
[[package]]
name = "c"
version = "1"
source = { registry = "x" }
dependencies = [{ name = "c" }]
[package.optional-dependencies]
fast = [{ name = "f" }]
slow = [{ name = "g" }]
[[package]]
name = "d"
version = "1"
source = { registry = "x" }
[[package]]
name = "e"
version = "1"
source = { registry = "x" }
[[package]]
name = "f"
version = "1"
source = { registry = "x" }
[[package]]
name = "g"
version = "1"
source = { git = "x" }
"#;

    #[test]
    fn what_running_needs_is_what_can_be_reached() {
        let found: Vec<(String, Option<String>)> =
            packages(LOCK).unwrap().into_iter().map(|package| (package.name, package.marker)).collect();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            found,
            [
                ("a".to_owned(), None),
                ("b".to_owned(), text("(os_name == 'nt')")),
                ("c".to_owned(), None),
                ("e".to_owned(), text("(os_name == 'nt') and (python_version < '3')")),
                ("f".to_owned(), None),
            ]
        );
        assert_eq!(packages(LOCK).unwrap()[0].hashes, ["sha256:2", "sha256:1"]);
    }

    #[test]
    fn what_comes_from_elsewhere_is_refused() {
        let git = LOCK.replace("\"fast\"", "\"slow\"");
        assert!(packages(&git).unwrap_err().to_string().contains("takes 'g' from"));
        assert!(packages("version = 1").is_err() && packages("[").is_err());
    }
}
