//! The role `windlass runner`: asks control for work, starts a detached unit for each job, and says which units died.

mod spare;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use windlass_api::runner::{Assignment, LeaseRequest, Lost};
use windlass_api::{Client, ClientError};
use windlass_kernel::{Secret, SystemClock};
use windlass_runtime::{Capabilities, ControlGroups, Limits, Linux, Runtime as _, RuntimeConfig};

use crate::action::ActionSources;
use crate::backoff::Backoff;
use crate::control::encode;
use crate::docker::Docker;
use crate::folder::{HandOut, JobFolder, private, sweep_memory};
use crate::job::Hooks;
use crate::kept::{BUILDS, TOOLS, evict};
use crate::layered::ContainerSettings;
use crate::unit::UnitSettings;

/// What a runner on a Linux machine serves, if nothing else was said.
pub const DEFAULT_LABELS: [&str; 6] =
    ["self-hosted", "linux", "x64", "ubuntu-latest", "ubuntu-24.04", "ubuntu-22.04"];

/// [`DEFAULT_LABELS`], with this machine's processor.
fn default_labels() -> Vec<String> {
    let processor = |label: &str| match (label, std::env::consts::ARCH) {
        ("x64", "aarch64") => "arm64".to_owned(),
        _ => label.to_owned(),
    };
    DEFAULT_LABELS.iter().map(|label| processor(label)).collect()
}

/// How long a request for work is held open, in seconds.
const WAIT_SECONDS: u32 = 25;
/// How often what is kept between jobs is looked through.
const EVICTION: Duration = Duration::from_hours(6);
/// How often a unit that another dispatcher started is looked after.
const LOOK: Duration = Duration::from_millis(500);

/// What the dispatcher needs to know.
#[derive(Clone, Debug)]
pub struct RunnerConfig {
    /// Where control answers, such as `http://127.0.0.1:7700`.
    pub server_url: String,
    /// The file with the runner's token; read again for every try, so that it may be renewed.
    pub token_file: PathBuf,
    /// The runner's name.
    pub name: String,
    /// The labels that it serves; [`DEFAULT_LABELS`] if empty.
    pub labels: Vec<String>,
    /// How many jobs run at a time.
    pub slots: usize,
    /// The data directory: jobs lie in `runner/jobs` below it, and never see it.
    pub data_dir: PathBuf,
    /// The binary that is executed again as `job DIR`.
    pub exe: PathBuf,
    /// What a job may use at most.
    pub limits: Limits,
    /// The largest log of a job, in bytes.
    pub log_limit: u64,
    /// When cancelled, no more work is asked for; units that run go on.
    pub shutdown: CancellationToken,
}

/// Why the dispatcher cannot work.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// A folder cannot be used.
    #[error("the runner cannot use `{}`: {source}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Runs the role until it is told to stop. Units that run then go on, and are found again at the next start.
pub async fn run(config: RunnerConfig) -> Result<(), RunnerError> {
    let jobs = config.data_dir.join("runner/jobs");
    std::fs::create_dir_all(&jobs).map_err(|source| RunnerError::Folder { path: jobs.clone(), source })?;
    let slots = Arc::new(Semaphore::new(config.slots.max(1)));
    let capabilities = capabilities(&config).await;
    let spare = spare::Place::default();
    let dispatcher = Arc::new(Dispatcher { config, jobs, slots, capabilities, spare });
    dispatcher.adopt()?;
    sweep_memory();
    let evicting = tokio::spawn(evict_now_and_then(dispatcher.config.data_dir.clone()));
    dispatcher.sweep_engine();
    dispatcher.keep_spare();
    dispatcher.ask_for_work().await;
    dispatcher.dismiss_spare();
    evicting.abort();
    Ok(())
}

/// Keeps what is kept between jobs within its bounds.
async fn evict_now_and_then(data_dir: PathBuf) {
    loop {
        let root = data_dir.clone();
        let _ = tokio::task::spawn_blocking(move || evict(&root, &SystemClock)).await;
        tokio::time::sleep(EVICTION).await;
    }
}

/// What the machine permits, found out once for all units. None: each finds out by itself, and says what is wrong.
async fn capabilities(config: &RunnerConfig) -> Option<Capabilities> {
    let tried = match RuntimeConfig::new(&config.exe, config.data_dir.join("runner/probe")) {
        Ok(runtime) => Linux::open(runtime).await,
        Err(e) => Err(e),
    };
    match tried {
        Ok(linux) => Some(linux.capabilities().clone()),
        Err(e) => {
            tracing::warn!(error = %e, "no sandbox can be started; each job will try again");
            None
        }
    }
}

struct Dispatcher {
    config: RunnerConfig,
    jobs: PathBuf,
    slots: Arc<Semaphore>,
    capabilities: Option<Capabilities>,
    spare: spare::Place,
}

impl Dispatcher {
    fn client(&self) -> Client {
        let token = std::fs::read_to_string(&self.config.token_file).unwrap_or_default();
        let token = Some(token.trim().to_owned()).filter(|token| !token.is_empty()).map(Secret::new);
        Client::new(&self.config.server_url, token)
    }

    /// Looks after the units that an earlier dispatcher started: the living keep their slot, the dead are reported.
    fn adopt(self: &Arc<Self>) -> Result<(), RunnerError> {
        let entries = std::fs::read_dir(&self.jobs)
            .map_err(|source| RunnerError::Folder { path: self.jobs.clone(), source })?;
        for entry in entries.flatten() {
            let folder = JobFolder::at(&entry.path());
            let Some(hand_out) = folder.hand_out() else {
                spare::forget(folder);
                continue;
            };
            let permit = self.slots.clone().try_acquire_owned().ok();
            let this = self.clone();
            tokio::spawn(async move {
                while folder.is_held() {
                    tokio::time::sleep(LOOK).await;
                }
                drop(permit);
                this.settle(&hand_out, &folder).await;
            });
        }
        Ok(())
    }

    async fn ask_for_work(self: &Arc<Self>) {
        let mut backoff = Backoff::default();
        loop {
            let permit = tokio::select! {
                permit = self.slots.clone().acquire_owned() => permit,
                () = self.config.shutdown.cancelled() => return,
            };
            let Ok(permit) = permit else { return };
            let answer = tokio::select! {
                answer = self.lease() => answer,
                () = self.config.shutdown.cancelled() => return,
            };
            match answer {
                Ok(None) => backoff.reset(),
                Ok(Some(assignment)) => {
                    backoff.reset();
                    self.start(assignment, permit);
                }
                Err(e) => {
                    let why = format!("asking for work: {e}");
                    tokio::select! {
                        () = backoff.wait(&why) => {}
                        () = self.config.shutdown.cancelled() => return,
                    }
                }
            }
        }
    }

    async fn lease(&self) -> Result<Option<Assignment>, ClientError> {
        let labels =
            if self.config.labels.is_empty() { default_labels() } else { self.config.labels.clone() };
        let request = LeaseRequest { runner: self.config.name.clone(), labels, wait_seconds: WAIT_SECONDS };
        let client = self.client();
        let call = client.post("/api/v1/runner/lease", &request);
        match tokio::time::timeout(Duration::from_secs(u64::from(WAIT_SECONDS) + 20), call).await {
            Ok(answer) => answer,
            Err(_) => Ok(None),
        }
    }

    fn start(self: &Arc<Self>, assignment: Assignment, permit: tokio::sync::OwnedSemaphorePermit) {
        let job = assignment.job.clone();
        if !plain(&job) {
            tracing::error!(job, "control handed out a job with an impossible id");
            return;
        }
        let hand_out = HandOut { job: job.clone(), attempt: Some(assignment.attempt) };
        tracing::info!(job, name = assignment.name, attempt = assignment.attempt, "starting a job");
        let this = self.clone();
        tokio::spawn(async move {
            let (folder, child) = match this.hand_to_spare(&assignment).await {
                Some((folder, child)) => (folder, Ok(child)),
                None => {
                    let folder = JobFolder::at(&this.jobs.join(format!("{job}-{}", assignment.attempt)));
                    let child = this.spawn(&folder, &assignment);
                    (folder, child)
                }
            };
            this.keep_spare();
            match child {
                Ok(mut child) => {
                    let _ = child.wait().await;
                    drop(permit);
                    this.settle(&hand_out, &folder).await;
                }
                Err(e) => {
                    tracing::error!(job, error = %e, "the job's unit did not start");
                    drop(permit);
                    this.report_lost(&hand_out, &format!("the job's process could not be started: {e}"))
                        .await;
                }
            }
        });
    }

    fn spawn(&self, folder: &JobFolder, assignment: &Assignment) -> io::Result<tokio::process::Child> {
        if folder.is_held() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the same hand-out of the job runs here already",
            ));
        }
        // What is left of an attempt to start it.
        folder.remove()?;
        folder.create()?;
        folder.assign(assignment)?;
        folder.write_settings(&self.unit_settings(false))?;
        // The lock travels as the unit's standard input: it is held from before the unit's first breath to its last.
        let lock = folder.lock_now()?.ok_or_else(|| io::Error::other("the job's folder is locked"))?;
        let log: File = private(&folder.unit_log())?;
        tokio::process::Command::new(&self.config.exe)
            .arg("job")
            .arg(folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::from(lock))
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .kill_on_drop(false)
            .spawn()
    }

    fn unit_settings(&self, spare: bool) -> UnitSettings {
        UnitSettings {
            runner: self.config.name.clone(),
            hidden: vec![self.config.data_dir.clone()],
            log_limit: self.config.log_limit,
            limits: self.config.limits,
            capabilities: self.capabilities.clone(),
            tools: Some(self.config.data_dir.join(TOOLS)),
            builds: Some(self.config.data_dir.join(BUILDS)),
            actions: ActionSources::of_machine(&self.config.data_dir),
            hooks: Hooks::of_machine(),
            docker: Docker::of_machine(),
            containers: ContainerSettings::of_machine(self.config.data_dir.join("runner/images")),
            image: None,
            memory: self.capabilities.as_ref().is_some_and(|found| found.cgroup != ControlGroups::None),
            spare,
        }
    }

    /// A unit is gone: what it finished goes, what it did not finish is reported as lost.
    async fn settle(&self, hand_out: &HandOut, folder: &JobFolder) {
        let job = &hand_out.job;
        let died = !folder.is_done();
        if died {
            let reason = last_words(&folder.unit_log());
            tracing::warn!(job, reason, "a job's unit died without a report");
            self.report_lost(hand_out, &reason).await;
        }
        discard(folder);
        if died {
            self.sweep_engine();
        }
    }

    /// Removes what dead units left in the Docker Engine.
    fn sweep_engine(&self) {
        let folder = self.config.data_dir.join("runner/docker");
        tokio::spawn(async move { Docker::of_machine().sweep(&folder).await });
    }

    async fn report_lost(&self, hand_out: &HandOut, reason: &str) {
        let path = format!("/api/v1/runner/jobs/{}/lost", encode(&hand_out.job));
        let mut backoff = Backoff::default();
        loop {
            let client = self.client();
            let lost = Lost { reason: reason.to_owned(), attempt: hand_out.attempt };
            let call = client.post::<_, serde_json::Value>(&path, &lost);
            match tokio::time::timeout(Duration::from_secs(30), call).await {
                Ok(Ok(_)) => return,
                // Control knows better: the job has ended, or was handed out again.
                Ok(Err(ClientError::Refused(problem)))
                    if problem.code.status() < 500 && problem.code.status() != 401 =>
                {
                    return;
                }
                Ok(Err(e)) => backoff.wait(&format!("reporting a lost job: {e}")).await,
                Err(_) => backoff.wait("reporting a lost job: no answer").await,
            }
            if self.config.shutdown.is_cancelled() {
                return;
            }
        }
    }
}

/// Removes the folder of a unit that is gone, with what its sandbox left.
fn discard(folder: &JobFolder) {
    if let Err(e) = windlass_runtime::sweep(&folder.scratch()) {
        tracing::warn!(folder = %folder.path().display(), error = %e, "what a job's sandbox left cannot be removed");
    }
    if let Err(e) = folder.remove() {
        tracing::warn!(folder = %folder.path().display(), error = %e, "a finished job's folder cannot be removed");
    }
}

/// What the unit itself said last.
fn last_words(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(4096)..]).into_owned();
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    match last {
        Some(line) => format!("the job's process ended without a report; it last said: {}", line.trim()),
        None => {
            "the job's process ended without a report (it was killed, or the machine restarted)".to_owned()
        }
    }
}

/// Ids become folder names.
fn plain(job: &str) -> bool {
    !job.is_empty()
        && job.len() <= 100
        && job.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}
