//! `windlass change`: what is proposed for a project's branches.

use anyhow::Result;
use clap::{Args, Subcommand};
use windlass_api::ChangeView;

use crate::connection::{Global, part};
use crate::failure::Exit;
use crate::show::{self, Field, Tone};

/// Changes: list what is proposed, close one
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Change {
    /// The changes of a project; propose one with `git push REMOTE HEAD:refs/for/BRANCH`
    #[command(after_help = "Examples:\n  windlass change list shop\n  windlass change list shop --all")]
    List(List),
    /// Close a change that is not to be merged
    #[command(after_help = "Example:\n  windlass change close shop 7")]
    Close(Close),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct List {
    /// The project
    project: String,
    /// Also those that were merged or closed
    #[arg(long)]
    all: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Close {
    /// The project
    project: String,
    /// The change's number
    number: u64,
}

/// Carries a change command out.
pub(crate) async fn run(global: &Global, command: Change) -> Result<Exit> {
    match command {
        Change::List(asked) => list(global, &asked).await?,
        Change::Close(Close { project, number }) => {
            let path = format!("/api/v1/projects/{}/changes/{number}/close", part(&project));
            let closed: ChangeView = global.client()?.post(&path, &serde_json::Value::Null).await?;
            if global.json {
                show::json(&closed)?;
            } else {
                show::print(&format!("change {number} of {project} is closed"))?;
            }
        }
    }
    Ok(Exit::Done)
}

async fn list(global: &Global, asked: &List) -> Result<()> {
    let path = format!("/api/v1/projects/{}/changes?limit=200", part(&asked.project));
    let mut changes: Vec<ChangeView> = global.client()?.get(&path).await?;
    changes.retain(|change| asked.all || change.state == "open");
    if global.json {
        return show::json(&changes);
    }
    let rows = changes.into_iter().map(|change| {
        let (word, tone) = standing(&change);
        [
            change.number.to_string().into(),
            Field::toned(word, tone),
            change.title.into(),
            change.author.into(),
            format!("{} → {}", change.head_name, change.base).into(),
            Field::dim(show::ago(change.updated_at)),
        ]
    });
    show::table(
        ["number", "state", "title", "author", "branches", "when"],
        rows.collect(),
        "nothing is proposed: a branch that differs from the default branch is a change, and so is a push to refs/for/BRANCH",
    )
}

fn standing(change: &ChangeView) -> (String, Tone) {
    if change.state != "open" {
        return (change.state.clone(), Tone::Good);
    }
    if !change.conflicts.is_empty() {
        return (format!("conflicts in {}", change.conflicts.join(", ")), Tone::Bad);
    }
    if change.outside && !change.approved {
        return ("waits for approval".to_owned(), Tone::Busy);
    }
    ("open".to_owned(), Tone::Good)
}
