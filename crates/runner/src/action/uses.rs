//! A `uses` step: which action it means, its inputs, and who carries it out.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use windlass_workflow::action::{ActionMeta, ActionRuns, DockerRuns};
use windlass_workflow::expr::Value;
use windlass_workflow::model::{ActionRef, Map, Uses};

use super::{ActionError, ActionRun, Effects, failed, find};
use crate::context::{Frame, OwnRoot, StepScope};
use crate::job::{Going, Job, Post, PostWork, Progress, StepFiles, When};
use crate::place::Patience;
use crate::transcript::Voice;

/// How deep actions may be nested.
pub(crate) const DEEPEST: u32 = 10;
/// The largest metadata file.
const LARGEST: u64 = 1 << 20;

/// An action that is not built in, found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// What stands behind `uses`.
    pub(crate) shown: String,
    /// Its folder, as the job sees it.
    pub(crate) folder: PathBuf,
    /// `OWNER/REPO` and the ref; empty for an action of the workspace.
    pub(crate) repository: String,
    pub(crate) git_ref: String,
    /// The root of its repository; none for an action of the workspace.
    pub(crate) root: Option<PathBuf>,
    pub(crate) meta: ActionMeta,
}

impl Found {
    /// What `$/` means in it; none if that is what it means in the workflow.
    pub(crate) fn own(&self) -> Option<OwnRoot> {
        let root = self.root.clone()?;
        Some(OwnRoot { root, repository: self.repository.clone(), git_ref: self.git_ref.clone() })
    }
}

/// Names and values of inputs, in the metadata's order.
pub(crate) type Inputs = Vec<(String, String)>;

impl Job {
    /// A `uses` step.
    pub(crate) async fn uses(
        &self,
        progress: &mut Progress,
        frame: &mut Frame,
        uses: &Uses,
        going: &mut Going,
        files: &StepFiles,
    ) -> Result<(), ActionError> {
        let action = &uses.action.value;
        let given = {
            let scope = self.step_scope(progress, frame, &going.visible, Some(&going.patience));
            scope.map(&uses.with).map_err(|e| failed(format!("`with` cannot be evaluated: {e}")))?
        };
        going.voice.say(&header(action, &given, &going.visible));
        if let ActionRef::Docker { image } = action {
            return self.docker_step(progress, frame, image, given, (going, files)).await;
        }
        if action.repository_name().is_some_and(|name| find(&name).is_some()) && !self.is_mirrored(action) {
            return self.built_in(progress, frame, action, given, (going, files)).await;
        }
        if frame.depth() >= DEEPEST {
            return Err(failed(format!("`{action}`: actions are nested more than {DEEPEST} deep")));
        }
        let own = frame.composite.as_ref().and_then(|composite| composite.root.as_ref());
        let found = self.look_up(action, own, &going.patience, false).await?;
        let inputs = self.inputs_of(progress, frame, &found.meta, given, going)?;
        match &found.meta.runs {
            ActionRuns::Composite { steps } => {
                self.composite(progress, frame, &found, steps, inputs, going).await
            }
            ActionRuns::Node(node) => {
                self.node_main(progress, frame, &found, node, inputs, going, files).await
            }
            ActionRuns::Docker(runs) => {
                self.docker_main(progress, frame, (&found, runs), inputs, (going, files)).await
            }
        }
    }

    async fn built_in(
        &self,
        progress: &mut Progress,
        frame: &mut Frame,
        action: &ActionRef,
        given: Inputs,
        (going, files): (&mut Going, &StepFiles),
    ) -> Result<(), ActionError> {
        let built_in = action.repository_name().and_then(|name| find(&name));
        let built_in = built_in.ok_or_else(|| failed(format!("`{action}` is not built in")))?;
        let inputs = super::inputs(built_in, given, &going.voice);
        if built_in.has_post() {
            let work = PostWork::BuiltIn { action: built_in, uses: action.clone(), inputs: inputs.clone() };
            let when = if built_in.post_needs_success() { When::Success } else { When::Always };
            progress.register(Post::of(going, when, work));
        }
        let mut run = ActionRun {
            job: self,
            uses: action,
            voice: going.voice.clone(),
            patience: going.patience.clone(),
            env: self.program_env(progress, frame, &going.visible, &going.mark),
            effects: Effects::default(),
            told: false,
            inputs,
        };
        run.env.extend(files.env());
        let result = built_in.run(&mut run).await;
        going.effects = run.effects;
        going.told = run.told;
        result
    }

    /// What a built-in action left to do.
    pub(crate) async fn built_in_post(
        &self,
        progress: &mut Progress,
        (action, uses, inputs): (&'static dyn super::Action, &ActionRef, &BTreeMap<String, String>),
        going: &mut Going,
    ) -> Result<(), ActionError> {
        let state = progress.states.get(&going.key).cloned().unwrap_or_default();
        let mut run = ActionRun {
            job: self,
            uses,
            voice: going.voice.clone(),
            patience: going.patience.clone(),
            env: self.program_env(progress, &Frame::default(), &going.visible, &going.mark),
            effects: Effects::default(),
            told: false,
            inputs: inputs.clone(),
        };
        let result = action.post(&mut run, &state).await;
        going.effects = run.effects;
        result
    }

    /// Finds an action that is not built in, and reads what it says of itself. `fresh`: no step has run so far.
    pub(crate) async fn look_up(
        &self,
        action: &ActionRef,
        own: Option<&OwnRoot>,
        patience: &Patience,
        fresh: bool,
    ) -> Result<Found, ActionError> {
        let shown = action.to_string();
        match action {
            ActionRef::Local { path } => {
                let folder = self.place.layout.workspace.join(path);
                let meta = self.metadata(&folder, &shown, true)?;
                Ok(Found {
                    shown,
                    folder,
                    repository: String::new(),
                    git_ref: String::new(),
                    root: None,
                    meta,
                })
            }
            ActionRef::Repository { owner, repo, path, git_ref } => {
                let root = self.bring(action, patience, fresh).await?.folder;
                let folder = root.join(path);
                let meta = self.metadata(&folder, &shown, false)?;
                let repository = format!("{owner}/{repo}");
                Ok(Found { shown, folder, repository, git_ref: git_ref.clone(), root: Some(root), meta })
            }
            ActionRef::Own { path } => {
                let (root, repository, git_ref) = match own {
                    Some(own) => (own.root.clone(), own.repository.clone(), own.git_ref.clone()),
                    None => (self.bring_own(patience, fresh).await?, String::new(), String::new()),
                };
                let folder = root.join(path);
                let meta = self.metadata(&folder, &shown, false)?;
                Ok(Found { shown, folder, repository, git_ref, root: Some(root), meta })
            }
            ActionRef::Docker { .. } => Err(failed(format!("`{action}` is not supported yet"))),
        }
    }

    fn metadata(&self, folder: &Path, shown: &str, local: bool) -> Result<ActionMeta, ActionError> {
        for name in ["action.yml", "action.yaml"] {
            match self.place.below.read_text(&folder.join(name), LARGEST) {
                Ok(text) => {
                    let parsed = windlass_workflow::parse_action(&text);
                    let file = format!("{}/{name}", shown.trim_start_matches("./"));
                    return parsed.action.ok_or_else(|| {
                        let errors = parsed.diagnostics.iter().filter(|d| d.is_error());
                        let found: Vec<_> = errors.map(|d| d.one_line(&file)).collect();
                        failed(found.join("\n"))
                    });
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(failed(format!("cannot read `{shown}/{name}`: {e}"))),
            }
        }
        if self.place.below.open(&folder.join("Dockerfile")).is_ok() {
            return Ok(of_dockerfile());
        }
        let hint = if local {
            " Did you forget to run actions/checkout before running your local action?"
        } else {
            ""
        };
        Err(failed(format!(
            "Can't find 'action.yml' or 'action.yaml' under '{}' (`{shown}`).{hint}",
            folder.display()
        )))
    }

    /// The inputs of an action: what is given, else the default; unknown ones are passed on, and said.
    pub(crate) fn inputs_of(
        &self,
        progress: &Progress,
        outer: &Frame,
        meta: &ActionMeta,
        given: Inputs,
        going: &Going,
    ) -> Result<Inputs, ActionError> {
        let scope = self.step_scope(progress, outer, &going.visible, Some(&going.patience));
        let (inputs, unknown) = fill_in(&scope, meta, given, &going.voice)?;
        if !unknown.is_empty() {
            let quoted = |names: &mut dyn Iterator<Item = &str>| {
                names.map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
            };
            going.voice.warn(&format!(
                "Unexpected input(s) {}, valid inputs are [{}]",
                quoted(&mut unknown.iter().map(String::as_str)),
                quoted(&mut meta.inputs.iter().map(|input| input.name.value.as_str())),
            ));
        }
        Ok(inputs)
    }
}

/// An action that is a `Dockerfile` and nothing else.
fn of_dockerfile() -> ActionMeta {
    let runs = DockerRuns {
        image: "Dockerfile".to_owned(),
        entrypoint: None,
        args: Vec::new(),
        env: Map::default(),
        pre: None,
        post: None,
    };
    let (inputs, outputs) = (Vec::new(), Vec::new());
    ActionMeta { name: None, description: None, inputs, outputs, runs: ActionRuns::Docker(runs) }
}

/// Defaults filled in; and the names of inputs that the action does not know.
fn fill_in(
    scope: &StepScope<'_>,
    meta: &ActionMeta,
    given: Inputs,
    voice: &Voice,
) -> Result<(Inputs, Vec<String>), ActionError> {
    let mut inputs = Vec::new();
    for input in &meta.inputs {
        let name = &input.name.value;
        let value = given.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        let value = match (value, &input.default) {
            (Some((_, value)), _) => {
                if let Some(message) = &input.deprecation {
                    voice.warn(&format!("Input '{name}' has been deprecated with message: {message}"));
                }
                value.clone()
            }
            (None, Some(default)) => scope
                .text(&default.value)
                .map_err(|e| failed(format!("the default of the input `{name}` cannot be evaluated: {e}")))?,
            (None, None) => String::new(),
        };
        inputs.push((name.clone(), value));
    }
    let mut unknown = Vec::new();
    for (name, value) in given {
        if meta.input(&name).is_none() {
            // What a Docker action's `with` says beside its inputs is known.
            let known = matches!(meta.runs, ActionRuns::Docker(_))
                && ["args", "entrypoint"].contains(&name.to_ascii_lowercase().as_str());
            unknown.extend((!known).then(|| name.clone()));
            inputs.push((name, value));
        }
    }
    Ok((inputs, unknown))
}

/// Inputs as the context `inputs`.
pub(crate) fn as_context(inputs: &Inputs) -> Value {
    Value::object(inputs.iter().map(|(name, value)| (name.clone(), Value::from(value.clone()))))
}

/// Inputs as the variables of a program.
pub(crate) fn as_variables(inputs: &Inputs) -> impl Iterator<Item = (String, String)> + '_ {
    inputs
        .iter()
        .map(|(name, value)| (format!("INPUT_{}", name.replace(' ', "_").to_uppercase()), value.clone()))
}

/// What stands at the beginning of a `uses` step's log.
fn header(action: &ActionRef, with: &[(String, String)], env: &BTreeMap<String, String>) -> String {
    let mut text = format!("##[group]Run {action}");
    for (title, pairs) in
        [("with", with.iter().map(|(n, v)| (n, v)).collect::<Vec<_>>()), ("env", env.iter().collect())]
    {
        if !pairs.is_empty() {
            text.push_str(&format!("\n{title}:"));
        }
        for (name, value) in pairs {
            text.push_str(&format!("\n  {name}: {value}"));
        }
    }
    text + "\n##[endgroup]"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_become_variables() {
        let inputs = [("My input-name", "a"), ("b", "")].map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec();
        let variables: Vec<_> = as_variables(&inputs).map(|(name, _)| name).collect();
        assert_eq!(variables, ["INPUT_MY_INPUT-NAME", "INPUT_B"]);
    }
}
