//! One request: find its route, choose an instance, pass it on, count it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use crate::access::{AccessLog, Entry};
use crate::backend::{Backend, Place, SendFailure};
use crate::forward::{self, Refusal};
use crate::metrics::Metrics;
use crate::page::page;
use crate::table::{Backend as Spec, Label, Route, RouteTable, TableError};

/// What a response carries.
pub(crate) type ResponseBody = BoxBody<Bytes, hyper::Error>;

/// What a request carries on its way to an instance.
pub(crate) type RequestBody = BoxBody<Bytes, hyper::Error>;

/// How often a request is tried elsewhere before the client is told.
const TRIES: usize = 3;

/// The gateway's heart: the table in force and the instances it names.
#[derive(Debug)]
pub(crate) struct Proxy {
    active: RwLock<Arc<Active>>,
    known: Mutex<HashMap<Spec, Weak<Backend>>>,
    pub(crate) metrics: Metrics,
    access: AccessLog,
    ids: AtomicUsize,
    prefix: String,
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Active {
    table: RouteTable,
    /// Beside each route, its instances.
    backends: Vec<Vec<Arc<Backend>>>,
}

/// What is being answered: dropped when the last byte has gone (or the client has).
#[derive(Debug)]
pub(crate) struct Exchange {
    proxy: Arc<Proxy>,
    began: Instant,
    label: Option<Label>,
    entry: Entry,
    place: Option<Place>,
}

impl Proxy {
    /// `prefix` makes the request ids of one process different from those of another.
    pub(crate) fn new(access: AccessLog, prefix: String) -> Self {
        Self {
            active: RwLock::new(Arc::new(Active { table: RouteTable::default(), backends: Vec::new() })),
            known: Mutex::new(HashMap::new()),
            metrics: Metrics::new(),
            access,
            ids: AtomicUsize::new(0),
            prefix,
            turn: AtomicUsize::new(0),
        }
    }

    fn active(&self) -> Arc<Active> {
        self.active.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn table(&self) -> RouteTable {
        self.active().table.clone()
    }

    /// Puts a new table in force. When this returns, no request enters an instance that is not in it.
    pub(crate) fn swap(&self, table: RouteTable) -> Result<(), TableError> {
        table.check()?;
        let mut active = self.active.write().unwrap_or_else(PoisonError::into_inner);
        if table.version < active.table.version {
            return Err(TableError::Old { given: table.version, current: active.table.version });
        }
        let current: HashMap<Spec, Arc<Backend>> = active
            .backends
            .iter()
            .flatten()
            .map(|b| (Spec { id: b.id.clone(), address: b.address }, b.clone()))
            .collect();
        let mut used: HashMap<Spec, Arc<Backend>> = HashMap::new();
        for spec in table.backends() {
            // A backend that has retired never comes back: an instance that returns gets a fresh one.
            let backend = current.get(spec).cloned();
            let backend = backend.unwrap_or_else(|| Arc::new(Backend::new(spec.id.clone(), spec.address)));
            used.insert(spec.clone(), backend);
        }
        let backends = table
            .routes
            .iter()
            .map(|r| r.backends.iter().filter_map(|s| used.get(s).cloned()).collect())
            .collect();
        self.metrics.table(table.version);
        *active = Arc::new(Active { table, backends });
        drop(active);
        for (spec, backend) in current {
            if !used.contains_key(&spec) {
                backend.retire();
                self.known_list().insert(spec, Arc::downgrade(&backend));
            }
        }
        Ok(())
    }

    fn known_list(&self) -> std::sync::MutexGuard<'_, HashMap<Spec, Weak<Backend>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is in flight at each instance that is in the table or has left it with requests still in flight.
    pub(crate) fn loads(&self) -> Vec<(String, usize)> {
        let mut loads: HashMap<String, usize> = HashMap::new();
        let mut known = self.known_list();
        known.retain(|_, weak| weak.strong_count() > 0);
        let retired: Vec<Arc<Backend>> = known.values().filter_map(Weak::upgrade).collect();
        drop(known);
        let active = self.active();
        let all: HashMap<*const Backend, &Arc<Backend>> =
            active.backends.iter().flatten().chain(&retired).map(|b| (Arc::as_ptr(b), b)).collect();
        for backend in all.into_values() {
            *loads.entry(backend.id.clone()).or_default() += backend.in_flight();
        }
        let mut loads: Vec<_> = loads.into_iter().collect();
        loads.sort();
        loads
    }

    /// Answers one request.
    pub(crate) async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: IpAddr,
    ) -> Response<ResponseBody> {
        self.metrics.began();
        let id = forward::client_id(request.headers()).unwrap_or_else(|| self.next_id());
        let accept = request.headers().get(header::ACCEPT).cloned();
        let mut exchange = Exchange {
            entry: Entry::new(&id, request.method(), request.uri().path(), client),
            proxy: self.clone(),
            began: Instant::now(),
            label: None,
            place: None,
        };
        match self.clone().route(request, client, &id, &mut exchange).await {
            Ok(response) => exchange.follow(response),
            Err((status, said)) => exchange.follow(page(status, accept.as_ref(), said, &id)),
        }
    }

    fn next_id(&self) -> String {
        format!("{}-{:x}", self.prefix, self.ids.fetch_add(1, Ordering::Relaxed))
    }

    async fn route(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        client: IpAddr,
        id: &str,
        exchange: &mut Exchange,
    ) -> Result<Response<ResponseBody>, Refusal> {
        if request.method() == Method::CONNECT {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "this gateway is no forward proxy"));
        }
        forward::check_framing(&request)?;
        let host = forward::host(&request)?;
        exchange.entry.host.clone_from(&host);
        let path = request.uri().path_and_query().map_or("/", |p| p.as_str()).to_owned();
        let upgrade = forward::upgrade(request.headers());
        forward::strip_hop_by_hop(request.headers_mut());
        forward::identify(request.headers_mut(), client, &host, id);
        // HTTP/1.1 towards the instance, whatever the client spoke; its own authority, in origin form.
        *request.version_mut() = http::Version::HTTP_11;
        let value =
            HeaderValue::from_str(&host).map_err(|_| (StatusCode::BAD_REQUEST, "the host is not valid"))?;
        let named = request.headers().get(header::HOST).cloned().unwrap_or(value);
        request.headers_mut().insert(header::HOST, named);
        *request.uri_mut() = path.parse().map_err(|_| (StatusCode::BAD_REQUEST, "the path is not valid"))?;
        let downstream = upgrade.map(|protocol| {
            request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            request.headers_mut().insert(header::UPGRADE, protocol);
            hyper::upgrade::on(&mut request)
        });
        let request = request.map(BodyExt::boxed);
        let (response, sender) = self.send(request, &host, &path, exchange).await?;
        Ok(finish(response, sender, downstream, exchange))
    }

    /// Sends to one instance after another until one takes it.
    async fn send(
        &self,
        mut request: Request<RequestBody>,
        host: &str,
        path: &str,
        exchange: &mut Exchange,
    ) -> Result<(Response<Incoming>, SendRequest<RequestBody>), Refusal> {
        let repeatable = request.method().is_idempotent() && request.body().is_end_stream();
        let mut tried: Vec<String> = Vec::new();
        loop {
            let (place, route) = self.choose(host, path, &tried)?;
            exchange.label = Some(route.label.clone());
            exchange.entry.instance.clone_from(&place.backend().id);
            let copy = repeatable
                .then(|| (request.method().clone(), request.uri().clone(), request.headers().clone()));
            let backend = place.backend().clone();
            exchange.place = Some(place);
            tried.push(backend.id.clone());
            let sent =
                tokio::time::timeout(Duration::from_millis(route.timeout_ms), backend.send(request)).await;
            let last = tried.len() >= TRIES;
            match sent {
                Ok(Ok(answer)) => return Ok(answer),
                Err(_) => {
                    self.metrics.upstream_failed(&route.label);
                    return Err((StatusCode::GATEWAY_TIMEOUT, "the service did not answer in time"));
                }
                Ok(Err(failure)) => {
                    self.metrics.upstream_failed(&route.label);
                    request = match (failure, copy) {
                        (SendFailure::Unsent(request, why), _) if !last => {
                            tracing::debug!(instance = backend.id, why, "not sent; trying elsewhere");
                            *request
                        }
                        (SendFailure::Broken(why), Some(parts)) if !last => {
                            tracing::debug!(instance = backend.id, why, "no answer; trying again");
                            again(parts)
                        }
                        (SendFailure::Unsent(_, why) | SendFailure::Broken(why), _) => {
                            tracing::warn!(instance = backend.id, why, "no answer");
                            return Err((
                                StatusCode::BAD_GATEWAY,
                                "the service closed the connection without an answer",
                            ));
                        }
                    };
                }
            }
        }
    }

    /// The instance with the least in flight, those not tried yet and not shunned first; equals take turns.
    fn choose(&self, host: &str, path: &str, tried: &[String]) -> Result<(Place, Route), Refusal> {
        const NONE: Refusal =
            (StatusCode::SERVICE_UNAVAILABLE, "no instance of this service is ready; try again in a moment");
        // A table that changes between look-up and entry is looked up again; it cannot change for ever.
        for _ in 0..64 {
            let active = self.active();
            let found = active.table.find(host, path);
            let index = found.ok_or((StatusCode::NOT_FOUND, "nothing is served at this host and path"))?;
            let candidates = active.backends.get(index).map_or(&[][..], Vec::as_slice);
            if candidates.is_empty() {
                return Err(NONE);
            }
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let order = (0..candidates.len()).map(|i| &candidates[(i + turn) % candidates.len()]);
            let best =
                order.min_by_key(|b| (tried.contains(&b.id), b.shunned(), b.in_flight())).ok_or(NONE)?;
            if let Some(place) = best.enter() {
                return Ok((place, active.table.routes[index].clone()));
            }
        }
        Err(NONE)
    }
}

/// The same request once more; it had no body.
fn again((method, uri, headers): (Method, http::Uri, http::HeaderMap)) -> Request<RequestBody> {
    let mut request = Request::new(Empty::new().map_err(|never| match never {}).boxed());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    request
}

/// Passes the answer on; where the protocol changes, also joins the two connections.
fn finish(
    mut response: Response<Incoming>,
    sender: SendRequest<RequestBody>,
    downstream: Option<hyper::upgrade::OnUpgrade>,
    exchange: &mut Exchange,
) -> Response<ResponseBody> {
    let protocol = forward::upgrade(response.headers());
    let switching = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if switching && let (Some(downstream), Some(protocol)) = (downstream, protocol) {
        let upstream = hyper::upgrade::on(&mut response);
        let place = exchange.place.take();
        tokio::spawn(join(downstream, upstream, place));
        forward::strip_hop_by_hop(response.headers_mut());
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(header::UPGRADE, protocol);
        return response.map(|_| Empty::new().map_err(|never| match never {}).boxed());
    }
    forward::strip_hop_by_hop(response.headers_mut());
    let backend = exchange.place.as_ref().map(|p| p.backend().clone());
    response.map(|body| Passing { body, sender: Some(sender), backend }.boxed())
}

/// Carries bytes both ways until either side closes. The place is held as long.
async fn join(
    downstream: hyper::upgrade::OnUpgrade,
    upstream: hyper::upgrade::OnUpgrade,
    place: Option<Place>,
) {
    if let (Ok(down), Ok(up)) = (downstream.await, upstream.await) {
        let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(down), &mut TokioIo::new(up)).await;
    }
    drop(place);
}

/// An answer's body on its way; when it has gone whole, its connection serves the next request.
struct Passing {
    body: Incoming,
    sender: Option<SendRequest<RequestBody>>,
    backend: Option<Arc<Backend>>,
}

impl hyper::body::Body for Passing {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.give_back();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Passing {
    fn give_back(&mut self) {
        if let (Some(sender), Some(backend)) = (self.sender.take(), &self.backend) {
            backend.keep(sender);
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // A body that is empty from the start is never polled.
        if self.body.is_end_stream() {
            self.give_back();
        }
    }
}

impl Exchange {
    /// Keeps the exchange open until the answer's last byte.
    fn follow(mut self, response: Response<ResponseBody>) -> Response<ResponseBody> {
        self.entry.status = response.status().as_u16();
        let (mut parts, body) = response.into_parts();
        if let Ok(id) = HeaderValue::from_str(&self.entry.id) {
            parts.headers.entry(forward::REQUEST_ID).or_insert(id);
        }
        Response::from_parts(parts, Counted { body, exchange: self }.boxed())
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        self.proxy.metrics.ended(self.label.as_ref(), self.entry.status, took);
        self.entry.duration_ms = took.as_secs_f64() * 1000.0;
        self.entry.service = self.label.as_ref().map(ToString::to_string).unwrap_or_default();
        self.proxy.access.write(&mut self.entry);
    }
}

/// A body whose bytes are counted into the access log.
struct Counted {
    body: ResponseBody,
    exchange: Exchange,
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.exchange.entry.bytes += data.len() as u64;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
