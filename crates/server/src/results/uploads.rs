//! Uploads that have begun: what they are to become, and their bytes until then. Whoever has an upload's signed address
//! may send its bytes; only the job that began it makes something of them.

use std::time::Duration;

use axum::body::Body;
use serde::{Deserialize, Serialize};
use windlass_api::Problem;
use windlass_identity::{Action, Principal};
use windlass_kernel::{
    Batch, Digest, Document, JobId, ProjectName, Query, RunId, StoreError, StoreExt as _, Timestamp,
};
use windlass_web::{Answer, Download, Reserved, Signature, UPLOADS};

use crate::context::{Context, parse, stored};
use crate::runs::{ArtifactDoc, Bearer, CacheDoc};

/// The largest upload, in bytes.
pub(crate) const LARGEST: u64 = 10 << 30;
/// How long an upload may take.
const LIFE: Duration = Duration::from_hours(2);
/// How long a download may wait to begin.
const DOWNLOAD_LIFE: Duration = Duration::from_mins(15);
/// The most uploads that a run has open at a time.
const MOST_OPEN: usize = 200;

/// An upload that has begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct UploadDoc {
    pub(super) number: u64,
    pub(super) project: ProjectName,
    pub(super) run: RunId,
    pub(super) job: JobId,
    pub(super) purpose: Purpose,
    pub(super) created_at: Timestamp,
    pub(super) expires_at: Timestamp,
    /// Its content, once it is whole.
    pub(super) kept: Option<Content>,
}

/// What an upload is to become.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub(super) enum Purpose {
    Artifact { name: String, media_type: Option<String>, expires_at: Timestamp },
    Cache { scope: String, key: String, version: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

impl Document for UploadDoc {
    const KIND: &'static str = "upload";

    fn id(&self) -> String {
        self.number.to_string()
    }

    fn parent(&self) -> String {
        self.run.to_string()
    }
}

/// A block's file: its name may be any text.
fn block_file(block: &str) -> String {
    Digest::sha256(block.as_bytes()).hex().to_owned()
}

impl Context {
    /// The uploads that a run has open.
    pub(super) async fn open_uploads(&self, run: RunId) -> Answer<Vec<UploadDoc>> {
        let query = Query { parent: Some(run.to_string()), ..Query::default() };
        let found = self.store.list::<UploadDoc>(&query).await.map_err(stored)?;
        let now = self.now();
        Ok(found.into_iter().map(|u| u.value).filter(|u| u.expires_at > now).collect())
    }

    /// Begins an upload. One that this job began for the same ends.
    pub(super) async fn begin_upload(&self, bearer: &Bearer, purpose: Purpose) -> Answer<Reserved> {
        let open = self.open_uploads(bearer.run.id).await?;
        if open.len() >= MOST_OPEN {
            return Err(Problem::conflict(format!(
                "this run has {MOST_OPEN} uploads open, which is the most: finish some first"
            )));
        }
        let number = self.store.next_number("upload").await.map_err(stored)?;
        let now = self.now();
        let upload = UploadDoc {
            number,
            project: bearer.run.project.clone(),
            run: bearer.run.id,
            job: bearer.job.id,
            purpose,
            created_at: now,
            expires_at: now + LIFE,
            kept: None,
        };
        let mut batch = Batch::new().create(&upload);
        let same = |u: &&UploadDoc| u.job == upload.job && u.purpose == upload.purpose;
        let over: Vec<&UploadDoc> = open.iter().filter(same).collect();
        for old in &over {
            batch = batch.delete::<UploadDoc>(old.number);
        }
        self.commit(batch).await.map_err(stored)?;
        for old in over {
            self.forget_content(old).await;
        }
        let url = self.signed(UPLOADS, &["upload", &number.to_string()], upload.expires_at).await?;
        Ok(Reserved { number, url })
    }

    /// Removes what an upload's document no longer holds.
    pub(super) async fn forget_content(&self, upload: &UploadDoc) {
        self.results.blocks.remove(upload.number).await;
        if let Some(kept) = &upload.kept {
            self.let_go(std::slice::from_ref(&kept.digest)).await;
        }
    }

    /// An address for one thing. `what` begins with the kind, which the path tells already.
    async fn signed(&self, below: &str, what: &[&str], ends: Timestamp) -> Answer<String> {
        let keys = self.keys_of_services().await?;
        let proof = keys.addresses.sign(what, ends);
        let path = what[1..].join("/");
        Ok(format!("{}{below}/{path}?se={}&sig={proof}", self.services_url(), ends.as_millis()))
    }

    async fn check(&self, what: &[&str], by: &Signature) -> Answer<()> {
        let keys = self.keys_of_services().await?;
        let ends = Timestamp::from_millis(by.ends);
        keys.addresses.verify(what, ends, &by.proof, self.now()).map_err(|_| {
            Problem::forbidden("this address is not signed by us, or its time is over: ask for a new one")
        })
    }

    /// The upload that a signed address is of.
    async fn signed_upload(&self, number: u64, by: &Signature) -> Answer<UploadDoc> {
        self.check(&["upload", &number.to_string()], by).await?;
        self.upload(number).await
    }

    async fn upload(&self, number: u64) -> Answer<UploadDoc> {
        let found = self.store.get::<UploadDoc>(&number.to_string()).await.map_err(stored)?;
        let found = found.map(|f| f.value).filter(|u| u.expires_at > self.now());
        found.ok_or_else(|| Problem::not_found("there is no such upload, or its time is over: begin anew"))
    }

    /// The upload of this number, if it is the caller's.
    pub(super) async fn own_upload(&self, bearer: &Bearer, number: u64) -> Answer<UploadDoc> {
        let upload = self.upload(number).await?;
        if upload.run != bearer.run.id || upload.job != bearer.job.id {
            return Err(Problem::forbidden("this upload is of another job"));
        }
        Ok(upload)
    }

    pub(super) async fn put_block(&self, number: u64, by: &Signature, block: &str, body: Body) -> Answer<()> {
        let upload = self.signed_upload(number, by).await?;
        self.results.blocks.write(upload.number, &block_file(block), body, LARGEST).await
    }

    pub(super) async fn put_block_list(&self, number: u64, by: &Signature, blocks: &[String]) -> Answer<()> {
        let _turn = self.results.assembling.acquire().await;
        let upload = self.signed_upload(number, by).await?;
        if upload.kept.is_some() {
            // The answer to the first time got lost.
            return Ok(());
        }
        let names: Vec<String> = blocks.iter().map(|b| block_file(b)).collect();
        let there: std::collections::HashSet<String> =
            self.results.blocks.list(number).await?.into_iter().map(|(name, _)| name).collect();
        if let Some(missing) = blocks.iter().zip(&names).find(|(_, name)| !there.contains(*name)) {
            return Err(Problem::invalid(format!("the block `{}` was never sent", missing.0)));
        }
        let body = self.results.blocks.read(number, names);
        self.keep_upload(upload, body).await
    }

    pub(super) async fn put_whole(&self, number: u64, by: &Signature, body: Body) -> Answer<()> {
        let upload = self.signed_upload(number, by).await?;
        if upload.kept.is_some() {
            return Err(Problem::conflict("this upload has its content already"));
        }
        self.keep_upload(upload, body).await
    }

    /// Makes a body the content of an upload.
    pub(super) async fn keep_upload(&self, mut upload: UploadDoc, body: Body) -> Answer<()> {
        let kept = self.keep_archive(body, LARGEST).await?;
        upload.kept = Some(Content { digest: kept.digest.clone(), size: kept.size });
        // Looked at again: it may have been given up meanwhile.
        let found = self.store.get::<UploadDoc>(&upload.id()).await.map_err(stored)?;
        let found = found.ok_or_else(|| Problem::conflict("this upload was begun anew meanwhile"))?;
        self.commit(Batch::new().update(&upload, found.version)).await.map_err(stored)?;
        self.results.blocks.remove(upload.number).await;
        Ok(())
    }

    /// An address to download from.
    pub(super) async fn download_url(&self, kind: &str, id: &str) -> Answer<String> {
        let ends = self.now() + DOWNLOAD_LIFE;
        self.signed(windlass_web::DOWNLOADS, &["download", kind, id], ends).await
    }

    pub(super) async fn fetch(&self, kind: &str, id: &str, by: &Signature) -> Answer<(Download, String)> {
        self.check(&["download", kind, id], by).await?;
        let gone = || Problem::not_found("it was removed meanwhile");
        match kind {
            "artifact" => {
                let found = self.store.get::<ArtifactDoc>(id).await.map_err(stored)?;
                let artifact = found.ok_or_else(gone)?.value;
                let download = self.open_archive(&artifact.digest, artifact.file_name()).await?;
                Ok((download, artifact.media_type().to_owned()))
            }
            _ => {
                let found = self.store.get::<CacheDoc>(id).await.map_err(stored)?;
                let cache = found.ok_or_else(gone)?.value;
                let download = self.open_archive(&cache.digest, "cache".to_owned()).await?;
                Ok((download, "application/octet-stream".to_owned()))
            }
        }
    }

    /// Gives uploads up that nobody finished in time.
    pub(super) async fn end_uploads(&self) -> Result<(), StoreError> {
        let now = self.now();
        let all = self.store.list::<UploadDoc>(&Query::default()).await?;
        for upload in all.iter().filter(|u| u.value.expires_at <= now) {
            self.commit(Batch::new().delete::<UploadDoc>(upload.value.number)).await?;
            self.forget_content(&upload.value).await;
        }
        for number in self.results.blocks.uploads().await {
            if !all.iter().any(|u| u.value.number == number)
                && self.store.get::<UploadDoc>(&number.to_string()).await?.is_none()
            {
                self.results.blocks.remove(number).await;
            }
        }
        Ok(())
    }

    /// The caller's job, if it may do `action` with the token that it shows.
    pub(super) async fn service_bearer(&self, who: &Principal, action: Action) -> Answer<Bearer> {
        self.bearer(who, &super::own_job(who)?, action).await
    }
}

/// A digest as a client tells it.
pub(super) fn told_digest(text: &str) -> Answer<Digest> {
    parse(text)
}
