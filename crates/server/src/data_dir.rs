//! The one folder that holds everything Windlass keeps, and who may own it.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

/// The data directory's layout. Every path of Windlass' own state is built here.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

/// Holds the data directory for one supervisor; released by the kernel when the process ends, however it ends.
#[derive(Debug)]
pub struct Owner {
    _lock: Flock<File>,
}

/// Where the platform answers: written by the supervisor, read by the command line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    /// The pages, the API, Git and the registry, such as `http://127.0.0.1:7700`.
    pub url: String,
    /// The services, such as `http://127.0.0.1:7780`.
    pub gateway_url: String,
    /// The supervisor's process id.
    pub pid: u32,
}

impl DataDir {
    /// The directory at `path`, made (mode 0700) if it is not there.
    pub fn open(path: &Path) -> Result<Self> {
        let make = |p: &Path| std::fs::DirBuilder::new().recursive(true).mode(0o700).create(p);
        make(path).with_context(|| format!("cannot make the data directory {}", path.display()))?;
        let root = path.canonicalize().with_context(|| format!("cannot open {}", path.display()))?;
        let dir = Self(root);
        for name in [
            "db",
            "repos",
            "blobs",
            "logs/jobs",
            "logs/services",
            "runner/jobs",
            "instances",
            "layers",
            "volumes",
            "run",
            "keys",
            "metrics",
            "spool/receive",
            "gateway",
            "scratch",
        ] {
            let path = dir.0.join(name);
            make(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        Ok(dir)
    }

    /// The default place: `$WINDLASS_DATA`, else `/var/lib/windlass` for root, else the user's data folder.
    pub fn default_path() -> PathBuf {
        if let Some(path) = std::env::var_os("WINDLASS_DATA") {
            return path.into();
        }
        if nix::unistd::geteuid().is_root() {
            return "/var/lib/windlass".into();
        }
        let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into()));
        std::env::var_os("XDG_DATA_HOME")
            .map_or_else(|| home.join(".local/share"), PathBuf::from)
            .join("windlass")
    }

    /// Takes the directory for this process, or says who has it.
    pub fn own(&self) -> Result<Owner> {
        let path = self.run("lock");
        let file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(&path)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                lock.set_len(0)?;
                write!(&mut *lock, "{}", std::process::id())?;
                Ok(Owner { _lock: lock })
            }
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid)?;
                bail!(
                    "the data directory {} is in use by another Windlass (process {pid}); \
                     stop that one with `windlass down --data {}`, or give this one another directory with --data",
                    self.0.display(),
                    self.0.display()
                )
            }
            Err((_, e)) => Err(e).with_context(|| format!("cannot lock {}", path.display())),
        }
    }

    /// Whether a supervisor owns the directory now.
    pub fn owned(&self) -> bool {
        let Ok(file) = OpenOptions::new().read(true).write(true).open(self.run("lock")) else { return false };
        matches!(Flock::lock(file, FlockArg::LockExclusiveNonblock), Err((_, nix::errno::Errno::EWOULDBLOCK)))
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// A path below the directory.
    pub fn path(&self, below: &str) -> PathBuf {
        self.0.join(below)
    }

    /// A file of the running platform: pid files, sockets, tokens.
    pub fn run(&self, name: &str) -> PathBuf {
        self.0.join("run").join(name)
    }

    /// Where the platform answers, if one has been started here.
    pub fn endpoint(&self) -> Result<Endpoint> {
        let path = self.run("endpoint.json");
        let text = std::fs::read(&path).with_context(|| {
            format!(
                "no Windlass runs on {} (start one with `windlass up --data {}`)",
                self.0.display(),
                self.0.display()
            )
        })?;
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Notes where the platform answers.
    pub fn set_endpoint(&self, endpoint: &Endpoint) -> Result<()> {
        write_private(&self.run("endpoint.json"), &serde_json::to_vec_pretty(endpoint)?)
    }

    /// The token with which the owner of the directory acts as `admin`, if the platform has started once.
    pub fn local_token(&self) -> Result<String> {
        let path = self.run("local.token");
        let token = std::fs::read_to_string(&path).with_context(|| {
            format!("cannot read {} (has `windlass up` run, and as this user?)", path.display())
        })?;
        Ok(token.trim().to_owned())
    }
}

/// Writes a file that only its owner may read, so that it is there whole or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    // A name of its own: two processes may write two files of one stem (`runner.pid`, `runner.token`) at a time.
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(format!(".{}.new", std::process::id()));
    let fresh = PathBuf::from(fresh);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&fresh)
        .with_context(|| format!("cannot write {}", fresh.display()))?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_told_who_has_the_directory() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(&temp.path().join("data")).unwrap();
        assert!(!dir.owned());
        let owner = dir.own().unwrap();
        assert!(dir.owned());
        let refused = dir.own().unwrap_err().to_string();
        assert!(
            refused.contains(&std::process::id().to_string()) && refused.contains("windlass down"),
            "{refused}"
        );
        drop(owner);
        dir.own().unwrap();
    }

    #[test]
    fn private_files_of_one_stem_do_not_get_in_each_others_way() {
        let temp = tempfile::tempdir().unwrap();
        let (token, pid) = (temp.path().join("runner.token"), temp.path().join("runner.pid"));
        std::thread::scope(|scope| {
            for (path, text) in [(&token, "secret"), (&pid, "42")] {
                scope.spawn(move || (0..200).for_each(|_| write_private(path, text.as_bytes()).unwrap()));
            }
        });
        assert_eq!(std::fs::read_to_string(&token).unwrap(), "secret");
        assert_eq!(std::fs::read_to_string(&pid).unwrap(), "42");
        assert_eq!(token.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
