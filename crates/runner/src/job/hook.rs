//! The operator's own scripts around each job: `ACTIONS_RUNNER_HOOK_JOB_STARTED` and `_COMPLETED` of the runner. They run
//! in the job's sandbox, with the job's variables.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use windlass_runtime::Exec;

use super::{Going, Job, Progress, StepFiles};
use crate::context::Frame;
use crate::place::PlaceError;
use crate::shell::Shell;

/// Scripts that run around each job, by their absolute paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hooks {
    /// Before the job's first step.
    pub started: Option<PathBuf>,
    /// After its last.
    pub completed: Option<PathBuf>,
}

impl Hooks {
    /// Those that this process's environment names.
    pub fn of_machine() -> Self {
        let named = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        Self {
            started: named("ACTIONS_RUNNER_HOOK_JOB_STARTED"),
            completed: named("ACTIONS_RUNNER_HOOK_JOB_COMPLETED"),
        }
    }
}

impl Job {
    /// Runs a script of the operator's.
    pub(super) async fn hook(
        &self,
        progress: &mut Progress,
        frame: &Frame,
        script: &Path,
        going: &mut Going,
        files: &StepFiles,
    ) -> Result<(), PlaceError> {
        going.voice.say(&format!(
            "A job {} hook has been configured by the operator: {}",
            kind(&going.name),
            script.display()
        ));
        let shell = match script.extension().and_then(|extension| extension.to_str()) {
            Some("sh") => None,
            Some("ps1") => Some("pwsh"),
            _ => {
                return Err(PlaceError::Failed(format!(
                    "'{}' is not a valid path to a script. Make sure it uses the .sh or .ps1 extension.",
                    script.display()
                )));
            }
        };
        let shell = Shell::parse(shell, self.has_bash).map_err(|e| PlaceError::Failed(e.to_string()))?;
        let mut env = self.program_env(progress, frame, &going.visible, &going.mark);
        env.extend(files.env());
        let argv = shell.argv(&script.to_string_lossy());
        let exec = Exec { env, ..Exec::new(argv) }.cwd(&self.place.layout.workspace);
        let exit = self.execute(progress, going, exec).await?;
        if exit.success() {
            return Ok(());
        }
        Err(PlaceError::Failed(format!("Process completed with exit code {}.", exit.code())))
    }
}

fn kind(name: &str) -> &'static str {
    if name == STARTED { "started" } else { "completed" }
}

/// What the steps are called.
pub(super) const STARTED: &str = "Set up runner";
pub(super) const COMPLETED: &str = "Complete runner";
