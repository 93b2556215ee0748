//! Earlier attempts of runs: what a re-run puts aside, as it ended. Kept with the re-run in one transaction.

use serde::{Deserialize, Serialize};
use windlass_api as api;
use windlass_api::Problem;
use windlass_identity::{Action, Principal};
use windlass_kernel::{Document, JobId, Query, RunId, StoreError, StoreExt as _};
use windlass_pipeline::{Job, Run};

use crate::context::{Context, stored};
use crate::runs::view::{detail, summary};

/// The most attempts that a run has.
const MOST: usize = 64;

/// An attempt of a run that came to its end and was followed by another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    run: Run,
}

impl Attempt {
    /// A run as it stands before it is done again.
    pub(crate) fn new(run: Run) -> Self {
        Self { run }
    }

    fn key(run: RunId, attempt: u32) -> String {
        // Two digits are enough, and sort.
        format!("{run}:{attempt:02}")
    }
}

impl Document for Attempt {
    const KIND: &'static str = "attempt";

    fn id(&self) -> String {
        Self::key(self.run.id, self.run.attempt)
    }

    fn parent(&self) -> String {
        self.run.id.to_string()
    }
}

impl Context {
    pub(crate) async fn attempts(&self, who: &Principal, run: &str) -> Result<Vec<api::RunSummary>, Problem> {
        let run = self.run_for(who, run, Action::ReadRuns).await?;
        let earlier = self.earlier(run.id).await.map_err(stored)?;
        let earlier = earlier.iter().map(|attempt| summary(&attempt.run));
        Ok(std::iter::once(summary(&run)).chain(earlier).collect())
    }

    pub(crate) async fn attempt(
        &self,
        who: &Principal,
        run: &str,
        attempt: u32,
    ) -> Result<api::RunDetail, Problem> {
        let current = self.run_for(who, run, Action::ReadRuns).await?;
        if current.attempt == attempt {
            return self.run(who, run).await;
        }
        let found = self.store.get::<Attempt>(&Attempt::key(current.id, attempt)).await.map_err(stored)?;
        let missing = || {
            Problem::not_found(format!("the run {run} has no attempt {attempt}; it has {}", current.attempt))
        };
        let mut view = detail(&found.ok_or_else(missing)?.value.run);
        view.artifacts = self.artifact_views(current.id).await?;
        Ok(view)
    }

    /// A job of a run, or of an earlier attempt of it.
    pub(crate) async fn job_of_any_attempt(&self, run: &Run, job: JobId) -> Result<Option<Job>, StoreError> {
        if let Some(found) = run.job(job) {
            return Ok(Some(found.clone()));
        }
        if run.attempt == 1 {
            return Ok(None);
        }
        Ok(self.earlier(run.id).await?.iter().find_map(|attempt| attempt.run.job(job).cloned()))
    }

    /// The earlier attempts of a run, newest first.
    async fn earlier(&self, run: RunId) -> Result<Vec<Attempt>, StoreError> {
        let query =
            Query { parent: Some(run.to_string()), newest_first: true, limit: MOST, ..Query::default() };
        Ok(self.store.list::<Attempt>(&query).await?.into_iter().map(|found| found.value).collect())
    }
}
