//! What must stay whatever the registry's rules say: what runs, what is about to, what waits for somebody's word, and what
//! a rollback may want.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use windlass_delivery::{Deployment, DeploymentState, Instance, Release};
use windlass_kernel::{Actor, Digest, ProjectName, Query, ReleaseId, RunId, StoreError, StoreExt as _};
use windlass_oci::{RepositoryName, Root};
use windlass_pipeline::Run;

use crate::context::Context;
use crate::delivery::EnvironmentDoc;
use crate::images::split_reference;
use crate::runs::Approved as ApprovalDoc;

/// How many of each environment's last successful deployments may be gone back to.
const LAST_DEPLOYED: usize = 10;
/// How many of each project's last releases may still be deployed.
const LAST_RELEASED: usize = 10;

impl Context {
    /// The images that are needed, and why.
    pub(crate) async fn needed_images(&self) -> Result<Vec<Root>, StoreError> {
        let runs = self.runs_that_go_on().await?;
        let reasons = self.needed_releases(&runs).await?;
        let mut roots = self.made_for_later(&runs).await?;
        for release in self.store.list::<Release>(&Query::default()).await? {
            let Some(why) = reasons.get(&release.value.id) else { continue };
            for image in release.value.images.values() {
                if let Some((repository, _)) = split_reference(&image.reference) {
                    roots.insert(Root { repository, digest: image.digest.clone(), why: why.clone() });
                }
            }
        }
        Ok(roots.into_iter().collect())
    }

    /// Runs that are not over: one may wait for days until somebody approves what it made.
    async fn runs_that_go_on(&self) -> Result<BTreeSet<RunId>, StoreError> {
        let active = Query { states: vec!["active".to_owned()], ..Query::default() };
        Ok(self.store.list::<Run>(&active).await?.into_iter().map(|run| run.value.id).collect())
    }

    /// What runs that are not over pushed, and what an approval that is asked for would let through, whoever pushed it.
    async fn made_for_later(&self, runs: &BTreeSet<RunId>) -> Result<BTreeSet<Root>, StoreError> {
        let pending = Query { states: vec!["pending".to_owned()], ..Query::default() };
        let mut asked: BTreeMap<(ProjectName, Digest), String> = BTreeMap::new();
        for approval in self.store.list::<ApprovalDoc>(&pending).await? {
            let ApprovalDoc { project, environment, digests, .. } = approval.value;
            for digest in digests.into_values() {
                let why = format!("waits for an approval for {environment}");
                asked.entry((project.clone(), digest)).or_insert(why);
            }
        }
        let mut roots = BTreeSet::new();
        if runs.is_empty() && asked.is_empty() {
            return Ok(roots);
        }
        for record in self.images.registry.index().contents().await?.manifests {
            let why = match record.pushed_by {
                Actor::Run(run) if runs.contains(&run) => Some(format!("run {run} made it and goes on")),
                _ => None,
            };
            let project = record.repository.project();
            let why = why.or_else(|| asked.get(&(project.clone()?, record.digest.clone())).cloned());
            if let Some(why) = why {
                roots.insert(Root { repository: record.repository, digest: record.digest, why });
            }
        }
        Ok(roots)
    }

    async fn needed_releases(
        &self,
        runs: &BTreeSet<RunId>,
    ) -> Result<HashMap<ReleaseId, String>, StoreError> {
        let all = Query::default();
        let newest = Query { newest_first: true, ..Query::default() };
        let mut reasons: HashMap<ReleaseId, String> = HashMap::new();
        for instance in self.store.list::<Instance>(&all).await? {
            let Instance { release, environment, .. } = instance.value;
            reasons.entry(release).or_insert_with(|| format!("runs in {environment}"));
        }
        for environment in self.store.list::<EnvironmentDoc>(&all).await? {
            let EnvironmentDoc { live, warm, name, .. } = environment.value;
            for release in live.into_iter().chain(warm).map(|l| l.release) {
                reasons.entry(release).or_insert_with(|| format!("is live or warm in {name}"));
            }
        }
        let mut deployed: HashMap<String, usize> = HashMap::new();
        for deployment in self.store.list::<Deployment>(&newest).await? {
            let Deployment { release, previous, environment, project, state, .. } = deployment.value;
            if state.finished_at().is_none() {
                reasons.entry(release).or_insert_with(|| format!("is being deployed to {environment}"));
                if let Some(previous) = previous {
                    reasons.entry(previous).or_insert_with(|| format!("was live in {environment}"));
                }
                continue;
            }
            // What was never live nobody goes back to, and it must not push out what was.
            if !matches!(state, DeploymentState::Succeeded { .. }) {
                continue;
            }
            let count = deployed.entry(format!("{project}/{environment}")).or_default();
            *count += 1;
            if *count <= LAST_DEPLOYED {
                reasons.entry(release).or_insert_with(|| format!("{environment} may go back to it"));
            }
        }
        let mut released: HashMap<String, usize> = HashMap::new();
        for release in self.store.list::<Release>(&newest).await? {
            let count = released.entry(release.value.project.to_string()).or_default();
            *count += 1;
            if release.value.run.is_some_and(|run| runs.contains(&run)) {
                reasons.entry(release.value.id).or_insert_with(|| "its run goes on".to_owned());
            }
            if *count <= LAST_RELEASED {
                reasons.entry(release.value.id).or_insert_with(|| "was released lately".to_owned());
            }
        }
        Ok(reasons)
    }

    /// By image, the environments in which it runs now.
    pub(crate) async fn running_images(
        &self,
        of: Option<&RepositoryName>,
    ) -> Result<BTreeMap<(RepositoryName, Digest), BTreeSet<String>>, StoreError> {
        let parent = of.and_then(RepositoryName::project).map(|project| project.to_string());
        let query = Query { parent, ..Query::default() };
        let releases = self.store.list::<Release>(&query).await?;
        let releases: HashMap<ReleaseId, Release> =
            releases.into_iter().map(|r| (r.value.id, r.value)).collect();
        let mut running: BTreeMap<(RepositoryName, Digest), BTreeSet<String>> = BTreeMap::new();
        for environment in self.store.list::<EnvironmentDoc>(&query).await? {
            let EnvironmentDoc { live, name, .. } = environment.value;
            let Some(release) = live.and_then(|live| releases.get(&live.release)) else { continue };
            for image in release.images.values() {
                if let Some((repository, digest)) = split_reference(&image.reference) {
                    running.entry((repository, digest)).or_default().insert(name.to_string());
                }
            }
        }
        Ok(running)
    }
}
