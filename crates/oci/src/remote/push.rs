//! Pushing an image to another registry: what it does not have yet, blob by blob, then the manifest under its tag.

use std::path::PathBuf;

use bytes::Bytes;
use reqwest::{Body, Method, Response, StatusCode, Url, header};
use tokio_util::io::ReaderStream;
use windlass_kernel::Digest;

use super::{PullError, Puller, Session};
use crate::ImageName;

/// A blob to push.
#[derive(Clone, Debug)]
pub struct PushedBlob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// The file that holds it.
    pub file: PathBuf,
}

/// What a request carries.
enum Payload {
    Nothing,
    Bytes(Bytes),
    File(PathBuf, u64),
}

impl Payload {
    async fn body(&self) -> std::io::Result<(Body, u64)> {
        Ok(match self {
            Self::Nothing => (Body::from(""), 0),
            Self::Bytes(bytes) => (Body::from(bytes.clone()), bytes.len() as u64),
            Self::File(path, size) => {
                let file = tokio::fs::File::open(path).await?;
                (Body::wrap_stream(ReaderStream::with_capacity(file, 256 << 10)), *size)
            }
        })
    }
}

impl Puller {
    /// Pushes an image: the blobs that are not there, then the manifest, under the name's tag (or its digest).
    pub async fn push(
        &self,
        image: &ImageName,
        blobs: &[PushedBlob],
        media_type: &str,
        manifest: Bytes,
    ) -> Result<(), PullError> {
        let mut session = Session::new(self, image)?;
        for blob in blobs {
            session.upload(blob).await?;
        }
        let reference = image.reference();
        let url = session.address(&format!("manifests/{reference}"));
        let answer = session.send(Method::PUT, &url, Some(media_type), &Payload::Bytes(manifest)).await?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(session.refused("the manifest", answer.status()))
    }
}

impl Session<'_> {
    fn address(&self, rest: &str) -> String {
        let scheme = if self.loopback { "http" } else { "https" };
        format!("{scheme}://{}/v2/{}/{rest}", self.host, self.path)
    }

    /// Sends a blob, unless the registry has it.
    async fn upload(&mut self, blob: &PushedBlob) -> Result<(), PullError> {
        let known = self.address(&format!("blobs/{}", blob.digest));
        let answer = self.send(Method::HEAD, &known, None, &Payload::Nothing).await?;
        match answer.status() {
            status if status.is_success() => return Ok(()),
            StatusCode::NOT_FOUND => {}
            status => return Err(self.refused("a look at a blob", status)),
        }
        let begin = self.address("blobs/uploads/");
        let answer = self.send(Method::POST, &begin, None, &Payload::Nothing).await?;
        if answer.status() != StatusCode::ACCEPTED {
            return Err(self.refused("an upload", answer.status()));
        }
        let place = answer.headers().get(header::LOCATION).and_then(|place| place.to_str().ok());
        let base = Url::parse(&begin).ok();
        let place = place.and_then(|place| base.and_then(|base| base.join(place).ok()));
        let Some(mut place) = place else {
            let why = "its registry began an upload, but does not say where it goes on".to_owned();
            return Err(PullError::Unusable { image: self.image.to_string(), why });
        };
        place.query_pairs_mut().append_pair("digest", &blob.digest.to_string());
        let payload = Payload::File(blob.file.clone(), blob.size);
        let answer =
            self.send(Method::PUT, place.as_str(), Some("application/octet-stream"), &payload).await?;
        if answer.status().is_success() { Ok(()) } else { Err(self.refused("a blob", answer.status())) }
    }

    /// Sends a request; fetches a token when asked to, once.
    async fn send(
        &mut self,
        method: Method,
        url: &str,
        media_type: Option<&str>,
        payload: &Payload,
    ) -> Result<Response, PullError> {
        let mut asked = false;
        loop {
            let (body, length) = payload.body().await.map_err(|e| PullError::Unusable {
                image: self.image.to_string(),
                why: format!("a blob of it cannot be read: {e}"),
            })?;
            let mut request = self.puller.http()?.request(method.clone(), url).body(body);
            if method != Method::HEAD {
                request = request.header(header::CONTENT_LENGTH, length);
            }
            if let Some(media_type) = media_type {
                request = request.header(header::CONTENT_TYPE, media_type);
            }
            // A token goes to the registry that asked for it, not to wherever an upload was sent to.
            let own = Url::parse(url).is_ok_and(|url| Some(url.authority()) == Some(self.host.as_str()));
            if let Some(authorization) = self.authorization.as_ref().filter(|_| own) {
                request = request.header(header::AUTHORIZATION, authorization.expose());
            }
            let answer = request.send().await.map_err(|e| self.unreachable(&e))?;
            if answer.status() != StatusCode::UNAUTHORIZED || asked {
                return Ok(answer);
            }
            asked = true;
            self.authorise(&answer).await?;
        }
    }
}
