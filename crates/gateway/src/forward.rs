//! What changes in a message on its way through: hop-by-hop fields go (RFC 9110, section 7.6.1), who asked is
//! written in, and every request gets an id. Pure.

use std::net::IpAddr;

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version};

/// The header that carries a request's id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Fields by which a proxy says who asked: only ours are believed. All that begin with `x-forwarded-` are, too.
const ORIGIN: [&str; 7] = [
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "x-original-forwarded-for",
    "x-request-id",
];
/// Fields of one connection only, or of a message's framing.
const HOP: [HeaderName; 9] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// A request that cannot be taken: the status, and what to say.
pub(crate) type Refusal = (StatusCode, &'static str);

/// Whom a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The host in lower case, without its port: what routes are looked up by.
    pub(crate) host: String,
    /// The host as the client wrote it, with its port.
    pub(crate) authority: HeaderValue,
}

/// Whom a request is for: the address's host, else the `Host` field's (RFC 9112, section 3.2.2).
pub(crate) fn target<B>(request: &Request<B>) -> Result<Target, Refusal> {
    const BAD: Refusal = (StatusCode::BAD_REQUEST, "the request must name exactly one valid host");
    let authority = match (request.uri().authority(), request.headers().get(header::HOST)) {
        (Some(authority), _) => HeaderValue::from_str(authority.as_str()).map_err(|_| BAD)?,
        (None, Some(value)) => value.clone(),
        (None, None) => return Err(BAD),
    };
    let text = authority.to_str().map_err(|_| BAD)?;
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (text, ""),
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    let inner = name.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let sound = match inner {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    if !sound || port.len() > 5 || !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BAD);
    }
    let host = name.to_ascii_lowercase();
    Ok(Target { host, authority })
}

/// Whether a message asks for, or agrees to, a WebSocket (RFC 6455, section 4.1). No other protocol is changed to:
/// through a tunnel of HTTP/2, requests would pass that the gateway never sees.
pub(crate) fn websocket(headers: &HeaderMap) -> bool {
    let options = headers.get_all(header::CONNECTION).iter().filter_map(|v| v.to_str().ok());
    let named = options.flat_map(|v| v.split(',')).any(|v| v.trim().eq_ignore_ascii_case("upgrade"));
    let protocol = headers.get(header::UPGRADE);
    named && protocol.is_some_and(|p| p.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Whether a request asks for a WebSocket in the way that it may be asked for.
pub(crate) fn asks_websocket<B>(request: &Request<B>) -> bool {
    request.method() == Method::GET && request.version() == Version::HTTP_11 && websocket(request.headers())
}

/// Puts back, after [`strip_hop_by_hop`], what a WebSocket's handshake needs.
pub(crate) fn keep_websocket(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// Removes what belongs to one connection only.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(','))
            .filter_map(|name| name.trim().parse().ok())
            // How long the body is, is no matter of the connection, whatever a sender says.
            .filter(|name| *name != header::CONTENT_LENGTH && *name != header::HOST)
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP {
        headers.remove(name);
    }
}

/// Prepares a request's fields for an instance: strips what was for us, and writes in who asked, for what, and under
/// which id. What a client wrote there itself is not believed.
pub(crate) fn prepare(headers: &mut HeaderMap, client: IpAddr, target: &Target, id: &HeaderValue) {
    let trailers = headers.get_all(header::TE).iter().any(|v| {
        let codings = v.to_str().unwrap_or_default().split(',');
        codings.into_iter().any(|c| c.trim().eq_ignore_ascii_case("trailers"))
    });
    strip_hop_by_hop(headers);
    strip_origin(headers);
    // It is answered here: a body that is passed on has been asked for.
    headers.remove(header::EXPECT);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    let client = HeaderValue::from_str(&client.to_canonical().to_string());
    let client = client.unwrap_or_else(|_| HeaderValue::from_static("unknown"));
    headers.insert(FORWARDED_FOR, client.clone());
    headers.insert(REAL_IP, client);
    headers.insert(FORWARDED_HOST, target.authority.clone());
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    headers.insert(REQUEST_ID, id.clone());
    headers.insert(header::HOST, target.authority.clone());
}

/// Removes what only a proxy may say, from fields and from trailers.
pub(crate) fn strip_origin(headers: &mut HeaderMap) {
    let said: Vec<HeaderName> = headers.keys().filter(|n| is_ours(n.as_str())).cloned().collect();
    for name in said {
        headers.remove(name);
    }
}

/// Whether only we may write a field of this name. Applications that read fields through CGI-like variables take
/// `X_Forwarded_For` for `X-Forwarded-For`; so it counts as the same.
fn is_ours(name: &str) -> bool {
    let is = |name: &str| name.starts_with("x-forwarded-") || ORIGIN.contains(&name);
    if !name.contains('_') {
        return is(name);
    }
    let name = name.replace('_', "-");
    is(&name) || name == "content-length" || name == "host" || HOP.iter().any(|h| h.as_str() == name)
}

/// A client's own request id, if it is one that can be kept: up to 128 plain characters.
pub(crate) fn client_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(REQUEST_ID)?;
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(b);
    ((1..=128).contains(&id.len()) && id.as_bytes().iter().all(plain)).then(|| id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn a_request_names_a_valid_host() {
        for (uri, headers, expected) in [
            ("/x", &[("host", "A.Localhost:7780")][..], Some("a.localhost")),
            ("/x", &[("host", "a.localhost.")], Some("a.localhost")),
            ("/x", &[("host", "a.localhost.:80")], Some("a.localhost")),
            ("/x", &[("host", "[::1]:80")], Some("[::1]")),
            ("/x", &[("host", "[::1]")], Some("[::1]")),
            ("http://b:1/x", &[("host", "a")], Some("b")),
            ("/x", &[], None),
            ("/x", &[("host", "user@a")], None),
            ("/x", &[("host", "a:b")], None),
            ("/x", &[("host", "a/b")], None),
            ("/x", &[("host", "a b")], None),
            ("/x", &[("host", "a,b")], None),
            ("/x", &[("host", "[x]")], None),
            ("/x", &[("host", "")], None),
            ("/x", &[("host", ":80")], None),
        ] {
            let found = target(&request(uri, headers)).ok().map(|t| t.host);
            assert_eq!(found.as_deref(), expected, "{uri} {headers:?}");
        }
    }

    #[test]
    fn only_websockets_change_the_protocol() {
        for (headers, expected) in [
            (&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")][..], true),
            (&[("connection", "upgrade"), ("upgrade", "h2c")], false),
            (&[("connection", "upgrade"), ("upgrade", "websocket, h2c")], false),
            (&[("connection", "close"), ("upgrade", "websocket")], false),
            (&[("connection", "upgrade")], false),
        ] {
            assert_eq!(asks_websocket(&request("/", headers)), expected, "{headers:?}");
        }
    }

    #[test]
    fn hop_by_hop_fields_and_those_that_connection_names_are_removed() {
        let mut request = request(
            "/",
            &[
                ("connection", "x-secret, close, content-length, host"),
                ("x-secret", "1"),
                ("te", "trailers"),
                ("content-length", "3"),
                ("host", "a"),
                ("x-kept", "1"),
            ],
        );
        strip_hop_by_hop(request.headers_mut());
        let mut kept: Vec<_> = request.headers().keys().map(|k| k.as_str()).collect();
        kept.sort_unstable();
        assert_eq!(kept, ["content-length", "host", "x-kept"]);
    }

    #[test]
    fn what_a_client_says_of_its_origin_is_not_believed() {
        let mut request = request(
            "/",
            &[
                ("host", "a.localhost:80"),
                ("x-forwarded-for", "6.6.6.6"),
                ("X_Forwarded_For", "6.6.6.6"),
                ("x-forwarded-prefix", "/x"),
                ("forwarded", "for=6.6.6.6"),
                ("x-real-ip", "6.6.6.6"),
                ("content_length", "7"),
                ("x-request-id", "bad id"),
                ("api_key", "kept"),
                ("te", "gzip, trailers"),
            ],
        );
        assert_eq!(client_id(request.headers()), None);
        let target = target(&request).unwrap();
        let client = "::ffff:127.0.0.1".parse().unwrap();
        prepare(request.headers_mut(), client, &target, &HeaderValue::from_static("r1"));
        let mut fields: Vec<String> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap_or("?")))
            .collect();
        fields.sort();
        assert_eq!(
            fields,
            [
                "api_key=kept",
                "host=a.localhost:80",
                "te=trailers",
                "x-forwarded-for=127.0.0.1",
                "x-forwarded-host=a.localhost:80",
                "x-forwarded-proto=http",
                "x-real-ip=127.0.0.1",
                "x-request-id=r1",
            ]
        );
    }
}
