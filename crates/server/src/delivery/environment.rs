//! What is kept of an environment of a project.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use windlass_kernel::{
    DeploymentId, Document, EnvironmentName, InstanceId, ProjectName, ReleaseId, ServiceName, Timestamp,
};

/// An environment of a project: what is live there, what is warm, and where requests go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EnvironmentDoc {
    pub(crate) project: ProjectName,
    pub(crate) name: EnvironmentName,
    pub(crate) live: Option<Live>,
    pub(crate) warm: Option<Live>,
    pub(crate) routes: BTreeMap<ServiceName, BTreeSet<InstanceId>>,
}

/// A release that is (or was) live.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Live {
    pub(crate) release: ReleaseId,
    /// Set when a redeployment of the same release made it live: only its own instances count.
    pub(crate) generation: Option<DeploymentId>,
    pub(crate) since: Timestamp,
}

/// The key of an environment's document, and the parent of its instances and deployments.
pub(crate) fn environment_id(project: &ProjectName, name: &EnvironmentName) -> String {
    format!("{project}/{name}")
}

impl EnvironmentDoc {
    pub(crate) fn new(project: &ProjectName, name: &EnvironmentName) -> Self {
        Self { project: project.clone(), name: name.clone(), live: None, warm: None, routes: BTreeMap::new() }
    }
}

impl Document for EnvironmentDoc {
    const KIND: &'static str = "environment";

    fn id(&self) -> String {
        environment_id(&self.project, &self.name)
    }

    fn parent(&self) -> String {
        self.project.to_string()
    }
}
