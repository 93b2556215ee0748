//! The calls of runners and job units.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use futures_util::StreamExt as _;
use windlass_api as api;
use windlass_api::runner as wire;
use windlass_api::{ErrorCode, Problem};
use windlass_identity::{Action, Principal};
use windlass_kernel::{Batch, NewEvent};
use windlass_oci::{AssembleError, AssembleSpec, Base, BlobError, ByteStream, RepositoryName, Tag};
use windlass_web::{Answer, Download, RunnerPlatform};

use crate::context::{Context, internal, parse, stored};

/// Control as runners see it.
#[derive(Clone, Debug)]
pub(crate) struct Runners(pub(crate) Arc<Context>);

impl Context {
    /// `uses: windlass/build@v1`.
    async fn build_image(
        &self,
        who: &Principal,
        job: &str,
        wanted: wire::BuildImage,
        body: Body,
    ) -> Answer<wire::BuiltImage> {
        let bearer = self.bearer(who, job, Action::PushImage).await?;
        let project = &bearer.run.project;
        let repository: RepositoryName = parse(wanted.name.as_deref().unwrap_or(project.as_str()))?;
        if repository.as_str().split('/').next() != Some(project.as_str()) {
            return Err(Problem::forbidden(format!(
                "a job of {project} may only build images named {project} or {project}/…, not {repository}"
            )));
        }
        let host = self.endpoint.url.trim_start_matches("http://");
        let base =
            Base::parse(&wanted.base, &[host, "localhost"]).map_err(|e| Problem::invalid(e.to_string()))?;
        if let Base::Own(of, _) = &base
            && of.as_str().split('/').next() != Some(project.as_str())
        {
            return Err(Problem::forbidden(format!(
                "a job of {project} may not build on {of}, which belongs to another project"
            )));
        }
        let spec = assembly(wanted, base, repository.clone())?;
        let files: ByteStream = Box::pin(
            body.into_data_stream().map(|chunk| chunk.map_err(|e| BlobError::Interrupted(e.to_string()))),
        );
        let built = self.images.assembler.assemble(&spec, files, &who.actor).await.map_err(assembled)?;
        let event = NewEvent::new(
            self.now(),
            who.actor.clone(),
            "image.built",
            format!("{repository}@{}", built.digest),
        )
        .project(project)
        .data(serde_json::json!({
            "repository": repository,
            "digest": built.digest,
            "job": bearer.job.key,
            "attempt": bearer.run.attempt,
            "base": built.base.as_ref().map(|(name, digest)| serde_json::json!({ "name": name, "digest": digest })),
        }));
        self.commit(Batch::new().event(event)).await.map_err(stored)?;
        Ok(wire::BuiltImage {
            reference: format!("{host}/{repository}@{}", built.digest),
            digest: built.digest.to_string(),
            size: built.size,
        })
    }
}

/// What to assemble, of what a job says.
pub(crate) fn assembly(
    wanted: wire::BuildImage,
    base: Base,
    repository: RepositoryName,
) -> Answer<AssembleSpec> {
    let owner = wanted.user.as_deref().and_then(owner).unwrap_or((0, 0));
    Ok(AssembleSpec {
        tags: wanted.tags.iter().map(|t| parse::<Tag>(t)).collect::<Answer<_>>()?,
        entrypoint: wanted.entrypoint,
        cmd: wanted.cmd,
        env: wanted.env,
        workdir: wanted.workdir,
        user: wanted.user,
        expose: wanted.expose,
        labels: wanted.labels,
        owner,
        ..AssembleSpec::new(base, repository)
    })
}

fn owner(user: &str) -> Option<(u32, u32)> {
    let (uid, gid) = user.split_once(':').unwrap_or((user, user));
    Some((uid.parse().ok()?, gid.parse().ok()?))
}

fn assembled(error: AssembleError) -> Problem {
    let text = error.to_string();
    match error {
        AssembleError::Registry(_) | AssembleError::Spool(_) if text.contains("is full") => {
            Problem::new(ErrorCode::StorageFull, text)
        }
        AssembleError::Spool(_) => internal("the image's files could not be taken", &text),
        AssembleError::TooLarge { .. } => Problem::new(ErrorCode::TooLarge, text),
        _ => Problem::invalid(text),
    }
}

#[async_trait]
impl RunnerPlatform for Runners {
    async fn lease(&self, who: &Principal, request: wire::LeaseRequest) -> Answer<Option<wire::Assignment>> {
        self.0.lease(who, request).await
    }

    async fn lost(&self, who: &Principal, job: &str, lost: wire::Lost) -> Answer<()> {
        self.0.lost(who, job, lost).await
    }

    async fn updates(
        &self,
        who: &Principal,
        job: &str,
        updates: wire::JobUpdates,
    ) -> Answer<wire::UpdateReply> {
        self.0.updates(who, job, updates).await
    }

    async fn append_log(
        &self,
        who: &Principal,
        job: &str,
        offset: u64,
        body: Body,
    ) -> Answer<wire::LogReply> {
        self.0.append_log(who, job, offset, body).await
    }

    async fn put_artifact(
        &self,
        who: &Principal,
        job: &str,
        name: &str,
        days: Option<u32>,
        body: Body,
    ) -> Answer<api::ArtifactView> {
        self.0.put_artifact(who, job, name, days, false, body).await
    }

    async fn replace_artifact(
        &self,
        who: &Principal,
        job: &str,
        name: &str,
        days: Option<u32>,
        body: Body,
    ) -> Answer<api::ArtifactView> {
        self.0.put_artifact(who, job, name, days, true, body).await
    }

    async fn list_artifacts(&self, who: &Principal, job: &str) -> Answer<Vec<api::ArtifactView>> {
        self.0.list_artifacts(who, job).await
    }

    async fn get_artifact(&self, who: &Principal, job: &str, name: &str) -> Answer<Download> {
        self.0.get_artifact(who, job, name).await
    }

    async fn get_cache(
        &self,
        who: &Principal,
        job: &str,
        version: &str,
        keys: &[String],
    ) -> Answer<Option<(String, Download)>> {
        self.0.get_cache(who, job, version, keys).await
    }

    async fn put_cache(
        &self,
        who: &Principal,
        job: &str,
        version: &str,
        key: &str,
        body: Body,
    ) -> Answer<()> {
        self.0.put_cache(who, job, version, key, body).await
    }

    async fn build_image(
        &self,
        who: &Principal,
        job: &str,
        spec: wire::BuildImage,
        body: Body,
    ) -> Answer<wire::BuiltImage> {
        self.0.build_image(who, job, spec, body).await
    }

    async fn start_deployment(
        &self,
        who: &Principal,
        job: &str,
        how: wire::StartDeployment,
    ) -> Answer<api::DeploymentView> {
        self.0.start_deployment(who, job, how).await
    }

    async fn get_deployment(
        &self,
        who: &Principal,
        job: &str,
        deployment: &str,
    ) -> Answer<api::DeploymentView> {
        self.0.job_deployment(who, job, deployment).await
    }
}
