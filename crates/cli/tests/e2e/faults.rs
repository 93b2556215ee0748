//! SIGKILL in the middle of a push, a run and a deployment: of each role, and of everything at once.

use std::collections::BTreeMap;
use std::time::Duration;

use windlass_api::{Conclusion, DeploymentState, EventView, RunDetail, State};

use crate::platform::{App, Platform, Repository, Traffic, job, kill_hard, request, told, wait_for};

/// Who dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Role(&'static str),
    Everything,
}

impl Victim {
    fn dies(self, platform: &mut Platform) {
        match self {
            Self::Role(role) => kill_hard(platform.pid_of(role)),
            Self::Everything => platform.kill_everything(),
        }
    }

    /// Waits until everything is as before.
    fn returns(self, platform: &mut Platform) {
        if self == Self::Everything {
            platform.up();
        } else {
            platform.reconnect();
        }
    }
}

#[test]
fn control_dies() {
    all_of_it("faults: control", Victim::Role("control"));
}

#[test]
fn the_gateway_dies() {
    all_of_it("faults: gateway", Victim::Role("gateway"));
}

#[test]
fn the_runner_dies() {
    all_of_it("faults: runner", Victim::Role("runner"));
}

#[test]
fn everything_dies() {
    all_of_it("faults: everything", Victim::Everything);
}

fn all_of_it(name: &str, victim: Victim) {
    let Some(mut app) = App::staging_only(name) else { return };
    app.service = vec!["replicas: 2".to_owned()];
    let Some(mut platform) = Platform::start(name) else { return };
    let (repository, sha) = app.ship(&platform, "shop");
    platform.concludes("shop", &sha, Conclusion::Success);
    let tips = in_pushes(&mut platform, victim);
    in_a_run(&mut platform, victim);
    in_a_deployment(&mut platform, victim, &repository);

    let ledger = platform.assert_ledger_whole();
    for (sha, runs) in &tips {
        let told: Vec<&EventView> =
            ledger.iter().filter(|e| e.kind == "ref.updated" && e.data["new"] == sha.as_str()).collect();
        assert_eq!(told.len(), 1, "the push of {sha} stands {} times in the ledger: {told:#?}", told.len());
        assert_eq!(*runs, 1, "{runs} runs of the push of {sha}");
    }
    for kind in ["deployment.created", "deployment.succeeded"] {
        let seen = ledger.iter().filter(|e| e.kind == kind).count();
        assert_eq!(seen, 2, "{kind} stands {seen} times in the ledger, of 2 deployments");
    }
    let report = platform.ok(&["audit", "verify"]);
    assert!(!report.contains("broken"), "{report}");
}

const SMALL: &str = "on: push\njobs:\n  quick:\n    runs-on: ubuntu-latest\n    steps: [{ run: \"true\" }]\n";

/// One large push, killed while it is received; small ones, killed around the moment that they are taken in. Each is
/// repeated until git is content. Gives the commits that became tips, with the number of their runs.
fn in_pushes(platform: &mut Platform, victim: Victim) -> BTreeMap<String, usize> {
    let repository = Repository::new(platform, "pushed");
    repository.write(".github/workflows/quick.yml", SMALL);
    let mut tips = BTreeMap::new();
    let delays: &[u64] = if victim == Victim::Everything { &[60] } else { &[5, 60, 130] };
    for (index, delay) in std::iter::once(&0).chain(delays).enumerate() {
        if index == 0 {
            repository.write("large.bin", noise(24 << 20));
        }
        repository.write("number", index.to_string());
        let sha = repository.commit(&format!("Push {index}"));
        let push = repository.start_push(platform);
        if index == 0 {
            receiving(platform);
        } else {
            std::thread::sleep(Duration::from_millis(*delay));
        }
        victim.dies(platform);
        let output = push.wait_with_output().unwrap();
        victim.returns(platform);
        if matches!(victim, Victim::Role("gateway" | "runner")) {
            assert!(output.status.success(), "the push needs neither: {}", told(&output));
        }
        repository.push(platform);
        tips.insert(sha, 0);
    }
    for (sha, count) in &mut tips {
        platform.concludes("pushed", sha, Conclusion::Success);
        *count = platform.runs("pushed").iter().filter(|r| r.sha == *sha).count();
    }
    tips
}

/// Waits until git receives something.
fn receiving(platform: &Platform) {
    wait_for("git to receive", 20, || {
        platform.processes().iter().any(|p| p.command.contains("receive-pack")).then_some(())
    });
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes
}

const LONG: &str = r#"
on: push
jobs:
  long:
    runs-on: ubuntu-latest
    steps:
      - run: |
          for i in $(seq 1 60); do echo "line $i."; sleep 0.1; done
          echo "result=done" >> "$GITHUB_OUTPUT"
"#;

fn in_a_run(platform: &mut Platform, victim: Victim) {
    let repository = Repository::new(platform, "long");
    repository.write(".github/workflows/long.yml", LONG);
    let sha = repository.ship(platform, "A long run");
    let id = platform.run_of("long", &sha).summary.id;
    platform.says(&id, "long", "line 15.");
    victim.dies(platform);
    victim.returns(platform);
    let run = platform.ended(&id, 120);
    assert_eq!(run.summary.conclusion, Some(Conclusion::Success), "{:#?}", run.jobs);
    let log = platform.log(&run, "long");
    for n in 1..=60 {
        let line = format!("line {n}.");
        let seen = log.lines().filter(|l| l.ends_with(&line)).count();
        assert_eq!(seen, 1, "`{line}` stands {seen} times in the log:\n{log}");
    }
    went_on_or_was_queued_again(platform, victim, &run);
}

fn went_on_or_was_queued_again(platform: &Platform, victim: Victim, run: &RunDetail) {
    let long = job(run, "long");
    if victim == Victim::Everything {
        assert_eq!(long.tries, 2, "the job was not queued again: {long:#?}");
        let ledger = platform.ledger();
        let told = ledger.iter().find(|e| e.kind.starts_with("job.") && e.data.to_string().contains("again"));
        let said = long.reason.clone().unwrap_or_default();
        assert!(
            told.is_some() || !said.is_empty(),
            "it does not say that the job was queued again: {long:#?}"
        );
    } else {
        assert_eq!(long.tries, 1, "the job was queued again though its unit lived: {long:#?}");
    }
}

fn in_a_deployment(platform: &mut Platform, victim: Victim, repository: &Repository) {
    let traffic = Traffic::start(platform, &App::host("staging"));
    repository.write("files/version", "2").write("files/warm-up", "3");
    let sha = repository.ship(platform, "Version 2, which takes its time");
    let id = platform.run_of("shop", &sha).summary.id;
    wait_for("the deployment to be under way", 60, || {
        let newest = platform.deployments("shop", "staging").into_iter().next()?;
        (newest.release.sha == sha && newest.state == DeploymentState::Running).then_some(())
    });
    let instances = serving(platform);
    if victim == Victim::Everything {
        drop(traffic);
        victim.dies(platform);
        victim.returns(platform);
        wait_for("something to serve again", 60, || {
            request(platform, &App::host("staging"), "/").ok().filter(|r| r.status == 200)
        });
        finished(platform, &id, &sha);
        return;
    }
    victim.dies(platform);
    victim.returns(platform);
    finished(platform, &id, &sha);
    assert!(!instances.is_empty());
    wait_for("answers of version 2", 30, || (traffic.answers("version 2") > 5).then_some(()));
    let sent = traffic.sent();
    let failures = traffic.stop();
    if victim == Victim::Role("gateway") {
        // What was under way in it dies with it; new connections wait until it is back.
        assert!(failures.len() <= 2, "{} of {sent} requests failed: {failures:#?}", failures.len());
        assert!(!failures.iter().any(|f| f.contains("refused")), "{failures:#?}");
    } else {
        assert!(failures.is_empty(), "{} of {sent} requests failed: {failures:#?}", failures.len());
    }
}

/// The instances that traffic goes to.
fn serving(platform: &Platform) -> Vec<String> {
    let path = "/api/v1/projects/shop/environments/staging/services/app";
    let service: windlass_api::ServiceView = platform.get(path);
    service.instances.iter().filter(|i| i.routed).map(|i| i.id.clone()).collect()
}

/// The run and the deployment have come to a good end, once.
fn finished(platform: &Platform, id: &str, sha: &str) {
    let run = platform.ended(id, 150);
    assert_eq!(run.summary.conclusion, Some(Conclusion::Success), "{:#?}", run.jobs);
    let deployments = platform.deployments("shop", "staging");
    let of_it: Vec<_> = deployments.iter().filter(|d| d.release.sha == sha).collect();
    assert_eq!(of_it.len(), 1, "one deployment was asked for: {of_it:#?}");
    assert_eq!(of_it[0].state, DeploymentState::Succeeded, "{}", of_it[0].reason);
    assert!(run.jobs.iter().all(|j| j.state == State::Completed));
    let body = request(platform, &App::host("staging"), "/").unwrap().body;
    assert_eq!(body.trim(), "version 2");
}
