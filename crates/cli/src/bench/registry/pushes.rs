//! Pushes by a client of this program, over connections that stay open: what skopeo does between its requests is not in
//! these figures.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::{Method, StatusCode, header};
use serde_json::Value;
use windlass_kernel::Secret;

use super::client::Client;

/// How many connections push at a time.
const CONNECTIONS: usize = 8;

/// Pushes images of a layout, one after the other, each image's blobs over several connections.
pub(super) async fn images(
    host: &str,
    token: Option<&Secret<String>>,
    layout: &Path,
    repository: &str,
) -> Result<()> {
    let index: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json"))?)?;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::log_in(host, token, repository, "pull,push").await?);
    }
    for entry in index["manifests"].as_array().context("the layout has no images")? {
        let tag = entry["annotations"]["org.opencontainers.image.ref.name"].as_str().context("no tag")?;
        let bytes = blob(layout, entry)?;
        let manifest: Value = serde_json::from_slice(&bytes)?;
        let layers = manifest["layers"].as_array().context("the manifest names no layers")?;
        let mut work: Vec<Vec<(String, Bytes)>> = vec![Vec::new(); CONNECTIONS];
        for (n, part) in layers.iter().chain([&manifest["config"]]).enumerate() {
            let digest = part["digest"].as_str().context("no digest")?;
            work[n % CONNECTIONS].push((digest.to_owned(), blob(layout, part)?));
        }
        let sending = clients.drain(..).zip(work).map(|(mut client, blobs)| {
            let repository = repository.to_owned();
            tokio::spawn(async move {
                for (digest, bytes) in blobs {
                    push(&mut client, &repository, &digest, bytes).await?;
                }
                anyhow::Ok(client)
            })
        });
        for sent in sending.collect::<Vec<_>>() {
            clients.push(sent.await??);
        }
        let path = format!("/v2/{repository}/manifests/{tag}");
        let media_type = manifest["mediaType"].as_str().context("no media type")?;
        let headers = [(header::CONTENT_TYPE, media_type)];
        let client = clients.first_mut().context("there are no connections")?;
        client.send(Method::PUT, &path, &headers, bytes, StatusCode::CREATED).await?;
    }
    Ok(())
}

fn blob(layout: &Path, part: &Value) -> Result<Bytes> {
    let digest = part["digest"].as_str().context("no digest")?;
    Ok(std::fs::read(layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:")))?.into())
}

/// As skopeo does it: asks for the blob, begins an upload, sends the bytes, names the digest.
async fn push(client: &mut Client, repository: &str, digest: &str, bytes: Bytes) -> Result<()> {
    let there = format!("/v2/{repository}/blobs/{digest}");
    client.send(Method::HEAD, &there, &[], Bytes::new(), StatusCode::NOT_FOUND).await?;
    let begin = format!("/v2/{repository}/blobs/uploads/");
    let upload = client.send(Method::POST, &begin, &[], Bytes::new(), StatusCode::ACCEPTED).await?;
    let upload = client.send(Method::PATCH, &place(&upload)?, &[], bytes, StatusCode::ACCEPTED).await?;
    let place = place(&upload)?;
    let between = if place.contains('?') { '&' } else { '?' };
    let end = format!("{place}{between}digest={digest}");
    client.send(Method::PUT, &end, &[], Bytes::new(), StatusCode::CREATED).await?;
    Ok(())
}

/// The path that an answer names; some registries name their host, too.
fn place(headers: &http::HeaderMap) -> Result<String> {
    let place = headers.get(header::LOCATION).context("no place for an upload came")?.to_str()?;
    match place.parse::<http::Uri>()?.path_and_query() {
        Some(path) => Ok(path.to_string()),
        None => bail!("`{place}` is no place for an upload"),
    }
}
