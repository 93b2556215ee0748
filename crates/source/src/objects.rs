//! Objects of a repository, read through a `git cat-file --batch` that stays open: asking one costs no new process.
//! A reader that nobody asked for a while is closed; one whose answer could not be read to its end is not used again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::Instant;

use crate::read::strange;
use crate::{Sha, SourceError, git};

const DEADLINE: Duration = Duration::from_mins(1);
/// How long a reader waits for its next question.
const IDLE: Duration = Duration::from_secs(20);
/// How many readers of all repositories wait at most.
const MOST_IDLE: usize = 16;

/// What a name led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// Its id.
    pub(crate) sha: Sha,
    /// `commit`, `tree`, `blob` or `tag`.
    pub(crate) kind: String,
    /// Its whole size in bytes.
    pub(crate) size: u64,
    /// Its content, up to the limit asked for.
    pub(crate) bytes: Vec<u8>,
}

/// The open readers of all repositories. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Objects {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    idle: HashMap<PathBuf, Vec<(Instant, Reader)>>,
    /// Whether somebody looks after those that wait too long.
    swept: bool,
}

struct Reader {
    _child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects").finish_non_exhaustive()
    }
}

impl Objects {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What these names lead to in `repository`, with at most `limit` bytes of each; none for a name that leads nowhere.
    /// A name is anything that `git rev-parse` takes, without a line break.
    pub(crate) async fn read(
        &self,
        repository: &Path,
        names: &[String],
        limit: usize,
    ) -> Result<Vec<Option<Object>>, SourceError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let waiting = self.take(repository);
        let used = waiting.is_some();
        let reader = match waiting {
            Some(reader) => reader,
            None => Reader::open(repository)?,
        };
        match self.ask(reader, repository, names, limit).await {
            // It may have died while it waited: that is no fault of the question.
            Err(SourceError::Io(_) | SourceError::Answer { .. }) if used => {
                self.ask(Reader::open(repository)?, repository, names, limit).await
            }
            other => other,
        }
    }

    async fn ask(
        &self,
        mut reader: Reader,
        repository: &Path,
        names: &[String],
        limit: usize,
    ) -> Result<Vec<Option<Object>>, SourceError> {
        let work = async {
            let mut found = Vec::with_capacity(names.len());
            for name in names {
                found.push(reader.ask(name, limit).await?);
            }
            Ok::<_, SourceError>(found)
        };
        let late = |_| SourceError::TimedOut { command: "cat-file".into(), seconds: DEADLINE.as_secs() };
        let found = tokio::time::timeout(DEADLINE, work).await.map_err(late)??;
        self.put(repository, reader);
        Ok(found)
    }

    /// Closes the readers of a repository that goes away.
    pub(crate) fn close(&self, repository: &Path) {
        self.shared().idle.remove(repository);
    }

    fn take(&self, repository: &Path) -> Option<Reader> {
        self.shared().idle.get_mut(repository)?.pop().map(|(_, reader)| reader)
    }

    fn put(&self, repository: &Path, reader: Reader) {
        let mut shared = self.shared();
        if shared.idle.values().map(Vec::len).sum::<usize>() >= MOST_IDLE {
            return;
        }
        shared.idle.entry(repository.to_owned()).or_default().push((Instant::now(), reader));
        if !std::mem::replace(&mut shared.swept, true) {
            let this = self.clone();
            tokio::spawn(async move { this.sweep().await });
        }
    }

    /// Closes what waits too long, until nothing waits.
    async fn sweep(&self) {
        loop {
            tokio::time::sleep(IDLE / 4).await;
            let mut shared = self.shared();
            for readers in shared.idle.values_mut() {
                readers.retain(|(since, _)| since.elapsed() < IDLE);
            }
            shared.idle.retain(|_, readers| !readers.is_empty());
            if shared.idle.is_empty() {
                shared.swept = false;
                return;
            }
        }
    }
}

impl Reader {
    fn open(repository: &Path) -> Result<Self, SourceError> {
        let mut command = git::command(repository, &["cat-file", "--batch"]);
        let mut child = git::spawn(command.stdin(Stdio::piped()).stderr(Stdio::null()))?;
        let (Some(questions), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(strange("cat-file", "no pipes"));
        };
        Ok(Self { _child: child, questions, answers: BufReader::new(stdout) })
    }

    async fn ask(&mut self, name: &str, limit: usize) -> Result<Option<Object>, SourceError> {
        if name.contains('\n') {
            return Err(strange("cat-file", format!("the name {name:?} has a line break")));
        }
        self.questions.write_all(format!("{name}\n").as_bytes()).await?;
        self.questions.flush().await?;
        self.answer(limit).await
    }

    /// `SHA TYPE SIZE`, the content and a line break; or `… missing`.
    async fn answer(&mut self, limit: usize) -> Result<Option<Object>, SourceError> {
        let mut head = String::new();
        if self.answers.read_line(&mut head).await? == 0 {
            return Err(strange("cat-file", "it ended"));
        }
        let head = head.trim_end();
        if head.ends_with(" missing") || head.ends_with(" ambiguous") {
            return Ok(None);
        }
        let words: Vec<&str> = head.split(' ').collect();
        let [sha, kind, size] = words[..] else { return Err(strange("cat-file", head)) };
        let (Ok(size), Ok(sha)) = (size.parse::<u64>(), sha.parse::<Sha>()) else {
            return Err(strange("cat-file", head));
        };
        let mut bytes = Vec::new();
        let kept = size.min(limit as u64);
        if (&mut self.answers).take(kept).read_to_end(&mut bytes).await? as u64 != kept {
            return Err(strange("cat-file", "it ended in the middle of an object"));
        }
        // The rest, and the line break behind it.
        let rest = size - kept + 1;
        let read = tokio::io::copy(&mut (&mut self.answers).take(rest), &mut tokio::io::sink()).await?;
        if read != rest {
            return Err(strange("cat-file", "it ended in the middle of an object"));
        }
        Ok(Some(Object { sha, kind: kind.to_owned(), size, bytes }))
    }
}
