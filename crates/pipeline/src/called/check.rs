//! What must hold of a call before anything runs.

use windlass_workflow::model::{Call, CallSecrets, Job, Map, Workflow};

use super::{CalledWorkflow, MAX_LEVELS};
use crate::permissions;
use crate::run::parse;

/// What is wrong with a job's call of a workflow.
pub(super) fn call(
    caller: &Workflow,
    job: &Job,
    call: &Call,
    called: &CalledWorkflow,
    model: Option<&Workflow>,
) -> Vec<String> {
    let Some(model) = model else {
        let findings = parse(&called.file, &called.text).1;
        let first = findings.iter().find(|finding| finding.severity == "error");
        let why =
            first.map(|f| format!(" {} (Line: {}, Col: {}): {}", called.file, f.line, f.column, f.message));
        return vec![format!("The workflow is not valid.{}", why.unwrap_or_default())];
    };
    let Some(takes) = &model.on.call else {
        return vec!["It cannot be called: add `workflow_call:` to its `on`.".to_owned()];
    };
    let inputs: Vec<&str> = call.with.entries().iter().map(|entry| entry.name.as_str()).collect();
    let secrets: Option<Vec<&str>> = match &call.secrets {
        CallSecrets::Named(Map::Entries(entries)) => {
            Some(entries.iter().map(|entry| entry.name.as_str()).collect())
        }
        // All that the caller has, or names that are not known yet.
        _ => None,
    };
    let mut wrong = match call.with {
        Map::Entries(_) => takes.check_names(inputs, secrets),
        // Names that are not known yet are checked when the job's turn comes.
        _ => secrets.map(|secrets| takes.check_names([], Some(secrets))).unwrap_or_default(),
    };
    if !matches!(call.with, Map::Entries(_)) {
        wrong.retain(|why| !why.starts_with("Input "));
    }
    wrong.extend(permissions::excess(caller, job, model));
    wrong
}

/// What is wrong with the levels of calls: too many of them, or one that leads back to itself. `edges` go from a
/// source to what it calls; `None` is the run's own workflow.
pub(super) fn levels(edges: &[(Option<usize>, usize)], files: &[&str]) -> Option<String> {
    let mut depths = vec![Depth::Unknown; files.len()];
    let mut deepest = 0;
    for (_, to) in edges.iter().filter(|(from, _)| from.is_none()) {
        match depth(*to, edges, &mut depths) {
            Ok(found) => deepest = deepest.max(found),
            Err(place) => {
                return Some(format!("the workflow {} calls itself, directly or not", files[place]));
            }
        }
    }
    (deepest + 1 > MAX_LEVELS).then(|| {
        format!("workflows call each other over {} levels; at most {MAX_LEVELS} are possible", deepest + 1)
    })
}

#[derive(Clone, Copy)]
enum Depth {
    Unknown,
    /// On the way there.
    Open,
    Known(usize),
}

/// How many levels begin at a workflow, itself included; the place of one that calls itself.
fn depth(place: usize, edges: &[(Option<usize>, usize)], depths: &mut [Depth]) -> Result<usize, usize> {
    match depths[place] {
        Depth::Known(depth) => return Ok(depth),
        Depth::Open => return Err(place),
        Depth::Unknown => {}
    }
    depths[place] = Depth::Open;
    let mut deepest = 0;
    // At most fifty workflows are loaded, so that this goes no deeper than that.
    for (_, to) in edges.iter().filter(|(from, _)| *from == Some(place)) {
        deepest = deepest.max(depth(*to, edges, depths)?);
    }
    depths[place] = Depth::Known(deepest + 1);
    Ok(deepest + 1)
}
