//! The binary's inner commands: the three roles, and the small processes that hold jobs and instances. People do not
//! call them; `windlass up` and what it starts do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use windlass_gateway::GatewayConfig;
use windlass_kernel::SystemClock;
use windlass_runner::DEFAULT_LOG_LIMIT;
use windlass_runner::dispatcher::{self, RunnerConfig};
use windlass_runtime::Limits;

use crate::accounts::LOCAL_RUNNER;
use crate::control;
use crate::data_dir::{DataDir, Endpoint, write_private};
use crate::supervisor::{end_with_parent, inherited_listener};

/// Handles an inner command, if it is one: the exit code. To be called before anything else is started.
pub fn internal_main(args: &[String]) -> Option<i32> {
    let rest = args.get(1..).unwrap_or_default();
    let dir = || rest.first().map(PathBuf::from).unwrap_or_default();
    Some(match args.first()?.as_str() {
        "sandbox-init" => i32::from(windlass_runtime::init_main(rest.iter().map(std::ffi::OsString::from))),
        "shim" => i32::from(windlass_runtime::shim_main(&dir())),
        "job" => match std::env::current_exe() {
            Ok(exe) => i32::from(windlass_runner::unit::job_main(&dir(), &exe)),
            Err(_) => 1,
        },
        "job-tool" => i32::from(windlass_runner::tool_main()),
        "hook" => windlass_source::hook_main(
            rest.first().map_or("", String::as_str),
            rest.get(1..).unwrap_or_default(),
        ),
        "role" => match role(rest) {
            Ok(()) => 0,
            Err(e) => {
                eprintln!("windlass: {e:#}");
                1
            }
        },
        _ => return None,
    })
}

/// `role NAME --data DIR --url URL --gateway-url URL --slots N`, as the supervisor writes it.
fn role(args: &[String]) -> Result<()> {
    let value = |name: &str| {
        let at = args.iter().position(|a| a == name);
        at.and_then(|i| args.get(i + 1))
            .cloned()
            .with_context(|| format!("{name} is missing: roles are started by `windlass up`"))
    };
    end_with_parent()?;
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("WINDLASS_LOG").unwrap_or_else(|_| "info".into()),
        )
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let data = DataDir::open(Path::new(&value("--data")?))?;
    let endpoint = Endpoint {
        url: value("--url")?,
        gateway_url: value("--gateway-url")?,
        pid: nix::unistd::getppid().as_raw() as u32,
    };
    let name = args.first().map_or("", String::as_str);
    let threads = if name == "runner" { 1 } else { 2 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let slots: usize = value("--slots")?.parse()?;
    runtime.block_on(async {
        let stop = stop_on_signals()?;
        match name {
            "control" => control::run(data, endpoint, stop).await,
            "gateway" => gateway(&data, stop).await,
            "runner" => runner(&data, &endpoint, slots, stop).await,
            other => bail!("there is no role `{other}`"),
        }
    })
}

fn stop_on_signals() -> Result<CancellationToken> {
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        stopping.cancel();
    });
    Ok(stop)
}

async fn gateway(data: &DataDir, stop: CancellationToken) -> Result<()> {
    let config = GatewayConfig {
        listener: inherited_listener()?,
        admin_socket: data.run("gateway.sock"),
        table_file: data.path("gateway/routes.json"),
        access_log: data.path("logs/access.log"),
        clock: Arc::new(SystemClock),
    };
    windlass_gateway::run(config, async move { stop.cancelled().await }).await?;
    Ok(())
}

async fn runner(data: &DataDir, endpoint: &Endpoint, slots: usize, stop: CancellationToken) -> Result<()> {
    write_private(&data.run("runner.pid"), std::process::id().to_string().as_bytes())?;
    let config = RunnerConfig {
        server_url: endpoint.url.clone(),
        token_file: data.run("runner.token"),
        name: LOCAL_RUNNER.to_owned(),
        labels: Vec::new(),
        slots,
        data_dir: data.root().to_owned(),
        exe: std::env::current_exe()?,
        limits: job_limits(),
        log_limit: DEFAULT_LOG_LIMIT,
        shutdown: stop,
    };
    dispatcher::run(config).await?;
    Ok(())
}

/// What one job may use: three quarters of the memory, all processors, 4,096 processes.
fn job_limits() -> Limits {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    let kib: Option<u64> = total.and_then(|t| t.trim().trim_end_matches(" kB").parse().ok());
    Limits { cpu_millis: None, memory_bytes: kib.map(|k| k * 1024 / 4 * 3), processes: Some(4096) }
}
