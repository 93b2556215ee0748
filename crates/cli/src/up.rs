//! `windlass up`: starts the platform, in the foreground or behind.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use http::Method;
use windlass_api::Client;
use windlass_server::{DataDir, Endpoint, Supervisor, UpOptions};

use crate::connection::Global;
use crate::failure::{Exit, Failure};
use crate::show::{self, Tone};

/// Start the platform on this machine: pages, API, Git, registry, gateway and a runner
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  windlass up                                  on 127.0.0.1:7700, services on 127.0.0.1:7780; Ctrl-C stops it
  windlass up --detach                         in the background; `windlass down` stops it
  windlass up --data ./w --listen 127.0.0.1:0  another data directory, any free port")]
pub(crate) struct Up {
    /// Where pages, API, Git and the registry answer
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7700")]
    listen: SocketAddr,
    /// Where services are reached
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7780")]
    gateway_listen: SocketAddr,
    /// Go on in the background once it answers
    #[arg(long)]
    detach: bool,
    /// How many jobs may run at a time [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    slots: Option<u32>,
    /// Run containers of jobs on the Docker Engine instead of the sandbox; with =allowed jobs may use all of the engine,
    /// and so have the whole machine
    #[arg(
        long,
        value_name = "WHAT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "containers",
        value_parser = ["containers", "allowed"]
    )]
    docker: Option<String>,
    /// Where the blobs of images are kept: s3://BUCKET/PREFIX, reached as the usual AWS_ variables say, or files for the
    /// data directory [default: what WINDLASS_BLOBS says, else files]
    #[arg(long, value_name = "PLACE")]
    blobs: Option<String>,
    /// Allow addresses that other machines can reach
    #[arg(long)]
    expose: bool,
}

/// How long a start may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Starts the platform.
pub(crate) async fn run(global: &Global, up: Up) -> Result<Exit> {
    for (flag, address) in [("--listen", up.listen), ("--gateway-listen", up.gateway_listen)] {
        check_reach(flag, address.ip(), up.expose)?;
    }
    windlass_server::blob_place(up.blobs.as_deref()).map_err(|why| Failure::usage(why.to_string()))?;
    if up.detach { detach(global, &up).await } else { foreground(global, &up).await }
}

fn check_reach(flag: &str, address: IpAddr, exposed: bool) -> Result<()> {
    if address.is_loopback() || exposed {
        return Ok(());
    }
    let message = format!(
        "{flag} {address} can be reached by other machines, without encryption: whoever can read that network sees \
         passwords and tokens, and whoever signs in can run programs here. If that is meant (behind a TLS proxy, on a closed \
         network), add --expose; otherwise listen on 127.0.0.1"
    );
    Err(Failure::usage(message).into())
}

/// How many jobs may run at a time, if nobody said.
pub(crate) fn default_slots() -> u32 {
    std::thread::available_parallelism().map_or(2, |n| n.get() as u32)
}

async fn foreground(global: &Global, up: &Up) -> Result<Exit> {
    tell_warnings();
    let slots = up.slots.unwrap_or_else(default_slots);
    let options = UpOptions {
        data: global.data_path(),
        listen: up.listen,
        gateway: up.gateway_listen,
        slots,
        docker: up.docker.clone(),
        blobs: up.blobs.clone(),
    };
    let supervisor = Supervisor::prepare(&options)?;
    let (data, endpoint) = (DataDir::open(&options.data)?, supervisor.endpoint().clone());
    let mut running = tokio::spawn(supervisor.run(std::future::pending()));
    tokio::select! {
        ended = &mut running => {
            ended.context("the supervisor broke off")??;
            return Ok(Exit::Done);
        }
        healthy = healthy(&endpoint.url, PATIENCE) => {
            if let Err(e) = healthy {
                eprintln!("{e:#}; look into {}", data.path("logs").display());
            }
        }
    }
    greet(&data, &endpoint, "Ctrl-C stops it")?;
    running.await.context("the supervisor broke off")??;
    show::print("stopped; services keep running until `windlass down`")?;
    Ok(Exit::Done)
}

/// The supervisor's own warnings go to standard error.
pub(crate) fn tell_warnings() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("WINDLASS_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let told =
        tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_writer(std::io::stderr);
    // Somebody may have set one already: then that one tells.
    let _ = told.try_init();
}

async fn detach(global: &Global, up: &Up) -> Result<Exit> {
    let data = DataDir::open(&global.data_path())?;
    if data.owned() {
        // Says who has it, in the supervisor's own words.
        data.own()?;
    }
    let log_path = data.path("logs/supervisor.log");
    let log = std::fs::OpenOptions::new().create(true).append(true).open(&log_path)?;
    let start = log.metadata()?.len();
    let exe = std::env::current_exe().context("cannot find the windlass program itself")?;
    let mut command = std::process::Command::new(exe);
    command.arg("up").arg("--data").arg(data.root());
    command.args(["--listen", &up.listen.to_string(), "--gateway-listen", &up.gateway_listen.to_string()]);
    command.args(["--slots", &up.slots.unwrap_or_else(default_slots).to_string()]);
    if let Some(docker) = &up.docker {
        command.arg(format!("--docker={docker}"));
    }
    if let Some(blobs) = &up.blobs {
        command.arg(format!("--blobs={blobs}"));
    }
    if up.expose {
        command.arg("--expose");
    }
    command
        .env_remove("WINDLASS_URL")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0);
    let mut child = command.spawn().context("cannot start windlass in the background")?;
    let begin = tokio::time::Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            let text = std::fs::read(&log_path).unwrap_or_default();
            let said =
                String::from_utf8_lossy(text.get(start as usize..).unwrap_or_default()).trim().to_owned();
            bail!("it did not start ({status}): {said}");
        }
        if let Ok(endpoint) = data.endpoint()
            && endpoint.pid == child.id()
            && answers(&endpoint.url).await
        {
            greet(&data, &endpoint, "`windlass down` stops it")?;
            return Ok(Exit::Done);
        }
        if begin.elapsed() > PATIENCE {
            bail!(
                "it runs (process {}) but does not answer after {} s; look into {}",
                child.id(),
                PATIENCE.as_secs(),
                log_path.display()
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn greet(data: &DataDir, endpoint: &Endpoint, how_to_stop: &str) -> Result<()> {
    let url = &endpoint.url;
    show::print(&format!(
        "Windlass answers on {} (data in {}); {how_to_stop}",
        Tone::Good.paint(url),
        data.root().display()
    ))?;
    show::print(&format!("Services are reached through {}", endpoint.gateway_url))?;
    if let Ok(token) = std::fs::read_to_string(data.run("setup.token")) {
        show::print("")?;
        show::print("First start: make your account with this link; it works once:")?;
        show::print(&format!("  {url}/setup?link={}", token.trim()))?;
    }
    show::print("")?;
    show::print("To deliver a repository, in its folder:")?;
    show::print(&format!("  windlass project remote --data {}", data.root().display()))?;
    show::print("  git push windlass main")
}

/// Waits until control answers.
pub(crate) async fn healthy(url: &str, patience: Duration) -> Result<()> {
    let begin = tokio::time::Instant::now();
    while !answers(url).await {
        if begin.elapsed() > patience {
            bail!("nothing answers on {url} after {} s", patience.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Whether control answers.
pub(crate) async fn answers(url: &str) -> bool {
    let body = windlass_api::RequestBody::default();
    let asked = Client::new(url, None);
    let answer =
        tokio::time::timeout(Duration::from_secs(2), asked.send(Method::GET, "/healthz", &[], body)).await;
    matches!(answer, Ok(Ok(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_machines_are_let_in_only_when_it_is_said() {
        for (address, exposed, fine) in [
            ("127.0.0.1", false, true),
            ("::1", false, true),
            ("0.0.0.0", false, false),
            ("::", false, false),
            ("10.0.0.1", false, false),
            ("0.0.0.0", true, true),
        ] {
            let checked = check_reach("--listen", address.parse().unwrap(), exposed);
            assert_eq!(checked.is_ok(), fine, "{address}");
            if let Err(e) = checked {
                assert!(e.to_string().contains("--expose"), "{e}");
            }
        }
    }
}
