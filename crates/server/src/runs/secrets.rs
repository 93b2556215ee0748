//! The secrets that go along with a job.

use std::collections::BTreeMap;

use windlass_api::Problem;
use windlass_kernel::{EnvironmentName, Secret};
use windlass_pipeline::{Job, Run, secrets};

use crate::context::Context;

impl Context {
    /// The secrets of a job: the project's and its environment's; in a called workflow the project's as far as the
    /// caller hands them on. An untrusted run gets none. `token` is what `secrets.GITHUB_TOKEN` means there.
    pub(crate) async fn secrets_of(
        &self,
        run: &Run,
        job: &Job,
        environment: Option<&EnvironmentName>,
        token: &Secret<String>,
    ) -> Result<BTreeMap<String, Secret<String>>, Problem> {
        if run.untrusted {
            // What is not there is empty in an expression, as on GitHub.
            return Ok(BTreeMap::new());
        }
        let whole = self.job_secrets(&run.project, environment).await?;
        if job.parent.is_none() {
            return Ok(whole);
        }
        let mut given = self.job_secrets(&run.project, None).await?;
        // What the environment adds or says otherwise is the environment's own, and holds whatever is handed on.
        let own: Vec<(String, Secret<String>)> = whole
            .into_iter()
            .filter(|(name, value)| given.get(name).is_none_or(|known| known.expose() != value.expose()))
            .collect();
        given.insert("GITHUB_TOKEN".to_owned(), token.clone());
        let mut handed = secrets(run, job.id, given).map_err(Problem::conflict)?;
        handed.remove("GITHUB_TOKEN");
        handed.extend(own);
        Ok(handed)
    }
}
