//! Events that somebody sends: `repository_dispatch`.

use serde_json::{Value, json};
use windlass_api as api;
use windlass_api::Problem;
use windlass_identity::{Action, Principal};
use windlass_kernel::{Batch, NewEvent, ProjectName};
use windlass_workflow::trigger::TriggerEvent;

use crate::context::{Context, internal, may_project, parse, stored};
use crate::runs::payload::{person, repository_json};
use crate::runs::start::{Cause, default_tip, start_all, workflows};
use crate::runs::view::summary;

/// The longest type of an event, in characters.
const LONGEST_TYPE: usize = 100;
/// The most keys of a payload, on its first level.
const MOST_KEYS: usize = 10;
/// The longest payload, in characters of JSON.
const LONGEST_PAYLOAD: usize = 65_535;

impl Context {
    /// Sends an event of the sender's own: the workflows of the default branch that run on it are started.
    pub(crate) async fn repository_dispatch(
        &self,
        who: &Principal,
        project: &str,
        event: api::RepositoryDispatch,
    ) -> Result<Vec<api::RunSummary>, Problem> {
        let project: ProjectName = parse(project)?;
        may_project(who, Action::StartRun, &project)?;
        check(&event)?;
        let missing = || Problem::not_found(format!("there is no project {project}"));
        let repository = self.repositories.get(&project).map_err(|_| missing())?;
        let read = |e: &dyn std::fmt::Display| internal("the repository cannot be read", e);
        let Some((default, tip)) = default_tip(&repository).await.map_err(|e| read(&e))? else {
            return Err(Problem::conflict(format!("{project} has no commit yet: push one first")));
        };
        let payload = json!({
            "action": event.event_type,
            "branch": default.short(),
            "client_payload": event.client_payload,
            "repository": repository_json(self, &project, default.short()),
            "sender": person(&who.actor),
        });
        let cause = Cause {
            event: "repository_dispatch",
            payload,
            git_ref: default.as_str(),
            sha: tip.as_str(),
            base_ref: "",
            head_ref: "",
            actor: &who.actor,
            title: event.event_type.clone(),
            inputs: Value::Null,
            held: None,
        };
        let files = workflows(&repository, &tip).await.map_err(|e| read(&e))?;
        let trigger = TriggerEvent::RepositoryDispatch { event_type: &event.event_type };
        let started = start_all(self, &project, &files, &trigger, &cause).await;
        let started = started.map_err(|e| internal("the runs cannot be made", &e))?;
        let told = NewEvent::new(self.now(), who.actor.clone(), "repository.dispatched", &event.event_type)
            .project(&project)
            .data(json!({"runs": started.len()}));
        let batch = started
            .iter()
            .fold(Batch::new().event(told), |batch, (run, events)| batch.create(run).events(events.clone()));
        self.commit(batch).await.map_err(stored)?;
        self.runs_changed.notify_one();
        Ok(started.iter().map(|(run, _)| summary(run)).collect())
    }
}

fn check(event: &api::RepositoryDispatch) -> Result<(), Problem> {
    let length = event.event_type.chars().count();
    if event.event_type.trim().is_empty() || length > LONGEST_TYPE {
        return Err(Problem::invalid(format!("`event_type` is a text of 1 to {LONGEST_TYPE} characters")));
    }
    if event.client_payload.len() > MOST_KEYS {
        return Err(Problem::invalid(format!(
            "`client_payload` has {} keys; {MOST_KEYS} are the most: put them below one key",
            event.client_payload.len()
        )));
    }
    let size = serde_json::to_string(&event.client_payload).map_or(usize::MAX, |text| text.chars().count());
    if size > LONGEST_PAYLOAD {
        return Err(Problem::invalid(format!(
            "`client_payload` is longer than {LONGEST_PAYLOAD} characters"
        )));
    }
    Ok(())
}
