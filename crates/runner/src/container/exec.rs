//! Programs of steps, in the job's container: the same folders by other names, and the variables of its image.

use std::collections::BTreeMap;

use windlass_runtime::Exec;

use super::Inside;
use super::{HOME, WORKFLOW};
use crate::job::Job;

impl Job {
    /// What the job's container sees of the job's folders. They are also where they are outside: what an expression gave
    /// as a path stays one.
    pub(crate) fn mounts(&self) -> Vec<(String, String)> {
        let layout = &self.place.layout;
        let work = layout.temp.parent().unwrap_or(&layout.temp).to_string_lossy().into_owned();
        let below = |name: &str| layout.temp.join(name).to_string_lossy().into_owned();
        vec![
            (below(HOME), "/github/home".to_owned()),
            (below(WORKFLOW), "/github/workflow".to_owned()),
            (layout.tool_cache.to_string_lossy().into_owned(), "/__t".to_owned()),
            (work.clone(), "/__w".to_owned()),
            (work.clone(), work),
        ]
    }

    /// A path, or a list of paths, as the job's container knows it.
    pub(crate) fn translated(&self, value: &str) -> String {
        translate(value, &self.mounts())
    }

    /// A program of a step, as the job's container is to run it; as it is where there is none.
    pub(crate) fn within(&self, exec: Exec) -> Exec {
        let Some(inside) = self.inside() else { return exec };
        let env = self.container_env(inside, &exec.env);
        let cwd = self.translated(&exec.cwd.to_string_lossy());
        Exec { env, cwd: cwd.into(), ..exec }
    }

    /// The environment of a program: the container's own, and what is not the machine's.
    fn container_env(&self, inside: &Inside, env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let base = self.place.base();
        let mounts = self.mounts();
        let mut own = inside.env.clone();
        let theirs = own.get("PATH").cloned().unwrap_or_default();
        let given = env.iter().filter(|(name, value)| base.get(*name) != Some(value));
        own.extend(given.map(|(name, value)| (name.clone(), translate(value, &mounts))));
        own.insert("HOME".into(), "/github/home".into());
        let machine = base.get("PATH").map_or("", String::as_str);
        let path = env.get("PATH").map_or("", String::as_str);
        let added = path.strip_suffix(machine).unwrap_or(path).trim_end_matches(':');
        let parts = [translate(added, &mounts), theirs];
        let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        own.insert("PATH".into(), parts.join(":"));
        own
    }
}

/// A path as it is called behind mounts; those of the machine come first, and the first that fits holds. Lists of paths
/// are divided by colons.
pub(crate) fn translate(value: &str, mounts: &[(String, String)]) -> String {
    if !value.contains('/') {
        return value.to_owned();
    }
    let one = |part: &str| {
        mounts.iter().find_map(|(outside, inside)| {
            let rest = part.strip_prefix(outside.as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{inside}{rest}"))
        })
    };
    if value.starts_with('/') && value.contains(":/") {
        let parts = value.split(':').map(|part| one(part).unwrap_or_else(|| part.to_owned()));
        return parts.collect::<Vec<_>>().join(":");
    }
    one(value).unwrap_or_else(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_translated_whole() {
        let mounts = [("/w/_temp/home", "/h"), ("/w", "/__w")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        for (value, wanted) in [
            ("/w", "/__w"),
            ("/w/_temp/home/x", "/h/x"),
            ("/w/a:/w/b:/usr/bin", "/__w/a:/__w/b:/usr/bin"),
            ("/works", "/works"),
            ("see /w/a", "see /w/a"),
            ("http://w/a", "http://w/a"),
            ("", ""),
        ] {
            assert_eq!(translate(value, &mounts), wanted, "{value}");
        }
    }
}
