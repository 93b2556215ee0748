//! The dispatcher and its units as processes, against a control that answers over HTTP.

mod port;
mod server;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use windlass_api::Conclusion;
use windlass_api::runner::{Assignment, JobHappening};
use windlass_runner::dispatcher::{RunnerConfig, run};
use windlass_runtime::Limits;

use server::Server;

struct Machine {
    dir: tempfile::TempDir,
    server: Arc<Server>,
    shutdown: CancellationToken,
}

impl Machine {
    async fn new() -> Self {
        // Not in /tmp, which sandboxes have their own of: here the data directory is hidden, and the job's folder in it shown.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::fs::write(dir.path().join("token"), "runner-token\n").unwrap();
        Self { dir, server: Server::start().await, shutdown: CancellationToken::new() }
    }

    fn dispatch(&mut self) -> tokio::task::JoinHandle<()> {
        self.shutdown = CancellationToken::new();
        let config = RunnerConfig {
            server_url: self.server.url.clone(),
            token_file: self.dir.path().join("token"),
            name: "test".into(),
            labels: Vec::new(),
            slots: 2,
            data_dir: self.dir.path().join("data"),
            exe: PathBuf::from(env!("CARGO_BIN_EXE_windlass-job")),
            limits: Limits::default(),
            log_limit: 1 << 20,
            shutdown: self.shutdown.clone(),
        };
        tokio::spawn(async move { run(config).await.unwrap() })
    }

    fn hand_out(&self, job: &str, script: &str) {
        let text = format!(
            "on: push\njobs:\n  j:\n    runs-on: ubuntu-latest\n    steps:\n      - run: {}\n",
            json!(script)
        );
        let assignment: Assignment = serde_json::from_value(json!({
            "job": format!("{job}_{}", std::process::id()), "run": "run_1", "project": "shop", "attempt": 1, "name": "j", "key": "j",
            "workflow_file": "ci.yml", "workflow_text": text, "github": {"repository": "a/shop", "event": {}},
            "needs": {}, "strategy": {}, "matrix": null, "inputs": {}, "vars": {}, "secrets": {}, "token": "job-token",
            "environment": null, "timeout_minutes": 5.0, "lease_seconds": 1, "server_url": self.server.url,
            "clone_url": "", "registry": "", "debug": false,
        }))
        .unwrap();
        self.server.jobs.lock().unwrap().push_back(assignment);
    }

    fn jobs(&self) -> PathBuf {
        self.dir.path().join("data/runner/jobs")
    }

    /// The folders of jobs; one in which a unit waits for a job is none.
    fn folders(&self) -> Vec<PathBuf> {
        let all = std::fs::read_dir(self.jobs()).into_iter().flatten().flatten().map(|entry| entry.path());
        all.filter(|path| !waits(path) || path.join("hand_out.json").exists()).collect()
    }

    /// The folders in which a unit was started before there was a job.
    fn early(&self) -> Vec<PathBuf> {
        let all = std::fs::read_dir(self.jobs()).into_iter().flatten().flatten().map(|entry| entry.path());
        all.filter(|path| waits(path)).collect()
    }

    fn says(&self, text: &str) -> bool {
        self.server.control.log().contains(text)
    }

    fn finished(&self) -> Option<Conclusion> {
        self.server.control.happenings().into_iter().find_map(|what| match what {
            JobHappening::Finished { conclusion, .. } => Some(conclusion),
            _ => None,
        })
    }
}

fn waits(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("waiting-"))
}

/// The folders in memory that belong to a job's folder.
fn in_memory(folder: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten().map(|entry| entry.path());
    let of = |path: &PathBuf| {
        std::fs::read_to_string(path.join("folder")).is_ok_and(|of| Path::new(&of) == folder)
    };
    all.filter(of).collect()
}

/// Waits until something holds; the test's own time limit is the runner's.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("this did not come about in 30 seconds: {what}");
}

/// The process that carries out the job of a folder.
fn unit_of(folder: &Path) -> Option<i32> {
    let wanted = format!("\0job\0{}\0", folder.display());
    std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
        line.ends_with(&wanted).then_some(pid)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_its_whole_way_although_control_is_away_for_a_while() {
    let mut machine = Machine::new().await;
    machine.hand_out("job_a", "echo $((40 + 2)) begins; sleep 1; echo $((40 + 3)) ends");
    machine.dispatch();
    until("the job begins", || machine.says(" 42 begins")).await;
    machine.server.away.store(true, Ordering::SeqCst);
    until("calls are refused", || machine.server.refused.load(Ordering::SeqCst) > 5).await;
    machine.server.away.store(false, Ordering::SeqCst);
    until("the job ends", || machine.finished().is_some()).await;
    assert_eq!(machine.finished(), Some(Conclusion::Success), "{}", machine.server.control.log());
    assert_eq!(machine.server.control.log().matches(" 43 ends").count(), 1);
    until("the folder goes", || machine.folders().is_empty()).await;
    assert!(machine.server.lost.lock().unwrap().is_empty());
    let leases = machine.server.leases.lock().unwrap();
    assert_eq!(leases[0].labels, windlass_runner::dispatcher::DEFAULT_LABELS);
    machine.shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_outlives_its_dispatcher_and_the_next_one_adopts_it() {
    let mut machine = Machine::new().await;
    machine.hand_out("job_b", "echo $((40 + 2)) begins; while [ ! -e go ]; do sleep 0.05; done; echo on");
    let first = machine.dispatch();
    until("the job begins", || machine.says(" 42 begins")).await;
    machine.shutdown.cancel();
    first.await.unwrap();
    let folder = machine.folders().remove(0);
    assert!(unit_of(&folder).is_some(), "the unit lives on");
    machine.dispatch();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(machine.server.lost.lock().unwrap().is_empty(), "a living unit is not lost");
    std::fs::write(folder.join("work/shop/shop/go"), "").unwrap();
    until("the folder goes", || machine.folders().is_empty()).await;
    assert_eq!(machine.finished(), Some(Conclusion::Success));
    assert!(machine.server.lost.lock().unwrap().is_empty());
    machine.shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_unit_is_reported_as_lost_and_its_job_dies_with_it() {
    let mut machine = Machine::new().await;
    machine.hand_out("job_c", "echo $((40 + 2)) begins; echo $$ > pid; echo at $GITHUB_OUTPUT.; sleep 300");
    machine.dispatch();
    until("the job begins", || machine.says(" 42 begins")).await;
    let folder = machine.folders().remove(0);
    assert!(
        !folder.join("assignment.json").exists(),
        "what the job is, secrets included, is told, not written"
    );
    let in_memory = in_memory(&folder);
    if in_memory.is_empty() {
        windlass_testkit::skip(
            "small files in memory",
            "this machine has no control groups for jobs, or no /dev/shm",
        );
    } else {
        until("a path is told", || machine.says("small/set_output")).await;
    }
    let unit = unit_of(&folder).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(unit), nix::sys::signal::Signal::SIGKILL).unwrap();
    until("the loss is reported", || !machine.server.lost.lock().unwrap().is_empty()).await;
    let (job, reason) = machine.server.lost.lock().unwrap()[0].clone();
    assert!(job.starts_with("job_c") && reason.contains("ended without a report"), "{job}: {reason}");
    until("the folder goes", || machine.folders().is_empty()).await;
    assert!(in_memory.iter().all(|path| !path.exists()), "nor does it leave anything in memory");
    let marker = format!("job_c_{}", std::process::id());
    until("no process of the job is left", || {
        !std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            String::from_utf8_lossy(&environment).contains(&format!("WINDLASS_STEP={marker}"))
        })
    })
    .await;
    machine.shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_died_while_nobody_looked_is_reported_at_the_next_start() {
    let mut machine = Machine::new().await;
    let dead = machine.jobs().join("job_dead");
    std::fs::create_dir_all(&dead).unwrap();
    std::fs::write(dead.join("unit.log"), "thread 'main' panicked\n").unwrap();
    let done = machine.jobs().join("job_done");
    std::fs::create_dir_all(&done).unwrap();
    std::fs::write(done.join("done"), "").unwrap();
    machine.dispatch();
    until("both folders go", || machine.folders().is_empty()).await;
    let lost = machine.server.lost.lock().unwrap().clone();
    assert_eq!(lost.len(), 1);
    assert!(lost[0].0 == "job_dead" && lost[0].1.contains("panicked"), "{lost:?}");
    machine.shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_waits_for_the_next_job_and_goes_with_its_dispatcher() {
    let mut machine = Machine::new().await;
    let first = machine.dispatch();
    let ready = |machine: &Machine| {
        let work = |folder: &PathBuf| folder.join("work").is_dir() && unit_of(folder).is_some();
        machine.early().iter().any(work)
    };
    until("a unit waits", || ready(&machine)).await;
    // Until it has said so, a job would get a unit of its own.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let waiting = machine.early();
    assert_eq!(waiting.len(), 1);
    machine.hand_out("job_e", "echo $((40 + 2)) begins; sleep 2");
    until("the job begins", || machine.says(" 42 begins")).await;
    assert_eq!(machine.folders(), waiting, "the job is carried out where the unit waited");
    until("another one waits", || machine.early().len() == 2 && ready(&machine)).await;
    until("the job ends", || machine.finished() == Some(Conclusion::Success)).await;
    until("the folder goes", || machine.folders().is_empty()).await;
    machine.shutdown.cancel();
    first.await.unwrap();
    until("nobody waits any more", || machine.early().is_empty()).await;
    assert!(machine.server.lost.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_does_not_suffer_from_a_waiting_unit_that_was_killed() {
    let mut machine = Machine::new().await;
    machine.dispatch();
    until("a unit waits", || machine.early().iter().any(|folder| unit_of(folder).is_some())).await;
    let unit = unit_of(&machine.early()[0]).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(unit), nix::sys::signal::Signal::SIGKILL).unwrap();
    machine.hand_out("job_f", "echo $((40 + 2)) begins");
    until("the job ends", || machine.finished() == Some(Conclusion::Success)).await;
    until("the folder goes", || machine.folders().is_empty()).await;
    assert!(machine.server.lost.lock().unwrap().is_empty(), "nobody's job was lost");
    machine.shutdown.cancel();
}
