//! Caches of jobs: by project and scope (the ref that wrote them), newest first. A job reads what its own ref wrote,
//! then what the branch it is proposed for wrote, then the default branch's; it writes to its own.

use axum::body::Body;
use serde::{Deserialize, Serialize};
use windlass_api::Problem;
use windlass_identity::{Action, Principal};
use windlass_kernel::{Batch, Digest, Document, ProjectName, Query, StoreExt as _, Timestamp};
use windlass_web::Download;

use crate::context::{Context, stored};
use crate::runs::lease::Bearer;

type Answer<T> = Result<T, Problem>;

/// The largest archive, in bytes.
const LARGEST: u64 = 10 << 30;
/// The longest key, in characters.
const LONGEST_KEY: usize = 512;
/// The most keys of one look-up.
const MOST_KEYS: usize = 10;

/// A cache entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct CacheDoc {
    project: ProjectName,
    scope: String,
    key: String,
    version: String,
    digest: Digest,
    size: u64,
    created_at: Timestamp,
}

impl Document for CacheDoc {
    const KIND: &'static str = "cache";

    fn id(&self) -> String {
        // Any text may be a key: its digest is the document's.
        let text = format!("{}\0{}\0{}\0{}", self.project, self.scope, self.version, self.key);
        Digest::sha256(text.as_bytes()).hex().to_owned()
    }

    fn parent(&self) -> String {
        self.project.to_string()
    }
}

impl Context {
    pub(crate) async fn get_cache(
        &self,
        who: &Principal,
        job: &str,
        version: &str,
        keys: &[String],
    ) -> Answer<Option<(String, Download)>> {
        let bearer = self.bearer(who, job, Action::UseCaches).await?;
        if keys.len() > MOST_KEYS {
            return Err(Problem::invalid(format!(
                "{} keys were asked for; {MOST_KEYS} are the most",
                keys.len()
            )));
        }
        let query = Query { parent: Some(bearer.run.project.to_string()), ..Query::default() };
        let all = self.store.list::<CacheDoc>(&query).await.map_err(stored)?;
        let mut entries: Vec<CacheDoc> =
            all.into_iter().map(|c| c.value).filter(|c| c.version == version).collect();
        entries.sort_by_key(|c| std::cmp::Reverse(c.created_at));
        for scope in self.scopes(&bearer).await {
            let here = || entries.iter().filter(|c| c.scope == scope);
            for key in keys {
                let found = here()
                    .find(|c| c.key == *key)
                    .or_else(|| here().find(|c| c.key.starts_with(key.as_str())));
                if let Some(found) = found {
                    // Gone or damaged: a cache is never needed, a job must not fail for it.
                    if let Ok(download) = self.open_blob(&found.digest, "cache.tar.zst".into()).await {
                        return Ok(Some((found.key.clone(), download)));
                    }
                    tracing::warn!(key = found.key, "a cache's bytes cannot be read");
                }
            }
        }
        Ok(None)
    }

    /// Where a job looks, nearest first.
    async fn scopes(&self, bearer: &Bearer) -> Vec<String> {
        let mut scopes = vec![bearer.run.git_ref.clone()];
        if let Some(base) = bearer.run.github["base_ref"].as_str().filter(|b| !b.is_empty()) {
            scopes.push(format!("refs/heads/{base}"));
        }
        if let Ok(repository) = self.repositories.get(&bearer.run.project)
            && let Ok(default) = repository.default_branch().await
        {
            scopes.push(default.as_str().to_owned());
        }
        scopes
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
        if key.is_empty() || key.chars().count() > LONGEST_KEY || key.contains(',') {
            return Err(Problem::invalid("a cache key has 1 to 512 characters and no comma"));
        }
        let mut entry = CacheDoc {
            project: bearer.run.project.clone(),
            scope: bearer.run.git_ref.clone(),
            key: key.to_owned(),
            version: version.to_owned(),
            digest: Digest::sha256(b""),
            size: 0,
            created_at: self.now(),
        };
        if self.store.get::<CacheDoc>(&entry.id()).await.map_err(stored)?.is_some() {
            return Err(Problem::conflict(format!("there is a cache `{key}` already")));
        }
        (entry.digest, entry.size) = self.keep_blob(body, LARGEST).await?;
        self.commit(Batch::new().put(&entry)).await.map_err(stored)?;
        Ok(())
    }
}
