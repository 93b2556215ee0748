//! `windlass audit`: the ledger.

use anyhow::Result;
use clap::{Args, Subcommand};
use windlass_api::{AuditReport, EventView};

use crate::connection::{Global, part};
use crate::failure::Exit;
use crate::show::{self, Field, Tone};

/// The ledger: what happened, and whether its record is whole
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Audit {
    List(List),
    /// Check the ledger's chain from the first entry to the last; exit 1 if it is broken
    #[command(after_help = "Example:\n  windlass audit verify")]
    Verify,
}

/// The newest entries
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  windlass audit list --project tasks
  windlass audit list --kind deployment. -n 100")]
pub(crate) struct List {
    /// Only this project's
    #[arg(long, short, value_name = "NAME")]
    project: Option<String>,
    /// Only those whose kind begins so, such as `run.`
    #[arg(long, short, value_name = "PREFIX")]
    kind: Option<String>,
    /// At most so many
    #[arg(long, short = 'n', default_value_t = 30)]
    limit: u32,
}

/// Carries an audit command out.
pub(crate) async fn run(global: &Global, command: Audit) -> Result<Exit> {
    match command {
        Audit::List(list_args) => list(global, list_args).await,
        Audit::Verify => verify(global).await,
    }
}

async fn list(global: &Global, list: List) -> Result<Exit> {
    let mut path = format!("/api/v1/events?limit={}", list.limit);
    for (name, value) in [("project", list.project), ("kind", list.kind)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", part(&value)));
        }
    }
    let events: Vec<EventView> = global.client()?.get(&path).await?;
    if global.json {
        show::json(&events)?;
        return Ok(Exit::Done);
    }
    let rows = events.into_iter().map(|e| {
        let data = if e.data.is_null() { String::new() } else { e.data.to_string() };
        let data: String = data.chars().take(100).collect();
        [
            e.seq.to_string().into(),
            Field::dim(e.at.to_string()),
            e.actor.into(),
            e.kind.into(),
            e.project.unwrap_or_default().into(),
            e.subject.into(),
            Field::dim(data),
        ]
    });
    show::table(
        ["no", "when", "by", "what", "project", "subject", "particulars"],
        rows.collect(),
        "nothing that fits",
    )?;
    Ok(Exit::Done)
}

async fn verify(global: &Global) -> Result<Exit> {
    let report: AuditReport = global.client()?.get("/api/v1/audit/verify").await?;
    if global.json {
        show::json(&report)?;
    } else if report.intact {
        let text = format!("{} entries, the chain holds; its head is {}", report.entries, report.head);
        show::print(&Tone::Good.paint(text))?;
    } else {
        let problem = report.problem.as_deref().unwrap_or("the chain is broken");
        show::print(&Tone::Bad.paint(format!(
            "{} entries checked: {}",
            report.entries,
            show::clean(problem)
        )))?;
    }
    Ok(if report.intact { Exit::Done } else { Exit::Failed })
}
