//! Running the `git` program: always with an argument vector, a clean environment, a deadline, and a limit on what it
//! may say. The configuration of the machine and of its users has no say.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use crate::SourceError;

const DEADLINE: Duration = Duration::from_mins(1);
/// More than any message that helps.
const STDERR_LIMIT: u64 = 8 * 1024;

/// The environment in which every `git` runs. `repository` is the one folder that it may trust.
pub(crate) fn environment(repository: &Path, config: &[(&str, String)]) -> Vec<(OsString, OsString)> {
    let mut all: Vec<(OsString, OsString)> = [
        ("HOME", "/nonexistent"),
        ("LC_ALL", "C.UTF-8"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_ATTR_NOSYSTEM", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_LITERAL_PATHSPECS", "1"),
        ("GIT_NO_REPLACE_OBJECTS", "1"),
    ]
    .into_iter()
    .map(|(k, v)| (k.into(), v.into()))
    .collect();
    all.push((
        "PATH".into(),
        std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()),
    ));
    let trusted = ("safe.directory", repository.to_string_lossy().into_owned());
    let settings = std::iter::once(&trusted).chain(config);
    let mut count = 0;
    for (key, value) in settings {
        all.push((format!("GIT_CONFIG_KEY_{count}").into(), (*key).into()));
        all.push((format!("GIT_CONFIG_VALUE_{count}").into(), value.into()));
        count += 1;
    }
    all.push(("GIT_CONFIG_COUNT".into(), count.to_string().into()));
    all
}

/// A command that reads `repository`.
pub(crate) fn command(repository: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .env_clear()
        .envs(environment(repository, &[]))
        .env("GIT_DIR", repository)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .current_dir(repository)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// What a command said.
pub(crate) struct Output {
    /// Its standard output; cut at the limit.
    pub(crate) stdout: Vec<u8>,
    /// Whether it was cut.
    pub(crate) truncated: bool,
    /// Its exit code; `None` if it was stopped or killed.
    pub(crate) code: Option<i32>,
    stderr: String,
    name: String,
}

impl Output {
    /// The output of a command that must succeed and be complete.
    pub(crate) fn complete(self, limit: usize) -> Result<Vec<u8>, SourceError> {
        if self.truncated {
            return Err(SourceError::TooLarge { command: self.name, limit });
        }
        self.cut()
    }

    /// The output of a command that must succeed, unless it was stopped because it had said enough.
    pub(crate) fn cut(self) -> Result<Vec<u8>, SourceError> {
        if self.truncated || self.code == Some(0) {
            return Ok(self.stdout);
        }
        Err(self.failure())
    }

    /// The failure of a command that did not succeed.
    pub(crate) fn failure(self) -> SourceError {
        let why = match self.stderr.trim() {
            "" => format!("exit code {}", self.code.map_or("unknown".into(), |c| c.to_string())),
            text => text.to_owned(),
        };
        SourceError::Git { command: self.name, why }
    }
}

/// Runs `git` with `args` in `repository`, and keeps at most `limit` bytes of what it says.
pub(crate) async fn run(repository: &Path, args: &[&str], limit: usize) -> Result<Output, SourceError> {
    let name = args.first().copied().unwrap_or_default();
    let mut child = spawn(&mut command(repository, args))?;
    let work = async {
        let mut stdout = Vec::new();
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (truncated, stderr) = tokio::join!(read_up_to(out, limit, &mut stdout), read_stderr(err));
        if truncated? {
            child.start_kill()?;
        }
        let code = child.wait().await?.code();
        Ok::<_, SourceError>((stdout, stderr, code))
    };
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(done) => {
            let (mut stdout, stderr, code) = done?;
            let truncated = stdout.len() > limit;
            stdout.truncate(limit);
            Ok(Output { stdout, truncated, code, stderr, name: name.into() })
        }
        Err(_) => Err(SourceError::TimedOut { command: name.into(), seconds: DEADLINE.as_secs() }),
    }
}

/// Starts a command; says so plainly if there is no `git`.
pub(crate) fn spawn(command: &mut Command) -> Result<Child, SourceError> {
    command.spawn().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => SourceError::NoGit,
        _ => SourceError::Io(e),
    })
}

/// Reads up to `limit` bytes and one more, which tells that there would have been more. Dropping the pipe then ends the
/// writer.
async fn read_up_to<R: AsyncRead + Unpin>(
    pipe: Option<R>,
    limit: usize,
    into: &mut Vec<u8>,
) -> Result<bool, SourceError> {
    if let Some(pipe) = pipe {
        pipe.take(limit as u64 + 1).read_to_end(into).await?;
    }
    Ok(into.len() > limit)
}

/// Reads all of standard error, so that the writer never blocks, and keeps its beginning.
pub(crate) async fn read_stderr<R: AsyncRead + Unpin>(pipe: Option<R>) -> String {
    let mut kept = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = (&mut pipe).take(STDERR_LIMIT).read_to_end(&mut kept).await;
        let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
    String::from_utf8_lossy(&kept).into_owned()
}
