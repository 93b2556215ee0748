//! The gate before a job with an environment: facts are gathered here, `delivery::gate` decides.

use serde_json::json;
use windlass_delivery::gate::{self, Gate, Request, Rules};
use windlass_delivery::{Deployment, DeploymentState, Digests, Manifest, Release, manifest};
use windlass_kernel::{Actor, Batch, EnvironmentName, NewEvent, ProjectName, Query, RunId, StoreExt as _};
use windlass_pipeline::{Job, Run};

use crate::context::Context;
use crate::delivery::environment_id;
use crate::runs::approvals::{ApprovalDoc, ApprovalState, approval_id};

/// What the gate says.
pub(crate) enum Verdict {
    Open,
    Waiting,
    Closed(String),
}

/// Asks the gate of a job's environment; what waits for an approval has one asked for.
pub(crate) async fn ask(ctx: &Context, run: &Run, job: &Job) -> anyhow::Result<Verdict> {
    let Some(name) = &job.environment else { return Ok(Verdict::Open) };
    let environment: EnvironmentName = match name.parse() {
        Ok(environment) => environment,
        Err(e) => return Ok(Verdict::Closed(format!("`environment: {name}`: {e}"))),
    };
    let manifest = match manifest_at(ctx, &run.project, &run.sha).await? {
        // Without a manifest an environment has no rules, as on GitHub when one is first named.
        None => return Ok(Verdict::Open),
        Some(Ok(manifest)) => manifest,
        Some(Err(why)) => return Ok(Verdict::Closed(why)),
    };
    let Some(declared) = manifest.environment(&environment) else {
        return Ok(Verdict::Closed(format!("windlass.yml declares no environment {environment}")));
    };
    let rules = Rules::from(declared);
    let digests = match &rules.after {
        Some(after) => deployed_by(ctx, run.id, &run.project, after).await?,
        None => Digests::new(),
    };
    decide(ctx, run, &rules, &digests).await
}

async fn decide(ctx: &Context, run: &Run, rules: &Rules, digests: &Digests) -> anyhow::Result<Verdict> {
    let id = approval_id(run.id, &rules.environment);
    let standing = ctx.store.get::<ApprovalDoc>(&id).await?;
    // An earlier attempt's approval does not count for this one.
    let current = standing.as_ref().filter(|s| s.value.attempt == run.attempt && s.value.digests == *digests);
    let given = current.map_or(&[][..], |s| s.value.given.as_slice());
    let passed = match &rules.after {
        Some(after) => succeeded_in(ctx, &run.project, after).await?,
        None => Vec::new(),
    };
    let request =
        Request { git_ref: &run.git_ref, pusher: &run.actor, digests, approvals: given, passed: &passed };
    match gate::evaluate(rules, &request, ctx.now()) {
        Gate::Open => Ok(Verdict::Open),
        Gate::Closed { reason } => Ok(Verdict::Closed(reason)),
        Gate::Waiting { wanted, reasons, .. } => {
            if current.is_none() {
                let approval = ApprovalDoc {
                    run: run.id,
                    project: run.project.clone(),
                    environment: rules.environment.clone(),
                    attempt: run.attempt,
                    rules: rules.clone(),
                    pusher: run.actor.clone(),
                    digests: digests.clone(),
                    given: Vec::new(),
                    wanted,
                    state: ApprovalState::Pending,
                    requested_at: ctx.now(),
                };
                let event = NewEvent::new(ctx.now(), Actor::System, "approval.requested", &id)
                    .project(&run.project)
                    .data(json!({"run": run.id, "environment": rules.environment, "reasons": reasons, "digests": digests}));
                let batch =
                    Batch::new().update(&approval, standing.as_ref().map_or(0, |s| s.version)).event(event);
                ctx.commit(batch).await?;
            }
            Ok(Verdict::Waiting)
        }
    }
}

/// Whether these digests may go to the environment now: asked again right before a deployment, with what it really is
/// about to deploy.
pub(crate) async fn admits(
    ctx: &Context,
    run: &Run,
    rules: &Rules,
    digests: &Digests,
) -> anyhow::Result<Result<(), String>> {
    // Without an `after` there was nothing to name when it was approved.
    let named = if rules.after.is_some() { digests.clone() } else { Digests::new() };
    Ok(match decide(ctx, run, rules, &named).await? {
        Verdict::Open => Ok(()),
        Verdict::Closed(reason) => Err(reason),
        Verdict::Waiting => {
            Err(format!("these images are not the ones that were approved for {}", rules.environment))
        }
    })
}

/// The manifest of a commit: none, a good one, or what is wrong with it.
pub(crate) async fn manifest_at(
    ctx: &Context,
    project: &ProjectName,
    sha: &str,
) -> anyhow::Result<Option<Result<Manifest, String>>> {
    let Some(text) = crate::source::text_at(ctx, project, sha, manifest::FILE).await? else {
        return Ok(None);
    };
    let parsed = manifest::parse(&text);
    Ok(Some(parsed.manifest.ok_or_else(|| {
        let findings = parsed.diagnostics.iter();
        let lines = findings.map(|d| format!("{}:{}:{}: {}", manifest::FILE, d.line, d.column, d.message));
        lines.collect::<Vec<_>>().join("\n")
    })))
}

/// The digests that a run has brought to an environment, successfully; the newest where there are several.
async fn deployed_by(
    ctx: &Context,
    run: RunId,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> anyhow::Result<Digests> {
    let mut digests = Digests::new();
    for (deployment, release) in deployments(ctx, project, environment).await? {
        if release.run == Some(run) && matches!(deployment.state, DeploymentState::Succeeded { .. }) {
            digests = release.digests();
        }
    }
    Ok(digests)
}

/// The sets of digests that have ever succeeded in an environment.
async fn succeeded_in(
    ctx: &Context,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> anyhow::Result<Vec<Digests>> {
    let all = deployments(ctx, project, environment).await?;
    let good = all.into_iter().filter(|(d, _)| matches!(d.state, DeploymentState::Succeeded { .. }));
    Ok(good.map(|(_, release)| release.digests()).collect())
}

async fn deployments(
    ctx: &Context,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> anyhow::Result<Vec<(Deployment, Release)>> {
    let query = Query { parent: Some(environment_id(project, environment)), ..Query::default() };
    let mut found = Vec::new();
    for deployment in ctx.store.list::<Deployment>(&query).await? {
        if let Some(release) = ctx.store.get::<Release>(&deployment.value.release.to_string()).await? {
            found.push((deployment.value, release.value));
        }
    }
    Ok(found)
}
