//! What carries containers out.

use async_trait::async_trait;
use windlass_runtime::Exit;

use super::{DockerProgram, Running, Wanted};
use crate::action::ActionError;
use crate::context::Frame;
use crate::job::{Going, Job, Progress, StepFiles};
use crate::transcript::Voice;

/// One run of an image: a step of its own.
pub(crate) struct Once<'a> {
    pub(crate) progress: &'a mut Progress,
    pub(crate) frame: &'a Frame,
    pub(crate) program: &'a DockerProgram,
    pub(crate) going: &'a mut Going,
    pub(crate) files: &'a StepFiles,
}

/// Containers of one job. All of them have ended once [`Engine::leave`] returned, and whenever this process ends.
#[async_trait]
pub(crate) trait Engine: Send + Sync {
    /// Says whether the job may have containers, and makes what they share. Gives its name.
    async fn begin(&self, job: &Job, services: &[(String, Wanted)]) -> Result<String, ActionError>;

    /// Starts a service.
    async fn service(
        &self,
        job: &Job,
        name: &str,
        wanted: &Wanted,
        voice: &Voice,
    ) -> Result<Running, ActionError>;

    /// Starts the container that steps run in.
    async fn container(&self, job: &Job, wanted: &Wanted, voice: &Voice) -> Result<Running, ActionError>;

    /// Waits until a service is well. One without a health check is when it runs.
    async fn well(&self, job: &Job, name: &str, service: &Running, voice: &Voice) -> Result<(), ActionError>;

    /// Shows what a service said.
    async fn said(&self, job: &Job, service: &Running, voice: &Voice);

    /// Runs an image once.
    async fn run(&self, job: &Job, once: Once<'_>) -> Result<Exit, ActionError>;

    /// Ends everything that was made for the job.
    async fn leave(&self, job: &Job);
}
