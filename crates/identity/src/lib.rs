//! Who may do what: principals, accounts, tokens and the one function that decides, [`authorize`].
//!
//! Everything here is a pure function over documents, a clock's `now` and `kernel::Entropy`. Looking documents up and
//! writing them is the server's. No other crate decides a permission.

mod account;
mod authorize;
mod credential;
mod password;
mod principal;
mod token;

pub use account::{Role, User, UserError};
pub use authorize::{Action, Denied, Resource, authorize};
pub use credential::{
    INVALID_CREDENTIAL, InvalidCredential, JOB_TOKEN_LIFE, JobToken, RunnerToken, SESSION_LIFE,
    SETUP_LINK_LIFE, Session, SetupLink, Token, csrf_token,
};
pub use password::{MIN_PASSWORD_CHARS, PasswordError, PasswordHash, verify_password};
pub use principal::{Principal, Scope};
pub use token::{TokenKind, TokenText, TokenTextError, constant_time_eq};
