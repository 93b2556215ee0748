//! The tokens that a job is given, each for its own use, and the addresses to go with them.

use windlass_api::runner as wire;
use windlass_identity::{Grant, JobToken, JobUse, Permissions};
use windlass_kernel::{Batch, JobId, Secret};
use windlass_pipeline::{Granted, Run, permissions};
use windlass_web::ISSUER;
use windlass_workflow::model::Access;

use super::CacheScopes;
use crate::context::Context;

/// The host under which a job meets this server as `GITHUB_SERVER_URL`: GitHub's client libraries take hosts below
/// `localhost` for a GitHub that has all its services, and these names never leave a machine (RFC 6761, section 6.3).
const HOST: &str = "windlass.localhost";

/// What a job is given.
pub(crate) struct JobTokens {
    documents: Vec<JobToken>,
    /// The job unit's own.
    pub(crate) unit: Secret<String>,
    /// `GITHUB_TOKEN`.
    pub(crate) steps: Secret<String>,
    runtime: Secret<String>,
    id_token: Option<Secret<String>>,
}

impl JobTokens {
    /// Adds what is kept of them to a batch.
    pub(crate) fn keep(&self, batch: Batch) -> Batch {
        self.documents.iter().fold(batch, |batch, token| batch.put(token))
    }
}

/// What `GITHUB_TOKEN` may do, and whether the job may ask for identity tokens.
fn granted(said: &Granted, untrusted: bool) -> (Permissions, bool) {
    let mut granted = Permissions::default();
    for scope in ["actions", "contents", "packages"] {
        if let Some(grant) = granted.scope(scope) {
            *grant = match said.access(scope) {
                Access::None => Grant::None,
                Access::Read => Grant::Read,
                Access::Write => Grant::Write,
            };
        }
    }
    if untrusted {
        return (granted.read_only(), false);
    }
    (granted, said.access("id-token") == Access::Write)
}

impl Context {
    /// Tokens for a job that is handed out.
    pub(crate) fn job_tokens(&self, run: &Run, job: JobId) -> JobTokens {
        let said = permissions(run, job).unwrap_or(Granted::Scopes(std::collections::BTreeMap::new()));
        let (granted, may_identify) = granted(&said, run.untrusted);
        let (project, now, entropy) = (&run.project, self.now(), &*self.entropy);
        let mut documents = Vec::new();
        let mut token = |usage: JobUse| {
            let (document, text) = JobToken::issue(project, run.id, job, usage, now, entropy);
            documents.push(document);
            text.secret()
        };
        let unit = token(if run.untrusted { JobUse::UntrustedUnit } else { JobUse::Unit });
        let steps = token(JobUse::Steps(granted));
        let id_token = may_identify.then(|| token(JobUse::IdToken));
        let (document, runtime) = JobToken::issue_runtime(project, run.id, job, now, entropy);
        documents.push(document);
        JobTokens { documents, unit, steps, runtime, id_token }
    }

    /// How a job reaches the services.
    pub(crate) fn services_of(&self, run: &Run, job: JobId, tokens: JobTokens) -> wire::Services {
        let url = self.services_url();
        let port = url.rsplit_once(':').map_or("80", |(_, port)| port);
        let request = |token| wire::IdTokenRequest {
            // Clients append `&audience=…`: there must be a query already.
            url: format!("{url}{ISSUER}/request?api-version=2.0"),
            token,
        };
        wire::Services {
            github_token: tokens.steps,
            server_url: format!("http://{HOST}:{port}"),
            runtime_token: tokens.runtime,
            id_token: tokens.id_token.map(request),
            cache_mode: CacheScopes::of_job(run, job, None).mode.as_str().to_owned(),
            url: format!("{url}/"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_changes_read_only_whatever_permissions_say() {
        let (all, identify) = granted(&Granted::WriteAll, false);
        assert_eq!((all, identify), (Permissions::WRITE_ALL, true));
        let (lowered, identify) = granted(&Granted::WriteAll, true);
        assert_eq!((lowered, identify), (Permissions::READ_ALL, false));
        assert_eq!(granted(&Granted::Default, false), (Permissions::RESTRICTED, false));
        assert_eq!(granted(&Granted::ReadAll, false), (Permissions::READ_ALL, false));
        let only = Granted::Scopes([("id-token".to_owned(), Access::Write)].into());
        assert_eq!(granted(&only, false), (Permissions::default(), true));
    }
}
