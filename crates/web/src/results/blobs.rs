//! Uploads and downloads by signed addresses, in the form of Azure's block blobs ("Put Block", "Put Block List",
//! "Put Blob", "Get Blob"): what the client libraries send bytes with.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use serde::Deserialize;
use windlass_api::{ErrorCode, Problem};

use super::{DOWNLOADS, Service, Signature, UPLOADS};
use crate::api::transfer;
use crate::platform::Answer;

/// The largest block, and the largest content that comes whole.
const LARGEST_BLOCK: u64 = 4 << 30;
/// The largest list of blocks.
const LARGEST_LIST: usize = 8 << 20;
/// The most blocks of an upload (as Azure has it).
const MOST_BLOCKS: usize = 50_000;
/// The longest name of a block (64 bytes before base64).
const LONGEST_BLOCK_ID: usize = 88;

pub(super) fn routes() -> Router<Service> {
    Router::new()
        .route(&format!("{UPLOADS}/{{number}}"), put(upload))
        .route(&format!("{DOWNLOADS}/{{kind}}/{{id}}"), get(download))
}

#[derive(Deserialize)]
struct Part {
    comp: Option<String>,
    blockid: Option<String>,
    #[serde(flatten)]
    signature: Parameters,
}

/// A signature's parameters. As texts: numbers do not survive being flattened.
#[derive(Deserialize)]
struct Parameters {
    #[serde(default)]
    se: String,
    #[serde(default)]
    sig: String,
}

impl Parameters {
    fn read(self) -> Answer<Signature> {
        let ends = self.se.parse().map_err(|_| Problem::forbidden("this address is not signed"))?;
        Ok(Signature { ends, proof: self.sig })
    }
}

async fn upload(
    State(results): State<Service>,
    Path(number): Path<u64>,
    Query(part): Query<Part>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let put = async {
        let by = part.signature.read()?;
        match part.comp.as_deref() {
            Some("block") => {
                let block = part.blockid.filter(|id| (1..=LONGEST_BLOCK_ID).contains(&id.len()));
                let block = block.ok_or_else(|| Problem::invalid("a block needs its `blockid`"))?;
                let body = transfer::limited(&headers, body, LARGEST_BLOCK).map_err(|e| e.0)?;
                results.put_block(number, &by, &block, body).await
            }
            Some("blocklist") => {
                let text = to_bytes(body, LARGEST_LIST).await.map_err(|_| {
                    Problem::new(ErrorCode::TooLarge, "the list of blocks cannot be read, or is too long")
                })?;
                results.put_block_list(number, &by, block_ids(&text)?).await
            }
            None => {
                let body = transfer::limited(&headers, body, LARGEST_BLOCK).map_err(|e| e.0)?;
                results.put_whole(number, &by, body).await
            }
            Some(other) => Err(Problem::invalid(format!("there is no operation `comp={other}` here"))),
        }
    };
    match put.await {
        Ok(()) => StatusCode::CREATED.into_response(),
        Err(problem) => refusal(&problem),
    }
}

async fn download(
    State(results): State<Service>,
    Path((kind, id)): Path<(String, String)>,
    Query(signature): Query<Parameters>,
) -> Response {
    let fetched = match signature.read() {
        Ok(by) => results.fetch(&kind, &id, &by).await,
        Err(problem) => Err(problem),
    };
    match fetched {
        Ok((download, media_type)) => {
            let mut response = transfer::answer(download, "application/octet-stream", false);
            // A client unpacks what is a zip archive and keeps anything else as it is.
            if let Ok(value) = HeaderValue::from_str(&media_type) {
                response.headers_mut().insert(header::CONTENT_TYPE, value);
            }
            response
        }
        Err(problem) => refusal(&problem),
    }
}

/// The names in `<BlockList><Latest>…</Latest>…</BlockList>`, in their order. They are base64, which XML has no need to
/// escape; anything else is refused.
fn block_ids(text: &[u8]) -> Answer<Vec<String>> {
    let wrong = || Problem::invalid("the list of blocks is not what `Put Block List` takes");
    let text = std::str::from_utf8(text).map_err(|_| wrong())?;
    let (_, rest) = text.split_once("<BlockList>").ok_or_else(wrong)?;
    let (mut rest, _) = rest.split_once("</BlockList>").ok_or_else(wrong)?;
    let mut ids = Vec::new();
    while let Some(entry) = rest.trim_start().strip_prefix('<') {
        let (tag, entry) = entry.split_once('>').ok_or_else(wrong)?;
        if !matches!(tag, "Latest" | "Uncommitted") {
            return Err(wrong());
        }
        let (id, after) = entry.split_once(&format!("</{tag}>")).ok_or_else(wrong)?;
        let base64 = |b: u8| b.is_ascii_alphanumeric() || b"+/=".contains(&b);
        if id.is_empty() || id.len() > LONGEST_BLOCK_ID || !id.bytes().all(base64) {
            return Err(wrong());
        }
        ids.push(id.to_owned());
        if ids.len() > MOST_BLOCKS {
            return Err(Problem::invalid(format!("an upload has {MOST_BLOCKS} blocks at most")));
        }
        rest = after;
    }
    if rest.trim().is_empty() { Ok(ids) } else { Err(wrong()) }
}

/// An error as Azure's storage has it.
fn refusal(problem: &Problem) -> Response {
    let code = match problem.code {
        ErrorCode::Invalid => "InvalidInput",
        ErrorCode::Unauthenticated | ErrorCode::Forbidden => "AuthenticationFailed",
        ErrorCode::NotFound => "BlobNotFound",
        ErrorCode::Conflict => "BlobAlreadyExists",
        ErrorCode::TooLarge => "RequestBodyTooLarge",
        ErrorCode::StorageFull => "AccountQuotaExceeded",
        ErrorCode::Unavailable => "ServerBusy",
        ErrorCode::Internal => "InternalError",
    };
    let text = problem.detail.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{text}</Message></Error>"
    );
    let headers = [("content-type", "application/xml"), ("x-ms-error-code", code)];
    (crate::problem::status(problem), headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_blocks_are_read_in_order_and_strange_ones_refused() {
        let list = |entries: &str| {
            format!(
                "<?xml version=\"1.0\" encoding=\"utf-8\" standalone=\"yes\"?><BlockList>{entries}</BlockList>"
            )
        };
        let read = |entries: &str| block_ids(list(entries).as_bytes()).ok();
        assert_eq!(read("<Latest>Yg==</Latest>\n<Uncommitted>YQ==</Uncommitted>").unwrap(), ["Yg==", "YQ=="]);
        assert_eq!(read("").unwrap(), Vec::<String>::new());
        for bad in [
            "<Committed>YQ==</Committed>",
            "<Latest></Latest>",
            "<Latest>../x</Latest>",
            "<Latest>YQ==",
            "<Latest>YQ==</Uncommitted>",
            "x",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert!(block_ids(b"").is_err() && block_ids(&[0xff]).is_err());
        assert!(read(&"<Latest>YQ==</Latest>".repeat(MOST_BLOCKS + 1)).is_none());
    }
}
