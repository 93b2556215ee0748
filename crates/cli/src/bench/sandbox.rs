//! From nothing to `/bin/true` in a sandbox, and everything removed again: ours, `runc run`, `docker run`, by turns.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::Instant;
use windlass_server::runtime::{Linux, Runtime as _, RuntimeConfig, measure_start};

use super::report::{Samples, Section};

/// The image that is made for `docker run`.
const IMAGE: &str = "windlass-bench:root";

/// Measures.
pub(crate) async fn measure(count: usize) -> Result<Section> {
    let temp = tempfile::Builder::new().prefix("windlass-bench-").tempdir()?;
    let exe = std::env::current_exe()?;
    let linux = Linux::open(RuntimeConfig::new(exe, temp.path())?).await?;
    let bundle = temp.path().join("bundle");
    std::fs::create_dir_all(&bundle)?;
    let runc = absent_or_ready("runc", runc_ready(&bundle).await);
    let docker = absent_or_ready("docker", docker_ready(&bundle).await);
    let (mut ours, mut runcs, mut dockers, mut hosts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for turn in 0..=count {
        // The first turn warms caches and is not counted.
        let counted = turn > 0;
        let took = measure_start(&linux, temp.path(), 1).await?;
        ours.extend(took.into_iter().map(|(_, whole)| whole).filter(|_| counted));
        if runc.is_ok() {
            let id = format!("windlass-bench-{}-{turn}", std::process::id());
            let took = timed(Command::new("runc").args(["run", "--bundle"]).arg(&bundle).arg(&id)).await?;
            runcs.extend(counted.then_some(took));
        }
        if docker.is_ok() {
            dockers.extend(Some(timed(&mut docker_run(&[])).await?).filter(|_| counted));
            hosts.extend(Some(timed(&mut docker_run(&["--network", "host"])).await?).filter(|_| counted));
        }
    }
    if docker.is_ok() {
        let _ = Command::new("docker").args(["rmi", IMAGE]).stdout(Stdio::null()).status().await;
    }
    let how = format!(
        "`/bin/true` in a new sandbox, from the call until all is removed again; {count} times each, by turns."
    );
    let mut section = Section::new("sandbox", "Sandbox start", how, &["what", "median", "spread", "÷ ours"]);
    let ours = Samples::new(ours);
    section.compared(&format!("Windlass ({})", linux.capabilities().level), &ours, &ours);
    for (name, state, samples) in [
        ("`runc run`", &runc, runcs),
        ("`docker run --rm`", &docker, dockers),
        ("`docker run --rm --network host`", &docker, hosts),
    ] {
        match state {
            Ok(()) => section.compared(name, &Samples::new(samples), &ours),
            Err(why) => section.note(format!("{name}: not measured: {why}.")),
        }
    }
    section.note("Ours is over an overlay of the machine's root with the machine's network; `runc` and `docker` mount the machine's `/usr` into an empty root.");
    Ok(section)
}

fn absent_or_ready(name: &str, ready: Result<()>) -> Result<(), String> {
    ready.map_err(|e| {
        eprintln!("{name} is left out: {e:#}");
        format!("{e:#}").lines().next().unwrap_or_default().to_owned()
    })
}

async fn timed(command: &mut Command) -> Result<Duration> {
    let begin = Instant::now();
    let done = command.stdin(Stdio::null()).kill_on_drop(true).output().await?;
    let took = begin.elapsed();
    if !done.status.success() {
        bail!("{}", String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(took)
}

fn docker_run(options: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(["run", "--rm", "--volume", "/usr:/usr:ro"]).args(options).args([IMAGE, "/bin/true"]);
    command
}

/// An empty root in which the machine's programs work once `/usr` is mounted.
fn skeleton(root: &Path) -> Result<()> {
    for folder in ["usr", "proc", "dev", "sys", "tmp", "etc"] {
        std::fs::create_dir_all(root.join(folder))?;
    }
    for name in ["bin", "lib", "lib64", "sbin"] {
        if Path::new("/").join(name).is_symlink() {
            symlink(format!("usr/{name}"), root.join(name))?;
        }
    }
    Ok(())
}

async fn runc_ready(bundle: &Path) -> Result<()> {
    skeleton(&bundle.join("rootfs"))?;
    let made = timed(Command::new("runc").args(["spec", "--bundle"]).arg(bundle)).await;
    made.context("`runc spec` does not work")?;
    let path = bundle.join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["/bin/true"]);
    let mounts = config["mounts"].as_array_mut().context("runc's configuration has no mounts")?;
    mounts.push(json!({"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]}));
    std::fs::write(&path, serde_json::to_vec(&config)?)?;
    let id = format!("windlass-bench-{}-try", std::process::id());
    timed(Command::new("runc").args(["run", "--bundle"]).arg(bundle).arg(&id)).await.map(|_| ())
}

async fn docker_ready(bundle: &Path) -> Result<()> {
    timed(Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]))
        .await
        .context("no Docker engine answers")?;
    let archive = bundle.join("root.tar");
    let root = bundle.join("rootfs");
    if !root.exists() {
        skeleton(&root)?;
    }
    timed(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".")).await?;
    timed(Command::new("docker").arg("import").arg(&archive).arg(IMAGE)).await?;
    timed(&mut docker_run(&[])).await.map(|_| ())
}
