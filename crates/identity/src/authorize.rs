//! The one place where a permission is decided. What no rule allows is denied.

use windlass_kernel::{JobId, ProjectName, RunId};

use crate::{Grant, JobUse, Permissions, Principal, Role, Scope};

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident $text:literal,)*) => {
        /// What somebody may want to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// In words, as in "may not …".
            pub fn words(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

actions! {
    /// See the overview, the status of the platform, and which projects there are.
    ReadPlatform "see the platform",
    /// Make a project.
    CreateProject "create a project",
    /// Remove a project with everything in it.
    DeleteProject "delete a project",
    /// See a project: its page, environments, releases, deployments, services, metrics.
    ReadProject "see this project",
    /// Read files, commits and diffs; clone and fetch.
    ReadCode "read this project's code",
    /// Push to the repository.
    PushCode "push to this project",
    /// Propose a change: push to `refs/for/BRANCH`, and to nothing else.
    ProposeChange "propose changes to this project",
    /// See runs and jobs.
    ReadRuns "see this project's runs",
    /// Read logs of jobs and services, and download artifacts.
    ReadLogs "read this project's logs",
    /// Start a workflow by hand.
    StartRun "start a run",
    /// Cancel a run.
    CancelRun "cancel a run",
    /// Run jobs again.
    RerunRun "run jobs again",
    /// Approve or reject what waits for an approval (the environment says whose approval counts).
    Approve "approve a deployment",
    /// Deploy a release.
    Deploy "deploy this project",
    /// Go back to an earlier release.
    Rollback "roll back this project",
    /// See which secrets there are, and read variables.
    ReadSettings "see this project's secrets and variables",
    /// Set and remove secrets and variables.
    WriteSettings "change this project's secrets and variables",
    /// Change one's own password, make and remove one's own tokens.
    ManageOwnAccount "manage the own account",
    /// Make, change and remove accounts and others' tokens.
    ManageUsers "manage users and tokens",
    /// Read the ledger and check its chain.
    ReadAudit "read the audit trail",
    /// Pull images.
    PullImage "pull this project's images",
    /// Push images.
    PushImage "push images to this project",
    /// Remove images.
    DeleteImage "delete this project's images",
    /// Set the registry's rules and mirrors, collect its garbage, look for rot.
    ManageRegistry "manage the registry",
    /// Lease jobs and report on the runner itself.
    LeaseJobs "lease jobs",
    /// Report a job's state and logs, and ask whether it was cancelled.
    ReportJob "report on this job",
    /// Upload and download artifacts of a run as one of its jobs.
    UseRunArtifacts "use this run's artifacts",
    /// Read and write a project's caches as a job.
    UseCaches "use this project's caches",
    /// Ask for a token that tells others which job this is.
    RequestIdToken "ask for an identity token",
}

/// What it would be done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// The platform as a whole.
    Platform,
    /// A project, and what hangs on it without being a run: code, settings, environments, images, caches.
    Project(ProjectName),
    /// A run.
    Run {
        /// Its project.
        project: ProjectName,
        /// The run.
        run: RunId,
    },
    /// A job.
    Job {
        /// Its project.
        project: ProjectName,
        /// Its run.
        run: RunId,
        /// The job.
        job: JobId,
    },
}

/// It is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Denied {
    /// Why, in words fit for whoever asked.
    pub why: String,
}

impl Resource {
    fn project(&self) -> Option<&ProjectName> {
        match self {
            Self::Platform => None,
            Self::Project(project) | Self::Run { project, .. } | Self::Job { project, .. } => Some(project),
        }
    }
}

/// Decides whether `principal` may do `action` to `resource`.
pub fn authorize(principal: &Principal, action: Action, resource: &Resource) -> Result<(), Denied> {
    if !fits(action, resource) {
        let why = format!("cannot {}: it was asked of the wrong kind of thing", action.words());
        return Err(Denied { why });
    }
    if !within(&principal.scope, resource) {
        let why = format!(
            "{} may not {}: it lies outside of what its token is for",
            principal.actor,
            action.words()
        );
        return Err(Denied { why });
    }
    let allowed = match principal.role {
        Role::Admin => admin(action),
        Role::Member => member(action),
        Role::Contributor => contributor(action),
        Role::Viewer => viewer(action),
        Role::Job => job(action, &principal.scope, resource),
        Role::Runner => matches!(action, Action::LeaseJobs),
    };
    if allowed {
        return Ok(());
    }
    if let Scope::Job { usage: JobUse::UntrustedUnit, .. } = principal.scope {
        let why = format!(
            "this job may not {}: it runs a change that was proposed from outside, which is not trusted with that",
            action.words()
        );
        return Err(Denied { why });
    }
    if let Scope::Job { usage: JobUse::Steps(_), .. } = principal.scope
        && let Some(permission) = permission_for(action)
    {
        let why = format!(
            "this job's token may not {}: that needs `permissions: {permission}` in the workflow, and a trusted run",
            action.words()
        );
        return Err(Denied { why });
    }
    let needed = match action {
        a if viewer(a) => "viewer",
        a if contributor(a) => "contributor",
        a if member(a) => "member",
        a if admin(a) => "admin",
        _ => return Err(Denied { why: format!("only a job or a runner may {}", action.words()) }),
    };
    let why = format!("{} may not {}: that needs the role {needed}", principal.actor, action.words());
    Err(Denied { why })
}

/// Whether the action makes sense on that kind of resource.
fn fits(action: Action, resource: &Resource) -> bool {
    use Action as A;
    match action {
        A::ReadPlatform
        | A::CreateProject
        | A::ManageOwnAccount
        | A::ManageUsers
        | A::ReadAudit
        | A::ManageRegistry
        | A::LeaseJobs => {
            matches!(resource, Resource::Platform)
        }
        A::DeleteProject
        | A::ReadProject
        | A::ReadCode
        | A::PushCode
        | A::ProposeChange
        | A::StartRun
        | A::Rollback
        | A::ReadSettings
        | A::WriteSettings
        | A::PullImage
        | A::PushImage
        | A::DeleteImage
        | A::UseCaches => matches!(resource, Resource::Project(_)),
        A::ReadRuns | A::ReadLogs | A::Approve | A::Deploy => !matches!(resource, Resource::Platform),
        A::CancelRun | A::RerunRun => matches!(resource, Resource::Run { .. } | Resource::Job { .. }),
        A::UseRunArtifacts => matches!(resource, Resource::Run { .. }),
        A::ReportJob | A::RequestIdToken => matches!(resource, Resource::Job { .. }),
    }
}

fn within(scope: &Scope, resource: &Resource) -> bool {
    match scope {
        Scope::Platform => true,
        Scope::Project(own) | Scope::Job { project: own, .. } => resource.project() == Some(own),
    }
}

fn viewer(action: Action) -> bool {
    use Action as A;
    matches!(
        action,
        A::ReadPlatform
            | A::ReadProject
            | A::ReadCode
            | A::ReadRuns
            | A::ReadLogs
            | A::PullImage
            | A::ManageOwnAccount
    )
}

fn contributor(action: Action) -> bool {
    viewer(action) || action == Action::ProposeChange
}

fn member(action: Action) -> bool {
    use Action as A;
    contributor(action)
        || matches!(
            action,
            A::CreateProject
                | A::PushCode
                | A::StartRun
                | A::CancelRun
                | A::RerunRun
                | A::Approve
                | A::Deploy
                | A::Rollback
                | A::ReadSettings
                | A::WriteSettings
                | A::PushImage
        )
}

/// Everything a person does. Not what only a job or a runner does: an administrator's token must not pass for a job.
fn admin(action: Action) -> bool {
    use Action as A;
    member(action)
        || matches!(
            action,
            A::DeleteProject | A::ManageUsers | A::ReadAudit | A::DeleteImage | A::ManageRegistry
        )
}

/// What a job may do with each of its tokens.
fn job(action: Action, scope: &Scope, resource: &Resource) -> bool {
    let Scope::Job { run: own_run, job: own_job, usage, .. } = scope else { return false };
    let own = match resource {
        Resource::Platform => false,
        Resource::Project(_) => true,
        Resource::Run { run, .. } => run == own_run,
        Resource::Job { run, job, .. } => run == own_run && job == own_job,
    };
    match usage {
        JobUse::Unit => own && unit(action, resource),
        JobUse::UntrustedUnit => own && untrusted_unit(action, resource),
        JobUse::Steps(permissions) => steps(action, *permissions, own, resource),
        JobUse::Results => own && matches!(action, Action::UseRunArtifacts | Action::UseCaches),
        JobUse::IdToken => own && action == Action::RequestIdToken,
    }
}

/// The unit reads its project and its own run, reports on itself, and brings images out. It does not approve, change
/// settings, push code or steer other runs.
fn unit(action: Action, resource: &Resource) -> bool {
    use Action as A;
    match action {
        A::ReadProject | A::ReadCode | A::PullImage | A::PushImage | A::UseCaches => true,
        A::ReadRuns | A::ReadLogs => matches!(resource, Resource::Run { .. } | Resource::Job { .. }),
        A::Deploy | A::ReportJob => matches!(resource, Resource::Job { .. }),
        A::UseRunArtifacts => true,
        _ => false,
    }
}

/// The unit of a job that runs what somebody proposed who may not write: nothing of it leaves its own run, whatever the
/// built-in actions of its workflow ask for.
fn untrusted_unit(action: Action, resource: &Resource) -> bool {
    unit(action, resource) && !matches!(action, Action::PushImage | Action::Deploy)
}

/// Steps do what `permissions` says; the project itself and their own run they may always see.
fn steps(action: Action, granted: Permissions, own: bool, resource: &Resource) -> bool {
    use Action as A;
    let of_project = !matches!(resource, Resource::Platform);
    match action {
        A::ReadProject => own,
        A::ReadCode => own && granted.contents >= Grant::Read,
        A::PushCode => own && granted.contents == Grant::Write,
        A::PullImage => own && granted.packages >= Grant::Read,
        A::PushImage => own && granted.packages == Grant::Write,
        A::ReadRuns | A::ReadLogs => {
            let own_run = own && matches!(resource, Resource::Run { .. } | Resource::Job { .. });
            own_run || of_project && granted.actions >= Grant::Read
        }
        A::StartRun | A::CancelRun | A::RerunRun => of_project && granted.actions == Grant::Write,
        _ => false,
    }
}

/// What a workflow says to let its steps do something.
fn permission_for(action: Action) -> Option<&'static str> {
    use Action as A;
    Some(match action {
        A::ReadCode => "contents: read",
        A::PushCode => "contents: write",
        A::PullImage => "packages: read",
        A::PushImage => "packages: write",
        A::ReadRuns | A::ReadLogs => "actions: read",
        A::StartRun | A::CancelRun | A::RerunRun => "actions: write",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
