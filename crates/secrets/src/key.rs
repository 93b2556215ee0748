//! The key-encryption key: the one secret that everything else hangs on. It comes from a file that only its owner may
//! read, or from the environment; it is never in the database.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::{fmt, io};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use windlass_kernel::{Digest, Entropy};
use zeroize::{Zeroize as _, Zeroizing};

/// The key that wraps data keys (256 bits).
pub struct KeyEncryptionKey(Zeroizing<[u8; 32]>);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("the key file {path} cannot be used: {why}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// Others can read the file.
    #[error(
        "the key file {path} can be read by others (mode {mode:03o}): run `chmod 600 {path}`, and consider its secrets known"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file belongs to somebody else.
    #[error("the key file {path} belongs to user {owner}, not to the one that runs Windlass ({me})")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who we are.
        me: u32,
    },
    /// What was given is no key.
    #[error(
        "{origin} does not hold a key: 32 bytes in base64 are expected (`head -c 32 /dev/urandom | base64` makes one)"
    )]
    Malformed {
        /// Where it came from.
        origin: String,
    },
}

impl KeyEncryptionKey {
    /// From the text of `WINDLASS_KEY`: 32 bytes in base64.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        Self::decode(text, || "WINDLASS_KEY".into())
    }

    /// From a file, which is made, with a new key and mode 0600, if there is none.
    pub fn from_file(path: &Path, entropy: &dyn Entropy) -> Result<Self, KeyError> {
        let failed = |e: io::Error| KeyError::Io { path: path.to_owned(), why: e.to_string() };
        match Self::read(path) {
            Err(KeyError::Io { .. }) if !path.exists() => {}
            other => return other,
        }
        create(path, entropy).map_err(failed)?;
        Self::read(path)
    }

    fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |e: io::Error| KeyError::Io { path: path.to_owned(), why: e.to_string() };
        let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_CLOEXEC;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        let me = nix::unistd::geteuid().as_raw();
        if meta.uid() != me {
            return Err(KeyError::Foreign { path: path.to_owned(), owner: meta.uid(), me });
        }
        if meta.mode() & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode: meta.mode() & 0o777 });
        }
        let mut text = Zeroizing::new(String::new());
        file.take(1024).read_to_string(&mut text).map_err(failed)?;
        Self::decode(&text, || format!("the key file {}", path.display()))
    }

    fn decode(text: &str, origin: impl Fn() -> String) -> Result<Self, KeyError> {
        let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new);
        match bytes.as_ref().map(|b| <[u8; 32]>::try_from(b.as_slice())) {
            Ok(Ok(key)) => Ok(Self(Zeroizing::new(key))),
            _ => Err(KeyError::Malformed { origin: origin() }),
        }
    }

    /// Names the key without telling it: part of a digest of it.
    pub fn id(&self) -> String {
        let mut labelled = b"windlass key id\0".to_vec();
        labelled.extend_from_slice(&*self.0);
        let id = Digest::sha256(&labelled).hex()[..16].to_owned();
        labelled.zeroize();
        id
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for KeyEncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyEncryptionKey({})", self.id())
    }
}

/// Writes the key aside, makes it durable, and only then gives it its name, which fails if somebody else was first:
/// the name never stands for half a key.
fn create(path: &Path, entropy: &dyn Entropy) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut key = Zeroizing::new([0u8; 32]);
    entropy.fill(&mut *key);
    let mut tag = [0u8; 8];
    entropy.fill(&mut tag);
    let aside = path.with_extension(format!("{:016x}.new", u64::from_be_bytes(tag)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    let text = Zeroizing::new(STANDARD.encode(*key));
    let written =
        file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).and_then(|()| file.sync_all());
    let named = written.and_then(|()| match std::fs::hard_link(&aside, path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    std::fs::remove_file(&aside)?;
    named?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use windlass_kernel::OsEntropy;

    use super::*;

    #[test]
    fn a_key_file_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/secrets.key");
        let one = KeyEncryptionKey::from_file(&path, &OsEntropy).unwrap();
        let two = KeyEncryptionKey::from_file(&path, &OsEntropy).unwrap();
        assert_eq!(one.bytes(), two.bytes());
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left aside");
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_cure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        KeyEncryptionKey::from_file(&path, &OsEntropy).unwrap();
        for mode in [0o640, 0o604, 0o660] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = KeyEncryptionKey::from_file(&path, &OsEntropy).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn a_link_or_a_broken_file_is_no_key_and_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real");
        KeyEncryptionKey::from_file(&real, &OsEntropy).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(matches!(KeyEncryptionKey::from_file(&link, &OsEntropy), Err(KeyError::Io { .. })));

        for content in ["", "short", "!!!!"] {
            std::fs::write(&real, content).unwrap();
            assert!(matches!(
                KeyEncryptionKey::from_file(&real, &OsEntropy),
                Err(KeyError::Malformed { .. })
            ));
            assert_eq!(std::fs::read_to_string(&real).unwrap(), content);
        }
    }

    #[test]
    fn a_key_from_the_environment() {
        let text = STANDARD.encode([7u8; 32]);
        let key = KeyEncryptionKey::from_text(&text).unwrap();
        assert_eq!(key.bytes(), &[7; 32]);
        assert!(!format!("{key:?}").contains(&text[..8]));
        assert!(KeyEncryptionKey::from_text("AAAA").unwrap_err().to_string().contains("WINDLASS_KEY"));
    }
}
