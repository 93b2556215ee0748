//! `windlass run [EVENT]`: workflows of a working tree, here and now, without a server.

mod asked;
mod debug;
mod relay;
mod screen;
mod show_plan;
mod terminal;
mod words;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use windlass_api::{Conclusion, RunDetail};
use windlass_server::local::{Audience, Outcome, Plan, PlanError, carry_out, plan};

use crate::connection::Global;
use crate::failure::{Exit, Failure};
use crate::{lint, run};
use screen::Screen;
use terminal::Terminal;

/// Run workflows here, without a server; and list, view, follow, cancel, rerun runs of a platform
#[derive(Args, Clone, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  windlass run                          what a push of this working tree would run, changes that are not committed included
  windlass run pull_request -j test     one job, and those that it needs
  windlass run workflow_dispatch -W release.yml --input version=1.2 -s TOKEN
  windlass run -P ubuntu-latest=host    plain processes instead of the sandbox
  windlass run --matrix os:linux --dry-run
  windlass run --json | jq -r 'select(.type == \"log\").line'
  windlass run list                     the newest runs of a platform"
)]
pub(crate) struct Run {
    #[command(subcommand)]
    pub(crate) command: Option<run::Run>,
    #[command(flatten)]
    pub(crate) local: Local,
}

/// What a local run is asked for.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Local {
    /// The event [default: push, or what the file named with -W runs on]
    pub(crate) event: Option<String>,
    /// The repository's folder, or one within it [default: the current one]
    #[arg(short = 'C', long = "directory", value_name = "DIR", help_heading = "What runs")]
    pub(crate) directory: Option<PathBuf>,
    /// A workflow file, which then runs whatever its filters say, or a folder of them [default: .github/workflows]
    #[arg(short = 'W', long = "workflows", value_name = "FILE|DIR", help_heading = "What runs")]
    pub(crate) workflows: Option<PathBuf>,
    /// Only this job, and those that it needs
    #[arg(short, long = "job", value_name = "JOB", help_heading = "What runs")]
    pub(crate) job: Vec<String>,
    /// Only legs of a matrix with this value
    #[arg(long, value_name = "KEY:VALUE", help_heading = "What runs")]
    pub(crate) matrix: Vec<String>,
    /// Decide everything, start nothing: shows jobs, legs and steps
    #[arg(long, help_heading = "What runs")]
    pub(crate) dry_run: bool,
    /// Show which job waits for which, and end
    #[arg(long, conflicts_with = "dry_run", help_heading = "What runs")]
    pub(crate) graph: bool,
    /// Run again whenever a file of the repository changes, until interrupted
    #[arg(long, conflicts_with_all = ["dry_run", "graph"], help_heading = "What runs")]
    pub(crate) watch: bool,
    /// The event's payload, a JSON file; its entries take the place of those made up here
    #[arg(short = 'e', long = "event-file", value_name = "EVENT.json", help_heading = "What it is given")]
    pub(crate) event_file: Option<PathBuf>,
    /// A secret; without a value it is taken from the variable of that name, or asked for without echo
    #[arg(short, long = "secret", value_name = "NAME[=VALUE]", help_heading = "What it is given")]
    pub(crate) secret: Vec<String>,
    /// Secrets from a file of NAME=VALUE lines
    #[arg(long, value_name = "FILE", help_heading = "What it is given")]
    pub(crate) secret_file: Vec<PathBuf>,
    /// A variable of the `vars` context
    #[arg(long, value_name = "NAME=VALUE", help_heading = "What it is given")]
    pub(crate) var: Vec<String>,
    /// Variables of the `vars` context from a file of NAME=VALUE lines
    #[arg(long, value_name = "FILE", help_heading = "What it is given")]
    pub(crate) var_file: Vec<PathBuf>,
    /// An input of workflow_dispatch
    #[arg(long, value_name = "NAME=VALUE", help_heading = "What it is given")]
    pub(crate) input: Vec<String>,
    /// An environment variable of every step
    #[arg(long, value_name = "NAME=VALUE", help_heading = "What it is given")]
    pub(crate) env: Vec<String>,
    /// Environment variables of every step from a file of NAME=VALUE lines
    #[arg(long, value_name = "FILE", help_heading = "What it is given")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Who is taken to have started it [default: $USER]
    #[arg(long, value_name = "NAME", help_heading = "What it is given")]
    pub(crate) actor: Option<String>,
    /// A folder that stands for a repository, in `uses` and in checkouts
    #[arg(long = "local-repository", value_name = "OWNER/REPO@REF=PATH", help_heading = "What it is given")]
    pub(crate) stand_in: Vec<String>,
    /// Where jobs of a label run; ubuntu-*, linux and self-hosted are served by the sandbox unless said otherwise. An IMAGE is one of
    /// `windlass image list`, else of a registry, or oci:PATH
    #[arg(
        short = 'P',
        long = "place",
        value_name = "LABEL=sandbox|host|docker:IMAGE",
        help_heading = "How it runs"
    )]
    pub(crate) place: Vec<String>,
    /// Run containers on the Docker Engine instead of the sandbox
    #[arg(long, help_heading = "How it runs")]
    pub(crate) docker: bool,
    /// At most so many jobs at a time [default: the number of processors]
    #[arg(long, value_name = "N", help_heading = "How it runs")]
    pub(crate) parallel: Option<usize>,
    /// Keep jobs' folders for the next run: what a build made is still there
    #[arg(long, help_heading = "How it runs")]
    pub(crate) reuse: bool,
    /// When a step fails, open a shell where it ran, in its sandbox too; then run it again, go on, or stop
    #[arg(long, help_heading = "How it runs")]
    pub(crate) debug_on_failure: bool,
    /// Show everything that the runner says, set-up included
    #[arg(short, long, help_heading = "How it runs")]
    pub(crate) verbose: bool,
}

/// Carries a local run out, with a runtime of the kind that suits its jobs.
pub(crate) fn main(global: &Global, local: &Local) -> Result<Exit> {
    if !local.watch {
        return once(global, local);
    }
    loop {
        // What changes while it runs is run again as well.
        let files = words::Files::now(local)?;
        if let Err(e) = once(global, local) {
            // A workflow may be wrong for a while, as it is being written.
            eprintln!("windlass: {e:#}");
        }
        files.wait_for_change();
    }
}

fn once(global: &Global, local: &Local) -> Result<Exit> {
    let request = asked::request(local)?;
    let planned = plan(request).map_err(|e| refused(global, e))?;
    for run in &planned.runs {
        for finding in run.findings.iter().filter(|_| !global.json) {
            if finding.severity == windlass_workflow::Severity::Warning {
                eprintln!("{}", lint::toned(finding, &finding.snippet(&run.file, &run.text)));
            }
        }
    }
    if local.graph {
        show_plan::graph(global, &planned)?;
        return Ok(Exit::Done);
    }
    if local.debug_on_failure && !local.dry_run {
        shell_can_open(&planned)?;
    }
    // Plain processes need one thread only, and every thread takes time to start.
    let plain = planned.runs.iter().flat_map(|run| &run.jobs).all(|job| job.place.as_deref() == Some("host"));
    let runtime = if plain || local.dry_run {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?
    } else {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?
    };
    if local.dry_run {
        let steps = show_plan::steps(&planned);
        let outcome = runtime.block_on(carry_out(planned, Arc::new(words::Silent), true))?;
        show_plan::dry(global, &outcome, &steps)?;
        return Ok(exit_of(&outcome));
    }
    let screen = Arc::new(Screen::new(global.json, local.verbose));
    let outcome = match Terminal::if_moving(&screen, global.json) {
        Some(terminal) => run_on(&runtime, planned, Arc::new(terminal))?,
        None => run_on(&runtime, planned, screen.clone())?,
    };
    screen.end(&outcome.runs)?;
    if !global.json {
        words::tell_kept(&outcome);
    }
    // Whatever a blocked thread still waits for, nobody does.
    runtime.shutdown_background();
    Ok(exit_of(&outcome))
}

/// A shell where a step failed needs somebody to use it, and a place that it can be opened in.
fn shell_can_open(planned: &Plan) -> Result<()> {
    if !crate::ask::possible() {
        return Err(
            Failure::usage("--debug-on-failure opens a shell, and there is no terminal for it").into()
        );
    }
    let mut places = planned.runs.iter().flat_map(|run| &run.jobs).filter_map(|job| job.place.as_deref());
    if let Some(other) = places.find(|place| place.starts_with("docker:")) {
        let text = format!(
            "--debug-on-failure opens its shell in sandboxes and beside plain processes, and a job here is placed in \
             `{other}`: use -P LABEL=sandbox or -P LABEL=host"
        );
        return Err(Failure::usage(text).into());
    }
    Ok(())
}

fn run_on(runtime: &tokio::runtime::Runtime, plan: Plan, audience: Arc<dyn Audience>) -> Result<Outcome> {
    runtime.block_on(carry_out(plan, audience, false))
}

/// Success only if every job that should succeed did.
fn exit_of(outcome: &Outcome) -> Exit {
    let good =
        |run: &RunDetail| matches!(run.summary.conclusion, Some(Conclusion::Success | Conclusion::Skipped));
    if outcome.runs.iter().all(good) && !outcome.missed { Exit::Done } else { Exit::Failed }
}

fn refused(global: &Global, error: PlanError) -> anyhow::Error {
    match error {
        PlanError::NotFound(text) => Failure::not_found(text).into(),
        PlanError::Unfit(text) => Failure::usage(text).into(),
        PlanError::Nothing(text) => Failure::new(Exit::NotFound, text).into(),
        PlanError::Invalid { file, text, findings } => {
            for finding in &findings {
                if global.json {
                    eprintln!("{}", finding.one_line(&file));
                } else {
                    eprintln!("{}", lint::toned(finding, &finding.snippet(&file, &text)));
                }
            }
            Failure::new(Exit::Failed, format!("{file} cannot be used: nothing was run")).into()
        }
    }
}
