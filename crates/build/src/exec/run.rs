//! `RUN`: a program in a sandbox over the layers; what it writes is the new layer.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use windlass_dockerfile::Step;
use windlass_dockerfile::ast::{NetworkMode, SecurityMode};
use windlass_dockerfile::plan::RunStep;
use windlass_runtime::{Exec, Exit, Level, Output, Sandbox, SandboxSpec};

use super::Session;
use super::mounts::Mounted;
use super::stage::{Left, State};
use super::step::{Failed, TAIL};
use crate::BuildError;
use crate::key::KeyMaker;
use crate::passwd;
use crate::progress::Doing;
use crate::request::Network;
use crate::store::size;
use crate::tree::{Stack, Tree as _, follow, relative};
use crate::writer::Writer;

/// How often the disk is looked at while a step runs.
const LOOK: Duration = Duration::from_millis(250);
/// The longest line that is kept whole.
const LONGEST_LINE: usize = 16 << 10;

/// Where every sandbox attaches something.
const FOLDERS: [&str; 3] = ["/proc", "/sys", "/dev"];
const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

impl Session {
    pub(super) async fn run(
        &self,
        state: &mut State,
        run: &RunStep,
        step: &Step,
        name: &str,
    ) -> Result<Left, BuildError> {
        if run.security == SecurityMode::Insecure {
            let why = "--security=insecure is refused: steps run without power over this machine".to_owned();
            return Err(self.failure(name, step, why.into()));
        }
        let mounts = self.mounts_key(&run.mounts).await;
        let mounts = mounts.map_err(|e| self.failure(name, step, e.into()))?;
        let isolated = self.isolated(run);
        let env = run.env.iter().filter(|(name, _)| !run.uncached.contains(name));
        let env: Vec<String> = env.map(|(name, value)| format!("{name}={value}")).collect();
        let mut key = self.step_key("run").key(state.key).list(run.argv.iter().map(String::as_str));
        key = key.list(env.iter().map(String::as_str)).text(&run.working_dir).text(&run.user).key(mounts);
        if let Some(script) = &run.script {
            key = key.text(&script.name).text(&script.data);
        }
        let key = key.text(if isolated { "no network" } else { "network" }).done();
        let left = match self.known(state, key, name) {
            Some(left) => left,
            None => {
                let below = self.stack(state).await?;
                let work = |doing: Doing| async {
                    let outcome = self.sandboxed(&below, run, isolated, &doing).await;
                    (doing, outcome)
                };
                self.perform(state, key, (name, step), work).await?
            }
        };
        // A program may do something else each time: what follows belongs to this time. A step that was done again, because
        // it was asked for or its layer was removed, is no longer what others were done over.
        let ran = left.created.as_millis().to_string();
        state.key = KeyMaker::new("ran").key(key).text(&ran).done();
        Ok(left)
    }

    fn isolated(&self, run: &RunStep) -> bool {
        match run.network {
            NetworkMode::None => true,
            NetworkMode::Host => false,
            NetworkMode::Default => self.request.network == Network::None,
        }
    }

    async fn sandboxed(
        &self,
        below: &Arc<Stack>,
        run: &RunStep,
        isolated: bool,
        doing: &Doing,
    ) -> Result<PathBuf, Failed> {
        if self.runtime.capabilities().level == Level::Process {
            let why = "RUN needs namespaces, which this machine does not permit (`windlass doctor` says why)";
            return Err(why.to_owned().into());
        }
        let account = passwd::account(&**below, &run.user)?;
        let mounted = self.mount(&run.mounts, run.script.as_ref()).await?;
        let upper = self.store.fresh_folder("upper")?;
        let scratch = self.store.fresh("sandbox");
        let stub = self.store.fresh("stub");
        let (made, over, at) = (stub.clone(), below.clone(), places(&mounted, &run.working_dir));
        let stubs = tokio::task::spawn_blocking(move || make_places(made, over, &at)).await;
        stubs
            .unwrap_or_else(|e| Err(std::io::Error::other(e)))
            .map_err(|e| format!("preparing the step: {e}"))?;
        let mut layers = vec![stub.clone()];
        layers.extend(below.layers().iter().cloned());
        let id = format!("build-{}", scratch.file_name().unwrap_or_default().to_string_lossy());
        let id = format!("{id}-{}", self.store.session_name());
        let mut spec = SandboxSpec::layers(id, &scratch, layers);
        spec.keep = Some(upper.clone());
        spec.limits = self.request.limits.sandbox;
        spec.isolate_network = isolated;
        spec.hostname = "buildkitsandbox".into();
        if (account.uid, account.gid) != (0, 0) {
            spec.user = Some((account.uid, account.gid));
        }
        spec.groups.clone_from(&account.groups);
        let Mounted { binds, laid, memory, env, .. } = &mounted;
        (spec.binds, spec.laid, spec.memory) = (binds.clone(), laid.clone(), memory.clone());
        let sandbox = self.runtime.start(spec).await.map_err(|e| e.to_string())?;
        let mut variables: BTreeMap<String, String> = run.env.iter().cloned().collect();
        variables.entry("HOME".into()).or_insert(account.home);
        variables.extend(env.iter().cloned());
        let exec = Exec::new(run.argv.clone()).envs(variables).cwd(&run.working_dir).merge_output();
        let outcome = self.watched(&sandbox, exec, &upper, doing).await;
        let ended = sandbox.kill().await;
        // What only one step at a time may have is let go now.
        drop(mounted);
        let _ = crate::store::remove_tree(&stub);
        match outcome {
            Ok(()) => ended.map(|()| upper).map_err(|e| e.to_string().into()),
            Err(mut failed) => {
                let _ = crate::store::remove_tree(&upper);
                if let Some(code) = failed.exit {
                    let command = run.argv.join(" ");
                    failed.message = format!(
                        "process \"{command}\" did not complete successfully: {}",
                        said(&failed, code)
                    );
                }
                Err(failed)
            }
        }
    }

    /// Runs the program, while its output and the disk are watched.
    async fn watched(
        &self,
        sandbox: &Arc<dyn Sandbox>,
        exec: Exec,
        upper: &Path,
        doing: &Doing,
    ) -> Result<(), Failed> {
        let process = sandbox.exec(exec).await.map_err(|e| e.to_string())?;
        let mut log = Log { session: self, doing, left: self.request.limits.log_bytes, tail: Vec::new() };
        let mut output = process.stdout;
        let disk = self.disk(upper);
        let exit = async {
            log.read(&mut output).await;
            process.control.wait().await
        };
        let outcome = tokio::select! {
            exit = exit => exit.map_err(|e| e.to_string()),
            full = disk => Err(full),
        };
        let tail = std::mem::take(&mut log.tail);
        match outcome {
            Ok(exit) if exit.success() => Ok(()),
            Ok(exit) => {
                let message = if exit == Exit::OutOfMemory { exit.to_string() } else { String::new() };
                Err(Failed { message, log: tail, exit: Some(exit.code()) })
            }
            Err(message) => Err(Failed { message, log: tail, exit: None }),
        }
    }

    /// Returns only when the disk gets full, or the step wrote more than it may.
    async fn disk(&self, upper: &Path) -> String {
        let free = || {
            nix::sys::statvfs::statvfs(self.store.root())
                .map_or(u64::MAX, |stat| stat.blocks_available().saturating_mul(stat.fragment_size()))
        };
        let limits = &self.request.limits;
        let before = free();
        // A disk that was that full before is not the step's fault: it may use half of what there is.
        let reserve = limits.reserve_bytes.min(before / 2);
        let mut looked_at = before;
        loop {
            tokio::time::sleep(LOOK).await;
            let now = free();
            if now < reserve {
                return format!("the disk is nearly full ({} MiB are left): the step was ended", now >> 20);
            }
            // Counting takes time: it is done when so much more was written that it may matter.
            if looked_at.saturating_sub(now) > limits.layer_bytes / 8 {
                looked_at = now;
                let folder = upper.to_owned();
                let written = tokio::task::spawn_blocking(move || size(&folder)).await.unwrap_or(0);
                if written > limits.layer_bytes {
                    return format!(
                        "the step wrote more than {} MiB, and was ended",
                        limits.layer_bytes >> 20
                    );
                }
            }
        }
    }
}

fn said(failed: &Failed, code: i32) -> String {
    if failed.message.is_empty() { format!("exit code: {code}") } else { failed.message.clone() }
}

/// What a program writes, line by line.
struct Log<'a> {
    session: &'a Session,
    doing: &'a Doing,
    left: u64,
    tail: Vec<String>,
}

impl Log<'_> {
    async fn read(&mut self, output: &mut Output) {
        let mut line = Vec::new();
        let mut buffer = vec![0; 32 << 10];
        loop {
            let n = match output.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(n) => n,
            };
            for piece in buffer[..n].split_inclusive(|byte| *byte == b'\n') {
                line.extend_from_slice(piece);
                if piece.ends_with(b"\n") || line.len() >= LONGEST_LINE {
                    self.line(&line);
                    line.clear();
                }
            }
        }
        if !line.is_empty() {
            self.line(&line);
        }
    }

    fn line(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        // A carriage return draws over what was there: the last is what was meant to stay.
        let text = text.trim_end_matches(['\n', '\r']);
        let text = text.rsplit('\r').next().unwrap_or_default();
        let text = self.session.reporter.secrets().mask(text);
        if self.tail.len() >= TAIL {
            self.tail.remove(0);
        }
        self.tail.push(text.clone());
        if self.left == 0 {
            return;
        }
        self.left = self.left.saturating_sub(bytes.len() as u64);
        if self.left == 0 {
            let most = self.session.request.limits.log_bytes;
            self.doing.line(format!("[output clipped, log limit {} KiB reached]", most >> 10));
            return;
        }
        self.doing.line(text);
    }
}

/// Where something is attached: folders first, then files.
fn places(mounted: &Mounted, working_dir: &str) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(PathBuf::from).collect();
    // A base may name a working directory that it does not have.
    folders.push(working_dir.into());
    folders.extend(mounted.folders.clone());
    let mut files: Vec<PathBuf> = FILES.iter().map(PathBuf::from).collect();
    files.extend(mounted.files.clone());
    (folders, files)
}

/// A layer with nothing but places to attach to, where the image has none: so they do not get into the new layer.
fn make_places(
    folder: PathBuf,
    below: Arc<Stack>,
    (folders, files): &(Vec<PathBuf>, Vec<PathBuf>),
) -> std::io::Result<()> {
    let mut writer = Writer::new(folder, below)?;
    for path in folders {
        let real = follow(&writer, &relative(path))?;
        if writer.node(&real)?.is_none() {
            writer.folders(&real, 0o755, (0, 0))?;
        }
    }
    for path in files {
        let real = follow(&writer, &relative(path))?;
        if writer.node(&real)?.is_some() {
            continue;
        }
        if let Some(parent) = real.parent() {
            writer.folders(parent, 0o755, (0, 0))?;
        }
        let node =
            crate::tree::Node { kind: crate::tree::Kind::File, mode: 0o644, ..crate::tree::Node::folder() };
        writer.file(&real, &node, &[], &mut |_| Ok(()))?;
    }
    let root = writer.done()?;
    // An empty layer that is the only one must still be a folder.
    fs::metadata(root).map(drop)
}
