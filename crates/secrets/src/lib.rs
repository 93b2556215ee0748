//! Secrets: sealed at rest, resolved by scope, and masked out of every log. The only place where plaintext appears.
//!
//! [`Vault`] seals and opens values (envelope encryption); [`SecretRecord`] and [`Setting`] are the documents that the
//! store keeps; [`Masker`] takes known values, and the forms in which they may show, out of a stream of bytes.
//! There is no database and no network here: the server reads and writes the documents.

mod key;
mod masker;
mod name;
mod record;
mod vault;

pub use key::{KeyEncryptionKey, KeyError};
pub use masker::Masker;
pub use name::{SettingName, SettingNameError};
pub use record::{SecretRecord, Setting, resolve_settings, setting_id};
pub use vault::{MAX_SECRET_BYTES, Sealing, Vault, VaultError};
