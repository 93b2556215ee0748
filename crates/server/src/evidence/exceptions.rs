//! Exceptions that people grant while the platform runs: an approval of one vulnerability in one environment, for a time.

use std::time::Duration;

use serde_json::json;
use windlass_api as api;
use windlass_api::Problem;
use windlass_delivery::Reviewer;
use windlass_identity::{Action, Principal};
use windlass_kernel::{
    Actor, Batch, Document as _, EnvironmentName, NewEvent, ProjectName, Query, StoreExt as _,
};
use windlass_web::Answer;

use super::documents::ExceptionDoc;
use crate::context::{Context, internal, may_project, parse, stored};

/// How long an exception lasts, when nothing is said, and at most.
const DAYS: u32 = 7;
const MOST_DAYS: u32 = 90;
const LONGEST_REASON: usize = 1000;

fn view(doc: ExceptionDoc) -> api::VulnerabilityException {
    api::VulnerabilityException {
        id: doc.id,
        environment: doc.environment.to_string(),
        reason: doc.reason,
        by: doc.by.to_string(),
        at: doc.at,
        expires: doc.expires,
    }
}

impl Context {
    /// The exceptions of an environment, those that expired too.
    pub(crate) async fn exceptions(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
    ) -> Answer<Vec<api::VulnerabilityException>> {
        let project: ProjectName = parse(project)?;
        let environment: EnvironmentName = parse(environment)?;
        may_project(who, Action::ReadProject, &project)?;
        let query = Query { parent: Some(format!("{project}/{environment}")), ..Query::default() };
        let found = self.store.list::<ExceptionDoc>(&query).await.map_err(stored)?;
        Ok(found.into_iter().map(|doc| view(doc.value)).collect())
    }

    /// Lets a vulnerability through, for a time. Whoever may approve deployments to the environment may do it.
    pub(crate) async fn except(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
        how: api::GrantException,
    ) -> Answer<api::VulnerabilityException> {
        let project: ProjectName = parse(project)?;
        let environment: EnvironmentName = parse(environment)?;
        may_project(who, Action::Approve, &project)?;
        let Actor::User(by) = &who.actor else { return Err(Problem::forbidden("only people approve")) };
        let reviewers = crate::runs::reviewers(self, &project, &environment).await;
        let reviewers = reviewers.map_err(|e| internal("the environment's rules cannot be read", &e))?;
        let reviewers = reviewers.map_err(Problem::invalid)?;
        if !reviewers.is_empty() && !reviewers.iter().any(|reviewer: &Reviewer| reviewer.admits(by)) {
            return Err(Problem::forbidden(format!("{by} is not among the reviewers of {environment}")));
        }
        let id = how.id.trim();
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if id.is_empty() || id.len() > 100 || !id.chars().all(fits) {
            return Err(Problem::invalid(format!(
                "`{id}` is not the id of a vulnerability, such as CVE-2024-1234"
            )));
        }
        let reason = how.reason.trim();
        if reason.is_empty() || reason.chars().count() > LONGEST_REASON {
            return Err(Problem::invalid(format!(
                "an exception needs a reason of 1 to {LONGEST_REASON} characters: why does it do no harm here?"
            )));
        }
        let days = how.days.unwrap_or(DAYS);
        if !(1..=MOST_DAYS).contains(&days) {
            return Err(Problem::invalid(format!("an exception lasts 1 to {MOST_DAYS} days")));
        }
        let now = self.now();
        let doc = ExceptionDoc {
            project: project.clone(),
            environment: environment.clone(),
            id: id.to_ascii_uppercase(),
            reason: reason.to_owned(),
            by: by.clone(),
            at: now,
            expires: now + Duration::from_hours(24 * u64::from(days)),
        };
        let event =
            NewEvent::new(now, who.actor.clone(), "approval.given", doc.id()).project(&project).data(json!({
                "environment": environment, "except": doc.id, "comment": doc.reason, "expires": doc.expires,
            }));
        self.commit(Batch::new().put(&doc).event(event)).await.map_err(stored)?;
        self.runs_changed.notify_one();
        Ok(view(doc))
    }
}
