//! A unit that is ready before its job is known: its process runs and its sandbox stands, so that a job begins without
//! waiting for either. It says `ready` on its standard output and waits for `go` on its standard input; when that ends
//! without a word, so does the unit, and nothing of it is left.

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use windlass_runtime::Runtime;

use super::{Ready, Unit};

/// What a spare unit says once it can take a job.
pub(crate) const READY: &[u8] = b"ready\n";
/// What it is told when its folder holds one.
pub(crate) const GO: &[u8] = b"go\n";

impl Unit {
    /// Starts the sandbox and waits for a job. None: there will be none.
    pub(super) async fn wait_for_a_job(&self, sandboxes: &dyn Runtime) -> io::Result<Option<Ready>> {
        self.make_folders()?;
        let id = self.folder.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let sandbox = sandboxes.start(self.spec(&id)).await.map_err(io::Error::other)?;
        let mut word = pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
        io::stdout().write_all(READY)?;
        io::stdout().flush()?;
        let mut told = Vec::new();
        while told.len() < GO.len() && word.read_buf(&mut told).await? > 0 {}
        if told == GO {
            return Ok(Some((sandbox, sandboxes.capabilities().level)));
        }
        if let Err(e) = sandbox.kill().await {
            tracing::warn!(error = %e, "a spare sandbox did not go away");
        }
        // With a job in it, the folder is looked at by whoever hands out: the job was not begun.
        if self.folder.hand_out().is_none() {
            self.folder.remove()?;
        }
        Ok(None)
    }
}
