//! The route table: data, checked once, looked up by host and path.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// All routes at one moment. A newer snapshot replaces an older one whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// Grows with every snapshot; an older one is refused.
    pub version: u64,
    /// The routes, in any order.
    pub routes: Vec<Route>,
}

/// Host and path to a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The host name, lower case, without port.
    pub host: String,
    /// The path prefix, `/` for all; matches whole segments.
    pub path: String,
    /// Whose route it is: the labels of metrics and of the access log.
    pub label: Label,
    /// Where traffic goes; empty: 503.
    pub backends: Vec<Backend>,
    /// How long an instance may take to begin its answer, in milliseconds.
    pub timeout_ms: u64,
}

/// The names under which traffic is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Label {
    /// The project.
    pub project: String,
    /// The environment.
    pub environment: String,
    /// The service.
    pub service: String,
}

/// An instance that takes traffic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Backend {
    /// The instance's id.
    pub id: String,
    /// Its address.
    pub address: SocketAddr,
}

/// Why a table is refused. The table in force stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Two routes claim the same host and path.
    #[error("{host}{path} is claimed by both {first} and {second}")]
    Twice {
        /// The host.
        host: String,
        /// The path.
        path: String,
        /// One service.
        first: String,
        /// The other.
        second: String,
    },
    /// A route's host or path cannot be matched.
    #[error("the route {0} is not a lower-case host and an absolute path")]
    Shape(String),
    /// A route gives its instances no time to answer.
    #[error("the route {0} has a timeout of 0 ms")]
    Timeout(String),
    /// An older snapshot than the one in force.
    #[error("route table {given} is older than {current}, which is in force")]
    Old {
        /// The refused one's version.
        given: u64,
        /// The version in force.
        current: u64,
    },
}

impl RouteTable {
    /// Checks that every request has at most one best route.
    pub fn check(&self) -> Result<(), TableError> {
        let mut seen: BTreeMap<(&str, &str), &Route> = BTreeMap::new();
        for route in &self.routes {
            let host_ok = !route.host.is_empty()
                && route
                    .host
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b));
            if !host_ok || !route.path.starts_with('/') {
                return Err(TableError::Shape(format!("{}{}", route.host, route.path)));
            }
            if route.timeout_ms == 0 {
                return Err(TableError::Timeout(format!("{}{}", route.host, route.path)));
            }
            // `/api` and `/api/` cover the same paths.
            let path = route.path.trim_end_matches('/');
            if let Some(other) = seen.insert((&route.host, path), route) {
                return Err(TableError::Twice {
                    host: route.host.clone(),
                    path: route.path.clone(),
                    first: other.label.to_string(),
                    second: route.label.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Every backend of every route, once.
    pub fn backends(&self) -> BTreeSet<&Backend> {
        self.routes.iter().flat_map(|r| &r.backends).collect()
    }
}

/// Whether a path prefix covers a path (without its query), by whole segments.
pub(crate) fn is_prefix(prefix: &str, path: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.project, self.environment, self.service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(host: &str, path: &str, service: &str) -> Route {
        let label = Label { project: "p".into(), environment: "e".into(), service: service.into() };
        Route { host: host.into(), path: path.into(), label, backends: vec![], timeout_ms: 1000 }
    }

    #[test]
    fn a_prefix_covers_whole_segments() {
        for (prefix, path, expected) in [
            ("/", "/", true),
            ("/", "/x", true),
            ("/", "*", false),
            ("/api", "/api", true),
            ("/api", "/api/", true),
            ("/api", "/api/v1", true),
            ("/api", "/apiary", false),
            ("/api/", "/api", true),
            ("/api/", "/api/v1", true),
            ("/api", "/API", false),
        ] {
            assert_eq!(is_prefix(prefix, path), expected, "{prefix} {path}");
        }
    }

    #[test]
    fn a_table_with_two_owners_or_a_bad_shape_is_refused() {
        let twice = RouteTable { version: 1, routes: vec![route("a", "/", "x"), route("a", "/", "y")] };
        assert!(matches!(twice.check(), Err(TableError::Twice { .. })));
        let slash = RouteTable { version: 1, routes: vec![route("a", "/x", "x"), route("a", "/x/", "y")] };
        assert!(matches!(slash.check(), Err(TableError::Twice { .. })));
        let hasty = RouteTable { version: 1, routes: vec![Route { timeout_ms: 0, ..route("a", "/x", "x") }] };
        assert!(matches!(hasty.check(), Err(TableError::Timeout(_))));
        for (host, path) in [("A", "/"), ("", "/"), ("a", "x"), ("a b", "/")] {
            let table = RouteTable { version: 1, routes: vec![route(host, path, "x")] };
            assert!(matches!(table.check(), Err(TableError::Shape(_))), "{host}{path}");
        }
    }
}
