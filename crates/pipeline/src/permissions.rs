//! What `permissions` give to a job's token: the job's own, else its workflow's; within a called workflow never more than
//! the calling job has.

use std::collections::BTreeMap;

use windlass_kernel::JobId;
use windlass_workflow::model::{Access, CacheMode, Job as JobModel, Permissions, Workflow};

use crate::frame::{Frame, Gone};
use crate::{Job, Run};

/// What a job's token may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Granted {
    /// Nothing was said: what a token may do anyhow (contents and packages are read).
    Default,
    /// `read-all`
    ReadAll,
    /// `write-all`
    WriteAll,
    /// What is named; all else is none.
    Scopes(BTreeMap<String, Access>),
}

impl Granted {
    fn new(said: Option<&Permissions>) -> Self {
        match said {
            None => Self::Default,
            Some(Permissions::ReadAll) => Self::ReadAll,
            Some(Permissions::WriteAll) => Self::WriteAll,
            Some(Permissions::Scopes(scopes)) => Self::Scopes(scopes.iter().cloned().collect()),
        }
    }

    /// What may be done in a scope.
    pub fn access(&self, scope: &str) -> Access {
        match self {
            // Metadata is read by every token.
            _ if scope == "metadata" => Access::Read,
            Self::Default if matches!(scope, "contents" | "packages") => Access::Read,
            Self::Default => Access::None,
            // These are written or nothing.
            Self::ReadAll if matches!(scope, "id-token" | "copilot-requests") => Access::None,
            Self::ReadAll => Access::Read,
            Self::WriteAll => Access::Write,
            Self::Scopes(scopes) => scopes.get(scope).copied().unwrap_or(Access::None),
        }
    }

    /// The less of both, in each scope.
    fn lowered(&self, to: &Self) -> Self {
        match (self, to) {
            (own, Self::WriteAll) => own.clone(),
            (Self::WriteAll, to) => to.clone(),
            (Self::ReadAll, Self::ReadAll) => Self::ReadAll,
            (Self::Default, Self::Default | Self::ReadAll) | (Self::ReadAll, Self::Default) => Self::Default,
            (Self::Scopes(scopes), other) | (other, Self::Scopes(scopes)) => {
                let least =
                    scopes.iter().map(|(scope, access)| (scope.clone(), (*access).min(other.access(scope))));
                Self::Scopes(least.filter(|(_, access)| *access != Access::None).collect())
            }
        }
    }
}

/// What a job's token may do; `None` if the run has no such job.
pub fn permissions(run: &Run, job: JobId) -> Option<Granted> {
    let job = run.job(job)?;
    let chain: Vec<&Job> = std::iter::once(job).chain(run.callers(job)).collect();
    let mut granted: Option<Granted> = None;
    for job in chain.into_iter().rev() {
        let own = said(run, job.parent, &job.key).ok()?;
        granted = Some(match (granted, own) {
            (None, own) => Granted::new(own.as_ref()),
            // A called workflow that says nothing has what its caller has.
            (Some(outer), None) => outer,
            (Some(outer), own) => Granted::new(own.as_ref()).lowered(&outer),
        });
    }
    granted
}

/// What a job may do with caches: as its `cache-mode` says, else its workflow's, and never more than the jobs that call
/// its workflow may. Everything where nobody says anything; `None` if the run has no such job.
pub fn cache_mode(run: &Run, job: JobId) -> Option<CacheMode> {
    let job = run.job(job)?;
    let mut mode = CacheMode::Write;
    for job in std::iter::once(job).chain(run.callers(job)) {
        let workflow = run.model_of(job.parent)?;
        let own = workflow.job(&job.key)?.cache_mode.or(workflow.cache_mode);
        mode = mode.and(own.unwrap_or(CacheMode::Write));
    }
    Some(mode)
}

fn said(run: &Run, frame: Frame, key: &str) -> Result<Option<Permissions>, Gone> {
    let workflow = run.model_of(frame).ok_or(Gone)?;
    let job = workflow.job(key).ok_or(Gone)?;
    Ok(job.permissions.clone().or_else(|| workflow.permissions.clone()))
}

/// What the jobs of a called workflow ask for beyond what the calling job may give, in the language's own words.
pub(crate) fn excess(caller: &Workflow, job: &JobModel, called: &Workflow) -> Vec<String> {
    let allowed = Granted::new(job.permissions.as_ref().or(caller.permissions.as_ref()));
    let mut wrong = Vec::new();
    for nested in &called.jobs {
        let Some(asked) = nested.permissions.as_ref().or(called.permissions.as_ref()) else { continue };
        if let Some((asked, allowed)) = beyond(asked, &allowed) {
            let id = &nested.id.value;
            wrong.push(format!(
                "The nested job '{id}' is requesting '{asked}', but is only allowed '{allowed}'."
            ));
        }
    }
    wrong
}

fn beyond(asked: &Permissions, allowed: &Granted) -> Option<(String, String)> {
    match asked {
        Permissions::WriteAll if *allowed != Granted::WriteAll => {
            Some(("write-all".to_owned(), shown(allowed)))
        }
        Permissions::ReadAll if !matches!(allowed, Granted::ReadAll | Granted::WriteAll) => {
            Some(("read-all".to_owned(), shown(allowed)))
        }
        Permissions::Scopes(scopes) => {
            let over: Vec<_> =
                scopes.iter().filter(|(scope, access)| *access > allowed.access(scope)).collect();
            let list = |access: &dyn Fn(&str, Access) -> Access| {
                let one =
                    |(scope, asked): &&(String, Access)| format!("{scope}: {}", word(access(scope, *asked)));
                over.iter().map(one).collect::<Vec<_>>().join(", ")
            };
            (!over.is_empty()).then(|| (list(&|_, asked| asked), list(&|scope, _| allowed.access(scope))))
        }
        _ => None,
    }
}

fn shown(granted: &Granted) -> String {
    match granted {
        Granted::Default => "contents: read, packages: read".to_owned(),
        Granted::ReadAll => "read-all".to_owned(),
        Granted::WriteAll => "write-all".to_owned(),
        Granted::Scopes(scopes) if scopes.is_empty() => "none".to_owned(),
        Granted::Scopes(scopes) => {
            let one = |(scope, access): (&String, &Access)| format!("{scope}: {}", word(*access));
            scopes.iter().map(one).collect::<Vec<_>>().join(", ")
        }
    }
}

fn word(access: Access) -> &'static str {
    match access {
        Access::None => "none",
        Access::Read => "read",
        Access::Write => "write",
    }
}
