//! What runs leave: archives in the blob store, found by run and name.

use std::time::Duration;

use axum::body::Body;
use serde::{Deserialize, Serialize};
use serde_json::json;
use windlass_api as api;
use windlass_api::{ErrorCode, Problem};
use windlass_identity::{Action, Principal, Resource};
use windlass_kernel::{
    Actor, ArtifactId, Batch, Digest, Document, NewEvent, ProjectName, Query, RunId, StoreExt as _, Timestamp,
};
use windlass_pipeline::Run;
use windlass_web::Download;

use crate::context::{Context, may, parse, stored};

type Answer<T> = Result<T, Problem>;

/// How long an artifact is kept unless it is said, and at most.
const DAYS: u32 = 90;
const MOST_DAYS: u32 = 400;
/// The largest archive, in bytes.
const LARGEST: u64 = 10 << 30;
/// The most artifacts of a run.
const MOST_OF_RUN: usize = 1000;
/// The most that the artifacts of one run of an untrusted change take together, in bytes.
const LARGEST_OF_UNTRUSTED: u64 = 1 << 30;
/// The most that the artifacts of a project take together, in bytes.
const LARGEST_OF_PROJECT: u64 = 50 << 30;

/// An artifact of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ArtifactDoc {
    pub(crate) id: ArtifactId,
    pub(crate) run: RunId,
    pub(crate) project: ProjectName,
    pub(crate) name: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) created_at: Timestamp,
    expires_at: Timestamp,
    /// Its number; 0 for one of before artifacts had numbers.
    #[serde(default)]
    number: u64,
    /// What it is, if it is no zip archive.
    #[serde(default)]
    media_type: Option<String>,
    /// Whether a run of a change made it that somebody proposed who may not write.
    #[serde(default)]
    untrusted: bool,
}

impl Document for ArtifactDoc {
    const KIND: &'static str = "artifact";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn parent(&self) -> String {
        self.run.to_string()
    }
}

impl ArtifactDoc {
    /// Its number, by which client libraries know it. Below 2^53: they count in floating point.
    pub(crate) fn number(&self) -> u64 {
        if self.number != 0 {
            return self.number;
        }
        let digest = Digest::sha256(self.id.to_string().as_bytes());
        u64::from_str_radix(&digest.hex()[..13], 16).unwrap_or_default()
    }

    pub(crate) fn media_type(&self) -> &str {
        self.media_type.as_deref().unwrap_or(api::runner::ARTIFACT_TYPE)
    }

    /// The file name to save it under.
    pub(crate) fn file_name(&self) -> String {
        match &self.media_type {
            Some(other) if other != api::runner::ARTIFACT_TYPE => self.name.clone(),
            _ => format!("{}.zip", self.name),
        }
    }

    fn view(&self) -> api::ArtifactView {
        api::ArtifactView {
            id: self.id.to_string(),
            name: self.name.clone(),
            size: self.size,
            digest: self.digest.to_string(),
            created_at: self.created_at,
            expires_at: self.expires_at,
            raw: self.media_type() != api::runner::ARTIFACT_TYPE,
            untrusted: self.untrusted,
        }
    }
}

/// The name that somebody gives an artifact, if it can have it.
pub(crate) fn artifact_name(name: &str) -> Answer<()> {
    let forbidden = |c: char| "\":<>|*?\\/\r\n".contains(c);
    if name.is_empty() || name.len() > 256 || name.contains(forbidden) || name.starts_with('.') {
        return Err(Problem::invalid(format!(
            "`{name}` cannot be an artifact's name: it may not be empty, begin with a dot or hold any of \" : < > | * ? \\ / or line breaks"
        )));
    }
    Ok(())
}

/// When an artifact goes that somebody wants to keep until then.
pub(crate) fn artifact_expiry(now: Timestamp, until: Option<Timestamp>) -> Timestamp {
    let days = |days: u32| now + Duration::from_secs(u64::from(days) * 86_400);
    until.unwrap_or(days(DAYS)).clamp(days(1), days(MOST_DAYS))
}

/// An artifact whose bytes are kept.
pub(crate) struct Recorded<'a> {
    pub(crate) run: &'a Run,
    pub(crate) name: &'a str,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) media_type: Option<String>,
    pub(crate) expires_at: Timestamp,
    /// Whether it takes the place of one that has its name.
    pub(crate) replace: bool,
}

impl Context {
    pub(crate) async fn artifact_of_run(&self, run: RunId, name: &str) -> Answer<Option<ArtifactDoc>> {
        Ok(self.artifacts_of_run(run).await?.into_iter().find(|a| a.name == name))
    }

    /// Whether a run may have one more artifact, of this size; gives the one whose place it takes.
    pub(crate) async fn artifact_room(
        &self,
        run: &Run,
        name: &str,
        size: u64,
        replace: bool,
    ) -> Answer<Option<ArtifactDoc>> {
        let of_run = self.artifacts_of_run(run.id).await?;
        if of_run.len() >= MOST_OF_RUN {
            return Err(Problem::conflict(format!(
                "this run has {MOST_OF_RUN} artifacts, which is the most: put several files into one"
            )));
        }
        let taken: u64 = of_run.iter().map(|a| a.size).sum();
        if run.untrusted && taken.saturating_add(size) > LARGEST_OF_UNTRUSTED {
            let text = format!(
                "the artifacts of a run of a change that was proposed from outside take {} GiB together at most",
                LARGEST_OF_UNTRUSTED >> 30
            );
            return Err(Problem::new(ErrorCode::TooLarge, text));
        }
        let all = self.store.list::<ArtifactDoc>(&Query::default()).await.map_err(stored)?;
        let of_project = all.iter().filter(|a| a.value.project == run.project);
        let kept: u64 = of_project.map(|a| a.value.size).sum();
        if kept + size > LARGEST_OF_PROJECT {
            let text = format!(
                "the artifacts of {} would take more than {} GiB: remove some, or keep them for less long with `retention-days`",
                run.project,
                LARGEST_OF_PROJECT >> 30
            );
            return Err(Problem::new(ErrorCode::TooLarge, text));
        }
        let standing = of_run.into_iter().find(|a| a.name == name);
        if standing.is_some() && !replace {
            return Err(Problem::conflict(format!(
                "this run has an artifact `{name}` already; artifacts are immutable: choose another name, or upload with `overwrite: true`"
            )));
        }
        Ok(standing)
    }

    /// Makes kept bytes an artifact of a run, in the batch that tells of it.
    pub(crate) async fn record_artifact(
        &self,
        by: &Actor,
        new: Recorded<'_>,
        batch: Batch,
    ) -> Answer<ArtifactDoc> {
        // One at a time: another leg may upload the same name now.
        let naming = self.locks.naming.lock().await;
        let standing = self.artifact_room(new.run, new.name, new.size, new.replace).await?;
        let now = self.now();
        let artifact = ArtifactDoc {
            id: ArtifactId::new(&self.ids),
            run: new.run.id,
            project: new.run.project.clone(),
            name: new.name.to_owned(),
            digest: new.digest,
            size: new.size,
            created_at: now,
            expires_at: new.expires_at,
            number: self.store.next_number("artifact").await.map_err(stored)?,
            media_type: new.media_type,
            untrusted: new.run.untrusted,
        };
        let event =
            NewEvent::new(now, by.clone(), "artifact.created", artifact.id).project(&artifact.project).data(
                json!({"name": new.name, "digest": artifact.digest, "size": new.size, "run": artifact.run, "untrusted": artifact.untrusted}),
            );
        let mut batch = batch.create(&artifact);
        if let Some(standing) = &standing {
            batch = batch.delete::<ArtifactDoc>(standing.id);
        }
        self.commit(batch.event(event)).await.map_err(stored)?;
        drop(naming);
        if let Some(standing) = standing {
            self.let_go(&[standing.digest]).await;
        }
        Ok(artifact)
    }

    pub(crate) async fn remove_artifact(&self, by: &Actor, artifact: &ArtifactDoc) -> Answer<()> {
        let event = NewEvent::new(self.now(), by.clone(), "artifact.deleted", artifact.id)
            .project(&artifact.project)
            .data(json!({"name": artifact.name, "run": artifact.run}));
        self.commit(Batch::new().delete::<ArtifactDoc>(artifact.id).event(event)).await.map_err(stored)?;
        self.let_go(std::slice::from_ref(&artifact.digest)).await;
        Ok(())
    }

    pub(crate) async fn artifacts_of_run(&self, run: RunId) -> Answer<Vec<ArtifactDoc>> {
        let query = Query { parent: Some(run.to_string()), ..Query::default() };
        let found = self.store.list::<ArtifactDoc>(&query).await.map_err(stored)?;
        Ok(found.into_iter().map(|a| a.value).collect())
    }

    pub(crate) async fn artifact_views(&self, run: RunId) -> Answer<Vec<api::ArtifactView>> {
        Ok(self.artifacts_of_run(run).await?.iter().map(ArtifactDoc::view).collect())
    }

    pub(crate) async fn put_artifact(
        &self,
        who: &Principal,
        job: &str,
        name: &str,
        days: Option<u32>,
        replace: bool,
        body: Body,
    ) -> Answer<api::ArtifactView> {
        let bearer = self.bearer(who, job, Action::UseRunArtifacts).await?;
        artifact_name(name)?;
        self.artifact_room(&bearer.run, name, 0, replace).await?;
        let kept = self.keep_archive(body, LARGEST).await?;
        let now = self.now();
        let until = days.map(|days| now + Duration::from_secs(u64::from(days) * 86_400));
        let recorded = Recorded {
            run: &bearer.run,
            name,
            digest: kept.digest.clone(),
            size: kept.size,
            media_type: None,
            expires_at: artifact_expiry(now, until),
            replace,
        };
        Ok(self.record_artifact(&who.actor, recorded, Batch::new()).await?.view())
    }

    pub(crate) async fn list_artifacts(&self, who: &Principal, job: &str) -> Answer<Vec<api::ArtifactView>> {
        let bearer = self.bearer(who, job, Action::UseRunArtifacts).await?;
        self.artifact_views(bearer.run.id).await
    }

    pub(crate) async fn get_artifact(&self, who: &Principal, job: &str, name: &str) -> Answer<Download> {
        let bearer = self.bearer(who, job, Action::UseRunArtifacts).await?;
        let all = self.artifacts_of_run(bearer.run.id).await?;
        let found = all.iter().find(|a| a.name == name);
        let found = found.ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|a| a.name.as_str()).collect();
            Problem::not_found(format!("this run has no artifact `{name}` (it has: {})", names.join(", ")))
        })?;
        self.open_archive(&found.digest, found.file_name()).await
    }

    pub(crate) async fn artifact(&self, who: &Principal, id: &str) -> Answer<Download> {
        let id: ArtifactId = parse(id)?;
        let found = self.store.get::<ArtifactDoc>(&id.to_string()).await.map_err(stored)?;
        let found = found.ok_or_else(|| Problem::not_found(format!("there is no artifact {id}")))?.value;
        may(who, Action::ReadLogs, &Resource::Run { project: found.project.clone(), run: found.run })?;
        self.open_archive(&found.digest, found.file_name()).await
    }
}

impl Context {
    /// Removes artifacts whose time is over.
    pub(crate) async fn expire(&self) -> Result<(), windlass_kernel::StoreError> {
        let now = self.now();
        let mut batch = Batch::new();
        let mut over = Vec::new();
        for artifact in self.store.list::<ArtifactDoc>(&Query::default()).await? {
            if artifact.value.expires_at < now {
                let event = NewEvent::new(now, Actor::System, "artifact.expired", artifact.value.id)
                    .project(&artifact.value.project);
                batch = batch.delete::<ArtifactDoc>(artifact.value.id).event(event);
                over.push(artifact.value.digest);
            }
        }
        if !batch.writes.is_empty() {
            self.commit(batch).await?;
            self.let_go(&over).await;
        }
        Ok(())
    }
}
