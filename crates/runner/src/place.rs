//! Where a job runs: its sandbox, its folders as the job sees them, and programs run there under supervision.

mod supervise;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use windlass_runtime::{Exec, Sandbox};

use crate::beneath::Beneath;
use crate::folder::{JobFolder, private};
use crate::tool::{MARK, Report, Request};

pub(crate) use supervise::{Ended, Interruption, Patience, Run};

/// The job's folders, as the job sees them.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// `GITHUB_WORKSPACE`.
    pub(crate) workspace: PathBuf,
    /// `RUNNER_WORKSPACE`: the folder above it.
    pub(crate) above: PathBuf,
    /// `RUNNER_TEMP`.
    pub(crate) temp: PathBuf,
    /// `RUNNER_TOOL_CACHE`.
    pub(crate) tool_cache: PathBuf,
    /// What the unit hands in; read-only inside.
    pub(crate) inbox: PathBuf,
    /// The event, as JSON.
    pub(crate) event: PathBuf,
    /// Where the environment files of steps lie.
    pub(crate) commands: PathBuf,
    /// Where the scripts of steps lie.
    pub(crate) scripts: PathBuf,
}

/// A job's sandbox and what is around it.
pub(crate) struct Place {
    sandbox: Arc<dyn Sandbox>,
    folder: JobFolder,
    /// How the tool is called.
    tool: Vec<String>,
    pub(crate) layout: Layout,
    pub(crate) below: Beneath,
    base: BTreeMap<String, String>,
    /// Whether the job's files are looked at from here: plain processes of this user hide nothing from it.
    plain: bool,
    /// The folder of steps' small files, where that is not below the others.
    small: Option<Beneath>,
}

/// What is different about the places of jobs of this very process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    /// Whether the job's files are looked at from here: for plain processes of the same user only.
    pub(crate) plain: bool,
    /// A folder in memory for the small files of steps: making those on a disk takes longer than starting a shell.
    pub(crate) small: Option<PathBuf>,
    /// The tool cache, where it is not below the job's files.
    pub(crate) tools: Option<PathBuf>,
}

/// Why a program did not do what the unit wanted of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    /// In words for the job's author.
    #[error("{0}")]
    Failed(String),
    /// The step is to end now.
    #[error("the step was interrupted")]
    Interrupted(Interruption),
}

/// The folder of the tool cache, below that of the job's files.
pub(crate) const TOOL_CACHE: &str = "_tool";
/// Where the event's file is, below the temporary folder.
const EVENT: &str = "_github_workflow/event.json";
/// The most that a program may say to the unit itself.
const LONGEST_ANSWER: u64 = 4 << 20;

impl Layout {
    /// The folders below `work`, for a repository of this name.
    fn below(work: &Path, inbox: &Path, repository: &str) -> Self {
        let name = repository.rsplit('/').next().filter(|name| plain(name)).unwrap_or("repository");
        let temp = work.join("_temp");
        Self {
            above: work.join(name),
            workspace: work.join(name).join(name),
            tool_cache: work.join(TOOL_CACHE),
            inbox: inbox.to_owned(),
            event: temp.join(EVENT),
            commands: temp.join("_runner_file_commands"),
            scripts: temp.clone(),
            temp,
        }
    }

    /// The same, with the small files of steps and the event in a folder of their own.
    fn with_small_files_in(self, folder: &Path) -> Self {
        let event = folder.join("event.json");
        Self { event, commands: folder.to_owned(), scripts: folder.to_owned(), ..self }
    }
}

/// Makes what every job finds in its folder, before the job is known.
pub(crate) fn prepare(folder: &JobFolder) -> std::io::Result<()> {
    let layout = Layout::below(&folder.work(), &folder.inbox(), "");
    for path in [&layout.commands, &layout.tool_cache, &layout.temp.join("_github_home")] {
        std::fs::create_dir_all(path)?;
    }
    Ok(())
}

/// Puts a link where the event's file is expected, to where it will be in a folder that the job sees at `small`.
pub(crate) fn link_event(folder: &JobFolder, small: &Path) -> std::io::Result<()> {
    let layout = Layout::below(&folder.work(), &folder.inbox(), "");
    if let Some(parent) = layout.event.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let link = layout.event.clone();
    std::os::unix::fs::symlink(layout.with_small_files_in(small).event, link)
}

fn plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(['.', '_'])
        && name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c))
}

impl Place {
    /// Arranges the folders within a sandbox that has been started.
    pub(crate) fn new(
        sandbox: Arc<dyn Sandbox>,
        folder: JobFolder,
        exe: &Path,
        repository: &str,
        event: &[u8],
        manner: &Manner,
    ) -> std::io::Result<Self> {
        let inside = |host: &Path| sandbox.inside(host).unwrap_or_else(|| host.to_owned());
        let work = inside(&folder.work());
        let mut layout = Layout::below(&work, &inside(&folder.inbox()), repository);
        let mut host = Layout::below(&folder.work(), &folder.inbox(), repository);
        if let Some(small) = &manner.small {
            layout = layout.with_small_files_in(&inside(small));
            host = host.with_small_files_in(small);
        }
        if let Some(tools) = &manner.tools {
            layout.tool_cache = inside(tools);
            host.tool_cache.clone_from(tools);
        }
        for path in [&host.workspace, &host.temp, &host.commands] {
            std::fs::create_dir_all(path)?;
        }
        if !manner.plain {
            std::fs::create_dir_all(&host.tool_cache)?;
            std::fs::create_dir_all(host.temp.join("_github_home"))?;
        }
        if let Some(parent) = host.event.parent() {
            std::fs::create_dir_all(parent)?;
        }
        if manner.small.is_none() {
            // A unit that waited for its job put a link there.
            let _ = std::fs::remove_file(&host.event);
        }
        std::fs::write(&host.event, event)?;
        let below = Beneath::new(&folder.work(), &work)?;
        let small =
            manner.small.as_ref().map(|_| Beneath::new(&host.commands, &layout.commands)).transpose()?;
        let tool = vec![inside(exe).to_string_lossy().into_owned()];
        let mut base = passed_on();
        base.extend(sandbox.environment());
        base.insert("HOME".into(), sandbox.home().to_string_lossy().into_owned());
        Ok(Self { sandbox, folder, tool, layout, below, base, plain: manner.plain, small })
    }

    /// The same folders, with programs run by another sandbox; `tool` is how ours is called there.
    pub(crate) fn through(&self, sandbox: Arc<dyn Sandbox>, tool: Vec<String>) -> Self {
        Self {
            sandbox,
            tool,
            folder: self.folder.clone(),
            layout: self.layout.clone(),
            below: self.below.clone(),
            base: self.base.clone(),
            plain: false,
            small: self.small.clone(),
        }
    }

    /// Where this program is.
    pub(crate) fn program(&self) -> PathBuf {
        self.tool.first().map(PathBuf::from).unwrap_or_default()
    }

    /// The folder of the job's files, on the machine.
    pub(crate) fn work(&self) -> PathBuf {
        self.folder.work()
    }

    /// A folder of the unit's own, which the job does not see.
    pub(crate) fn private_folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What runs its programs.
    pub(crate) fn sandbox(&self) -> Arc<dyn Sandbox> {
        self.sandbox.clone()
    }

    /// Whether the job is plain processes of this user.
    pub(crate) fn is_plain(&self) -> bool {
        self.plain
    }

    /// The variables that every program starts from.
    pub(crate) fn base(&self) -> &BTreeMap<String, String> {
        &self.base
    }

    /// The home folder inside.
    pub(crate) fn home(&self) -> PathBuf {
        self.sandbox.home().to_owned()
    }

    /// Writes a file that the job may read and write, below its temporary folder; gives its path inside.
    pub(crate) fn write(&self, path: &Path, text: &[u8]) -> std::io::Result<()> {
        if let Some(small) = &self.small
            && let Ok(relative) = path.strip_prefix(&self.layout.commands)
        {
            // Its folder is for jobs of this very user only.
            return small.create(relative, text, false);
        }
        let work = self.sandbox.inside(&self.folder.work()).unwrap_or_else(|| self.folder.work());
        let relative = path.strip_prefix(&work).map_err(std::io::Error::other)?;
        self.below.create(relative, text, true)
    }

    /// Opens a regular file that a step was given to write into.
    pub(crate) fn open_small(&self, path: &Path) -> std::io::Result<std::fs::File> {
        self.small.as_ref().unwrap_or(&self.below).open(path)
    }

    /// Reads a text file that a step was given to write into, of at most `limit` bytes.
    pub(crate) fn read_small(&self, path: &Path, limit: u64) -> std::io::Result<String> {
        self.small.as_ref().unwrap_or(&self.below).read_text(path, limit)
    }

    /// A file of the unit's own, for what comes out of the job.
    pub(crate) fn outgoing(&self, name: &str) -> std::io::Result<PathBuf> {
        std::fs::create_dir_all(self.folder.outbox())?;
        Ok(self.folder.outbox().join(name))
    }

    /// A file for the job to read: where the unit writes it, and where the job sees it.
    pub(crate) fn incoming(&self, name: &str) -> (PathBuf, PathBuf) {
        if self.plain {
            // Most jobs need none; what is missing then is told by whoever writes.
            let _ = std::fs::create_dir_all(self.folder.inbox());
        }
        (self.folder.inbox().join(name), self.layout.inbox.join(name))
    }

    /// Runs a program; what it writes goes to `sink` as it comes.
    pub(crate) async fn run(
        &self,
        exec: Exec,
        patience: &Patience,
        sink: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Run, PlaceError> {
        let mark = exec.env.get(MARK).cloned();
        let process =
            self.sandbox.exec(exec.merge_output()).await.map_err(|e| PlaceError::Failed(e.to_string()))?;
        let run = supervise::supervise(process, patience, sink).await;
        if let (Ended::Interrupted(_), Some(mark)) = (&run.ended, mark)
            && let Err(e) = self.tool(&Request::KillMarked(mark), None, &Patience::default()).await
        {
            tracing::warn!(error = %e, "what an interrupted step started may still run until the job ends");
        }
        Ok(run)
    }

    /// Runs a program of the unit's own choice and reads what it says; nothing of it is shown.
    pub(crate) async fn ask(
        &self,
        exec: Exec,
        patience: &Patience,
    ) -> Result<(i32, String, String), PlaceError> {
        let program = exec.argv.first().cloned().unwrap_or_default();
        let process = self.sandbox.exec(exec).await.map_err(|e| PlaceError::Failed(e.to_string()))?;
        let control = process.control.clone();
        let talk = async { tokio::join!(gather(process.stdout), gather(process.stderr)) };
        let (out, err) = tokio::select! {
            talk = talk => talk,
            why = patience.interruption() => {
                let _ = control.signal(windlass_runtime::Signal::KILL).await;
                return Err(PlaceError::Interrupted(why));
            }
        };
        let exit = control.wait().await.map_err(|e| PlaceError::Failed(format!("{program}: {e}")))?;
        Ok((exit.code(), out, err))
    }

    /// Asks the tool; the archive that it makes, if it makes one, goes to the file `out`.
    pub(crate) async fn tool(
        &self,
        request: &Request,
        out: Option<&Path>,
        patience: &Patience,
    ) -> Result<Report, PlaceError> {
        let failed = |e: &dyn std::fmt::Display| PlaceError::Failed(e.to_string());
        if self.plain
            && let Some(answer) = crate::tool::answer_here(request)
        {
            return answer.map_err(PlaceError::Failed);
        }
        let json = serde_json::to_vec(request).map_err(|e| failed(&e))?;
        let exec = Exec::new(self.tool.iter().cloned().chain(["job-tool".to_owned()]))
            .envs(self.base.clone())
            .cwd(&self.layout.workspace)
            .stdin(json);
        let process = self.sandbox.exec(exec).await.map_err(|e| failed(&e))?;
        let control = process.control.clone();
        let talk = async { tokio::join!(pour(process.stdout, out), gather(process.stderr)) };
        let (poured, words) = tokio::select! {
            talk = talk => talk,
            why = patience.interruption() => {
                let _ = control.signal(windlass_runtime::Signal::KILL).await;
                return Err(PlaceError::Interrupted(why));
            }
        };
        let exit = control.wait().await.map_err(|e| failed(&e))?;
        poured.map_err(|e| failed(&format!("cannot keep what the job made: {e}")))?;
        if !exit.success() {
            let words = if words.is_empty() { exit.to_string() } else { words };
            return Err(PlaceError::Failed(words));
        }
        serde_json::from_str(&words).map_err(|e| failed(&format!("the tool's answer is damaged: {e}")))
    }

    /// Ends everything that runs in the sandbox. What it left may still be being removed.
    pub(crate) async fn end(&self) {
        if let Err(e) = self.sandbox.end().await {
            tracing::error!(error = %e, "the sandbox did not end");
        }
    }

    /// The same, and waits until all is removed.
    pub(crate) async fn close(&self) {
        if let Err(e) = self.sandbox.kill().await {
            tracing::error!(error = %e, "the sandbox did not go away");
        }
    }
}

async fn gather(stream: impl AsyncRead + Unpin) -> String {
    let mut bytes = Vec::new();
    let mut stream = stream.take(LONGEST_ANSWER);
    let _ = stream.read_to_end(&mut bytes).await;
    // What is beyond the limit must be read all the same, or the program waits for ever.
    let _ = tokio::io::copy(&mut stream.into_inner(), &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn pour(mut stream: impl AsyncRead + Unpin, out: Option<&Path>) -> std::io::Result<()> {
    let Some(path) = out else {
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        return Ok(());
    };
    let mut file = tokio::fs::File::from_std(private(path)?);
    tokio::io::copy(&mut stream, &mut file).await?;
    file.flush().await
}

/// Variables of the runner's own environment that a job is given, beside those of the sandbox.
fn passed_on() -> BTreeMap<String, String> {
    std::env::vars().filter(|(name, _)| is_passed_on(name)).collect()
}

fn is_passed_on(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "PATH",
        "LANG",
        "LANGUAGE",
        "TZ",
        "RUSTUP_HOME",
        "CARGO_HOME",
        "RUSTUP_DIST_SERVER",
        "RUSTUP_UPDATE_ROOT",
        "PYENV_ROOT",
        "NVM_DIR",
        "GOPATH",
        "GOROOT",
        "GOPROXY",
        "GOSUMDB",
        "JAVA_HOME",
        "DOTNET_ROOT",
        "SDKMAN_DIR",
        "VOLTA_HOME",
        "PNPM_HOME",
        "GEM_HOME",
        "GEM_PATH",
        "MAVEN_HOME",
        "M2_HOME",
        "GRADLE_HOME",
        "ANDROID_HOME",
        "NODE_EXTRA_CA_CERTS",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "GIT_SSL_CAINFO",
    ];
    let upper = name.to_ascii_uppercase();
    NAMES.contains(&name)
        || name.starts_with("LC_")
        || name.ends_with("_CA_BUNDLE")
        || ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "FTP_PROXY"].contains(&upper.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_variables_are_passed_on() {
        for (name, passed) in [
            ("PATH", true),
            ("https_proxy", true),
            ("CURL_CA_BUNDLE", true),
            ("LC_ALL", true),
            ("CARGO_HOME", true),
            ("AWS_SECRET_ACCESS_KEY", false),
            ("SSH_AUTH_SOCK", false),
            ("WINDLASS_TOKEN", false),
            ("CARGO_REGISTRY_TOKEN", false),
            ("HOME", false),
        ] {
            assert_eq!(is_passed_on(name), passed, "{name}");
        }
    }

    #[test]
    fn a_repository_cannot_choose_another_folder() {
        let layout = |name: &str| Layout::below(Path::new("/w"), Path::new("/i"), name).workspace;
        assert_eq!(layout("team/shop"), Path::new("/w/shop/shop"));
        for bad in ["", "a/..", "a/.git", "_temp", "a/_tool", "x/y z"] {
            assert_eq!(layout(bad), Path::new("/w/repository/repository"), "{bad}");
        }
    }
}
