//! The ledger as server-sent events (HTML Living Standard, section 9.2): an event's id is its ledger number, so that
//! a browser that lost the connection goes on where it was.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt as _};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_api as wire;

use crate::Credential;
use crate::auth::Caller;
use crate::extract::Query;
use crate::problem::Reply;
use crate::state::Web;

pub(super) fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new().routes(routes!(event_stream))
}

/// Which events.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct StreamFilter {
    /// Only those of this project.
    project: Option<String>,
    /// Begin after this ledger number; from now on if not given. `Last-Event-ID` comes first.
    after: Option<u64>,
}

/// A stream under way.
struct Following {
    web: Web,
    credential: Credential,
    project: Option<String>,
    after: u64,
}

/// Ledger entries as they come, as server-sent events. A comment is sent now and then so that the line stays open.
#[utoipa::path(get, path = "/api/v1/events/stream", tag = "platform", params(StreamFilter), responses((status = 200, body = wire::EventView, content_type = "text/event-stream")))]
async fn event_stream(
    State(web): State<Web>,
    caller: Caller,
    headers: HeaderMap,
    Query(filter): Query<StreamFilter>,
) -> Reply<Response> {
    let resumed = headers.get("last-event-id").and_then(|v| v.to_str().ok()?.trim().parse().ok());
    let after = match resumed.or(filter.after) {
        Some(after) => after,
        None => web.platform.status(&caller.who).await?.ledger_seq,
    };
    let start = Following { web, credential: caller.credential, project: filter.project, after };
    let hello = Event::default().comment("the ledger follows").retry(Duration::from_secs(2));
    let batches = stream::unfold(Some(start), |following| async { next(following?).await });
    let events = stream::iter([Ok::<_, Infallible>(hello)])
        .chain(batches.flat_map(|batch| stream::iter(batch.into_iter().map(Ok))));
    let mut response = Sse::new(events).into_response();
    // A reverse proxy that collects answers before it passes them on would hold the events back.
    response.headers_mut().insert("x-accel-buffering", http::HeaderValue::from_static("no"));
    Ok(response)
}

/// The next events, and where the stream stands then; `None` where it stands ends it.
async fn next(mut following: Following) -> Option<(Vec<Event>, Option<Following>)> {
    let last = |detail: String| Some((vec![Event::default().event("end").data(detail)], None));
    let who = match following.web.platform.authenticate(following.credential.clone()).await {
        Ok(Some(who)) => who,
        Ok(None) => return last("the session has ended".into()),
        Err(problem) => return last(problem.detail),
    };
    let project = following.project.as_deref();
    let events = match following.web.platform.events_after(&who, project, following.after).await {
        Ok(events) => events,
        Err(problem) => return last(problem.detail),
    };
    if events.is_empty() {
        // The platform waits for events; this only keeps a platform that does not from being asked without pause.
        tokio::time::sleep(Duration::from_millis(250)).await;
        return Some((vec![Event::default().comment("still here")], Some(following)));
    }
    let mut out = Vec::with_capacity(events.len());
    for event in events {
        following.after = following.after.max(event.seq);
        let data = serde_json::to_string(&event).unwrap_or_default();
        out.push(Event::default().id(event.seq.to_string()).data(data));
    }
    Some((out, Some(following)))
}
