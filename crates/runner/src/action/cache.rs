//! `actions/cache` with `restore` and `save`: files kept from run to run. What goes wrong here is a warning, unless
//! the workflow asks for more: a cache may always be missing.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use windlass_workflow::model::CacheMode;

use super::{Action, ActionError, ActionRun, failed};
use crate::control::CacheStored;
use crate::tool::{Packing, Request, Unpacking};

/// The three actions: one does both.
pub(super) struct Cache {
    pub(super) restore: bool,
    pub(super) save: bool,
}

#[async_trait]
impl Action for Cache {
    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("path", ""),
            ("key", ""),
            ("restore-keys", ""),
            ("upload-chunk-size", ""),
            ("enablecrossosarchive", "false"),
            ("fail-on-cache-miss", "false"),
            ("lookup-only", "false"),
            ("save-always", "false"),
        ]
    }

    async fn run(&self, run: &mut ActionRun<'_>) -> Result<(), ActionError> {
        let key = run.required("key")?.to_owned();
        run.required("path")?;
        let paths = run.lines("path");
        if !self.restore {
            return store(run, &key, &paths).await;
        }
        run.output("cache-primary-key", &*key);
        run.save("key", &*key);
        let restore_keys = run.lines("restore-keys");
        let matched = restore(run, &key, &restore_keys, &paths, run.flag("lookup-only")?).await?;
        match &matched {
            Some(found) => {
                run.save("matched", &**found);
                run.output("cache-matched-key", &**found);
                run.output("cache-hit", if found.eq_ignore_ascii_case(&key) { "true" } else { "false" });
            }
            None if run.flag("fail-on-cache-miss")? => {
                return Err(failed(format!(
                    "Failed to restore cache entry. Exiting as fail-on-cache-miss is set. Input key: {key}"
                )));
            }
            None => {}
        }
        Ok(())
    }

    fn has_post(&self) -> bool {
        self.restore && self.save
    }

    fn post_needs_success(&self) -> bool {
        true
    }

    async fn post(
        &self,
        run: &mut ActionRun<'_>,
        state: &BTreeMap<String, String>,
    ) -> Result<(), ActionError> {
        let Some(key) = state.get("key") else { return Ok(()) };
        if state.get("matched").is_some_and(|matched| matched.eq_ignore_ascii_case(key)) {
            run.voice.say(&format!("Cache hit occurred on the primary key {key}, not saving cache."));
            return Ok(());
        }
        let paths = run.lines("path");
        store(run, key, &paths).await
    }
}

/// An entry fits only one that was made from the same paths, in the same way; where a job's folders happen to lie
/// does not matter. The hash is that of GitHub's own client (`getCacheVersion` of `@actions/cache`) where there is a `zstd`
/// program, so that it and this action see each other's entries.
fn version(run: &ActionRun<'_>, paths: &[String]) -> String {
    let workspace = run.workspace().to_string_lossy().into_owned();
    let home = run.job.place.home().to_string_lossy().into_owned();
    let paths: Vec<String> =
        paths.iter().map(|path| path.replace(&workspace, ".").replace(&home, "~")).collect();
    version_of(&paths)
}

fn version_of(paths: &[String]) -> String {
    const METHOD: &str = "zstd-without-long";
    const SALT: &str = "1.0";
    let parts: Vec<&str> = paths.iter().map(String::as_str).chain([METHOD, SALT]).collect();
    hex::encode(Sha256::digest(parts.join("|")))
}

/// What the job may do with caches, as it was told.
fn mode(run: &ActionRun<'_>) -> CacheMode {
    let told = &run.job.assignment.cache_mode;
    CacheMode::ALL.into_iter().find(|mode| mode.as_str() == told).unwrap_or(CacheMode::Write)
}

fn check_key(key: &str) -> Result<(), ActionError> {
    if key.len() > 512 {
        return Err(failed(format!("Key Validation Error: {key} cannot be larger than 512 characters.")));
    }
    if key.contains(',') {
        return Err(failed(format!("Key Validation Error: {key} cannot contain commas.")));
    }
    Ok(())
}

/// Brings an entry back; gives its key.
pub(super) async fn restore(
    run: &ActionRun<'_>,
    key: &str,
    restore_keys: &[String],
    paths: &[String],
    lookup_only: bool,
) -> Result<Option<String>, ActionError> {
    let keys: Vec<String> = std::iter::once(key.to_owned()).chain(restore_keys.iter().cloned()).collect();
    if keys.len() > 10 {
        return Err(failed("Key Validation Error: Keys are limited to a maximum of 10."));
    }
    keys.iter().try_for_each(|key| check_key(key))?;
    let mode = mode(run);
    if !mode.reads() {
        let mode = mode.as_str();
        run.voice
            .say(&format!("Cache restore skipped: the effective cache-mode '{mode}' does not permit reads."));
        return Ok(None);
    }
    let (host, inside) = run.job.place.incoming(&format!("cache-{}.tar.zst", run.job.next_serial()));
    let version = version(run, paths);
    let found = tokio::select! {
        found = run.job.control.fetch_cache(&version, &keys, &host) => found,
        why = run.patience.interruption() => return Err(ActionError::Interrupted(why)),
    };
    let found = match found {
        Ok(Some(found)) => found,
        Ok(None) => {
            run.voice.say(&format!("Cache not found for input keys: {}", keys.join(", ")));
            return Ok(None);
        }
        Err(e) => {
            run.voice.warn(&format!("Failed to restore: {e}"));
            return Ok(None);
        }
    };
    if lookup_only {
        let _ = std::fs::remove_file(&host);
        run.voice.say(&format!("Cache found and can be restored from key: {found}"));
        return Ok(Some(found));
    }
    let unpacked = run
        .tool(
            Request::Unpack(Unpacking { archive: inside, root: run.workspace(), home: run.job.place.home() }),
            None,
        )
        .await;
    let _ = std::fs::remove_file(&host);
    match unpacked {
        Ok(report) => {
            report.notes.iter().for_each(|note| run.voice.warn(note));
            run.voice.say(&format!("Cache restored from key: {found} ({} files)", report.files));
            Ok(Some(found))
        }
        Err(ActionError::Failed(why)) => {
            run.voice.warn(&format!("Failed to restore: {why}"));
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

/// Keeps an entry.
pub(super) async fn store(run: &ActionRun<'_>, key: &str, paths: &[String]) -> Result<(), ActionError> {
    check_key(key)?;
    let mode = mode(run);
    if !mode.writes() {
        let mode = mode.as_str();
        run.voice
            .say(&format!("Cache save skipped: the effective cache-mode '{mode}' does not permit writes."));
        return Ok(());
    }
    let archive = run
        .job
        .place
        .outgoing(&format!("cache-{}.tar.zst", run.job.next_serial()))
        .map_err(|e| failed(format!("cannot keep the archive: {e}")))?;
    let packing = Packing { root: run.workspace(), home: run.job.place.home(), patterns: paths.to_vec() };
    let packed = run.tool(Request::Pack(packing), Some(&archive)).await;
    let report = match packed {
        Ok(report) => report,
        Err(ActionError::Failed(why)) => {
            run.voice.warn(&format!("Failed to save: {why}"));
            return Ok(());
        }
        Err(e) => return Err(e),
    };
    report.notes.iter().for_each(|note| run.voice.warn(note));
    if report.files == 0 {
        run.voice.warn(&format!("Path Validation Error: Path(s) specified in the action for caching do(es) not exist, hence no cache is being saved: {}", paths.join(", ")));
        return Ok(());
    }
    let version = version(run, paths);
    let stored = tokio::select! {
        stored = run.job.control.store_cache(&version, key, &archive) => stored,
        why = run.patience.interruption() => return Err(ActionError::Interrupted(why)),
    };
    let _ = std::fs::remove_file(&archive);
    match stored {
        Ok(CacheStored::Stored) => {
            run.voice.say(&format!("Cache saved with key: {key} ({} files)", report.files));
        }
        Ok(CacheStored::Exists) => {
            run.voice.say(&format!("A cache with the key {key} exists already, not saving cache."));
        }
        Err(e) => run.voice.warn(&format!("Failed to save: {e}")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::version_of;

    /// What `getCacheVersion` of `@actions/cache` gives for the same.
    #[test]
    fn versions_are_those_of_the_genuine_client() {
        let paths = |list: &[&str]| list.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
        for (list, wanted) in [
            (&["deps"][..], "b34e6f1cc07875b8b978f21e92cbe8337fea885819e74e1d75a2c78c7a523960"),
            (
                &["~/.cargo/registry", "target"],
                "2658cd8adbe1865cd88db264072ab2681c3fb72aab71f6ad5262c447339e56e4",
            ),
        ] {
            assert_eq!(version_of(&paths(list)), wanted, "{list:?}");
        }
    }
}
