//! What must hold of a call before anything runs.

use windlass_workflow::model::{Call, CallSecrets, Job, Map, Tree, Workflow};
use windlass_workflow::trigger::Called;

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
    let secrets: Option<Vec<&str>> = match &call.secrets {
        CallSecrets::Named(Map::Entries(entries)) => {
            Some(entries.iter().map(|entry| entry.name.as_str()).collect())
        }
        // All that the caller has, or names that are not known yet.
        _ => None,
    };
    let mut wrong = match &call.with {
        Tree::Mapping(pairs) => takes.check_names(pairs.iter().map(|(name, _)| name.as_str()), secrets),
        // Inputs that are not known yet are checked when the job's turn comes.
        _ => {
            let mut wrong = takes.check_names([], secrets);
            wrong.retain(|why| !why.starts_with("Input "));
            wrong
        }
    };
    wrong.extend(types(takes, &call.with));
    wrong.extend(permissions::excess(caller, job, model));
    wrong
}

/// The inputs that are written out and of the wrong type.
fn types(takes: &Called, with: &Tree) -> Vec<String> {
    let Tree::Mapping(pairs) = with else { return Vec::new() };
    let wrong = pairs.iter().filter_map(|(name, tree)| {
        let Tree::Literal(value) = tree else { return None };
        let input = takes.inputs.iter().find(|input| input.name.eq_ignore_ascii_case(name))?;
        let kind = input.kind.as_str();
        input.kind.accepts(&value.value).is_none().then(|| {
            format!("The input {} must be a {kind}, not '{}'.", input.name.value, value.value.to_text())
        })
    });
    wrong.collect()
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
