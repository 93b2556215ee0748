//! Actions that are images: `docker://IMAGE`, and those whose metadata says `using: docker`.

use std::path::PathBuf;

use windlass_runtime::{Exec, Exit};

use super::LABEL;
use super::exec::translate;
use super::start::{HOME, WORKFLOW};
use super::wanted::words;
use crate::action::{ActionError, Found, Inputs, as_variables, states};
use crate::context::{Frame, StepScope};
use crate::job::{Going, Job, Post, PostWork, Progress, StepFiles, When};
use crate::place::PlaceError;
use windlass_workflow::action::DockerRuns;

/// A run of an image, and what it is given.
#[derive(Clone, Debug)]
pub(crate) struct DockerProgram {
    image: Image,
    entrypoint: Option<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    inputs: Inputs,
    repository: String,
    git_ref: String,
}

#[derive(Clone, Debug)]
enum Image {
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

    /// Runs an image.
    pub(crate) async fn run_image(
        &self,
        progress: &mut Progress,
        frame: &Frame,
        program: &DockerProgram,
        going: &mut Going,
        files: &StepFiles,
    ) -> Result<(), ActionError> {
        if !self.docker.allowed {
            return Err(PlaceError::Failed(super::NO_DOCKER.to_owned()));
        }
        let image = self.image_of(program, going).await?;
        let name =
            format!("windlass_{}_{}_{}", self.assignment.job, self.assignment.attempt, self.next_serial());
        let exec = self.image_exec(progress, frame, program, (&image, &name), going, files);
        let ran = self.execute_here(progress, going, exec).await;
        if matches!(ran, Err(PlaceError::Interrupted(_))) {
            let _ = self.docker(&["rm", "--force", &name], &self.last_patience()).await;
        }
        match ran? {
            Exit::Code(0) => Ok(()),
            exit => Err(PlaceError::Failed(format!("Docker run failed with exit code {}", exit.code()))),
        }
    }

    async fn image_of(&self, program: &DockerProgram, going: &Going) -> Result<String, ActionError> {
        match &program.image {
            Image::Named(image) => {
                self.docker_image(image, &going.voice, &going.patience).await?;
                Ok(image.clone())
            }
            Image::Built { folder, file } => {
                let mut built = self.images.lock().await;
                if let Some(tag) = built.get(file) {
                    return Ok(tag.clone());
                }
                let tag = format!("windlass-action:{}-{}", self.assignment.job.to_lowercase(), built.len());
                let folder = folder.to_string_lossy();
                let words = ["build", "--tag", &tag, "--file", file, "--", &folder];
                self.docker_shown(&words, &going.voice, &going.patience).await?;
                built.insert(file.clone(), tag.clone());
                Ok(tag)
            }
        }
    }

    fn image_exec(
        &self,
        progress: &Progress,
        frame: &Frame,
        program: &DockerProgram,
        (image, name): (&str, &str),
        going: &Going,
        files: &StepFiles,
    ) -> Exec {
        let layout = &self.place.layout;
        let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
        let mounts = [
            (path(&layout.temp.join(HOME)), "/github/home".to_owned()),
            (path(&layout.temp.join(WORKFLOW)), "/github/workflow".to_owned()),
            (path(&layout.commands), "/github/file_commands".to_owned()),
            (path(&layout.temp), "/github/runner_temp".to_owned()),
            (path(&layout.workspace), "/github/workspace".to_owned()),
        ];
        let base = self.place.base();
        let mut env = self.program_env(progress, frame, &going.visible, &going.mark);
        env.retain(|name, value| name != "PATH" && base.get(name) != Some(value));
        env.extend(as_variables(&program.inputs));
        env.extend(program.env.iter().cloned());
        env.extend(states(progress, &going.key));
        env.insert("GITHUB_ACTION_REPOSITORY".into(), program.repository.clone());
        env.insert("GITHUB_ACTION_REF".into(), program.git_ref.clone());
        if let Some(services) = &self.assignment.services {
            env.extend(services.action_env().into_iter().map(|(name, value)| (name.to_owned(), value)));
        }
        env.extend(files.env());
        env.values_mut().for_each(|value| *value = translate(value, &mounts));
        env.insert("HOME".into(), "/github/home".into());

        let label = format!("{LABEL}={}", self.assignment.job);
        let mut words = ["run", "--rm", "--name", name, "--label", &label, "--workdir", "/github/workspace"]
            .map(str::to_owned)
            .to_vec();
        let mut option = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
        if let Some(containers) = self.containers.get() {
            option("--network", &containers.network);
        }
        mounts.iter().for_each(|(outside, inside)| option("--volume", &format!("{outside}:{inside}")));
        if let Some(socket) = self.docker.socket() {
            option("--volume", &format!("{}:/var/run/docker.sock", socket.display()));
        }
        env.keys().for_each(|name| option("--env", name));
        if let Some(entrypoint) = &program.entrypoint {
            option("--entrypoint", entrypoint);
        }
        words.push(image.to_owned());
        words.extend(program.args.iter().cloned());
        let mut exec = self.docker_exec(words);
        let machine = exec.env.remove("PATH");
        exec.env = env;
        exec.env.extend(machine.map(|path| ("PATH".to_owned(), path)));
        exec
    }
}
