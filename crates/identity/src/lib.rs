//! Who may do what: principals, accounts, tokens and the one function that decides, [`authorize`].
//!
//! Everything here is a pure function over documents, a clock's `now` and `kernel::Entropy`. Looking documents up and
//! writing them is the server's. No other crate decides a permission.

mod account;
mod authorize;
mod credential;
mod job_use;
mod oidc;
mod password;
mod principal;
mod runtime_token;
mod signed;
mod token;

pub use account::{Role, User, UserError};
pub use authorize::{Action, Denied, Resource, authorize};
pub use credential::{
    INVALID_CREDENTIAL, InvalidCredential, JOB_TOKEN_LIFE, JobToken, RunnerToken, SESSION_LIFE,
    SETUP_LINK_LIFE, Session, SetupLink, Token, csrf_token,
};
pub use job_use::{Grant, JobUse, Permissions};
pub use oidc::{ID_TOKEN_LIFE, IdClaims, SIGNING_KEY_LIFE, SIGNING_KEY_SHOWN, SigningKey, SigningKeyError};
pub use password::{MIN_PASSWORD_CHARS, PasswordError, PasswordHash, verify_password};
pub use principal::{Principal, Scope};
pub use runtime_token::{is_runtime_token, runtime_token_hash};
pub use signed::AddressKey;
pub use token::{TokenKind, TokenText, TokenTextError, constant_time_eq};
