//! A shell where a step failed, in the sandbox that it ran in.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use tokio::io::AsyncReadExt as _;
use windlass_runtime::{Exec, OpenFile, Sandbox, Stdin};

use super::AfterFailure;
use crate::job::Job;

/// A `run` step that failed, and where it ran.
#[derive(Clone, Debug)]
pub struct FailedStep {
    /// Its name.
    pub name: String,
    /// Why it failed.
    pub why: String,
    /// Its program: environment and working directory, as its place has them.
    pub exec: Exec,
    /// Its script's file.
    pub script: std::path::PathBuf,
    /// Where it ran.
    pub place: StepPlace,
}

/// Where a step ran.
#[derive(Clone, Debug)]
pub enum StepPlace {
    /// Among the processes of this user.
    Plain,
    /// In a sandbox, in which a shell can be opened.
    Sandbox(StepShell),
    /// In a container.
    Container,
}

/// Opens a shell in a step's sandbox.
#[derive(Clone, Debug)]
pub struct StepShell {
    sandbox: Arc<dyn Sandbox>,
    exec: Exec,
    program: &'static str,
}

/// Takes the terminal that it is given as its own, so that interrupts reach what runs there, and becomes the shell.
const TAKE_TERMINAL: &str = r#"exec "$0" -i <>/proc/self/fd/0 >&0 2>&0"#;

impl StepShell {
    /// Opens it at a terminal and waits for its end. `terminal` is what programs of a terminal get: they read, write and
    /// are controlled by it.
    ///
    /// # Errors
    /// In words, when it could not be opened.
    pub async fn open(&self, terminal: OwnedFd) -> Result<(), String> {
        let mut exec = Exec {
            argv: ["sh", "-c", TAKE_TERMINAL, self.program].map(str::to_owned).to_vec(),
            stdin: Stdin::File(OpenFile::new(terminal)),
            ..self.exec.clone()
        };
        for name in ["TERM", "COLORTERM"] {
            exec.env.extend(std::env::var(name).map(|value| (name.to_owned(), value)));
        }
        let started = self.sandbox.exec(exec.merge_output()).await;
        let mut process = started.map_err(|e| e.to_string())?;
        // The shell itself writes to the terminal; what comes here is why there is none.
        let mut said = Vec::new();
        let _ = (&mut process.stdout).take(4096).read_to_end(&mut said).await;
        process.control.wait().await.map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        if said.is_empty() { Ok(()) } else { Err(said) }
    }
}

impl Job {
    /// What is to follow a `run` step that failed.
    pub(crate) async fn after_failure(
        &self,
        name: &str,
        why: &str,
        exec: &Exec,
        script: &Path,
    ) -> AfterFailure {
        let Some(asked) = self.local.as_ref().and_then(|local| local.asked.as_ref()) else {
            return AfterFailure::Stop;
        };
        let place = if self.in_container() {
            StepPlace::Container
        } else if self.place.is_plain() {
            StepPlace::Plain
        } else {
            let program = if self.has_bash { "bash" } else { "sh" };
            let sandbox = self.place.sandbox();
            StepPlace::Sandbox(StepShell { sandbox, exec: exec.clone(), program })
        };
        let (name, why) = (name.to_owned(), why.to_owned());
        let step = FailedStep { name, why, exec: exec.clone(), script: script.to_owned(), place };
        asked.failed(step).await
    }
}
