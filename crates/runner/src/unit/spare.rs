//! A unit that is ready before its job is known: its process runs and its sandbox stands, so that a job begins without
//! waiting for either. It says `ready` on its standard output and waits on its standard input for `go` and the job, as
//! JSON; when that ends without a word, so does the unit, and nothing of it is left.

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use windlass_api::runner::Assignment;
use windlass_runtime::{Runtime, Sandbox};

use super::{Ready, Unit};
use crate::place;

/// What a spare unit says once it can take a job.
pub(crate) const READY: &[u8] = b"ready\n";
/// What it is told before the job.
pub(crate) const GO: &[u8] = b"go\n";

impl Unit {
    /// Starts the sandbox and waits for a job. None: there will be none.
    pub(super) async fn wait_for_a_job(
        &self,
        sandboxes: &dyn Runtime,
    ) -> io::Result<Option<(Ready, Assignment)>> {
        self.make_folders()?;
        place::prepare(&self.folder)?;
        let id = self.folder.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let sandbox = sandboxes.start(self.spec(&id)).await.map_err(io::Error::other)?;
        self.link_event(sandbox.as_ref());
        let mut word = pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
        io::stdout().write_all(READY)?;
        io::stdout().flush()?;
        // The job holds its secrets: it comes this way so that it need not lie on the disk.
        let mut told = Vec::new();
        word.read_to_end(&mut told).await?;
        if let Some(json) = told.strip_prefix(GO) {
            let assignment = serde_json::from_slice(json).map_err(io::Error::other)?;
            return Ok(Some(((sandbox, sandboxes.capabilities().level), assignment)));
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

    /// The event's file is where it always is, although it will lie in memory.
    fn link_event(&self, sandbox: &dyn Sandbox) {
        if let Some(small) = self.folder.small().and_then(|small| sandbox.inside(&small)) {
            let _ = place::link_event(&self.folder, &small);
        }
    }
}
