//! One version on its way: committed, pushed, followed, approved.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt as _, Full};
use tokio::time::Instant;
use windlass_api::{
    ApprovalView, Client, Conclusion, CreateToken, CreateUser, CreatedToken, Decide, DeploymentState,
    DeploymentView, ErrorCode, ProjectView, RunDetail, RunSummary, UserView,
};
use windlass_kernel::{Entropy as _, OsEntropy, Secret, Timestamp};

use super::git::PUSHER;
use super::{Repository, Stage};
use crate::connection::part;
use crate::failure::{Exit, Failure};
use crate::show::{self, Tone};
use crate::watch::{self, Watch};
use crate::{approve, ask};

/// The developer who pushes: another person than the one who approves.
#[derive(Debug)]
pub(crate) struct Author {
    token: Secret<String>,
}

impl Author {
    /// Makes the account, and a token of its own.
    pub(crate) async fn new(stage: &Stage, project: &str) -> Result<Self> {
        let there = stage.owner().get::<ProjectView>(&format!("/api/v1/projects/{}", part(project))).await;
        if !matches!(&there, Err(e) if e.code() == Some(ErrorCode::NotFound)) {
            there?;
            let message = format!(
                "{} holds a project `{project}` already: the demo wants an empty data directory",
                stage.data().root().display()
            );
            return Err(Failure::new(Exit::Failed, message).into());
        }
        let mut random = [0u8; 24];
        OsEntropy.fill(&mut random);
        let password = STANDARD.encode(random);
        let basic = format!("Basic {}", STANDARD.encode(format!("{PUSHER}:{password}")));
        let user = CreateUser { name: PUSHER.into(), role: "member".into(), password: Secret::new(password) };
        stage
            .owner()
            .post::<_, UserView>("/api/v1/users", &user)
            .await
            .context("cannot make the developer's account")?;
        let body = serde_json::to_vec(&CreateToken { label: "git push".into() })?;
        let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed();
        let headers = [("authorization", basic.as_str()), ("content-type", "application/json")];
        let client = Client::new(stage.owner().base(), None);
        let answer = client
            .send(Method::POST, "/api/v1/tokens", &headers, body)
            .await
            .context("cannot make the developer's token")?;
        let made: CreatedToken = client.decode("/api/v1/tokens", answer).await?;
        Ok(Self { token: made.secret })
    }

    /// The developer's token.
    pub(crate) fn token(&self) -> &Secret<String> {
        &self.token
    }
}

/// What became of a version.
#[derive(Clone, Debug)]
pub(crate) struct Shipped {
    /// What the demo calls it.
    pub(crate) label: String,
    /// The commit.
    pub(crate) sha: String,
    /// Its runs, as they ended.
    pub(crate) runs: Vec<RunDetail>,
    /// Its deployments, as they ended.
    pub(crate) deployments: Vec<DeploymentView>,
    pushed_at: Timestamp,
    asked: Duration,
}

impl Shipped {
    /// Its deployment to an environment.
    pub(crate) fn deployment(&self, environment: &str) -> Option<&DeploymentView> {
        self.deployments.iter().rev().find(|d| d.environment == environment)
    }

    /// Whether all went well, up to production.
    pub(crate) fn live(&self) -> bool {
        let well = self.runs.iter().all(|r| r.summary.conclusion == Some(Conclusion::Success));
        well && self.deployment("production").is_some_and(|d| d.state == DeploymentState::Succeeded)
    }

    /// From the push to the end of the production deployment, without the time that a person took to answer.
    pub(crate) fn push_to_live(&self) -> Option<Duration> {
        let end =
            self.deployment("production").filter(|d| d.state == DeploymentState::Succeeded)?.finished_at?;
        Some(end.since(self.pushed_at).saturating_sub(self.asked))
    }

    /// In a sentence.
    pub(crate) fn outcome(&self) -> String {
        let label = &self.label;
        if let Some(d) = self.deployment("production") {
            let (word, tone) = show::deployment(d.state);
            return format!("{label}: {} in production: {}", tone.paint(word), show::clean(&d.reason));
        }
        let failed: Vec<_> = self
            .runs
            .iter()
            .flat_map(|r| &r.jobs)
            .filter(|j| j.conclusion == Some(Conclusion::Failure))
            .collect();
        match failed.first() {
            Some(job) => {
                format!("{label}: {} failed, so it never came to production", show::clean(&job.name))
            }
            None => format!("{label}: no job deployed it to production"),
        }
    }
}

/// How long a run may take to appear after the push.
const APPEARS: Duration = Duration::from_secs(30);
/// How long nothing may change before the demo gives up.
const STUCK: Duration = Duration::from_mins(20);

/// Commits all that changed, pushes it, and follows its runs to their end.
pub(crate) async fn ship(
    stage: &Stage,
    repository: &Repository,
    label: &str,
    message: &str,
    ask: bool,
) -> Result<Shipped> {
    let sha = repository.commit(message).await?;
    let pushed_at = show::now();
    repository.push().await?;
    show::print(&format!(
        "git push windlass main  {}",
        Tone::Dim.paint(format!("{} {message}", show::short(&sha)))
    ))?;
    let ids = runs_of(stage.owner(), &sha).await?;
    let (runs, asked) = follow(stage, &ids, ask).await?;
    let mut deployments: Vec<DeploymentView> = Vec::new();
    for run in &runs {
        watch::tell_failures(stage.owner(), run).await?;
        for id in &run.deployments {
            deployments.push(stage.owner().get(&format!("/api/v1/deployments/{}", part(id))).await?);
        }
    }
    deployments.sort_by_key(|d| d.created_at);
    Ok(Shipped { label: label.to_owned(), sha, runs, deployments, pushed_at, asked })
}

async fn runs_of(client: &Client, sha: &str) -> Result<Vec<String>> {
    let begin = Instant::now();
    loop {
        let runs: Vec<RunSummary> = client.get("/api/v1/projects/tasks/runs?limit=50").await?;
        let ids: Vec<String> = runs.into_iter().filter(|r| r.sha == sha).map(|r| r.id).collect();
        if !ids.is_empty() {
            return Ok(ids);
        }
        if begin.elapsed() > APPEARS {
            bail!(
                "the push of {} started no run: has the application a workflow with `on: push` in .github/workflows?",
                show::short(sha)
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn follow(stage: &Stage, ids: &[String], ask: bool) -> Result<(Vec<RunDetail>, Duration)> {
    let mut watch = Watch::new(stage.owner());
    let mut asked = Duration::ZERO;
    let mut moved = (String::new(), Instant::now());
    loop {
        let runs = watch.look(ids).await?;
        if runs.iter().all(watch::ended) {
            watch.leave();
            return Ok((runs, asked));
        }
        let pending = runs.iter().flat_map(|r| &r.approvals).find(|a| a.state == "pending");
        if let Some(approval) = pending {
            let begin = Instant::now();
            watch.leave();
            decide(stage, approval, ask).await?;
            asked += begin.elapsed();
        }
        let standing = format!("{:?}", runs.iter().map(|r| (&r.jobs, &r.summary.state)).collect::<Vec<_>>());
        if standing != moved.0 {
            moved = (standing, Instant::now());
        }
        if moved.1.elapsed() > STUCK {
            bail!("nothing has changed for {} minutes", STUCK.as_secs() / 60);
        }
        tokio::time::sleep(watch::PAUSE).await;
    }
}

async fn decide(stage: &Stage, approval: &ApprovalView, ask: bool) -> Result<()> {
    if !approval.caller_may {
        bail!("the owner of this machine may not approve {}: {}", approval.id, approval.caller_note);
    }
    for (service, digest) in &approval.digests {
        show::print(&format!("  {service}: {}", show::short_digest(digest)))?;
    }
    let question = format!("Approve {} to {}?", approval.project, approval.environment);
    let (yes, comment) = if ask {
        (ask::yes(&Tone::Busy.paint(&question)).await?, "answered at the terminal")
    } else {
        show::print(&format!("{} {}", Tone::Busy.paint(&question), Tone::Dim.paint("yes (--yes)")))?;
        (true, "answered by --yes")
    };
    let how = Decide { approve: yes, comment: comment.to_owned() };
    approve::decide(stage.owner(), &approval.id, &how).await?;
    if !yes {
        bail!("{} was not approved, so the demo ends here", approval.environment);
    }
    Ok(())
}
