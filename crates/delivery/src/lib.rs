//! What a project delivers and how it gets there: the manifest (`windlass.yml`), releases, gates,
//! deployments, instances and the rollout planner.
//!
//! All of it is pure: text and facts in, values out. Nothing here starts a process, asks a clock, opens
//! a socket or a file. The server keeps the documents, carries the planner's actions out, and reports
//! what it then sees.

pub mod deployment;
pub mod gate;
pub mod instance;
pub mod manifest;
mod millis;
pub mod release;
pub mod requirements;
pub mod rollout;

pub use deployment::{Cause, Deployment, DeploymentState, Failure, InvalidTransition, Phase, Step};
pub use gate::{Approval, Gate, Reviewer, Rules};
pub use instance::{HealthAnswer, Instance, InstanceState};
pub use manifest::{Manifest, ManifestDiagnostic, Parsed, ServiceSpec, Severity, Strategy};
pub use release::{Image, Release};
pub use requirements::{Evidence, Exception, Known, Level, Missing, Requirements};
pub use rollout::{Action, Desired, Mode, Observed, Outcome, Plan, Wanted};

/// The images of a release: by service, the digest. Gates and approvals speak of exactly such a set.
pub type Digests = std::collections::BTreeMap<windlass_kernel::ServiceName, windlass_kernel::Digest>;
