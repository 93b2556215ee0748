//! The engine as jobs have it.

use async_trait::async_trait;
use windlass_runtime::Exit;

use crate::action::ActionError;
use crate::container::{Engine, Once, Running, Wanted};
use crate::job::Job;
use crate::transcript::Voice;

/// Containers of a job on the machine's Docker Engine.
pub(crate) struct DockerEngine;

#[async_trait]
impl Engine for DockerEngine {
    async fn begin(&self, job: &Job, _services: &[(String, Wanted)]) -> Result<String, ActionError> {
        job.docker_begin().await
    }

    async fn service(
        &self,
        job: &Job,
        name: &str,
        wanted: &Wanted,
        voice: &Voice,
    ) -> Result<Running, ActionError> {
        job.docker_start(Some(name), wanted, voice).await
    }

    async fn container(&self, job: &Job, wanted: &Wanted, voice: &Voice) -> Result<Running, ActionError> {
        job.docker_start(None, wanted, voice).await
    }

    async fn well(&self, job: &Job, name: &str, service: &Running, voice: &Voice) -> Result<(), ActionError> {
        job.docker_well(name, &service.id, voice).await
    }

    async fn said(&self, job: &Job, service: &Running, voice: &Voice) {
        job.docker_said(&service.id, voice).await;
    }

    async fn run(&self, job: &Job, once: Once<'_>) -> Result<Exit, ActionError> {
        job.docker_run(once).await
    }

    async fn leave(&self, job: &Job) {
        job.docker_leave().await;
    }
}
