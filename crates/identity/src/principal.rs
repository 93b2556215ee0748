//! Who is asking, once a credential has been checked.

use windlass_kernel::{Actor, JobId, ProjectName, RunId, UserName};

use crate::{JobUse, Role};

/// Somebody (or something) that has proved who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who goes into the ledger.
    pub actor: Actor,
    /// What it is.
    pub role: Role,
    /// How far it reaches.
    pub scope: Scope,
}

/// How far a principal reaches, whatever its role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything that the role may reach.
    Platform,
    /// One project.
    Project(ProjectName),
    /// One job, its run, and of its project what the job needs.
    Job {
        /// The project.
        project: ProjectName,
        /// The run.
        run: RunId,
        /// The job.
        job: JobId,
        /// Which of the job's credentials it showed.
        usage: JobUse,
    },
}

impl Principal {
    /// A person.
    pub fn user(name: &UserName, role: Role) -> Self {
        Self { actor: Actor::User(name.clone()), role, scope: Scope::Platform }
    }

    /// A job, with its unit's own token.
    pub fn job(project: &ProjectName, run: RunId, job: JobId) -> Self {
        Self::job_for(project, run, job, JobUse::Unit)
    }

    /// A job, with one of its tokens.
    pub fn job_for(project: &ProjectName, run: RunId, job: JobId, usage: JobUse) -> Self {
        Self {
            actor: Actor::Run(run),
            role: Role::Job,
            scope: Scope::Job { project: project.clone(), run, job, usage },
        }
    }

    /// A runner.
    pub fn runner(name: &str) -> Self {
        Self { actor: Actor::Runner(name.to_owned()), role: Role::Runner, scope: Scope::Platform }
    }
}
