//! Envelope encryption: every value under a data key of its own (XChaCha20-Poly1305), every data key wrapped by the
//! key-encryption key. What is authenticated beside it binds a ciphertext to its project, environment, name and version.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use windlass_kernel::{Actor, Entropy, EnvironmentName, ProjectName, Secret, Timestamp};
use zeroize::Zeroizing;

use crate::record::nearest;
use crate::{KeyEncryptionKey, SecretRecord, SettingName};

/// The largest value, in bytes (as on GitHub).
pub const MAX_SECRET_BYTES: usize = 48 * 1024;
const NONCE_BYTES: usize = 24;

/// Seals and opens secrets.
pub struct Vault {
    key: KeyEncryptionKey,
    entropy: Arc<dyn Entropy>,
}

/// Where a value belongs, and who sets it.
#[derive(Clone, Debug)]
pub struct Sealing {
    /// Whose it is.
    pub project: ProjectName,
    /// The environment that it belongs to; none: the whole project.
    pub environment: Option<EnvironmentName>,
    /// Its name.
    pub name: SettingName,
    /// This version: one more than the one that stands, 1 for a new secret.
    pub version: u64,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Actor,
}

/// Why a secret cannot be sealed or opened. Never holds any of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The value is too large.
    #[error("the value of {name} has {size} bytes; at most {MAX_SECRET_BYTES} fit")]
    TooLarge {
        /// The secret.
        name: String,
        /// Its size in bytes.
        size: usize,
    },
    /// There is no value.
    #[error("the value of {name} is empty: give it a value, or remove the secret")]
    Empty {
        /// The secret.
        name: String,
    },
    /// Another key sealed it.
    #[error(
        "secret {name} was sealed with key {sealed}, but key {ours} is in use: give back the key file (or WINDLASS_KEY), or set the secret again"
    )]
    OtherKey {
        /// The secret.
        name: String,
        /// The key that sealed it.
        sealed: String,
        /// The key in use.
        ours: String,
    },
    /// It was altered, or moved here from another place.
    #[error("secret {name} was altered or belongs elsewhere: set it again")]
    Altered {
        /// The secret.
        name: String,
    },
}

impl Vault {
    /// A vault under `key`.
    pub fn new(key: KeyEncryptionKey, entropy: Arc<dyn Entropy>) -> Self {
        Self { key, entropy }
    }

    /// The key's name, for `windlass doctor` and for the audit trail.
    pub fn key_id(&self) -> String {
        self.key.id()
    }

    /// Encrypts `value`.
    pub fn seal(&self, to: Sealing, value: &Secret<String>) -> Result<SecretRecord, VaultError> {
        let value = value.expose();
        if value.is_empty() {
            return Err(VaultError::Empty { name: to.name.to_string() });
        }
        if value.len() > MAX_SECRET_BYTES {
            return Err(VaultError::TooLarge { name: to.name.to_string(), size: value.len() });
        }
        let mut record = SecretRecord {
            project: to.project,
            name: to.name,
            environment: to.environment,
            version: to.version,
            key_id: self.key.id(),
            wrapped_key: String::new(),
            nonce: String::new(),
            ciphertext: String::new(),
            set_at: to.at,
            set_by: to.by,
        };
        let mut data_key = Zeroizing::new([0u8; 32]);
        self.entropy.fill(&mut *data_key);
        let altered = || VaultError::Altered { name: record.name.to_string() };

        let nonce = self.nonce();
        let sealed =
            encrypt(&data_key, nonce, value.as_bytes(), &bound(&record, "value")).ok_or_else(altered)?;
        let wrap_nonce = self.nonce();
        let wrapped =
            encrypt(self.key.bytes(), wrap_nonce, &*data_key, &bound(&record, "key")).ok_or_else(altered)?;
        record.nonce = STANDARD.encode(nonce);
        record.ciphertext = STANDARD.encode(sealed);
        record.wrapped_key = STANDARD.encode([wrap_nonce.as_slice(), &wrapped].concat());
        Ok(record)
    }

    /// Decrypts a record.
    pub fn open(&self, record: &SecretRecord) -> Result<Secret<String>, VaultError> {
        let ours = self.key.id();
        if record.key_id != ours {
            let (name, sealed) = (record.name.to_string(), record.key_id.clone());
            return Err(VaultError::OtherKey { name, sealed, ours });
        }
        self.decrypt(record).ok_or_else(|| VaultError::Altered { name: record.name.to_string() })
    }

    fn decrypt(&self, record: &SecretRecord) -> Option<Secret<String>> {
        let wrapped = STANDARD.decode(&record.wrapped_key).ok()?;
        let (wrap_nonce, wrapped) = wrapped.split_at_checked(NONCE_BYTES)?;
        let wrap_nonce = <[u8; NONCE_BYTES]>::try_from(wrap_nonce).ok()?;
        let data_key = Zeroizing::new(decrypt(self.key.bytes(), wrap_nonce, wrapped, &bound(record, "key"))?);
        let data_key = Zeroizing::new(<[u8; 32]>::try_from(data_key.as_slice()).ok()?);
        let nonce = <[u8; NONCE_BYTES]>::try_from(STANDARD.decode(&record.nonce).ok()?).ok()?;
        let sealed = STANDARD.decode(&record.ciphertext).ok()?;
        let value = decrypt(&data_key, nonce, &sealed, &bound(record, "value"))?;
        String::from_utf8(value).ok().map(Secret::new)
    }

    /// The secrets that hold in `environment` of `project`, opened: the environment's own before the project's.
    /// Records of other projects and environments are left closed.
    pub fn resolve<'a>(
        &self,
        records: impl IntoIterator<Item = &'a SecretRecord>,
        project: &ProjectName,
        environment: Option<&EnvironmentName>,
    ) -> Result<BTreeMap<SettingName, Secret<String>>, VaultError> {
        let of_scope = records.into_iter().map(|r| (&r.project, r.environment.as_ref(), &r.name, r));
        nearest(of_scope, project, environment)
            .into_iter()
            .map(|(name, record)| Ok((name.clone(), self.open(record)?)))
            .collect()
    }

    fn nonce(&self) -> [u8; NONCE_BYTES] {
        let mut nonce = [0; NONCE_BYTES];
        self.entropy.fill(&mut nonce);
        nonce
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("key", &self.key).finish_non_exhaustive()
    }
}

fn encrypt(key: &[u8; 32], nonce: [u8; NONCE_BYTES], msg: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
    XChaCha20Poly1305::new(&Key::from(*key)).encrypt(&XNonce::from(nonce), Payload { msg, aad }).ok()
}

fn decrypt(key: &[u8; 32], nonce: [u8; NONCE_BYTES], msg: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
    XChaCha20Poly1305::new(&Key::from(*key)).decrypt(&XNonce::from(nonce), Payload { msg, aad }).ok()
}

/// What is authenticated beside the ciphertext, each part behind its length, so that no two places give the same bytes.
fn bound(record: &SecretRecord, what: &str) -> Vec<u8> {
    let version = record.version.to_string();
    let environment = record.environment.as_ref().map_or("", EnvironmentName::as_str);
    let parts = [
        "windlass secret 1",
        what,
        record.project.as_str(),
        environment,
        record.name.as_str(),
        version.as_str(),
    ];
    let mut out = Vec::new();
    for part in parts {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part.as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use windlass_kernel::OsEntropy;

    use super::*;

    fn vault(byte: u8) -> Vault {
        let key = KeyEncryptionKey::from_text(&STANDARD.encode([byte; 32])).unwrap();
        Vault::new(key, Arc::new(OsEntropy))
    }

    fn place(environment: Option<&str>, name: &str) -> Sealing {
        Sealing {
            project: "shop".parse().unwrap(),
            environment: environment.map(|e| e.parse().unwrap()),
            name: name.parse().unwrap(),
            version: 3,
            at: Timestamp::from_millis(5),
            by: Actor::System,
        }
    }

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn what_is_sealed_opens_and_does_not_show() {
        let vault = vault(1);
        let record = vault.seal(place(None, "TOKEN"), &secret("hunter2 é")).unwrap();
        assert_eq!(vault.open(&record).unwrap().expose(), "hunter2 é");
        let json = serde_json::to_string(&record).unwrap();
        assert!(!json.contains("hunter2") && !format!("{record:?}").contains("hunter2"));
        let again = vault.seal(place(None, "TOKEN"), &secret("hunter2 é")).unwrap();
        assert_ne!(record.ciphertext, again.ciphertext);
        assert_ne!(record.wrapped_key, again.wrapped_key);
    }

    #[test]
    fn a_ciphertext_is_bound_to_its_place_and_version() {
        let vault = vault(1);
        let good = vault.seal(place(Some("staging"), "TOKEN"), &secret("v")).unwrap();
        type Change = fn(&mut SecretRecord);
        let changes: [Change; 8] = [
            |r| r.project = "other".parse().unwrap(),
            |r| r.environment = Some("production".parse().unwrap()),
            |r| r.environment = None,
            |r| r.name = "OTHER".parse().unwrap(),
            |r| r.version = 2,
            |r| r.ciphertext = STANDARD.encode(b"nonsense of some length, really"),
            |r| r.nonce = "not base64".into(),
            |r| r.wrapped_key = String::new(),
        ];
        for (i, change) in changes.into_iter().enumerate() {
            let mut record = good.clone();
            change(&mut record);
            assert!(matches!(vault.open(&record), Err(VaultError::Altered { .. })), "change {i}");
        }
    }

    #[test]
    fn another_key_is_named_and_sizes_are_kept() {
        let record = vault(1).seal(place(None, "TOKEN"), &secret("v")).unwrap();
        assert!(matches!(vault(2).open(&record), Err(VaultError::OtherKey { .. })));
        let full = "x".repeat(MAX_SECRET_BYTES);
        assert!(vault(1).seal(place(None, "A"), &secret(&full)).is_ok());
        assert!(matches!(
            vault(1).seal(place(None, "A"), &secret(&(full + "x"))),
            Err(VaultError::TooLarge { .. })
        ));
        assert!(matches!(vault(1).seal(place(None, "A"), &secret("")), Err(VaultError::Empty { .. })));
    }

    #[test]
    fn a_job_gets_its_environments_secrets_only() {
        let vault = vault(1);
        let all = [
            vault.seal(place(None, "A"), &secret("project a")).unwrap(),
            vault.seal(place(Some("production"), "A"), &secret("production a")).unwrap(),
            vault.seal(place(Some("production"), "B"), &secret("production b")).unwrap(),
            vault.seal(place(Some("staging"), "C"), &secret("staging c")).unwrap(),
        ];
        let shop = "shop".parse().unwrap();
        let opened = |environment: Option<&str>| -> Vec<String> {
            let environment = environment.map(|e| e.parse().unwrap());
            let found = vault.resolve(&all, &shop, environment.as_ref()).unwrap();
            found.iter().map(|(n, v)| format!("{n}={}", v.expose())).collect()
        };
        assert_eq!(opened(None), ["A=project a"]);
        assert_eq!(opened(Some("production")), ["A=production a", "B=production b"]);
        assert_eq!(opened(Some("staging")), ["A=project a", "C=staging c"]);
        assert!(vault.resolve(&all, &"other".parse().unwrap(), None).unwrap().is_empty());
    }
}
