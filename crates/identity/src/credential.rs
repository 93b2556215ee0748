//! What is kept of each credential. All of them are found by the hash of their token: the document's id is that hash.
//! Each kind of token opens its own kind of document only.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use windlass_kernel::{Document, Entropy, JobId, ProjectName, RunId, Timestamp, TokenId, UserName};

use crate::{JobUse, Principal, TokenKind, TokenText, User, constant_time_eq};

/// How long a browser session lasts without being used.
pub const SESSION_LIFE: Duration = Duration::from_hours(14 * 24);
/// How long a job's token lasts at most (as on GitHub).
pub const JOB_TOKEN_LIFE: Duration = Duration::from_hours(24);
/// How long a set-up link lasts.
pub const SETUP_LINK_LIFE: Duration = Duration::from_hours(24);

/// What to say whatever was wrong with a credential.
pub const INVALID_CREDENTIAL: &str = "the credential is wrong, has expired or was revoked";

/// A credential is not (or no longer) good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{INVALID_CREDENTIAL}")]
pub struct InvalidCredential;

/// A person's API token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its id, to show and to revoke it by.
    pub token: TokenId,
    /// The hash of its text; the document's id.
    pub hash: String,
    /// Whose it is.
    pub user: UserName,
    /// What it is for, in the user's words.
    pub label: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A browser session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The hash of the cookie's value; the document's id.
    pub hash: String,
    /// Whose it is.
    pub user: UserName,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A job's token: reaches its own run and project only, and ends with the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobToken {
    /// The hash of its text; the document's id.
    pub hash: String,
    /// The project.
    pub project: ProjectName,
    /// The run.
    pub run: RunId,
    /// The job.
    pub job: JobId,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// What it is for.
    #[serde(default)]
    pub usage: JobUse,
}

/// A runner's token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerToken {
    /// The hash of its text; the document's id.
    pub hash: String,
    /// The runner's name.
    pub runner: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The one-time link that makes the first administrator. There is at most one; using it removes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupLink {
    /// The hash of the token in the link.
    pub hash: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

fn check(text: &TokenText, kind: TokenKind, hash: &str) -> Result<(), InvalidCredential> {
    let same = constant_time_eq(text.hash().as_bytes(), hash.as_bytes());
    if same && text.kind() == kind { Ok(()) } else { Err(InvalidCredential) }
}

pub(crate) fn alive(expires_at: Timestamp, now: Timestamp) -> Result<(), InvalidCredential> {
    if now < expires_at { Ok(()) } else { Err(InvalidCredential) }
}

impl Token {
    /// A new token for `user`: the document to keep, and the text to tell once.
    pub fn issue(
        token: TokenId,
        user: &UserName,
        label: &str,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> (Self, TokenText) {
        let text = TokenText::generate(TokenKind::User, entropy);
        let label = label.chars().take(100).collect();
        (Self { token, hash: text.hash(), user: user.clone(), label, created_at: now }, text)
    }

    /// Who holds `text`, given the account that it names.
    pub fn verify(&self, text: &TokenText, user: &User) -> Result<Principal, InvalidCredential> {
        check(text, TokenKind::User, &self.hash)?;
        if user.name != self.user {
            return Err(InvalidCredential);
        }
        Ok(user.principal())
    }
}

impl Session {
    /// A new session: the document to keep, and the cookie's value.
    pub fn begin(user: &UserName, now: Timestamp, entropy: &dyn Entropy) -> (Self, TokenText) {
        let text = TokenText::generate(TokenKind::Session, entropy);
        let session =
            Self { hash: text.hash(), user: user.clone(), created_at: now, expires_at: now + SESSION_LIFE };
        (session, text)
    }

    /// Who holds the cookie `text`, given the account that it names.
    pub fn verify(
        &self,
        text: &TokenText,
        user: &User,
        now: Timestamp,
    ) -> Result<Principal, InvalidCredential> {
        check(text, TokenKind::Session, &self.hash)?;
        alive(self.expires_at, now)?;
        if user.name != self.user {
            return Err(InvalidCredential);
        }
        Ok(user.principal())
    }

    /// The session, kept for longer, if it is time to write it down (half of its life is over).
    pub fn renewed(&self, now: Timestamp) -> Option<Self> {
        let due = self.expires_at.since(now) < SESSION_LIFE / 2;
        due.then(|| Self { expires_at: now + SESSION_LIFE, ..self.clone() })
    }
}

/// What a page's forms carry so that no other site can send them: hangs on the session's cookie, and does not tell it.
pub fn csrf_token(session: &TokenText) -> String {
    let mut h = Sha256::new();
    h.update(b"windlass form\0");
    h.update(session.expose().as_bytes());
    hex::encode(h.finalize())
}

impl JobToken {
    /// A new token for a job: the document to keep, and the text that goes to the job.
    pub fn issue(
        project: &ProjectName,
        run: RunId,
        job: JobId,
        usage: JobUse,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> (Self, TokenText) {
        let text = TokenText::generate(TokenKind::Job, entropy);
        let expires_at = now + JOB_TOKEN_LIFE;
        (Self { hash: text.hash(), project: project.clone(), run, job, expires_at, usage }, text)
    }

    /// The job that holds `text`.
    pub fn verify(&self, text: &TokenText, now: Timestamp) -> Result<Principal, InvalidCredential> {
        check(text, TokenKind::Job, &self.hash)?;
        alive(self.expires_at, now)?;
        Ok(Principal::job_for(&self.project, self.run, self.job, self.usage))
    }
}

impl RunnerToken {
    /// A new token for a runner.
    pub fn issue(runner: &str, now: Timestamp, entropy: &dyn Entropy) -> (Self, TokenText) {
        let text = TokenText::generate(TokenKind::Runner, entropy);
        (Self { hash: text.hash(), runner: runner.to_owned(), created_at: now }, text)
    }

    /// The runner that holds `text`.
    pub fn verify(&self, text: &TokenText) -> Result<Principal, InvalidCredential> {
        check(text, TokenKind::Runner, &self.hash)?;
        Ok(Principal::runner(&self.runner))
    }
}

impl SetupLink {
    /// A new link; it replaces the one before.
    pub fn issue(now: Timestamp, entropy: &dyn Entropy) -> (Self, TokenText) {
        let text = TokenText::generate(TokenKind::Setup, entropy);
        (Self { hash: text.hash(), expires_at: now + SETUP_LINK_LIFE }, text)
    }

    /// Whether `text` is the link's token. The caller removes the link in the batch that makes the administrator.
    pub fn verify(&self, text: &TokenText, now: Timestamp) -> Result<(), InvalidCredential> {
        check(text, TokenKind::Setup, &self.hash)?;
        alive(self.expires_at, now)
    }
}

macro_rules! documents {
    ($($name:ident $kind:literal $id:expr, $parent:expr;)*) => {$(
        impl Document for $name {
            const KIND: &'static str = $kind;
            fn id(&self) -> String {
                let id: fn(&Self) -> String = $id;
                id(self)
            }
            fn parent(&self) -> String {
                let parent: fn(&Self) -> String = $parent;
                parent(self)
            }
        }
    )*};
}

documents! {
    Token "token" |t| t.hash.clone(), |t| t.user.to_string();
    Session "session" |s| s.hash.clone(), |s| s.user.to_string();
    JobToken "job_token" |t| t.hash.clone(), |t| t.run.to_string();
    RunnerToken "runner_token" |t| t.hash.clone(), |t| t.runner.clone();
    SetupLink "setup_link" |_| "setup".to_owned(), |_| String::new();
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use windlass_kernel::{Ids, OsEntropy, Secret, SystemClock, UserId};

    use super::*;
    use crate::Role;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn ids() -> Ids {
        Ids::new(Arc::new(SystemClock), Arc::new(OsEntropy))
    }

    fn user(name: &str) -> User {
        let password = Secret::new("a long password".to_owned());
        User::new(UserId::new(&ids()), name.parse().unwrap(), Role::Member, &password, NOW, &OsEntropy)
            .unwrap()
    }

    #[test]
    fn a_token_opens_its_own_account_only() {
        let (ada, bob) = (user("ada"), user("bob"));
        let (token, text) = Token::issue(TokenId::new(&ids()), &ada.name, "laptop", NOW, &OsEntropy);
        let (_, other) = Token::issue(TokenId::new(&ids()), &ada.name, "other", NOW, &OsEntropy);
        assert_eq!(token.verify(&text, &ada).unwrap(), ada.principal());
        assert_eq!(token.verify(&text, &bob), Err(InvalidCredential));
        assert_eq!(token.verify(&other, &ada), Err(InvalidCredential));
        assert!(!serde_json::to_string(&token).unwrap().contains(&text.expose()[3..]));
        assert_eq!((token.id(), token.parent()), (text.hash(), "ada".into()));
    }

    #[test]
    fn a_session_ends_and_is_renewed_halfway() {
        let ada = user("ada");
        let (session, text) = Session::begin(&ada.name, NOW, &OsEntropy);
        let second = Duration::from_secs(1);
        assert!(session.verify(&text, &ada, NOW + SESSION_LIFE - second).is_ok());
        assert!(session.verify(&text, &ada, NOW + SESSION_LIFE).is_err());
        assert!(session.renewed(NOW + second).is_none());
        let later = NOW + SESSION_LIFE / 2 + second;
        assert_eq!(session.renewed(later).unwrap().expires_at, later + SESSION_LIFE);
        assert_eq!(csrf_token(&text), csrf_token(&text));
        assert_ne!(csrf_token(&text), csrf_token(&Session::begin(&ada.name, NOW, &OsEntropy).1));
    }

    #[test]
    fn a_job_token_stands_for_one_job_and_ends() {
        let (run, job) = (RunId::new(&ids()), JobId::new(&ids()));
        let project = "shop".parse().unwrap();
        let (token, text) = JobToken::issue(&project, run, job, JobUse::Unit, NOW, &OsEntropy);
        assert_eq!(token.verify(&text, NOW).unwrap(), Principal::job(&project, run, job));
        assert!(token.verify(&text, NOW + JOB_TOKEN_LIFE).is_err());
    }

    #[test]
    fn a_text_of_one_kind_never_opens_another() {
        let ada = user("ada");
        let (_, text) = Session::begin(&ada.name, NOW, &OsEntropy);
        // Even were the hash written into the wrong document.
        let token = Token {
            token: TokenId::new(&ids()),
            hash: text.hash(),
            user: ada.name.clone(),
            label: String::new(),
            created_at: NOW,
        };
        assert!(token.verify(&text, &ada).is_err());
        let (link, setup) = SetupLink::issue(NOW, &OsEntropy);
        assert!(link.verify(&setup, NOW).is_ok());
        assert!(link.verify(&text, NOW).is_err());
        assert!(link.verify(&setup, NOW + SETUP_LINK_LIFE).is_err());
        let (runner, runner_text) = RunnerToken::issue("local", NOW, &OsEntropy);
        assert_eq!(runner.verify(&runner_text).unwrap(), Principal::runner("local"));
        assert!(runner.verify(&setup).is_err());
    }
}
