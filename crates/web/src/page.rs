//! What all pages share: who looks at them, the frame around them, forms that only our own pages can send, errors.

use std::collections::HashMap;

use askama::Template;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use windlass_api::{ErrorCode, Me, Problem};
use windlass_identity::{Principal, constant_time_eq};
use windlass_kernel::{Secret, Timestamp};

use crate::auth::{self, Origin};
use crate::pages::assets;
use crate::state::Web;
use crate::{Credential, problem, view};

/// What a page's handler gives.
pub(crate) type Shown = Result<Response, PageError>;

/// Somebody who looks at a page and is known.
pub(crate) struct Visitor {
    /// Who it is.
    pub(crate) who: Principal,
    /// The same in words.
    pub(crate) me: Me,
    /// The present, one moment for the whole page.
    pub(crate) now: Timestamp,
    /// The token for this page's forms; empty where the visitor came without a session.
    token: String,
    session: Option<Secret<String>>,
}

/// The frame around a page.
pub(crate) struct Chrome {
    /// The page's title.
    pub(crate) title: String,
    /// The part of the navigation that it belongs to.
    pub(crate) section: &'static str,
    /// The visitor's name; empty if nobody is signed in.
    pub(crate) user: String,
    /// The token for forms.
    pub(crate) token: String,
    /// The present.
    pub(crate) now: Timestamp,
    /// What the page follows: a project's name, `*` for everything, empty for nothing.
    pub(crate) follows: String,
    /// How often the page's figures are fetched again, in seconds; 0 for only on events.
    pub(crate) every: u32,
}

/// A form sent by one of our own pages.
pub(crate) struct Posted {
    /// Who sent it.
    pub(crate) visitor: Visitor,
    fields: HashMap<String, String>,
}

/// A page that could not be shown.
#[derive(Debug)]
pub(crate) struct PageError(pub(crate) Problem);

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    chrome: Chrome,
    status: u16,
    heading: &'static str,
    detail: String,
}

impl Visitor {
    /// The frame for one of this visitor's pages.
    pub(crate) fn chrome(&self, title: impl Into<String>, section: &'static str) -> Chrome {
        let user = view::person(&self.me.actor).to_owned();
        let token = self.token.clone();
        Chrome { title: title.into(), section, user, token, now: self.now, follows: String::new(), every: 0 }
    }

    /// The visitor's session, if that is what they came with.
    pub(crate) fn session(&self) -> Option<&Secret<String>> {
        self.session.as_ref()
    }
}

impl Chrome {
    /// The frame for a page that is shown to anybody.
    pub(crate) fn bare(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            section: "",
            user: String::new(),
            token: String::new(),
            now: Timestamp::default(),
            follows: String::new(),
            every: 0,
        }
    }

    /// Lets the page follow the ledger.
    pub(crate) fn live(mut self, follows: &str, every: u32) -> Self {
        follows.clone_into(&mut self.follows);
        self.every = every;
        self
    }
}

impl Posted {
    /// A field, trimmed; empty if it was not sent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// A field as it was sent.
    pub(crate) fn raw(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// The fields whose name begins with a prefix: the rest of the name, and the value.
    pub(crate) fn prefixed<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let fields = self.fields.iter();
        fields.filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }

    /// A field, or nothing where it is empty.
    pub(crate) fn optional(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|t| !t.is_empty()).map(str::to_owned)
    }

    /// Where to go afterwards: the field `back` if it is a page of ours, else `fallback`.
    pub(crate) fn back(&self, fallback: &str) -> Response {
        let wanted = Some(self.text("back")).filter(|b| is_our_page(b));
        Redirect::to(wanted.unwrap_or(fallback)).into_response()
    }
}

/// Whether an address is one of our own pages (and not `//elsewhere`).
pub(crate) fn is_our_page(address: &str) -> bool {
    address.starts_with('/') && !address.starts_with("//") && !address.contains(['\\', '\r', '\n', '\t'])
}

impl FromRequestParts<Web> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Response> {
        let refuse = |problem: Problem| PageError(problem).into_response();
        let Some(credential) = auth::credential(&parts.headers).map_err(refuse)? else {
            return Err(to_sign_in(&parts.uri));
        };
        let session = match &credential {
            Credential::Session(value) => Some(value.clone()),
            _ => None,
        };
        let known = web.platform.authenticate(credential).await.map_err(refuse)?;
        let Some(who) = known else { return Err(to_sign_in(&parts.uri)) };
        let me = web.platform.me(&who).await.map_err(refuse)?;
        let token = session.as_ref().and_then(auth::form_token).unwrap_or_default();
        Ok(Self { who, me, now: web.clock.now(), token, session })
    }
}

impl FromRequest<Web> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, web: &Web) -> Result<Self, Response> {
        let refuse = |problem: Problem| PageError(problem).into_response();
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, web).await?;
        let origin = auth::origin(&parts.headers);
        let fields = fields(Request::from_parts(parts, body), web).await.map_err(refuse)?;
        let sent = fields.get("token").map_or("", String::as_str);
        let fits = !sent.is_empty() && constant_time_eq(sent.as_bytes(), visitor.token.as_bytes());
        if visitor.session.is_some() && (origin == Origin::Other || !fits) {
            return Err(refuse(auth::forged()));
        }
        Ok(Self { visitor, fields })
    }
}

/// The fields of a form that anybody may send (signing in), if another site did not make the browser send it.
pub(crate) async fn open_form(request: Request, web: &Web) -> Result<HashMap<String, String>, Problem> {
    if auth::origin(request.headers()) == Origin::Other {
        return Err(auth::forged());
    }
    fields(request, web).await
}

async fn fields(request: Request, web: &Web) -> Result<HashMap<String, String>, Problem> {
    match axum::Form::<HashMap<String, String>>::from_request(request, web).await {
        Ok(axum::Form(fields)) => Ok(fields),
        Err(rejection) => Err(Problem::invalid(rejection.body_text())),
    }
}

fn to_sign_in(uri: &Uri) -> Response {
    let wanted = uri.path_and_query().map_or("/", |p| p.as_str());
    let address =
        if wanted == "/" { "/sign-in".to_owned() } else { format!("/sign-in?next={}", view::encode(wanted)) };
    Redirect::to(&address).into_response()
}

/// A template as an answer.
pub(crate) fn show(page: &impl Template) -> Shown {
    match page.render() {
        Ok(html) => Ok(Html(html).into_response()),
        Err(e) => {
            Err(PageError(Problem::new(ErrorCode::Internal, format!("the page could not be made: {e}"))))
        }
    }
}

impl From<Problem> for PageError {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let status = problem::status(&self.0);
        if self.0.code == ErrorCode::Internal {
            tracing::error!(detail = %self.0.detail, "a page failed inside Windlass");
        }
        let heading = match self.0.code {
            ErrorCode::Invalid => "That cannot be done as asked",
            ErrorCode::Unauthenticated => "Sign in first",
            ErrorCode::Forbidden => "You may not do that",
            ErrorCode::NotFound => "There is nothing here",
            ErrorCode::Conflict => "Not in this state",
            ErrorCode::TooLarge => "Too large",
            ErrorCode::StorageFull => "The disk is full",
            ErrorCode::Unavailable => "Not now",
            ErrorCode::Internal => "Something broke inside Windlass",
        };
        let page = ErrorPage {
            chrome: Chrome::bare(heading),
            status: status.as_u16(),
            heading,
            detail: self.0.detail,
        };
        match page.render() {
            Ok(html) => (status, Html(html)).into_response(),
            Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, page.detail).into_response(),
        }
    }
}

/// Answers an address that does not exist: a problem for programs, a page for people.
pub(crate) async fn nothing_here(headers: HeaderMap, uri: Uri) -> Response {
    let wants_page =
        headers.get(header::ACCEPT).is_some_and(|v| v.to_str().is_ok_and(|v| v.contains("text/html")));
    let problem = Problem::not_found(format!("no page has the address {}", uri.path()));
    if wants_page { PageError(problem).into_response() } else { problem::Refusal(problem).into_response() }
}

/// Answers a method that an address does not know. (axum adds `Allow`.)
pub(crate) async fn wrong_method(method: Method, uri: Uri) -> Response {
    let problem = Problem::invalid(format!("{} cannot be called with {method}", uri.path()));
    problem::with_status(StatusCode::METHOD_NOT_ALLOWED, &problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_are_gone_back_to() {
        for good in ["/", "/runs/x?y=1", "/projects/a#b"] {
            assert!(is_our_page(good), "{good}");
        }
        for bad in
            ["", "https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x", "/a\r\nx: y"]
        {
            assert!(!is_our_page(bad), "{bad}");
        }
    }
}
