//! `ACTIONS_RUNTIME_TOKEN`. GitHub's client libraries read two ids out of it without checking it, so it has the form of
//! a JSON web token (RFC 7519); what it is good for stands in its [`JobToken`], found by its hash like any other.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use windlass_kernel::{Entropy, JobId, ProjectName, RunId, Secret, Timestamp};
use zeroize::Zeroizing;

use crate::credential::alive;
use crate::{InvalidCredential, JOB_TOKEN_LIFE, JobToken, JobUse, Principal, constant_time_eq};

/// The longest text that is looked at.
const LONGEST: usize = 2048;

/// Whether a text has the form of a runtime token.
pub fn is_runtime_token(text: &str) -> bool {
    text.len() <= LONGEST && text.starts_with("eyJ") && text.bytes().filter(|b| *b == b'.').count() == 2
}

/// What is kept of a runtime token's text.
pub fn runtime_token_hash(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

impl JobToken {
    /// A new runtime token: the document to keep, and the text that goes to the job.
    pub fn issue_runtime(
        project: &ProjectName,
        run: RunId,
        job: JobId,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> (Self, Secret<String>) {
        let expires_at = now + JOB_TOKEN_LIFE;
        let mut random = Zeroizing::new([0u8; 32]);
        entropy.fill(&mut *random);
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = part(json!({"typ": "JWT", "alg": "HS256"}));
        let claims = part(json!({
            "iss": "windlass",
            "nbf": now.as_millis() / 1000,
            "exp": expires_at.as_millis() / 1000,
            "scp": format!("Actions.Results:{run}:{job}"),
        }));
        // Nobody but us takes it, and we look it up whole: 256 random bits do for a signature.
        let text = format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(*random));
        let token = Self {
            hash: runtime_token_hash(&text),
            project: project.clone(),
            run,
            job,
            expires_at,
            usage: JobUse::Results,
        };
        (token, Secret::new(text))
    }

    /// The job that holds the runtime token `text`.
    pub fn verify_runtime(&self, text: &str, now: Timestamp) -> Result<Principal, InvalidCredential> {
        let same = constant_time_eq(runtime_token_hash(text).as_bytes(), self.hash.as_bytes());
        if !same || self.usage != JobUse::Results {
            return Err(InvalidCredential);
        }
        alive(self.expires_at, now)?;
        Ok(Principal::job_for(&self.project, self.run, self.job, self.usage))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use windlass_kernel::{Ids, OsEntropy, SystemClock};

    use super::*;
    use crate::TokenText;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn it_reads_as_a_json_web_token_and_opens_by_its_whole_text_only() {
        let ids = Ids::new(Arc::new(SystemClock), Arc::new(OsEntropy));
        let (run, job) = (RunId::new(&ids), JobId::new(&ids));
        let project = "shop".parse().unwrap();
        let (token, text) = JobToken::issue_runtime(&project, run, job, NOW, &OsEntropy);
        let text = text.expose();
        assert!(is_runtime_token(text) && TokenText::parse(text).is_err());
        let claims = text.split('.').nth(1).unwrap();
        let claims: serde_json::Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        assert_eq!(claims["scp"], format!("Actions.Results:{run}:{job}"));

        let who = token.verify_runtime(text, NOW).unwrap();
        assert_eq!(who, Principal::job_for(&project, run, job, JobUse::Results));
        assert!(token.verify_runtime(text, NOW + JOB_TOKEN_LIFE).is_err());
        // The same claims under another signature are another token.
        let (_, other) = JobToken::issue_runtime(&project, run, job, NOW, &OsEntropy);
        assert!(token.verify_runtime(other.expose(), NOW).is_err());
        let steps = JobToken { usage: JobUse::Unit, ..token };
        assert!(steps.verify_runtime(text, NOW).is_err(), "only a runtime token's document opens by one");
    }

    #[test]
    fn what_is_no_runtime_token_is_told_by_its_form() {
        for text in ["", "eyJ", "eyJ.a", "eyJ.a.b.c", "wlj_x.y.z"] {
            assert!(!is_runtime_token(text), "{text}");
        }
        assert!(!is_runtime_token(&format!("eyJ.{}.x", "a".repeat(LONGEST))));
    }
}
