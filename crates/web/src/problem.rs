//! A [`Problem`] as an HTTP answer (RFC 9457), and axum's own refusals turned into problems, so that a program
//! meets one shape of error whatever went wrong.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use windlass_api::{ErrorCode, Problem};

/// A problem that answers a request to the API.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) Problem);

/// What a handler of the API gives.
pub(crate) type Reply<T> = Result<T, Refusal>;

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if self.0.code == ErrorCode::Internal {
            tracing::error!(detail = %self.0.detail, "a request failed inside Windlass");
        }
        with_status(status(&self.0), &self.0)
    }
}

/// The HTTP status of a problem.
pub(crate) fn status(problem: &Problem) -> StatusCode {
    StatusCode::from_u16(problem.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A problem under a status of its own (405, for which there is no code).
pub(crate) fn with_status(status: StatusCode, problem: &Problem) -> Response {
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"windlass\""));
    }
    response
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        let text = rejection.body_text();
        Self(match rejection {
            JsonRejection::MissingJsonContentType(_) => {
                Problem::invalid("the body must be JSON, sent with `content-type: application/json`")
            }
            _ if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Problem::new(ErrorCode::TooLarge, text)
            }
            _ => Problem::invalid(text),
        })
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Self(Problem::invalid(rejection.body_text()))
    }
}

impl From<PathRejection> for Refusal {
    fn from(rejection: PathRejection) -> Self {
        Self(Problem::invalid(rejection.body_text()))
    }
}
