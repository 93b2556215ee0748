//! One event on one run: decide, commit state and ledger together, repeat if somebody else was first.

use windlass_kernel::{Batch, JobId, NewEvent, RunId, StoreError, StoreExt as _, Timestamp};
use windlass_pipeline::{Action, InvalidTransition, Models, Run, RunEvent, step_with};

use crate::context::Context;
use crate::runs::attempts::Attempt;

/// Why an event did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// No such run.
    #[error("there is no run {0}")]
    Unknown(RunId),
    /// The machine says no.
    #[error(transparent)]
    Invalid(#[from] InvalidTransition),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How often a lost race is run again.
const RACES: usize = 50;

impl Context {
    /// Lets events happen to a run, one after the other, in one transaction; `also` adds what belongs to it.
    pub(crate) async fn apply_with(
        &self,
        id: RunId,
        events: &[RunEvent],
        also: impl Fn(&Run, Batch) -> Batch + Send + Sync,
    ) -> Result<Run, EngineError> {
        // The workflows of a run do not change: they are read once for all events, and for all tries.
        let mut models = Models::default();
        for _ in 0..RACES {
            let found = self.store.get::<Run>(&id.to_string()).await?.ok_or(EngineError::Unknown(id))?;
            let now = self.now();
            let mut run = found.value.clone();
            let mut happened = Vec::new();
            for event in events {
                let new_id = &mut || JobId::new(&self.ids);
                let (next, actions) = step_with(&run, event.clone(), now, new_id, &mut models)?;
                run = next;
                happened.extend(ledger_events(&run, &actions, now));
            }
            if run == found.value && happened.is_empty() {
                return Ok(run);
            }
            let mut batch = Batch::new().update(&run, found.version).events(happened);
            if run.attempt != found.value.attempt {
                batch = batch.put(&Attempt::new(found.value));
            }
            let batch = also(&run, batch);
            match self.commit(batch).await {
                Ok(_) => {
                    self.runs_changed.notify_one();
                    return Ok(run);
                }
                Err(StoreError::Conflict { kind, .. }) if kind == "run" => {}
                Err(e) => return Err(e.into()),
            }
        }
        Err(StoreError::Backend(format!("run {id} changes too fast")).into())
    }

    /// Lets one event happen to a run.
    pub(crate) async fn apply(&self, id: RunId, event: RunEvent) -> Result<Run, EngineError> {
        self.apply_with(id, &[event], |_, batch| batch).await
    }
}

/// The ledger events among the actions.
pub(crate) fn ledger_events(run: &Run, actions: &[Action], now: Timestamp) -> Vec<NewEvent> {
    let emitted = actions.iter().filter_map(|action| match action {
        Action::Emit { actor, kind, subject, data } => {
            let mut data = data.clone();
            if let serde_json::Value::Object(map) = &mut data {
                map.entry("run").or_insert_with(|| run.id.to_string().into());
            }
            Some(NewEvent::new(now, actor.clone(), kind, subject).project(&run.project).data(data))
        }
        _ => None,
    });
    emitted.collect()
}
