//! The gateway's own figures, in the Prometheus text format.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::table::Label;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    project: String,
    environment: String,
    service: String,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Named {
    project: String,
    environment: String,
    service: String,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    duration: Family<Named, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    connections: Gauge,
    unrouted: Counter,
    refused: Counter,
    turned_away: Counter,
    upstream_failures: Family<Named, Counter>,
    table_version: Gauge,
}

/// One service's figures, at hand: nothing is looked up by name while a request is answered.
#[derive(Debug)]
pub(crate) struct Figures {
    requests: Family<Answered, Counter>,
    /// Those asked for so far; a handful.
    by_code: Mutex<Vec<(u16, Counter)>>,
    name: Named,
    duration: Histogram,
    failures: Counter,
}

fn histogram() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("windlass_gateway");
        let metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            duration: Family::new_with_constructor(histogram as fn() -> Histogram),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            unrouted: Counter::default(),
            refused: Counter::default(),
            turned_away: Counter::default(),
            upstream_failures: Family::default(),
            table_version: Gauge::default(),
        };
        let m = &metrics;
        registry.register("requests", "Requests answered, by service and status", m.requests.clone());
        let help = "From a request's head to its answer's end";
        registry.register_with_unit("request_duration", help, Unit::Seconds, m.duration.clone());
        registry.register("requests_in_flight", "Requests being answered", m.in_flight.clone());
        registry.register("connections", "Clients' connections that are open", m.connections.clone());
        let help = "Requests for a host or path without a route";
        registry.register("unrouted_requests", help, m.unrouted.clone());
        let help = "Requests that were no requests: malformed, ambiguous, too large or too slow";
        registry.register("refused_requests", help, m.refused.clone());
        let help = "Connections turned away because there were too many";
        registry.register("refused_connections", help, m.turned_away.clone());
        let help = "Attempts at an instance that gave no answer";
        registry.register("upstream_failures", help, m.upstream_failures.clone());
        let help = "The version of the table in force";
        registry.register("route_table_version", help, m.table_version.clone());
        Self { registry, ..metrics }
    }

    /// The figures of one service.
    pub(crate) fn of(&self, label: &Label) -> Figures {
        let name = Named {
            project: label.project.clone(),
            environment: label.environment.clone(),
            service: label.service.clone(),
        };
        Figures {
            requests: self.requests.clone(),
            by_code: Mutex::default(),
            duration: self.duration.get_or_create(&name).clone(),
            failures: self.upstream_failures.get_or_create(&name).clone(),
            name,
        }
    }

    pub(crate) fn began(&self) {
        self.in_flight.inc();
    }

    /// A request has ended: one of a service, or one that found none.
    pub(crate) fn ended(&self, of: Option<&Figures>, code: u16, took: Duration) {
        self.in_flight.dec();
        match of {
            Some(figures) => figures.answered(code, took),
            None => {
                let counter = if code == 404 { &self.unrouted } else { &self.refused };
                counter.inc();
            }
        }
    }

    pub(crate) fn turned_away(&self) {
        self.turned_away.inc();
    }

    pub(crate) fn connections(&self, open: usize) {
        self.connections.set(open as i64);
    }

    pub(crate) fn table(&self, version: u64) {
        self.table_version.set(version as i64);
    }

    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        match encode(&mut out, &self.registry) {
            Ok(()) => out,
            Err(_) => String::new(),
        }
    }
}

impl Figures {
    fn answered(&self, code: u16, took: Duration) {
        self.duration.observe(took.as_secs_f64());
        let mut by_code = self.by_code.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, counter)) = by_code.iter().find(|(c, _)| *c == code) {
            counter.inc();
            return;
        }
        let Named { project, environment, service } = self.name.clone();
        let counter = self.requests.get_or_create(&Answered { project, environment, service, code }).clone();
        counter.inc();
        by_code.push((code, counter));
    }

    pub(crate) fn failed(&self) {
        self.failures.inc();
    }
}
