//! What time alone brings about: limits that have passed, and runners that were not heard of.

use std::time::Duration;

use windlass_kernel::{Actor, Timestamp};

use crate::{Job, JobState, Run, RunEvent, WaitingFor};

/// A runner that does not end a job this long after its limit is taken to be stuck.
const OVERTIME: Duration = Duration::from_mins(1);
/// How long a job waits for a runner.
const QUEUED_AT_MOST: Duration = Duration::from_hours(24);
/// How long a job waits at the gate of its environment.
const AT_GATE_AT_MOST: Duration = Duration::from_hours(24 * 30);
/// How long an attempt of a run lasts, waiting included.
const RUN_DAYS: u64 = 35;
/// The same, after which nothing of it is done again either.
pub(crate) const RUN_AT_MOST: Duration = Duration::from_hours(24 * RUN_DAYS);

/// The events that are due. Telling a run of them twice does no harm: the second time is refused.
pub fn due(run: &Run, now: Timestamp) -> Vec<RunEvent> {
    if run.is_completed() {
        return Vec::new();
    }
    if now.since(run.attempt_at.unwrap_or(run.created_at)) > RUN_AT_MOST {
        let reason = format!("it lasted longer than {RUN_DAYS} days");
        return vec![RunEvent::CancelRequested { by: Actor::System, reason, force: true }];
    }
    run.jobs.iter().filter_map(|job| job_due(job, now)).collect()
}

fn job_due(job: &Job, now: Timestamp) -> Option<RunEvent> {
    if expired(job, now).is_some() {
        return Some(RunEvent::Expired { job: job.id });
    }
    match &job.state {
        JobState::Waiting { for_what: WaitingFor::Gate { environment } } => {
            let over = job.at_gate_since.is_some_and(|since| now.since(since) > AT_GATE_AT_MOST);
            let reason = || {
                format!("the rules of the environment {environment} did not let it through within 30 days")
            };
            over.then(|| RunEvent::GateRejected { job: job.id, reason: reason() })
        }
        JobState::Leased { lease } | JobState::Running { lease, .. } if lease.until < now => {
            let reason = format!("the runner {} was not heard of in time", lease.runner);
            Some(RunEvent::LeaseLost { job: job.id, hand_out: job.tries, reason })
        }
        JobState::Running { started, .. } => {
            let over = now.since(*started) > minutes(job.timeout_minutes) + OVERTIME;
            over.then_some(RunEvent::TimedOut { job: job.id })
        }
        _ => None,
    }
}

/// A number of minutes, fractions too.
pub(crate) fn minutes(minutes: f64) -> Duration {
    Duration::from_secs_f64((minutes * 60.0).clamp(0.0, 1e9))
}

/// Why a job has waited or lingered too long, in words.
pub(crate) fn expired(job: &Job, now: Timestamp) -> Option<String> {
    match (&job.state, job.stopping_at, &job.stopping) {
        (JobState::Queued { at }, ..) if now.since(*at) > QUEUED_AT_MOST => {
            let labels = job.labels.join(", ");
            Some(format!("no runner with its labels ({labels}) took it within 24 hours"))
        }
        (JobState::Leased { .. } | JobState::Running { .. }, Some(since), Some(why)) => {
            let limit = job.cancel_timeout_minutes;
            (now.since(since) > minutes(limit))
                .then(|| format!("{why}; it did not end within {limit} minutes (cancel-timeout-minutes)"))
        }
        _ => None,
    }
}
