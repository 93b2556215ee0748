//! `windlass approve`: what waits for a person.

use anyhow::Result;
use clap::Args;
use windlass_api::{ApprovalView, Client, Decide};

use crate::ask;
use crate::connection::{Global, part};
use crate::failure::{Exit, Failure};
use crate::show::{self, Field, Tone};

/// Approve (or reject) what waits; without an argument, list it, and ask if it is one
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  windlass approve                                     what waits
  windlass approve RUN                                 the one thing that this run waits for
  windlass approve RUN:production --comment 'checked'
  windlass approve RUN --reject --comment 'not today'")]
pub(crate) struct Approve {
    /// A run's id, or an approval's (RUN:ENVIRONMENT)
    pub(crate) what: Option<String>,
    /// Say no
    #[arg(long)]
    pub(crate) reject: bool,
    /// Why; it is kept in the ledger
    #[arg(long, short, default_value = "")]
    pub(crate) comment: String,
}

/// Decides, or lists what waits.
pub(crate) async fn run(global: &Global, approve: Approve) -> Result<Exit> {
    let client = global.client()?;
    let waiting = waiting(&client).await?;
    let chosen = match &approve.what {
        Some(what) => choose(&waiting, what)?.clone(),
        None => {
            if global.json {
                show::json(&waiting)?;
                return Ok(Exit::Done);
            }
            list(&waiting)?;
            let [one] = &waiting[..] else { return Ok(Exit::Done) };
            if !one.caller_may || !ask::possible() {
                return Ok(Exit::Done);
            }
            let word = if approve.reject { "Reject" } else { "Approve" };
            if !ask::yes(&format!("{word} {}?", what(one))).await? {
                show::print("nothing was decided")?;
                return Ok(Exit::Done);
            }
            one.clone()
        }
    };
    let how = Decide { approve: !approve.reject, comment: approve.comment };
    let decided = decide(&client, &chosen.id, &how).await?;
    if global.json {
        show::json(&decided)?;
    } else {
        let more = match decided.wanted {
            0 => String::new(),
            n if decided.state == "pending" => format!("; {n} more wanted"),
            _ => String::new(),
        };
        show::print(&format!("{}: {}{more}", decided.state, what(&decided)))?;
    }
    Ok(Exit::Done)
}

/// What an approval lets through, in words.
pub(crate) fn what(approval: &ApprovalView) -> String {
    match &approval.change {
        Some(change) => {
            let commit = change.head.get(..12).unwrap_or(&change.head);
            let (author, project) = (show::clean(&change.author), &approval.project);
            format!("the runs of change {} of {project} by {author}, commit {commit}", change.number)
        }
        None => format!("{} to {}", approval.project, approval.environment),
    }
}

/// All that waits.
async fn waiting(client: &Client) -> Result<Vec<ApprovalView>> {
    let mut all: Vec<ApprovalView> = client.get("/api/v1/approvals").await?;
    all.retain(|a| a.state == "pending");
    Ok(all)
}

/// Decides an approval.
pub(crate) async fn decide(client: &Client, id: &str, how: &Decide) -> Result<ApprovalView> {
    Ok(client.post(&format!("/api/v1/approvals/{}", part(id)), how).await?)
}

fn choose<'a>(waiting: &'a [ApprovalView], what: &str) -> Result<&'a ApprovalView, Failure> {
    let found: Vec<_> = waiting.iter().filter(|a| a.id == what || a.run == what).collect();
    match found[..] {
        [one] => Ok(one),
        [] => Err(Failure::not_found(format!(
            "nothing waits under `{what}`: `windlass approve` lists what does"
        ))),
        _ => {
            let ids: Vec<_> = found.iter().map(|a| a.id.as_str()).collect();
            Err(Failure::usage(format!("run {what} waits for more than one: name {}", ids.join(" or "))))
        }
    }
}

fn list(waiting: &[ApprovalView]) -> Result<()> {
    let rows = waiting.iter().map(|a| {
        let digests: Vec<String> = a.digests.values().map(|d| show::short_digest(d)).collect();
        let may = if a.caller_may {
            Field::toned("you may", Tone::Good)
        } else {
            Field::dim(a.caller_note.clone())
        };
        [
            a.id.clone().into(),
            a.project.clone().into(),
            Field::toned(
                a.change.as_ref().map_or_else(
                    || a.environment.clone(),
                    |change| format!("change {} by {}", change.number, show::clean(&change.author)),
                ),
                Tone::Busy,
            ),
            digests.join(", ").into(),
            a.reviewers.join(", ").into(),
            may,
            Field::dim(show::ago(a.requested_at)),
        ]
    });
    show::table(
        ["id", "project", "for", "images", "reviewers", "decide", "since"],
        rows.collect(),
        "nothing waits for an approval",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::exit_of;

    fn approval(run: &str, environment: &str) -> ApprovalView {
        serde_json::from_value(serde_json::json!({
            "id": format!("{run}:{environment}"), "run": run, "project": "p", "environment": environment,
            "state": "pending", "reviewers": [], "wanted": 1, "decided_by": [], "comment": "", "digests": {},
            "caller_may": true, "caller_note": "", "requested_at": 0
        }))
        .unwrap()
    }

    #[test]
    fn a_run_names_its_approval_when_there_is_one() {
        let all = [approval("r1", "staging"), approval("r2", "staging"), approval("r2", "production")];
        assert_eq!(choose(&all, "r1").unwrap().id, "r1:staging");
        assert_eq!(choose(&all, "r2:production").unwrap().id, "r2:production");
        let two = choose(&all, "r2").unwrap_err();
        assert!(two.to_string().contains("r2:staging or r2:production"), "{two}");
        assert_eq!(exit_of(&choose(&all, "r3").unwrap_err().into()), Exit::NotFound);
    }
}
