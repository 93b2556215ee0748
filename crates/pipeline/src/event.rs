use std::collections::BTreeMap;

use serde_json::Value as Json;
use windlass_kernel::{Actor, JobId, Timestamp};

use crate::concurrency::{Manner, Member};
use crate::{Annotation, Conclusion, StepRecord};

/// What can happen to a run.
#[derive(Clone, Debug, PartialEq)]
pub enum RunEvent {
    /// A runner took a queued job.
    Leased {
        /// The job.
        job: JobId,
        /// The runner's name.
        runner: String,
        /// When the lease ends unless the runner is heard of.
        until: Timestamp,
    },
    /// The runner of a job was heard of.
    Renewed {
        /// The job.
        job: JobId,
        /// Which hand-out of the job ([`crate::Job::tries`] at the time).
        hand_out: u32,
        /// When the lease ends now.
        until: Timestamp,
    },
    /// The runner of a job told something. Telling it again changes nothing.
    Reported {
        /// The job.
        job: JobId,
        /// Which hand-out of the job ([`crate::Job::tries`] at the time).
        hand_out: u32,
        /// Its number within the hand-out, from 1, without gaps.
        seq: u64,
        /// When it happened.
        at: Timestamp,
        /// What.
        report: Report,
    },
    /// The rules of a job's environment hold.
    GatePassed {
        /// The job.
        job: JobId,
    },
    /// Somebody or a rule said no.
    GateRejected {
        /// The job.
        job: JobId,
        /// Why, in words.
        reason: String,
    },
    /// The run (no job) or a job has its turn in its concurrency group.
    GroupAdmitted {
        /// The job, if it is one that waited.
        job: Option<JobId>,
        /// The group's name; it ignores case.
        group: String,
    },
    /// The run (no job) or a job must make way for a newer one in its concurrency group.
    GroupCancelled {
        /// The job, if it is one that is in the group.
        job: Option<JobId>,
        /// Why, in words.
        reason: String,
    },
    /// The run shall end.
    CancelRequested {
        /// By whom.
        by: Actor,
        /// Why, in words.
        reason: String,
        /// Also what would go on (`always()`, a job that cleans up, one that waits for an approval).
        force: bool,
    },
    /// A job's runner was not heard of in time, or says that the job's unit died.
    LeaseLost {
        /// The job.
        job: JobId,
        /// Which hand-out of the job ([`crate::Job::tries`] at the time).
        hand_out: u32,
        /// What is known, in words.
        reason: String,
    },
    /// A job took longer than its limit and its runner did not end it.
    TimedOut {
        /// The job.
        job: JobId,
    },
    /// A job waited for a runner longer than a job may, or did not end in time once it was told to.
    Expired {
        /// The job.
        job: JobId,
    },
    /// Somebody who may write lets a run begin that was held.
    Approved {
        /// By whom.
        by: Actor,
        /// What they said to it.
        comment: String,
    },
    /// The run shall be done again: a new attempt.
    Rerun {
        /// By whom.
        by: Actor,
        /// What of it.
        which: Again,
    },
}

/// What is done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// All jobs.
    All,
    /// The jobs that did not succeed, and those that depend on them.
    Failed,
    /// One job, and those that depend on it.
    Job(JobId),
}

/// What a runner can tell of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// It runs, in a sandbox of this level.
    Started {
        /// The level, in words.
        sandbox: String,
    },
    /// A step began, ended or was skipped.
    Step(StepRecord),
    /// An annotation.
    Annotation(Annotation),
    /// Markdown to append to the summary.
    Summary(String),
    /// It ended.
    Finished {
        /// How.
        conclusion: Conclusion,
        /// Why, when it is not a plain success.
        reason: Option<String>,
        /// The job's outputs.
        outputs: BTreeMap<String, String>,
        /// The environment's address.
        environment_url: Option<String>,
    },
}

/// What is to be done. The shell does it, and does it again after a crash: each must bear that.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The job is ready for a runner with all these labels.
    Queue {
        /// The job.
        job: JobId,
        /// The labels.
        labels: Vec<String>,
    },
    /// Check the rules of an environment for the job; answer with `GatePassed` or `GateRejected`.
    AskGate {
        /// The job.
        job: JobId,
        /// The environment's name.
        environment: String,
    },
    /// Join a concurrency group; answer with `GroupAdmitted` or `GroupCancelled`.
    JoinGroup {
        /// The run or job.
        member: Member,
        /// The group's name.
        group: String,
        /// How.
        manner: Manner,
    },
    /// Leave a concurrency group.
    LeaveGroup {
        /// The run or job.
        member: Member,
        /// The group's name.
        group: String,
    },
    /// Tell the job's runner to stop it.
    CancelJob {
        /// The job.
        job: JobId,
        /// Why, in words.
        reason: String,
    },
    /// Write into the ledger, in the transaction that keeps the run.
    Emit {
        /// By whom.
        actor: Actor,
        /// `run.created`, `run.held`, `run.approved`, `run.started`, `run.cancelled`, `run.completed`, `job.waiting`, `job.queued`, `job.started`,
        /// `job.requeued` or `job.completed`.
        kind: &'static str,
        /// The run's or the job's id.
        subject: String,
        /// The particulars.
        data: Json,
    },
}

/// Why an event cannot happen to a run that stands as it does. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTransition {
    /// The run has no such job (any more: a re-run makes new ones).
    #[error("the run has no job {0}")]
    UnknownJob(JobId),
    /// The job's state does not allow it.
    #[error("{event} cannot happen to the job {job}, which is {state}")]
    Job {
        /// The job.
        job: JobId,
        /// The event.
        event: &'static str,
        /// Where the job stands.
        state: &'static str,
    },
    /// The run's state does not allow it.
    #[error("{event} cannot happen to a run that is {state}")]
    Run {
        /// The event.
        event: &'static str,
        /// Where the run stands.
        state: &'static str,
    },
    /// The report comes from a hand-out that is over: its sender must stop.
    #[error("the hand-out {hand_out} of the job {job} is over")]
    LeaseGone {
        /// The job.
        job: JobId,
        /// The hand-out.
        hand_out: u32,
    },
    /// Reports are missing in between.
    #[error("the next report of the job {job} has the number {expected}, not {found}")]
    Gap {
        /// The job.
        job: JobId,
        /// The number that must come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// A run is done again only so long after it was made.
    #[error("the run is more than {0} days old, and older ones are not done again; start a new run")]
    TooOld(u64),
    /// A job of a re-run that has not ended, or that a workflow's call stands for.
    #[error("the job {0} cannot be done again by itself: {1}")]
    NotAgain(JobId, &'static str),
    /// Only what failed was to be done again, and nothing did.
    #[error("no job of the run failed: there is nothing to do again but all of it")]
    NothingFailed,
    /// Fifty re-runs are the most.
    #[error("the run was done again {0} times, which is the most; start a new run")]
    TooManyAttempts(u32),
}
