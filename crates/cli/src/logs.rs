//! `windlass logs`: what jobs and services wrote.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use windlass_api::{Client, JobView, LogLine, RunDetail, State};

use crate::connection::{Global, part};
use crate::failure::{Exit, Failure};
use crate::show::{self, Tone};
use crate::watch;

/// What a run's jobs, or a service, wrote
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  windlass logs RUN                                   every job of a run
  windlass logs RUN build --follow                    one job, as it goes
  windlass logs tasks/production/tasks -q error       a service: PROJECT/ENVIRONMENT/SERVICE
  windlass logs tasks/production/tasks --follow")]
pub(crate) struct Logs {
    /// A run's id, or PROJECT/ENVIRONMENT/SERVICE
    what: String,
    /// Of a run: only this job (its key, name or id)
    job: Option<String>,
    /// Go on as more is written
    #[arg(long, short)]
    follow: bool,
    /// Of a service: only lines that contain this text
    #[arg(short, long = "query", value_name = "TEXT")]
    query: Option<String>,
    /// Of a service: at most so many lines
    #[arg(short = 'n', long, default_value_t = 200)]
    limit: u32,
}

/// How often is asked for more.
const PAUSE: Duration = Duration::from_millis(400);

/// Shows logs.
pub(crate) async fn run(global: &Global, logs: Logs) -> Result<Exit> {
    let client = global.client()?;
    let parts: Vec<&str> = logs.what.split('/').collect();
    match parts[..] {
        [project, environment, service] => {
            service_logs(global, &client, [project, environment, service], &logs).await?;
        }
        [run] => run_logs(global, &client, run, &logs).await?,
        _ => {
            let message = format!("`{}` is neither a run's id nor PROJECT/ENVIRONMENT/SERVICE", logs.what);
            return Err(Failure::usage(message).into());
        }
    }
    Ok(Exit::Done)
}

async fn run_logs(global: &Global, client: &Client, run: &str, logs: &Logs) -> Result<()> {
    if logs.query.is_some() {
        return Err(Failure::usage("-q searches a service's log; for a job's, pipe this into grep").into());
    }
    let view = watch::fetch(client, run).await?;
    let jobs = chosen(&view, logs.job.as_deref())?;
    if logs.follow && jobs.len() > 1 {
        let keys: Vec<_> = jobs.iter().map(|j| j.key.as_str()).collect();
        return Err(Failure::usage(format!("say which job to follow: {}", keys.join(", "))).into());
    }
    for job in &jobs {
        if jobs.len() > 1 && !global.json {
            show::print(&Tone::Dim.paint(format!("── {} ──", show::clean(&job.name))))?;
        }
        one_job(client, run, job, logs.follow).await?;
    }
    Ok(())
}

/// The jobs that are meant: all, or those with this id, key or name.
fn chosen<'a>(view: &'a RunDetail, job: Option<&str>) -> Result<Vec<&'a JobView>> {
    let Some(wanted) = job else { return Ok(view.jobs.iter().collect()) };
    let found: Vec<_> =
        view.jobs.iter().filter(|j| [&j.id, &j.key, &j.name].iter().any(|n| *n == wanted)).collect();
    if found.is_empty() {
        let keys: Vec<_> = view.jobs.iter().map(|j| j.key.as_str()).collect();
        let message = format!("run {} has no job `{wanted}`; it has {}", view.summary.id, keys.join(", "));
        return Err(Failure::not_found(message).into());
    }
    Ok(found)
}

async fn one_job(client: &Client, run: &str, job: &JobView, follow: bool) -> Result<()> {
    let mut offset = 0u64;
    loop {
        // The job's standing before the log: what it wrote to its end is then surely read.
        let ended = !follow || {
            let view = watch::fetch(client, run).await?;
            view.jobs.iter().find(|j| j.id == job.id).is_none_or(|j| j.state == State::Completed)
        };
        let bytes = watch::job_log(client, run, &job.id, offset, 0).await?;
        // While it goes on, the last line may not be whole.
        let whole =
            if ended { bytes.len() } else { bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1) };
        for line in String::from_utf8_lossy(&bytes[..whole]).lines() {
            show::print(&shown(line))?;
        }
        offset += whole as u64;
        if ended {
            return Ok(());
        }
        std::io::stdout().flush()?;
        tokio::time::sleep(PAUSE).await;
    }
}

/// A job's line: with its colours at a terminal, as it is kept otherwise.
fn shown(line: &str) -> String {
    if console::colors_enabled() {
        let line = watch::unstamped(line);
        let colours = |c: char| c == '\u{1b}' || c == '\t' || !c.is_control();
        // Only colours pass; anything else that begins with an escape is taken out.
        let safe = console::AnsiCodeIterator::new(line).filter(|(text, code)| !code || text.ends_with('m'));
        return safe.map(|(text, _)| text).collect::<String>().chars().filter(|c| colours(*c)).collect();
    }
    line.to_owned()
}

async fn service_logs(global: &Global, client: &Client, names: [&str; 3], logs: &Logs) -> Result<()> {
    let [project, environment, service] = names.map(part);
    let base = format!(
        "/api/v1/projects/{project}/environments/{environment}/services/{service}/logs?q={}",
        part(logs.query.as_deref().unwrap_or(""))
    );
    let mut lines: Vec<LogLine> = client.get(&format!("{base}&limit={}", logs.limit)).await?;
    if global.json && !logs.follow {
        return show::json(&lines);
    }
    let mut after = String::new();
    loop {
        for line in &lines {
            let text = if global.json {
                serde_json::to_string(line)?
            } else {
                let place = format!("{} {}", line.at, tail(&line.instance));
                format!("{} {}", Tone::Dim.paint(place), watch::readable(&line.text))
            };
            show::print(&text)?;
        }
        if let Some(last) = lines.last() {
            after.clone_from(&last.cursor);
        }
        if !logs.follow {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
        let next = if after.is_empty() { base.clone() } else { format!("{base}&after={}", part(&after)) };
        lines = client.get(&next).await?;
    }
}

/// The end of an instance's id: enough to tell two apart.
fn tail(id: &str) -> &str {
    id.get(id.len().saturating_sub(6)..).unwrap_or(id)
}
