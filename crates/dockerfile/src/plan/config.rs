//! An image's configuration: what of it the language reads and writes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What an image's configuration says to whoever runs it, as far as a Dockerfile can say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// `USER`; empty for root.
    pub user: String,
    /// `WORKDIR`: absolute and clean, or empty.
    pub working_dir: String,
    /// `ENV`, in order, each name once.
    pub env: Vec<(String, String)>,
    /// `ENTRYPOINT`.
    pub entrypoint: Option<Vec<String>>,
    /// `CMD`.
    pub cmd: Option<Vec<String>>,
    /// `EXPOSE`: `8080/tcp`.
    pub ports: BTreeSet<String>,
    /// `VOLUME`.
    pub volumes: BTreeSet<String>,
    /// `LABEL`.
    pub labels: BTreeMap<String, String>,
    /// `STOPSIGNAL`.
    pub stop_signal: Option<String>,
    /// `HEALTHCHECK`.
    pub healthcheck: Option<HealthCheck>,
    /// `SHELL`, when it was said.
    pub shell: Option<Vec<String>>,
    /// `ONBUILD`, in order. A stage that starts from such an image runs them first, and its own list begins empty.
    pub onbuild: Vec<String>,
    /// `MAINTAINER`.
    pub author: Option<String>,
}

impl ImageConfig {
    /// The value of a variable of `env`.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Sets a variable of `env`; it keeps its place if it had one.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        match self.env.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.env.push((name.to_owned(), value.to_owned())),
        }
    }
}

/// `HEALTHCHECK` as the configuration has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthCheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", line]`.
    pub test: Vec<String>,
    /// Time between two checks; zero for the usual one.
    pub interval: Duration,
    /// Time for one check; zero for the usual one.
    pub timeout: Duration,
    /// Time in which failures do not count; zero for the usual one.
    pub start_period: Duration,
    /// Time between two checks during the start period; zero for the usual one.
    pub start_interval: Duration,
    /// Failures in a row that make it unhealthy; 0 for the usual number.
    pub retries: u32,
}
