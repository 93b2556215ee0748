//! Manifests, by tag or digest.

use axum::body::Body;
use http::{Method, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::failure::Failure;
use super::{Answer, Call, DIGEST_HEADER, reply, text_header};
use crate::{Access, LARGEST_MANIFEST, ManifestError, MediaType, Reference};

impl<A: Access> Call<'_, A> {
    pub(super) async fn get_manifest(self, reference: Reference) -> Answer {
        let stored = self.desk.registry.pull_manifest(&self.repository, &reference).await?;
        let length = stored.bytes.len().to_string();
        let digest = stored.digest.to_string();
        let headers = [
            ("content-type", stored.media_type.as_str()),
            ("content-length", length.as_str()),
            ("etag", digest.as_str()),
            (DIGEST_HEADER, digest.as_str()),
        ];
        let head = self.parts.method == Method::HEAD;
        Ok(reply(StatusCode::OK, &headers, if head { Body::empty() } else { Body::from(stored.bytes) }))
    }

    pub(super) async fn put_manifest(self, reference: Reference, body: Body) -> Answer {
        let media_type = text_header(&self.parts.headers, header::CONTENT_TYPE).unwrap_or_default();
        let media_type = MediaType::parse(media_type)?;
        if let Some(size) = self.announced().filter(|size| *size > LARGEST_MANIFEST) {
            return Err(ManifestError::TooLarge { size }.into());
        }
        let body = Limited::new(body, LARGEST_MANIFEST as usize).collect();
        let Ok(body) = tokio::time::timeout(self.desk.limits.patience, body).await else {
            let why = "the manifest did not come in time";
            return Err(Failure::new(StatusCode::REQUEST_TIMEOUT, "MANIFEST_INVALID", why));
        };
        let bytes = match body {
            Ok(body) => body.to_bytes(),
            Err(e) if e.is::<LengthLimitError>() => {
                return Err(ManifestError::TooLarge {
                    size: self.announced().unwrap_or(LARGEST_MANIFEST + 1),
                }
                .into());
            }
            Err(e) => return Err(Failure::reference(format!("the manifest stopped coming: {e}"))),
        };
        let (registry, repository, by) = (&self.desk.registry, &self.repository, self.actor());
        let pushed = match (&reference, self.query("digest")) {
            // A tag, under a digest of the client's choice of algorithm.
            (Reference::Tag(tag), Some(digest)) => {
                let digest = digest.parse().map_err(Failure::digest)?;
                registry.push_as(repository, &digest, Some(tag), media_type, bytes, &by).await?
            }
            _ => registry.push(repository, &reference, media_type, bytes, &by).await?,
        };
        let location = format!("/v2/{}/manifests/{}", self.repository, pushed.digest);
        let digest = pushed.digest.to_string();
        let subject = pushed.subject.map(|d| d.to_string());
        let mut headers =
            vec![("location", location.as_str()), (DIGEST_HEADER, digest.as_str()), ("content-length", "0")];
        if let Some(subject) = &subject {
            headers.push(("oci-subject", subject));
        }
        Ok(reply(StatusCode::CREATED, &headers, Body::empty()))
    }

    pub(super) async fn delete_manifest(self, reference: Reference) -> Answer {
        let registry = &self.desk.registry;
        let removed = match &reference {
            Reference::Tag(tag) => registry.delete_tag(&self.repository, tag, &self.actor()).await?,
            Reference::Digest(digest) => {
                registry.delete_manifest(&self.repository, digest, &self.actor()).await?
            }
        };
        if !removed {
            let message = format!("there is no image {} with {reference}", self.repository);
            return Err(Failure::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", message));
        }
        Ok(reply(StatusCode::ACCEPTED, &[], Body::empty()))
    }

    fn announced(&self) -> Option<u64> {
        text_header(&self.parts.headers, header::CONTENT_LENGTH)?.parse().ok()
    }
}
