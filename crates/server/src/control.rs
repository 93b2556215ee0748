//! The role `control`: opens everything, wires it together, serves until it is told to stop.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use anyhow::Context as _;
use tokio::net::UnixListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use windlass_gateway::AdminClient;
use windlass_kernel::{Clock, Entropy, Ids, OsEntropy, Store, SystemClock};
use windlass_runtime::{Linux, Runtime as _, RuntimeConfig, Shims, sweep};
use windlass_secrets::{KeyEncryptionKey, Vault};
use windlass_source::{HttpLimits, Repositories, RepositoriesConfig, SmartHttp};
use windlass_store::SqliteStore;

use crate::context::Context;
use crate::data_dir::{DataDir, Endpoint};
use crate::images::{Images, RegistryAccess};
use crate::observe::Telemetry;
use crate::platform::{Control, Runners};
use crate::results::{Results, Services};
use crate::source::GitGate;
use crate::supervisor::inherited_listener;
use crate::{delivery, observe, runs, source};

/// Runs control on a data directory until `stop`.
pub(crate) async fn run(data: DataDir, endpoint: Endpoint, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::from_std(inherited_listener()?)?;
    let ctx = Arc::new(open(data, endpoint).await?);
    ctx.prepare_accounts().await?;
    ctx.apply_mirrors().await.map_err(|problem| anyhow::anyhow!("{problem}"))?;
    let tasks = TaskTracker::new();
    tasks.spawn(source::run(ctx.clone(), stop.clone()));
    tasks.spawn(runs::run(ctx.clone(), stop.clone()));
    tasks.spawn(delivery::run(ctx.clone(), stop.clone()));
    tasks.spawn(observe::run(ctx.clone(), stop.clone()));
    tasks.spawn(crate::reports::run(ctx.clone(), stop.clone()));
    tasks.spawn(crate::evidence::run(ctx.clone(), stop.clone()));
    tasks.spawn(tidy(ctx.clone(), stop.clone()));
    tasks.spawn(pokes(ctx.clone(), stop.clone()));
    let app = router(&ctx);
    tracing::info!(url = ctx.endpoint.url, "control serves");
    let served = crate::serve::serve(listener, app, stop.clone());
    // Followers of the ledger hold their connections open: they are not waited for for long.
    tokio::select! {
        () = served => {}
        () = async { stop.cancelled().await; tokio::time::sleep(std::time::Duration::from_secs(3)).await } => {}
    }
    // What was pushed and is named by no manifest yet need not be pushed again after a restart.
    if let Err(error) = ctx.images.registry.settle().await {
        tracing::warn!(%error, "blobs that were pushed last may have to be pushed again");
    }
    stop.cancel();
    tasks.close();
    let _ = tokio::time::timeout(std::time::Duration::from_secs(8), tasks.wait()).await;
    Ok(())
}

pub(crate) fn router(ctx: &Arc<Context>) -> axum::Router {
    let control = Arc::new(Control(ctx.clone()));
    let runners = Arc::new(Runners(ctx.clone()));
    let git = SmartHttp::new(ctx.repositories.clone(), Arc::new(GitGate(ctx.clone())), HttpLimits::default());
    let git = git.with_owner(crate::runs::OWNER);
    let registry = windlass_oci::router(ctx.images.registry.clone(), Arc::new(RegistryAccess(ctx.clone())));
    let services = windlass_web::results_router(Arc::new(Services(ctx.clone())));
    let web = windlass_web::router(control, runners, ctx.clock.clone());
    web.merge(git.router()).merge(registry).merge(services)
}

/// Opens everything that control works on.
async fn open(data: DataDir, endpoint: Endpoint) -> anyhow::Result<Context> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let path = data.path("db/windlass.sqlite");
    let store = SqliteStore::open(&path).await.with_context(|| format!("cannot open {}", path.display()))?;
    let store: Arc<dyn Store> = Arc::new(store);
    let exe = std::env::current_exe()?;
    let scratch = data.path("scratch");
    let runtime = Linux::open(RuntimeConfig::new(&exe, &scratch)?).await?;
    let capabilities = runtime.capabilities().clone();
    let instances = Arc::new(Shims::new(&exe, capabilities.level));
    let key = match std::env::var("WINDLASS_KEY") {
        Ok(text) => KeyEncryptionKey::from_text(&text)?,
        Err(_) => KeyEncryptionKey::from_file(&data.path("keys/secrets.key"), &*entropy)?,
    };
    let images = Images::open(&data, store.clone(), clock.clone(), entropy.clone(), &capabilities)?;
    let evidence = crate::evidence::Evidence::open(&data)?;
    let results = Results::open(&data, clock.clone(), entropy.clone())?;
    let config =
        RepositoriesConfig { data: data.root().to_owned(), program: exe, pages: endpoint.url.clone() };
    let repositories = Repositories::open(config)?;
    // Nobody is served yet, so no push can begin: a lock in a repository where no process works is nobody's.
    repositories.clear_leftovers(None)?;
    let head = store.head().await?.seq;
    Ok(Context {
        gateway: Arc::new(AdminClient::new(&data.run("gateway.sock"))),
        telemetry: Arc::new(Telemetry::open(&data)?),
        ids: Ids::new(clock.clone(), entropy.clone()),
        vault: Arc::new(Vault::new(key, entropy.clone())),
        started_at: clock.now(),
        runs_changed: Arc::new(Notify::new()),
        delivery_changed: Arc::new(Notify::new()),
        pushed: Arc::new(Notify::new()),
        ledger: Arc::new(watch::Sender::new(head)),
        runner_seen: Arc::new(AtomicI64::new(0)),
        locks: Arc::default(),
        manifests: Arc::default(),
        images: Arc::new(images),
        results: Arc::new(results),
        evidence: Arc::new(evidence),
        repositories,
        instances,
        capabilities,
        data,
        endpoint,
        store,
        clock,
        entropy,
    })
}

/// What is done now and then: tokens of jobs that ended, what expired.
async fn tidy(ctx: Arc<Context>, stop: CancellationToken) {
    let relieved = AtomicI64::new(0);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(std::time::Duration::from_mins(1)) => {}
        }
        if let Err(e) = ctx.withdraw_tokens().await {
            tracing::warn!(error = %e, "tokens of ended jobs could not be withdrawn");
        }
        // What an interrupted push or build left: nobody goes on with it after a day.
        if let Err(e) = ctx.images.blobs.sweep(std::time::Duration::from_hours(24)).await {
            tracing::warn!(error = %e, "unfinished uploads could not be removed");
        }
        crate::registry::mind_the_disk(&ctx, &relieved).await;
        if let Err(e) = ctx.forget_logs().await {
            tracing::warn!(error = %e, "old logs of jobs could not be removed");
        }
        if let Err(e) = ctx.end_sessions().await {
            tracing::warn!(error = %e, "expired sessions could not be removed");
        }
        if let Err(e) = ctx.expire().await {
            tracing::warn!(error = %e, "what expired could not be removed");
        }
        if let Err(e) = ctx.tidy_results().await {
            tracing::warn!(error = %e, "uploads and caches that are over could not be removed");
        }
    }
}

/// The receive hook's knock: a push waits in the spool.
async fn pokes(ctx: Arc<Context>, stop: CancellationToken) {
    let path = ctx.data.run("control.sock");
    let _ = std::fs::remove_file(&path);
    let listener = match UnixListener::bind(&path) {
        Ok(listener) => listener,
        Err(e) => {
            tracing::warn!(error = %e, "cannot listen for the receive hook; the spool is looked at every 2 s");
            return;
        }
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => {
                match accepted {
                    Ok(_) => ctx.pushed.notify_one(),
                    // No descriptor is free, as a rule: to ask again at once would only burn the processor.
                    Err(_) => tokio::time::sleep(std::time::Duration::from_secs(1)).await,
                }
            }
        }
    }
}

/// What this machine can and cannot do, and what follows: topic and sentence.
pub async fn doctor(data: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut say = |topic: &str, what: String| found.push((topic.to_owned(), what));
    let scratch = std::env::temp_dir().join(format!("windlass-doctor-{}", std::process::id()));
    match probe(&scratch).await {
        Ok(capabilities) => {
            say("sandbox", format!("level in force: {}", capabilities.level));
            for why in capabilities.why {
                say("sandbox", why);
            }
        }
        Err(e) => say("sandbox", format!("cannot be tried: {e:#}")),
    }
    let _ = std::fs::remove_dir_all(&scratch);
    for (program, missing) in [
        ("git", "pushes cannot be received: install git"),
        ("bash", "steps without `shell:` run under sh"),
        ("docker", "not needed; containers of jobs run on it where `windlass up --docker` asks for it"),
        ("node", "JavaScript actions want it; the built-in actions do not"),
    ] {
        match on_path(program) {
            Some(path) => say(program, path.display().to_string()),
            None => say(program, format!("not found: {missing}")),
        }
    }
    say("data directory", data.display().to_string());
    found
}

async fn probe(scratch: &Path) -> anyhow::Result<windlass_runtime::Capabilities> {
    std::fs::create_dir_all(scratch)?;
    let runtime = Linux::open(RuntimeConfig::new(std::env::current_exe()?, scratch)?).await?;
    Ok(runtime.capabilities().clone())
}

fn on_path(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|p| p.is_file())
}

/// Stops every instance of a data directory whose platform is down; gives how many.
pub async fn stop_instances(data: &DataDir) -> anyhow::Result<usize> {
    use windlass_runtime::{Instances as _, Level, Observed};
    let shims = Shims::new(std::env::current_exe()?, Level::Process);
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(data.path("instances"))? {
        folders.push(entry?.path());
    }
    let stops = folders.iter().map(|dir| async {
        let running = matches!(shims.observe(dir).await, Ok(Observed::Running { .. } | Observed::Starting));
        if running {
            shims.stop(dir, std::time::Duration::from_secs(10)).await?;
        }
        Ok::<bool, windlass_runtime::RuntimeError>(running)
    });
    let mut stopped = 0;
    for outcome in futures_util::future::join_all(stops).await {
        stopped += usize::from(outcome?);
    }
    let _ = sweep(&data.path("scratch"));
    Ok(stopped)
}

/// Ends every job of a data directory whose platform is down; gives how many. They are queued again at the next start.
pub async fn end_jobs(data: &DataDir) -> anyhow::Result<usize> {
    windlass_runner::end_jobs(data.root()).await.context("cannot end the jobs that run")
}
