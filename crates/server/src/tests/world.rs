//! A control to test: everything that is outside of the process is pretended, but for git.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Notify, watch};
use windlass_api::runner as wire;
use windlass_delivery::{Deployment, Instance};
use windlass_gateway::{AdminError, BackendLoad, RouteTable};
use windlass_identity::{Principal, Role};
use windlass_kernel::{
    Actor, Batch, ChainHead, Clock as _, Event, Ids, Query, RawDoc, Store, StoreError, StoreExt as _,
};
use windlass_oci::{AssembleSpec, Base, ByteStream};
use windlass_pipeline::Run;
use windlass_runtime::fake::FakeInstances;
use windlass_runtime::{
    Capabilities, ControlGroups, Exit, InstanceSpec, Instances, Level, Observed, RuntimeError,
};
use windlass_secrets::{KeyEncryptionKey, Vault};
use windlass_source::{Repositories, RepositoriesConfig};
use windlass_testkit::{MemoryStore, TestClock, TestEntropy};

use crate::context::Context;
use crate::data_dir::{DataDir, Endpoint};
use crate::gateway::Gateway;
use crate::images::Images;
use crate::observe::Telemetry;
use crate::results::Results;

pub(super) const NOW: i64 = 1_795_000_000_000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A gateway that only remembers its table.
#[derive(Debug, Default)]
pub(super) struct FakeGateway {
    table: Mutex<RouteTable>,
}

impl FakeGateway {
    /// The instances behind a host, of the table in force; none if it has no such route.
    pub(super) fn behind(&self, host: &str) -> Option<BTreeSet<String>> {
        let table = lock(&self.table);
        let route = table.routes.iter().find(|r| r.host == host)?;
        Some(route.backends.iter().map(|b| b.id.clone()).collect())
    }

    /// Whose a host is.
    pub(super) fn owner(&self, host: &str) -> Option<String> {
        lock(&self.table).routes.iter().find(|r| r.host == host).map(|r| r.label.to_string())
    }

    pub(super) fn forget(&self) {
        *lock(&self.table) = RouteTable::default();
    }
}

#[async_trait]
impl Gateway for FakeGateway {
    async fn put_table(&self, table: &RouteTable) -> Result<(), AdminError> {
        table.check().map_err(|e| AdminError::Refused(e.to_string()))?;
        let mut current = lock(&self.table);
        if table.version < current.version {
            return Err(AdminError::Refused("older".into()));
        }
        *current = table.clone();
        Ok(())
    }

    async fn table(&self) -> Result<RouteTable, AdminError> {
        Ok(lock(&self.table).clone())
    }

    async fn loads(&self) -> Result<Vec<BackendLoad>, AdminError> {
        Ok(Vec::new())
    }

    async fn metrics(&self) -> Result<String, AdminError> {
        Ok(String::new())
    }

    async fn pid(&self) -> Result<u32, AdminError> {
        Ok(1)
    }
}

/// Instances that answer their health checks on a real port: with 200, unless their commit is among the sick.
#[derive(Debug)]
pub(super) struct Serving {
    fake: FakeInstances,
    sick: Mutex<BTreeSet<String>>,
    running: Mutex<HashMap<PathBuf, Arc<AtomicBool>>>,
    pub(super) stops_fail: AtomicBool,
}

impl Serving {
    /// The environment that an instance was started with.
    pub(super) fn env(&self) -> Vec<BTreeMap<String, String>> {
        self.fake.specs().into_values().map(|s| s.env).collect()
    }

    pub(super) fn running(&self) -> usize {
        lock(&self.running).len()
    }
}

fn answer(listener: &TcpListener, ended: &AtomicBool, status: &str) {
    for stream in listener.incoming() {
        if ended.load(Ordering::SeqCst) {
            return;
        }
        let Ok(mut stream) = stream else { continue };
        let mut asked = [0u8; 1024];
        let _ = stream.read(&mut asked);
        let _ = stream.write_all(
            format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes(),
        );
    }
}

#[async_trait]
impl Instances for Serving {
    async fn spawn(&self, dir: &Path, spec: &InstanceSpec) -> Result<(), RuntimeError> {
        self.fake.spawn(dir, spec).await?;
        if lock(&self.running).contains_key(dir) {
            return Ok(());
        }
        let port: u16 = spec.env["PORT"].parse().unwrap();
        let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) else { return Ok(()) };
        let status = if lock(&self.sick).contains(&spec.env["WINDLASS_SHA"]) { "500 Sick" } else { "200 OK" };
        let ended = Arc::new(AtomicBool::new(false));
        lock(&self.running).insert(dir.to_owned(), ended.clone());
        std::thread::spawn(move || answer(&listener, &ended, status));
        Ok(())
    }

    async fn observe(&self, dir: &Path) -> Result<Observed, RuntimeError> {
        self.fake.observe(dir).await
    }

    async fn stop(&self, dir: &Path, grace: Duration) -> Result<Option<Exit>, RuntimeError> {
        if self.stops_fail.load(Ordering::SeqCst) {
            return Err(RuntimeError::Ended);
        }
        let port = self.fake.specs().get(dir).map(|s| s.env["PORT"].clone());
        if let (Some(ended), Some(port)) = (lock(&self.running).remove(dir), port) {
            ended.store(true, Ordering::SeqCst);
            // The thread waits for a connection.
            let _ = std::net::TcpStream::connect(format!("127.0.0.1:{port}"));
        }
        self.fake.stop(dir, grace).await
    }

    fn logs(&self, dir: &Path) -> Vec<PathBuf> {
        [dir.join("log.1"), dir.join("log")].into_iter().filter(|p| p.exists()).collect()
    }
}

/// A store whose process is killed at a commit: right before it, or right after it was kept but before anybody knew.
#[derive(Debug)]
pub(super) struct Killed {
    inner: Arc<MemoryStore>,
    left: AtomicI64,
    kept: bool,
}

impl Killed {
    pub(super) fn at(inner: &Arc<MemoryStore>, commits: i64, kept: bool) -> Self {
        Self { inner: inner.clone(), left: AtomicI64::new(commits), kept }
    }

    pub(super) fn is_dead(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }

    /// How many commits there were, if it began with `at`.
    pub(super) fn spent(&self, at: i64) -> i64 {
        at - self.left.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Store for Killed {
    async fn get_raw(&self, kind: &str, id: &str) -> Result<Option<RawDoc>, StoreError> {
        self.inner.get_raw(kind, id).await
    }
    async fn list_raw(&self, kind: &str, query: &Query) -> Result<Vec<RawDoc>, StoreError> {
        self.inner.list_raw(kind, query).await
    }
    async fn commit(&self, batch: Batch) -> Result<Vec<Event>, StoreError> {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        if left > 0 {
            return self.inner.commit(batch).await;
        }
        if left == 0 && self.kept {
            self.inner.commit(batch).await?;
        }
        Err(StoreError::Backend("killed".into()))
    }
    async fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.inner.events(after, limit).await
    }
    async fn events_back(
        &self,
        before: u64,
        limit: usize,
        project: Option<&str>,
        kind_prefix: Option<&str>,
    ) -> Result<Vec<Event>, StoreError> {
        self.inner.events_back(before, limit, project, kind_prefix).await
    }
    async fn head(&self) -> Result<ChainHead, StoreError> {
        self.inner.head().await
    }
    async fn cursor(&self, reader: &str) -> Result<u64, StoreError> {
        self.inner.cursor(reader).await
    }
    async fn set_cursor(&self, reader: &str, seq: u64) -> Result<(), StoreError> {
        self.inner.set_cursor(reader, seq).await
    }
    async fn next_number(&self, counter: &str) -> Result<u64, StoreError> {
        self.inner.next_number(counter).await
    }
}

/// A data directory, what is outside of control, and a control on it.
pub(super) struct World {
    pub(super) dir: tempfile::TempDir,
    pub(super) store: Arc<MemoryStore>,
    pub(super) clock: Arc<TestClock>,
    entropy: Arc<TestEntropy>,
    url: String,
    pub(super) gateway: Arc<FakeGateway>,
    pub(super) instances: Arc<Serving>,
    pub(super) ctx: Arc<Context>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::at("http://127.0.0.1:7700")
    }

    /// One that says that it answers at this address.
    pub(super) fn at(url: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(TestClock::at(NOW)));
        let (entropy, gateway) = (Arc::new(TestEntropy::default()), Arc::new(FakeGateway::default()));
        let instances = Arc::new(Serving {
            fake: FakeInstances::new(clock.clone()),
            sick: Mutex::default(),
            running: Mutex::default(),
            stops_fail: AtomicBool::new(false),
        });
        let ctx = open(dir.path(), url, store.clone(), &clock, &entropy, &gateway, &instances);
        Self { dir, store, clock, entropy, url: url.to_owned(), gateway, instances, ctx }
    }

    /// Control anew, as after a kill, on this store.
    pub(super) fn restart(&mut self, store: Arc<dyn Store>) {
        let (dir, url) = (self.dir.path(), self.url.as_str());
        self.ctx = open(dir, url, store, &self.clock, &self.entropy, &self.gateway, &self.instances);
    }

    /// Commits these files on a branch of a project and pushes them as `user`, behind control's back.
    pub(super) fn push(&self, project: &str, branch: &str, user: &str, files: &[(&str, &str)]) -> String {
        // Ids sort by age: what comes later must not be as old.
        self.clock.advance(Duration::from_millis(10));
        let work = self.dir.path().join("work").join(project);
        if !work.exists() {
            std::fs::create_dir_all(&work).unwrap();
            git(&work, user, &["init", "--quiet", "--initial-branch=main"]);
        }
        let mut known = Command::new("git");
        known.current_dir(&work).args(["rev-parse", "--verify", "--quiet", branch]);
        known.stdout(std::process::Stdio::null());
        if known.status().unwrap().success() {
            git(&work, user, &["checkout", "--quiet", branch]);
        } else {
            git(&work, user, &["checkout", "--quiet", "-B", branch]);
        }
        for (path, text) in files {
            let path = work.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        git(&work, user, &["add", "--all"]);
        git(&work, user, &["commit", "--quiet", "--allow-empty", "--message", "A change"]);
        let target = self.dir.path().join("data/repos").join(format!("{project}.git"));
        git(&work, user, &["push", "--quiet", target.to_str().unwrap(), branch]);
        git(&work, user, &["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Git in the folder of a project's commits; `TARGET` stands for control's repository.
    pub(super) fn git(&self, project: &str, args: &[&str]) -> String {
        let target = self.dir.path().join("data/repos").join(format!("{project}.git"));
        let target = target.to_str().unwrap();
        let args: Vec<&str> = args.iter().map(|arg| if *arg == "TARGET" { target } else { *arg }).collect();
        git(&self.dir.path().join("work").join(project), "ada", &args)
    }

    /// Makes a project, pushes to its `main` and takes that in.
    pub(super) async fn pushed(&self, project: &str, user: &str, files: &[(&str, &str)]) -> String {
        let name = project.parse().unwrap();
        crate::source::create_project(&self.ctx, &person(user, Role::Member).actor, &name).await.unwrap();
        let sha = self.push(project, "main", user, files);
        crate::source::take_in(&self.ctx, &name).await.unwrap();
        sha
    }

    /// The only run, or the newest.
    pub(super) async fn run(&self) -> Run {
        self.store.list::<Run>(&Query::default()).await.unwrap().pop().unwrap().value
    }

    /// An image in a project's repository, by digest.
    pub(super) async fn image(&self, project: &str, text: &str) -> String {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, "app", text.as_bytes()).unwrap();
        let bytes = Bytes::from(tar.into_inner().unwrap());
        let files: ByteStream = Box::pin(futures_util::stream::iter([Ok(bytes)]));
        let spec = AssembleSpec {
            entrypoint: vec!["/app".into()],
            ..AssembleSpec::new(Base::Scratch, project.parse().unwrap())
        };
        let built = self.ctx.images.assembler.assemble(&spec, files, &Actor::System).await.unwrap();
        built.digest.to_string()
    }

    /// A job for the runner, if there is one.
    pub(super) async fn lease(&self) -> Result<Option<wire::Assignment>, windlass_api::Problem> {
        let request = wire::LeaseRequest {
            runner: "local".into(),
            labels: vec!["ubuntu-latest".into()],
            wait_seconds: 0,
        };
        self.ctx.lease(&runner(), request).await
    }

    /// Tells that a job has ended well.
    pub(super) async fn finish(
        &self,
        job: &wire::Assignment,
    ) -> Result<wire::UpdateReply, windlass_api::Problem> {
        let happened = [started(), finished()];
        self.tell(job, 1, &happened).await
    }

    pub(super) async fn tell(
        &self,
        job: &wire::Assignment,
        first: u64,
        happened: &[wire::JobHappening],
    ) -> Result<wire::UpdateReply, windlass_api::Problem> {
        let at = self.clock.now();
        let update =
            |(i, what): (u64, &wire::JobHappening)| wire::JobUpdate { seq: i, at, what: what.clone() };
        let updates = (first..).zip(happened).map(update).collect();
        self.ctx.updates(&bearer(job), &job.job, wire::JobUpdates { updates }).await
    }

    /// Rounds over an environment until nothing is left to do there; false if control died meanwhile.
    pub(super) async fn settle(&self, project: &str, environment: &str) -> bool {
        let (project, environment) = (project.parse().unwrap(), environment.parse().unwrap());
        let id = crate::delivery::environment_id(&project, &environment);
        let mut failed = 0;
        for _ in 0..600 {
            match crate::delivery::round(&self.ctx, &project, &environment).await {
                Ok(_) => failed = 0,
                Err(_) if failed == 20 => return false,
                Err(_) => failed += 1,
            }
            self.clock.advance(Duration::from_millis(100));
            tokio::task::yield_now().await;
            let query = Query { parent: Some(id.clone()), ..Query::default() };
            let deployments = self.store.list::<Deployment>(&query).await.unwrap();
            let instances = self.store.list::<Instance>(&query).await.unwrap();
            let busy = deployments.iter().any(|d| d.value.state.finished_at().is_none());
            if !busy && !instances.iter().any(|i| matches!(i.value.state.word(), "stopping" | "draining")) {
                return true;
            }
        }
        false
    }

    /// So many rounds over an environment, whatever comes of it.
    pub(super) async fn rounds(&self, project: &str, environment: &str, times: usize) {
        let (project, environment) = (project.parse().unwrap(), environment.parse().unwrap());
        for _ in 0..times {
            let _ = crate::delivery::round(&self.ctx, &project, &environment).await;
            self.clock.advance(Duration::from_millis(100));
            tokio::task::yield_now().await;
        }
    }

    pub(super) fn make_sick(&self, sha: &str) {
        lock(&self.instances.sick).insert(sha.to_owned());
    }

    /// How often each kind of event stands in the ledger.
    pub(super) async fn told(&self, kind: &str) -> usize {
        let events = self.store.events(0, 0).await.unwrap();
        events.iter().filter(|e| e.body.kind == kind).count()
    }
}

pub(super) fn started() -> wire::JobHappening {
    wire::JobHappening::Started { sandbox: "process".into() }
}

pub(super) fn finished() -> wire::JobHappening {
    wire::JobHappening::Finished {
        conclusion: windlass_api::Conclusion::Success,
        reason: None,
        outputs: BTreeMap::new(),
        environment_url: None,
    }
}

pub(super) fn person(name: &str, role: Role) -> Principal {
    Principal::user(&name.parse().unwrap(), role)
}

pub(super) fn runner() -> Principal {
    Principal::runner("local")
}

pub(super) fn bearer(job: &wire::Assignment) -> Principal {
    Principal::job(&job.project.parse().unwrap(), job.run.parse().unwrap(), job.job.parse().unwrap())
}

fn git(work: &Path, user: &str, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(work).args(args).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", work);
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), format!("user:{user}"));
        command.env(format!("GIT_{role}_EMAIL"), "someone@example.test");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn open(
    root: &Path,
    url: &str,
    store: Arc<dyn Store>,
    clock: &Arc<TestClock>,
    entropy: &Arc<TestEntropy>,
    gateway: &Arc<FakeGateway>,
    instances: &Arc<Serving>,
) -> Arc<Context> {
    let data = DataDir::open(&root.join("data")).unwrap();
    let endpoint = Endpoint { url: url.to_owned(), gateway_url: "http://127.0.0.1:7780".into(), pid: 1 };
    let capabilities = Capabilities {
        level: Level::Process,
        why: Vec::new(),
        cgroup: ControlGroups::None,
        overlay: false,
        abstract_sockets_hidden: false,
    };
    let images = Images::open(&data, store.clone(), clock.clone(), entropy.clone(), &capabilities).unwrap();
    let key = KeyEncryptionKey::from_file(&data.path("keys/secrets.key"), &**entropy).unwrap();
    let config = RepositoriesConfig {
        data: data.root().to_owned(),
        program: "/bin/false".into(),
        pages: endpoint.url.clone(),
    };
    // One store of metrics per folder and process: each control gets its own.
    let tag = windlass_kernel::RunId::new(&Ids::new(clock.clone(), entropy.clone()));
    let metrics = DataDir::open(&root.join(format!("metrics-{tag}")));
    Arc::new(Context {
        telemetry: Arc::new(Telemetry::open(&metrics.unwrap()).unwrap()),
        ids: Ids::new(clock.clone(), entropy.clone()),
        vault: Arc::new(Vault::new(key, entropy.clone())),
        started_at: clock.now(),
        runs_changed: Arc::new(Notify::new()),
        delivery_changed: Arc::new(Notify::new()),
        pushed: Arc::new(Notify::new()),
        ledger: Arc::new(watch::Sender::new(0)),
        runner_seen: Arc::new(AtomicI64::new(0)),
        locks: Arc::default(),
        manifests: Arc::default(),
        images: Arc::new(images),
        evidence: Arc::new(crate::evidence::Evidence::open(&data).unwrap()),
        results: Arc::new(Results::open(&data, clock.clone(), entropy.clone()).unwrap()),
        repositories: Repositories::open(config).unwrap(),
        instances: instances.clone(),
        capabilities,
        gateway: gateway.clone(),
        data,
        endpoint,
        store,
        clock: clock.clone(),
        entropy: entropy.clone(),
    })
}
