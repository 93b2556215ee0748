//! The cache service's first version, under `/_apis/artifactcache/`: what older clients speak, and what newer ones fall
//! back to when they do not take us for GitHub.

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use windlass_api::Problem;

use super::{FoundCache, Service, caller};
use crate::api::transfer;
use crate::platform::Answer;

/// The largest piece.
const LARGEST_PIECE: u64 = 1 << 30;
const LARGEST: usize = 64 << 10;

pub(super) fn routes() -> Router<Service> {
    Router::new()
        .route("/_apis/artifactcache/cache", get(find))
        .route("/_apis/artifactcache/caches", get(list).post(reserve))
        .route("/_apis/artifactcache/caches/{number}", patch(piece).post(commit))
        .layer(DefaultBodyLimit::max(LARGEST))
}

fn json_of(status: StatusCode, value: &Value) -> Response {
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (status, json, value.to_string()).into_response()
}

fn reply(answer: Answer<(StatusCode, Value)>) -> Response {
    match answer {
        Ok((StatusCode::NO_CONTENT, _)) => StatusCode::NO_CONTENT.into_response(),
        Ok((status, value)) => json_of(status, &value),
        Err(problem) => json_of(crate::problem::status(&problem), &json!({"message": problem.detail})),
    }
}

#[derive(Deserialize)]
struct Lookup {
    #[serde(default)]
    keys: String,
    #[serde(default)]
    version: String,
}

async fn find(State(results): State<Service>, Query(lookup): Query<Lookup>, headers: HeaderMap) -> Response {
    let answer = async {
        let who = caller(&results, &headers).await?;
        let keys: Vec<String> = lookup.keys.split(',').map(|k| k.trim().to_owned()).collect();
        Ok(match results.find_cache(&who, &keys, &lookup.version).await? {
            Some(found) => {
                let mut value = told(&found);
                value["archiveLocation"] = json!(found.url);
                (StatusCode::OK, value)
            }
            None => (StatusCode::NO_CONTENT, Value::Null),
        })
    };
    reply(answer.await)
}

fn told(entry: &FoundCache) -> Value {
    json!({
        "cacheKey": entry.key,
        "cacheVersion": entry.version,
        "scope": entry.scope,
        "creationTime": entry.created_at.to_string(),
    })
}

#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    key: String,
}

async fn list(
    State(results): State<Service>,
    Query(listing): Query<Listing>,
    headers: HeaderMap,
) -> Response {
    let answer = async {
        let who = caller(&results, &headers).await?;
        let found = results.list_caches(&who, &listing.key).await?;
        let entries: Vec<Value> = found.iter().map(told).collect();
        Ok((StatusCode::OK, json!({"totalCount": entries.len(), "artifactCaches": entries})))
    };
    reply(answer.await)
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Answer<T> {
    serde_json::from_slice(body).map_err(|e| Problem::invalid(format!("the request cannot be read: {e}")))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reserve {
    key: String,
    version: String,
    cache_size: Option<u64>,
}

async fn reserve(State(results): State<Service>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = async {
        let who = caller(&results, &headers).await?;
        let Reserve { key, version, cache_size } = read(&body)?;
        let reserved = results.reserve_cache(&who, &key, &version, cache_size).await?;
        Ok((StatusCode::CREATED, json!({"cacheId": reserved.number})))
    };
    reply(answer.await)
}

async fn piece(
    State(results): State<Service>,
    Path(number): Path<u64>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let who = caller(&results, &headers).await?;
        let range = headers.get(header::CONTENT_RANGE).and_then(|v| range(v.to_str().ok()?));
        let (start, length) = range
            .ok_or_else(|| Problem::invalid("a piece needs a `Content-Range` such as `bytes 0-8388607/*`"))?;
        let body = transfer::limited(&headers, body, length.min(LARGEST_PIECE)).map_err(|e| e.0)?;
        results.put_cache_piece(&who, number, start, body).await?;
        Ok((StatusCode::NO_CONTENT, Value::Null))
    };
    reply(answer.await)
}

/// Where a piece begins and how long it is: `bytes FIRST-LAST/*`.
fn range(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.strip_prefix("bytes ")?.split_once('/')?.0.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    Some((first, last.checked_sub(first)?.checked_add(1)?))
}

#[derive(Deserialize)]
struct Commit {
    size: u64,
}

async fn commit(
    State(results): State<Service>,
    Path(number): Path<u64>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = async {
        let who = caller(&results, &headers).await?;
        let Commit { size } = read(&body)?;
        results.commit_cache(&who, number, size).await?;
        Ok((StatusCode::NO_CONTENT, Value::Null))
    };
    reply(answer.await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_pieces() {
        assert_eq!(range("bytes 0-199/*"), Some((0, 200)));
        assert_eq!(range("bytes 200-200/500"), Some((200, 1)));
        for bad in ["", "bytes 5-4/*", "bytes 0-/*", "0-1/*", "bytes 0-1", "bytes 0-18446744073709551615/*"] {
            assert_eq!(range(bad), None, "{bad}");
        }
    }
}
