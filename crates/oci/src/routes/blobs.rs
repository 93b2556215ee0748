//! Blobs: reading, whole or in part, and letting go of them.

use std::ops::Range;

use axum::body::Body;
use axum::response::Response;
use http::{Method, StatusCode, header};
use windlass_kernel::Digest;

use super::failure::Failure;
use super::{Answer, Call, DIGEST_HEADER, reply, text_header};
use crate::mirror::Fetch;
use crate::{Access, BlobError};

/// What a `Range` header asks for.
#[derive(Debug, PartialEq)]
enum Part {
    Whole,
    Bytes(Range<u64>),
    Outside,
}

impl<A: Access> Call<'_, A> {
    pub(super) async fn get_blob(self, digest: Digest) -> Answer {
        let registry = &self.desk.registry;
        let whole = self.parts.method == Method::GET && !self.parts.headers.contains_key(header::RANGE);
        if whole {
            let coming = registry.fetch_blob(&self.repository, &digest).await;
            if let Some(fetch) = coming.map_err(|e| Failure::blob(&digest, e))? {
                return Ok(passed_on(&digest, fetch));
            }
        } else {
            registry.pull_blob(&self.repository, &digest).await.map_err(|e| Failure::blob(&digest, e))?;
        }
        let size = registry.blob_size(&self.repository, &digest).await?;
        let size = size.ok_or_else(|| Failure::unknown_blob(&digest))?;
        let part =
            text_header(&self.parts.headers, header::RANGE).map_or(Part::Whole, |text| part(text, size));
        let (status, range) = match part {
            Part::Whole => (StatusCode::OK, None),
            Part::Bytes(range) => (StatusCode::PARTIAL_CONTENT, Some(range)),
            Part::Outside => return Err(BlobError::OutOfRange { size }.into()),
        };
        let length = range.as_ref().map_or(size, |r| r.end - r.start).to_string();
        let digest_text = digest.to_string();
        let mut headers = vec![
            ("content-type", "application/octet-stream"),
            ("content-length", length.as_str()),
            ("accept-ranges", "bytes"),
            ("etag", digest_text.as_str()),
            (DIGEST_HEADER, digest_text.as_str()),
        ];
        let span = range.as_ref().map(|r| format!("bytes {}-{}/{size}", r.start, r.end - 1));
        if let Some(span) = &span {
            headers.push(("content-range", span));
        }
        let body = if self.parts.method == Method::HEAD {
            Body::empty()
        } else {
            Body::from_stream(registry.blobs().open(&digest, range).await?.bytes)
        };
        Ok(reply(status, &headers, body))
    }

    /// The repository no longer holds the blob; its bytes stay for others until garbage is collected.
    pub(super) async fn delete_blob(self, digest: Digest) -> Answer {
        let index = self.desk.registry.index();
        if !index.has_blob(&self.repository, &digest).await? {
            return Err(Failure::unknown_blob(&digest));
        }
        index.unlink_blob(&self.repository, &digest).await?;
        Ok(reply(StatusCode::ACCEPTED, &[], Body::empty()))
    }
}

/// A mirrored blob, while it comes.
fn passed_on(digest: &Digest, fetch: Fetch) -> Response {
    let digest = digest.to_string();
    let mut headers = vec![("content-type", "application/octet-stream"), (DIGEST_HEADER, digest.as_str())];
    let length = fetch.size.map(|size| size.to_string());
    if let Some(length) = &length {
        headers.push(("content-length", length));
    }
    reply(StatusCode::OK, &headers, Body::from_stream(fetch.bytes()))
}

/// Reads `bytes=A-B` (RFC 9110, 14.1.2). Several ranges, or other units, are answered with the whole.
fn part(text: &str, size: u64) -> Part {
    let Some(range) = text.strip_prefix("bytes=") else { return Part::Whole };
    let Some((first, last)) = range.split_once('-') else { return Part::Whole };
    let range = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.trim().is_empty() => first..size,
        (Err(_), Ok(suffix)) if first.trim().is_empty() => size.saturating_sub(suffix)..size,
        _ => return Part::Whole,
    };
    if range.start < range.end { Part::Bytes(range) } else { Part::Outside }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_specification_says() {
        let cases = [
            ("bytes=0-0", Part::Bytes(0..1)),
            ("bytes=2-", Part::Bytes(2..10)),
            ("bytes=-3", Part::Bytes(7..10)),
            ("bytes=-30", Part::Bytes(0..10)),
            ("bytes=5-99999999999999999999", Part::Whole),
            ("bytes=5-18446744073709551615", Part::Bytes(5..10)),
            ("bytes=10-", Part::Outside),
            ("bytes=-0", Part::Outside),
            ("bytes=3-2", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("lines=1-2", Part::Whole),
            ("bytes=x-y", Part::Whole),
        ];
        for (text, expected) in cases {
            assert_eq!(part(text, 10), expected, "{text}");
        }
    }
}
