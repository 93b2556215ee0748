//! A service in an environment: its instances, figures and logs.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::routing::get;
use serde::Deserialize;
use std::time::Duration;
use windlass_api as wire;

use crate::chart::{self, Line, Unit};
use crate::page::{Chrome, Shown, Visitor, show};
use crate::pages::assets;
use crate::state::Web;
use crate::view;
use crate::view::Raw;

pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/projects/{project}/environments/{environment}/services/{service}", get(service))
        .route("/projects/{project}/environments/{environment}/services/{service}/logs", get(logs))
}

/// How far back figures can be looked at, in minutes.
const SPANS: [u32; 4] = [15, 60, 360, 1440];
/// How many log lines the service's page shows.
const EXCERPT: u32 = 20;

/// A figure of a service: a chart with its last values.
struct Figure {
    title: &'static str,
    last: Vec<(&'static str, &'static str, String)>,
    chart: Raw,
}

#[derive(Template)]
#[template(path = "service.html")]
struct ServicePage {
    chrome: Chrome,
    service: wire::ServiceView,
    base: String,
    span: u32,
    spans: [(u32, String); 4],
    figures: Vec<Figure>,
    own: Vec<String>,
    lines: Vec<wire::LogLine>,
}

#[derive(Template)]
#[template(path = "logs.html")]
struct LogsPage {
    chrome: Chrome,
    service: wire::ServiceView,
    base: String,
    filter: LogFilter,
    lines: Vec<wire::LogLine>,
    cursor: String,
    limit: u32,
}

#[derive(Deserialize)]
struct Span {
    minutes: Option<u32>,
}

#[derive(Deserialize)]
struct LogFilter {
    #[serde(default)]
    q: String,
    #[serde(default)]
    instance: String,
    /// How far back, in minutes; 0 or nothing for no bound.
    #[serde(default)]
    minutes: String,
}

type Place = Path<(String, String, String)>;

async fn service(
    State(web): State<Web>,
    visitor: Visitor,
    Path(place): Place,
    Query(span): Query<Span>,
) -> Shown {
    let (project, environment, name) = &place;
    let who = &visitor.who;
    let mut service = web.platform.service(who, project, environment, name).await?;
    // Those that serve come first.
    service.instances.sort_by_key(|i| !i.routed);
    let span = span.minutes.filter(|m| SPANS.contains(m)).unwrap_or(60);
    let metrics = web.platform.service_metrics(who, project, environment, name, span).await?;
    let query = wire::LogQuery { limit: Some(EXCERPT), ..wire::LogQuery::default() };
    let mut lines = web.platform.service_logs(who, project, environment, name, query).await?;
    lines.sort_by_key(|l| l.at);
    let chrome = visitor.chrome(format!("{name} in {environment} · {project}"), "services").live(project, 10);
    let spans = SPANS.map(|m| (m, chart::span(m)));
    let figures = figures(&metrics);
    show(&ServicePage { chrome, service, base: base(&place), span, spans, figures, own: metrics.own, lines })
}

async fn logs(
    State(web): State<Web>,
    visitor: Visitor,
    Path(place): Place,
    Query(filter): Query<LogFilter>,
) -> Shown {
    let (project, environment, name) = &place;
    let who = &visitor.who;
    let service = web.platform.service(who, project, environment, name).await?;
    let minutes = filter.minutes.parse::<u64>().ok().filter(|m| *m > 0);
    let limit = 1000;
    let query = wire::LogQuery {
        q: filter.q.clone(),
        instance: Some(filter.instance.clone()).filter(|i| !i.is_empty()),
        since: minutes.map(|m| visitor.now - Duration::from_secs(m * 60)),
        after: None,
        limit: Some(limit),
    };
    let mut lines = web.platform.service_logs(who, project, environment, name, query).await?;
    let cursor = lines.last().map(|l| l.cursor.clone()).unwrap_or_default();
    // They come as they were taken in, instance by instance; they are read by time.
    lines.sort_by_key(|l| l.at);
    let chrome = visitor.chrome(format!("Logs of {name} in {environment} · {project}"), "services");
    show(&LogsPage { chrome, service, base: base(&place), filter, lines, cursor, limit })
}

fn base((project, environment, service): &(String, String, String)) -> String {
    let [p, e, s] = [project, environment, service].map(|t| view::encode(t));
    format!("/projects/{p}/environments/{e}/services/{s}")
}

fn figures(m: &wire::ServiceMetrics) -> Vec<Figure> {
    let line = |name, class, values| Line { name, class, values };
    let all = [
        ("Requests", Unit::Rate, vec![line("all", "c1", m.request_rate.as_slice())]),
        ("Errors", Unit::Rate, vec![line("5xx", "c4", m.error_rate.as_slice())]),
        (
            "Latency",
            Unit::Seconds,
            vec![line("p50", "c1", m.p50.as_slice()), line("p95", "c2", &m.p95), line("p99", "c3", &m.p99)],
        ),
        ("CPU", Unit::Cores, vec![line("in use", "c1", m.cpu.as_slice())]),
        ("Memory", Unit::Bytes, vec![line("in use", "c1", m.memory.as_slice())]),
    ];
    all.into_iter()
        .map(|(title, unit, lines)| Figure {
            title,
            last: lines
                .iter()
                .map(|l| (l.name, l.class, chart::last(l.values).map_or("–".to_owned(), |v| unit.show(v))))
                .collect(),
            chart: chart::draw(title, unit, &lines, m.from, m.step_seconds),
        })
        .collect()
}
