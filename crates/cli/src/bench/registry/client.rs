//! A client of a registry that stays on one connection.

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use windlass_kernel::Secret;

/// One client.
pub(super) struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    authorization: Option<String>,
}

impl Client {
    /// Connects, and gets a registry token as any client does, where there is one to get.
    pub(super) async fn log_in(
        host: &str,
        token: Option<&Secret<String>>,
        repository: &str,
        actions: &str,
    ) -> Result<Self> {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut client = Self { sender, host: host.to_owned(), authorization: None };
        if let Some(token) = token {
            let basic = STANDARD.encode(format!("admin:{}", token.expose()));
            client.authorization = Some(format!("Basic {basic}"));
            let scope = format!("repository:{repository}:{actions}");
            let answer = client.read(&format!("/v2/token?service={host}&scope={scope}")).await?;
            let answer: Value = serde_json::from_slice(&answer)?;
            let token = answer["token"].as_str().context("no token came")?;
            client.authorization = Some(format!("Bearer {token}"));
        }
        Ok(client)
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: Bytes,
        wanted: StatusCode,
    ) -> Result<(HeaderMap, Incoming)> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.host);
        request = request.header(header::ACCEPT, "application/vnd.oci.image.manifest.v1+json");
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        // The end of an answer is seen a moment before its connection takes the next request.
        self.sender.ready().await?;
        let response = self.sender.send_request(request.body(Full::new(body))?).await?;
        if response.status() != wanted {
            bail!("{path} was answered with {}", response.status());
        }
        let (parts, body) = response.into_parts();
        Ok((parts.headers, body))
    }

    /// Sends something, and gives the headers of the answer.
    pub(super) async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: Bytes,
        wanted: StatusCode,
    ) -> Result<HeaderMap> {
        let (headers, body) = self.ask(method, path, headers, body, wanted).await?;
        body.collect().await?;
        Ok(headers)
    }

    /// Gets something small.
    pub(super) async fn read(&mut self, path: &str) -> Result<Bytes> {
        let (_, body) = self.ask(Method::GET, path, &[], Bytes::new(), StatusCode::OK).await?;
        Ok(body.collect().await?.to_bytes())
    }

    /// Gets something and drops it; gives its length.
    pub(super) async fn drain(&mut self, path: &str) -> Result<u64> {
        let (_, mut body) = self.ask(Method::GET, path, &[], Bytes::new(), StatusCode::OK).await?;
        let mut passed = 0;
        while let Some(frame) = body.frame().await {
            passed += frame?.data_ref().map_or(0, |data| data.len() as u64);
        }
        Ok(passed)
    }
}
