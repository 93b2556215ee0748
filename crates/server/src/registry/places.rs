//! Where an image runs, and which run it comes from.

use windlass_api as api;
use windlass_api::Problem;
use windlass_delivery::Release;
use windlass_kernel::{Actor, Digest, Query, StoreExt as _};
use windlass_oci::RepositoryName;
use windlass_pipeline::Run;

use crate::context::{Context, stored};
use crate::delivery::EnvironmentDoc;
use crate::images::split_reference;

impl Context {
    /// The services that run an image now, by environment.
    pub(super) async fn image_runs(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Vec<api::ImageRunsView>, Problem> {
        let parent = name.project().map(|project| project.to_string());
        let query = Query { parent, ..Query::default() };
        let mut runs = Vec::new();
        for environment in self.store.list::<EnvironmentDoc>(&query).await.map_err(stored)? {
            let EnvironmentDoc { live, name: environment, .. } = environment.value;
            let Some(live) = live else { continue };
            let release = self.store.get::<Release>(&live.release.to_string()).await.map_err(stored)?;
            let Some(release) = release else { continue };
            for (service, image) in &release.value.images {
                let here = split_reference(&image.reference).is_some_and(|(of, _)| of == *name);
                if here && image.digest == *digest {
                    runs.push(api::ImageRunsView {
                        environment: environment.to_string(),
                        service: service.to_string(),
                        since: live.since,
                        release: release.value.number,
                        title: release.value.title.clone(),
                    });
                }
            }
        }
        Ok(runs)
    }

    /// The run that pushed something, if a run did and is still kept.
    pub(super) async fn image_origin(
        &self,
        pushed_by: &Actor,
    ) -> Result<Option<api::ImageOriginView>, Problem> {
        let Actor::Run(id) = pushed_by else { return Ok(None) };
        let run = self.store.get::<Run>(&id.to_string()).await.map_err(stored)?;
        Ok(run.map(|run| api::ImageOriginView {
            run: run.value.id.to_string(),
            workflow: run.value.workflow.name,
            number: run.value.number,
            git_ref: run.value.git_ref,
            sha: run.value.sha,
            title: run.value.title,
            actor: run.value.actor.to_string(),
        }))
    }
}
