//! The answers that the gateway gives itself: short, honest, without a word about what is inside.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

/// An answer of the gateway's own: HTML for a browser, text for others.
pub(crate) fn page(
    status: StatusCode,
    accept: Option<&HeaderValue>,
    said: &str,
    id: &str,
) -> Response<Bytes> {
    let html = accept.and_then(|a| a.to_str().ok()).is_some_and(|a| a.contains("text/html"));
    let title = status.canonical_reason().unwrap_or("Error");
    let (kind, text) = if html {
        let code = status.as_u16();
        let text = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
             <title>{code} {title}</title><style>:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,sans-serif;\
             margin:15vh auto;max-width:34rem;padding:0 1rem}}h1{{font-size:1.4rem}}code{{opacity:.7}}</style>\
             <h1>{code} {title}</h1><p>{}</p><p><code>request {}</code></p></html>",
            escape(said),
            escape(id)
        );
        ("text/html; charset=utf-8", text)
    } else {
        ("text/plain; charset=utf-8", format!("{} {title}: {said}\nrequest {id}\n", status.as_u16()))
    };
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
