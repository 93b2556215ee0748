//! `windlass.yml`: what a project delivers. Text becomes a typed [`Manifest`] or diagnostics with line and
//! column; any text at all is survived. Nothing is ignored: what is not understood is an error.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass_kernel::{EnvironmentName, ServiceName, UserName};

use crate::gate::Reviewer;
use crate::millis;
use crate::requirements::Requirements;

mod branches;
mod checks;
mod environments;
mod keys;
mod read;
pub(crate) mod reader;
pub(crate) mod require;
mod resolve;
mod schema;
mod tree;

pub use schema::schema;

/// The file's name, at the repository's root.
pub const FILE: &str = "windlass.yml";

/// The largest manifest that is read, in bytes.
pub const LARGEST: usize = 256 * 1024;

/// What reading a manifest gave. `manifest` is there exactly when no diagnostic is an error.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The manifest, if there is no error.
    pub manifest: Option<Manifest>,
    /// Errors and warnings, in the order of the text.
    pub diagnostics: Vec<ManifestDiagnostic>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The manifest cannot be used.
    Error,
    /// Worth knowing; the manifest can be used.
    Warning,
}

/// A finding in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestDiagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
    /// What is wrong and what to do.
    pub message: String,
}

/// A manifest that passed every check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The services, at least one.
    pub services: BTreeMap<ServiceName, Service>,
    /// The environments, in the file's order.
    pub environments: Vec<Environment>,
}

/// A service as written, before an environment's overrides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// The port that the program listens on in its image; it is told the real one as `PORT`.
    pub port: u16,
    /// How it is found out whether an instance is well.
    pub health: Health,
    /// Instances wanted.
    pub replicas: u32,
    /// How a new version takes over.
    pub strategy: Strategy,
    /// How long requests in flight may take to end before an instance is stopped.
    #[serde(with = "millis")]
    pub drain: Duration,
    /// What an instance may use.
    pub limits: Limits,
    /// What outlives an instance.
    pub volumes: Vec<Volume>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Names of secrets that are given as environment variables.
    pub secrets: Vec<String>,
    /// Where it is reached; none: not through the gateway. The host may hold `{environment}`,
    /// `{service}` and `{project}`.
    pub route: Option<Route>,
    /// Where its metrics are.
    pub metrics: Metrics,
    /// Replaces the image's entrypoint and arguments.
    pub command: Option<Vec<String>>,
}

/// A service as it is to run in one environment: overrides applied, placeholders replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Its name.
    pub name: ServiceName,
    /// What is to run; a route's host holds no placeholders any more.
    #[serde(flatten)]
    pub service: Service,
}

/// How a new version takes over from the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// One instance after the other: at most one more than wanted runs.
    #[default]
    Rolling,
    /// All new instances first, then one swap of the route.
    BlueGreen,
}

/// A health check and its patience.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// What is asked.
    pub check: Check,
    /// Time between two checks.
    #[serde(with = "millis")]
    pub interval: Duration,
    /// How long one check may take.
    #[serde(with = "millis")]
    pub timeout: Duration,
    /// So many good answers in a row make an instance healthy.
    pub healthy_after: u32,
    /// So many bad answers in a row make a healthy instance unhealthy.
    pub unhealthy_after: u32,
    /// A new instance that is not healthy by then has failed.
    #[serde(with = "millis")]
    pub deadline: Duration,
}

/// What a health check asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// `GET path` must answer 200 to 399.
    Http {
        /// The path, beginning with `/`.
        path: String,
    },
    /// The port must accept a connection.
    Connect,
}

/// What an instance may use; none: no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Thousandths of a core.
    pub cpu_millis: Option<u32>,
    /// Bytes.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u32>,
}

/// A folder that outlives instances; one per environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name: the same name is the same folder for all services of an environment.
    pub name: String,
    /// Where an instance sees it: absolute, without `..`.
    pub path: String,
}

/// Where a service is reached through the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The host's name.
    pub host: String,
    /// The path's beginning.
    pub path: String,
}

/// Where a service's metrics are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metrics {
    /// At `/metrics`, if it answers there.
    #[default]
    IfThere,
    /// At this path; no answer is worth a warning.
    At(String),
    /// Nowhere.
    None,
}

/// An environment and its rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Its name.
    pub name: EnvironmentName,
    /// The environment that the same digests must have passed first.
    pub after: Option<EnvironmentName>,
    /// Who may approve; empty: no approval is asked for.
    pub reviewers: Vec<Reviewer>,
    /// How many must approve; 0 exactly when there are no reviewers.
    pub approvals: u32,
    /// Whether the pusher's own approval counts.
    pub self_approval: bool,
    /// The branches that may deploy; empty: all (and tags).
    pub branches: Vec<BranchPattern>,
    /// How long a job waits before it may go on.
    #[serde(default, with = "crate::millis")]
    pub wait: Duration,
    /// What evidence each image must have.
    #[serde(default, skip_serializing_if = "Requirements::is_empty")]
    pub require: Requirements,
    /// What differs from the services as written.
    pub overrides: BTreeMap<ServiceName, Overrides>,
}

/// What an environment changes of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Overrides {
    /// Instead of the service's.
    pub replicas: Option<u32>,
    /// Instead of the service's.
    pub strategy: Option<Strategy>,
    /// Added to the service's, key by key.
    pub env: BTreeMap<String, String>,
    /// Instead of the service's, limit by limit.
    pub limits: Limits,
}

/// A pattern of branch names: `*` stands for any characters but `/`, `**` for any characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BranchPattern(pub(crate) String);

/// Reads a manifest. Total: any text gives a manifest or errors.
pub fn parse(text: &str) -> Parsed {
    let mut reader = reader::Reader::default();
    let manifest = read_into(text, &mut reader);
    let diagnostics = reader.into_diagnostics();
    let good = diagnostics.iter().all(|d| d.severity != Severity::Error);
    Parsed { manifest: manifest.filter(|_| good), diagnostics }
}

fn read_into(text: &str, reader: &mut reader::Reader) -> Option<Manifest> {
    let start = tree::Place { line: 1, column: 1 };
    if text.len() > LARGEST {
        let size = text.len() / 1024;
        reader.error(start, format!("the manifest has {size} KiB; at most {} KiB are read", LARGEST / 1024));
        return None;
    }
    match tree::load(text) {
        Ok(Some(root)) if !root.is_null() => {
            let (manifest, places) = read::manifest(&root, reader);
            checks::check(&manifest, &places, reader);
            Some(manifest)
        }
        Ok(_) => {
            reader.error(start, "the manifest is empty: it needs `services`");
            None
        }
        Err(broken) => {
            reader.error(broken.at, broken.message);
            None
        }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            check: Check::Connect,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            healthy_after: 1,
            unhealthy_after: 3,
            deadline: Duration::from_secs(30),
        }
    }
}

impl Health {
    /// The check in words, such as `GET /health`.
    pub fn words(&self) -> String {
        match &self.check {
            Check::Http { path } => format!("GET {path}"),
            Check::Connect => "connecting to its port".to_owned(),
        }
    }
}

impl Strategy {
    /// As in the manifest and on the pages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rolling => "rolling",
            Self::BlueGreen => "blue-green",
        }
    }
}

impl Environment {
    /// Names of those who may approve, for people (`anyone` among them).
    pub fn reviewer_names(&self) -> Vec<String> {
        self.reviewers.iter().map(ToString::to_string).collect()
    }

    /// Whether this person is among the reviewers.
    pub fn may_review(&self, user: &UserName) -> bool {
        self.reviewers.iter().any(|r| r.admits(user))
    }
}

#[cfg(test)]
mod tests;
