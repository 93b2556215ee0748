//! `ArtifactService` and `CacheService`: Twirp calls with JSON bodies (protocol version 7).
//!
//! The clients send the names of fields as the protocol buffers have them, leave out what is empty, and write 64-bit
//! numbers as texts.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use windlass_api::{ErrorCode, Problem};
use windlass_identity::Principal;

use super::{BackendIds, NewArtifact, Service, StoredArtifact, caller};
use crate::platform::Answer;

const ARTIFACTS: &str = "github.actions.results.api.v1.ArtifactService";
const CACHES: &str = "github.actions.results.api.v1.CacheService";
/// The largest request: names and keys only.
const LARGEST: usize = 256 << 10;

pub(super) fn routes() -> Router<Service> {
    Router::new().route("/twirp/{service}/{method}", post(call)).layer(DefaultBodyLimit::max(LARGEST))
}

async fn call(
    State(results): State<Service>,
    Path((service, method)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let json =
        headers.get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"application/json"));
    if !json {
        return refusal(&Problem::invalid("only JSON is spoken here: send `content-type: application/json`"));
    }
    let answer = async {
        let who = caller(&results, &headers).await?;
        match service.as_str() {
            ARTIFACTS => artifacts(&results, &who, &method, &body).await,
            CACHES => caches(&results, &who, &method, &body).await,
            _ => Err(no_such_call(&service, &method)),
        }
    };
    match answer.await {
        Ok(value) => reply(StatusCode::OK, &value),
        Err(problem) => refusal(&problem),
    }
}

fn no_such_call(service: &str, method: &str) -> Problem {
    Problem::not_found(format!("there is no call {service}/{method}"))
}

fn reply(status: StatusCode, value: &Value) -> Response {
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (status, json, value.to_string()).into_response()
}

/// An error as Twirp has it: a code word and a message.
fn refusal(problem: &Problem) -> Response {
    let code = match problem.code {
        ErrorCode::Invalid => "invalid_argument",
        ErrorCode::Unauthenticated => "unauthenticated",
        ErrorCode::Forbidden => "permission_denied",
        ErrorCode::NotFound => "not_found",
        ErrorCode::Conflict => "already_exists",
        ErrorCode::TooLarge | ErrorCode::StorageFull => "resource_exhausted",
        ErrorCode::Unavailable => "unavailable",
        ErrorCode::Internal => "internal",
    };
    let status = crate::problem::status(problem);
    reply(status, &json!({"code": code, "msg": problem.detail}))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Answer<T> {
    serde_json::from_slice(body).map_err(|e| Problem::invalid(format!("the request cannot be read: {e}")))
}

/// A 64-bit number: a text, as the encoding of protocol buffers in JSON has it, or a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Number(u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Text(String),
            Number(u64),
        }
        match Either::deserialize(deserializer)? {
            Either::Number(number) => Ok(Self(number)),
            Either::Text(text) => text
                .parse()
                .map(Self)
                .map_err(|_| serde::de::Error::custom(format!("`{text}` is not a number from 0 on"))),
        }
    }
}

#[derive(Deserialize)]
struct Ids {
    #[serde(default, alias = "workflowRunBackendId")]
    workflow_run_backend_id: String,
    #[serde(default, alias = "workflowJobRunBackendId")]
    workflow_job_run_backend_id: String,
}

impl Ids {
    fn backend(self) -> BackendIds {
        BackendIds { run: self.workflow_run_backend_id, job: self.workflow_job_run_backend_id }
    }
}

#[derive(Deserialize)]
struct Create {
    #[serde(flatten)]
    ids: Ids,
    #[serde(default)]
    name: String,
    #[serde(default, alias = "mimeType")]
    mime_type: Option<String>,
    #[serde(default, alias = "expiresAt")]
    expires_at: Option<String>,
    #[serde(default)]
    version: u32,
}

#[derive(Deserialize)]
struct Finalize {
    #[serde(flatten)]
    ids: Ids,
    #[serde(default)]
    name: String,
    #[serde(default)]
    size: Number,
    #[serde(default)]
    hash: Option<String>,
}

#[derive(Deserialize)]
struct List {
    #[serde(flatten)]
    ids: Ids,
    #[serde(default, alias = "nameFilter")]
    name_filter: Option<String>,
    #[serde(default, alias = "idFilter")]
    id_filter: Option<Number>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(flatten)]
    ids: Ids,
    #[serde(default)]
    name: String,
}

/// The oldest protocol of artifacts that is spoken here, by the number that clients send.
const OLDEST_VERSION: u32 = 4;

async fn artifacts(results: &Service, who: &Principal, method: &str, body: &[u8]) -> Answer<Value> {
    match method {
        "CreateArtifact" => {
            let Create { ids, name, mime_type, expires_at, version } = read(body)?;
            if version < OLDEST_VERSION {
                return Err(Problem::invalid(format!(
                    "artifacts of version {version} are not kept here: use version 4 or newer of the action"
                )));
            }
            let new = NewArtifact { name, media_type: mime_type, expires_at };
            let url = results.create_artifact(who, &ids.backend(), new).await?;
            Ok(json!({"ok": true, "signed_upload_url": url}))
        }
        "FinalizeArtifact" => {
            let Finalize { ids, name, size, hash } = read(body)?;
            let number =
                results.finalize_artifact(who, &ids.backend(), &name, size.0, hash.as_deref()).await?;
            Ok(json!({"ok": true, "artifact_id": number.to_string()}))
        }
        "ListArtifacts" => {
            let List { ids, name_filter, id_filter } = read(body)?;
            let number = id_filter.map(|n| n.0);
            let found = results.list_artifacts(who, &ids.backend(), name_filter.as_deref(), number).await?;
            Ok(json!({"artifacts": found.iter().map(listed).collect::<Vec<_>>()}))
        }
        "GetSignedArtifactURL" => {
            let Named { ids, name } = read(body)?;
            Ok(json!({"signed_url": results.artifact_url(who, &ids.backend(), &name).await?}))
        }
        "DeleteArtifact" => {
            let Named { ids, name } = read(body)?;
            let number = results.delete_artifact(who, &ids.backend(), &name).await?;
            Ok(json!({"ok": true, "artifact_id": number.to_string()}))
        }
        _ => Err(no_such_call(ARTIFACTS, method)),
    }
}

fn listed(artifact: &StoredArtifact) -> Value {
    json!({
        "workflow_run_backend_id": artifact.run,
        "database_id": artifact.number.to_string(),
        "name": artifact.name,
        "size": artifact.size.to_string(),
        "created_at": artifact.created_at.to_string(),
        "digest": artifact.digest,
    })
}

#[derive(Deserialize)]
struct CacheEntry {
    #[serde(default)]
    key: String,
    #[serde(default)]
    version: String,
    #[serde(default, alias = "sizeBytes")]
    size_bytes: Number,
}

#[derive(Deserialize)]
struct CacheLookup {
    #[serde(default)]
    key: String,
    #[serde(default, alias = "restoreKeys")]
    restore_keys: Vec<String>,
    #[serde(default)]
    version: String,
}

async fn caches(results: &Service, who: &Principal, method: &str, body: &[u8]) -> Answer<Value> {
    match method {
        "CreateCacheEntry" => {
            let CacheEntry { key, version, .. } = read(body)?;
            match results.reserve_cache(who, &key, &version, None).await {
                Ok(reserved) => Ok(json!({"ok": true, "signed_upload_url": reserved.url})),
                // The client shows this message and goes on; it would show no other error's.
                Err(p) if p.code == ErrorCode::Forbidden => Ok(json!({"ok": false, "message": p.detail})),
                Err(p) => Err(p),
            }
        }
        "FinalizeCacheEntryUpload" => {
            let CacheEntry { key, version, size_bytes } = read(body)?;
            match results.finalize_cache(who, &key, &version, size_bytes.0).await {
                Ok(number) => Ok(json!({"ok": true, "entry_id": number.to_string()})),
                Err(p) if p.code.status() < 500 => Ok(json!({"ok": false, "message": p.detail})),
                Err(p) => Err(p),
            }
        }
        "GetCacheEntryDownloadURL" => {
            let CacheLookup { key, restore_keys, version } = read(body)?;
            let keys: Vec<String> = std::iter::once(key).chain(restore_keys).collect();
            Ok(match results.find_cache(who, &keys, &version).await? {
                Some(found) => {
                    json!({"ok": true, "signed_download_url": found.url, "matched_key": found.key})
                }
                None => json!({"ok": false}),
            })
        }
        _ => Err(no_such_call(CACHES, method)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_in_both_spellings_with_what_is_empty_left_out() {
        let new: Create = read(
            br#"{"workflow_run_backend_id":"r","workflow_job_run_backend_id":"j","name":"n","version":7,"mime_type":"text/plain"}"#,
        )
        .unwrap();
        assert_eq!((new.name.as_str(), new.version, new.mime_type.as_deref()), ("n", 7, Some("text/plain")));
        assert_eq!(new.ids.backend(), BackendIds { run: "r".into(), job: "j".into() });
        let list: List = read(br#"{"workflowRunBackendId":"r","idFilter":"12","unknown":[1]}"#).unwrap();
        assert_eq!((list.id_filter, list.name_filter), (Some(Number(12)), None));
        let end: Finalize = read(br#"{"name":"n","size":"5000000000"}"#).unwrap();
        assert_eq!(end.size.0, 5_000_000_000);
        assert!(read::<Finalize>(br#"{"size":"-1"}"#).is_err());
        assert!(read::<Finalize>(b"[").is_err());
        let lookup: CacheLookup = read(br#"{"key":"k","restore_keys":["a","b"],"version":"v"}"#).unwrap();
        assert_eq!(lookup.restore_keys, ["a", "b"]);
    }
}
