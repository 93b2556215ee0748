//! Bodies that are streamed, never held in memory: downloads out, uploads in with a limit.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use http_body_util::Limited;
use windlass_api::{ErrorCode, Problem};

use crate::Download;
use crate::problem::Refusal;

/// The largest archive or image context that may be uploaded.
pub(crate) const LARGEST_UPLOAD: u64 = 10 << 30;

/// The largest piece of a log that may be sent at once.
pub(crate) const LARGEST_LOG_PIECE: u64 = 64 << 20;

/// Answers a call that does not exist.
pub(crate) async fn no_such_call(uri: axum::http::Uri) -> Refusal {
    Refusal(Problem::not_found(format!(
        "there is no call {}: /api lists them all, /api/v1/openapi.json describes them",
        uri.path()
    )))
}

/// A download as an answer of a media type, with a file name to save it under unless `inline`.
pub(crate) fn answer(download: Download, media_type: &'static str, inline: bool) -> Response {
    let mut response = download.body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    if let Some(size) = download.size {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    }
    if !inline {
        headers.insert(header::CONTENT_DISPOSITION, attachment(&download.name));
    }
    response
}

/// The media type of an artifact: an archive, unless it is one file as it is.
pub(crate) fn artifact_type(download: &Download) -> &'static str {
    let archive = std::path::Path::new(&download.name).extension().is_some_and(|end| end == "zip");
    if archive { windlass_api::runner::ARTIFACT_TYPE } else { "application/octet-stream" }
}

/// Adds a header whose value comes from outside; left out if it cannot be a header.
pub(crate) fn with_header(mut response: Response, name: &'static str, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
    response
}

/// Limits a body that is streamed in. One that says beforehand that it is too large is refused at once.
pub(crate) fn limited(headers: &HeaderMap, body: Body, limit: u64) -> Result<Body, Refusal> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if let Some(size) = announced.filter(|size| *size > limit) {
        let text = format!("the body has {size} bytes; at most {limit} are taken");
        return Err(Refusal(Problem::new(ErrorCode::TooLarge, text)));
    }
    Ok(Body::new(Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX))))
}

/// `Content-Disposition` as RFC 6266 has it, with the UTF-8 name in the extended form of RFC 8187.
fn attachment(name: &str) -> HeaderValue {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_ ".contains(c) { c } else { '_' }).collect();
    let mut extended = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_".contains(&byte) {
            extended.push(char::from(byte));
        } else {
            extended.push_str(&format!("%{byte:02X}"));
        }
    }
    HeaderValue::from_str(&format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{extended}"))
        .unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_cannot_break_out_of_its_header() {
        let value = attachment("a\"b\r\nx: é.zip");
        assert_eq!(
            value.to_str().unwrap(),
            "attachment; filename=\"a_b__x_ _.zip\"; filename*=UTF-8''a%22b%0D%0Ax%3A%20%C3%A9.zip"
        );
    }

    #[test]
    fn a_body_that_announces_too_much_is_refused() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(11));
        assert!(limited(&headers, Body::empty(), 10).is_err());
        assert!(limited(&headers, Body::empty(), 11).is_ok());
    }
}
