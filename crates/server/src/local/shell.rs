//! Carries a plan out: events to the machine, what it says to be done, and jobs in this process.

mod adjust;
mod drive;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;
use windlass_kernel::{Actor, Clock, Ids, JobId, OsEntropy, ProjectName, RunId, SystemClock};
use windlass_pipeline::concurrency::{Group, GroupAction, Member};
use windlass_pipeline::{Action, Models, NewRun, Run, RunEvent, step_with};
use windlass_runner::JobStop;
use windlass_workflow::Workflow;

use super::control::LocalControl;
use super::job::{Word, github};
use super::plan::Plan;
use super::{Audience, Outcome, place, source};
use crate::runs::{detail, job_view};

/// A run that goes on.
struct LocalRun {
    run: Run,
    /// Its workflows, read once.
    models: Models,
    control: Arc<LocalControl>,
    /// By key: how many legs were passed over, and how many were not.
    legs: BTreeMap<String, (usize, usize)>,
}

/// The shell around the machine.
struct Shell {
    plan: Arc<Plan>,
    audience: Arc<dyn Audience>,
    clock: Arc<dyn Clock>,
    ids: Ids,
    runs: Vec<LocalRun>,
    groups: HashMap<String, Group>,
    ready: VecDeque<(usize, JobId)>,
    /// What stops a job that runs.
    running: HashMap<JobId, JobStop>,
    words: mpsc::UnboundedSender<Word>,
    /// Workflows by their texts, parsed once.
    models: HashMap<String, Arc<Workflow>>,
    /// Nothing is carried out; each job succeeds at once.
    dry: bool,
    /// A folder in which repositories of this machine stand for those that workflows name.
    stand_ins: Option<PathBuf>,
    /// A folder of ours in memory, if there is one.
    memory: Option<PathBuf>,
    /// Whether it was said that there is no sandbox.
    warned: bool,
    /// Whether something that was asked for was not there.
    missed: bool,
}

/// Carries a plan out and gives how its runs ended. A `dry` run decides everything and starts nothing.
///
/// # Errors
/// When the folder for jobs cannot be made.
pub async fn carry_out(plan: Plan, audience: Arc<dyn Audience>, dry: bool) -> anyhow::Result<Outcome> {
    let (words, heard) = mpsc::unbounded_channel();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut shell = Shell {
        plan: Arc::new(plan),
        audience,
        ids: Ids::new(clock.clone(), Arc::new(OsEntropy)),
        clock,
        runs: Vec::new(),
        groups: HashMap::new(),
        ready: VecDeque::new(),
        running: HashMap::new(),
        words,
        models: HashMap::new(),
        dry,
        stand_ins: None,
        memory: place::memory(),
        warned: false,
        missed: false,
    };
    if !dry {
        std::fs::create_dir_all(&shell.plan.request.store)?;
        shell.stand_ins = source::stand_ins(&shell.plan.request)?;
    }
    shell.begin();
    shell.drive(heard).await;
    if let Some(folder) = &shell.stand_ins {
        let _ = std::fs::remove_dir_all(folder);
    }
    let images = shell.runs.iter().find_map(|local| local.control.images_folder().map(Path::to_owned));
    let folders = shell.runs.iter().map(|local| local.control.artifacts_folder().to_owned());
    Ok(Outcome {
        artifacts: folders.filter(|folder| folder.is_dir()).collect(),
        runs: shell.runs.iter().map(|local| detail(&local.run)).collect(),
        missed: shell.missed,
        images,
    })
}

impl Shell {
    /// Makes the runs.
    fn begin(&mut self) {
        let plan = self.plan.clone();
        for (place, planned) in plan.runs.iter().enumerate() {
            let id = RunId::new(&self.ids);
            let number = place as u64 + 1;
            let new = NewRun {
                id,
                project: project(&plan.repository.name),
                number,
                file: planned.file.clone(),
                text: planned.text.clone(),
                title: planned.event.title.clone(),
                event: planned.event.name.clone(),
                github: github(&plan, planned, &id.to_string(), number),
                git_ref: planned.event.git_ref.clone(),
                sha: planned.event.sha.clone(),
                actor: plan.actor.parse().map_or(Actor::System, Actor::User),
                inputs: planned.inputs.clone(),
                vars: serde_json::json!(plan.request.vars),
                called: planned.called.clone(),
            };
            self.models.insert(planned.text.clone(), planned.workflow.clone());
            let ids = self.ids.clone();
            let mut models = Models::knowing(planned.workflow.clone());
            let now = self.clock.now();
            let (mut run, actions) = Run::known(new, Vec::new(), now, &mut || JobId::new(&ids), &mut models);
            if planned.partly {
                run.jobs.retain(|job| planned.jobs.iter().any(|wanted| wanted.id == job.key));
            }
            let control = Arc::new(LocalControl::new(&plan, id));
            self.audience.run(&detail(&run));
            self.runs.push(LocalRun { run, models, control, legs: BTreeMap::new() });
            for job in 0..self.runs[place].run.jobs.len() {
                self.tell_job(place, job);
            }
            self.heed(place, actions);
        }
    }

    /// Lets an event happen to a run.
    fn happen(&mut self, at: usize, event: RunEvent) {
        let LocalRun { run: before, models, .. } = &mut self.runs[at];
        let (ids, now) = (self.ids.clone(), self.clock.now());
        let (next, actions) = match step_with(before, event, now, &mut || JobId::new(&ids), models) {
            Ok(done) => done,
            Err(error) => {
                tracing::debug!(%error, "an event that cannot happen any more");
                return;
            }
        };
        let before = std::mem::replace(&mut self.runs[at].run, next);
        let run = &self.runs[at].run;
        let same = |now: &windlass_pipeline::Job| {
            before.jobs.iter().any(|then| then.id == now.id && then.state == now.state)
        };
        let changed: Vec<usize> = (0..run.jobs.len()).filter(|job| !same(&run.jobs[*job])).collect();
        for job in changed {
            self.tell_job(at, job);
        }
        if self.runs[at].run.is_completed() && !before.is_completed() {
            self.adjust_end(at);
            self.audience.run(&detail(&self.runs[at].run));
        }
        self.heed(at, actions);
    }

    /// Does what the machine says.
    fn heed(&mut self, at: usize, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Queue { job, labels } => self.queued(at, job, &labels),
                // The rules of environments are the server's; whoever runs a job on their own machine has decided.
                Action::AskGate { job, .. } => self.happen(at, RunEvent::GatePassed { job }),
                Action::JoinGroup { member, group, manner } => {
                    let project = self.runs[at].run.project.clone();
                    let known = self.groups.entry(group.to_lowercase());
                    let known = known.or_insert_with(|| Group::new(project, &group));
                    let actions = known.join(member, manner);
                    self.group_says(&group, actions);
                }
                Action::LeaveGroup { member, group } => {
                    if let Some(known) = self.groups.get_mut(&group.to_lowercase()) {
                        let actions = known.leave(member);
                        self.group_says(&group, actions);
                    }
                }
                Action::CancelJob { job, reason } => {
                    if let Some(stop) = self.running.get(&job) {
                        stop.cancel(&reason);
                    }
                }
                // The ledger is the server's.
                Action::Emit { .. } => {}
            }
        }
    }

    fn group_says(&mut self, group: &str, actions: Vec<GroupAction>) {
        for action in actions {
            let (Member { run, job }, event) = match action {
                GroupAction::Admit(member) => {
                    (member, RunEvent::GroupAdmitted { job: member.job, group: group.to_owned() })
                }
                GroupAction::Cancel { member, reason } => {
                    (member, RunEvent::GroupCancelled { job: member.job, reason })
                }
            };
            let of = self.runs.iter().position(|local| local.run.id == run);
            let known = |at: &usize| job.is_none_or(|job| self.runs[*at].run.job(job).is_some());
            if let Some(at) = of.filter(known) {
                self.happen(at, event);
            }
        }
    }

    fn tell_job(&self, at: usize, job: usize) {
        let view = job_view(&self.runs[at].run.jobs[job]);
        self.audience.job(&self.runs[at].run.workflow.name, &view);
    }
}

/// A project's name for a repository's: only documents of a server are kept under it.
pub(super) fn project(repository: &str) -> ProjectName {
    let name = repository.rsplit('/').next().unwrap_or_default().to_lowercase();
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(63).collect();
    let plain = plain.trim_matches('-');
    let named = plain.parse().or_else(|_| "local".parse());
    named.unwrap_or_else(|_| unreachable!("`local` is a name"))
}
