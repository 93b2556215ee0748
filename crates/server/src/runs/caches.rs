//! Caches of jobs: by project and scope, newest first. What a run may read and write is [`CacheScopes`]'s to say. A
//! project's caches have a size together; those that nobody has used for longest go first.

use std::time::Duration;

use axum::body::Body;
use serde::{Deserialize, Serialize};
use windlass_api::Problem;
use windlass_identity::{Action, Principal};
use windlass_kernel::{
    Batch, Digest, Document, JobId, ProjectName, Query, StoreError, StoreExt as _, Timestamp,
};
use windlass_pipeline::Run;
use windlass_web::Download;

use crate::context::{Context, stored};
use crate::results::CacheScopes;

type Answer<T> = Result<T, Problem>;

/// The most that the caches of a project take together, and the largest one, in bytes.
const LARGEST: u64 = 10 << 30;
/// The longest key, in characters.
const LONGEST_KEY: usize = 512;
/// The most keys of one look-up.
const MOST_KEYS: usize = 10;
/// A cache that nobody has used for so long goes.
const IDLE: Duration = Duration::from_hours(7 * 24);
/// How exactly it is noted when a cache was used.
const NOTED: Duration = Duration::from_mins(10);

/// A cache entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CacheDoc {
    pub(crate) project: ProjectName,
    pub(crate) scope: String,
    pub(crate) key: String,
    pub(crate) version: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) created_at: Timestamp,
    /// When it was last read.
    #[serde(default)]
    pub(crate) used_at: Option<Timestamp>,
    /// Its number, by which client libraries know it.
    #[serde(default)]
    pub(crate) number: u64,
}

impl CacheDoc {
    /// The id of the entry of these.
    pub(crate) fn key_of(project: &ProjectName, scope: &str, version: &str, key: &str) -> String {
        // Any text may be a key: its digest is the document's.
        let text = format!("{project}\0{scope}\0{version}\0{key}");
        Digest::sha256(text.as_bytes()).hex().to_owned()
    }

    fn touched(&self) -> Timestamp {
        self.used_at.unwrap_or(self.created_at)
    }
}

impl Document for CacheDoc {
    const KIND: &'static str = "cache";

    fn id(&self) -> String {
        Self::key_of(&self.project, &self.scope, &self.version, &self.key)
    }

    fn parent(&self) -> String {
        self.project.to_string()
    }
}

/// Whether a text can be a cache's key.
pub(crate) fn cache_key(key: &str) -> Answer<()> {
    if key.is_empty() || key.chars().count() > LONGEST_KEY || key.contains(',') {
        return Err(Problem::invalid("a cache key has 1 to 512 characters and no comma"));
    }
    Ok(())
}

/// The entries that fit, best first: scope by scope, key by key; the whole key before those that begin with it, and
/// among those the newest first.
fn fitting(mut entries: Vec<CacheDoc>, scopes: &[String], keys: &[String]) -> Vec<CacheDoc> {
    entries.sort_by_key(|c| std::cmp::Reverse((c.created_at, c.number)));
    let mut found = Vec::new();
    for scope in scopes {
        for key in keys.iter().filter(|key| !key.is_empty()) {
            for whole in [true, false] {
                let fits = |c: &CacheDoc| {
                    c.scope == *scope && if whole { c.key == *key } else { c.key.starts_with(key.as_str()) }
                };
                let (more, rest) = entries.into_iter().partition(fits);
                entries = rest;
                found.extend::<Vec<_>>(more);
            }
        }
    }
    found
}

/// The entries that must go so that the rest fits: those that were not used for longest; first of all those of changes,
/// so that nobody who may only propose can push out what the branches have.
fn excess(mut entries: Vec<CacheDoc>, largest: u64) -> Vec<CacheDoc> {
    entries.sort_by_key(|c| std::cmp::Reverse((!c.scope.starts_with("refs/pull/"), c.touched(), c.number)));
    let mut kept = 0u64;
    entries.retain(|c| {
        kept = kept.saturating_add(c.size);
        kept > largest
    });
    entries
}

impl Context {
    /// What a job reads and writes.
    pub(crate) async fn cache_scopes(&self, run: &Run, job: JobId) -> CacheScopes {
        let default = match self.repositories.get(&run.project) {
            Ok(repository) => repository.default_branch().await.ok(),
            Err(_) => None,
        };
        CacheScopes::of_job(run, job, default.as_ref().map(|name| name.as_str()))
    }

    pub(crate) async fn caches_of(&self, project: &ProjectName) -> Answer<Vec<CacheDoc>> {
        let query = Query { parent: Some(project.to_string()), ..Query::default() };
        let all = self.store.list::<CacheDoc>(&query).await.map_err(stored)?;
        Ok(all.into_iter().map(|c| c.value).collect())
    }

    /// The entries that fit a look-up, best first.
    pub(crate) async fn find_caches(
        &self,
        run: &Run,
        job: JobId,
        version: &str,
        keys: &[String],
    ) -> Answer<Vec<CacheDoc>> {
        if keys.len() > MOST_KEYS {
            return Err(Problem::invalid(format!(
                "{} keys were asked for; {MOST_KEYS} are the most",
                keys.len()
            )));
        }
        let mut entries = self.caches_of(&run.project).await?;
        entries.retain(|c| c.version == version);
        Ok(fitting(entries, &self.cache_scopes(run, job).await.read, keys))
    }

    /// Notes that an entry was used. A cache is never needed: what fails here is only told.
    pub(crate) async fn note_use(&self, entry: &CacheDoc) {
        let now = self.now();
        if now.since(entry.touched()) < NOTED {
            return;
        }
        let id = entry.id();
        let noted = async {
            let Some(found) = self.store.get::<CacheDoc>(&id).await? else { return Ok(()) };
            let used = CacheDoc { used_at: Some(now), ..found.value };
            self.commit(Batch::new().update(&used, found.version)).await.map(|_| ())
        };
        if let Err(error) = noted.await {
            tracing::debug!(key = entry.key, %error, "the use of a cache could not be noted");
        }
    }

    pub(crate) async fn get_cache(
        &self,
        who: &Principal,
        job: &str,
        version: &str,
        keys: &[String],
    ) -> Answer<Option<(String, Download)>> {
        let bearer = self.bearer(who, job, Action::UseCaches).await?;
        for found in self.find_caches(&bearer.run, bearer.job.id, version, keys).await? {
            // Gone or damaged: a cache is never needed, a job must not fail for it.
            if let Ok(download) = self.open_archive(&found.digest, "cache.tar.zst".into()).await {
                self.note_use(&found).await;
                return Ok(Some((found.key, download)));
            }
            tracing::warn!(key = found.key, "a cache's bytes cannot be read");
        }
        Ok(None)
    }

    pub(crate) async fn put_cache(
        &self,
        who: &Principal,
        job: &str,
        version: &str,
        key: &str,
        body: Body,
    ) -> Answer<()> {
        let bearer = self.bearer(who, job, Action::UseCaches).await?;
        cache_key(key)?;
        let scopes = self.cache_scopes(&bearer.run, bearer.job.id).await;
        if let Some(why) = scopes.read_only {
            return Err(Problem::forbidden(why));
        }
        let mut entry = CacheDoc {
            project: bearer.run.project.clone(),
            scope: scopes.own,
            key: key.to_owned(),
            version: version.to_owned(),
            digest: Digest::sha256(b""),
            size: 0,
            created_at: self.now(),
            used_at: None,
            number: 0,
        };
        if self.store.get::<CacheDoc>(&entry.id()).await.map_err(stored)?.is_some() {
            return Err(Problem::conflict(format!("there is a cache `{key}` already")));
        }
        let kept = self.keep_archive(body, LARGEST).await?;
        (entry.digest, entry.size) = (kept.digest.clone(), kept.size);
        entry.number = self.store.next_number("upload").await.map_err(stored)?;
        self.record_cache(&entry, Batch::new()).await
    }

    /// Makes kept bytes a cache entry, and makes room for it.
    pub(crate) async fn record_cache(&self, entry: &CacheDoc, batch: Batch) -> Answer<()> {
        match self.commit(batch.create(entry)).await {
            Err(StoreError::Conflict { .. }) => {
                let text = format!("there is a cache `{}` already: another job was faster", entry.key);
                return Err(Problem::conflict(text));
            }
            other => other.map_err(stored)?,
        };
        let over = excess(self.caches_of(&entry.project).await?, LARGEST);
        self.drop_caches(&over).await.map_err(stored)
    }

    async fn drop_caches(&self, over: &[CacheDoc]) -> Result<(), StoreError> {
        if over.is_empty() {
            return Ok(());
        }
        let batch = over.iter().fold(Batch::new(), |batch, c| batch.delete::<CacheDoc>(c.id()));
        self.commit(batch).await?;
        let digests: Vec<Digest> = over.iter().map(|c| c.digest.clone()).collect();
        self.let_go(&digests).await;
        Ok(())
    }

    /// Removes caches that nobody has used for long.
    pub(crate) async fn end_idle_caches(&self) -> Result<(), StoreError> {
        let now = self.now();
        let all = self.store.list::<CacheDoc>(&Query::default()).await?;
        let idle: Vec<CacheDoc> =
            all.into_iter().map(|c| c.value).filter(|c| now.since(c.touched()) >= IDLE).collect();
        self.drop_caches(&idle).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(scope: &str, key: &str, number: u64, used_at: Option<i64>) -> CacheDoc {
        CacheDoc {
            project: "shop".parse().unwrap(),
            scope: scope.to_owned(),
            key: key.to_owned(),
            version: "v".to_owned(),
            digest: Digest::sha256(key.as_bytes()),
            size: 4,
            created_at: Timestamp::from_millis(number as i64),
            used_at: used_at.map(Timestamp::from_millis),
            number,
        }
    }

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|t| (*t).to_owned()).collect()
    }

    #[test]
    fn the_best_fit_is_by_scope_then_key_then_whole_then_age() {
        let all = || {
            vec![
                entry("main", "a-1", 1, None),
                entry("main", "a-12", 2, None),
                entry("x", "b-1", 3, None),
                entry("x", "b-2", 4, None),
                entry("other", "a-1", 5, None),
            ]
        };
        let best = |scopes: &[&str], keys: &[&str]| -> Vec<u64> {
            fitting(all(), &texts(scopes), &texts(keys)).iter().map(|c| c.number).collect()
        };
        assert_eq!(best(&["main"], &["a-1"]), [1, 2], "the whole key comes first, though it is older");
        assert_eq!(best(&["main"], &["a-"]), [2, 1], "the newest of those that begin so");
        assert_eq!(
            best(&["x", "main"], &["a-1", "b-"]),
            [4, 3, 1, 2],
            "the nearest scope first, whatever the key"
        );
        assert_eq!(
            best(&["main"], &["none", ""]),
            Vec::<u64>::new(),
            "an empty key is the prefix of nothing"
        );
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let all = vec![
            entry("s", "a", 1, Some(100)),
            entry("s", "b", 2, None),
            entry("s", "c", 3, Some(50)),
            entry("s", "d", 4, Some(200)),
        ];
        let gone =
            |largest| -> Vec<String> { excess(all.clone(), largest).into_iter().map(|c| c.key).collect() };
        assert!(gone(16).is_empty());
        assert_eq!(gone(15), ["b"]);
        assert_eq!(gone(8), ["c", "b"]);
        assert_eq!(gone(0).len(), 4);
    }

    #[test]
    fn what_changes_cache_pushes_out_nothing_of_the_branches() {
        let all = vec![
            entry("refs/heads/main", "old", 1, None),
            entry("refs/pull/7/merge", "new", 2, Some(900)),
            entry("refs/pull/7/merge", "newer", 3, Some(1000)),
        ];
        let gone =
            |largest| -> Vec<String> { excess(all.clone(), largest).into_iter().map(|c| c.key).collect() };
        assert_eq!(gone(8), ["new"]);
        assert_eq!(gone(4), ["newer", "new"]);
    }
}
