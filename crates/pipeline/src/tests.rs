//! The machine, played: a workflow's text, what happens, and what then stands.

mod cancelling;
mod conditions;
mod handing;
mod held;
mod largest;
mod matrices;
mod property;
mod starting;
mod together;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use windlass_kernel::{Actor, Clock, Ids, JobId, RunId, Timestamp};
use windlass_testkit::{TestClock, TestEntropy};

use crate::*;

/// A run that is being played.
pub(crate) struct Play {
    pub(crate) run: Run,
    /// Every action so far.
    pub(crate) actions: Vec<Action>,
    clock: Arc<TestClock>,
    ids: Ids,
}

pub(crate) fn new_run(text: &str, ids: &Ids) -> NewRun {
    NewRun {
        id: RunId::new(ids),
        project: "shop".parse().unwrap(),
        number: 7,
        file: ".github/workflows/ci.yml".into(),
        text: text.into(),
        title: "Fix the basket".into(),
        event: "push".into(),
        github: json!({"event_name": "push", "ref": "refs/heads/main", "ref_name": "main", "actor": "ada"}),
        git_ref: "refs/heads/main".into(),
        sha: "0123456789abcdef0123456789abcdef01234567".into(),
        actor: Actor::User("ada".parse().unwrap()),
        inputs: Json::Null,
        vars: json!({"REGION": "eu", "LIMIT": "7.5"}),
        called: called(text),
    }
}

/// What can be called: `inner`, and `outer` that calls it.
fn called(text: &str) -> Loaded {
    let mut loading = Loading::new(".github/workflows/ci.yml", text);
    while let Some(wanted) = loading.wanted() {
        let jobs = if wanted.path.ends_with("inner.yml") {
            job("a", "environment: prod")
                + &job("b", "needs: a\nif: always()\nstrategy:\n  max-parallel: 1\n  matrix:\n    v: [1, 2]")
                + &job("c", "needs: b\nconcurrency: ${{ github.ref_name }}")
        } else {
            job("first", "")
                + &call("inner", "inner", "needs: first")
                + &call("again", "inner", "if: failure()\nneeds: inner")
        };
        let text = format!("on: workflow_call\nconcurrency: of-{}\njobs:\n{jobs}", wanted.path.len());
        loading.answer(wanted, Ok(Found { sha: "0".repeat(40), text }));
    }
    loading.finish()
}

/// A job that calls a workflow, with these lines of settings.
pub(crate) fn call(key: &str, file: &str, settings: &str) -> String {
    let settings = settings.lines().fold(String::new(), |text, line| text + "    " + line + "\n");
    format!("  {key}:\n{settings}    uses: ./.github/workflows/{file}.yml\n")
}

impl Play {
    /// Starts a run of the workflow whose `jobs` are these.
    pub(crate) fn jobs(jobs: &str) -> Self {
        Self::workflow(&format!("on: push\njobs:\n{jobs}"))
    }

    pub(crate) fn workflow(text: &str) -> Self {
        let clock = Arc::new(TestClock::at(1_000_000));
        let ids = Ids::new(clock.clone(), Arc::new(TestEntropy::default()));
        let (run, actions) = Run::new(new_run(text, &ids), clock.now(), &mut || JobId::new(&ids));
        Self { run, actions, clock, ids }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn attempt(&mut self, event: RunEvent) -> Result<Vec<Action>, InvalidTransition> {
        self.clock.advance(std::time::Duration::from_secs(1));
        let (run, actions) = step(&self.run, event, self.clock.now(), &mut || JobId::new(&self.ids))?;
        self.run = run;
        self.actions.extend(actions.clone());
        Ok(actions)
    }

    pub(crate) fn send(&mut self, event: RunEvent) -> Vec<Action> {
        let shown = format!("{event:?}");
        self.attempt(event).unwrap_or_else(|e| panic!("{shown}: {e}"))
    }

    /// Word that the run's or a job's turn in its group has come.
    pub(crate) fn admitted(&self, job: Option<JobId>) -> RunEvent {
        let own = match job {
            None => self.run.group.as_ref().map(|group| group.name.clone()),
            Some(id) => self.run.job(id).and_then(|job| match &job.state {
                JobState::Waiting { for_what: WaitingFor::Group { group } } => Some(group.clone()),
                _ => job.groups().last().map(|group| group.name.clone()),
            }),
        };
        RunEvent::GroupAdmitted { job, group: own.unwrap_or_default() }
    }

    pub(crate) fn named(&self, name: &str) -> &Job {
        let names = || self.run.jobs.iter().map(|j| j.name.clone()).collect::<Vec<_>>();
        self.run
            .jobs
            .iter()
            .find(|job| job.name == name)
            .unwrap_or_else(|| panic!("no {name} in {:?}", names()))
    }

    pub(crate) fn id(&self, name: &str) -> JobId {
        self.named(name).id
    }

    pub(crate) fn lease(&mut self, name: &str) -> u32 {
        let job = self.id(name);
        let until = self.now() + std::time::Duration::from_secs(30);
        self.send(RunEvent::Leased { job, runner: "r1".into(), until });
        self.named(name).tries
    }

    pub(crate) fn report(&mut self, name: &str, report: Report) -> Vec<Action> {
        let job = self.named(name);
        let (job, hand_out, seq) = (job.id, job.tries, job.acknowledged + 1);
        let at = self.now();
        self.send(RunEvent::Reported { job, hand_out, seq, at, report })
    }

    pub(crate) fn start(&mut self, name: &str) {
        self.lease(name);
        self.report(name, Report::Started { sandbox: "plain".into() });
    }

    /// Ends a job, from wherever it stands behind the queue.
    pub(crate) fn finish(
        &mut self,
        name: &str,
        conclusion: Conclusion,
        outputs: &[(&str, &str)],
    ) -> Vec<Action> {
        if matches!(self.named(name).state, JobState::Queued { .. }) {
            self.start(name);
        }
        let outputs: BTreeMap<_, _> =
            outputs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        self.report(name, Report::Finished { conclusion, reason: None, outputs, environment_url: None })
    }

    pub(crate) fn succeed(&mut self, name: &str) -> Vec<Action> {
        self.finish(name, Conclusion::Success, &[])
    }

    pub(crate) fn fail(&mut self, name: &str) -> Vec<Action> {
        self.finish(name, Conclusion::Failure, &[])
    }

    pub(crate) fn cancel(&mut self) -> Vec<Action> {
        let by = Actor::User("ada".parse().unwrap());
        self.send(RunEvent::CancelRequested { by, reason: "cancelled by ada".into(), force: false })
    }

    /// `name: state` of every job, in order.
    pub(crate) fn states(&self) -> Vec<String> {
        self.run.jobs.iter().map(|job| format!("{}: {}", job.name, state(job))).collect()
    }

    pub(crate) fn reason(&self, name: &str) -> String {
        self.named(name).reason().unwrap_or_default()
    }
}

fn state(job: &Job) -> &'static str {
    match &job.state {
        JobState::Waiting { for_what: WaitingFor::Needs } => "needs",
        JobState::Waiting { for_what: WaitingFor::Siblings } => "siblings",
        JobState::Waiting { for_what: WaitingFor::Gate { .. } } => "gate",
        JobState::Waiting { for_what: WaitingFor::Group { .. } } => "group",
        JobState::Queued { .. } => "queued",
        JobState::Leased { .. } => "leased",
        JobState::Running { .. } => "running",
        JobState::Calling { .. } => "calling",
        JobState::Completed { conclusion, .. } => conclusion.as_str(),
    }
}

/// The kinds of ledger events among actions.
pub(crate) fn kinds(actions: &[Action]) -> Vec<&'static str> {
    let kind = |action: &Action| match action {
        Action::Emit { kind, .. } => Some(*kind),
        _ => None,
    };
    actions.iter().filter_map(kind).collect()
}

/// A job that does something, with these lines of settings.
pub(crate) fn job(key: &str, settings: &str) -> String {
    let settings = settings.lines().fold(String::new(), |text, line| text + "    " + line + "\n");
    format!("  {key}:\n    runs-on: linux\n{settings}    steps:\n      - run: make {key}\n")
}
