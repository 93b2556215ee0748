//! The members of a Node workspace.

use serde_json::Value;

use super::texts::inside;
use super::{Files, Kind, Unrecognised};

/// A package of the project: the root, or a member.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Its folder; empty for the root.
    pub(super) folder: String,
    /// Its `package.json`.
    pub(super) package: Value,
}

impl Member {
    /// What it is called.
    pub(super) fn name(&self) -> &str {
        let folder = self.folder.rsplit('/').next().unwrap_or_default();
        self.package["name"].as_str().unwrap_or(folder)
    }
}

/// All members but the root.
pub(super) fn members(files: &Files, root: &Value) -> Result<Vec<Member>, Unrecognised> {
    let list = root["workspaces"].as_array().or_else(|| root["workspaces"]["packages"].as_array());
    let mut patterns: Vec<String> =
        list.into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect();
    patterns.extend(of_pnpm(files.text("pnpm-workspace.yaml").unwrap_or_default()));
    let mut all = Vec::new();
    for (path, text) in files.ending("/package.json") {
        let folder = path.trim_end_matches("/package.json");
        let named =
            |pattern: &String| matches(pattern.trim_start_matches("./").trim_end_matches('/'), folder);
        let out =
            patterns.iter().filter_map(|pattern| pattern.strip_prefix('!')).any(|out| matches(out, folder));
        if out || !inside(folder) || !patterns.iter().any(named) {
            continue;
        }
        let package = serde_json::from_str(text).map_err(|error| {
            Unrecognised::unclear(Kind::Node, format!("{path} is no JSON: {error}"), "mend it")
        })?;
        all.push(Member { folder: folder.to_owned(), package });
    }
    Ok(all)
}

/// The list `packages` of `pnpm-workspace.yaml`, which is written in one way.
fn of_pnpm(text: &str) -> Vec<String> {
    let mut lines = text.lines().skip_while(|line| line.trim_end() != "packages:").skip(1);
    let mut all = Vec::new();
    while let Some(item) = lines.next().map(str::trim).and_then(|line| line.strip_prefix('-')) {
        all.push(item.trim().trim_matches(['\'', '"']).to_owned());
    }
    all
}

/// Whether a folder is meant: `*` is a part of a name, `**` any folders.
fn matches(pattern: &str, folder: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').collect();
    let folder: Vec<&str> = folder.split('/').collect();
    parts(&pattern, &folder)
}

fn parts(pattern: &[&str], folder: &[&str]) -> bool {
    match (pattern, folder) {
        ([], []) => true,
        (["**", rest @ ..], _) => (0..=folder.len()).any(|skipped| parts(rest, &folder[skipped..])),
        ([first, rest @ ..], [name, others @ ..]) => part(first, name) && parts(rest, others),
        _ => false,
    }
}

fn part(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => {
            name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_matched_as_workspaces_have_them() {
        for (pattern, folder, expected) in [
            ("packages/*", "packages/a", true),
            ("packages/*", "packages/a/b", false),
            ("packages/**", "packages/a/b", true),
            ("apps/web", "apps/web", true),
            ("apps/w*", "apps/web", true),
            ("apps/w*", "apps/api", false),
        ] {
            assert_eq!(matches(pattern, folder), expected, "{pattern} {folder}");
        }
    }

    #[test]
    fn pnpm_lists_its_members_in_a_file() {
        let text = "packages:\n  - 'apps/*'\n  - \"libs/*\"\n  - x\ncatalog:\n  - no\n";
        assert_eq!(of_pnpm(text), ["apps/*", "libs/*", "x"]);
        assert!(of_pnpm("onlyBuiltDependencies:\n  - a\n").is_empty());
    }
}
