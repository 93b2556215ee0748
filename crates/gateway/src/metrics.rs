//! The gateway's own figures, in the Prometheus text format.

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
struct Service {
    project: String,
    environment: String,
    service: String,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    duration: Family<Service, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    unrouted: Counter,
    upstream_failures: Family<Service, Counter>,
    table_version: Gauge,
}

fn histogram() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("windlass_gateway");
        let requests = Family::default();
        let duration = Family::new_with_constructor(histogram as fn() -> Histogram);
        let (in_flight, unrouted, table_version) = (Gauge::default(), Counter::default(), Gauge::default());
        let upstream_failures = Family::default();
        registry.register("requests", "Requests answered, by service and status", requests.clone());
        registry.register_with_unit(
            "request_duration",
            "From a request's head to its answer's end",
            Unit::Seconds,
            duration.clone(),
        );
        registry.register("requests_in_flight", "Requests being answered", in_flight.clone());
        registry.register(
            "unrouted_requests",
            "Requests for a host or path without a route",
            unrouted.clone(),
        );
        registry.register(
            "upstream_failures",
            "Attempts at an instance that gave no answer",
            upstream_failures.clone(),
        );
        registry.register("route_table_version", "The version of the table in force", table_version.clone());
        Self { registry, requests, duration, in_flight, unrouted, upstream_failures, table_version }
    }

    pub(crate) fn began(&self) {
        self.in_flight.inc();
    }

    pub(crate) fn ended(&self, label: Option<&Label>, code: u16, took: Duration) {
        self.in_flight.dec();
        let Some(label) = label else {
            self.unrouted.inc();
            return;
        };
        let service = service(label);
        let Service { project, environment, service: name } = service.clone();
        self.requests.get_or_create(&Answered { project, environment, service: name, code }).inc();
        self.duration.get_or_create(&service).observe(took.as_secs_f64());
    }

    pub(crate) fn upstream_failed(&self, label: &Label) {
        self.upstream_failures.get_or_create(&service(label)).inc();
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

fn service(label: &Label) -> Service {
    Service {
        project: label.project.clone(),
        environment: label.environment.clone(),
        service: label.service.clone(),
    }
}
