//! Actions' repositories on the runner's disk: packed, by commit, with the commit that each ref meant when it was last
//! asked for.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Wanted;
use crate::folder::private;

/// The largest repository that is kept, packed.
pub(super) const LARGEST: u64 = 1 << 30;

/// What is kept of one repository.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    folder: PathBuf,
}

/// The commits that refs meant.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Refs(BTreeMap<String, String>);

impl Kept {
    /// Of a repository at an address, below `root`.
    pub(super) fn at(root: &Path, address: &str, wanted: &Wanted<'_>) -> Self {
        // Two servers may have a repository of one name each.
        let host: String =
            address.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect();
        let names = format!("{}/{}", wanted.owner.to_lowercase(), wanted.repo.to_lowercase());
        Self { folder: root.join(host).join(names) }
    }

    /// The archive of a commit.
    pub(super) fn archive(&self, commit: &str) -> PathBuf {
        self.folder.join(format!("{commit}.tar.zst"))
    }

    /// Takes an archive in.
    pub(super) fn store(&self, commit: &str, archive: &Path) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        if archive.metadata()?.len() > LARGEST {
            return Ok(());
        }
        let draft = self.folder.join(format!("{commit}.{}.draft", std::process::id()));
        std::fs::copy(archive, &draft)?;
        std::fs::rename(&draft, self.archive(commit))
    }

    /// The commit that a ref meant when it was last asked for.
    pub(super) fn meant(&self, git_ref: &str) -> Option<String> {
        self.refs().0.remove(git_ref)
    }

    /// Remembers what a ref means.
    pub(super) fn remember(&self, git_ref: &str, commit: &str) -> io::Result<()> {
        let mut refs = self.refs();
        if refs.0.get(git_ref).is_some_and(|known| known == commit) {
            return Ok(());
        }
        refs.0.insert(git_ref.to_owned(), commit.to_owned());
        std::fs::create_dir_all(&self.folder)?;
        let draft = self.folder.join(format!("refs.{}.draft", std::process::id()));
        serde_json::to_writer(private(&draft)?, &refs).map_err(io::Error::other)?;
        std::fs::rename(&draft, self.folder.join("refs.json"))
    }

    fn refs(&self) -> Refs {
        let bytes = std::fs::read(self.folder.join("refs.json")).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }
}

/// Packs a folder as one named `leaf`.
pub(super) fn pack(folder: &Path, leaf: &str, archive: &Path) -> io::Result<()> {
    let zstd = zstd::Encoder::new(private(archive)?, 1)?;
    let mut tar = tar::Builder::new(zstd);
    tar.follow_symlinks(false);
    tar.append_dir_all(leaf, folder)?;
    let file: File = tar.into_inner()?.finish()?;
    // Whoever the job runs as reads it; nobody else can reach the folder above.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.set_permissions(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refs_are_remembered_and_archives_kept() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = Wanted { owner: "A", repo: "b", git_ref: "v1" };
        let kept = Kept::at(&dir.path().join("kept"), "http://h:1/x", &wanted);
        assert_eq!(kept.meant("v1"), None);
        kept.remember("v1", "one").unwrap();
        kept.remember("v2", "two").unwrap();
        kept.remember("v1", "three").unwrap();
        assert_eq!(kept.meant("v1").as_deref(), Some("three"));
        assert_eq!(kept.meant("v2").as_deref(), Some("two"));
        std::fs::create_dir(dir.path().join("files")).unwrap();
        std::fs::write(dir.path().join("files/action.yml"), "x").unwrap();
        let archive = dir.path().join("a.tar.zst");
        pack(&dir.path().join("files"), "one", &archive).unwrap();
        kept.store("one", &archive).unwrap();
        assert!(kept.archive("one").ends_with("http___h_1_x/a/b/one.tar.zst"));
        assert!(kept.archive("one").is_file());
    }
}
