//! The ledger as the API tells it, and what the platform is doing.

use std::time::Duration;

use windlass_api as api;
use windlass_api::Problem;
use windlass_identity::{Action, Principal, Resource};
use windlass_kernel::{Event, ProjectName, Query, StoreExt as _};
use windlass_pipeline::Run;
use windlass_web::Page;

use crate::accounts::LOCAL_RUNNER;
use crate::context::{Context, may, parse, stored};
use crate::source::ProjectDoc;

type Answer<T> = Result<T, Problem>;

/// Entries of a page when no number is asked for, and at most.
const PAGE: usize = 100;
const MOST: usize = 1000;
/// How long a reader who has seen everything waits for more.
const WAIT: Duration = Duration::from_secs(25);

fn view(event: Event) -> api::EventView {
    api::EventView {
        seq: event.seq,
        at: event.body.at,
        actor: event.body.actor.to_string(),
        kind: event.body.kind,
        project: event.body.project.map(|p| p.to_string()),
        subject: event.body.subject,
        data: event.body.data,
        hash: event.hash,
    }
}

impl Context {
    fn may_read(who: &Principal, project: Option<&str>) -> Answer<Option<ProjectName>> {
        let project = project.map(parse::<ProjectName>).transpose()?;
        match &project {
            Some(project) => may(who, Action::ReadProject, &Resource::Project(project.clone()))?,
            None => may(who, Action::ReadAudit, &Resource::Platform)?,
        }
        Ok(project)
    }

    pub(crate) async fn events_back(
        &self,
        who: &Principal,
        project: Option<&str>,
        kind: Option<&str>,
        page: &Page,
    ) -> Answer<Vec<api::EventView>> {
        let project = Self::may_read(who, project)?;
        let before = page.before.as_deref().map_or(Ok(0), parse::<u64>)?;
        let limit = if page.limit == 0 { PAGE } else { page.limit.min(MOST) };
        let events =
            self.store.events_back(before, limit, project.as_ref().map(ProjectName::as_str), kind).await;
        Ok(events.map_err(stored)?.into_iter().map(view).collect())
    }

    /// What came behind `after`; waits for the first.
    pub(crate) async fn events_after(
        &self,
        who: &Principal,
        project: Option<&str>,
        after: u64,
    ) -> Answer<Vec<api::EventView>> {
        let audits = may(who, Action::ReadAudit, &Resource::Platform).is_ok();
        let project = match Self::may_read(who, project) {
            Ok(project) => project,
            // Whoever may not read the whole ledger may follow what concerns the platform they see.
            Err(_) if project.is_none() => {
                may(who, Action::ReadPlatform, &Resource::Platform)?;
                None
            }
            Err(e) => return Err(e),
        };
        let deadline = tokio::time::Instant::now() + WAIT;
        let mut ledger = self.ledger.subscribe();
        let mut after = after;
        loop {
            ledger.borrow_and_update();
            let events = self.store.events(after, PAGE).await.map_err(stored)?;
            if let Some(last) = events.last() {
                after = last.seq;
            }
            let full = events.len() == PAGE;
            let wanted: Vec<api::EventView> = events
                .into_iter()
                .filter(|e| match (&project, &e.body.project) {
                    (Some(_), of) => *of == project,
                    (None, Some(of)) => {
                        audits || may(who, Action::ReadProject, &Resource::Project(of.clone())).is_ok()
                    }
                    // Accounts, tokens, sign-ins: for those who read the audit trail.
                    (None, None) => audits,
                })
                .map(view)
                .collect();
            if !wanted.is_empty() {
                return Ok(wanted);
            }
            if full {
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => return Ok(Vec::new()),
                changed = ledger.changed() => if changed.is_err() { return Ok(Vec::new()) },
            }
        }
    }

    pub(crate) async fn audit_verify(&self, who: &Principal) -> Answer<api::AuditReport> {
        may(who, Action::ReadAudit, &Resource::Platform)?;
        let report = windlass_store::verify_chain(&*self.store).await.map_err(stored)?;
        Ok(api::AuditReport {
            entries: report.entries,
            intact: report.intact(),
            problem: report.problem.as_ref().map(ToString::to_string),
            head: report.head.hash.clone(),
        })
    }

    pub(crate) async fn status(&self, who: &Principal) -> Answer<api::Status> {
        may(who, Action::ReadPlatform, &Resource::Platform)?;
        let count =
            |docs: Result<Vec<windlass_kernel::RawDoc>, _>| docs.map(|d| d.len() as u64).map_err(stored);
        let states = |states: &[&str]| Query {
            states: states.iter().map(|s| (*s).to_owned()).collect(),
            ..Query::default()
        };
        let runs = self.store.list::<Run>(&states(&["active"])).await.map_err(stored)?;
        let leased = runs.iter().flat_map(|r| &r.value.jobs).filter(|j| j.lease().is_some()).count();
        let gateway = self.gateway.pid().await;
        let roles = vec![
            api::RoleStatus {
                name: "control".into(),
                healthy: true,
                pid: Some(std::process::id()),
                note: String::new(),
            },
            api::RoleStatus {
                name: "gateway".into(),
                healthy: gateway.is_ok(),
                note: gateway.as_ref().err().map(ToString::to_string).unwrap_or_default(),
                pid: gateway.ok(),
            },
            self.runner_status(leased),
        ];
        Ok(api::Status {
            version: env!("CARGO_PKG_VERSION").into(),
            started_at: self.started_at,
            url: self.endpoint.url.clone(),
            gateway_url: self.endpoint.gateway_url.clone(),
            roles,
            projects: self.store.list::<ProjectDoc>(&Query::default()).await.map_err(stored)?.len() as u64,
            active_runs: runs.len() as u64,
            active_deployments: count(
                self.store.list_raw("deployment", &states(&["active", "queued"])).await,
            )?,
            instances: self.running_instances().await?,
            sandbox: format!("{}: {}", self.capabilities.level, self.capabilities.why.join(" ")),
            ledger_seq: self.store.head().await.map_err(stored)?.seq,
            needs_setup: self.needs_setup().await?,
        })
    }

    fn runner_status(&self, leased: usize) -> api::RoleStatus {
        let last = self.runner_seen.load(std::sync::atomic::Ordering::Relaxed);
        let silent = self.now().as_millis() - last;
        // Right after the start it has not come round to asking.
        let young = self.now().since(self.started_at) < Duration::from_secs(20);
        let healthy = if last > 0 { silent < 60_000 } else { young };
        let note = match (last, leased) {
            (0, _) => "has not asked for work yet".to_owned(),
            _ if !healthy => format!("was last heard of {} s ago", silent / 1000),
            (_, 0) => "idle".to_owned(),
            (_, n) => format!("{n} jobs"),
        };
        let pid =
            std::fs::read_to_string(self.data.run("runner.pid")).ok().and_then(|t| t.trim().parse().ok());
        api::RoleStatus { name: format!("runner {LOCAL_RUNNER}"), healthy, pid, note }
    }
}
