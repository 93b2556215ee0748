//! A job's unit, `windlass job DIR`: one detached process per job. It owns the job's sandbox, log and reports, and lives
//! on when the dispatcher or control do not.

mod here;
mod spare;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use windlass_api::Conclusion;
use windlass_api::runner::{Assignment, JobHappening};
use windlass_kernel::{Clock, SystemClock};
use windlass_runtime::{
    Bind, Capabilities, Level, Limits, Linux, Runtime, RuntimeConfig, Sandbox, SandboxSpec,
};
use windlass_secrets::Masker;
use windlass_workflow::model::{StepKind, Workflow};

use crate::action::{ActionSources, Shelf};
use crate::container::Engine;
use crate::context::JobContexts;
use crate::control::{Control, HttpControl};
use crate::docker::{Docker, DockerEngine};
use crate::folder::JobFolder;
use crate::job::{Entry, Hooks, Job, JobEnd};
use crate::kept::Toolbox;
use crate::layered::{ContainerSettings, Layered};
use crate::local::{Local, needs_disk};
use crate::log::{DEFAULT_LIMIT, Log, Uploader};
use crate::place::{Manner, Place, TOOL_CACHE};
use crate::report::Reporter;
use crate::stop::{Stop, StopSwitch};

pub(crate) use here::here;
pub(crate) use spare::{GO, READY};

/// What a unit is told beside its assignment: `unit.json` in its folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct UnitSettings {
    /// The runner's name.
    pub runner: String,
    /// Folders that no job may see: the data directory.
    pub hidden: Vec<PathBuf>,
    /// The largest log, in bytes.
    pub log_limit: u64,
    /// What a job may use at most.
    pub limits: Limits,
    /// What the dispatcher found out about the machine; a unit without it finds out by itself, which costs one start.
    pub capabilities: Option<Capabilities>,
    /// Whether it starts its sandbox and waits for a job, which comes later or never.
    pub spare: bool,
    /// Whether the small files of steps lie in memory. What a job writes there must count as its own use of memory.
    pub memory: bool,
    /// Where tool caches are kept; none: nowhere.
    pub tools: Option<PathBuf>,
    /// Where builds of Dockerfiles keep what they did; none: a job's go with it.
    pub builds: Option<PathBuf>,
    /// Where actions come from that are not built in.
    pub actions: ActionSources,
    /// The operator's scripts around each job.
    pub hooks: Hooks,
    /// Whether jobs may use the machine's Docker, and for how much.
    pub docker: Docker,
    /// The image of the container that a job's steps run in which names none.
    pub image: Option<String>,
    /// What containers on our own sandbox need.
    pub containers: ContainerSettings,
}

impl Default for UnitSettings {
    fn default() -> Self {
        Self {
            runner: "windlass".to_owned(),
            hidden: Vec::new(),
            log_limit: DEFAULT_LIMIT,
            limits: Limits::default(),
            capabilities: None,
            spare: false,
            memory: false,
            tools: None,
            builds: None,
            actions: ActionSources::default(),
            hooks: Hooks::default(),
            docker: Docker::default(),
            image: None,
            containers: ContainerSettings::default(),
        }
    }
}

/// Why a unit did not begin its job.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// Another unit has the folder.
    #[error("another process carries out the job in `{0}`")]
    Taken(PathBuf),
    /// The folder cannot be used.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The entry of `windlass job DIR`: carries out the job in a folder that the dispatcher made. `exe` is this very
/// program, which the sandbox executes again. Gives the exit code: 0 if the job was reported to its end.
pub fn job_main(dir: &Path, exe: &Path) -> u8 {
    // A session of its own: what befalls the dispatcher's terminal does not concern the job.
    let _ = nix::unistd::setsid();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = runtime
        .map_err(|source| UnitError::Io { what: "starting the unit".to_owned(), source })
        .and_then(|runtime| {
            let outcome = runtime.block_on(unit(dir, exe));
            runtime.shutdown_timeout(Duration::from_secs(1));
            outcome
        });
    match outcome {
        Ok(()) => 0,
        Err(e) => {
            tracing::error!(error = %e, "the job's unit did not begin");
            eprintln!("{e}");
            1
        }
    }
}

async fn unit(dir: &Path, exe: &Path) -> Result<(), UnitError> {
    let io = |what: &str| {
        let what = format!("{what} in `{}`", dir.display());
        move |source| UnitError::Io { what, source }
    };
    let folder = JobFolder::at(dir);
    let _lock =
        folder.hold().map_err(io("taking the lock"))?.ok_or_else(|| UnitError::Taken(dir.to_owned()))?;
    let settings: UnitSettings =
        folder.settings().map_err(io("reading the unit's settings"))?.unwrap_or_default();
    let sandboxes = match (RuntimeConfig::new(exe, folder.scratch()), &settings.capabilities) {
        (Ok(config), Some(known)) => Ok(Linux::trusting(config, known.clone())),
        (Ok(config), None) => Linux::open(config).await,
        (Err(e), _) => Err(e),
    };
    let sandboxes: Result<Arc<dyn Runtime>, String> =
        sandboxes.map(|linux| Arc::new(linux) as Arc<dyn Runtime>).map_err(|e| e.to_string());
    let spare = settings.spare;
    let unit = Unit {
        folder: folder.clone(),
        exe: exe.to_owned(),
        settings,
        clock: Arc::new(SystemClock),
        local: None,
    };
    let (ready, assignment) = match (&sandboxes, spare) {
        (Ok(sandboxes), true) => {
            match unit.wait_for_a_job(sandboxes.as_ref()).await.map_err(io("waiting for a job"))? {
                Some((ready, assignment)) => (Some(ready), assignment),
                None => return Ok(()),
            }
        }
        _ => (None, folder.load().map_err(io("reading the assignment"))?),
    };
    let control = HttpControl::new(&assignment.server_url, assignment.token.clone(), &assignment.job);
    let switch = StopSwitch::default();
    stop_on_signal(switch.clone());
    unit.carry_out(assignment, Ground { sandboxes, ready }, Arc::new(control), switch)
        .await
        .map_err(io("beginning the job"))?;
    folder.mark_done().map_err(io("marking the job as done"))?;
    folder.clear();
    Ok(())
}

/// A polite end of the machine's own is a cancellation.
fn stop_on_signal(switch: StopSwitch) {
    use tokio::signal::unix::{SignalKind, signal};
    if let Ok(mut terminate) = signal(SignalKind::terminate()) {
        tokio::spawn(async move {
            if terminate.recv().await.is_some() {
                switch.set(Stop::Cancelled("the runner's machine asked the job to end".to_owned()));
            }
        });
    }
}

/// Carries a job out without a dispatcher: for local runs and for tests. `folder` is made and belongs to the job.
/// Gives how the job ended; none if it was lost.
///
/// # Errors
/// When the folder cannot be used; what goes wrong in the job itself is reported through `control`.
pub async fn run_job(
    folder: &Path,
    exe: &Path,
    settings: UnitSettings,
    assignment: Assignment,
    sandboxes: Arc<dyn Runtime>,
    control: Arc<dyn Control>,
    clock: Arc<dyn Clock>,
) -> std::io::Result<Option<Conclusion>> {
    let folder = JobFolder::at(folder);
    std::fs::create_dir_all(folder.path())?;
    let unit = Unit { folder, exe: exe.to_owned(), settings, clock, local: None };
    let ground = Ground { sandboxes: Ok(sandboxes), ready: None };
    unit.carry_out(assignment, ground, control, StopSwitch::default()).await
}

/// What gives a job its sandbox.
struct Ground {
    /// Where sandboxes come from; an error is why there are none.
    sandboxes: Result<Arc<dyn Runtime>, String>,
    /// One that was started before the job was known.
    ready: Option<Ready>,
}

/// A sandbox that has been started, and its level.
type Ready = (Arc<dyn Sandbox>, Level);

struct Unit {
    folder: JobFolder,
    exe: PathBuf,
    settings: UnitSettings,
    clock: Arc<dyn Clock>,
    /// What differs in a job of this process.
    local: Option<Local>,
}

impl Unit {
    /// The whole job: reports go out beside it, and it ends when they are acknowledged.
    async fn carry_out(
        &self,
        assignment: Assignment,
        ground: Ground,
        control: Arc<dyn Control>,
        stop: StopSwitch,
    ) -> std::io::Result<Option<Conclusion>> {
        let secrets = assignment.secrets.values().map(|secret| secret.expose().as_str());
        let services = assignment.services.iter().flat_map(|services| services.secrets());
        let masker = Masker::new(secrets.chain([assignment.token.expose().as_str()]).chain(services));
        let log = Log::create(&self.folder.log(), masker, self.clock.clone(), self.settings.log_limit)?;
        let reporter = Reporter::new(self.clock.clone());
        let uploader = Uploader::new(control.clone(), &self.folder.log(), log.written())?;
        let (all_written, no_more) = watch::channel(false);
        let uploading = tokio::spawn(uploader.run(no_more));
        let lease = Duration::from_secs(u64::from(assignment.lease_seconds.max(1)));
        let reporting = tokio::spawn(reporter.clone().run(control.clone(), stop.clone(), lease));

        let (end, job) = Box::pin(self.job(assignment, ground, control, &log, &reporter, &stop)).await;
        log.flush();
        if stop.now() == Stop::Lost {
            uploading.abort();
            reporting.abort();
            leave(job).await;
            return Ok(None);
        }
        let _ = all_written.send(true);
        // The end is told when the whole log is there: whoever hears of it can read on to the last line.
        tokio::select! {
            _ = uploading => {}
            _ = stop.until(|stop| *stop == Stop::Lost) => {}
        }
        let conclusion = end.conclusion;
        reporter.tell(JobHappening::Finished {
            conclusion,
            reason: end.reason,
            outputs: end.outputs,
            environment_url: end.environment_url,
        });
        // Nothing of the job runs any more; what it left is removed while its end is told.
        let _ = tokio::join!(reporting, leave(job));
        Ok((stop.now() != Stop::Lost).then_some(conclusion))
    }

    async fn job(
        &self,
        assignment: Assignment,
        ground: Ground,
        control: Arc<dyn Control>,
        log: &Log,
        reporter: &Reporter,
        stop: &StopSwitch,
    ) -> (JobEnd, Option<Box<Job>>) {
        let in_words = match &ground.sandboxes {
            Ok(sandboxes) => in_words(sandboxes.as_ref()),
            Err(why) => format!("none: {why}"),
        };
        reporter.tell(JobHappening::Started { sandbox: in_words.clone() });
        let entry = Entry::begin(1, "Set up job", log, reporter, self.clock.now());
        log.say(&self.welcome(&assignment, &in_words));
        let ready = match ground.sandboxes {
            Ok(sandboxes) => {
                let ready = ground.ready;
                self.set_up(assignment, &sandboxes, ready, control, log, reporter, stop).await
            }
            Err(why) => Err(format!("this machine gives no sandbox to run the job in: {why}")),
        };
        match ready {
            Ok(job) => {
                entry.end(Conclusion::Success, Conclusion::Success, log, reporter, self.clock.now());
                let end = job.run().await;
                job.place.end().await;
                job.leave_engine().await;
                self.keep_tools(&job);
                (end, Some(Box::new(job)))
            }
            Err(why) => {
                log.say(&format!("##[error]{why}"));
                entry.end(Conclusion::Failure, Conclusion::Failure, log, reporter, self.clock.now());
                (JobEnd::failed(log.masked(&why)), None)
            }
        }
    }

    fn welcome(&self, assignment: &Assignment, sandbox: &str) -> String {
        let machine = nix::sys::utsname::uname().map_or_else(
            |_| "Linux".to_owned(),
            |name| format!("{} {}", name.sysname().to_string_lossy(), name.release().to_string_lossy()),
        );
        format!(
            "Windlass {} on the runner '{}'\n##[group]Runner\nSystem: {} ({machine}), {} processors\nSandbox: {sandbox}\n\
             Image of tools: this machine's own\n##[endgroup]\nJob: {} (attempt {})",
            env!("CARGO_PKG_VERSION"),
            self.settings.runner,
            distribution(),
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            assignment.name,
            assignment.attempt,
        )
    }

    #[expect(clippy::too_many_arguments, reason = "each says one thing of the job")]
    async fn set_up(
        &self,
        assignment: Assignment,
        sandboxes: &Arc<dyn Runtime>,
        ready: Option<Ready>,
        control: Arc<dyn Control>,
        log: &Log,
        reporter: &Reporter,
        stop: &StopSwitch,
    ) -> Result<Job, String> {
        let workflow = match &self.local {
            Some(local) => local.workflow.clone(),
            None => Arc::new(read_workflow(&assignment)?),
        };
        let model = workflow
            .job(&assignment.key)
            .ok_or_else(|| format!("{} has no job `{}`", assignment.workflow_file, assignment.key))?;
        for step in model.steps() {
            if let StepKind::Uses(uses) = &step.kind {
                log.say(&format!("Action: {}", uses.action.value));
            }
        }
        let (sandbox, level) = match ready {
            Some(ready) => ready,
            None => self.sandbox(&assignment, sandboxes.as_ref(), log).await?,
        };
        let event = serde_json::to_vec_pretty(&assignment.github["event"]).unwrap_or_default();
        let repository = assignment.github["repository"].as_str().unwrap_or(&assignment.project).to_owned();
        let manner = self.manner(&assignment, &workflow);
        if let Some(toolbox) = self.toolbox(&assignment)
            && let Err(e) = toolbox.take(&self.folder.work().join(TOOL_CACHE))
        {
            tracing::warn!(error = %e, "the tool cache cannot be used");
        }
        let place = Place::new(sandbox, self.folder.clone(), &self.exe, &repository, &event, &manner)
            .map_err(|e| format!("the job's folders cannot be made: {e}"))?;
        let contexts = JobContexts::new(&assignment, &place.layout, &self.settings.runner);
        let has_bash = on_path("bash", place.base().get("PATH"));
        let job = Job {
            workflow,
            place,
            control,
            log: log.clone(),
            reporter: reporter.clone(),
            stop: stop.clone(),
            clock: self.clock.clone(),
            contexts,
            has_bash,
            level,
            annotations: Arc::default(),
            serial: AtomicU32::new(1),
            steps_failed: AtomicBool::new(false),
            sources: self.settings.actions.clone(),
            shelf: Shelf::default(),
            node: tokio::sync::OnceCell::new(),
            engine: self.engine(sandboxes),
            docker: self.settings.docker.clone(),
            client: tokio::sync::OnceCell::new(),
            limits: self.settings.limits,
            image: self.settings.image.clone(),
            containers: std::sync::OnceLock::new(),
            contained: AtomicBool::new(true),
            images: tokio::sync::Mutex::default(),
            hooks: self.settings.hooks.clone(),
            summaries: AtomicU32::new(0),
            exe: self.exe.clone(),
            builds: self.settings.builds.clone(),
            logins: Mutex::default(),
            local: self.local.clone(),
            assignment,
        };
        job.prepare(job.model().map_or(&[], |model| model.steps()), None, 0)
            .await
            .map_err(|e| e.to_string())?;
        Ok(job)
    }

    /// The tool cache that the job has.
    fn toolbox(&self, assignment: &Assignment) -> Option<Toolbox> {
        let (root, scope) = (self.settings.tools.as_ref()?, assignment.tools.as_ref()?);
        Some(Toolbox::of(root, &assignment.project, scope))
    }

    /// Keeps what the job, of which nothing runs any more, left there.
    fn keep_tools(&self, job: &Job) {
        if let Some(toolbox) = self.toolbox(&job.assignment)
            && let Err(e) = toolbox.put(&self.folder.work().join(TOOL_CACHE), self.clock.now())
        {
            tracing::warn!(error = %e, "the tool cache cannot be kept");
        }
    }

    /// Where the job's small files lie, and how its files are looked at.
    fn manner(&self, assignment: &Assignment, workflow: &Workflow) -> Manner {
        if let Some(local) = &self.local {
            return local.manner.clone();
        }
        let on_disk = needs_disk(workflow, &assignment.key, self.settings.image.as_deref());
        Manner { small: self.folder.small().filter(|_| !on_disk), ..Manner::default() }
    }

    /// What carries out the job's containers: the Docker Engine where that was asked for by name, else sandboxes.
    fn engine(&self, sandboxes: &Arc<dyn Runtime>) -> Arc<dyn Engine> {
        let docker = &self.settings.docker;
        if docker.containers || docker.allowed {
            return Arc::new(DockerEngine);
        }
        let own = self.local.as_ref().and_then(|local| local.containers.clone());
        let sandboxes = own.unwrap_or_else(|| Ok(sandboxes.clone()));
        Arc::new(Layered::new(self.settings.containers.clone(), sandboxes))
    }

    /// The job's sandbox, and its level.
    async fn sandbox(
        &self,
        assignment: &Assignment,
        sandboxes: &dyn Runtime,
        log: &Log,
    ) -> Result<(Arc<dyn Sandbox>, Level), String> {
        self.make_folders().map_err(|e| format!("the job's folders cannot be made: {e}"))?;
        let id = format!("{}.{}", assignment.job, assignment.attempt);
        let why = match sandboxes.start(self.spec(&id)).await {
            Ok(sandbox) => return Ok((sandbox, sandboxes.capabilities().level)),
            Err(why) => why.to_string(),
        };
        if self.settings.capabilities.is_none() {
            return Err(why);
        }
        // The dispatcher's word is from when it started: the machine may have changed since.
        log.say(&format!(
            "##[warning]the sandbox did not start ({why}); finding out what this machine permits now"
        ));
        let config = RuntimeConfig::new(&self.exe, self.folder.scratch()).map_err(|e| e.to_string())?;
        let found = Linux::open(config).await.map_err(|e| e.to_string())?;
        log.say(&format!("Sandbox: {}", in_words(&found)));
        let sandbox = found.start(self.spec(&id)).await.map_err(|e| e.to_string())?;
        Ok((sandbox, found.capabilities().level))
    }

    fn make_folders(&self) -> std::io::Result<()> {
        if let Some(tools) = self.local.as_ref().and_then(|local| local.manner.tools.as_ref()) {
            std::fs::create_dir_all(tools)?;
        }
        if self.local.as_ref().is_some_and(|local| local.manner.plain) {
            // Plain processes see what there is; folders are made as they are needed.
            return std::fs::create_dir_all(self.folder.work());
        }
        for folder in [self.folder.work(), self.folder.inbox(), self.folder.outbox()] {
            std::fs::create_dir_all(folder)?;
        }
        if self.settings.memory
            && self.local.is_none()
            && let Err(e) = self.folder.make_small()
        {
            tracing::debug!(error = %e, "the small files of steps lie on the disk");
        }
        Ok(())
    }

    fn spec(&self, id: &str) -> SandboxSpec {
        let mut spec = SandboxSpec::machine(id, self.folder.scratch().join("job"))
            .bind(self.folder.work(), self.folder.work())
            .limit(self.settings.limits);
        spec.binds.push(Bind { host: self.folder.inbox(), inside: self.folder.inbox(), read_only: true });
        spec.binds.push(Bind { host: self.exe.clone(), inside: self.exe.clone(), read_only: true });
        if let Some(local) = self.local.as_ref().filter(|local| !local.manner.plain) {
            spec.binds.extend(local.trees.binds());
        }
        if let Some(tools) = self.local.as_ref().and_then(|local| local.manner.tools.as_ref()) {
            spec = spec.bind(tools, tools);
        }
        let small = match &self.local {
            Some(local) => local.manner.small.clone().filter(|_| !local.manner.plain),
            None => self.folder.small(),
        };
        if let Some(small) = small {
            spec = spec.bind(small, self.folder.path().join("small"));
        }
        if let Some(socket) = self.settings.docker.socket() {
            spec = spec.bind(&socket, &socket);
        }
        for hidden in &self.settings.hidden {
            spec = spec.hide(hidden);
        }
        spec
    }
}

/// Waits until nothing of the job is left in its sandbox.
async fn leave(job: Option<Box<Job>>) {
    if let Some(job) = job {
        job.place.close().await;
    }
}

fn in_words(sandboxes: &dyn Runtime) -> String {
    let capabilities = sandboxes.capabilities();
    let mut text = capabilities.level.name().to_owned();
    if !capabilities.why.is_empty() {
        text.push_str(&format!(" ({})", capabilities.why.join(" ")));
    }
    text
}

fn read_workflow(assignment: &Assignment) -> Result<Workflow, String> {
    let parsed = windlass_workflow::parse(&assignment.workflow_file, &assignment.workflow_text);
    parsed.workflow.ok_or_else(|| {
        let findings = parsed.diagnostics.iter().filter(|finding| finding.is_error());
        let findings: Vec<_> = findings.map(|finding| finding.one_line(&assignment.workflow_file)).collect();
        format!("the workflow cannot be used:\n{}", findings.join("\n"))
    })
}

fn on_path(program: &str, path: Option<&String>) -> bool {
    path.is_some_and(|path| path.split(':').any(|folder| Path::new(folder).join(program).is_file()))
}

/// The machine's distribution, as it calls itself.
fn distribution() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}
