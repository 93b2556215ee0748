//! `windlass deployment`: what is let through to an environment although its rules would not.

use anyhow::Result;
use clap::{Args, Subcommand};
use windlass_api::{GrantException, VulnerabilityException};

use crate::connection::{Global, part};
use crate::failure::Exit;
use crate::show::{self, Field};

/// What is let through to an environment although its rules would not
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Deployment {
    /// Let a vulnerability through for a time; who, why and until when stands in the ledger
    #[command(after_help = "Example:
  windlass deployment approve tasks production --except CVE-2024-1234 --reason 'not reachable' --days 14")]
    Approve(Approve),
    /// What is let through, and until when
    #[command(after_help = "Example:\n  windlass deployment exceptions tasks production")]
    Exceptions(Where),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Where {
    /// The project
    project: String,
    /// The environment
    environment: String,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Approve {
    #[command(flatten)]
    place: Where,
    /// The vulnerability, by any of its names
    #[arg(long, value_name = "ID")]
    except: String,
    /// Why it does no harm
    #[arg(long)]
    reason: String,
    /// For how many days, at most 90
    #[arg(long, default_value_t = 7)]
    days: u32,
}

fn address(place: &Where) -> String {
    format!("/api/v1/projects/{}/environments/{}/exceptions", part(&place.project), part(&place.environment))
}

/// Carries a command about exceptions out.
pub(crate) async fn run(global: &Global, command: Deployment) -> Result<Exit> {
    let client = global.client()?;
    match command {
        Deployment::Approve(approve) => {
            let how = GrantException { id: approve.except, reason: approve.reason, days: Some(approve.days) };
            let made: VulnerabilityException = client.post(&address(&approve.place), &how).await?;
            if global.json {
                show::json(&made)?;
            } else {
                show::print(&format!(
                    "{} does not count in {} until {}",
                    made.id, made.environment, made.expires
                ))?;
            }
        }
        Deployment::Exceptions(place) => {
            let all: Vec<VulnerabilityException> = client.get(&address(&place)).await?;
            if global.json {
                show::json(&all)?;
                return Ok(Exit::Done);
            }
            let rows = all.iter().map(|e| {
                let until: String = e.expires.to_string().chars().take(10).collect();
                [
                    show::clean(&e.id).into(),
                    until.into(),
                    e.by.clone().into(),
                    show::clean(&e.reason).into(),
                    Field::dim(show::ago(e.at)),
                ]
            });
            show::table(
                ["vulnerability", "until", "by", "why", "since"],
                rows.collect(),
                "nothing is let through",
            )?;
        }
    }
    Ok(Exit::Done)
}
