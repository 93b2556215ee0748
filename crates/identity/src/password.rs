//! Passwords: the rule, and argon2id (RFC 9106) hashes in PHC string form.

use std::fmt;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _, phc};
use serde::{Deserialize, Serialize};
use windlass_kernel::{Entropy, Secret};

/// The shortest password, in characters.
pub const MIN_PASSWORD_CHARS: usize = 10;
/// The longest, in bytes: hashing is work that whoever is not logged in yet can ask for.
const MAX_PASSWORD_BYTES: usize = 1024;
const SALT_BYTES: usize = 16;

/// Why a password does not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too short.
    #[error("the password has {0} characters; at least {MIN_PASSWORD_CHARS} are needed")]
    Short(usize),
    /// Too long.
    #[error("the password is longer than {MAX_PASSWORD_BYTES} bytes")]
    Long,
    /// The hash could not be computed (no memory).
    #[error("the password could not be hashed: {0}")]
    Hash(String),
}

/// A password's hash. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Hashes a password that satisfies the rule. Takes some tens of milliseconds and 19 MiB: not on an async thread.
    pub fn new(password: &Secret<String>, entropy: &dyn Entropy) -> Result<Self, PasswordError> {
        let text = password.expose();
        let chars = text.chars().count();
        if chars < MIN_PASSWORD_CHARS {
            return Err(PasswordError::Short(chars));
        }
        if text.len() > MAX_PASSWORD_BYTES {
            return Err(PasswordError::Long);
        }
        Self::compute(text.as_bytes(), entropy)
    }

    fn compute(password: &[u8], entropy: &dyn Entropy) -> Result<Self, PasswordError> {
        let mut salt = [0u8; SALT_BYTES];
        entropy.fill(&mut salt);
        let hash: phc::PasswordHash = Argon2::default()
            .hash_password_with_salt(password, &salt)
            .map_err(|e| PasswordError::Hash(e.to_string()))?;
        Ok(Self(hash.to_string()))
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(***)")
    }
}

/// A hash that nothing matches, so that a name without an account costs as much time as one with.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Whether `password` is the one that was hashed; `None` for an account that does not exist, which takes as long.
pub fn verify_password(hash: Option<&PasswordHash>, password: &Secret<String>) -> bool {
    if password.expose().len() > MAX_PASSWORD_BYTES {
        return false;
    }
    let text = hash.map_or(NOBODY, |h| h.0.as_str());
    let matches = Argon2::default().verify_password(password.expose().as_bytes(), text).is_ok();
    matches && hash.is_some()
}

#[cfg(test)]
mod tests {
    use windlass_kernel::OsEntropy;

    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn the_rule() {
        for (text, ok) in [
            ("", false),
            ("ninechars", false),
            ("ten chars!", true),
            ("zehn Zeichn", true),
            ("éééééééééé", true),
        ] {
            assert_eq!(PasswordHash::new(&secret(text), &OsEntropy).is_ok(), ok, "{text}");
        }
        assert_eq!(PasswordHash::new(&secret(&"x".repeat(1025)), &OsEntropy), Err(PasswordError::Long));
    }

    #[test]
    fn only_the_password_verifies() {
        let hash = PasswordHash::new(&secret("correct horse"), &OsEntropy).unwrap();
        assert!(hash.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.0);
        assert!(verify_password(Some(&hash), &secret("correct horse")));
        assert!(!verify_password(Some(&hash), &secret("correct horsf")));
        assert!(!verify_password(Some(&hash), &secret("")));
        assert!(!verify_password(None, &secret("correct horse")));
        assert!(!verify_password(Some(&PasswordHash("broken".into())), &secret("broken")));
        assert_ne!(hash, PasswordHash::new(&secret("correct horse"), &OsEntropy).unwrap(), "salted");
        assert!(!format!("{hash:?}").contains("argon2"));
    }

    #[test]
    fn the_hash_for_nobody_is_well_formed() {
        // Otherwise it would be refused at once, and the time would tell which names exist.
        assert!(phc::PasswordHash::new(NOBODY).is_ok());
    }
}
