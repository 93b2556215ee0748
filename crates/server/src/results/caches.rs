//! The cache services, version 2 and 1: the project's caches, as the client libraries see them.

use axum::body::Body;
use windlass_api::{ErrorCode, Problem};
use windlass_identity::{Action, Principal};
use windlass_kernel::{Batch, StoreExt as _};
use windlass_web::{Answer, FoundCache, Reserved};

use super::artifacts::mismatch;
use super::uploads::{LARGEST, Purpose, UploadDoc};
use crate::context::{Context, stored};
use crate::runs::{Bearer, CacheDoc, cache_key};

/// The file of a piece that begins at this byte: names sort as the bytes do.
fn piece_file(start: u64) -> String {
    format!("at-{start:020}")
}

/// Whether pieces of these names and sizes lie one behind the other, from 0 to `size`.
fn joined(pieces: &[(String, u64)], size: u64) -> Result<(), String> {
    let mut at = 0;
    for (name, length) in pieces {
        if *name != piece_file(at) {
            return Err(format!("nothing begins at byte {at}"));
        }
        at += length;
    }
    if at == size { Ok(()) } else { Err(format!("{at} bytes came, the client says {size}")) }
}

impl Context {
    /// Gives an upload up.
    pub(super) async fn drop_upload(&self, upload: &UploadDoc) -> Answer<()> {
        self.commit(Batch::new().delete::<UploadDoc>(upload.number)).await.map_err(stored)?;
        self.forget_content(upload).await;
        Ok(())
    }

    pub(super) async fn reserve_cache(
        &self,
        who: &Principal,
        key: &str,
        version: &str,
        size: Option<u64>,
    ) -> Answer<Reserved> {
        let bearer = self.service_bearer(who, Action::UseCaches).await?;
        cache_key(key)?;
        if let Some(size) = size.filter(|size| *size > LARGEST) {
            return Err(Problem::invalid(format!(
                "a cache of {size} bytes is too large: {} GiB are the most for a project",
                LARGEST >> 30
            )));
        }
        let scopes = self.cache_scopes(&bearer.run, bearer.job.id).await;
        if let Some(why) = scopes.read_only {
            return Err(Problem::forbidden(why));
        }
        let doc = CacheDoc::key_of(&bearer.run.project, &scopes.own, version, key);
        if self.store.get::<CacheDoc>(&doc).await.map_err(stored)?.is_some() {
            return Err(Problem::conflict(format!(
                "there is a cache `{key}` already, and caches do not change"
            )));
        }
        let purpose = Purpose::Cache { scope: scopes.own, key: key.to_owned(), version: version.to_owned() };
        self.begin_upload(&bearer, purpose).await
    }

    pub(super) async fn finalize_cache(
        &self,
        who: &Principal,
        key: &str,
        version: &str,
        size: u64,
    ) -> Answer<u64> {
        let bearer = self.service_bearer(who, Action::UseCaches).await?;
        let open = self.open_uploads(bearer.run.id).await?;
        let wanted = |u: &UploadDoc| {
            u.job == bearer.job.id
                && matches!(&u.purpose, Purpose::Cache { key: k, version: v, .. } if k == key && v == version)
        };
        let upload = open.into_iter().filter(wanted).max_by_key(|u| u.number);
        let Some(upload) = upload else {
            return Err(Problem::not_found(format!("no upload of a cache `{key}` was begun by this job")));
        };
        self.cache_of_upload(&bearer, &upload, size).await
    }

    /// Makes a whole upload a cache entry; gives its number.
    async fn cache_of_upload(&self, bearer: &Bearer, upload: &UploadDoc, size: u64) -> Answer<u64> {
        let Purpose::Cache { scope, key, version } = upload.purpose.clone() else {
            return Err(Problem::conflict("this upload is not a cache's"));
        };
        let Some(content) = upload.kept.clone() else {
            return Err(Problem::invalid(format!("the upload of the cache `{key}` is not complete")));
        };
        if let Some(why) = mismatch(&content, size, None) {
            self.drop_upload(upload).await?;
            return Err(Problem::invalid(format!(
                "the cache `{key}` did not arrive whole: {why}; save it again"
            )));
        }
        let entry = CacheDoc {
            project: bearer.run.project.clone(),
            scope,
            key,
            version,
            digest: content.digest,
            size: content.size,
            created_at: self.now(),
            used_at: None,
            number: upload.number,
        };
        let batch = Batch::new().delete::<UploadDoc>(upload.number);
        match self.record_cache(&entry, batch).await {
            // Another job was faster: what this one brought is not needed.
            Err(problem) if problem.code == ErrorCode::Conflict => {
                self.drop_upload(upload).await?;
                Err(problem)
            }
            recorded => recorded.map(|()| upload.number),
        }
    }

    pub(super) async fn put_cache_piece(
        &self,
        who: &Principal,
        number: u64,
        start: u64,
        body: Body,
    ) -> Answer<()> {
        let bearer = self.service_bearer(who, Action::UseCaches).await?;
        let upload = self.own_upload(&bearer, number).await?;
        self.results.blocks.write(upload.number, &piece_file(start), body, LARGEST).await
    }

    pub(super) async fn commit_cache(&self, who: &Principal, number: u64, size: u64) -> Answer<()> {
        let bearer = self.service_bearer(who, Action::UseCaches).await?;
        let _turn = self.results.assembling.acquire().await;
        let upload = self.own_upload(&bearer, number).await?;
        if upload.kept.is_none() {
            let pieces = self.results.blocks.list(number).await?;
            joined(&pieces, size)
                .map_err(|why| Problem::invalid(format!("the cache did not arrive whole: {why}")))?;
            let names = pieces.into_iter().map(|(name, _)| name).collect();
            let body = self.results.blocks.read(number, names);
            self.keep_upload(upload, body).await?;
        }
        let upload = self.own_upload(&bearer, number).await?;
        self.cache_of_upload(&bearer, &upload, size).await.map(|_| ())
    }

    pub(super) async fn signed_cache(
        &self,
        who: &Principal,
        keys: &[String],
        version: &str,
    ) -> Answer<Option<FoundCache>> {
        let bearer = self.service_bearer(who, Action::UseCaches).await?;
        let found = self.find_caches(&bearer.run, bearer.job.id, version, keys).await?;
        for entry in found {
            if !self.has_archive(&entry.digest).await {
                tracing::warn!(key = entry.key, "a cache's bytes are gone");
                continue;
            }
            self.note_use(&entry).await;
            let url = self.download_url("cache", &windlass_kernel::Document::id(&entry)).await?;
            return Ok(Some(told(entry, url)));
        }
        Ok(None)
    }

    pub(super) async fn caches_of_key(&self, who: &Principal, key: &str) -> Answer<Vec<FoundCache>> {
        let bearer = self.service_bearer(who, Action::UseCaches).await?;
        let scopes = self.cache_scopes(&bearer.run, bearer.job.id).await;
        let mut all = self.caches_of(&bearer.run.project).await?;
        all.retain(|c| c.key.starts_with(key) && scopes.read.contains(&c.scope));
        Ok(all.into_iter().take(100).map(|entry| told(entry, String::new())).collect())
    }
}

fn told(entry: CacheDoc, url: String) -> FoundCache {
    FoundCache {
        key: entry.key,
        version: entry.version,
        scope: entry.scope,
        created_at: entry.created_at,
        url,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_must_lie_one_behind_the_other() {
        let pieces = |list: &[(u64, u64)]| -> Vec<(String, u64)> {
            list.iter().map(|(start, length)| (piece_file(*start), *length)).collect()
        };
        assert_eq!(joined(&pieces(&[(0, 10), (10, 5)]), 15), Ok(()));
        assert_eq!(joined(&pieces(&[]), 0), Ok(()));
        for (bad, size) in
            [(&[(0, 10), (11, 5)][..], 16), (&[(1, 3)], 4), (&[(0, 10), (5, 5)], 10), (&[(0, 3)], 4)]
        {
            assert!(joined(&pieces(bad), size).is_err(), "{bad:?}");
        }
    }
}
