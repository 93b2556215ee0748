//! Waiting for what the platform does by itself, with a deadline.

use std::time::{Duration, Instant};

use windlass_api::{
    ApprovalView, AuditReport, Conclusion, DeploymentView, EnvironmentView, EventView, JobView, RunDetail,
    RunSummary, State,
};

use super::{Platform, traffic};

/// The moment when waiting is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    #[expect(clippy::disallowed_methods, reason = "a real platform is waited for in real time")]
    pub(crate) fn in_seconds(seconds: u64) -> Self {
        Self(Instant::now() + Duration::from_secs(seconds))
    }

    #[expect(clippy::disallowed_methods, reason = "a real platform is waited for in real time")]
    pub(crate) fn passed(self) -> bool {
        Instant::now() > self.0
    }
}

/// Looks again and again until something is found; says what was missing when it takes too long.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, seconds: u64, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Deadline::in_seconds(seconds);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(!end.passed(), "waited {seconds} s in vain for {what}");
        std::thread::sleep(Duration::from_millis(40));
    }
}

impl Platform {
    /// The runs of a project, newest first.
    pub(crate) fn runs(&self, project: &str) -> Vec<RunSummary> {
        self.try_get(&format!("/api/v1/projects/{project}/runs")).unwrap_or_default()
    }

    /// The run of a commit.
    #[track_caller]
    pub(crate) fn run_of(&self, project: &str, sha: &str) -> RunDetail {
        let id = wait_for(&format!("a run of {sha}"), 30, || {
            self.runs(project).into_iter().find(|r| r.sha == sha).map(|r| r.id)
        });
        self.get(&format!("/api/v1/runs/{id}"))
    }

    pub(crate) fn run_now(&self, id: &str) -> Option<RunDetail> {
        self.try_get(&format!("/api/v1/runs/{id}")).ok()
    }

    /// Waits until a run has ended.
    #[track_caller]
    pub(crate) fn ended(&self, id: &str, seconds: u64) -> RunDetail {
        wait_for(&format!("the end of run {id}"), seconds, || {
            self.run_now(id).filter(|r| r.summary.state == State::Completed)
        })
    }

    /// Waits for the end of a commit's run, which must be this.
    #[track_caller]
    pub(crate) fn concludes(&self, project: &str, sha: &str, how: Conclusion) -> RunDetail {
        let id = self.run_of(project, sha).summary.id;
        let run = self.ended(&id, 120);
        let reasons: Vec<_> = run.jobs.iter().map(|j| (&j.name, j.conclusion, &j.reason)).collect();
        assert_eq!(run.summary.conclusion, Some(how), "run {id}: {reasons:#?} {:#?}", run.diagnostics);
        run
    }

    /// Waits until a run asks for an approval.
    #[track_caller]
    pub(crate) fn approval(&self, run: &str) -> ApprovalView {
        wait_for(&format!("run {run} to ask for an approval"), 90, || {
            let run = self.run_now(run)?;
            assert!(
                run.summary.state != State::Completed,
                "the run ended instead of waiting: {:?}",
                run.jobs.iter().map(|j| (&j.name, j.conclusion, &j.reason)).collect::<Vec<_>>()
            );
            run.approvals.into_iter().find(|a| a.state == "pending")
        })
    }

    /// The log of a job so far.
    pub(crate) fn log(&self, run: &RunDetail, key: &str) -> String {
        self.log_of(&run.summary.id, &job(run, key).id)
    }

    pub(crate) fn log_of(&self, run: &str, job: &str) -> String {
        let bearer = format!("Bearer {}", self.token);
        let path = format!("/api/v1/runs/{run}/jobs/{job}/log");
        let reply = traffic::send(self.address(), "GET", &path, &[("Authorization", &bearer)], b"");
        reply.map(|r| r.body).unwrap_or_default()
    }

    /// Waits until a job's log holds a text.
    #[track_caller]
    pub(crate) fn says(&self, run: &str, key: &str, text: &str) {
        wait_for(&format!("`{text}` in the log of {key}"), 60, || {
            let run = self.run_now(run)?;
            let job = run.jobs.iter().find(|j| j.key == key)?;
            self.log_of(&run.summary.id, &job.id).contains(text).then_some(())
        });
    }

    /// The deployments of an environment, newest first.
    pub(crate) fn deployments(&self, project: &str, environment: &str) -> Vec<DeploymentView> {
        let path = format!("/api/v1/projects/{project}/deployments?environment={environment}");
        self.try_get(&path).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn environment(&self, project: &str, name: &str) -> EnvironmentView {
        let all: Vec<EnvironmentView> = self.get(&format!("/api/v1/projects/{project}/environments"));
        all.into_iter().find(|e| e.name == name).unwrap_or_else(|| panic!("no environment {name}"))
    }

    /// The whole ledger, oldest first.
    #[track_caller]
    pub(crate) fn ledger(&self) -> Vec<EventView> {
        let mut all: Vec<EventView> = Vec::new();
        loop {
            let after = all.last().map_or(0, |e| e.seq);
            let page: Vec<EventView> = self.get(&format!("/api/v1/events?after={after}"));
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    }

    /// The ledger is whole: numbered without gaps, chained, nothing twice.
    #[track_caller]
    pub(crate) fn assert_ledger_whole(&self) -> Vec<EventView> {
        let ledger = self.ledger();
        let numbers: Vec<u64> = ledger.iter().map(|e| e.seq).collect();
        assert_eq!(numbers, (1..=ledger.len() as u64).collect::<Vec<_>>(), "the ledger has gaps");
        let report: AuditReport = self.get("/api/v1/audit/verify");
        assert!(report.intact, "the ledger's chain is broken: {:?}", report.problem);
        ledger
    }
}

/// A job of a run, by its key.
#[track_caller]
pub(crate) fn job<'a>(run: &'a RunDetail, key: &str) -> &'a JobView {
    let found = run.jobs.iter().find(|j| j.key == key);
    found.unwrap_or_else(|| {
        panic!("no job {key} among {:?}", run.jobs.iter().map(|j| &j.key).collect::<Vec<_>>())
    })
}
