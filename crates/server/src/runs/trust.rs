//! What a run of a change gets that somebody proposed who may not write: its own work, and nothing of the project's that
//! others rely on. The decisions stand where the things are given out; what they all say is here.

use serde_json::json;
use windlass_kernel::{Actor, NewEvent, Timestamp};
use windlass_pipeline::{Finding, Run};

/// What such a run is told on its page.
const RESTRICTED: &str = "this run is of a change that was proposed from outside: secrets are empty, GITHUB_TOKEN only reads, and there are no identity tokens, environments, deployments or pushes of images";

/// Why no environment lets such a job in.
pub(crate) const NO_ENVIRONMENT: &str = "a change that was proposed from outside gets no environment, whatever its rules: neither secrets of one nor deployments";

/// Why such a job gets no identity token.
pub(crate) const NO_IDENTITY: &str =
    "a change that was proposed from outside gets no identity tokens, whatever `permissions: id-token` says";

/// Writes down, in the run and for the ledger, what the run does without.
pub(crate) fn restrict(run: &mut Run, now: Timestamp) -> NewEvent {
    run.diagnostics.push(Finding {
        severity: "note".to_owned(),
        file: None,
        line: 1,
        column: 1,
        message: RESTRICTED.to_owned(),
    });
    let request = &run.github["event"]["pull_request"];
    NewEvent::new(now, Actor::System, "run.restricted", run.id).project(&run.project).data(json!({
        "run": run.id,
        "change": request["number"],
        "head": request["head"]["sha"],
        "by": request["user"]["login"],
        "secrets": "none",
        "token": "read",
        "identity_tokens": false,
        "environments": false,
        "images": false,
    }))
}

/// The number of the change that a run is of, and its commit.
pub(crate) fn change_of(run: &Run) -> Option<(u64, &str)> {
    let request = &run.github["event"]["pull_request"];
    Some((request["number"].as_u64()?, request["head"]["sha"].as_str()?))
}
