//! The repositories' folder: `NAME.git` for each project, and the hooks that all of them share.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use windlass_kernel::{Entropy, OsEntropy, ProjectName, Timestamp};

use crate::objects::Objects;
use crate::{RefName, Sha, SourceError, git, leftover};

/// What the repositories' folder needs to know.
#[derive(Clone, Debug)]
pub struct RepositoriesConfig {
    /// The data directory; repositories live in its `repos`, the hook writes to its `spool`.
    pub data: PathBuf,
    /// The `windlass` binary that the hooks call (`hook pre-receive`, `hook proc-receive`, `hook post-receive`).
    pub program: PathBuf,
    /// Where the pages are, such as `http://127.0.0.1:7700`, to tell whoever pushes where to look.
    pub pages: String,
}

/// All repositories.
#[derive(Clone, Debug)]
pub struct Repositories {
    root: PathBuf,
    config: RepositoriesConfig,
    objects: Objects,
}

/// One repository, on disk.
#[derive(Clone, Debug)]
pub struct Repository {
    path: PathBuf,
    project: ProjectName,
    objects: Objects,
}

/// Objects and refs are on the disk before a push is acknowledged; nothing but our own calls collects garbage; a
/// reflog tells who moved a ref even when no hook came to run.
const CONFIG: &str = "\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\tlogAllRefUpdates = always
\tfsync = committed,derived-metadata
\tfsyncMethod = batch
\tquotePath = false
[http]
\treceivepack = true
\tgetanyfile = false
[receive]
\tfsckObjects = true
\tdenyNonFastForwards = false
\tautogc = false
[transfer]
\tfsckObjects = true
[uploadpack]
\tallowAnySHA1InWant = true
\tallowFilter = true
[gc]
\tauto = 0
[maintenance]
\tauto = false
";

impl Repositories {
    /// Opens (and makes, if need be) the repositories' folder, and writes the hooks anew: the binary may have moved.
    pub fn open(config: RepositoriesConfig) -> Result<Self, SourceError> {
        std::fs::create_dir_all(config.data.join("repos"))?;
        let data = config.data.canonicalize()?;
        let root = data.join("repos");
        let config = RepositoriesConfig { data, ..config };
        let all = Self { root, config, objects: Objects::default() };
        all.install_hooks()?;
        all.sweep()?;
        Ok(all)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn config(&self) -> &RepositoriesConfig {
        &self.config
    }

    pub(crate) fn hooks(&self) -> PathBuf {
        self.root.join(".hooks")
    }

    fn install_hooks(&self) -> io::Result<()> {
        std::fs::create_dir_all(self.hooks())?;
        for name in ["pre-receive", "proc-receive", "post-receive"] {
            // Where the binary is comes from the environment: nothing from outside stands in the script.
            let script =
                format!("#!/bin/sh\nexec \"${{WINDLASS_BIN:?pushes go through Windlass}}\" hook {name}\n");
            let aside = self.hooks().join(format!(".{name}.new"));
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o755)
                .open(&aside)?;
            file.write_all(script.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&aside, self.hooks().join(name))?;
        }
        Ok(())
    }

    /// Removes what an interrupted `create` or `delete` left.
    fn sweep(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.root)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let left_over =
                name.starts_with('.') && [".new", ".gone"].iter().any(|end| name.strip_suffix(end).is_some());
            if left_over {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    fn path(&self, project: &ProjectName) -> PathBuf {
        self.root.join(format!("{project}.git"))
    }

    fn aside(&self, project: &ProjectName, end: &str) -> PathBuf {
        let mut tag = [0u8; 8];
        OsEntropy.fill(&mut tag);
        self.root.join(format!(".{project}.{:016x}{end}", u64::from_be_bytes(tag)))
    }

    /// Makes an empty repository whose default branch is `main`. It appears whole or not at all.
    pub async fn create(&self, project: &ProjectName) -> Result<Repository, SourceError> {
        let path = self.path(project);
        if path.exists() {
            return Err(SourceError::Exists(project.to_string()));
        }
        let aside = self.aside(project, ".new");
        let target = aside.to_string_lossy();
        let args = [
            "init",
            "--quiet",
            "--bare",
            "--object-format=sha1",
            "--initial-branch=main",
            "--template=",
            &target,
        ];
        let mut command = git::command(&self.root, &args);
        command.env_remove("GIT_DIR");
        let output = git::spawn(&mut command)?.wait_with_output().await?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(SourceError::Git { command: "init".into(), why });
        }
        let finish = || -> io::Result<()> {
            std::fs::write(aside.join("config"), CONFIG)?;
            std::fs::File::open(aside.join("config"))?.sync_all()?;
            std::fs::File::open(&aside)?.sync_all()?;
            // Fails if somebody else was faster: a repository is not empty.
            std::fs::rename(&aside, &path)?;
            std::fs::File::open(&self.root)?.sync_all()
        };
        match finish() {
            Ok(()) => Ok(self.handle(path, project)),
            Err(e) => {
                let _ = std::fs::remove_dir_all(&aside);
                if path.exists() { Err(SourceError::Exists(project.to_string())) } else { Err(e.into()) }
            }
        }
    }

    fn handle(&self, path: PathBuf, project: &ProjectName) -> Repository {
        Repository { path, project: project.clone(), objects: self.objects.clone() }
    }

    /// The repository of a project.
    pub fn get(&self, project: &ProjectName) -> Result<Repository, SourceError> {
        let path = self.path(project);
        if path.join("HEAD").is_file() {
            Ok(self.handle(path, project))
        } else {
            Err(SourceError::NoRepository(project.to_string()))
        }
    }

    /// The repository of a project, made if need be.
    pub async fn get_or_create(&self, project: &ProjectName) -> Result<Repository, SourceError> {
        match self.get(project) {
            Err(SourceError::NoRepository(_)) => {}
            other => return other,
        }
        match self.create(project).await {
            Err(SourceError::Exists(_)) => self.get(project),
            other => other,
        }
    }

    /// All repositories, by name.
    pub fn list(&self) -> Result<Vec<Repository>, SourceError> {
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir(&self.root)? {
            let name = entry?.file_name();
            let project = name.to_str().and_then(|n| n.strip_suffix(".git")).map(str::parse::<ProjectName>);
            if let Some(Ok(project)) = project
                && let Ok(repository) = self.get(&project)
            {
                found.insert(project, repository);
            }
        }
        Ok(found.into_values().collect())
    }

    /// Removes what killed git processes left in the repositories, where none works any more: a lock file would refuse
    /// every later push to its branch. Only what is older than `before`, if that is said.
    pub fn clear_leftovers(&self, before: Option<Timestamp>) -> Result<(), SourceError> {
        let repositories = self.list()?;
        let busy = leftover::working_folders();
        for repository in repositories {
            for path in leftover::clear(&repository.path, &busy, before) {
                tracing::warn!(path = %path.display(), "removed what a killed git process left");
            }
        }
        Ok(())
    }

    /// Removes a repository with all it holds. It is gone at once, even if removing its files takes long.
    pub async fn delete(&self, project: &ProjectName) -> Result<(), SourceError> {
        let aside = self.aside(project, ".gone");
        match std::fs::rename(self.path(project), &aside) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(SourceError::NoRepository(project.to_string()));
            }
            other => other?,
        }
        self.objects.close(&self.path(project));
        tokio::fs::remove_dir_all(&aside).await?;
        Ok(())
    }
}

impl Repository {
    /// Whose it is.
    pub fn project(&self) -> &ProjectName {
        &self.project
    }

    /// The repository's folder (bare).
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every ref and what it points to. This is the truth about what was pushed.
    pub async fn ref_map(&self) -> Result<BTreeMap<RefName, Sha>, SourceError> {
        const LIMIT: usize = 64 << 20;
        let args = ["for-each-ref", "--format=%(objectname) %(refname)"];
        let out = git::run(&self.path, &args, LIMIT).await?.complete(LIMIT)?;
        let mut refs = BTreeMap::new();
        for line in String::from_utf8_lossy(&out).lines() {
            let (sha, name) = line.split_once(' ').unwrap_or_default();
            match (name.parse(), sha.parse()) {
                (Ok(name), Ok(sha)) => refs.insert(name, sha),
                _ => {
                    let what = format!("the ref `{line}`");
                    return Err(SourceError::Answer { command: "for-each-ref".into(), what });
                }
            };
        }
        Ok(refs)
    }

    /// The open readers of objects.
    pub(crate) fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The branch that `HEAD` names, whether it exists yet or not.
    pub async fn default_branch(&self) -> Result<RefName, SourceError> {
        // The usual form is read here; all others are git's own business.
        let head = tokio::fs::read_to_string(self.path.join("HEAD")).await?;
        if let Some(Ok(branch)) = head.strip_prefix("ref: ").map(|name| name.trim().parse()) {
            return Ok(branch);
        }
        let out = git::run(&self.path, &["symbolic-ref", "HEAD"], 4096).await?.complete(4096)?;
        let text = String::from_utf8_lossy(&out);
        text.trim().parse().map_err(|_| SourceError::Answer {
            command: "symbolic-ref".into(),
            what: format!("HEAD is `{}`", text.trim()),
        })
    }

    /// Makes `branch` the one that `HEAD` names.
    pub async fn set_default_branch(&self, branch: &RefName) -> Result<(), SourceError> {
        git::run(&self.path, &["symbolic-ref", "HEAD", branch.as_str()], 4096).await?.complete(4096)?;
        Ok(())
    }

    /// Who moved `name` to `new`, as the reflog has it: known even if the hook never ran.
    /// The text is what was given as the pusher's actor when the push began.
    pub async fn pusher_of(&self, name: &RefName, new: &Sha) -> Option<String> {
        const TAIL: usize = 64 * 1024;
        let log = tokio::fs::read(self.path.join("logs").join(name.as_str())).await.ok()?;
        let tail = &log[log.len().saturating_sub(TAIL)..];
        let text = String::from_utf8_lossy(tail);
        let line = text.lines().rev().find(|l| l.get(41..81) == Some(new.as_str()))?;
        let (who, _) = line.get(82..)?.split_once(" <")?;
        Some(who.to_owned())
    }
}
