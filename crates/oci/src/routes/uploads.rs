//! Uploads: in one piece, in chunks that may be resumed, or by mounting a blob of another repository.

use std::time::Duration;

use axum::body::Body;
use futures_util::StreamExt as _;
use http::{StatusCode, header};
use windlass_kernel::Digest;

use super::failure::Failure;
use super::{Answer, Call, DIGEST_HEADER, UPLOAD_HEADER, guard, reply, text_header};
use crate::{Access, Action, BlobError, ByteStream, RepositoryName, UploadId};

/// What an upload holds, as its `Range` header says it.
pub(super) fn kept(size: u64) -> String {
    format!("0-{}", size.saturating_sub(1))
}

/// What comes, cut off when nothing has come for too long.
fn stream(body: Body, patience: Duration) -> ByteStream {
    let chunks = body.into_data_stream();
    futures_util::stream::unfold(Some(chunks), move |chunks| async move {
        let mut chunks = chunks?;
        match tokio::time::timeout(patience, chunks.next()).await {
            Ok(Some(Ok(chunk))) => Some((Ok(chunk), Some(chunks))),
            Ok(Some(Err(error))) => Some((Err(BlobError::Interrupted(error.to_string())), None)),
            Ok(None) => None,
            Err(_) => Some((Err(BlobError::Stalled { seconds: patience.as_secs() }), None)),
        }
    })
    .boxed()
}

impl<A: Access> Call<'_, A> {
    /// `POST …/blobs/uploads/`: begins an upload; with `digest`, it is the whole upload; with `mount`, no bytes are sent.
    pub(super) async fn begin_upload(self, body: Body) -> Answer {
        self.not_mirrored()?;
        if let Some(digest) = self.query("mount")
            && let Some(answer) = self.mount(&digest, self.query("from").as_deref()).await?
        {
            return Ok(answer);
        }
        let blobs = self.desk.registry.blobs();
        let Some(digest) = self.query("digest") else {
            let id = blobs.begin().await?;
            return Ok(self.upload_answer(StatusCode::ACCEPTED, &id, 0));
        };
        let digest: Digest = digest.parse().map_err(Failure::digest)?;
        let _place = self.place()?;
        let id = blobs.begin().await?;
        if let Err(error) = blobs.append(&id, Some(0), stream(body, self.desk.limits.patience)).await {
            // What failed counts; an upload that cannot be removed now is swept later.
            let _ = blobs.cancel(&id).await;
            return Err(error.into());
        }
        self.complete(&id, &digest).await
    }

    /// The blob of another repository, if the caller may read it there; otherwise an ordinary upload follows. Where no
    /// repository is named, any that holds it will do ("automatic content discovery").
    async fn mount(
        &self,
        digest: &str,
        from: Option<&str>,
    ) -> Result<Option<axum::response::Response>, Failure> {
        let digest: Digest = digest.parse().map_err(Failure::digest)?;
        let registry = &self.desk.registry;
        let sources = match from {
            Some(from) => vec![from.parse::<RepositoryName>().map_err(Failure::name)?],
            None => registry.index().holders(&digest).await?,
        };
        for from in sources {
            // A mirror's own repository is linked by what it fetches, and everybody may pull from it.
            if guard::may_also(self.desk, &self.parts.headers, Action::Pull, &from).await
                && registry.mount(&self.repository, &digest, &from).await?
            {
                return Ok(Some(self.created(&digest)));
            }
        }
        Ok(None)
    }

    /// Nothing is pushed into a mirror.
    fn not_mirrored(&self) -> Result<(), Failure> {
        if crate::mirror::is_mirrored(&self.repository) {
            return Err(crate::RegistryError::Mirrored(self.repository.clone()).into());
        }
        Ok(())
    }

    pub(super) async fn upload_status(self, id: UploadId) -> Answer {
        let size = self.desk.registry.blobs().uploaded(&id).await?;
        Ok(self.upload_answer(StatusCode::NO_CONTENT, &id, size))
    }

    /// `PATCH`: a chunk, or all of it as a stream.
    pub(super) async fn append_upload(self, id: UploadId, body: Body) -> Answer {
        let start = self.chunk_start()?;
        let _place = self.place()?;
        let size = self.take_in(&id, start, body).await?;
        Ok(self.upload_answer(StatusCode::ACCEPTED, &id, size))
    }

    /// `PUT ?digest=`: the last chunk, if there is one, and the digest that all of it must have.
    pub(super) async fn finish_upload(self, id: UploadId, body: Body) -> Answer {
        let digest =
            self.query("digest").ok_or_else(|| Failure::digest("the parameter `digest` is missing"))?;
        let digest: Digest = digest.parse().map_err(Failure::digest)?;
        let start = self.chunk_start()?;
        let _place = self.place()?;
        self.take_in(&id, start, body).await?;
        self.complete(&id, &digest).await
    }

    /// Appends what comes. What filled the disk is given back at once: nobody can go on with it, and others need the room.
    async fn take_in(&self, id: &UploadId, start: Option<u64>, body: Body) -> Result<u64, BlobError> {
        let blobs = self.desk.registry.blobs();
        let outcome = blobs.append(id, start, stream(body, self.desk.limits.patience)).await;
        if matches!(outcome, Err(BlobError::Full)) {
            // That it is full counts; what cannot be removed now is swept later.
            let _ = blobs.cancel(id).await;
        }
        outcome
    }

    pub(super) async fn cancel_upload(self, id: UploadId) -> Answer {
        self.desk.registry.blobs().cancel(&id).await?;
        Ok(reply(StatusCode::NO_CONTENT, &[], Body::empty()))
    }

    async fn complete(&self, id: &UploadId, digest: &Digest) -> Answer {
        self.desk.registry.finish_upload(&self.repository, id, digest).await?;
        Ok(self.created(digest))
    }

    /// A place among the uploads that go on at a time.
    fn place(&self) -> Result<tokio::sync::OwnedSemaphorePermit, Failure> {
        self.desk.uploading.clone().try_acquire_owned().map_err(|_| Failure::busy())
    }

    fn created(&self, digest: &Digest) -> axum::response::Response {
        let location = format!("/v2/{}/blobs/{digest}", self.repository);
        let headers =
            [("location", location.as_str()), (DIGEST_HEADER, &digest.to_string()), ("content-length", "0")];
        reply(StatusCode::CREATED, &headers, Body::empty())
    }

    fn upload_answer(&self, status: StatusCode, id: &UploadId, size: u64) -> axum::response::Response {
        let location = format!("/v2/{}/blobs/uploads/{id}", self.repository);
        let headers = [("location", location.as_str()), ("range", &kept(size)), (UPLOAD_HEADER, id.as_str())];
        reply(status, &headers, Body::empty())
    }

    /// Where `Content-Range: START-END` says that the chunk begins; its length must be the body's.
    fn chunk_start(&self) -> Result<Option<u64>, Failure> {
        let Some(text) = text_header(&self.parts.headers, header::CONTENT_RANGE) else { return Ok(None) };
        let bad = || Failure::upload(format!("`{text}` is not a Content-Range such as `0-1023`"));
        let plain = text.strip_prefix("bytes ").unwrap_or(text);
        let plain = plain.split('/').next().unwrap_or_default();
        let (start, end) = plain.split_once('-').ok_or_else(bad)?;
        let (start, end): (u64, u64) = (start.parse().map_err(|_| bad())?, end.parse().map_err(|_| bad())?);
        let length =
            text_header(&self.parts.headers, header::CONTENT_LENGTH).and_then(|l| l.parse::<u64>().ok());
        if length.is_some_and(|length| end.checked_sub(start).and_then(|n| n.checked_add(1)) != Some(length))
        {
            return Err(Failure::new(
                StatusCode::BAD_REQUEST,
                "SIZE_INVALID",
                format!("Content-Range says {text}, Content-Length {}", length.unwrap_or_default()),
            ));
        }
        Ok(Some(start))
    }
}
