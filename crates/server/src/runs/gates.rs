//! The gate before a job with an environment: facts are gathered here, `delivery::gate` decides.

use std::collections::BTreeSet;

use serde_json::json;
use windlass_delivery::gate::{self, Gate, Request, Rules};
use windlass_delivery::{
    Deployment, DeploymentState, Digests, Evidence, Manifest, Release, Reviewer, manifest,
};
use windlass_kernel::{
    Actor, Batch, EnvironmentName, NewEvent, ProjectName, Query, StoreExt as _, Timestamp,
};
use windlass_pipeline::{Job, Run};
use windlass_source::RefState;

use crate::context::Context;
use crate::delivery::environment_id;
use crate::runs::approvals::{ApprovalDoc, ApprovalState, approval_id};
use crate::runs::trust;

/// What the gate says.
pub(crate) enum Verdict {
    Open,
    Waiting,
    Closed(String),
}

/// Whether an approval that is missing is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    AskForIt,
    SayIt,
}

/// Asks the gate of a job's environment; what waits for an approval has one asked for.
pub(crate) async fn ask(ctx: &Context, run: &Run, job: &Job) -> anyhow::Result<Verdict> {
    let Some(name) = &job.environment else { return Ok(Verdict::Open) };
    if run.untrusted {
        return Ok(Verdict::Closed(trust::NO_ENVIRONMENT.to_owned()));
    }
    let environment: EnvironmentName = match name.parse() {
        Ok(environment) => environment,
        Err(e) => return Ok(Verdict::Closed(format!("`environment: {name}`: {e}"))),
    };
    let rules = match rules_of(ctx, run, &environment).await? {
        // Without a manifest an environment has no rules, as on GitHub when one is first named.
        Ok(None) => return Ok(Verdict::Open),
        Ok(Some(rules)) => rules,
        Err(why) => return Ok(Verdict::Closed(why)),
    };
    let digests = match &rules.after {
        Some(after) => deployed_by(ctx, run, after).await?,
        None => Digests::new(),
    };
    let since = job.at_gate_since.unwrap_or(run.created_at);
    let wanted = Wanted { digests: &digests, images: &digests, since, missing: Missing::AskForIt };
    decide(ctx, run, &rules, &wanted).await
}

/// What wants to pass.
struct Wanted<'a> {
    /// What an approval would be about.
    digests: &'a Digests,
    /// The images, as far as they are known.
    images: &'a Digests,
    since: Timestamp,
    missing: Missing,
}

/// Who may approve what goes to an environment: nobody in particular, if the list is empty; or why that is not known.
pub(crate) async fn reviewers(
    ctx: &Context,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> anyhow::Result<Result<Vec<Reviewer>, String>> {
    let default = ctx.repositories.get(project)?.default_branch().await?;
    let refs = ctx.store.get::<RefState>(project.as_str()).await?;
    let Some(tip) = refs.and_then(|r| r.value.refs.get(&default).map(|sha| sha.as_str().to_owned())) else {
        return Ok(Err(format!("{project} has no default branch yet")));
    };
    Ok(match manifest_at(ctx, project, &tip).await? {
        Some(Ok(manifest)) => match manifest.environment(environment) {
            Some(declared) => Ok(declared.reviewers.clone()),
            None => Err(format!("windlass.yml declares no environment {environment}")),
        },
        Some(Err(why)) => Err(why),
        None => Err(format!("{project} has no windlass.yml")),
    })
}

/// An environment's rules, or why they cannot be known. The default branch says them: were it the run's own commit,
/// whoever may push any branch could strike the rules out of it there. Only an environment that the default branch does
/// not know has those of the commit.
async fn rules_of(
    ctx: &Context,
    run: &Run,
    environment: &EnvironmentName,
) -> anyhow::Result<Result<Option<Rules>, String>> {
    let default = ctx.repositories.get(&run.project)?.default_branch().await?;
    let refs = ctx.store.get::<RefState>(run.project.as_str()).await?;
    let tip = refs.and_then(|r| r.value.refs.get(&default).map(|sha| sha.as_str().to_owned()));
    if let Some(tip) = tip {
        match manifest_at(ctx, &run.project, &tip).await? {
            Some(Ok(manifest)) => {
                if let Some(declared) = manifest.environment(environment) {
                    return Ok(Ok(Some(Rules::from(declared))));
                }
            }
            Some(Err(why)) => {
                return Ok(Err(format!(
                    "the rules of {environment} stand in windlass.yml of the branch {}, which cannot be read: {why}",
                    default.short()
                )));
            }
            None => {}
        }
    }
    Ok(match manifest_at(ctx, &run.project, &run.sha).await? {
        None => Ok(None),
        Some(Err(why)) => Err(why),
        Some(Ok(manifest)) => match manifest.environment(environment) {
            Some(declared) => Ok(Some(Rules::from(declared))),
            None => Err(format!("windlass.yml declares no environment {environment}")),
        },
    })
}

async fn decide(ctx: &Context, run: &Run, rules: &Rules, wanted: &Wanted<'_>) -> anyhow::Result<Verdict> {
    let Wanted { digests, images, since, missing } = *wanted;
    let id = approval_id(run.id, &rules.environment);
    let standing = ctx.store.get::<ApprovalDoc>(&id).await?;
    // An earlier attempt's approval does not count for this one.
    let current = standing.as_ref().filter(|s| s.value.attempt == run.attempt && s.value.digests == *digests);
    let given = current.map_or(&[][..], |s| s.value.given.as_slice());
    let passed = match &rules.after {
        Some(after) => succeeded_in(ctx, &run.project, after, digests).await?,
        None => Vec::new(),
    };
    let (nothing, unknown) = (Digests::new(), Evidence::default());
    let mut request = Request {
        git_ref: &run.git_ref,
        pusher: &run.actor,
        digests,
        approvals: given,
        passed: &passed,
        since,
        evidence: (&nothing, &unknown),
    };
    let mut verdict = gate::evaluate(rules, &request, ctx.now());
    // Evidence is read where it decides something: not again and again while people or time are waited for.
    let waits = matches!(&verdict, Gate::Waiting { wanted, .. } if *wanted == 0 || current.is_some());
    let evidence;
    if !rules.require.is_empty() && !matches!(verdict, Gate::Closed { .. }) && !waits {
        evidence = crate::evidence::facts(ctx, &run.project, &rules.environment, images).await?;
        request.evidence = (images, &evidence);
        verdict = gate::evaluate(rules, &request, ctx.now());
    }
    match verdict {
        Gate::Open => Ok(Verdict::Open),
        Gate::Closed { reason } => Ok(Verdict::Closed(reason)),
        Gate::Waiting { wanted, reasons, .. } => {
            if wanted > 0 && current.is_none() && missing == Missing::AskForIt {
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

/// Whether these digests of a run may go to the environment now: asked again right before a deployment, with what it
/// really is about to deploy. Asks nobody for an approval: the run's own job does, at its gate.
pub(crate) async fn admits(
    ctx: &Context,
    run: &Run,
    environment: &EnvironmentName,
    digests: &Digests,
) -> anyhow::Result<Result<(), String>> {
    if run.untrusted {
        return Ok(Err(trust::NO_ENVIRONMENT.to_owned()));
    }
    let rules = match rules_of(ctx, run, environment).await? {
        Ok(Some(rules)) => rules,
        Ok(None) => return Ok(Ok(())),
        Err(why) => return Ok(Err(why)),
    };
    // Without an `after` there was nothing to name when it was approved.
    let named = if rules.after.is_some() { digests.clone() } else { Digests::new() };
    // The job that stands behind the gate has waited there; nothing that did not come through it goes on at once.
    let here = run.jobs.iter().filter(|job| job.environment.as_deref() == Some(environment.as_str()));
    let since = here.filter_map(|job| job.at_gate_since).max().unwrap_or_else(|| ctx.now());
    let wanted = Wanted { digests: &named, images: digests, since, missing: Missing::SayIt };
    Ok(match decide(ctx, run, &rules, &wanted).await? {
        Verdict::Open => Ok(()),
        Verdict::Closed(reason) => Err(reason),
        Verdict::Waiting if !rules.wait.is_zero() && rules.reviewers.is_empty() => Err(format!(
            "{environment} lets nothing through before it has waited there in a job with `environment: {environment}`"
        )),
        Verdict::Waiting => Err(format!(
            "nobody has approved these images for {environment} in this attempt of the run that made them"
        )),
    })
}

/// The manifest of a commit: none, a good one, or what is wrong with it.
pub(crate) async fn manifest_at(
    ctx: &Context,
    project: &ProjectName,
    sha: &str,
) -> anyhow::Result<Option<Result<Manifest, String>>> {
    const REMEMBERED: usize = 64;
    let key = (project.clone(), sha.to_owned());
    let known = || ctx.manifests.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(found) = known().get(&key) {
        return Ok(found.clone());
    }
    let text = crate::source::text_at(ctx, project, sha, manifest::FILE).await?;
    let read = text.map(|text| {
        let parsed = manifest::parse(&text);
        parsed.manifest.ok_or_else(|| {
            let findings = parsed.diagnostics.iter();
            let lines =
                findings.map(|d| format!("{}:{}:{}: {}", manifest::FILE, d.line, d.column, d.message));
            lines.collect::<Vec<_>>().join("\n")
        })
    });
    let mut known = known();
    if known.len() >= REMEMBERED {
        known.clear();
    }
    known.insert(key, read.clone());
    Ok(read)
}

/// The digests that a run has brought to an environment, successfully; the newest where there are several.
async fn deployed_by(ctx: &Context, run: &Run, environment: &EnvironmentName) -> anyhow::Result<Digests> {
    for deployment in newest(ctx, &run.project, environment).await? {
        // Newest first: what is older than the run is none of it.
        if deployment.created_at < run.created_at {
            break;
        }
        if matches!(deployment.state, DeploymentState::Succeeded { .. })
            && let Some(release) = ctx.store.get::<Release>(&deployment.release.to_string()).await?
            && release.value.run == Some(run.id)
        {
            return Ok(release.value.digests());
        }
    }
    Ok(Digests::new())
}

/// Whether exactly these digests have succeeded in an environment, as a list of at most that one set.
async fn succeeded_in(
    ctx: &Context,
    project: &ProjectName,
    environment: &EnvironmentName,
    digests: &Digests,
) -> anyhow::Result<Vec<Digests>> {
    let mut looked_at = BTreeSet::new();
    for deployment in newest(ctx, project, environment).await? {
        if matches!(deployment.state, DeploymentState::Succeeded { .. })
            && looked_at.insert(deployment.release)
            && let Some(release) = ctx.store.get::<Release>(&deployment.release.to_string()).await?
            && release.value.digests() == *digests
        {
            return Ok(vec![digests.clone()]);
        }
    }
    Ok(Vec::new())
}

/// The newest deployments to an environment, newest first. What lies further back has to pass anew.
async fn newest(
    ctx: &Context,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> anyhow::Result<Vec<Deployment>> {
    let query = Query {
        parent: Some(environment_id(project, environment)),
        newest_first: true,
        limit: 500,
        ..Query::default()
    };
    let found = ctx.store.list::<Deployment>(&query).await?;
    Ok(found.into_iter().map(|d| d.value).collect())
}
