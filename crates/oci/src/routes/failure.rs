//! Errors as the specification writes them ("Error Codes"): `{"errors":[{"code","message","detail"}]}`.

use std::fmt::Display;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use windlass_kernel::StoreError;

use crate::{BlobError, ManifestError, RegistryError};

/// A request that did not succeed.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Failure {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Display) -> Self {
        Self { status, code, message: message.to_string(), headers: Vec::new() }
    }

    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    pub(super) fn name(error: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "NAME_INVALID", error)
    }

    pub(super) fn digest(error: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", error)
    }

    pub(super) fn reference(error: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", error)
    }

    pub(super) fn upload(error: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", error)
    }

    pub(super) fn unknown_upload(id: &str) -> Self {
        let id: String = id.chars().take(64).collect();
        let message = format!("there is no upload {id}: it ended or was swept; begin a new one");
        Self::new(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", message)
    }

    pub(super) fn unknown_blob(digest: impl Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", format!("this repository holds no blob {digest}"))
    }

    /// A blob that a mirrored registry does not have is an unknown blob.
    pub(super) fn blob(digest: &windlass_kernel::Digest, error: RegistryError) -> Self {
        match error {
            RegistryError::Upstream(error) if error.status() == Some(404) => Self::unknown_blob(digest),
            other => other.into(),
        }
    }

    pub(super) fn unknown_name(name: impl Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", format!("there is no repository {name}"))
    }

    pub(super) fn busy() -> Self {
        let why = "the registry takes in as many uploads as it can at a time: try again in a moment";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", why).header(header::RETRY_AFTER, "2")
    }

    pub(super) fn denied(what: impl Display) -> Self {
        Self::new(StatusCode::FORBIDDEN, "DENIED", what)
    }

    pub(super) fn unauthorized(challenge: &str, why: impl Display) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", why).header(header::WWW_AUTHENTICATE, challenge)
    }

    pub(super) fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "UNSUPPORTED", "there is nothing at this address of the registry")
    }

    pub(super) fn method(method: &Method) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", format!("{method} is not possible here"))
    }

    fn internal(error: impl Display) -> Self {
        tracing::error!(%error, "a registry request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "the registry failed; its log says why")
    }

    fn full(error: impl Display) -> Self {
        tracing::error!(%error, "a registry request failed");
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "SIZE_INVALID", error)
    }
}

impl From<BlobError> for Failure {
    fn from(error: BlobError) -> Self {
        match &error {
            BlobError::UnknownUpload(id) => Self::unknown_upload(id.as_str()),
            BlobError::OutOfOrder { size, .. } => {
                Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", &error)
                    .header(header::RANGE, &super::uploads::kept(*size))
            }
            BlobError::WrongDigest { .. } => Self::digest(error),
            BlobError::Unknown(digest) => Self::unknown_blob(digest),
            BlobError::OutOfRange { size } => {
                Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "SIZE_INVALID", &error)
                    .header(header::CONTENT_RANGE, &format!("bytes */{size}"))
            }
            BlobError::Corrupt { digest, .. } => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "BLOB_UNKNOWN",
                format!("blob {digest} is corrupt in the registry; push the image again to put it right"),
            ),
            BlobError::Full => Self::full(error),
            BlobError::TooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", error),
            BlobError::Interrupted(_) => Self::upload(error),
            BlobError::Stalled { .. } => Self::new(StatusCode::REQUEST_TIMEOUT, "BLOB_UPLOAD_INVALID", error),
            BlobError::Io { .. } | BlobError::Remote { .. } => Self::internal(error),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::full(error),
            StoreError::Conflict { .. } => Self::new(StatusCode::CONFLICT, "UNKNOWN", error),
            StoreError::Corrupt { .. } | StoreError::Backend(_) => Self::internal(error),
        }
    }
}

impl From<ManifestError> for Failure {
    fn from(error: ManifestError) -> Self {
        let status = match error {
            ManifestError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ManifestError::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ManifestError::Malformed { .. } => StatusCode::BAD_REQUEST,
        };
        Self::new(status, "MANIFEST_INVALID", error)
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::UnknownManifest { .. } => {
                Self::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", error)
            }
            RegistryError::MissingContent { .. } => {
                Self::new(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN", error)
            }
            RegistryError::WrongDigest { .. } => Self::digest(error),
            RegistryError::Immutable { .. } | RegistryError::Mirrored(_) => Self::denied(error),
            RegistryError::Computed { .. } => Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", error),
            RegistryError::Upstream(error) => match error.status() {
                Some(404) => Self::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", error),
                Some(429) => Self::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", error),
                _ => Self::new(StatusCode::BAD_GATEWAY, "UNKNOWN", error),
            },
            RegistryError::WrongSize { .. } | RegistryError::NotAnImage { .. } => Self::reference(error),
            RegistryError::Manifest(e) => e.into(),
            RegistryError::Blob(e) => e.into(),
            RegistryError::Store(e) => e.into(),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let error = json!({ "code": self.code, "message": self.message, "detail": Value::Null });
        let mut response = super::json(self.status, &json!({ "errors": [error] }));
        response.headers_mut().extend(self.headers);
        response
    }
}
