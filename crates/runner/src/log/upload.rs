//! Hands the spool over, from where the other side says that it stands.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::backoff::Backoff;
use crate::control::{Control, ControlError};

/// The most that goes in one call.
const CHUNK: usize = 256 << 10;
/// How long small writes gather before a call: before the first, that the first step's first lines go with it.
const FIRST: Duration = Duration::from_millis(12);
const GATHER: Duration = Duration::from_millis(50);

/// Follows the spool and hands it over.
pub(crate) struct Uploader {
    control: Arc<dyn Control>,
    spool: std::fs::File,
    written: watch::Receiver<u64>,
    kept: u64,
}

impl Uploader {
    /// An uploader of the spool at `path`, which is written as far as `written` says.
    pub(crate) fn new(
        control: Arc<dyn Control>,
        path: &Path,
        written: watch::Receiver<u64>,
    ) -> std::io::Result<Self> {
        Ok(Self { control, spool: std::fs::File::open(path)?, written, kept: 0 })
    }

    /// Runs until `stop` is true and all was handed over, or the other side refuses for good.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut backoff = Backoff::default();
        let _ = tokio::time::timeout(FIRST, stop.changed()).await;
        loop {
            let written = *self.written.borrow_and_update();
            if self.kept < written {
                match self.hand_over(written).await {
                    Ok(()) => backoff.reset(),
                    Err(ControlError::Refused { detail, .. }) => {
                        tracing::error!(reason = %detail, "the log is not wanted any more");
                        return;
                    }
                    Err(e) => backoff.wait(&format!("handing over the log: {e}")).await,
                }
            } else if *stop.borrow() {
                return;
            } else {
                tokio::select! {
                    _ = self.written.changed() => {
                        if !*stop.borrow() {
                            let _ = tokio::time::timeout(GATHER, stop.changed()).await;
                        }
                    }
                    _ = stop.changed() => {}
                }
            }
        }
    }

    async fn hand_over(&mut self, written: u64) -> Result<(), ControlError> {
        let length = usize::try_from(written - self.kept).unwrap_or(usize::MAX).min(CHUNK);
        let mut buffer = vec![0; length];
        self.spool.read_exact_at(&mut buffer, self.kept)?;
        let next = self.control.append_log(self.kept, Bytes::from(buffer)).await?;
        // An answer from beyond what was written is nonsense: then the whole is sent again, which does no harm.
        self.kept = if next <= written { next } else { 0 };
        Ok(())
    }
}
