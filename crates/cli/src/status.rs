//! `windlass status` and `windlass doctor`: what the platform does, and what the machine can do.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::connection::Global;
use crate::failure::Exit;
use crate::show::{self, Field, Tone};

/// What the platform is doing
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  windlass status
  windlass status --json")]
pub(crate) struct Status {}

/// What this machine can and cannot do, and what follows
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  windlass doctor
  windlass doctor --data ./w")]
pub(crate) struct Doctor {}

/// Shows what the platform is doing; a role that does not answer is a failure.
pub(crate) async fn status(global: &Global) -> Result<Exit> {
    let status: windlass_api::Status = global.client()?.get("/api/v1/status").await?;
    let well = status.roles.iter().all(|r| r.healthy);
    let exit = if well { Exit::Done } else { Exit::Failed };
    if global.json {
        show::json(&status)?;
        return Ok(exit);
    }
    let line = |name: &str, text: String| show::print(&format!("{:<12}{}", name, show::clean(&text)));
    line("Windlass", format!("{} since {}", status.version, show::ago(status.started_at)))?;
    line("pages, API", status.url.clone())?;
    line("services", status.gateway_url.clone())?;
    // The rest of what the level means is told by `doctor`.
    line("sandbox", status.sandbox.split(". ").next().unwrap_or_default().to_owned())?;
    line(
        "now",
        format!(
            "{} projects, {} active runs, {} deployments under way, {} instances",
            status.projects, status.active_runs, status.active_deployments, status.instances
        ),
    )?;
    line("ledger", format!("{} entries", status.ledger_seq))?;
    if status.needs_setup {
        line("set-up", "no account was made yet: `windlass up` shows the link".into())?;
    }
    show::print("")?;
    let rows = status.roles.iter().map(|role| {
        let (word, tone) =
            if role.healthy { ("answers", Tone::Good) } else { ("does not answer", Tone::Bad) };
        let pid = role.pid.map(|p| p.to_string()).unwrap_or_default();
        [role.name.clone().into(), Field::toned(word, tone), pid.into(), Field::dim(role.note.clone())]
    });
    show::table(["role", "state", "process", "note"], rows.collect(), "no role is known")?;
    Ok(exit)
}

/// Shows what the machine can do.
pub(crate) async fn doctor(global: &Global) -> Result<Exit> {
    let findings = windlass_server::doctor(&global.data_path()).await;
    if global.json {
        let list: Vec<_> =
            findings.iter().map(|(topic, what)| json!({"topic": topic, "what": what})).collect();
        show::json(&list)?;
        return Ok(Exit::Done);
    }
    let rows = findings.into_iter().map(|(topic, what)| [topic.into(), what.into()]);
    show::table(["topic", "on this machine"], rows.collect(), "there is nothing to say")?;
    Ok(Exit::Done)
}
