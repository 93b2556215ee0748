//! JavaScript actions: programs of an action's repository, run by the machine's own Node.js whatever version of it the
//! action names.

use std::collections::BTreeMap;

use windlass_runtime::Exec;
use windlass_workflow::action::NodeRuns;

use super::uses::{Found, Inputs, as_variables};
use super::{ActionError, failed};
use crate::context::Frame;
use crate::job::{Going, Job, Post, PostWork, Progress, StepFiles, When};
use crate::place::Patience;
use crate::transcript::Voice;

/// A program of a JavaScript action, and what it is given.
#[derive(Clone, Debug)]
pub(crate) struct NodeProgram {
    /// What the action names, such as `node20`.
    pub(crate) using: String,
    /// The program's file, as the job sees it.
    pub(crate) file: std::path::PathBuf,
    pub(crate) inputs: Inputs,
    pub(crate) repository: String,
    pub(crate) git_ref: String,
}

impl NodeProgram {
    /// The program `file` of an action.
    pub(crate) fn of(found: &Found, using: &str, file: &str, inputs: Inputs) -> Self {
        Self {
            using: using.to_owned(),
            file: found.folder.join(file),
            inputs,
            repository: found.repository.clone(),
            git_ref: found.git_ref.clone(),
        }
    }
}

impl Job {
    /// What the action itself does; what is left to do after the job is noted first.
    #[expect(clippy::too_many_arguments, reason = "each says one thing of the step")]
    pub(super) async fn node_main(
        &self,
        progress: &mut Progress,
        frame: &Frame,
        found: &Found,
        node: &NodeRuns,
        inputs: Inputs,
        going: &mut Going,
        files: &StepFiles,
    ) -> Result<(), ActionError> {
        if let Some((file, condition)) = &node.post {
            let program = NodeProgram::of(found, &node.using, file, inputs.clone());
            progress.register(Post::of(going, When::If(condition.clone()), PostWork::Node(program)));
        }
        let program = NodeProgram::of(found, &node.using, &node.main, inputs);
        self.run_node(progress, frame, &program, going, files).await
    }

    /// Runs one program of a JavaScript action.
    pub(crate) async fn run_node(
        &self,
        progress: &mut Progress,
        frame: &Frame,
        program: &NodeProgram,
        going: &mut Going,
        files: &StepFiles,
    ) -> Result<(), ActionError> {
        let node = self.node_program(&program.using, &going.voice, &going.patience).await?;
        let mut env = self.program_env(progress, frame, &going.visible, &going.mark);
        env.extend(as_variables(&program.inputs));
        env.extend(states(progress, &going.key));
        env.insert("GITHUB_ACTION_REPOSITORY".into(), program.repository.clone());
        env.insert("GITHUB_ACTION_REF".into(), program.git_ref.clone());
        if let Some(services) = &self.assignment.services {
            env.extend(services.action_env().into_iter().map(|(name, value)| (name.to_owned(), value)));
        }
        env.extend(files.env());
        let file = program.file.to_string_lossy().into_owned();
        let exec =
            Exec { env, ..Exec::new(node.into_iter().chain([file])) }.cwd(&self.place.layout.workspace);
        let exit = self.execute(progress, going, exec).await?;
        if exit.success() {
            return Ok(());
        }
        // What the action said of its failure is the reason; its exit code says nothing more.
        going.told = going.effects.last_error.is_some();
        let reason = going.effects.last_error.take();
        Err(failed(reason.unwrap_or_else(|| format!("The action ended with exit code {}.", exit.code()))))
    }

    /// The words by which Node.js is called, looked up once in a job, with the variables that the job began with: a step that
    /// puts another one first does not change what actions run on. In a container it is the image's, else the machine's.
    pub(super) async fn node_program(
        &self,
        using: &str,
        voice: &Voice,
        patience: &Patience,
    ) -> Result<Vec<String>, ActionError> {
        let found = self.node.get_or_try_init(|| self.find_node(using, patience));
        let (program, version) = found.await?;
        let wanted: Option<u32> = using.trim_start_matches("node").parse().ok();
        let have: Option<u32> =
            version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
        if let (Some(wanted), Some(have)) = (wanted, have)
            && have < wanted
        {
            voice.say(&format!("The action asks for {using}; this machine has Node.js {version}."));
        }
        Ok(program.clone())
    }

    async fn find_node(
        &self,
        using: &str,
        patience: &Patience,
    ) -> Result<(Vec<String>, String), ActionError> {
        let ask = async |argv: Vec<String>| {
            let asking = Exec::new(argv).envs(self.place.base().clone()).cwd(&self.place.layout.workspace);
            match self.step_place().ask(self.within(asking), patience).await {
                Ok((0, said, _)) => Ok(Some(said.trim().to_owned())),
                Err(e @ ActionError::Interrupted(_)) => Err(e),
                _ => Ok(None),
            }
        };
        let words = ["node", "-p", "process.execPath + ' ' + process.version"].map(str::to_owned);
        if let Some(said) = ask(words.to_vec()).await? {
            let (program, version) = said.rsplit_once(' ').unwrap_or((&said, ""));
            return Ok((vec![program.to_owned()], version.to_owned()));
        }
        if !self.in_container() {
            let path = self.place.base().get("PATH").cloned().unwrap_or_default();
            return Err(failed(format!(
                "`using: {using}`: JavaScript actions need Node.js on the runner's machine, and there is no `node` in {path}: \
                 install it"
            )));
        }
        let outside = self.outside_node().to_vec();
        if !outside.is_empty() {
            let asking = outside.iter().cloned().chain(["-p".to_owned(), "process.version".to_owned()]);
            if let Some(version) = ask(asking.collect()).await? {
                return Ok((outside, version));
            }
        }
        Err(failed(format!(
            "`using: {using}`: JavaScript actions run in the job's container, its image has no `node`, and that of the \
             runner's machine {}",
            if outside.is_empty() {
                "is missing as well: install it on one of them"
            } else {
                "does not run there"
            }
        )))
    }
}

/// What earlier stages of a step kept, as variables.
pub(crate) fn states(progress: &Progress, key: &str) -> BTreeMap<String, String> {
    let kept = progress.states.get(key).into_iter().flatten();
    kept.map(|(name, value)| (format!("STATE_{name}"), value.clone())).collect()
}
