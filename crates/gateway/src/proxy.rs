//! One request: find its service, choose an instance, pass it on, count it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use crate::access::{AccessLog, Entry};
use crate::backend::{Backend, Place, SendFailure};
use crate::exchange::{Content, Exchange, Progress, RequestBody, ResponseBody};
use crate::forward::{self, Refusal};
use crate::gate::{REFUSED, Wire};
use crate::metrics::Metrics;
use crate::page::page;
use crate::switchboard::Switchboard;

pub(crate) use crate::switchboard::Service;

/// How often a request is tried before the client is told.
const TRIES: usize = 3;
/// How long to wait before an instance is tried that has just failed.
const PAUSE: Duration = Duration::from_millis(50);
const NO_ANSWER: Refusal = (StatusCode::BAD_GATEWAY, "the service closed the connection without an answer");

/// The gateway's heart.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) switchboard: Switchboard,
    pub(crate) metrics: Metrics,
    pub(crate) access: AccessLog,
    closing: AtomicBool,
    ids: AtomicUsize,
    prefix: String,
}

/// What is needed to send a request without a body once more.
struct Copy {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

/// An instance's answer, and the connection it came over.
type Answer = (Response<Incoming>, SendRequest<RequestBody>);

impl Proxy {
    /// `prefix` makes the request ids of one process different from those of another.
    pub(crate) fn new(access: AccessLog, prefix: String) -> Self {
        Self {
            switchboard: Switchboard::default(),
            metrics: Metrics::new(),
            access,
            closing: AtomicBool::new(false),
            ids: AtomicUsize::new(0),
            prefix,
        }
    }

    /// From now on every answer asks its client to connect anew.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Answers one request.
    pub(crate) async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: IpAddr,
        wire: &Wire,
    ) -> Response<ResponseBody> {
        self.metrics.began();
        let id = forward::client_id(request.headers()).unwrap_or_else(|| self.next_id());
        let id_text = id.to_str().unwrap_or_default().to_owned();
        let accept = request.headers().get(header::ACCEPT).cloned();
        let mut exchange = Exchange {
            entry: Entry::new(id_text, request.method(), request.uri().path(), client),
            proxy: self.clone(),
            began: Instant::now(),
            service: None,
            place: None,
        };
        let answered = if request.method().as_str() == REFUSED {
            Err(wire.fault().answer())
        } else {
            self.pass(request, client, &id, &mut exchange).await
        };
        let response = answered.unwrap_or_else(|(status, said)| {
            let mut page = page(status, accept.as_ref(), said, &exchange.entry.id).map(Content::Own);
            if exchange.service.is_none() && status != StatusCode::NOT_FOUND {
                page.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            page
        });
        wire.settle(response.status() == StatusCode::SWITCHING_PROTOCOLS);
        exchange.follow(response, id)
    }

    fn next_id(&self) -> HeaderValue {
        let id = format!("{}-{:x}", self.prefix, self.ids.fetch_add(1, Ordering::Relaxed));
        HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }

    async fn pass(
        &self,
        mut request: Request<Incoming>,
        client: IpAddr,
        id: &HeaderValue,
        exchange: &mut Exchange,
    ) -> Result<Response<Content>, Refusal> {
        let target = forward::target(&request)?;
        exchange.entry.host.clone_from(&target.host);
        let downstream = forward::asks_websocket(&request).then(|| hyper::upgrade::on(&mut request));
        forward::prepare(request.headers_mut(), client, &target, id);
        if downstream.is_some() {
            forward::keep_websocket(request.headers_mut());
        }
        // HTTP/1.1 towards the instance, whatever the client spoke, and in origin form.
        *request.version_mut() = Version::HTTP_11;
        if request.uri().authority().is_some() {
            let path = request.uri().path_and_query().cloned();
            *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        }
        let progress = (!request.body().is_end_stream()).then(Arc::<Progress>::default);
        if progress.is_some() && !request.headers().contains_key(header::CONTENT_LENGTH) {
            // Said outright: with a GET the HTTP library would take it that there is no body, and leave it out.
            request.headers_mut().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let request = request.map(|body| match &progress {
            Some(progress) => RequestBody::Client(body, progress.clone()),
            None => RequestBody::Nothing,
        });
        let (response, sender) = self.send(request, &target.host, progress.as_deref(), exchange).await?;
        finish(response, sender, downstream, exchange)
    }

    /// Sends to one instance after another until one takes it.
    async fn send(
        &self,
        mut request: Request<RequestBody>,
        host: &str,
        progress: Option<&Progress>,
        exchange: &mut Exchange,
    ) -> Result<Answer, Refusal> {
        let repeatable = progress.is_none() && request.method().is_idempotent();
        let mut tried: Vec<Arc<Backend>> = Vec::new();
        loop {
            let chosen = self.switchboard.choose(host, request.uri().path(), &tried);
            if let Some(service) = &chosen.service {
                exchange.service = Some(service.clone());
            }
            let (service, place) = (chosen.service, chosen.place?);
            let backend = place.backend().clone();
            exchange.entry.instance.clone_from(&backend.id);
            exchange.place = Some(place);
            let Some(service) = service else { return Err(NO_ANSWER) };
            if tried.iter().any(|t| Arc::ptr_eq(t, &backend)) {
                tokio::time::sleep(PAUSE * tried.len() as u32).await;
            }
            let copy = repeatable.then(|| Copy::of(&request));
            let sent = Progress::within(progress, service.timeout, backend.send(request, repeatable)).await;
            if progress.is_some_and(Progress::is_broken) && !matches!(sent, Some(Ok(_))) {
                return Err((StatusCode::BAD_REQUEST, "the request's body broke off or is malformed"));
            }
            let failure = match sent {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(failure)) => failure,
                None => {
                    service.figures.failed();
                    return Err((StatusCode::GATEWAY_TIMEOUT, "the service did not answer in time"));
                }
            };
            service.figures.failed();
            tried.push(backend);
            request = again(failure, copy, &tried)?;
        }
    }
}

impl Copy {
    fn of(request: &Request<RequestBody>) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
        }
    }

    fn request(self) -> Request<RequestBody> {
        let mut request = Request::new(RequestBody::Nothing);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        request
    }
}

/// The request to try elsewhere, if it may be tried again.
fn again(
    failure: SendFailure,
    copy: Option<Copy>,
    tried: &[Arc<Backend>],
) -> Result<Request<RequestBody>, Refusal> {
    let instance = tried.last().map_or("", |b| b.id.as_str());
    let (why, request) = match failure {
        SendFailure::Unsent(request, why) => (why, Some(*request)),
        SendFailure::Broken(why) => (why, copy.map(Copy::request)),
    };
    match request {
        Some(request) if tried.len() < TRIES => {
            tracing::debug!(instance, why, "no answer; trying again");
            Ok(request)
        }
        _ => {
            tracing::warn!(instance, why, "no answer");
            Err(NO_ANSWER)
        }
    }
}

/// Passes the answer on; where the protocol changes, also joins the two connections.
fn finish(
    mut response: Response<Incoming>,
    sender: SendRequest<RequestBody>,
    downstream: Option<OnUpgrade>,
    exchange: &mut Exchange,
) -> Result<Response<Content>, Refusal> {
    *response.version_mut() = Version::HTTP_11;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(downstream) = downstream.filter(|_| forward::websocket(response.headers())) else {
            tracing::warn!(
                instance = exchange.entry.instance,
                "changed to a protocol that was not asked for"
            );
            return Err((StatusCode::BAD_GATEWAY, "the service gave an answer that makes no sense"));
        };
        let upstream = hyper::upgrade::on(&mut response);
        tokio::spawn(join(downstream, upstream, exchange.place.take()));
        forward::strip_hop_by_hop(response.headers_mut());
        forward::keep_websocket(response.headers_mut());
        return Ok(response.map(|_| Content::Own(Bytes::new())));
    }
    if response.headers().contains_key(header::TRANSFER_ENCODING) {
        // Of the two, the coding was believed (RFC 9112, section 6.3); the length must not go on.
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    forward::strip_hop_by_hop(response.headers_mut());
    let connection = exchange.place.as_ref().map(|p| (sender, p.backend().clone()));
    Ok(response.map(|body| Content::Passing { body, connection }))
}

/// Carries bytes both ways until either side closes. The place is held as long.
async fn join(downstream: OnUpgrade, upstream: OnUpgrade, place: Option<Place>) {
    if let (Ok(down), Ok(up)) = (downstream.await, upstream.await) {
        let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(down), &mut TokioIo::new(up)).await;
    }
    drop(place);
}
