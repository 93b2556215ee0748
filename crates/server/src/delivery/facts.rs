//! What is seen: how each instance's process is, what its health check answers, what it wrote last.

use std::path::Path;
use std::time::Duration;

use tokio::net::TcpStream;
use windlass_delivery::manifest::{Check, Health};
use windlass_delivery::{HealthAnswer, Instance, InstanceState};
use windlass_kernel::Timestamp;
use windlass_runtime::Observed;

use crate::context::Context;
use crate::delivery::launch::instance_dir;
use crate::loopback;

/// How often an instance that is starting is asked, whatever its interval: to go live as soon as it can.
const EAGER: Duration = Duration::from_millis(100);

/// Brings one instance's document up to what is seen. Gives whether anything changed.
pub(crate) async fn look(ctx: &Context, instance: &mut Instance, health: &Health) -> bool {
    let before = instance.clone();
    let now = ctx.now();
    let dir = instance_dir(&ctx.data, instance.id);
    match ctx.instances.observe(&dir).await {
        Ok(Observed::Running { .. }) => {
            if due(instance, health, now) {
                let answer = ask(ctx, instance.port, health).await;
                instance.answered(answer, health);
            }
        }
        Ok(Observed::Starting) => {}
        Ok(Observed::Exited { exit, at }) => instance.exited(Some(exit.code()), at),
        Ok(Observed::Failed { at }) => instance.exited(None, at),
        Ok(Observed::Gone) => instance.exited(None, now),
        Err(e) => tracing::warn!(instance = %instance.id, error = %e, "cannot look at an instance"),
    }
    *instance != before
}

/// When the next health check of an instance is due.
pub(crate) fn next_check(instance: &Instance, health: &Health) -> Option<Timestamp> {
    let interval = match instance.state {
        InstanceState::Starting => EAGER.min(health.interval),
        InstanceState::Exited { .. } | InstanceState::Stopping => return None,
        _ => health.interval,
    };
    Some(instance.last_health.as_ref().map_or(instance.started_at, |last| last.at + interval))
}

fn due(instance: &Instance, health: &Health, now: Timestamp) -> bool {
    next_check(instance, health).is_some_and(|at| at <= now)
}

/// Asks an instance how it is.
async fn ask(ctx: &Context, port: u16, health: &Health) -> HealthAnswer {
    let outcome = match &health.check {
        Check::Http { path } => tokio::time::timeout(health.timeout, get(port, path)).await,
        Check::Connect => tokio::time::timeout(health.timeout, connect(port)).await,
    };
    let (healthy, text) = match outcome {
        Ok(Ok(text)) => (true, text),
        Ok(Err(text)) => (false, text),
        Err(_) => (false, format!("no answer within {} ms", health.timeout.as_millis())),
    };
    HealthAnswer { at: ctx.now(), healthy, text }
}

async fn connect(port: u16) -> Result<String, String> {
    TcpStream::connect(("127.0.0.1", port)).await.map_or_else(
        |e| Err(format!("nothing listens on its port: {e}")),
        |_| Ok("its port accepts connections".to_owned()),
    )
}

/// Healthy is any answer of class 2xx or 3xx.
async fn get(port: u16, path: &str) -> Result<String, String> {
    let answer = loopback::get(port, path, ("user-agent", "windlass-health"), 4096).await?;
    let status = answer.status;
    let body = String::from_utf8_lossy(&answer.body.unwrap_or_default()).into_owned();
    let body: String = body.chars().filter(|c| !c.is_control()).take(200).collect();
    let text = format!("GET {path} answered {} {body}", status.as_u16()).trim_end().to_owned();
    if status.is_success() || status.is_redirection() { Ok(text) } else { Err(text) }
}

/// The last lines that an instance wrote, without their marks.
pub(crate) fn last_lines(logs: &[impl AsRef<Path>], most: usize) -> Vec<String> {
    const TAIL: u64 = 64 << 10;
    let Some(text) = logs.last().and_then(|path| tail(path.as_ref(), TAIL).ok()) else { return Vec::new() };
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(most);
    // `TIME o TEXT`: the shim's form.
    lines[from..].iter().map(|l| l.splitn(3, ' ').nth(2).unwrap_or(l).chars().take(500).collect()).collect()
}

fn tail(path: &Path, most: u64) -> std::io::Result<String> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = std::fs::File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
