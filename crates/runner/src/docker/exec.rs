//! Programs of steps, in the job's container: `docker exec` in a container that stays.

use std::collections::BTreeMap;

use windlass_runtime::Exec;

use super::Running;
use super::start::{HOME, WORKFLOW};
use crate::job::Job;
use crate::tool::MARK;

/// Ends what carries a mark in its environment: politely, then less so.
const END: &str = r#"
each() { for p in /proc/[0-9]*; do if tr '\0' '\n' < "$p/environ" 2> /dev/null | grep -qxF "$mark"; then "$@" "${p#/proc/}"; fi; done; }
mark=$1
each kill -INT
for i in 1 2 3 4 5 6 7; do sleep 1; test -z "$(each echo)" && exit 0; done
each kill -TERM
for i in 1 2 3; do sleep 1; test -z "$(each echo)" && exit 0; done
each kill -KILL
"#;

impl Job {
    /// What the job's container sees of the job's folders. They are also where they are outside: what an expression gave
    /// as a path stays one.
    pub(super) fn mounts(&self) -> Vec<(String, String)> {
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
    pub(super) fn translated(&self, value: &str) -> String {
        translate(value, &self.mounts())
    }

    /// The program that runs another one in the job's container.
    pub(crate) fn within(&self, exec: Exec) -> Exec {
        let Some(running) = self.containers.get().and_then(|containers| containers.job.as_ref()) else {
            return exec;
        };
        let env = self.container_env(running, &exec.env);
        let cwd = self.translated(&exec.cwd.to_string_lossy());
        let mut words = ["exec", "--interactive", "--workdir", &cwd].map(str::to_owned).to_vec();
        for name in env.keys() {
            words.extend(["--env".to_owned(), name.clone()]);
        }
        words.push(running.id.clone());
        words.extend(exec.argv);
        let mut client = self.docker_exec(words);
        // The client is found by the machine's `PATH`; the container's own is given by value.
        if let Some(path) = env.get("PATH") {
            let at = client.argv.iter().position(|word| word == "PATH");
            if let Some(word) = at.and_then(|at| client.argv.get_mut(at)) {
                *word = format!("PATH={path}");
            }
        }
        let machine = client.env.get("PATH").cloned();
        client.env = env;
        client.env.extend(machine.map(|path| ("PATH".to_owned(), path)));
        client
    }

    /// The environment of a program, without what is the machine's.
    fn container_env(&self, running: &Running, env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let base = self.place.base();
        let mounts = self.mounts();
        let own = env.iter().filter(|(name, value)| base.get(*name) != Some(value));
        let mut own: BTreeMap<String, String> =
            own.map(|(name, value)| (name.clone(), translate(value, &mounts))).collect();
        own.insert("HOME".into(), "/github/home".into());
        let machine = base.get("PATH").map_or("", String::as_str);
        let path = env.get("PATH").map_or("", String::as_str);
        let added = path.strip_suffix(machine).unwrap_or(path).trim_end_matches(':');
        let parts = [translate(added, &mounts), running.path.clone()];
        let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        if parts.is_empty() {
            own.remove("PATH");
        } else {
            own.insert("PATH".into(), parts.join(":"));
        }
        own
    }

    /// Ends what a step that was interrupted runs in the job's container.
    pub(crate) async fn end_within(&self, mark: &str) {
        let Some(running) = self.containers.get().and_then(|containers| containers.job.as_ref()) else {
            return;
        };
        let mark = format!("{MARK}={mark}");
        let ended =
            self.docker(&["exec", &running.id, "sh", "-c", END, "sh", &mark], &self.last_patience()).await;
        if let Err(e) = ended {
            tracing::warn!(error = %e, "what an interrupted step started may still run until the job ends");
        }
    }
}

/// A path as it is called behind mounts; those of the machine come first, and the first that fits holds. Lists of paths
/// are divided by colons.
pub(super) fn translate(value: &str, mounts: &[(String, String)]) -> String {
    if !value.contains('/') {
        return value.to_owned();
    }
    let one = |part: &str| {
        mounts.iter().find_map(|(outside, inside)| {
            let rest = part.strip_prefix(outside.as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{inside}{rest}"))
        })
    };
    match one(value) {
        Some(translated) => translated,
        None if value.starts_with('/') && value.contains(":/") => value
            .split(':')
            .map(|part| one(part).unwrap_or_else(|| part.to_owned()))
            .collect::<Vec<_>>()
            .join(":"),
        None => value.to_owned(),
    }
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
