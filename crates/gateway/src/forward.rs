//! What changes in a message on its way through: hop-by-hop fields go (RFC 9110, section 7.6.1), who asked is
//! written in, and every request gets an id. Pure.

use std::net::IpAddr;

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Version};

/// The header that carries a request's id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A request that cannot be taken: the status, and what to say.
pub(crate) type Refusal = (StatusCode, &'static str);

/// The host that a request is for, without its port. Exactly one must be named (RFC 9112, section 3.2).
pub(crate) fn host<B>(request: &Request<B>) -> Result<String, Refusal> {
    const BAD: Refusal = (StatusCode::BAD_REQUEST, "the request must name exactly one valid host");
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let named = hosts.next();
    if hosts.next().is_some() {
        return Err(BAD);
    }
    let authority = match (request.uri().authority(), named) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(value)) => value.to_str().map_err(|_| BAD)?,
        (None, None) => return Err(BAD),
    };
    if authority.contains('@') {
        return Err(BAD);
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            if !port.bytes().all(|b| b.is_ascii_digit()) {
                return Err(BAD);
            }
            host
        }
        _ => authority,
    };
    if host.is_empty() { Err(BAD) } else { Ok(host.trim_end_matches('.').to_ascii_lowercase()) }
}

/// Refuses what two parsers could read differently.
pub(crate) fn check_framing<B>(request: &Request<B>) -> Result<(), Refusal> {
    const BAD: Refusal = (StatusCode::BAD_REQUEST, "the length of the request is ambiguous");
    let headers = request.headers();
    let lengths = headers.get_all(header::CONTENT_LENGTH).iter().count();
    let encodings: Vec<_> = headers.get_all(header::TRANSFER_ENCODING).iter().collect();
    if lengths > 1 || encodings.len() > 1 || (lengths == 1 && !encodings.is_empty()) {
        return Err(BAD);
    }
    if let Some(encoding) = encodings.first() {
        if request.version() == Version::HTTP_10 || !encoding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(BAD);
        }
    }
    Ok(())
}

/// Whether the request asks to change the protocol (RFC 9110, section 7.8), and to which.
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asked = headers.get_all(header::CONNECTION).iter().filter_map(|v| v.to_str().ok());
    let named = asked.flat_map(|v| v.split(',')).any(|v| v.trim().eq_ignore_ascii_case("upgrade"));
    if named { headers.get(header::UPGRADE).cloned() } else { None }
}

/// Removes what belongs to one connection only.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        header::CONNECTION,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        HeaderName::from_static("http2-settings"),
    ] {
        headers.remove(name);
    }
}

/// Writes in who asked, for what, and under which id. What a client wrote there itself is not believed.
pub(crate) fn identify(headers: &mut HeaderMap, client: IpAddr, host: &str, id: &str) {
    headers.remove(header::FORWARDED);
    headers.insert(FORWARDED_FOR, value(&client.to_string()));
    headers.insert(FORWARDED_HOST, value(host));
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    headers.insert(REQUEST_ID, value(id));
}

/// A client's own request id, if it is one that can be kept: up to 128 visible characters.
pub(crate) fn client_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let fit = (1..=128).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(&b));
    fit.then(|| id.to_owned())
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri("/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn a_request_names_exactly_one_host() {
        for (headers, expected) in [
            (&[("host", "A.Localhost:7780")][..], Some("a.localhost")),
            (&[("host", "a.localhost.")], Some("a.localhost")),
            (&[("host", "[::1]:80")], Some("[::1]")),
            (&[("host", "[::1]")], Some("[::1]")),
            (&[], None),
            (&[("host", "a"), ("host", "b")], None),
            (&[("host", "user@a")], None),
            (&[("host", "a:b")], None),
            (&[("host", "")], None),
        ] {
            assert_eq!(host(&request(headers)).ok().as_deref(), expected, "{headers:?}");
        }
    }

    #[test]
    fn ambiguous_lengths_are_refused() {
        for (headers, fine) in [
            (&[("content-length", "3")][..], true),
            (&[("transfer-encoding", "chunked")], true),
            (&[("content-length", "3"), ("content-length", "3")], false),
            (&[("content-length", "3"), ("transfer-encoding", "chunked")], false),
            (&[("transfer-encoding", "gzip, chunked")], false),
            (&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], false),
        ] {
            assert_eq!(check_framing(&request(headers)).is_ok(), fine, "{headers:?}");
        }
    }

    #[test]
    fn hop_by_hop_fields_and_those_that_connection_names_are_removed() {
        let mut request = request(&[
            ("connection", "x-secret, close"),
            ("x-secret", "1"),
            ("te", "trailers"),
            ("x-kept", "1"),
        ]);
        strip_hop_by_hop(request.headers_mut());
        assert_eq!(request.headers().keys().map(|k| k.as_str()).collect::<Vec<_>>(), ["x-kept"]);
    }

    #[test]
    fn what_a_client_says_of_its_origin_is_not_believed() {
        let mut request = request(&[
            ("x-forwarded-for", "6.6.6.6"),
            ("forwarded", "for=6.6.6.6"),
            ("x-request-id", "bad id"),
        ]);
        assert_eq!(client_id(request.headers()), None);
        identify(request.headers_mut(), "127.0.0.1".parse().unwrap(), "a.localhost", "r1");
        assert_eq!(request.headers()["x-forwarded-for"], "127.0.0.1");
        assert!(!request.headers().contains_key("forwarded"));
    }
}
