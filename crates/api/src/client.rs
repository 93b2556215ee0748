use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use windlass_kernel::Secret;

use crate::{ErrorCode, Problem};

/// A body that a request may carry.
pub type Body = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// The typed client of the API. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    token: Option<Secret<String>>,
    http: HyperClient<HttpConnector, Body>,
}

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing answers there.
    #[error("cannot reach Windlass at {url}: {why}")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What the network said.
        why: String,
    },
    /// It answered with an error.
    #[error("{0}")]
    Refused(Problem),
    /// It answered something that this client does not understand.
    #[error(
        "Windlass at {url} gave an answer that this client does not understand ({why}): are both of one version?"
    )]
    Answer {
        /// The address called.
        url: String,
        /// What did not fit.
        why: String,
    },
}

/// The largest JSON answer that is read into memory.
const LARGEST_JSON: usize = 64 << 20;

impl ClientError {
    /// The kind of refusal, if it is one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(problem) => Some(problem.code),
            _ => None,
        }
    }
}

impl Client {
    /// A client of the server at `base` (such as `http://127.0.0.1:7700`), with a bearer token.
    pub fn new(base: &str, token: Option<Secret<String>>) -> Self {
        let http = HyperClient::builder(TokioExecutor::new()).build_http();
        Self { base: base.trim_end_matches('/').to_owned(), token, http }
    }

    /// The server's address.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// `GET path`, as JSON. `path` begins with `/api/v1/…`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.json(Method::GET, path, empty()).await
    }

    /// `POST path` with a JSON body, answer as JSON.
    pub async fn post<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        self.json(Method::POST, path, json(body)).await
    }

    /// `PUT path` with a JSON body, answer as JSON.
    pub async fn put<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        self.json(Method::PUT, path, json(body)).await
    }

    /// `DELETE path`.
    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.send(Method::DELETE, path, &[], empty()).await.map(|_| ())
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Body,
    ) -> Result<T, ClientError> {
        let response = self.send(method, path, &[("content-type", "application/json")], body).await?;
        self.decode(path, response).await
    }

    /// Reads an answer as JSON. An empty answer (204) is `null`.
    pub async fn decode<T: DeserializeOwned>(
        &self,
        path: &str,
        response: Response<Incoming>,
    ) -> Result<T, ClientError> {
        let fail = |why: String| ClientError::Answer { url: format!("{}{path}", self.base), why };
        let body = Limited::new(response.into_body(), LARGEST_JSON);
        let bytes = body.collect().await.map_err(|e| fail(e.to_string()))?.to_bytes();
        let bytes: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(bytes).map_err(|e| fail(e.to_string()))
    }

    /// Sends any request; an answer outside 200–299 becomes an error.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Result<Response<Incoming>, ClientError> {
        let url = format!("{}{path}", self.base);
        let mut request = Request::builder().method(method).uri(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        let request =
            request.body(body).map_err(|e| ClientError::Answer { url: url.clone(), why: e.to_string() })?;
        let response = self
            .http
            .request(request)
            .await
            .map_err(|e| ClientError::Unreachable { url: self.base.clone(), why: innermost(&e) })?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refusal(url, response).await)
    }
}

async fn refusal(url: String, response: Response<Incoming>) -> ClientError {
    let status = response.status();
    let bytes = match Limited::new(response.into_body(), 1 << 20).collect().await {
        Ok(body) => body.to_bytes(),
        Err(e) => return ClientError::Answer { url, why: e.to_string() },
    };
    if let Ok(problem) = serde_json::from_slice::<Problem>(&bytes) {
        return ClientError::Refused(problem);
    }
    let code = match status {
        StatusCode::UNAUTHORIZED => ErrorCode::Unauthenticated,
        StatusCode::NOT_FOUND => ErrorCode::NotFound,
        _ => return ClientError::Answer { url, why: format!("HTTP status {status}") },
    };
    ClientError::Refused(Problem::new(code, format!("{url} answered {status}")))
}

/// The last cause in the chain: what the operating system said.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn empty() -> Body {
    Full::new(Bytes::new()).map_err(|never| match never {}).boxed()
}

fn json<B: Serialize>(body: &B) -> Body {
    let bytes = serde_json::to_vec(body).expect("wire types serialise to JSON");
    Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed()
}
