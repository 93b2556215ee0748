//! Images built of a job's Dockerfiles, in the job's unit: each step in a sandbox of its own, without a daemon.
//!
//! The context is packed inside the job's sandbox first: what is read outside of it then belongs to the unit, whatever
//! links the job makes meanwhile. What a build keeps for the next is kept by project and ref, as tool caches are.

use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, PoisonError};

use windlass_build::{
    BuildRequest, Builder, BuilderConfig, Context, DockerfileSource, Outcome, Plain, Store,
};
use windlass_kernel::{OsEntropy, Secret, SystemClock};
use windlass_oci::Login;

use super::{ActionError, ActionRun, failed};
use crate::job::Job;
use crate::kept::{Toolbox, used};
use crate::log::Log;
use crate::place::PlaceError;
use crate::tool::Request;

/// How much a project's ref keeps of what its builds did, in bytes.
const KEPT: u64 = 20 << 30;
/// The largest Dockerfile outside of its context, in bytes.
const LARGEST: u64 = 1 << 20;

/// Builds what `request` says, of a context and a Dockerfile in the workspace; `file` none: the context's own.
pub(super) async fn build(
    run: &ActionRun<'_>,
    mut request: BuildRequest,
    context: &str,
    file: Option<&str>,
) -> Result<Outcome, ActionError> {
    let folder = run.in_workspace(if context.is_empty() { "." } else { context })?;
    request.dockerfile = dockerfile(run, &folder, file)?;
    let name = format!("context-{}.tar", run.job.next_serial());
    let tar = run.job.place.outgoing(&name);
    let tar = tar.map_err(|e| failed(format!("the build's context cannot be kept: {e}")))?;
    let packed = run.tool(Request::Context(folder), Some(&tar)).await?;
    for note in &packed.notes {
        run.voice.say(&format!("##[warning]{note}"));
    }
    run.voice.debug(&format!("the context: {} files, {} bytes", packed.files, packed.bytes));
    request.context = Context::Tar(tar.clone());
    request.limits.sandbox = windlass_runtime::Limits {
        processes: run.job.limits.processes.or(request.limits.sandbox.processes),
        ..run.job.limits
    };
    request.logins = run.job.logins();
    // A job says which repositories are fetched: whoever the runner is would open those that the job may not see.
    request.as_user = false;
    let built = in_time(run, request).await;
    let _ = std::fs::remove_file(&tar);
    built
}

async fn in_time(run: &ActionRun<'_>, request: BuildRequest) -> Result<Outcome, ActionError> {
    let refused = |e: windlass_build::BuildError| failed(run.voice.log.masked(&e.to_string()));
    let store = run.job.build_store();
    std::fs::create_dir_all(&store).map_err(|e| failed(format!("the build's store cannot be made: {e}")))?;
    let config = BuilderConfig { store, exe: run.job.exe.clone() };
    let builder = Builder::open(config, Arc::new(SystemClock), Arc::new(OsEntropy)).await.map_err(refused)?;
    let log: Log = run.voice.log.clone();
    let _ = used(builder.store().root(), run.job.now());
    let progress = Arc::new(Plain::new(move |line: &str| log.say(line)));
    let built = tokio::select! {
        built = builder.build(request, progress) => built.map_err(refused),
        why = run.patience.interruption() => Err(PlaceError::Interrupted(why)),
    };
    let _ = tokio::task::spawn_blocking(move || builder.store().evict(KEPT)).await;
    built
}

/// Where the Dockerfile is: in the context, or beside it in the workspace.
fn dockerfile(
    run: &ActionRun<'_>,
    context: &Path,
    file: Option<&str>,
) -> Result<DockerfileSource, ActionError> {
    let Some(file) = file else { return Ok(DockerfileSource::InContext("Dockerfile".to_owned())) };
    let path = run.in_workspace(file)?;
    if let Ok(within) = path.strip_prefix(context) {
        return Ok(DockerfileSource::InContext(within.to_string_lossy().into_owned()));
    }
    let text = run.job.place.below.read_text(&path, LARGEST);
    let text = text.map_err(|e| failed(format!("the Dockerfile `{file}` cannot be read: {e}")))?;
    Ok(DockerfileSource::Text(text))
}

impl Job {
    /// What the job's builds keep.
    fn build_store(&self) -> PathBuf {
        match (&self.builds, &self.assignment.tools) {
            (Some(root), Some(scope)) => Toolbox::folder(root, &self.assignment.project, scope),
            // A run with others' trust leaves nothing to it.
            (Some(_), None) => self.place.private_folder("builds"),
            (None, _) if self.local.is_some() => Store::usual(),
            (None, _) => self.place.private_folder("builds"),
        }
    }

    /// The registries that the job is known to: those that it logged in to, and this server's own.
    fn logins(&self) -> Vec<Login> {
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let own = &self.assignment.registry;
        if self.local.is_none() && !logins.iter().any(|login| login.host == *own) {
            let (user, password) = ("windlass".to_owned(), self.assignment.token.clone());
            logins.push(Login { host: own.clone(), user, password });
        }
        logins
    }

    /// Remembers a login for the builds that follow; the last one of a registry counts.
    pub(super) fn remember_login(&self, host: &str, user: &str, password: &str) {
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        logins.retain(|login| login.host != host);
        let (host, user, password) = (host.to_owned(), user.to_owned(), Secret::new(password.to_owned()));
        logins.push(Login { host, user, password });
    }

    /// Forgets a login.
    pub(super) fn forget_login(&self, host: &str) {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner).retain(|login| login.host != host);
    }
}

/// `NAME=VALUE` lines; a name alone takes its value from the step's environment.
pub(super) fn pairs(run: &ActionRun<'_>, input: &str) -> Result<Vec<(String, String)>, ActionError> {
    let pair = |line: String| match line.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        Some(_) => Err(failed(format!("`{input}`: `{line}` has no name"))),
        None => Ok((line.clone(), run.env.get(&line).cloned().unwrap_or_default())),
    };
    run.lines(input).into_iter().map(pair).collect()
}

/// Secrets as builds take them: `id=value` entries, which quotation marks hold together over lines; `id=NAME` of
/// variables; `id=path` of files.
pub(super) fn secrets(run: &ActionRun<'_>) -> Result<Vec<(String, Vec<u8>)>, ActionError> {
    let split = |input: &str, entry: &str| {
        let pair = entry.split_once('=').filter(|(id, _)| !id.trim().is_empty());
        let pair = pair.map(|(id, value)| (id.trim().to_owned(), value.to_owned()));
        pair.ok_or_else(|| failed(format!("`{input}`: an entry is not id=…")))
    };
    let mut found = Vec::new();
    for entry in quoted(run.input("secrets")) {
        let (id, value) = split("secrets", &entry)?;
        run.voice.log.mask(&value);
        found.push((id, value.into_bytes()));
    }
    for entry in run.lines("secret-envs") {
        let (id, name) = split("secret-envs", &entry)?;
        let value = run.env.get(&name);
        let value = value.ok_or_else(|| failed(format!("`secret-envs`: there is no variable `{name}`")))?;
        found.push((id, value.clone().into_bytes()));
    }
    for entry in run.lines("secret-files") {
        let (id, path) = split("secret-files", &entry)?;
        let path = path.strip_prefix("src=").unwrap_or(&path).to_owned();
        let text = run.job.place.below.read_text(&run.in_workspace(&path)?, LARGEST);
        let text = text.map_err(|e| failed(format!("`secret-files`: `{path}` cannot be read: {e}")))?;
        found.push((id, text.into_bytes()));
    }
    if !run.input("github-token").is_empty() {
        found.push(("GIT_AUTH_TOKEN".to_owned(), run.input("github-token").as_bytes().to_vec()));
    }
    Ok(found)
}

/// Entries, one a line; one that begins with a quotation mark goes on to the next, and `""` in it stands for one.
fn quoted(text: &str) -> Vec<String> {
    let mut entries = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (entry, after) = match rest.strip_prefix('"') {
            Some(within) => {
                let doubled = within.replace("\"\"", "\0\0");
                let end = doubled.find('"').unwrap_or(within.len());
                (within[..end].replace("\"\"", "\""), within.get(end + 1..).unwrap_or_default())
            }
            None => {
                let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
                (line.trim().to_owned(), after)
            }
        };
        entries.push(entry);
        rest = after.trim_start_matches([',', '\r']).trim_start();
    }
    entries
}

/// Puts a file that the unit made where the job wants it, with the job's own hands.
pub(super) async fn hand_over(run: &ActionRun<'_>, made: &Path, to: &str) -> Result<(), ActionError> {
    let to = run.in_workspace(to)?;
    let (from, name) = (made.to_owned(), made.file_name().unwrap_or_default().to_string_lossy().into_owned());
    let (host, inside) = run.job.place.incoming(&name);
    let moved = std::fs::rename(&from, &host).or_else(|_| std::fs::copy(&from, &host).map(drop));
    moved.map_err(|e| failed(format!("the image cannot be handed over: {e}")))?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    if let Some(folder) = to.parent().filter(|folder| folder.components().any(|c| c != Component::RootDir)) {
        run.must(&["mkdir", "-p", "--", &text(folder)], &run.workspace()).await?;
    }
    let copied = run.must(&["cp", "--", &text(&inside), &text(&to)], &run.workspace()).await;
    let _ = std::fs::remove_file(&host);
    copied
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn quotation_marks_hold_lines_together() {
        for (text, wanted) in [
            ("", &[][..]),
            ("a=1\nb=2", &["a=1", "b=2"]),
            ("\"a=one\ntwo\"\nb=2", &["a=one\ntwo", "b=2"]),
            ("\"a=say \"\"x\"\" é\"\nb=ü", &["a=say \"x\" é", "b=ü"]),
            ("\"open", &["open"]),
        ] {
            assert_eq!(quoted(text), wanted, "{text}");
        }
    }
}
