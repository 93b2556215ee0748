//! Runs as the API tells them.

use windlass_api as api;
use windlass_pipeline::{Conclusion, Job, JobState, Run, RunState, StepState, WaitingFor};

/// A run, in a list.
pub(crate) fn summary(run: &Run) -> api::RunSummary {
    let state = match run.state {
        RunState::Waiting { .. } | RunState::Held { .. } => api::State::Waiting,
        RunState::Completed { .. } => api::State::Completed,
        RunState::Active if run.jobs.iter().any(|j| matches!(j.state, JobState::Running { .. })) => {
            api::State::Running
        }
        RunState::Active
            if run
                .jobs
                .iter()
                .any(|j| matches!(j.state, JobState::Queued { .. } | JobState::Leased { .. })) =>
        {
            api::State::Queued
        }
        RunState::Active => api::State::Waiting,
    };
    api::RunSummary {
        id: run.id.to_string(),
        project: run.project.to_string(),
        number: run.number,
        attempt: run.attempt,
        workflow: run.workflow.name.clone(),
        workflow_file: run.workflow.file.clone(),
        title: run.title.clone(),
        waits_for: match &run.state {
            RunState::Held { reason } => Some(reason.clone()),
            _ => None,
        },
        untrusted: run.untrusted,
        event: run.event.clone(),
        git_ref: run.git_ref.clone(),
        sha: run.sha.clone(),
        actor: run.actor.to_string(),
        state,
        conclusion: run.conclusion().map(conclusion),
        created_at: run.created_at,
        started_at: run.started_at,
        finished_at: run.finished_at(),
    }
}

/// A run with its jobs; what other documents tell is added by the caller.
pub(crate) fn detail(run: &Run) -> api::RunDetail {
    let finding = |f: &windlass_pipeline::Finding| api::DiagnosticView {
        severity: f.severity.clone(),
        file: run.workflow.file.clone(),
        line: f.line,
        column: f.column,
        message: f.message.clone(),
    };
    let held = match &run.state {
        RunState::Held { reason } => Some(reason),
        _ => None,
    };
    let shown = |of: &Job| api::JobView { reason: held.cloned().or(job(of).reason), ..job(of) };
    api::RunDetail {
        summary: summary(run),
        jobs: run.jobs.iter().map(shown).collect(),
        diagnostics: run.diagnostics.iter().map(finding).collect(),
        artifacts: Vec::new(),
        deployments: Vec::new(),
        approvals: Vec::new(),
    }
}

/// A job.
pub(crate) fn job(job: &Job) -> api::JobView {
    let (state, waits) = match &job.state {
        JobState::Waiting { for_what } => (api::State::Waiting, Some(waiting(for_what))),
        JobState::Queued { .. } => (api::State::Queued, None),
        JobState::Leased { .. } => (api::State::Queued, Some("a runner has taken it".to_owned())),
        JobState::Running { .. } | JobState::Calling { .. } => (api::State::Running, None),
        JobState::Completed { .. } => (api::State::Completed, None),
    };
    api::JobView {
        id: job.id.to_string(),
        key: job.key.clone(),
        name: job.name.clone(),
        parent: job.parent.map(|p| p.to_string()),
        needs: job.needs.clone(),
        environment: job.environment.clone(),
        environment_url: job.environment_url.clone(),
        state,
        conclusion: job.conclusion().map(conclusion),
        reason: job.reason().or(waits),
        tries: job.tries,
        queued_at: job.queued_at,
        started_at: job.started_at,
        finished_at: job.finished_at(),
        steps: job.steps.iter().map(step).collect(),
        annotations: job.annotations.iter().map(annotation).collect(),
        summary: job.summary.clone(),
        outputs: job.outputs.clone(),
    }
}

fn waiting(what: &WaitingFor) -> String {
    match what {
        WaitingFor::Needs => "waits for the jobs that it needs".into(),
        WaitingFor::Siblings => "waits for other legs of its matrix (max-parallel)".into(),
        WaitingFor::Gate { environment } => format!("waits for the rules of the environment {environment}"),
        WaitingFor::Group { group } => format!("waits for its turn in the concurrency group {group}"),
    }
}

fn step(step: &windlass_pipeline::StepRecord) -> api::StepView {
    api::StepView {
        number: step.number,
        name: step.name.clone(),
        state: match step.state {
            StepState::Waiting => api::State::Waiting,
            StepState::Running => api::State::Running,
            StepState::Completed => api::State::Completed,
        },
        outcome: step.outcome.map(conclusion),
        conclusion: step.conclusion.map(conclusion),
        started_at: step.started_at,
        finished_at: step.finished_at,
        log_start: step.log_start,
        log_end: step.log_end,
    }
}

fn annotation(a: &windlass_pipeline::Annotation) -> api::AnnotationView {
    api::AnnotationView {
        level: a.level.clone(),
        title: a.title.clone(),
        message: a.message.clone(),
        path: a.path.clone(),
        line: a.line,
        end_line: a.end_line,
        column: a.column,
        end_column: a.end_column,
        step: a.step,
    }
}

fn conclusion(conclusion: Conclusion) -> api::Conclusion {
    match conclusion {
        Conclusion::Success => api::Conclusion::Success,
        Conclusion::Failure => api::Conclusion::Failure,
        Conclusion::Cancelled => api::Conclusion::Cancelled,
        Conclusion::Skipped => api::Conclusion::Skipped,
        Conclusion::StartupFailure => api::Conclusion::StartupFailure,
    }
}
