//! What a Python project needs: a list that pip reads, or a lock file of Poetry, Pipenv or uv, read here, so that the
//! machine needs nothing but pip.

use std::fmt::Write as _;

use serde_json::Value;

use super::texts::{at, string, strings};
use super::{Files, Kind, Unrecognised, uv};

/// One package of a lock file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pinned {
    pub(super) name: String,
    pub(super) version: String,
    /// When it is needed; always, if nothing is said.
    pub(super) marker: Option<String>,
    /// `sha256:…`, of each file that it may come as.
    pub(super) hashes: Vec<String>,
}

/// Where the list comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// `requirements.txt`.
    List,
    /// `dependencies` of `pyproject.toml`.
    Project,
    /// A lock file; in the Dockerfile that builds anywhere its own tool reads it: an install, and an export.
    Lock { file: &'static str, text: String, tool: [Vec<&'static str>; 2] },
    /// Nothing is needed.
    Nothing,
}

/// What is needed.
#[derive(Clone, Debug)]
pub(super) struct Needs {
    pub(super) source: Source,
    /// As pip reads them, or only names.
    pub(super) list: Vec<String>,
}

impl Needs {
    pub(super) fn of(files: &Files, pyproject: &toml::Table) -> Result<Self, Unrecognised> {
        if let Some(text) = files.text("uv.lock") {
            let export = vec![
                "uv",
                "export",
                "--quiet",
                "--frozen",
                "--no-dev",
                "--no-emit-workspace",
                "-o",
                "{out}/requirements.locked",
            ];
            return locked("uv.lock", uv::packages(text)?, &[], [vec!["pip", "install", "uv"], export]);
        }
        if let Some(text) = files.text("poetry.lock") {
            let (packages, indexes) = poetry(text)?;
            let export = vec!["poetry", "export", "-o", "{out}/requirements.locked"];
            let install = vec!["pip", "install", "poetry", "poetry-plugin-export"];
            return locked("poetry.lock", packages, &indexes, [install, export]);
        }
        if let Some(text) = files.text("Pipfile.lock") {
            let (packages, indexes) = pipenv(text)?;
            let export = vec!["sh", "-c", "pipenv requirements --hash > {out}/requirements.locked"];
            return locked("Pipfile.lock", packages, &indexes, [vec!["pip", "install", "pipenv"], export]);
        }
        if let Some(text) = files.text("requirements.txt") {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            let list: Vec<String> = lines.map(str::to_owned).collect();
            let source = if list.is_empty() { Source::Nothing } else { Source::List };
            return Ok(Self { source, list });
        }
        if files.has("Pipfile") {
            return Err(unlocked("Pipfile", "pipenv lock"));
        }
        let list = strings(at(pyproject, &["project", "dependencies"]));
        if list.is_empty() && at(pyproject, &["tool", "poetry", "dependencies"]).is_some() {
            return Err(unlocked("pyproject.toml of Poetry", "poetry lock"));
        }
        let source = if list.is_empty() { Source::Nothing } else { Source::Project };
        Ok(Self { source, list })
    }

    /// Whether a package is among them.
    pub(super) fn has(&self, package: &str) -> bool {
        self.list.iter().any(|line| {
            let end =
                line.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)).unwrap_or(line.len());
            normal(&line[..end]) == package
        })
    }

    /// Whether a package is named with its extra.
    pub(super) fn has_extra(&self, package: &str, extra: &str) -> bool {
        let wanted = format!("{package}[");
        self.list.iter().any(|line| {
            let line = line.to_lowercase().replace(' ', "");
            let inside = line.strip_prefix(&wanted).and_then(|rest| rest.split(']').next());
            inside.is_some_and(|extras| extras.split(',').any(|one| one == extra))
        })
    }
}

fn unlocked(what: &str, run: &str) -> Unrecognised {
    let why = format!("a {what} without a lock file does not say which versions");
    Unrecognised::unclear(Kind::Python, why, format!("run `{run}` and commit what it writes"))
}

/// A name as all that mean the same are written (PEP 503).
pub(super) fn normal(name: &str) -> String {
    let mut all = String::new();
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if all.ends_with('-') => {}
            '-' | '_' | '.' => all.push('-'),
            c => all.push(c.to_ascii_lowercase()),
        }
    }
    all
}

fn locked(
    file: &'static str,
    mut packages: Vec<Pinned>,
    indexes: &[String],
    tool: [Vec<&'static str>; 2],
) -> Result<Needs, Unrecognised> {
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    let mut text: String = String::new();
    for index in indexes {
        _ = writeln!(text, "--extra-index-url {index}");
    }
    for package in &packages {
        // Nothing of a lock file may become another line or an option.
        let odd = |text: &str| text.chars().any(|c| c.is_control() || c == '\\');
        let plain = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+!:".contains(c))
        };
        let all_plain = plain(&package.version) && package.hashes.iter().all(|hash| plain(hash));
        if !plain(&package.name)
            || package.name.starts_with('-')
            || !all_plain
            || package.marker.as_deref().is_some_and(odd)
        {
            let why = format!("{file} has a package that cannot be read: '{}'", package.name.escape_debug());
            return Err(Unrecognised::unclear(Kind::Python, why, "write the lock file anew"));
        }
        _ = write!(text, "{}=={}", package.name, package.version);
        if let Some(marker) = &package.marker {
            _ = write!(text, " ; {marker}");
        }
        for hash in &package.hashes {
            _ = write!(text, " \\\n    --hash={hash}");
        }
        text.push('\n');
    }
    if packages.is_empty() {
        return Ok(Needs { source: Source::Nothing, list: Vec::new() });
    }
    let list = packages.into_iter().map(|package| package.name).collect();
    Ok(Needs { source: Source::Lock { file, text, tool }, list })
}

pub(super) fn unreadable(file: &str, why: impl std::fmt::Display) -> Unrecognised {
    Unrecognised::unclear(Kind::Python, format!("{file} cannot be read: {why}"), "write the lock file anew")
}

pub(super) fn elsewhere(file: &str, name: &str) -> Unrecognised {
    let why = format!("{file} takes '{name}' from a folder, an address or a repository, not from an index");
    Unrecognised::unclear(Kind::Python, why, "write a requirements.txt, or a Dockerfile")
}

fn poetry(text: &str) -> Result<(Vec<Pinned>, Vec<String>), Unrecognised> {
    let file = "poetry.lock";
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| unreadable(file, e.message()))?;
    let mut all = Vec::new();
    let mut indexes = Vec::new();
    for package in table.get("package").and_then(toml::Value::as_array).into_iter().flatten() {
        let word = |key: &str| package.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        let name = word("name");
        let Some(groups) = package.get("groups") else {
            let help = "write it anew with Poetry 2: poetry lock";
            return Err(Unrecognised::unclear(
                Kind::Python,
                "poetry.lock does not say what is needed for what",
                help,
            ));
        };
        let optional = package.get("optional").and_then(toml::Value::as_bool) == Some(true);
        if optional || !strings(Some(groups)).iter().any(|group| group == "main") {
            continue;
        }
        if let Some(source) = package.get("source") {
            let of = |key: &str| source.get(key).and_then(toml::Value::as_str).unwrap_or_default();
            if of("type") != "legacy" {
                return Err(elsewhere(file, &name));
            }
            index(&mut indexes, of("url"));
        }
        let marker = match package.get("markers") {
            Some(toml::Value::String(marker)) => Some(marker.clone()),
            Some(by_group) => by_group.get("main").and_then(toml::Value::as_str).map(str::to_owned),
            None => None,
        };
        let hashes = package.get("files").and_then(toml::Value::as_array).into_iter().flatten();
        let hashes = hashes.filter_map(|file| file.get("hash")?.as_str().map(str::to_owned)).collect();
        all.push(Pinned { name, version: word("version"), marker, hashes });
    }
    Ok((all, indexes))
}

fn pipenv(text: &str) -> Result<(Vec<Pinned>, Vec<String>), Unrecognised> {
    let file = "Pipfile.lock";
    let value: Value = serde_json::from_str(text).map_err(|error| unreadable(file, error))?;
    let mut indexes = Vec::new();
    for source in value["_meta"]["sources"].as_array().into_iter().flatten() {
        index(&mut indexes, source["url"].as_str().unwrap_or_default());
    }
    let mut all = Vec::new();
    for (name, package) in value["default"].as_object().into_iter().flatten() {
        let Some(version) = package["version"].as_str().and_then(|text| text.strip_prefix("==")) else {
            return Err(elsewhere(file, name));
        };
        let hashes = package["hashes"].as_array().into_iter().flatten();
        all.push(Pinned {
            name: name.clone(),
            version: version.to_owned(),
            marker: package["markers"].as_str().map(str::to_owned),
            hashes: hashes.filter_map(|hash| hash.as_str().map(str::to_owned)).collect(),
        });
    }
    Ok((all, indexes))
}

/// Notes an index that is not the one which is asked anyway.
fn index(indexes: &mut Vec<String>, url: &str) {
    let plain = url.starts_with("http") && url.chars().all(|c| c.is_ascii_graphic());
    let usual = url.trim_end_matches('/') == "https://pypi.org/simple";
    if plain && !usual && !indexes.iter().any(|known| known == url) {
        indexes.push(url.to_owned());
    }
}

/// The version that a project asks for, of Python.
pub(super) fn python(files: &Files, pyproject: &toml::Table) -> Option<String> {
    let said = files.text(".python-version").map(str::to_owned);
    said.or_else(|| string(pyproject, &["project", "requires-python"]))
        .or_else(|| string(pyproject, &["tool", "poetry", "dependencies", "python"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_the_same_are_the_same() {
        for (name, expected) in
            [("Flask", "flask"), ("typing_extensions", "typing-extensions"), ("a.-_b", "a-b")]
        {
            assert_eq!(normal(name), expected);
        }
    }

    const POETRY: &str = "[[package]]\nname = \"click\"\nversion = \"8.1\"\noptional = false\ngroups = [\"main\", \"dev\"]\n\
        markers = {main = \"os_name == 'nt'\"}\nfiles = [{file = \"a.whl\", hash = \"sha256:aa\"}, {file = \"b\", hash = \"sha256:bb\"}]\n\
        [[package]]\nname = \"pytest\"\nversion = \"1\"\noptional = false\ngroups = [\"dev\"]\nfiles = []\n\
        [[package]]\nname = \"extra\"\nversion = \"1\"\noptional = true\ngroups = [\"main\"]\nfiles = []\n";

    #[test]
    fn poetry_locks_are_read() {
        let (all, indexes) = poetry(POETRY).unwrap();
        assert_eq!(all.len(), 1);
        let needs = locked("poetry.lock", all, &indexes, [vec![], vec![]]).unwrap();
        let Source::Lock { text, .. } = &needs.source else { panic!("{needs:?}") };
        assert_eq!(text, "click==8.1 ; os_name == 'nt' \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n");
        let git = POETRY.replace("files = [{", "source = {type = \"git\", url = \"x\"}\nfiles = [{");
        assert!(poetry(&git).unwrap_err().to_string().contains("takes 'click' from"));
        let old = POETRY.replace("groups", "other");
        assert!(poetry(&old).unwrap_err().to_string().contains("poetry lock"));
    }

    #[test]
    fn pipenv_locks_are_read() {
        let text = r#"{"_meta": {"sources": [{"url": "https://pypi.org/simple"}, {"url": "https://example.org/x"}]},
            "default": {"a": {"version": "==1.0", "hashes": ["sha256:a"]}}, "develop": {"b": {"version": "==1"}}}"#;
        let (all, indexes) = pipenv(text).unwrap();
        assert_eq!(indexes, ["https://example.org/x"]);
        assert_eq!(
            all,
            [Pinned {
                name: "a".into(),
                version: "1.0".into(),
                marker: None,
                hashes: vec!["sha256:a".into()]
            }]
        );
        assert!(pipenv(r#"{"default": {"a": {"path": "."}}}"#).is_err());
    }

    #[test]
    fn nothing_of_a_lock_file_becomes_an_option() {
        for (name, version, marker) in [
            ("a\n--index-url http://x", "1", None),
            ("-r", "1", None),
            ("a", "1 --hash=x", None),
            ("a", "1", Some("x\n-r other".to_owned())),
        ] {
            let package = Pinned { name: name.into(), version: version.into(), marker, hashes: vec![] };
            assert!(locked("x", vec![package], &[], [vec![], vec![]]).is_err(), "{name}");
        }
    }
}
