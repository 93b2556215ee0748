//! `windlass run` and `windlass workflow`: what was started, how it went, and starting it.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::Value;
use windlass_api::{Conclusion, Dispatch, Rerun, RunDetail, RunSummary, WorkflowView};

use crate::connection::{Global, part};
use crate::failure::{Exit, Failure};
use crate::show::{self, Field};
use crate::{approve, tree, watch};

/// Runs: list, view, follow, cancel, run again
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Run {
    List(List),
    /// One run: its jobs and steps
    #[command(after_help = "Examples:\n  windlass run view RUN\n  windlass run view RUN --attempt 1")]
    View(View),
    /// Follow a run to its end; exit 1 if it did not succeed
    #[command(after_help = "Example:\n  windlass run watch RUN && echo delivered")]
    Watch(Id),
    /// Stop a run
    #[command(after_help = "Example:\n  windlass run cancel RUN")]
    Cancel(Id),
    /// Let a run begin that waits for an approval: it is of a change of somebody who may not write
    #[command(
        after_help = "Examples:\n  windlass run approve RUN --comment 'read it'\n  windlass run approve RUN --reject"
    )]
    Approve(Decision),
    /// Run again: a new attempt
    #[command(
        after_help = "Examples:\n  windlass run rerun RUN\n  windlass run rerun RUN --failed\n  windlass run rerun RUN --job 'test (linux)'"
    )]
    Rerun(Again),
}

/// The newest runs
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  windlass run list
  windlass run-list --project tasks --limit 50")]
pub(crate) struct List {
    /// Only this project's
    #[arg(long, short, value_name = "NAME")]
    project: Option<String>,
    /// At most so many
    #[arg(long, short = 'n', default_value_t = 20)]
    limit: u32,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Id {
    /// The run's id, as `windlass run list` shows it
    run: String,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Again {
    /// The run's id, as `windlass run list` shows it
    run: String,
    /// Only the jobs that did not succeed, and those that depend on them
    #[arg(long)]
    failed: bool,
    /// Only this job, and those that depend on it: its name or its id, as `windlass run view` shows them
    #[arg(long, value_name = "JOB", conflicts_with = "failed")]
    job: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Decision {
    /// The run's id, as `windlass run list` shows it
    run: String,
    /// Say no: the run ends
    #[arg(long)]
    reject: bool,
    /// Why; it is kept in the ledger
    #[arg(long, short, default_value = "")]
    comment: String,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct View {
    /// The run's id, as `windlass run list` shows it
    run: String,
    /// An earlier attempt [default: the newest]
    #[arg(long, value_name = "NUMBER")]
    attempt: Option<u32>,
}

/// Workflows: list them, start one by hand
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Workflow {
    /// The workflows of a project's default branch
    #[command(after_help = "Example:\n  windlass workflow list tasks")]
    List {
        /// The project
        project: String,
    },
    /// Start a workflow that has `on: workflow_dispatch`
    #[command(after_help = "Example:\n  windlass workflow run tasks ci.yml --ref main -i level=debug")]
    Run(Start),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Start {
    /// The project
    project: String,
    /// The workflow's file, such as ci.yml or .github/workflows/ci.yml
    file: String,
    /// The branch or tag [default: the default branch]
    #[arg(long = "ref", value_name = "REF")]
    git_ref: Option<String>,
    /// An input
    #[arg(short, long = "input", value_name = "NAME=VALUE")]
    input: Vec<String>,
}

/// Carries a run command out.
pub(crate) async fn run(global: &Global, command: Run) -> Result<Exit> {
    match command {
        Run::List(list_args) => list(global, list_args).await,
        Run::View(View { run, attempt }) => view(global, &run, attempt).await,
        Run::Watch(Id { run }) => follow(global, &run).await,
        Run::Cancel(Id { run }) => {
            let client = global.client()?;
            client.post::<Value, Value>(&format!("/api/v1/runs/{}/cancel", part(&run)), &Value::Null).await?;
            said(global, &run, "is being stopped")
        }
        Run::Approve(Decision { run, reject, comment }) => {
            approve::run(global, approve::Approve { what: Some(run), reject, comment }).await
        }
        Run::Rerun(Again { run, failed, job }) => {
            let client = global.client()?;
            let job = match job {
                Some(job) => Some(job_named(&watch::fetch(&client, &run).await?, &job)?),
                None => None,
            };
            let how = Rerun { failed_only: failed, job };
            client.post::<Rerun, Value>(&format!("/api/v1/runs/{}/rerun", part(&run)), &how).await?;
            said(global, &run, &format!("runs again: windlass run watch {run}"))
        }
    }
}

/// The id of a run's job, by its name, its key or its id.
fn job_named(run: &RunDetail, wanted: &str) -> Result<String> {
    let found: Vec<_> = run.jobs.iter().filter(|job| job.id == wanted || job.name == wanted).collect();
    let found =
        if found.is_empty() { run.jobs.iter().filter(|job| job.key == wanted).collect() } else { found };
    match found.as_slice() {
        [job] => Ok(job.id.clone()),
        [] => {
            let names: Vec<String> = run.jobs.iter().map(|job| show::clean(&job.name)).collect();
            let names = names.join(", ");
            Err(Failure::usage(format!("this run has no job `{wanted}`; it has {names}")).into())
        }
        several => {
            let names: Vec<String> = several.iter().map(|job| show::clean(&job.name)).collect();
            let names = names.join(", ");
            Err(Failure::usage(format!("`{wanted}` is more than one job: name one of {names}")).into())
        }
    }
}

fn said(global: &Global, run: &str, what: &str) -> Result<Exit> {
    if global.json {
        show::json(&serde_json::json!({"run": run}))?;
    } else {
        show::print(&format!("run {run} {what}"))?;
    }
    Ok(Exit::Done)
}

/// Lists runs.
pub(crate) async fn list(global: &Global, list: List) -> Result<Exit> {
    let client = global.client()?;
    let path = match &list.project {
        Some(project) => format!("/api/v1/projects/{}/runs?limit={}", part(project), list.limit),
        None => format!("/api/v1/runs?limit={}", list.limit),
    };
    let runs: Vec<RunSummary> = client.get(&path).await?;
    if global.json {
        show::json(&runs)?;
        return Ok(Exit::Done);
    }
    let rows = runs.into_iter().map(|run| {
        let (mark, word, tone) = show::standing(run.state, run.conclusion);
        let time =
            run.started_at.map(|from| show::lasting(run.finished_at.unwrap_or_else(show::now).since(from)));
        let word = if run.waits_for.is_some() { "waits for approval" } else { word };
        let branch =
            run.git_ref.trim_start_matches("refs/heads/").trim_start_matches("refs/tags/").to_owned();
        [
            Field::toned(format!("{mark} {word}"), tone),
            format!("{} #{}", run.workflow, run.number).into(),
            run.title.into(),
            run.project.into(),
            branch.into(),
            run.event.into(),
            time.unwrap_or_default().into(),
            Field::dim(show::ago(run.created_at)),
            run.id.into(),
        ]
    });
    let headers = ["state", "workflow", "title", "project", "branch", "event", "took", "when", "run"];
    show::table(headers, rows.collect(), "no run yet: push something with a workflow in .github/workflows")?;
    Ok(Exit::Done)
}

async fn view(global: &Global, id: &str, attempt: Option<u32>) -> Result<Exit> {
    let client = global.client()?;
    let run = match attempt {
        Some(attempt) => client.get(&format!("/api/v1/runs/{}/attempts/{attempt}", part(id))).await?,
        None => watch::fetch(&client, id).await?,
    };
    if global.json {
        show::json(&run)?;
        return Ok(Exit::Done);
    }
    for line in tree::lines(&run, show::now()) {
        show::print(&line)?;
    }
    tell_rest(&run)?;
    watch::tell_failures(&client, &run).await?;
    Ok(Exit::Done)
}

fn tell_rest(run: &RunDetail) -> Result<()> {
    for approval in run.approvals.iter().filter(|a| a.state == "pending") {
        show::print(&format!("waits for an approval: windlass approve {}", approval.id))?;
    }
    for artifact in &run.artifacts {
        show::print(&format!("artifact {} ({} bytes)", show::clean(&artifact.name), artifact.size))?;
    }
    for deployment in &run.deployments {
        show::print(&format!("deployment {deployment}"))?;
    }
    Ok(())
}

async fn follow(global: &Global, id: &str) -> Result<Exit> {
    let client = global.client()?;
    let run = if global.json {
        loop {
            let run = watch::fetch(&client, id).await?;
            if watch::ended(&run) {
                show::json(&run)?;
                break run;
            }
            tokio::time::sleep(watch::PAUSE).await;
        }
    } else {
        let run = watch::follow(&client, id).await?;
        watch::tell_failures(&client, &run).await?;
        run
    };
    Ok(if run.summary.conclusion == Some(Conclusion::Success) { Exit::Done } else { Exit::Failed })
}

/// Carries a workflow command out.
pub(crate) async fn workflow(global: &Global, command: Workflow) -> Result<Exit> {
    match command {
        Workflow::List { project } => {
            let list: Vec<WorkflowView> =
                global.client()?.get(&format!("/api/v1/projects/{}/workflows", part(&project))).await?;
            if global.json {
                show::json(&list)?;
                return Ok(Exit::Done);
            }
            let rows = list.into_iter().map(|w| {
                let problems = w.diagnostics.iter().filter(|d| d.severity == "error").count();
                let note = if problems > 0 {
                    Field::toned(format!("{problems} errors"), show::Tone::Bad)
                } else {
                    "".into()
                };
                [w.name.into(), w.file.into(), if w.dispatchable { "yes" } else { "no" }.into(), note]
            });
            show::table(
                ["name", "file", "by hand", "problems"],
                rows.collect(),
                "no workflow in .github/workflows of the default branch",
            )?;
        }
        Workflow::Run(start) => {
            let run = dispatch(global, start).await?;
            if global.json {
                show::json(&run)?;
            } else {
                show::print(&format!("started run {}: windlass run watch {}", run.id, run.id))?;
            }
        }
    }
    Ok(Exit::Done)
}

async fn dispatch(global: &Global, start: Start) -> Result<RunSummary> {
    let client = global.client()?;
    let git_ref = match start.git_ref {
        Some(git_ref) => git_ref,
        None => {
            let project: windlass_api::ProjectView =
                client.get(&format!("/api/v1/projects/{}", part(&start.project))).await?;
            project.default_branch
        }
    };
    let file =
        if start.file.contains('/') { start.file } else { format!(".github/workflows/{}", start.file) };
    let how = Dispatch { git_ref, inputs: inputs(&start.input)? };
    let path = format!("/api/v1/projects/{}/workflows/dispatch?file={}", part(&start.project), part(&file));
    Ok(client.post(&path, &how).await?)
}

/// `NAME=VALUE` pairs; values stay text, and the workflow's input types read them.
fn inputs(pairs: &[String]) -> Result<BTreeMap<String, Value>> {
    let one = |pair: &String| match pair.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), Value::String(value.to_owned()))),
        _ => Err(Failure::usage(format!("`-i {pair}` is not NAME=VALUE")).into()),
    };
    pairs.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_pairs() {
        let read = inputs(&["a=1".into(), "b=x=y".into(), "c=".into()]).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), serde_json::json!({"a": "1", "b": "x=y", "c": ""}));
        for bad in ["a", "=1"] {
            let error = inputs(&[bad.into()]).unwrap_err();
            assert_eq!(crate::failure::exit_of(&error), Exit::Usage);
        }
    }
}
