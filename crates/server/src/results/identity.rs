//! Identity tokens: what a job shows to others to prove what it is.

use serde_json::{Value, json};
use windlass_api::Problem;
use windlass_identity::{Action, IdClaims, Principal, Scope};
use windlass_kernel::{Batch, NewEvent, StoreExt as _, TokenId};
use windlass_pipeline::{Run, assignment};
use windlass_web::{Answer, ISSUER};

use crate::context::{Context, internal, stored};
use crate::runs::{NO_IDENTITY, OWNER};

/// The longest audience, in characters.
const LONGEST_AUDIENCE: usize = 2048;

impl Context {
    /// Who signs identity tokens.
    fn issuer(&self) -> String {
        format!("{}{ISSUER}", self.services_url())
    }

    pub(super) fn discovery(&self) -> Value {
        let issuer = self.issuer();
        json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}/.well-known/jwks"),
            "subject_types_supported": ["public", "pairwise"],
            "response_types_supported": ["id_token"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid"],
            "claims_supported": [
                "sub", "aud", "exp", "iat", "iss", "jti", "nbf", "ref", "sha", "repository", "repository_id",
                "repository_owner", "repository_owner_id", "run_id", "run_number", "run_attempt", "actor", "actor_id",
                "workflow", "workflow_ref", "workflow_sha", "head_ref", "base_ref", "event_name", "ref_type",
                "ref_protected", "environment", "job_workflow_ref", "job_workflow_sha", "repository_visibility",
                "runner_environment",
            ],
        })
    }

    pub(crate) async fn id_token(&self, who: &Principal, audience: Option<&str>) -> Answer<String> {
        if let Scope::Job { run, .. } = &who.scope
            && let Some(run) = self.store.get::<Run>(&run.to_string()).await.map_err(stored)?
            && run.value.untrusted
        {
            return Err(Problem::forbidden(NO_IDENTITY));
        }
        let bearer = self.service_bearer(who, Action::RequestIdToken).await?;
        let (run, job) = (&bearer.run, &bearer.job);
        let owner = format!("{}/{OWNER}", self.services_url());
        let audience = audience.filter(|a| !a.is_empty()).unwrap_or(&owner);
        if audience.chars().count() > LONGEST_AUDIENCE {
            return Err(Problem::invalid(format!("an audience has {LONGEST_AUDIENCE} characters at most")));
        }
        let context =
            assignment(run, job.id).ok_or_else(|| Problem::conflict("this job was started anew"))?;
        let mut github = context.github;
        let workflow = context.workflow;
        let repository = workflow.repository.as_deref().or(run.github["repository"].as_str());
        let at = workflow.git_ref.as_deref().unwrap_or(&run.git_ref);
        github["job_workflow_ref"] =
            json!(format!("{}/{}@{at}", repository.unwrap_or_default(), workflow.file));
        github["job_workflow_sha"] = json!(workflow.sha);
        let now = self.now();
        let token_id = TokenId::new(&self.ids).to_string();
        let claims = IdClaims {
            issuer: &self.issuer(),
            audience,
            token_id: &token_id,
            now: now.as_millis() / 1000,
            github: &github,
            environment: job.environment.as_deref(),
            attempt: run.attempt,
        };
        let keys = self.keys_of_services().await?;
        let token = keys.signing.sign(&claims.to_json());
        let token = token.map_err(|e| internal("an identity token cannot be signed", &e))?;
        let event = NewEvent::new(now, who.actor.clone(), "identity_token.issued", job.id)
            .project(&run.project)
            .data(json!({"audience": audience, "subject": claims.subject(), "token": token_id}));
        self.commit(Batch::new().event(event)).await.map_err(stored)?;
        Ok(token.expose().clone())
    }
}
