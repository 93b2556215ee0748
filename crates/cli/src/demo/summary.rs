//! What the demo has shown, and whether it was what it should have been.

use anyhow::{Context as _, Result};
use http::Method;
use windlass_api::{Conclusion, DeploymentState};

use super::{Shipped, Stage};
use crate::deliver::explain;
use crate::load::{Lane, Tally, Target};
use crate::show::{self, Tone};

/// All that the demo saw.
#[derive(Debug)]
pub(crate) struct Summary {
    versions: [Shipped; 3],
    tally: Tally,
    staging: Option<String>,
    production: Option<String>,
    /// What production tells of itself at the end.
    says: String,
    mark_seen: bool,
    service: Option<String>,
}

impl Summary {
    /// Looks a last time.
    pub(crate) async fn gather(
        stage: &Stage,
        target: &Target,
        versions: [Shipped; 3],
        tally: Tally,
    ) -> Result<Self> {
        let environments = stage.environments("tasks").await?;
        let url = |name: &str| {
            let found = environments.iter().find(|e| e.name == name)?;
            found.services.iter().find_map(|s| s.url.clone())
        };
        let production = environments.iter().find(|e| e.name == "production");
        let service =
            production.and_then(|e| e.services.iter().find(|s| s.url.is_some())).map(|s| s.name.clone());
        let (_, body) = Lane::new(target)
            .send(Method::GET, "/", "")
            .await
            .map_err(anyhow::Error::msg)
            .context("production does not answer")?;
        let says = String::from_utf8_lossy(&body).trim().chars().take(160).collect::<String>();
        let mark_seen = says.contains("+second");
        Ok(Self {
            versions,
            tally,
            staging: url("staging"),
            production: url("production"),
            says,
            mark_seen,
            service,
        })
    }

    /// Prints it; gives the number of things that were not as they should be.
    pub(crate) fn tell(&self, stage: &Stage) -> Result<usize> {
        let mut problems = 0;
        let mut check = |well: bool, text: String| {
            problems += usize::from(!well);
            let (mark, tone) = if well { ("✓", Tone::Good) } else { ("✗", Tone::Bad) };
            show::print(&format!("{} {text}", tone.paint(mark)))
        };
        let [first, bad, good] = &self.versions;
        let failed = self.tally.failed;
        check(
            failed == 0 && self.tally.sent > 0,
            format!("requests sent: {}, failed: {failed}", self.tally.sent),
        )?;
        check(first.live(), first.outcome())?;
        check(went_back(bad), bad.outcome())?;
        check(good.live(), good.outcome())?;
        check(self.mark_seen, format!("production says: {}", show::clean(&self.says)))?;
        for version in [first, good] {
            check(
                same_digest(version),
                format!(
                    "{}: production got the digest that passed staging ({})",
                    version.label,
                    digests(version)
                ),
            )?;
        }
        let mut seen: Vec<&String> = Vec::new();
        for failure in &self.tally.failures {
            if !seen.contains(&failure) {
                show::print(&format!("  {}", Tone::Bad.paint(show::clean(failure))))?;
                seen.push(failure);
            }
        }
        show::print("")?;
        if let Some(back) = bad.deployment("production") {
            show::print(&format!(
                "rolled back: release {} ({}): {}",
                back.release.number,
                show::short(&bad.sha),
                show::clean(&back.reason)
            ))?;
            explain(back)?;
            show::print("")?;
        }
        for version in &self.versions {
            let time = version.push_to_live().map_or("did not become live".into(), show::lasting);
            show::print(&format!("push → live, {:<14}{time}", version.label))?;
        }
        show::print("")?;
        self.addresses(stage)?;
        Ok(problems)
    }

    fn addresses(&self, stage: &Stage) -> Result<()> {
        let line = |name: &str, url: &str| show::print(&format!("{name:<12}{url}"));
        if let Ok(token) = std::fs::read_to_string(stage.data().run("setup.token")) {
            line("set-up", &stage.page(&format!("/setup?link={}", token.trim())))?;
        }
        line("pages", &stage.page("/projects/tasks"))?;
        line("staging", self.staging.as_deref().unwrap_or("without an address"))?;
        line("production", self.production.as_deref().unwrap_or("without an address"))?;
        if let Some(service) = &self.service {
            let page = stage.page(&format!("/projects/tasks/environments/production/services/{service}"));
            line("metrics", &page)?;
            line("logs", &format!("{page}/logs"))?;
        }
        Ok(())
    }
}

/// Whether a version was stopped at production's door, and what was live there went on.
fn went_back(version: &Shipped) -> bool {
    let failed = version.runs.iter().any(|r| r.summary.conclusion == Some(Conclusion::Failure));
    let staged = version.deployment("staging").is_some_and(|d| d.state == DeploymentState::Succeeded);
    let back = version
        .deployment("production")
        .is_some_and(|d| matches!(d.state, DeploymentState::Failed | DeploymentState::RolledBack));
    failed && staged && back
}

fn same_digest(version: &Shipped) -> bool {
    let images = |environment| version.deployment(environment).map(|d| &d.release.images);
    images("staging").is_some() && images("staging") == images("production")
}

fn digests(version: &Shipped) -> String {
    let images = version.deployment("production").map(|d| d.release.images.values());
    images.into_iter().flatten().map(|d| show::short_digest(d)).collect::<Vec<_>>().join(", ")
}
