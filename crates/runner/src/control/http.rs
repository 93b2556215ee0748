//! The port over HTTP, with the job's token.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::{Method, header};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::ReaderStream;
use windlass_api::runner::{
    BUILD_HEADER, BuildImage, BuiltImage, CACHE_KEY_HEADER, JobUpdate, JobUpdates, LogReply, StartDeployment,
    UpdateReply,
};
use windlass_api::{ArtifactView, Client, ClientError, DeploymentView, ErrorCode, RequestBody};
use windlass_kernel::Secret;

use super::{CacheStored, Control, ControlError, NewArtifact};

/// Short calls end by then: a server that hangs is a server that is away.
const SHORT: Duration = Duration::from_secs(30);
/// Calls that move an archive.
const LONG: Duration = Duration::from_mins(30);

/// Control, over HTTP.
#[derive(Clone, Debug)]
pub struct HttpControl {
    client: Client,
    job: String,
}

impl HttpControl {
    /// A job's way to the control that answers at `server_url`.
    pub fn new(server_url: &str, token: Secret<String>, job: &str) -> Self {
        Self { client: Client::new(server_url, Some(token)), job: job.to_owned() }
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/runner/jobs/{}/{rest}", encode(&self.job))
    }

    async fn post<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        rest: &str,
        body: &B,
    ) -> Result<T, ControlError> {
        within(SHORT, self.client.post(&self.path(rest), body)).await
    }

    async fn get<T: DeserializeOwned>(&self, rest: &str) -> Result<T, ControlError> {
        within(SHORT, self.client.get(&self.path(rest))).await
    }

    async fn upload<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        file: &Path,
    ) -> Result<T, ControlError> {
        let file = tokio::fs::File::open(file).await?;
        let length = file.metadata().await?.len().to_string();
        let stream = ReaderStream::with_capacity(file, 128 << 10).map_ok(Frame::data).map_err(Into::into);
        let body: RequestBody = BodyExt::boxed(StreamBody::new(stream));
        let mut all = vec![(header::CONTENT_LENGTH.as_str(), length.as_str())];
        all.extend_from_slice(headers);
        within(LONG, async {
            let answer = self.client.send(method, path, &all, body).await?;
            self.client.decode(path, answer).await
        })
        .await
    }

    /// The answer's body into a file; gives the answer's header, and whether there was a body at all (204 has none).
    async fn download(&self, path: &str, wanted: &str, into: &Path) -> Result<Option<String>, ControlError> {
        let unexpected =
            |e: &dyn std::fmt::Display| ControlError::Unavailable(format!("the transfer broke off: {e}"));
        tokio::time::timeout(LONG, async {
            let answer = self.client.send(Method::GET, path, &[], empty()).await.map_err(from_client)?;
            if answer.status() == http::StatusCode::NO_CONTENT {
                return Ok(None);
            }
            let value =
                answer.headers().get(wanted).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
            let mut file = tokio::fs::File::create(into).await?;
            let mut body = answer.into_body();
            while let Some(frame) = body.frame().await {
                if let Ok(data) = frame.map_err(|e| unexpected(&e))?.into_data() {
                    file.write_all(&data).await?;
                }
            }
            file.flush().await?;
            Ok(Some(value))
        })
        .await
        .map_err(|_| ControlError::Unavailable("the transfer took longer than 30 minutes".to_owned()))?
    }
}

#[async_trait]
impl Control for HttpControl {
    async fn updates(&self, updates: &[JobUpdate]) -> Result<UpdateReply, ControlError> {
        self.post("updates", &JobUpdates { updates: updates.to_vec() }).await
    }

    async fn append_log(&self, offset: u64, bytes: Bytes) -> Result<u64, ControlError> {
        let path = self.path(&format!("log?offset={offset}"));
        let headers = [("content-type", "application/octet-stream")];
        let body = Full::new(bytes).map_err(|never| match never {}).boxed();
        let reply: LogReply = within(SHORT, async {
            let answer = self.client.send(Method::POST, &path, &headers, body).await?;
            self.client.decode(&path, answer).await
        })
        .await?;
        Ok(reply.next_offset)
    }

    async fn store_artifact(&self, artifact: NewArtifact<'_>) -> Result<ArtifactView, ControlError> {
        let mut path =
            self.path(&format!("artifacts/{}?overwrite={}", encode(artifact.name), artifact.overwrite));
        if let Some(days) = artifact.retention_days {
            path.push_str(&format!("&retention_days={days}"));
        }
        let headers = [("content-type", windlass_api::runner::ARTIFACT_TYPE)];
        self.upload(Method::PUT, &path, &headers, artifact.archive).await
    }

    async fn artifacts(&self) -> Result<Vec<ArtifactView>, ControlError> {
        self.get("artifacts").await
    }

    async fn fetch_artifact(&self, name: &str, into: &Path) -> Result<(), ControlError> {
        let path = self.path(&format!("artifacts/{}", encode(name)));
        self.download(&path, "content-type", into).await.map(|_| ())
    }

    async fn fetch_cache(
        &self,
        version: &str,
        keys: &[String],
        into: &Path,
    ) -> Result<Option<String>, ControlError> {
        let keys = encode(&keys.join(","));
        let path = self.path(&format!("cache?version={}&keys={keys}", encode(version)));
        self.download(&path, CACHE_KEY_HEADER, into).await
    }

    async fn store_cache(
        &self,
        version: &str,
        key: &str,
        archive: &Path,
    ) -> Result<CacheStored, ControlError> {
        let path = self.path(&format!("cache?version={}&key={}", encode(version), encode(key)));
        let headers = [("content-type", "application/octet-stream")];
        match self.upload::<serde_json::Value>(Method::PUT, &path, &headers, archive).await {
            Ok(_) => Ok(CacheStored::Stored),
            Err(ControlError::Refused { code: ErrorCode::Conflict, .. }) => Ok(CacheStored::Exists),
            Err(e) => Err(e),
        }
    }

    async fn build_image(&self, build: &BuildImage, tar: &Path) -> Result<BuiltImage, ControlError> {
        let json = serde_json::to_string(build).expect("wire types serialise to JSON");
        // A header holds visible ASCII: everything else in the JSON goes as its \u escape.
        let headers = [("content-type", "application/x-tar"), (BUILD_HEADER, &*ascii(&json))];
        self.upload(Method::POST, &self.path("images"), &headers, tar).await
    }

    async fn start_deployment(
        &self,
        images: BTreeMap<String, String>,
    ) -> Result<DeploymentView, ControlError> {
        self.post("deployments", &StartDeployment { images }).await
    }

    async fn deployment(&self, id: &str) -> Result<DeploymentView, ControlError> {
        self.get(&format!("deployments/{}", encode(id))).await
    }
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ControlError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(from_client),
        Err(_) => Err(ControlError::Unavailable(format!("no answer within {} seconds", limit.as_secs()))),
    }
}

fn from_client(error: ClientError) -> ControlError {
    match error {
        ClientError::Refused(problem)
            if !matches!(
                problem.code,
                ErrorCode::Unavailable | ErrorCode::Internal | ErrorCode::StorageFull
            ) =>
        {
            ControlError::Refused { code: problem.code, detail: problem.detail }
        }
        // A refusal without a reason is one all the same: to repeat the call would be refused again.
        ClientError::Answer { why, .. } if why.starts_with("HTTP status 4") => ControlError::Refused {
            code: ErrorCode::Invalid,
            detail: format!("control refused the call: {why}"),
        },
        // A proxy's page, a half answer, a full disk: control is not well, and may be soon.
        other => ControlError::Unavailable(other.to_string()),
    }
}

fn empty() -> RequestBody {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// Percent-encoding of all but the unreserved characters (RFC 3986, section 2.3).
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut units = [0u16; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_travel_encoded() {
        assert_eq!(encode("a b/ü?&="), "a%20b%2F%C3%BC%3F%26%3D");
        let text = "\"grün 🚀\"";
        let sent = ascii(text);
        assert!(sent.is_ascii());
        assert_eq!(serde_json::from_str::<String>(&sent).unwrap(), "grün 🚀");
    }
}
