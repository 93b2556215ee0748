//! Many clients that pull one image at a time, each over a connection of its own, and read every byte.

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use windlass_kernel::Secret;

/// How many pull at a time.
const CLIENTS: usize = 200;

/// One client.
struct Client {
    sender: SendRequest<Empty<Bytes>>,
    host: String,
    authorization: Option<String>,
}

/// Has 200 clients pull an image; each logs in as any client does.
pub(super) async fn together(
    host: &str,
    token: Option<&Secret<String>>,
    repository: &str,
    tag: &str,
) -> Result<()> {
    let pulls: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (host, repository, tag) = (host.to_owned(), repository.to_owned(), tag.to_owned());
            let basic = token.map(|t| format!("Basic {}", STANDARD.encode(format!("admin:{}", t.expose()))));
            tokio::spawn(async move { pull(&host, basic, &repository, &tag).await })
        })
        .collect();
    for pull in pulls {
        pull.await??;
    }
    Ok(())
}

async fn pull(host: &str, basic: Option<String>, repository: &str, tag: &str) -> Result<()> {
    let mut client = Client::connect(host).await?;
    if let Some(basic) = basic {
        client.authorization = Some(basic);
        let answer =
            client.read(&format!("/v2/token?service={host}&scope=repository:{repository}:pull")).await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        let token = answer["token"].as_str().context("no token came")?;
        client.authorization = Some(format!("Bearer {token}"));
    }
    let manifest = client.read(&format!("/v2/{repository}/manifests/{tag}")).await?;
    let manifest: Value = serde_json::from_slice(&manifest)?;
    let layers = manifest["layers"].as_array().context("the manifest names no layers")?;
    for part in layers.iter().chain([&manifest["config"]]) {
        let (digest, size) = (part["digest"].as_str(), part["size"].as_u64());
        let (digest, size) = digest.zip(size).context("the manifest is odd")?;
        let passed = client.drain(&format!("/v2/{repository}/blobs/{digest}")).await?;
        if passed != size {
            bail!("{passed} bytes of {size} came");
        }
    }
    Ok(())
}

impl Client {
    async fn connect(host: &str) -> Result<Self> {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host: host.to_owned(), authorization: None })
    }

    async fn get(&mut self, path: &str) -> Result<Incoming> {
        let mut request = Request::builder().uri(path).header(header::HOST, &self.host);
        request = request.header(header::ACCEPT, "application/vnd.oci.image.manifest.v1+json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let response = self.sender.send_request(request.body(Empty::new())?).await?;
        if response.status() != StatusCode::OK {
            bail!("{path} was answered with {}", response.status());
        }
        Ok(response.into_body())
    }

    async fn read(&mut self, path: &str) -> Result<Bytes> {
        Ok(self.get(path).await?.collect().await?.to_bytes())
    }

    async fn drain(&mut self, path: &str) -> Result<u64> {
        let mut body = self.get(path).await?;
        let mut passed = 0;
        while let Some(frame) = body.frame().await {
            passed += frame?.data_ref().map_or(0, |data| data.len() as u64);
        }
        Ok(passed)
    }
}
