//! `windlass/deploy`: deploys images to the job's environment, and waits for the outcome.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use windlass_api::{DeploymentState, DeploymentView};

use super::{Action, ActionError, ActionRun, failed};

pub(super) struct Deploy;

/// How often the deployment is asked for.
const EVERY: Duration = Duration::from_millis(150);

#[async_trait]
impl Action for Deploy {
    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[("image", ""), ("images", "")]
    }

    async fn run(&self, run: &mut ActionRun<'_>) -> Result<(), ActionError> {
        let Some(environment) = run.job.assignment.environment.clone() else {
            return Err(failed(
                "this job has no environment to deploy to: write `environment: NAME` in the job",
            ));
        };
        let images = images(run)?;
        let control = &run.job.control;
        // Repeating a call that was not answered does no harm: the same images of the same job are the same deployment.
        let mut view =
            run.insist("starting the deployment", || control.start_deployment(images.clone())).await?;
        run.voice.say(&format!(
            "Deployment {} of release {} to {environment} ({})",
            view.id, view.release.number, view.strategy
        ));
        run.output("deployment", &*view.id);
        let mut shown = 0;
        loop {
            for step in view.log.iter().skip(shown) {
                run.voice.say(&step.text);
            }
            shown = view.log.len().max(shown);
            if view.finished_at.is_some() || is_end(view.state) {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                why = run.patience.interruption() => return Err(ActionError::Interrupted(why)),
            }
            let id = view.id.clone();
            view = run.insist("asking for the deployment", || control.deployment(&id)).await?;
        }
        conclude(run, &view, &environment)
    }
}

fn is_end(state: DeploymentState) -> bool {
    !matches!(state, DeploymentState::Queued | DeploymentState::Running | DeploymentState::RollingBack)
}

fn images(run: &ActionRun<'_>) -> Result<BTreeMap<String, String>, ActionError> {
    let mut images = BTreeMap::new();
    if !run.input("image").is_empty() {
        images.insert(String::new(), run.input("image").to_owned());
    }
    for line in run.lines("images") {
        match line.split_once('=') {
            Some((service, image)) if !service.trim().is_empty() && !image.trim().is_empty() => {
                images.insert(service.trim().to_owned(), image.trim().to_owned());
            }
            _ => return Err(failed(format!("`images`: `{line}` is not SERVICE=IMAGE"))),
        }
    }
    if images.is_empty() {
        return Err(failed(
            "give `image` (for the only service) or `images` (lines SERVICE=IMAGE), by digest",
        ));
    }
    Ok(images)
}

fn conclude(run: &mut ActionRun<'_>, view: &DeploymentView, environment: &str) -> Result<(), ActionError> {
    if let Some(url) = view.urls.values().next() {
        run.output("url", &**url);
    }
    if view.state == DeploymentState::Succeeded {
        run.voice.say(&format!("Release {} is live in {environment}. {}", view.release.number, view.reason));
        for (service, url) in &view.urls {
            run.voice.say(&format!("{service}: {url}"));
        }
        return Ok(());
    }
    if let Some(health) = &view.last_health {
        run.voice.say(&format!("##[group]The last answer of the health check\n{health}\n##[endgroup]"));
    }
    if !view.last_lines.is_empty() {
        run.voice.say(&format!(
            "##[group]The last lines of the failing instance\n{}\n##[endgroup]",
            view.last_lines.join("\n")
        ));
    }
    let how = match view.state {
        DeploymentState::RolledBack => "failed and was rolled back",
        DeploymentState::Cancelled => "was cancelled",
        _ => "failed",
    };
    Err(failed(format!("The deployment to {environment} {how}: {}", view.reason)))
}
