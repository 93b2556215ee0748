//! How the registry is: the disk, what was cared for lately, how old the advisories are; and all repositories.

use windlass_api as api;
use windlass_api::Problem;
use windlass_identity::{Action, Principal, Resource};
use windlass_kernel::Event;

use super::care;
use crate::context::{Context, internal, may, may_project, stored};

type Answer<T> = Result<T, Problem>;

/// How many collections and scrubs are told of each kind.
const TOLD: usize = 5;
const KINDS: [&str; 3] = ["registry.collected", "registry.disk_pressure", "registry.scrubbed"];

impl Context {
    /// How the registry is.
    pub(crate) async fn registry_state(&self, who: &Principal) -> Answer<api::RegistryState> {
        may(who, Action::ReadPlatform, &Resource::Platform)?;
        let (disk_free, disk_total) = care::disk(self).unwrap_or_default();
        let mut care = Vec::new();
        for kind in KINDS {
            let events = self.store.events_back(0, TOLD, None, Some(kind)).await.map_err(stored)?;
            care.extend(events.into_iter().map(cared));
        }
        care.sort_by_key(|care| std::cmp::Reverse(care.at));
        let (database, now) = (self.evidence.database.clone(), self.evidence.database.fresh());
        let states = tokio::task::spawn_blocking(move || database.states()).await;
        let states = states.map_err(|e| internal("the advisories cannot be looked at", &e))?;
        let states = states.map_err(|e| internal("the advisories cannot be looked at", &e))?;
        Ok(api::RegistryState {
            disk_free,
            disk_total,
            disk_fills: care::scarce(disk_free, disk_total),
            busy: self.images.caring.try_lock().is_err(),
            care,
            advisories: states
                .into_iter()
                .map(|state| api::AdvisoriesView {
                    ecosystem: state.ecosystem,
                    advisories: state.advisories,
                    as_of: state.as_of,
                })
                .collect(),
            advisories_days: now.as_secs() / 86_400,
        })
    }

    /// All repositories that the caller may pull from.
    pub(crate) async fn all_repositories(&self, who: &Principal) -> Answer<Vec<api::RepositoryView>> {
        may(who, Action::ReadPlatform, &Resource::Platform)?;
        self.repositories_where(None, |name| {
            name.project().is_some_and(|project| may_project(who, Action::PullImage, &project).is_ok())
        })
        .await
    }
}

fn cared(event: Event) -> api::CareView {
    let data = &event.body.data;
    let number = |key: &str| data.get(key).and_then(serde_json::Value::as_u64).unwrap_or_default();
    let rotten = data.get("rotten").cloned().and_then(|value| serde_json::from_value(value).ok());
    api::CareView {
        freed: number("freed"),
        things: number("things").max(number("checked")),
        rotten: rotten.unwrap_or_default(),
        at: event.body.at,
        by: event.body.actor.to_string(),
        kind: event.body.kind,
    }
}
