//! Answers: JSON, also when something is wrong. What failed inside is logged, never told.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::{StoreError, event};

/// A request that did not succeed.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    message: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn no_task() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no task with this id")
    }

    pub(crate) fn internal(what: &impl ToString) -> Self {
        event("error", "a request failed", json!({ "error": what.to_string() }));
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "something went wrong here; the request may be tried again",
        )
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, "the database is busy; try again"),
            StoreError::Failed(e) => Self::internal(&e),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = answer(self.status, &json!({ "error": self.message }));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// A JSON answer.
pub(crate) fn answer(status: StatusCode, value: &Value) -> Response {
    text(status, "application/json", value.to_string())
}

/// Any text.
pub(crate) fn text(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
