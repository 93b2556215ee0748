//! Uploads: in one piece, in chunks that may be resumed, or by mounting a blob of another repository.

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

fn stream(body: Body) -> ByteStream {
    body.into_data_stream().map(|chunk| chunk.map_err(|e| BlobError::Interrupted(e.to_string()))).boxed()
}

impl<A: Access> Call<'_, A> {
    /// `POST …/blobs/uploads/`: begins an upload; with `digest`, it is the whole upload; with `mount`, no bytes are sent.
    pub(super) async fn begin_upload(self, body: Body) -> Answer {
        if let (Some(digest), Some(from)) = (self.query("mount"), self.query("from"))
            && let Some(answer) = self.mount(&digest, &from).await?
        {
            return Ok(answer);
        }
        let blobs = self.desk.registry.blobs();
        let Some(digest) = self.query("digest") else {
            let id = blobs.begin().await?;
            return Ok(self.upload_answer(StatusCode::ACCEPTED, &id, 0));
        };
        let digest: Digest = digest.parse().map_err(Failure::digest)?;
        let id = blobs.begin().await?;
        if let Err(error) = blobs.append(&id, Some(0), stream(body)).await {
            // What failed counts; an upload that cannot be removed now is swept later.
            let _ = blobs.cancel(&id).await;
            return Err(error.into());
        }
        self.complete(&id, &digest).await
    }

    /// The blob of another repository, if the caller may read it there; otherwise an ordinary upload follows.
    async fn mount(&self, digest: &str, from: &str) -> Result<Option<axum::response::Response>, Failure> {
        let digest: Digest = digest.parse().map_err(Failure::digest)?;
        let from: RepositoryName = from.parse().map_err(Failure::name)?;
        let registry = &self.desk.registry;
        let there = guard::may_also(self.desk, &self.parts.headers, Action::Pull, &from).await
            && registry.index().has_blob(&from, &digest).await?
            && registry.blobs().stat(&digest).await?.is_some();
        if !there {
            return Ok(None);
        }
        registry.index().link_blobs(&self.repository, std::slice::from_ref(&digest)).await?;
        Ok(Some(self.created(&digest)))
    }

    pub(super) async fn upload_status(self, id: UploadId) -> Answer {
        let size = self.desk.registry.blobs().uploaded(&id).await?;
        Ok(self.upload_answer(StatusCode::NO_CONTENT, &id, size))
    }

    /// `PATCH`: a chunk, or all of it as a stream.
    pub(super) async fn append_upload(self, id: UploadId, body: Body) -> Answer {
        let start = self.chunk_start()?;
        let size = self.desk.registry.blobs().append(&id, start, stream(body)).await?;
        Ok(self.upload_answer(StatusCode::ACCEPTED, &id, size))
    }

    /// `PUT ?digest=`: the last chunk, if there is one, and the digest that all of it must have.
    pub(super) async fn finish_upload(self, id: UploadId, body: Body) -> Answer {
        let digest =
            self.query("digest").ok_or_else(|| Failure::digest("the parameter `digest` is missing"))?;
        let digest: Digest = digest.parse().map_err(Failure::digest)?;
        let start = self.chunk_start()?;
        self.desk.registry.blobs().append(&id, start, stream(body)).await?;
        self.complete(&id, &digest).await
    }

    pub(super) async fn cancel_upload(self, id: UploadId) -> Answer {
        self.desk.registry.blobs().cancel(&id).await?;
        Ok(reply(StatusCode::NO_CONTENT, &[], Body::empty()))
    }

    async fn complete(&self, id: &UploadId, digest: &Digest) -> Answer {
        self.desk.registry.blobs().finish(id, digest).await?;
        self.desk.registry.index().link_blobs(&self.repository, std::slice::from_ref(digest)).await?;
        Ok(self.created(digest))
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
