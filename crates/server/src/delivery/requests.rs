//! Asking for deployments: by a job, by a person, and back again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use windlass_api as api;
use windlass_api::Problem;
use windlass_api::runner as wire;
use windlass_delivery::{Cause, Deployment, DeploymentState, Image, Manifest, Release, Strategy};
use windlass_identity::{Action, Principal};
use windlass_kernel::{
    Actor, Batch, DeploymentId, Digest, Document, EnvironmentName, JobId, NewEvent, ProjectName, Query,
    ReleaseId, ServiceName, StoreError, StoreExt as _,
};
use windlass_oci::{Reference, RepositoryName};
use windlass_pipeline::Run;

use crate::context::{Context, internal, may_project, parse, stored};
use crate::delivery::environment::{EnvironmentDoc, environment_id};
use crate::delivery::rounds::event_of;
use crate::delivery::routes;
use crate::images::split_reference;
use crate::runs::{Bearer, admits, manifest_at};

type Answer<T> = Result<T, Problem>;

/// So many deployments of an environment are looked through for what was live there.
const FAR_BACK: usize = 1000;

/// What a hand-out of a job asked to be deployed: the same once more is the same deployment.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct DeployOrder {
    job: JobId,
    hand_out: u32,
    release: ReleaseId,
    deployment: String,
}

impl DeployOrder {
    fn of(bearer: &Bearer, release: &Release) -> Self {
        Self {
            job: bearer.job.id,
            hand_out: bearer.job.tries,
            release: release.id,
            deployment: String::new(),
        }
    }
}

impl Document for DeployOrder {
    const KIND: &'static str = "deploy_order";

    fn id(&self) -> String {
        format!("{}:{}:{}", self.job, self.hand_out, self.release)
    }
}

impl Context {
    /// `uses: windlass/deploy@v1`: makes a release of the images and deploys it to the job's environment.
    pub(crate) async fn start_deployment(
        &self,
        who: &Principal,
        job: &str,
        how: wire::StartDeployment,
    ) -> Answer<api::DeploymentView> {
        let bearer = self.bearer(who, job, Action::Deploy).await?;
        let run = &bearer.run;
        let environment = bearer.job.environment.as_deref().ok_or_else(|| {
            Problem::invalid(format!(
                "the job `{}` has no `environment:`: say where it deploys to",
                bearer.job.key
            ))
        })?;
        let environment: EnvironmentName = parse(environment)?;
        if !bearer.job.deployment {
            return Err(Problem::invalid(format!(
                "the job `{}` says `deployment: false` of its environment {environment}: it does not deploy there",
                bearer.job.key
            )));
        }
        let manifest = manifest_at(self, &run.project, &run.sha)
            .await
            .map_err(|e| internal("windlass.yml cannot be read", &e))?;
        let manifest = match manifest {
            None => {
                return Err(Problem::invalid(
                    "there is no windlass.yml at the root of the repository at this commit: it says which services there are",
                ));
            }
            Some(Err(findings)) => return Err(Problem::invalid(findings)),
            Some(Ok(manifest)) => manifest,
        };
        let images = self.images_of(&run.project, &manifest, &how.images).await?;
        let release = self.release_for(run, &manifest, images, &environment, &who.actor).await?;
        if manifest.environment(&environment).is_none() {
            return Err(Problem::invalid(format!("windlass.yml declares no environment {environment}")));
        }
        self.evidence_of(&release).await?;
        let admitted = admits(self, run, &environment, &release.digests()).await;
        admitted
            .map_err(|e| internal("the environment's rules cannot be checked", &e))?
            .map_err(Problem::forbidden)?;
        self.routes_are_free(&release, &environment).await?;
        let order = DeployOrder::of(&bearer, &release);
        let deployment = self.ordered(&order).await?;
        let deployment = match deployment {
            Some(deployment) => deployment,
            None => self.queue(&release, &environment, Cause::Deploy, &run.actor, Some(order)).await?,
        };
        self.deployment_view(&deployment).await
    }

    /// The deployment that this order has made already: the answer got lost, or the job was queued again after a crash.
    /// One that ended badly counts for its own hand-out only; the next one tries again.
    async fn ordered(&self, order: &DeployOrder) -> Answer<Option<Deployment>> {
        for hand_out in (1..=order.hand_out).rev() {
            let known = DeployOrder { hand_out, ..order.clone() };
            let Some(known) = self.store.get::<DeployOrder>(&known.id()).await.map_err(stored)? else {
                continue;
            };
            let Some(found) = self.store.get::<Deployment>(&known.value.deployment).await.map_err(stored)?
            else {
                continue;
            };
            let badly = matches!(
                found.value.state,
                DeploymentState::Failed { .. }
                    | DeploymentState::RolledBack { .. }
                    | DeploymentState::Cancelled { .. }
            );
            if hand_out == order.hand_out || !badly {
                return Ok(Some(found.value));
            }
        }
        Ok(None)
    }

    /// Each service's image, which must be in the registry.
    async fn images_of(
        &self,
        project: &ProjectName,
        manifest: &Manifest,
        asked: &BTreeMap<String, String>,
    ) -> Answer<BTreeMap<ServiceName, Image>> {
        let mut images = BTreeMap::new();
        for (name, text) in asked {
            let service = match name.as_str() {
                "" => match manifest.services.keys().collect::<Vec<_>>()[..] {
                    [only] => only.clone(),
                    _ => {
                        return Err(Problem::invalid(
                            "windlass.yml has several services: give `images:` with a line `service=image` for each",
                        ));
                    }
                },
                name => parse(name)?,
            };
            if !manifest.services.contains_key(&service) {
                return Err(Problem::invalid(format!("windlass.yml has no service {service}")));
            }
            let (repository, digest) = image_named(project, text)?;
            let found = self.images.registry.resolve(&repository, &Reference::Digest(digest.clone())).await;
            found.map_err(|_| {
                Problem::invalid(format!(
                    "the registry has no image {repository}@{digest}; build or push it first"
                ))
            })?;
            let host = self.endpoint.url.trim_start_matches("http://");
            let reference = format!("{host}/{repository}@{digest}");
            images.insert(service, Image { digest, reference });
        }
        if images.is_empty() {
            return Err(Problem::invalid("no image was given: set the step's input `image`"));
        }
        Ok(images)
    }

    /// Lets statements be made about a release's images where there are none: pushed before this platform made any.
    async fn evidence_of(&self, release: &Release) -> Answer<()> {
        if release.manifest.environments.iter().all(|e| e.require.is_empty()) {
            return Ok(());
        }
        for image in release.images.values() {
            if let Some((repository, digest)) = split_reference(&image.reference) {
                let known = crate::evidence::bring_up_to_date(self, &repository, &digest).await;
                known.map_err(|e| {
                    internal("the evidence of an image cannot be gathered", &format!("{e:#}"))
                })?;
            }
        }
        Ok(())
    }

    /// The run's release of these images: the same one for every environment it goes to.
    async fn release_for(
        &self,
        run: &Run,
        manifest: &Manifest,
        images: BTreeMap<ServiceName, Image>,
        environment: &EnvironmentName,
        by: &Actor,
    ) -> Answer<Release> {
        let query = Query {
            parent: Some(run.project.to_string()),
            newest_first: true,
            limit: 200,
            ..Query::default()
        };
        let known = self.store.list::<Release>(&query).await.map_err(stored)?;
        let same = |r: &Release| {
            r.run == Some(run.id)
                && r.images == images
                && r.sha == run.sha
                && r.config.contains_key(environment)
        };
        if let Some(found) = known.into_iter().map(|r| r.value).find(same) {
            return Ok(found);
        }
        let mut config = BTreeMap::new();
        for declared in &manifest.environments {
            config.insert(declared.name.clone(), self.config_versions(&run.project, &declared.name).await?);
        }
        let text =
            crate::source::text_at(self, &run.project, &run.sha, windlass_delivery::manifest::FILE).await;
        let text = text.map_err(|e| internal("windlass.yml cannot be read", &e))?.unwrap_or_default();
        let number = self.store.next_number(&format!("release/{}", run.project)).await.map_err(stored)?;
        let release = Release {
            id: ReleaseId::new(&self.ids),
            number,
            project: run.project.clone(),
            sha: run.sha.clone(),
            title: run.title.clone(),
            run: Some(run.id),
            manifest_text: text,
            manifest: manifest.clone(),
            images,
            config,
            created_at: self.now(),
            created_by: by.clone(),
        };
        let event = NewEvent::new(self.now(), by.clone(), "release.created", release.id)
            .project(&release.project)
            .data(json!({"number": number, "sha": release.sha, "run": run.id, "digests": release.digests()}));
        self.commit(Batch::new().create(&release).event(event)).await.map_err(stored)?;
        Ok(release)
    }

    /// Puts a deployment into its environment's queue.
    async fn queue(
        &self,
        release: &Release,
        environment: &EnvironmentName,
        cause: Cause,
        by: &Actor,
        order: Option<DeployOrder>,
    ) -> Answer<Deployment> {
        let specs = release.manifest.for_environment(environment, &release.project);
        let blue_green = specs.iter().any(|s| s.service.strategy == Strategy::BlueGreen);
        let deployment = Deployment {
            id: DeploymentId::new(&self.ids),
            project: release.project.clone(),
            environment: environment.clone(),
            release: release.id,
            previous: None,
            strategy: if blue_green { Strategy::BlueGreen } else { Strategy::Rolling },
            cause,
            created_at: self.now(),
            created_by: by.clone(),
            state: DeploymentState::Queued,
            log: Vec::new(),
        };
        let order = order.map(|o| DeployOrder { deployment: deployment.id.to_string(), ..o });
        let id = environment_id(&release.project, environment);
        for last in [false, false, true] {
            let event = event_of(&deployment, "deployment.created", self.now());
            let mut batch = Batch::new().create(&deployment).event(event);
            if let Some(order) = &order {
                batch = batch.create(order);
            }
            if self.store.get::<EnvironmentDoc>(&id).await.map_err(stored)?.is_none() {
                batch = batch.create(&EnvironmentDoc::new(&release.project, environment));
            }
            match self.commit(batch).await {
                Ok(_) => break,
                // Two first deployments at a time both want to make the environment.
                Err(StoreError::Conflict { kind, .. }) if kind == EnvironmentDoc::KIND && !last => {}
                Err(e) => return Err(stored(e)),
            }
        }
        self.delivery_changed.notify_one();
        Ok(deployment)
    }

    /// Deploys a release that exists, by hand: the environment's rules hold here as well.
    pub(crate) async fn deploy(
        &self,
        who: &Principal,
        project: &str,
        how: api::CreateDeployment,
    ) -> Answer<api::DeploymentView> {
        let project: ProjectName = parse(project)?;
        may_project(who, Action::Deploy, &project)?;
        let environment: EnvironmentName = parse(&how.environment)?;
        let release = self.release_named(&project, &how.release).await?;
        if release.manifest.environment(&environment).is_none() {
            return Err(Problem::invalid(format!(
                "release {} declares no environment {environment}",
                release.number
            )));
        }
        if !self.was_live(&release, &environment).await? {
            let run = match release.run {
                Some(run) => self.store.get::<Run>(&run.to_string()).await.map_err(stored)?,
                None => None,
            };
            let run = run.ok_or_else(|| {
                Problem::conflict(format!(
                    "release {} has no run whose approvals could count",
                    release.number
                ))
            })?;
            self.evidence_of(&release).await?;
            let admitted = admits(self, &run.value, &environment, &release.digests()).await;
            admitted
                .map_err(|e| internal("the environment's rules cannot be checked", &e))?
                .map_err(Problem::forbidden)?;
        }
        self.routes_are_free(&release, &environment).await?;
        let live = self.environment(&project, &environment).await?.and_then(|e| e.live);
        let cause =
            if live.is_some_and(|l| l.release == release.id) { Cause::Redeploy } else { Cause::Deploy };
        let deployment = self.queue(&release, &environment, cause, &who.actor, None).await?;
        self.deployment_view(&deployment).await
    }

    /// Back to the release before, or to a named one that was live there: no rules are asked, it passed them.
    pub(crate) async fn rollback(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
        how: api::Rollback,
    ) -> Answer<api::DeploymentView> {
        let project: ProjectName = parse(project)?;
        may_project(who, Action::Rollback, &project)?;
        let environment: EnvironmentName = parse(environment)?;
        let state = self.environment(&project, &environment).await?;
        let state = state.ok_or_else(|| {
            Problem::not_found(format!("nothing was ever deployed to {environment} of {project}"))
        })?;
        let live = state.live.as_ref().map(|l| l.release);
        let query = Query {
            parent: Some(environment_id(&project, &environment)),
            states: vec!["active".to_owned()],
            ..Query::default()
        };
        let active = self.store.list::<Deployment>(&query).await.map_err(stored)?.pop();
        if let Some(active) = active.filter(|d| {
            how.release.is_none()
                && d.value.cause != Cause::Rollback
                && matches!(d.value.state, DeploymentState::Running { .. })
        }) {
            return self.abandon(who, &active.value).await;
        }
        let done = self.deployments_of(&project, Some(&environment), None, FAR_BACK).await?;
        let succeeded = |id: ReleaseId| {
            done.iter().any(|d| d.release == id && matches!(d.state, DeploymentState::Succeeded { .. }))
        };
        let target = match &how.release {
            Some(named) => {
                let release = self.release_named(&project, named).await?;
                if !succeeded(release.id) {
                    return Err(Problem::conflict(format!(
                        "release {} was never live in {environment}; deploy it instead",
                        release.number
                    )));
                }
                release
            }
            None => {
                let before = state.warm.as_ref().map(|w| w.release).filter(|w| Some(*w) != live);
                let older = done.iter().find(|d| {
                    Some(d.release) != live && matches!(d.state, DeploymentState::Succeeded { .. })
                });
                let id = before.or(older.map(|d| d.release));
                let id = id.ok_or_else(|| {
                    Problem::conflict(format!("no release was live in {environment} before this one"))
                })?;
                self.release(id).await?
            }
        };
        if live == Some(target.id) {
            return Err(Problem::conflict(format!(
                "release {} is live in {environment} already",
                target.number
            )));
        }
        let deployment = self.queue(&target, &environment, Cause::Rollback, &who.actor, None).await?;
        self.deployment_view(&deployment).await
    }

    /// Whether a release has succeeded in an environment.
    async fn was_live(&self, release: &Release, environment: &EnvironmentName) -> Answer<bool> {
        let before = self.deployments_of(&release.project, Some(environment), None, FAR_BACK).await?;
        let here =
            |d: &Deployment| d.release == release.id && matches!(d.state, DeploymentState::Succeeded { .. });
        Ok(before.iter().any(here))
    }

    /// Two environments cannot have one address: said before anything is started.
    async fn routes_are_free(&self, release: &Release, environment: &EnvironmentName) -> Answer<()> {
        let taken = routes::conflict(self, &release.manifest, &release.project, environment).await;
        match taken.map_err(|e| internal("the routes cannot be checked", &e))? {
            Some(why) => Err(Problem::conflict(why)),
            None => Ok(()),
        }
    }

    /// Going back while a deployment is under way means: that one shall not be. What was live before it stays.
    async fn abandon(&self, who: &Principal, active: &Deployment) -> Answer<api::DeploymentView> {
        for _ in 0..20 {
            let found = self.store.get::<Deployment>(&active.id.to_string()).await.map_err(stored)?;
            let found = found.ok_or_else(|| Problem::conflict("the deployment is gone"))?;
            let (now, version) = (self.now(), found.version);
            let next = found.value.cancel(&who.actor, now).map_err(|e| Problem::conflict(e.to_string()))?;
            let mut event = event_of(&next, "deployment.rolling_back", now);
            event.actor = who.actor.clone();
            match self.commit(Batch::new().update(&next, version).event(event)).await {
                Ok(_) => {
                    self.delivery_changed.notify_one();
                    return self.deployment_view(&next).await;
                }
                // The reconciler notes what it does in the same document.
                Err(StoreError::Conflict { .. }) => {}
                Err(e) => return Err(stored(e)),
            }
        }
        Err(Problem::conflict("the deployment changes too fast; repeat"))
    }

    pub(crate) async fn environment(
        &self,
        project: &ProjectName,
        name: &EnvironmentName,
    ) -> Answer<Option<EnvironmentDoc>> {
        let found = self.store.get::<EnvironmentDoc>(&environment_id(project, name)).await.map_err(stored)?;
        Ok(found.map(|f| f.value))
    }

    /// The newest deployments, of one environment or of all of a project's: newest first, those older than `before`,
    /// at most `limit`.
    pub(crate) async fn deployments_of(
        &self,
        project: &ProjectName,
        environment: Option<&EnvironmentName>,
        before: Option<&str>,
        limit: usize,
    ) -> Answer<Vec<Deployment>> {
        let of_project = Query { parent: Some(project.to_string()), ..Query::default() };
        let parents = match environment {
            Some(environment) => vec![environment_id(project, environment)],
            None => {
                let all = self.store.list::<EnvironmentDoc>(&of_project).await.map_err(stored)?;
                all.iter().map(|e| e.value.id()).collect()
            }
        };
        let mut found = Vec::new();
        for parent in parents {
            let query = Query {
                parent: Some(parent),
                after: before.map(str::to_owned),
                limit,
                newest_first: true,
                ..Query::default()
            };
            found.extend(self.store.list::<Deployment>(&query).await.map_err(stored)?);
        }
        // Ids sort by age.
        found.sort_by_key(|d| std::cmp::Reverse(d.value.id));
        found.truncate(limit);
        Ok(found.into_iter().map(|d| d.value).collect())
    }

    pub(crate) async fn release(&self, id: ReleaseId) -> Answer<Release> {
        let found = self.store.get::<Release>(&id.to_string()).await.map_err(stored)?;
        found.map(|f| f.value).ok_or_else(|| Problem::not_found(format!("there is no release {id}")))
    }

    async fn release_named(&self, project: &ProjectName, text: &str) -> Answer<Release> {
        if let Ok(id) = text.parse::<ReleaseId>() {
            let release = self.release(id).await?;
            if release.project != *project {
                return Err(Problem::not_found(format!("{project} has no release {text}")));
            }
            return Ok(release);
        }
        let query = Query { parent: Some(project.to_string()), ..Query::default() };
        let known = self.store.list::<Release>(&query).await.map_err(stored)?;
        let number = text.trim_start_matches('#').parse::<u64>().ok();
        let found = known.into_iter().map(|r| r.value).find(|r| Some(r.number) == number);
        found.ok_or_else(|| Problem::not_found(format!("{project} has no release {text}")))
    }
}

/// `sha256:…` of the project's own repository, or a name by digest.
fn image_named(project: &ProjectName, text: &str) -> Answer<(RepositoryName, Digest)> {
    let bad = || {
        Problem::invalid(format!(
            "`{text}` is not an image by digest: sha256:… or NAME@sha256:… is expected (a tag could change between staging and production)"
        ))
    };
    if text.contains('@') {
        let (repository, digest) = split_reference(text).ok_or_else(bad)?;
        if repository.as_str().split('/').next() != Some(project.as_str()) {
            return Err(Problem::forbidden(format!("{repository} belongs to another project")));
        }
        return Ok((repository, digest));
    }
    let digest = text.parse().map_err(|_| bad())?;
    Ok((parse(project.as_str())?, digest))
}
