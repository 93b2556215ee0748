//! Who a request comes from: the credential it shows, the check against forged requests from other sites, and the
//! session cookie. What the caller may do is decided behind [`Platform`](crate::Platform), not here.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use windlass_api::{ErrorCode, Problem};
use windlass_identity::{Principal, SESSION_LIFE, TokenText};
use windlass_kernel::Secret;

use crate::Credential;
use crate::problem::Refusal;
use crate::state::Web;

/// The name of the session cookie.
pub(crate) const COOKIE: &str = "windlass_session";

/// A caller of the API who is known.
pub(crate) struct Caller {
    /// Who it is.
    pub(crate) who: Principal,
    /// What it showed, so that a long answer can check now and then whether it still holds.
    pub(crate) credential: Credential,
}

impl FromRequestParts<Web> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Refusal> {
        let credential = credential(&parts.headers)?.ok_or_else(nobody)?;
        let by_cookie = matches!(credential, Credential::Session(_));
        if by_cookie && changes_something(&parts.method) && origin(&parts.headers) != Origin::Same {
            return Err(Refusal(forged()));
        }
        let who = web.platform.authenticate(credential.clone()).await?.ok_or_else(unknown)?;
        Ok(Self { who, credential })
    }
}

/// Where a request comes from, as far as the browser tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// One of our own pages, or the address bar.
    Same,
    /// Another site.
    Other,
    /// Nothing was said: an old browser, or a program.
    Unsaid,
}

/// Where a request comes from: `Sec-Fetch-Site` (Fetch Metadata), or `Origin` compared with `Host`.
pub(crate) fn origin(headers: &HeaderMap) -> Origin {
    let text = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return if matches!(site, "same-origin" | "none") { Origin::Same } else { Origin::Other };
    }
    let Some(origin) = text("origin") else { return Origin::Unsaid };
    let host = origin.split_once("://").map(|(_, host)| host);
    if host.is_some() && host == text("host") { Origin::Same } else { Origin::Other }
}

/// Whether a method is one that changes something (RFC 9110, section 9.2.1: the others are safe).
pub(crate) fn changes_something(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The credential that a request shows, if any: the `Authorization` header comes before the cookie.
pub(crate) fn credential(headers: &HeaderMap) -> Result<Option<Credential>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(session(headers).map(Credential::Session));
    };
    let malformed = || {
        Problem::new(
            ErrorCode::Unauthenticated,
            "the Authorization header cannot be read: send `Bearer TOKEN`, or `Basic` with name and token",
        )
    };
    let text = value.to_str().map_err(|_| malformed())?;
    let (scheme, rest) = text.split_once(' ').ok_or_else(malformed)?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token") {
        return Ok(Some(Credential::Bearer(Secret::new(rest.to_owned()))));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    let decoded = STANDARD.decode(rest).map_err(|_| malformed())?;
    let decoded = String::from_utf8(decoded).map_err(|_| malformed())?;
    let (user, password) = decoded.split_once(':').ok_or_else(malformed)?;
    Ok(Some(Credential::Basic(user.to_owned(), Secret::new(password.to_owned()))))
}

/// The session cookie's value.
pub(crate) fn session(headers: &HeaderMap) -> Option<Secret<String>> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == COOKIE && !value.is_empty())
        .map(|(_, value)| Secret::new(value.to_owned()))
}

/// The token that our own forms carry: hangs on the session, so that only a page of that session can know it, and
/// good across restarts.
pub(crate) fn form_token(session: &Secret<String>) -> Option<String> {
    TokenText::parse(session.expose()).ok().map(|text| windlass_identity::csrf_token(&text))
}

/// A `Set-Cookie` value that keeps the session; `None` ends it. `Secure` where the browser came over TLS.
pub(crate) fn set_cookie(value: Option<&Secret<String>>, headers: &HeaderMap) -> Option<HeaderValue> {
    let tls = headers.get("x-forwarded-proto").is_some_and(|v| v.as_bytes() == b"https");
    let secure = if tls { "; Secure" } else { "" };
    let (value, age) = match value {
        Some(value) => (value.expose().as_str(), SESSION_LIFE.as_secs()),
        None => ("", 0),
    };
    let text = format!("{COOKIE}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
    let mut header = HeaderValue::from_str(&text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// The refusal of a request that another site made the browser send.
pub(crate) fn forged() -> Problem {
    Problem::forbidden(
        "this request did not come from a page of Windlass (or the page is from another session): open the page again and repeat it",
    )
}

fn nobody() -> Problem {
    Problem::new(
        ErrorCode::Unauthenticated,
        "sign in first: send `Authorization: Bearer TOKEN` (make a token on the account page, or use the one that `windlass up` keeps for this machine)",
    )
}

fn unknown() -> Problem {
    Problem::new(
        ErrorCode::Unauthenticated,
        "this token or session is not known: it was withdrawn, has expired, or is of another server",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn credentials_are_read_in_every_form() {
        let bearer =
            credential(&headers(&[("authorization", "bearer abc"), ("cookie", "windlass_session=s")]));
        assert!(matches!(bearer, Ok(Some(Credential::Bearer(t))) if t.expose() == "abc"));
        let basic = credential(&headers(&[("authorization", "Basic YW5hOnA6dw==")]));
        assert!(matches!(basic, Ok(Some(Credential::Basic(u, p))) if u == "ana" && p.expose() == "p:w"));
        let cookie = credential(&headers(&[("cookie", "x=1; windlass_session=s; y=2")]));
        assert!(matches!(cookie, Ok(Some(Credential::Session(s))) if s.expose() == "s"));
        assert!(matches!(credential(&headers(&[("cookie", "xwindlass_session=s")])), Ok(None)));
        for bad in ["Basic", "Basic !!", "Basic YW5h", "Digest x", "Bearer"] {
            assert!(credential(&headers(&[("authorization", bad)])).is_err(), "{bad}");
        }
    }

    #[test]
    fn origins_are_told_apart() {
        let cases: &[(&[(&str, &str)], Origin)] = &[
            (&[("sec-fetch-site", "same-origin")], Origin::Same),
            (&[("sec-fetch-site", "none")], Origin::Same),
            (&[("sec-fetch-site", "same-site")], Origin::Other),
            (&[("sec-fetch-site", "cross-site"), ("origin", "http://a:1"), ("host", "a:1")], Origin::Other),
            (&[("origin", "http://a:1"), ("host", "a:1")], Origin::Same),
            (&[("origin", "http://a:2"), ("host", "a:1")], Origin::Other),
            (&[("origin", "null"), ("host", "a:1")], Origin::Other),
            (&[("host", "a:1")], Origin::Unsaid),
        ];
        for (pairs, expected) in cases {
            let map: HeaderMap = pairs
                .iter()
                .map(|(n, v)| (n.parse::<http::HeaderName>().unwrap(), v.parse().unwrap()))
                .collect();
            assert_eq!(origin(&map), *expected, "{pairs:?}");
        }
    }

    #[test]
    fn the_cookie_is_kept_from_scripts_and_secure_only_over_tls() {
        let value = Secret::new("s".to_owned());
        let plain = set_cookie(Some(&value), &headers(&[])).unwrap();
        let plain = plain.to_str().unwrap();
        assert!(
            plain.contains("HttpOnly") && plain.contains("SameSite=Lax") && !plain.contains("Secure"),
            "{plain}"
        );
        let tls = set_cookie(Some(&value), &headers(&[("x-forwarded-proto", "https")])).unwrap();
        assert!(tls.to_str().unwrap().contains("Secure"));
        assert!(set_cookie(Some(&Secret::new("a\nb".into())), &headers(&[])).is_none());
    }
}
