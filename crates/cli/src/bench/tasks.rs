//! How much `apps/tasks` answers, through the gateway and past it.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::Method;
use tokio::process::Command;
use windlass_api::ServiceView;

use super::delivered::Delivered;
use super::report::{Section, millis};
use crate::load::{Tally, Target, flat_out};

const TIME: Duration = Duration::from_secs(8);
const LANES: u32 = 16;
const TASK: &str = r#"{"title":"a task","description":"of the measurement"}"#;

/// Measures.
pub(crate) async fn measure() -> Result<Section> {
    let delivered = Delivered::new().await?;
    let measured = all(&delivered).await;
    delivered.stage.stop().await?;
    measured
}

async fn all(delivered: &Delivered) -> Result<Section> {
    let gateway = delivered.target().await?;
    let view: ServiceView =
        delivered.stage.owner().get("/api/v1/projects/tasks/environments/production/services/tasks").await?;
    let instance =
        view.instances.iter().find(|i| i.routed).context("no instance of production has traffic")?;
    let direct = Target {
        address: instance.address.parse().context("an instance's address cannot be read")?,
        host: gateway.host.clone(),
    };
    let how = format!(
        "`apps/tasks` in production (two instances behind the gateway), {LANES} connections as fast as they go, {} s each; the load comes from the same machine.",
        TIME.as_secs()
    );
    let mut section = Section::new(
        "tasks",
        "The task manager",
        how,
        &["request", "answers/s", "p50", "p95", "p99", "failed"],
    );
    for (what, target, method, path, body) in [
        ("`GET /health`, gateway", &gateway, Method::GET, "/health", ""),
        ("`GET /health`, one instance directly", &direct, Method::GET, "/health", ""),
        ("`GET /tasks?limit=20`, gateway", &gateway, Method::GET, "/tasks?limit=20", ""),
        ("`GET /tasks?limit=20`, one instance directly", &direct, Method::GET, "/tasks?limit=20", ""),
        ("`POST /tasks`, gateway", &gateway, Method::POST, "/tasks", TASK),
    ] {
        let tally = flat_out(target, LANES, TIME, method, path, body).await?;
        add(&mut section, what, &tally);
    }
    match wrk(&gateway).await {
        Ok(line) => {
            section.note(format!("`wrk -t2 -c{LANES}`, `GET /tasks?limit=20` through the gateway: {line}"));
        }
        Err(e) => section.note(format!("`wrk`: not measured: {e:#}.")),
    }
    Ok(section)
}

fn add(section: &mut Section, what: &str, tally: &Tally) {
    let rate = (tally.sent - tally.failed) as f64 / TIME.as_secs_f64();
    let [p50, p95, p99] = [50.0, 95.0, 99.0].map(|p| millis(tally.percentile(p)));
    section.row([what.to_owned(), format!("{rate:.0}"), p50, p95, p99, tally.failed.to_string()]);
}

async fn wrk(target: &Target) -> Result<String> {
    let mut command = Command::new("wrk");
    command.args(["-t2", &format!("-c{LANES}"), &format!("-d{}s", TIME.as_secs()), "--latency"]);
    command.args([
        "-H",
        &format!("Host: {}", target.host),
        &format!("http://{}/tasks?limit=20", target.address),
    ]);
    let done =
        command.stdin(Stdio::null()).kill_on_drop(true).output().await.context("wrk is not installed")?;
    let text = String::from_utf8_lossy(&done.stdout);
    let found = |start: &str| {
        text.lines()
            .map(str::trim)
            .find(|l| l.starts_with(start))
            .map(|l| l.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let lines = ["Requests/sec", "50%", "99%", "Non-2xx"].iter().filter_map(|start| found(start));
    Ok(lines.collect::<Vec<_>>().join(", "))
}
