//! `windlass vulndb`: the advisories that images are compared with. They lie in the data directory; control reads them
//! there, so that nothing has to be sent.

mod fetch;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use windlass_evidence::{Database, FRESH, Imported, State, import};
use windlass_kernel::{Clock as _, SystemClock};

use crate::connection::Global;
use crate::failure::{Exit, Failure};
use crate::show::{self, Field, Tone};

/// The ecosystems that packages of images are of, as OSV names their folders.
const ECOSYSTEMS: [&str; 11] = [
    "Debian",
    "Ubuntu",
    "Alpine",
    "Rocky Linux",
    "AlmaLinux",
    "PyPI",
    "npm",
    "crates.io",
    "Go",
    "Maven",
    "RubyGems",
];

/// Advisories about vulnerabilities, in the OSV format, kept on this machine
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum VulnDb {
    /// Take advisories in from files: JSON, folders of it, archives such as OSV's all.zip
    #[command(after_help = "Examples:
  windlass vulndb import all.zip
  windlass vulndb import osv/ --ecosystem PyPI")]
    Import(Import),
    /// Fetch the newest advisories, laid out as OSV publishes them: ECOSYSTEM/all.zip
    #[command(after_help = "Examples:
  windlass vulndb update --from /srv/osv
  windlass vulndb update --from http://mirror.example/osv --ecosystem Debian --ecosystem PyPI")]
    Update(Update),
    /// Which advisories there are, and how old they are
    #[command(after_help = "Example:\n  windlass vulndb status")]
    Status,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Import {
    /// A file, a folder or an archive
    path: PathBuf,
    /// Only this ecosystem's
    #[arg(long, value_name = "NAME")]
    ecosystem: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Update {
    /// Where from: a folder, or an address
    #[arg(long, value_name = "URL|DIR", env = "WINDLASS_VULNDB_SOURCE")]
    from: Option<String>,
    /// Only these ecosystems [default: those that are there already, else all that are known]
    #[arg(long, value_name = "NAME")]
    ecosystem: Vec<String>,
}

/// Carries a command about advisories out.
pub(crate) async fn run(global: &Global, command: VulnDb) -> Result<Exit> {
    let folder = global.data_path().join("vulndb");
    let now = SystemClock.now();
    match command {
        VulnDb::Import(from) => {
            let only = from.ecosystem.clone();
            let done = tokio::task::spawn_blocking(move || import(&folder, &from.path, only.as_deref(), now))
                .await??;
            imported(global, &done, &[])?;
            Ok(Exit::Done)
        }
        VulnDb::Update(update) => {
            let from = update.from.ok_or_else(|| {
                Failure::usage(
                    "say where advisories come from: --from URL or DIR, or $WINDLASS_VULNDB_SOURCE",
                )
            })?;
            let mut wanted = update.ecosystem;
            if wanted.is_empty() {
                wanted = Database::at(&folder, FRESH).states()?.into_iter().map(|s| s.ecosystem).collect();
            }
            if wanted.is_empty() {
                wanted = ECOSYSTEMS.map(str::to_owned).to_vec();
            }
            let (done, unchanged) = fetch::all(&folder, &from, &wanted, now).await?;
            imported(global, &done, &unchanged)?;
            Ok(Exit::Done)
        }
        VulnDb::Status => status(global),
    }
}

fn imported(global: &Global, done: &Imported, unchanged: &[String]) -> Result<()> {
    if global.json {
        return show::json(&done.ecosystems);
    }
    for state in &done.ecosystems {
        let State { ecosystem, advisories, packages, as_of, .. } = state;
        show::print(&format!("{ecosystem}: {advisories} advisories for {packages} packages, as of {as_of}"))?;
    }
    for ecosystem in unchanged {
        show::print(&format!("{ecosystem}: not changed since the advisories that are here"))?;
    }
    if done.unreadable > 0 {
        show::print(&format!("{} files were no advisories and were left out", done.unreadable))?;
    }
    Ok(())
}

/// How old advisories may be: as control reads it from its environment.
pub(crate) fn fresh() -> Result<Duration> {
    match std::env::var("WINDLASS_VULNDB_DAYS") {
        Err(_) => Ok(FRESH),
        Ok(text) => {
            let days: u64 = text.parse().context("WINDLASS_VULNDB_DAYS must be a number of days")?;
            Ok(Duration::from_hours(24 * days))
        }
    }
}

fn status(global: &Global) -> Result<Exit> {
    let (now, fresh) = (SystemClock.now(), fresh()?);
    let states = Database::at(&global.data_path().join("vulndb"), fresh).states()?;
    if global.json {
        show::json(&states)?;
        return Ok(Exit::Done);
    }
    let rows = states.iter().map(|state| {
        let old = now.since(state.as_of) > fresh;
        let age = show::ago(state.as_of);
        let age = if old {
            Field::toned(format!("{age}: too old to count"), Tone::Bad)
        } else {
            Field::toned(age, Tone::Good)
        };
        [
            state.ecosystem.clone().into(),
            state.advisories.to_string().into(),
            state.packages.to_string().into(),
            age,
            Field::dim(show::ago(state.imported_at)),
        ]
    });
    show::table(
        ["ecosystem", "advisories", "packages", "as of", "imported"],
        rows.collect(),
        "there are no advisories: nothing can be checked (`windlass vulndb import`, `windlass vulndb update`)",
    )?;
    Ok(Exit::Done)
}
