//! Environments, releases, deployments and services as the API tells them.

use std::collections::BTreeMap;

use windlass_api as api;
use windlass_api::Problem;
use windlass_delivery::{Deployment, DeploymentState, Instance, Manifest, Release};
use windlass_identity::{Action, Principal};
use windlass_kernel::{EnvironmentName, ProjectName, Query, ReleaseId, ServiceName, StoreExt as _};
use windlass_runtime::Observed;
use windlass_web::Page;

use crate::context::{Context, internal, may_project, parse, stored};
use crate::delivery::environment::{EnvironmentDoc, environment_id};
use crate::delivery::{instance_dir, routes};

type Answer<T> = Result<T, Problem>;

/// Entries of a list when no number is asked for.
const DEFAULT: usize = 50;

pub(crate) fn release_view(release: &Release) -> api::ReleaseView {
    api::ReleaseView {
        id: release.id.to_string(),
        number: release.number,
        project: release.project.to_string(),
        sha: release.sha.clone(),
        title: release.title.clone(),
        run: release.run.map(|r| r.to_string()),
        images: release.images.iter().map(|(s, i)| (s.to_string(), i.digest.to_string())).collect(),
        created_at: release.created_at,
        created_by: release.created_by.to_string(),
    }
}

fn state_view(state: &DeploymentState) -> api::DeploymentState {
    match state {
        DeploymentState::Queued => api::DeploymentState::Queued,
        DeploymentState::Running { .. } => api::DeploymentState::Running,
        DeploymentState::RollingBack { .. } => api::DeploymentState::RollingBack,
        DeploymentState::Succeeded { .. } => api::DeploymentState::Succeeded,
        DeploymentState::Failed { .. } => api::DeploymentState::Failed,
        DeploymentState::RolledBack { .. } => api::DeploymentState::RolledBack,
        DeploymentState::Cancelled { .. } => api::DeploymentState::Cancelled,
    }
}

impl Context {
    pub(crate) async fn deployment_view(&self, deployment: &Deployment) -> Answer<api::DeploymentView> {
        let release = self.release(deployment.release).await?;
        let failure = deployment.state.failure();
        let cause = serde_json::to_value(deployment.cause).ok();
        Ok(api::DeploymentView {
            id: deployment.id.to_string(),
            project: deployment.project.to_string(),
            environment: deployment.environment.to_string(),
            strategy: deployment.strategy.word().to_owned(),
            cause: cause.and_then(|c| c.as_str().map(str::to_owned)).unwrap_or_default(),
            state: state_view(&deployment.state),
            reason: deployment.reason(),
            log: deployment
                .log
                .iter()
                .map(|s| api::DeploymentStep { at: s.at, text: s.text.clone() })
                .collect(),
            last_health: failure.and_then(|f| f.last_health.clone()),
            last_lines: failure.map(|f| f.last_lines.clone()).unwrap_or_default(),
            created_at: deployment.created_at,
            finished_at: deployment.state.finished_at(),
            created_by: deployment.created_by.to_string(),
            urls: self.urls(&release.manifest, &deployment.project, &deployment.environment),
            release: release_view(&release),
        })
    }

    /// The addresses of an environment's services through the gateway.
    fn urls(
        &self,
        manifest: &Manifest,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> BTreeMap<String, String> {
        let port = self.endpoint.gateway_url.rsplit(':').next().unwrap_or("80");
        let doc = EnvironmentDoc::new(project, environment);
        let url = |service: &ServiceName| {
            let (host, path) = routes::address(manifest, &doc, service)?;
            Some((service.to_string(), format!("http://{host}:{port}{}", path.trim_end_matches('/'))))
        };
        manifest.services.keys().filter_map(url).collect()
    }

    pub(crate) async fn releases(
        &self,
        who: &Principal,
        project: &str,
        page: &Page,
    ) -> Answer<Vec<api::ReleaseView>> {
        let project: ProjectName = parse(project)?;
        may_project(who, Action::ReadProject, &project)?;
        let limit = if page.limit == 0 { DEFAULT } else { page.limit.min(500) };
        let query = Query {
            parent: Some(project.to_string()),
            after: page.before.clone(),
            limit,
            newest_first: true,
            ..Query::default()
        };
        let found = self.store.list::<Release>(&query).await.map_err(stored)?;
        Ok(found.iter().map(|r| release_view(&r.value)).collect())
    }

    pub(crate) async fn deployments(
        &self,
        who: &Principal,
        project: &str,
        environment: Option<&str>,
        page: &Page,
    ) -> Answer<Vec<api::DeploymentView>> {
        let project: ProjectName = parse(project)?;
        may_project(who, Action::ReadProject, &project)?;
        let environment: Option<EnvironmentName> = environment.map(parse).transpose()?;
        let limit = if page.limit == 0 { DEFAULT } else { page.limit.min(500) };
        let found =
            self.deployments_of(&project, environment.as_ref(), page.before.as_deref(), limit).await?;
        let mut views = Vec::with_capacity(found.len());
        for deployment in &found {
            views.push(self.deployment_view(deployment).await?);
        }
        Ok(views)
    }

    pub(crate) async fn deployment(&self, who: &Principal, id: &str) -> Answer<api::DeploymentView> {
        let missing = || Problem::not_found(format!("there is no deployment {id}"));
        let found = self.store.get::<Deployment>(id).await.map_err(stored)?.ok_or_else(missing)?;
        may_project(who, Action::ReadProject, &found.value.project)?;
        self.deployment_view(&found.value).await
    }

    /// A deployment of the caller's own run.
    pub(crate) async fn job_deployment(
        &self,
        who: &Principal,
        job: &str,
        id: &str,
    ) -> Answer<api::DeploymentView> {
        let bearer = self.bearer(who, job, Action::Deploy).await?;
        let missing = || Problem::not_found(format!("there is no deployment {id}"));
        let found = self.store.get::<Deployment>(id).await.map_err(stored)?.ok_or_else(missing)?;
        let release = self.release(found.value.release).await?;
        if release.run != Some(bearer.run.id) {
            return Err(missing());
        }
        self.deployment_view(&found.value).await
    }

    pub(crate) async fn environments(
        &self,
        who: &Principal,
        project: &str,
    ) -> Answer<Vec<api::EnvironmentView>> {
        let project: ProjectName = parse(project)?;
        may_project(who, Action::ReadProject, &project)?;
        let query = Query { parent: Some(project.to_string()), ..Query::default() };
        let docs = self.store.list::<EnvironmentDoc>(&query).await.map_err(stored)?;
        let manifest = self.newest_manifest(&project).await?;
        let mut names: Vec<EnvironmentName> =
            manifest.iter().flat_map(|m| m.environments.iter().map(|e| e.name.clone())).collect();
        for doc in &docs {
            if !names.contains(&doc.value.name) {
                names.push(doc.value.name.clone());
            }
        }
        let approvals = self.approvals(who, Some(project.as_str())).await?;
        let mut views = Vec::new();
        for name in names {
            let doc = docs.iter().find(|d| d.value.name == name).map(|d| d.value.clone());
            let mut view = self.environment_view(&project, &name, doc, manifest.as_ref()).await?;
            view.approvals = approvals.iter().filter(|a| a.environment == view.name).cloned().collect();
            views.push(view);
        }
        Ok(views)
    }

    /// The manifest of the default branch; where that has none that can be read, of the newest release.
    async fn newest_manifest(&self, project: &ProjectName) -> Answer<Option<Manifest>> {
        let query =
            Query { parent: Some(project.to_string()), newest_first: true, limit: 1, ..Query::default() };
        let newest =
            self.store.list::<Release>(&query).await.map_err(stored)?.pop().map(|r| r.value.manifest);
        let Ok(repository) = self.repositories.get(project) else { return Ok(newest) };
        let Ok(branch) = repository.default_branch().await else { return Ok(newest) };
        let Ok(Some(tip)) = repository.resolve(branch.as_str()).await else { return Ok(newest) };
        let read = crate::runs::manifest_at(self, project, tip.as_str()).await;
        let read = read.map_err(|e| internal("windlass.yml cannot be read", &e))?;
        Ok(read.and_then(Result::ok).or(newest))
    }

    async fn environment_view(
        &self,
        project: &ProjectName,
        name: &EnvironmentName,
        doc: Option<EnvironmentDoc>,
        manifest: Option<&Manifest>,
    ) -> Answer<api::EnvironmentView> {
        let declared = manifest.and_then(|m| m.environment(name));
        let mut recent = Vec::new();
        for deployment in &self.deployments_of(project, Some(name), None, 10).await? {
            recent.push(self.deployment_view(deployment).await?);
        }
        let active = recent.iter().find(|d| {
            matches!(
                d.state,
                api::DeploymentState::Running
                    | api::DeploymentState::RollingBack
                    | api::DeploymentState::Queued
            )
        });
        let doc = doc.unwrap_or_else(|| EnvironmentDoc::new(project, name));
        let live = self.release_of(doc.live.as_ref().map(|l| l.release)).await?;
        let warm = self.release_of(doc.warm.as_ref().map(|l| l.release)).await?;
        Ok(api::EnvironmentView {
            name: name.to_string(),
            after: declared.and_then(|d| d.after.as_ref()).map(ToString::to_string),
            reviewers: declared
                .map(windlass_delivery::manifest::Environment::reviewer_names)
                .unwrap_or_default(),
            branches: declared
                .map(|d| d.branches.iter().map(|b| b.as_str().to_owned()).collect())
                .unwrap_or_default(),
            live: live.as_ref().map(release_view),
            live_since: doc.live.as_ref().map(|l| l.since),
            warm: warm.as_ref().map(release_view),
            active: active.cloned(),
            services: self.summaries(&doc, live.as_ref()).await?,
            recent,
            approvals: Vec::new(),
            requires: declared.map(|d| d.require.words()).unwrap_or_default(),
        })
    }

    async fn release_of(&self, id: Option<ReleaseId>) -> Answer<Option<Release>> {
        match id {
            Some(id) => self.release(id).await.map(Some),
            None => Ok(None),
        }
    }

    async fn instances_of(&self, doc: &EnvironmentDoc) -> Answer<Vec<Instance>> {
        let query = Query { parent: Some(environment_id(&doc.project, &doc.name)), ..Query::default() };
        let found = self.store.list::<Instance>(&query).await.map_err(stored)?;
        Ok(found.into_iter().map(|i| i.value).collect())
    }

    async fn summaries(
        &self,
        doc: &EnvironmentDoc,
        live: Option<&Release>,
    ) -> Answer<Vec<api::ServiceSummary>> {
        let Some(release) = live else { return Ok(Vec::new()) };
        let instances = self.instances_of(doc).await?;
        let urls = self.urls(&release.manifest, &doc.project, &doc.name);
        let specs = release.manifest.for_environment(&doc.name, &doc.project);
        let summary = |spec: &windlass_delivery::ServiceSpec| {
            let routed = doc.routes.get(&spec.name);
            let healthy =
                instances.iter().filter(|i| routed.is_some_and(|r| r.contains(&i.id)) && i.state.ready());
            api::ServiceSummary {
                project: doc.project.to_string(),
                environment: doc.name.to_string(),
                name: spec.name.to_string(),
                url: urls.get(spec.name.as_str()).cloned(),
                image: release.images.get(&spec.name).map(|i| i.digest.to_string()),
                healthy: healthy.count() as u32,
                wanted: spec.service.replicas,
            }
        };
        Ok(specs.iter().filter(|s| release.images.contains_key(&s.name)).map(summary).collect())
    }

    pub(crate) async fn services(
        &self,
        who: &Principal,
        project: Option<&str>,
    ) -> Answer<Vec<api::ServiceSummary>> {
        let parent = project.map(parse::<ProjectName>).transpose()?.map(|p| p.to_string());
        let query = Query { parent, ..Query::default() };
        let mut views = Vec::new();
        for doc in self.store.list::<EnvironmentDoc>(&query).await.map_err(stored)? {
            if may_project(who, Action::ReadProject, &doc.value.project).is_err() {
                continue;
            }
            let live = self.release_of(doc.value.live.as_ref().map(|l| l.release)).await?;
            views.extend(self.summaries(&doc.value, live.as_ref()).await?);
        }
        Ok(views)
    }

    /// The environment and name of a service that exists.
    pub(crate) async fn service_named(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
        service: &str,
        action: Action,
    ) -> Answer<(EnvironmentDoc, ServiceName)> {
        let project: ProjectName = parse(project)?;
        may_project(who, action, &project)?;
        let environment: EnvironmentName = parse(environment)?;
        let service: ServiceName = parse(service)?;
        let doc = self.environment(&project, &environment).await?;
        let missing =
            || Problem::not_found(format!("nothing of {service} was deployed to {environment} of {project}"));
        Ok((doc.ok_or_else(missing)?, service))
    }

    pub(crate) async fn service(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
        service: &str,
    ) -> Answer<api::ServiceView> {
        let (doc, name) = self.service_named(who, project, environment, service, Action::ReadProject).await?;
        let live = self.release_of(doc.live.as_ref().map(|l| l.release)).await?;
        let summaries = self.summaries(&doc, live.as_ref()).await?;
        let health = live.as_ref().and_then(|r| {
            let specs = r.manifest.for_environment(&doc.name, &doc.project);
            specs.into_iter().find(|s| s.name == name).map(|s| s.service.health.words())
        });
        let summary =
            summaries.into_iter().find(|s| s.name == name.as_str()).unwrap_or_else(|| api::ServiceSummary {
                project: doc.project.to_string(),
                environment: doc.name.to_string(),
                name: name.to_string(),
                url: None,
                image: None,
                healthy: 0,
                wanted: 0,
            });
        let mut instances = Vec::new();
        for instance in self.instances_of(&doc).await?.into_iter().filter(|i| i.service == name) {
            instances.push(self.instance_view(&doc, &instance).await);
        }
        Ok(api::ServiceView {
            summary,
            instances,
            health: health.unwrap_or_default(),
            release: live.as_ref().map(release_view),
        })
    }

    async fn instance_view(&self, doc: &EnvironmentDoc, instance: &Instance) -> api::InstanceView {
        let routed = doc.routes.get(&instance.service).is_some_and(|r| r.contains(&instance.id));
        let observed = self.instances.observe(&instance_dir(&self.data, instance.id)).await;
        let usage = match observed {
            Ok(Observed::Running { usage, .. }) => Some(usage),
            _ => None,
        };
        let number = self
            .release(instance.release)
            .await
            .map_or_else(|_| instance.release.to_string(), |r| r.number.to_string());
        api::InstanceView {
            id: instance.id.to_string(),
            release: number,
            state: instance.state.word().to_owned(),
            routed,
            address: format!("127.0.0.1:{}", instance.port),
            started_at: instance.started_at,
            restarts: instance.restarts,
            last_health: instance.last_health.as_ref().map(|h| h.text.clone()),
            cpu_millis: self.telemetry.cpu_millis(instance.id),
            memory_bytes: usage.map(|u| u.memory_bytes),
            sandbox: self.capabilities.level.name().to_owned(),
        }
    }

    /// How many instances run, of all services.
    pub(crate) async fn running_instances(&self) -> Answer<u64> {
        let found = self.store.list::<Instance>(&Query::default()).await.map_err(stored)?;
        Ok(found.iter().filter(|i| i.value.state.ready()).count() as u64)
    }
}
