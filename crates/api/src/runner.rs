use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use windlass_kernel::{Secret, Timestamp};

use crate::{AnnotationView, Conclusion, StepView};

/// `POST /api/v1/runner/lease`: a runner asks for work. Answer: [`Assignment`], or 204 when there was none within `wait_seconds`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LeaseRequest {
    /// The runner's name.
    pub runner: String,
    /// The labels that it serves, such as `ubuntu-latest`, `self-hosted`, `linux`.
    pub labels: Vec<String>,
    /// How long to hold the request open, in seconds; 30 at most.
    pub wait_seconds: u32,
}

/// A job handed to a runner, with all that it needs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Assignment {
    /// The job's id.
    pub job: String,
    /// The run's id.
    pub run: String,
    /// The project.
    pub project: String,
    /// How often this job was handed out, from 1.
    pub attempt: u32,
    /// The job's name, with the matrix leg's values.
    pub name: String,
    /// The job's key in the workflow file.
    pub key: String,
    /// The workflow's file.
    pub workflow_file: String,
    /// The workflow's text, as it stands at the run's commit.
    pub workflow_text: String,
    /// The `github` context, whole but for what only the runner knows (`workspace`, `job`, paths, `token`).
    #[schema(value_type = Object)]
    pub github: Value,
    /// The `needs` context.
    #[schema(value_type = Object)]
    pub needs: Value,
    /// The `strategy` context.
    #[schema(value_type = Object)]
    pub strategy: Value,
    /// The `matrix` context.
    #[schema(value_type = Object)]
    pub matrix: Value,
    /// The `inputs` context.
    #[schema(value_type = Object)]
    pub inputs: Value,
    /// The `vars` context.
    #[schema(value_type = Object)]
    pub vars: Value,
    /// The `secrets` context (without `GITHUB_TOKEN`, which is `token`).
    #[schema(value_type = Object)]
    pub secrets: BTreeMap<String, Secret<String>>,
    /// The job's token: `GITHUB_TOKEN`, and the credential for the job's calls to the API, Git and the registry.
    #[schema(value_type = String)]
    pub token: Secret<String>,
    /// The environment's name, if the job has one.
    pub environment: Option<String>,
    /// The job's time limit in minutes, fractions too.
    pub timeout_minutes: f64,
    /// How long the lease holds without an update, in seconds.
    pub lease_seconds: u32,
    /// Where control answers, such as `http://127.0.0.1:7700`.
    pub server_url: String,
    /// Where `actions/checkout` clones from.
    pub clone_url: String,
    /// The registry's host and port, as it stands in image names.
    pub registry: String,
    /// Whose tool cache the job has: that of jobs of the same project and of this name. None: one that is not kept.
    #[serde(default)]
    pub tools: Option<String>,
    /// What the job may do with caches: `read`, `write` (both), `write-only` or `none`; empty, as `write`.
    #[serde(default)]
    pub cache_mode: String,
    /// Whether `::debug::` lines are shown.
    pub debug: bool,
    /// What reaches GitHub's services here: artifacts, caches, identity tokens. None from a control that has none.
    #[serde(default)]
    pub services: Option<Services>,
}

/// What a job's programs need to reach the services that GitHub's own client libraries speak to
/// ([`Services::action_env`], [`Services::step_env`]), and the token for its steps.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Services {
    /// `GITHUB_TOKEN`: what `permissions` gives the job's steps. [`Assignment::token`] stays with the job unit.
    #[schema(value_type = String)]
    pub github_token: Secret<String>,
    /// Where the services answer, ending in `/`: an address that needs no look-up of a name.
    pub url: String,
    /// `GITHUB_SERVER_URL` for JavaScript and Docker actions: the client libraries take only certain hosts for GitHub.
    pub server_url: String,
    /// `ACTIONS_RUNTIME_TOKEN`.
    #[schema(value_type = String)]
    pub runtime_token: Secret<String>,
    /// What asks for an identity token; none without `permissions: id-token: write`.
    pub id_token: Option<IdTokenRequest>,
    /// `ACTIONS_CACHE_MODE`: [`Assignment::cache_mode`].
    pub cache_mode: String,
}

/// How a job asks for an identity token.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct IdTokenRequest {
    /// `ACTIONS_ID_TOKEN_REQUEST_URL`: it has a query already, clients append `&audience=…`.
    pub url: String,
    /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`.
    #[schema(value_type = String)]
    pub token: Secret<String>,
}

impl Services {
    /// The variables of JavaScript and Docker actions. Those of [`Services::step_env`] are among them.
    pub fn action_env(&self) -> Vec<(&'static str, String)> {
        let mut env = vec![
            ("GITHUB_SERVER_URL", self.server_url.clone()),
            ("ACTIONS_RUNTIME_URL", self.url.clone()),
            ("ACTIONS_RUNTIME_TOKEN", self.runtime_token.expose().clone()),
            ("ACTIONS_RESULTS_URL", self.url.clone()),
            ("ACTIONS_CACHE_URL", self.url.clone()),
            ("ACTIONS_CACHE_SERVICE_V2", "True".to_owned()),
            ("ACTIONS_CACHE_MODE", self.cache_mode.clone()),
        ];
        env.extend(self.step_env());
        env
    }

    /// The variables that `run` steps have too.
    pub fn step_env(&self) -> Vec<(&'static str, String)> {
        let Some(request) = &self.id_token else { return Vec::new() };
        vec![
            ("ACTIONS_ID_TOKEN_REQUEST_URL", request.url.clone()),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", request.token.expose().clone()),
        ]
    }

    /// The texts that must not show in a log.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let request = self.id_token.as_ref().map(|r| &r.token);
        [&self.github_token, &self.runtime_token].into_iter().chain(request).map(|t| t.expose().as_str())
    }
}

/// `POST /api/v1/runner/jobs/{job}/updates` (job token): what happened, in order. Idempotent by `seq`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobUpdates {
    /// What happened since the last acknowledged update; may be empty (a heartbeat).
    pub updates: Vec<JobUpdate>,
}

/// One thing that happened in a job.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobUpdate {
    /// Its number within this hand-out of the job, from 1, without gaps.
    pub seq: u64,
    /// When.
    #[schema(value_type = i64)]
    pub at: Timestamp,
    /// What.
    pub what: JobHappening,
}

/// What can happen in a job.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum JobHappening {
    /// The job unit runs; the sandbox level it runs in, in words.
    Started {
        /// The sandbox level, in words.
        sandbox: String,
    },
    /// A step began, ended or was skipped: its whole view.
    Step {
        /// The step.
        step: StepView,
    },
    /// An annotation.
    Annotation {
        /// The annotation.
        annotation: AnnotationView,
    },
    /// A step's summary (Markdown), to be appended to the job's.
    Summary {
        /// The Markdown.
        markdown: String,
    },
    /// The job ended. Nothing comes after.
    Finished {
        /// How.
        conclusion: Conclusion,
        /// Why, when it is not a plain success.
        reason: Option<String>,
        /// The job's outputs.
        outputs: BTreeMap<String, String>,
        /// The environment's URL as evaluated.
        environment_url: Option<String>,
    },
}

/// The answer to updates.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UpdateReply {
    /// The last update that control keeps: send from the next.
    pub acknowledged: u64,
    /// The job should be cancelled, for this reason.
    pub cancel: Option<String>,
    /// The lease is gone (the job was queued again or ended): stop at once and report nothing more.
    pub lost: bool,
}

/// `POST /api/v1/runner/jobs/{job}/lost` (runner token): the job's unit died without a report.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Lost {
    /// What the runner saw.
    pub reason: String,
    /// The hand-out that was lost ([`Assignment::attempt`]); none when the runner cannot tell. One that is not the
    /// present hand-out is to be ignored.
    #[serde(default)]
    pub attempt: Option<u32>,
}

/// `POST /api/v1/runner/jobs/{job}/log?offset=N` (job token, body: bytes): the log from byte `N`. Answer:
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LogReply {
    /// How much control keeps: send from there. Bytes below are ignored, so a repeat does no harm.
    pub next_offset: u64,
}

/// `POST /api/v1/runner/jobs/{job}/images` (job token). Body: a tar of the files; the header
/// `x-windlass-build` holds this as JSON on one line.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BuildImage {
    /// `scratch`, `machine` (the machine's own root, for a service that needs its toolchains), or an image's name.
    pub base: String,
    /// The image's name within the registry, such as `tasks`; the project's name if not given.
    pub name: Option<String>,
    /// Tags to set.
    pub tags: Vec<String>,
    /// The program to start.
    pub entrypoint: Vec<String>,
    /// Its default arguments.
    pub cmd: Vec<String>,
    /// Environment variables, `NAME=value`.
    pub env: Vec<String>,
    /// The working directory.
    pub workdir: Option<String>,
    /// `uid` or `uid:gid`.
    pub user: Option<String>,
    /// The ports that it listens on.
    pub expose: Vec<u16>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// An image that was built.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BuiltImage {
    /// The manifest's digest.
    pub digest: String,
    /// The name by digest, such as `127.0.0.1:7700/tasks@sha256:…`.
    pub reference: String,
    /// The size of its layers, compressed.
    pub size: u64,
}

/// `POST /api/v1/runner/jobs/{job}/deployments` (job token): deploy to the job's environment. Answer: a `DeploymentView`;
/// then `GET /api/v1/runner/jobs/{job}/deployments/{deployment}` until it has ended. Runners repeat a call that was not
/// answered: the same images from the same hand-out of a job are the same deployment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StartDeployment {
    /// The image of each service: a digest, or a name with a digest. The empty key stands for the only service.
    pub images: BTreeMap<String, String>,
}

/// `GET /api/v1/runner/jobs/{job}/cache?version=V&keys=A,B` (job token): 204 for a miss, or the archive (opaque
/// bytes, `tar.zst` by our runner) with its key in this header. `PUT …/cache?version=V&key=K` stores one (409: it is there).
pub const CACHE_KEY_HEADER: &str = "x-windlass-cache-key";

/// The header that carries [`BuildImage`] beside the tar.
pub const BUILD_HEADER: &str = "x-windlass-build";

/// `PUT /api/v1/runner/jobs/{job}/artifacts/{name}?retention_days=N` (job token, body: a zip archive) stores an
/// artifact of the run and answers its `ArtifactView` (409: the name is taken, unless `overwrite=true`). `GET …/artifacts` lists those of the
/// run, `GET …/artifacts/{name}` gives one's archive.
pub const ARTIFACT_TYPE: &str = "application/zip";
