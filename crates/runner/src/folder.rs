//! The folder of one job on the runner's disk: `DATA/runner/jobs/JOB/`.

mod memory;

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use windlass_api::runner::Assignment;

pub(crate) use memory::sweep as sweep_memory;

/// A job's folder. Only its owner may look into it.
#[derive(Clone, Debug)]
pub(crate) struct JobFolder {
    path: PathBuf,
}

/// How the names of folders begin whose unit was started before its job was known.
pub(crate) const WAITING: &str = "waiting-";

/// One hand-out of a job to this runner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HandOut {
    /// The job's id.
    pub(crate) job: String,
    /// The number of the hand-out: an earlier one may not have ended yet.
    pub(crate) attempt: Option<u32>,
}

impl JobFolder {
    /// The folder at `path`, which need not be there yet.
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the job is: holds secrets.
    pub(crate) fn assignment(&self) -> PathBuf {
        self.path.join("assignment.json")
    }

    /// Locked by the unit as long as it lives.
    pub(crate) fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// Written when all was reported: the folder may go.
    pub(crate) fn done(&self) -> PathBuf {
        self.path.join("done")
    }

    /// The spool of the job's log.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// What the unit itself has to say.
    pub(crate) fn unit_log(&self) -> PathBuf {
        self.path.join("unit.log")
    }

    /// What the job sees and writes.
    pub(crate) fn work(&self) -> PathBuf {
        self.path.join("work")
    }

    /// What is handed to the job: it reads, the unit writes.
    pub(crate) fn inbox(&self) -> PathBuf {
        self.path.join("inbox")
    }

    /// What the job hands out, once it is with the unit.
    pub(crate) fn outbox(&self) -> PathBuf {
        self.path.join("outbox")
    }

    /// The sandbox's own.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.path.join("scratch")
    }

    /// Makes the folder.
    pub(crate) fn create(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)
    }

    /// Writes which hand-out the folder is for. It need not survive the machine's own death: then the unit is dead as
    /// well, and control hands the job out again.
    pub(crate) fn hand(&self, assignment: &Assignment) -> io::Result<()> {
        let hand_out = HandOut { job: assignment.job.clone(), attempt: Some(assignment.attempt) };
        self.put("hand_out", &serde_json::to_vec(&hand_out).map_err(io::Error::other)?)
    }

    /// The same, with what the job is, for a unit that is not there yet to be told.
    pub(crate) fn assign(&self, assignment: &Assignment) -> io::Result<()> {
        self.hand(assignment)?;
        self.put("assignment", &serde_json::to_vec(assignment).map_err(io::Error::other)?)
    }

    /// A file that is there whole or not at all.
    fn put(&self, name: &str, json: &[u8]) -> io::Result<()> {
        let draft = self.path.join(format!("{name}.draft"));
        private(&draft)?.write_all(json)?;
        std::fs::rename(&draft, self.path.join(format!("{name}.json")))
    }

    /// Which hand-out the folder is for: what was written into it, or else what its name says. None: it is that of a unit
    /// that waits for one.
    pub(crate) fn hand_out(&self) -> Option<HandOut> {
        let written = std::fs::read(self.path.join("hand_out.json")).ok();
        if let Some(known) = written.and_then(|json| serde_json::from_slice(&json).ok()) {
            return Some(known);
        }
        let name = self.path.file_name()?.to_str()?;
        if name.starts_with(WAITING) {
            return None;
        }
        let numbered = name.rsplit_once('-').and_then(|(job, attempt)| Some((job, attempt.parse().ok()?)));
        Some(match numbered {
            Some((job, attempt)) => HandOut { job: job.to_owned(), attempt: Some(attempt) },
            None => HandOut { job: name.to_owned(), attempt: None },
        })
    }

    /// Reads what the job is.
    pub(crate) fn load(&self) -> io::Result<Assignment> {
        serde_json::from_slice(&std::fs::read(self.assignment())?).map_err(io::Error::other)
    }

    /// What the unit is told beside the assignment.
    pub(crate) fn settings<T: serde::de::DeserializeOwned>(&self) -> io::Result<Option<T>> {
        match std::fs::read(self.path.join("unit.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Writes what the unit is told beside the assignment.
    pub(crate) fn write_settings<T: serde::Serialize>(&self, settings: &T) -> io::Result<()> {
        let json = serde_json::to_vec(settings).map_err(io::Error::other)?;
        private(&self.path.join("unit.json"))?.write_all(&json)
    }

    /// Takes the lock, if nobody holds it. It is held as long as any copy of the file is open, in whatever process.
    pub(crate) fn lock_now(&self) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).mode(0o600).open(self.lock())?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }

    /// The lock for a unit: handed to it as its standard input, or taken now. None: another unit has it.
    pub(crate) fn hold(&self) -> io::Result<Option<File>> {
        let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let given = input.metadata()?;
        if let Ok(lock) = std::fs::metadata(self.lock())
            && (given.dev(), given.ino()) == (lock.dev(), lock.ino())
        {
            return Ok(Some(input));
        }
        self.lock_now()
    }

    /// Whether a unit holds the lock.
    pub(crate) fn is_held(&self) -> bool {
        self.lock().exists() && matches!(self.lock_now(), Ok(None))
    }

    /// Removes what a reported job does not need any more: secrets first.
    pub(crate) fn clear(&self) {
        let _ = std::fs::remove_file(self.assignment());
        let _ = self.remove_small();
        for folder in [self.work(), self.inbox(), self.outbox()] {
            if std::fs::remove_dir_all(&folder).is_err() {
                open_up(&folder);
                let _ = std::fs::remove_dir_all(&folder);
            }
        }
    }

    /// Marks the job as reported to its end. Should the mark be lost with the machine, control knows better.
    pub(crate) fn mark_done(&self) -> io::Result<()> {
        private(&self.done()).map(drop)
    }

    /// Whether the job was reported to its end.
    pub(crate) fn is_done(&self) -> bool {
        self.done().exists()
    }

    /// Deletes the folder. The job may have taken its own right to look into some folders: it is given back.
    pub(crate) fn remove(&self) -> io::Result<()> {
        if let Err(e) = self.remove_small() {
            tracing::warn!(folder = %self.path.display(), error = %e, "a job's folder in memory stays");
        }
        match std::fs::remove_dir_all(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                open_up(&self.path);
                std::fs::remove_dir_all(&self.path)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

/// A new file that only its owner may read.
pub(crate) fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)
}

fn open_up(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let _ = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700));
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        // The kind of the entry itself: links are not followed.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}
