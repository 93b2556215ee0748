//! What a job wants before its first step is started and waited for, and ended after its last.

use std::sync::atomic::{AtomicBool, Ordering};

use windlass_runtime::Exit;
use windlass_workflow::model::Job as JobModel;

use super::wanted::{Wanted, services};
use super::{Containers, DockerProgram, Once};
use crate::action::{ActionError, failed};
use crate::context::{Frame, StepScope};
use crate::job::{Going, Job, Progress, StepFiles};
use crate::place::PlaceError;
use crate::transcript::Voice;

/// The folders of a job's own, within `RUNNER_TEMP`.
pub(crate) const HOME: &str = "_github_home";
pub(crate) const WORKFLOW: &str = "_github_workflow";

/// Whether a job wants any container.
pub(crate) fn wants(model: &JobModel) -> bool {
    model.container.is_some() || !model.services.is_empty()
}

impl Job {
    /// Starts the containers of a job: its services, then the one of its steps.
    pub(crate) async fn start_containers(
        &self,
        progress: &Progress,
        model: &JobModel,
        voice: &Voice,
    ) -> Result<(), ActionError> {
        let words = |e: String| PlaceError::Failed(format!("the job's containers cannot be evaluated: {e}"));
        let (job, wanted) = {
            let scope: StepScope<'_> = self.step_scope(progress, &progress.frame, &progress.env, None);
            let job = model.container.as_ref().map(|setting| Wanted::of(setting, &scope)).transpose();
            let of_label = || self.image.clone().map(|image| Wanted { image, ..Wanted::default() });
            let job = job.map_err(words)?.flatten().or_else(of_label);
            (job, services(&model.services, &scope).map_err(words)?)
        };
        if job.is_none() && wanted.is_empty() {
            return Ok(());
        }
        for (_, password) in
            job.iter().chain(wanted.iter().map(|(_, w)| w)).filter_map(|w| w.credentials.as_ref())
        {
            self.log.mask(password);
        }
        self.own_folders()
            .map_err(|e| PlaceError::Failed(format!("the job's folders cannot be made: {e}")))?;
        let engine = self.engine.clone();
        let network = engine.begin(self, &wanted).await?;
        let mut containers =
            Containers { network, job: None, services: Vec::new(), ended: AtomicBool::new(false) };
        let mut result = Ok(());
        for (name, wanted) in &wanted {
            voice.say(&format!("{name}: {}", wanted.image));
            match engine.service(self, name, wanted, voice).await {
                Ok(running) => containers.services.push((name.clone(), running)),
                Err(e) => {
                    result = Err(e);
                    break;
                }
            }
        }
        if let (Ok(()), Some(wanted)) = (&result, &job) {
            voice.say(&format!("The job's container: {}", wanted.image));
            match engine.container(self, wanted, voice).await {
                Ok(running) => containers.job = Some(running),
                Err(e) => result = Err(e),
            }
        }
        let _ = self.contexts.job.set(containers.context());
        let _ = self.containers.set(containers);
        result?;
        for (name, running) in self.containers.get().iter().flat_map(|containers| &containers.services) {
            engine.well(self, name, running, voice).await?;
        }
        Ok(())
    }

    /// Folders of the job that only containers need. Elsewhere than among plain processes they were made before it began.
    pub(crate) fn own_folders(&self) -> std::io::Result<()> {
        if self.place.is_plain() {
            for folder in [self.place.layout.temp.join(HOME), self.place.layout.tool_cache.clone()] {
                std::fs::create_dir_all(folder)?;
            }
        }
        Ok(())
    }

    /// Ends the container of the job's steps, and shows what services said. May be repeated.
    pub(crate) async fn stop_containers(&self, voice: &Voice) {
        let Some(containers) = self.containers.get() else { return };
        if containers.ended.swap(true, Ordering::Relaxed) {
            return;
        }
        for (name, running) in &containers.services {
            voice.say(&format!("##[group]What the service {name} said"));
            self.engine.said(self, running, voice).await;
            voice.say("##[endgroup]");
        }
        if let Some(inside) = self.inside() {
            inside.place.close().await;
        }
    }

    /// Ends everything that was made for the job, however it ended.
    pub(crate) async fn leave_engine(&self) {
        self.engine.clone().leave(self).await;
    }

    /// Runs an image as a step of its own.
    pub(crate) async fn run_image(
        &self,
        progress: &mut Progress,
        frame: &Frame,
        program: &DockerProgram,
        going: &mut Going,
        files: &StepFiles,
    ) -> Result<(), ActionError> {
        self.own_folders().map_err(|e| failed(format!("the job's folders cannot be made: {e}")))?;
        let once = Once { progress, frame, program, going, files };
        match self.engine.clone().run(self, once).await? {
            Exit::Code(0) => Ok(()),
            exit => Err(failed(format!("Docker run failed with exit code {}", exit.code()))),
        }
    }
}
