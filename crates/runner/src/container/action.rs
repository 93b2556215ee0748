//! Actions that are images: `docker://IMAGE`, and those whose metadata says `using: docker`.

use std::path::PathBuf;

use super::wanted::words;
use crate::action::{ActionError, Found, Inputs};
use crate::context::{Frame, StepScope};
use crate::job::{Going, Job, Post, PostWork, Progress, StepFiles, When};
use crate::place::PlaceError;
use windlass_workflow::action::DockerRuns;

/// A run of an image, and what it is given.
#[derive(Clone, Debug)]
pub(crate) struct DockerProgram {
    pub(crate) image: Image,
    pub(crate) entrypoint: Option<String>,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) inputs: Inputs,
    pub(crate) repository: String,
    pub(crate) git_ref: String,
}

/// Which image it is.
#[derive(Clone, Debug)]
pub(crate) enum Image {
    /// By its name.
    Named(String),
    /// Built from a file of the action's folder.
    Built { folder: PathBuf, file: String },
}

impl DockerProgram {
    /// The same with another entry point.
    pub(crate) fn with_entrypoint(&self, entrypoint: &str) -> Self {
        Self { entrypoint: Some(entrypoint.to_owned()), ..self.clone() }
    }
}

impl Image {
    fn of(text: &str, folder: &std::path::Path) -> Self {
        match text.strip_prefix("docker://") {
            Some(image) => Self::Named(image.to_owned()),
            None => {
                let file = folder.join(text);
                let context = file.parent().unwrap_or(folder).to_owned();
                Self::Built { folder: context, file: file.to_string_lossy().into_owned() }
            }
        }
    }
}

/// An input that is not one of the action's own.
fn take(inputs: &mut Inputs, name: &str) -> Option<String> {
    let at = inputs.iter().position(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Some(inputs[at].1.clone()).filter(|value| !value.is_empty())
}

impl Job {
    /// A step that uses an image.
    pub(crate) async fn docker_step(
        &self,
        progress: &mut Progress,
        frame: &Frame,
        image: &str,
        mut inputs: Inputs,
        (going, files): (&mut Going, &StepFiles),
    ) -> Result<(), ActionError> {
        let program = DockerProgram {
            image: Image::Named(image.to_owned()),
            entrypoint: take(&mut inputs, "entrypoint"),
            args: words(&take(&mut inputs, "args").unwrap_or_default()).map_err(PlaceError::Failed)?,
            env: Vec::new(),
            inputs,
            repository: String::new(),
            git_ref: String::new(),
        };
        self.run_image(progress, frame, &program, going, files).await
    }

    /// An action that is an image; what is left to do after the job is noted first.
    pub(crate) async fn docker_main(
        &self,
        progress: &mut Progress,
        frame: &Frame,
        (found, runs): (&Found, &DockerRuns),
        inputs: Inputs,
        (going, files): (&mut Going, &StepFiles),
    ) -> Result<(), ActionError> {
        let program = self.image_program(frame, (found, runs), inputs, going)?;
        if let Some((entrypoint, condition)) = &runs.post {
            let post = program.with_entrypoint(entrypoint);
            progress.register(Post::of(going, When::If(condition.clone()), PostWork::Image(Box::new(post))));
        }
        self.run_image(progress, frame, &program, going, files).await
    }

    /// What a Docker action runs.
    pub(crate) fn image_program(
        &self,
        frame: &Frame,
        (found, runs): (&Found, &DockerRuns),
        mut inputs: Inputs,
        going: &Going,
    ) -> Result<DockerProgram, ActionError> {
        let own = crate::action::composite_frame(frame, found, &inputs, going);
        let scope: StepScope<'_> = StepScope {
            contexts: &self.contexts,
            frame: &own,
            env: &going.visible,
            job: crate::context::Status::Success,
            place: None,
        };
        let failed = |what: &str, e: &dyn std::fmt::Display| {
            PlaceError::Failed(format!("`runs.{what}` cannot be evaluated: {e}"))
        };
        let args = match take(&mut inputs, "args") {
            Some(given) => words(&given).map_err(PlaceError::Failed)?,
            None => runs
                .args
                .iter()
                .map(|arg| scope.text(&arg.value))
                .collect::<Result<_, _>>()
                .map_err(|e| failed("args", &e))?,
        };
        Ok(DockerProgram {
            image: Image::of(&runs.image, &found.folder),
            entrypoint: take(&mut inputs, "entrypoint").or_else(|| runs.entrypoint.clone()),
            args,
            env: scope.map(&runs.env).map_err(|e| failed("env", &e))?,
            inputs,
            repository: found.repository.clone(),
            git_ref: found.git_ref.clone(),
        })
    }
}
