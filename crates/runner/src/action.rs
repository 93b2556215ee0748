//! Actions: the ones that are built in, in one table; those of repositories, found and carried out.

mod cache;
mod checkout;
mod composite;
mod docker;
mod dockerfile;
mod download;
mod github_script;
mod image;
mod node;
mod release;
mod report;
mod reports;
mod rust;
mod rust_cache;
mod source;
mod toolchain;
mod upload;
mod uses;
mod working_tree;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Component, Path, PathBuf};

use async_trait::async_trait;
use windlass_runtime::Exec;
use windlass_workflow::model::ActionRef;

use crate::backoff::Backoff;
use crate::control::ControlError;
use crate::job::Job;
use crate::matcher::Matchers;
use crate::place::{Ended, Patience, PlaceError};
use crate::tool::{Report, Request};
use crate::transcript::{Effects, Transcript, Voice};

pub(crate) use composite::composite_frame;
pub(crate) use node::{NodeProgram, states};
pub use source::ActionSources;
pub(crate) use source::Shelf;
pub(crate) use uses::{DEEPEST, Found, Inputs, as_variables};

/// Why an action did not do its work.
pub(crate) type ActionError = PlaceError;

/// An action that is part of this program.
#[async_trait]
pub(crate) trait Action: Send + Sync {
    /// Its inputs with their defaults.
    fn inputs(&self) -> &'static [(&'static str, &'static str)];

    /// Does its work.
    async fn run(&self, run: &mut ActionRun<'_>) -> Result<(), ActionError>;

    /// Whether something is left to do after all steps.
    fn has_post(&self) -> bool {
        false
    }

    /// Whether that is left undone when the job failed.
    fn post_needs_success(&self) -> bool {
        false
    }

    /// Does what is left to do. `state` is what [`Action::run`] saved.
    async fn post(
        &self,
        run: &mut ActionRun<'_>,
        state: &BTreeMap<String, String>,
    ) -> Result<(), ActionError> {
        let _ = (run, state);
        Ok(())
    }
}

/// All built-in actions. A name without its version: all versions do the same.
static TABLE: &[(&str, &dyn Action)] = &[
    ("actions/checkout", &checkout::Checkout),
    ("actions/upload-artifact", &upload::Upload),
    ("actions/download-artifact", &download::Download),
    ("actions/cache", &cache::Cache { restore: true, save: true }),
    ("actions/cache/restore", &cache::Cache { restore: true, save: false }),
    ("actions/cache/save", &cache::Cache { restore: false, save: true }),
    ("actions/setup-node", &toolchain::NODE),
    ("actions/setup-python", &toolchain::PYTHON),
    ("actions/setup-go", &toolchain::GO),
    ("actions/setup-java", &toolchain::JAVA),
    ("actions/setup-dotnet", &toolchain::DOTNET),
    ("actions/github-script", &github_script::GithubScript),
    ("docker/metadata-action", &docker::Metadata),
    ("docker/login-action", &docker::Login),
    ("docker/setup-buildx-action", &docker::SetupBuildx),
    ("docker/setup-qemu-action", &docker::SetupQemu),
    ("docker/build-push-action", &docker::BuildPush),
    ("github/codeql-action/upload-sarif", &reports::Sarif),
    ("codecov/codecov-action", &reports::Coverage),
    ("dtolnay/rust-toolchain", &rust::RustToolchain),
    ("actions-rs/toolchain", &rust::RustToolchain),
    ("actions-rust-lang/setup-rust-toolchain", &rust::RustToolchain),
    ("swatinem/rust-cache", &rust_cache::RustCache),
    ("windlass/build", &image::Build),
    ("windlass/deploy", &release::Deploy),
    ("windlass/report", &report::Report),
];

/// The built-in action of a name in lower case.
pub(crate) fn find(name: &str) -> Option<&'static dyn Action> {
    TABLE.iter().find(|(known, _)| *known == name).map(|(_, action)| *action)
}

/// The names of all built-in actions.
#[cfg(test)]
pub(crate) fn names() -> Vec<&'static str> {
    TABLE.iter().map(|(name, _)| *name).collect()
}

/// A built-in action at work.
pub(crate) struct ActionRun<'a> {
    pub(crate) job: &'a Job,
    pub(crate) uses: &'a ActionRef,
    pub(crate) voice: Voice,
    pub(crate) patience: Patience,
    /// The whole environment of programs.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) effects: Effects,
    /// Whether it said itself why it failed.
    pub(crate) told: bool,
    inputs: BTreeMap<String, String>,
}

/// A failure in words.
pub(crate) fn failed(why: impl Into<String>) -> ActionError {
    PlaceError::Failed(why.into())
}

/// The inputs in lower case, defaults filled in; what the action does not know is said.
fn inputs(action: &dyn Action, given: Vec<(String, String)>, voice: &Voice) -> BTreeMap<String, String> {
    let known = action.inputs();
    let mut inputs: BTreeMap<String, String> =
        known.iter().map(|(name, default)| ((*name).to_owned(), (*default).to_owned())).collect();
    let mut unexpected = Vec::new();
    for (name, value) in given {
        let name = name.to_ascii_lowercase();
        if known.iter().any(|(known, _)| *known == name) {
            inputs.insert(name, value);
        } else {
            unexpected.push(name);
        }
    }
    if !unexpected.is_empty() {
        let valid: Vec<_> = known.iter().map(|(name, _)| format!("'{name}'")).collect();
        let unexpected: Vec<_> = unexpected.iter().map(|name| format!("'{name}'")).collect();
        voice.warn(&format!(
            "Unexpected input(s) {}, valid inputs are [{}]",
            unexpected.join(", "),
            valid.join(", ")
        ));
    }
    inputs
}

impl ActionRun<'_> {
    /// An input, trimmed; empty if it was not given.
    pub(crate) fn input(&self, name: &str) -> &str {
        self.inputs.get(name).map_or("", |value| value.trim())
    }

    /// An input that must be there.
    pub(crate) fn required(&self, name: &str) -> Result<&str, ActionError> {
        match self.input(name) {
            "" => Err(failed(format!("Input required and not supplied: {name}"))),
            value => Ok(value),
        }
    }

    /// An input that is yes or no.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, ActionError> {
        match self.input(name) {
            "true" | "True" | "TRUE" => Ok(true),
            "false" | "False" | "FALSE" | "" => Ok(false),
            other => Err(failed(format!("the input `{name}` must be true or false, not `{other}`"))),
        }
    }

    /// An input's lines, without empty ones.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let lines = self.input(name).lines().map(str::trim);
        lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// A number that may be left out.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, ActionError> {
        match self.input(name) {
            "" => Ok(None),
            text => text
                .parse()
                .map(Some)
                .map_err(|_| failed(format!("the input `{name}` must be a whole number, not `{text}`"))),
        }
    }

    /// Sets an output.
    pub(crate) fn output(&mut self, name: &str, value: impl Into<String>) {
        self.effects.outputs.push((name.to_owned(), value.into()));
    }

    /// Keeps something for what is left to do.
    pub(crate) fn save(&mut self, name: &str, value: impl Into<String>) {
        self.effects.state.push((name.to_owned(), value.into()));
    }

    /// Sets a variable for the steps that follow, and for programs of this one.
    pub(crate) fn export(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        self.env.insert(name.to_owned(), value.clone());
        self.effects.env.push((name.to_owned(), value));
    }

    /// Puts a folder before `PATH`, for the steps that follow.
    pub(crate) fn add_path(&mut self, folder: &Path) {
        self.effects.paths.push(folder.to_string_lossy().into_owned());
    }

    /// The workspace, as the job sees it.
    pub(crate) fn workspace(&self) -> PathBuf {
        self.job.place.layout.workspace.clone()
    }

    /// A folder of the workspace; none outside of it.
    pub(crate) fn in_workspace(&self, path: &str) -> Result<PathBuf, ActionError> {
        let workspace = self.workspace();
        let joined = workspace.join(path);
        let plain = joined.components().all(|part| !matches!(part, Component::ParentDir));
        if plain && joined.starts_with(&workspace) {
            return Ok(joined.components().collect());
        }
        Err(failed(format!("`{path}` lies outside of the workspace")))
    }

    /// Runs a program and shows what it writes.
    pub(crate) async fn program(&self, argv: &[&str], cwd: &Path) -> Result<i32, ActionError> {
        self.voice.say(&format!("##[command]{}", argv.join(" ")));
        let exec = Exec { env: self.env.clone(), ..Exec::new(argv.iter().copied()) }.cwd(cwd);
        let mut transcript = Transcript::new(self.voice.clone(), false, Matchers::default());
        let run = self.job.place.run(exec, &self.patience, &mut |bytes| transcript.feed(bytes)).await;
        transcript.finish();
        match run?.ended {
            Ended::Exit(exit) => Ok(exit.code()),
            Ended::Interrupted(why) => Err(PlaceError::Interrupted(why)),
        }
    }

    /// Runs a program that is the action itself, in the job's container if it has one: commands in what it writes take effect.
    pub(crate) async fn execute(&mut self, argv: &[&str]) -> Result<i32, ActionError> {
        let exec = Exec { env: self.env.clone(), ..Exec::new(argv.iter().copied()) }.cwd(self.workspace());
        let mut transcript = Transcript::new(self.voice.clone(), false, Matchers::default());
        let (place, exec) = (self.job.step_place(), self.job.within(exec));
        let run = place.run(exec, &self.patience, &mut |bytes| transcript.feed(bytes)).await;
        let (effects, _) = transcript.finish();
        self.effects = effects;
        match run?.ended {
            Ended::Exit(exit) => Ok(exit.code()),
            Ended::Interrupted(why) => Err(PlaceError::Interrupted(why)),
        }
    }

    /// Runs a program that must succeed.
    pub(crate) async fn must(&self, argv: &[&str], cwd: &Path) -> Result<(), ActionError> {
        match self.program(argv, cwd).await? {
            0 => Ok(()),
            code => Err(failed(format!("`{}` failed with exit code {code}", argv.join(" ")))),
        }
    }

    /// Runs a program and reads what it says; none if it is not there or fails.
    pub(crate) async fn read(&self, argv: &[&str], cwd: &Path) -> Result<Option<String>, ActionError> {
        let exec = Exec { env: self.env.clone(), ..Exec::new(argv.iter().copied()) }.cwd(cwd);
        match self.job.place.ask(exec, &self.patience).await {
            Ok((0, out, err)) => Ok(Some(if out.trim().is_empty() { err } else { out })),
            Ok(_) | Err(PlaceError::Failed(_)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Asks the tool in the sandbox.
    pub(crate) async fn tool(&self, request: Request, out: Option<&Path>) -> Result<Report, ActionError> {
        self.job.place.tool(&request, out, &self.patience).await
    }

    /// Calls control until it answers, or the step is to end.
    pub(crate) async fn insist<T, F, A>(&self, what: &str, mut call: F) -> Result<T, ActionError>
    where
        F: FnMut() -> A,
        A: Future<Output = Result<T, ControlError>>,
    {
        let mut backoff = Backoff::default();
        let answer = async {
            loop {
                match call().await {
                    Ok(answer) => return Ok(answer),
                    Err(ControlError::Unavailable(why)) => {
                        self.voice.debug(&format!("{what}: {why}; trying again"));
                        backoff.wait(&format!("{what}: {why}")).await;
                    }
                    Err(e) => return Err(failed(format!("{what}: {e}"))),
                }
            }
        };
        tokio::select! {
            answer = answer => answer,
            why = self.patience.interruption() => Err(PlaceError::Interrupted(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_language_admits_is_built_in_and_nothing_else() {
        let mut ours = names();
        let mut admitted = windlass_workflow::supported::ACTIONS.to_vec();
        ours.sort_unstable();
        admitted.sort_unstable();
        assert_eq!(ours, admitted);
    }

    #[test]
    fn inputs_are_in_lower_case() {
        for (name, action) in TABLE {
            for (input, _) in action.inputs() {
                assert_eq!(*input, input.to_lowercase(), "{name}");
            }
        }
    }
}
