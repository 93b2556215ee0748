//! What a machine runs out of, and what somebody hostile sends: each has its clear error and harms nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use windlass_api::{Conclusion, DeploymentState, DeploymentView, ProjectView};

use crate::platform::{
    App, Options, Platform, Repository, is_root, job, program, request, told, wait_for, wanted,
};

/// A small file system, unmounted at the end.
pub(crate) struct SmallDisk(pub(crate) PathBuf);

impl SmallDisk {
    pub(crate) fn mount(megabytes: u32) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("windlass-e2e-disk-").tempdir().unwrap().keep();
        let size = format!("size={megabytes}m,mode=755");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&folder).output();
        match output {
            Ok(output) if output.status.success() => Ok(Self(folder)),
            Ok(output) => {
                Err(format!("cannot mount a tmpfs: {}", String::from_utf8_lossy(&output.stderr).trim()))
            }
            Err(e) => Err(format!("cannot mount a tmpfs: {e}")),
        }
    }

    /// Fills it to the last block.
    fn fill(&self) -> PathBuf {
        use std::io::Write as _;
        let path = self.0.join("ballast");
        let mut file = std::fs::File::create(&path).unwrap();
        for size in [1 << 20, 4096] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_full_disk_is_said_and_nothing_is_corrupt_afterwards() {
    const NAME: &str = "limits: full disk";
    if !wanted(NAME) {
        return;
    }
    if !is_root() {
        return windlass_testkit::skip(NAME, "only root can mount a small disk");
    }
    let disk = match SmallDisk::mount(48) {
        Ok(disk) => disk,
        Err(why) => return windlass_testkit::skip(NAME, &why),
    };
    let options = Options { data: Some(disk.0.join("data")), ..Options::default() };
    let Some(platform) = Platform::start_with(NAME, options) else { return };
    let repository = Repository::new(&platform, "full");
    repository.write("README.md", "one\n");
    repository.ship(&platform, "First");

    let ballast = disk.fill();
    repository.write("large.bin", vec![0; 64]).write("README.md", "two\n");
    let second = repository.commit("Second");
    let push = repository.try_push(&platform, "admin", &platform.token, "main");
    let text = told(&push);
    assert!(!push.status.success(), "a push onto a full disk succeeded: {text}");
    assert!(
        text.to_lowercase().contains("space") || text.to_lowercase().contains("full"),
        "git was told: {text}"
    );
    let output = platform.run(&["project", "create", "another"]);
    let text = told(&output).to_lowercase();
    assert!(!output.status.success() && (text.contains("full") || text.contains("space")), "{text}");

    std::fs::remove_file(ballast).unwrap();
    wait_for("the platform to take pushes again", 30, || {
        let push = repository.try_push(&platform, "admin", &platform.token, "main");
        push.status.success().then_some(())
    });
    platform.ok(&["project", "create", "another"]);
    let ledger = wait_for("the push in the ledger", 20, || {
        let ledger = platform.assert_ledger_whole();
        ledger.iter().any(|e| e.kind == "ref.updated" && e.data["new"] == second.as_str()).then_some(ledger)
    });
    let updates = ledger.iter().filter(|e| e.kind == "ref.updated").count();
    assert_eq!(updates, 2, "two pushes were taken");
    let mut check = Command::new("git");
    check.args(["fsck", "--strict"]).env("GIT_DIR", platform.data.join("repos/full.git"));
    let checked = check.output().unwrap();
    assert!(checked.status.success(), "{}", told(&checked));
    drop(platform);
    drop(disk);
}

#[test]
fn a_corrupt_blob_is_found_when_it_is_deployed_and_what_runs_goes_on() {
    const NAME: &str = "limits: corrupt blob";
    let Some(app) = App::staging_only(NAME) else { return };
    let Some(platform) = Platform::start(NAME) else { return };
    let (repository, sha) = app.ship(&platform, "shop");
    platform.concludes("shop", &sha, Conclusion::Success);
    let first = platform.environment("shop", "staging").live.unwrap();
    let before = blobs(&platform.data);
    repository.write("files/version", "2");
    let sha = repository.ship(&platform, "Version 2");
    platform.concludes("shop", &sha, Conclusion::Success);
    // One byte of the newest and largest of the second version's blobs: its layer.
    let layer = blobs(&platform.data).into_iter().filter(|b| !before.contains(b));
    let layer = layer.max_by_key(|b| b.metadata().unwrap().len()).expect("a blob of the second version");
    let second = platform.environment("shop", "staging").live.unwrap();
    platform.ok(&["rollback", "shop", "staging"]);
    assert_eq!(platform.environment("shop", "staging").live.unwrap().id, first.id);
    // The warm instances of version 2 and its unpacked layer are of no use to this test.
    repository.write("files/version", "3");
    let sha = repository.ship(&platform, "Version 3");
    platform.concludes("shop", &sha, Conclusion::Success);
    let mut bytes = std::fs::read(&layer).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    let writable = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&layer, writable).unwrap();
    std::fs::write(&layer, bytes).unwrap();
    std::fs::remove_dir_all(platform.data.join("layers")).unwrap();
    std::fs::create_dir(platform.data.join("layers")).unwrap();

    let body = json!({"environment": "staging", "release": second.id});
    let asked: DeploymentView = platform.post("/api/v1/projects/shop/deployments", &body);
    let ended = wait_for("the end of the deployment", 60, || {
        let path = format!("/api/v1/deployments/{}", asked.id);
        platform.try_get::<DeploymentView>(&path).ok().filter(|d| d.finished_at.is_some())
    });
    assert_ne!(ended.state, DeploymentState::Succeeded);
    let said = format!("{} {}", ended.reason, ended.last_lines.join("\n"));
    assert!(said.contains("sha256:") || said.contains("digest"), "the corrupt blob is not named: {said}");
    let reply = request(&platform, &App::host("staging"), "/").unwrap();
    assert_eq!(reply.body.trim(), "version 3", "what ran before does not serve");
    platform.assert_ledger_whole();
}

fn blobs(data: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(data.join("blobs/sha256")).into_iter().flatten().flatten() {
        found.extend(std::fs::read_dir(entry.path()).into_iter().flatten().flatten().map(|e| e.path()));
    }
    found
}

/// Manifests that should not be taken, and what is said about each.
fn hostile() -> Vec<(&'static str, String, &'static str)> {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        let item = format!("*a{}, ", n - 1);
        bomb += &format!("a{n}: &a{n} [{}]\n", item.repeat(9).trim_end_matches(", "));
    }
    vec![
        ("bomb", bomb, "windlass.yml:"),
        ("huge", format!("# {}\nservices: {{}}\n", "x".repeat(700 << 10)), "256 KiB"),
        ("deep", format!("services: {}\n", "[".repeat(5000)), "windlass.yml:"),
        ("nonsense", "\u{1}\u{2} %%% {{{ !!!\n- : : :\n".to_owned(), "windlass.yml:"),
        ("typo", "services:\n  app:\n    prot: 80\nenvironments: {}\n".to_owned(), "windlass.yml:3:5"),
        ("binary", "\u{0}\u{0}\u{0}".to_owned(), "windlass.yml"),
    ]
}

#[test]
fn a_hostile_manifest_is_refused_by_line_and_column_and_nothing_else_suffers() {
    let Some(platform) = Platform::start("limits: hostile manifest") else { return };
    let workflow = "on: push\njobs:\n  ship:\n    runs-on: ubuntu-latest\n    environment: staging\n    \
                    steps: [{ run: \"true\" }]\n";
    for (name, manifest, said) in hostile() {
        let repository = Repository::new(&platform, name);
        repository.write("windlass.yml", &manifest).write(".github/workflows/ship.yml", workflow);
        let sha = repository.ship(&platform, "Hostile");
        let run = platform.concludes(name, &sha, Conclusion::Failure);
        let reason = job(&run, "ship").reason.clone().unwrap_or_default();
        assert!(reason.contains(said), "{name}: the job says `{}`", clip(&reason));
        let project: ProjectView = platform.get(&format!("/api/v1/projects/{name}"));
        let problem = project.manifest_problem.unwrap_or_default();
        assert!(problem.contains(said), "{name}: the project says `{}`", clip(&problem));
        assert!(problem.len() < 20_000, "{name}: {} bytes of findings", problem.len());
    }
    let peak = crate::platform::peak(platform.pid_of("control")).unwrap();
    assert!(peak < 300 << 20, "control needed {} MiB", peak >> 20);
}

fn clip(text: &str) -> String {
    text.chars().take(500).collect()
}

const FLOOD: &str = r"
on: push
jobs:
  flood:
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo before
          head -c 1073741824 /dev/zero | tr '\0' x
          echo
          echo after
          sleep 2
";

#[test]
fn a_log_line_of_a_gigabyte_is_kept_within_bounds_and_costs_little_memory() {
    let Some(platform) = Platform::start("limits: log line") else { return };
    let repository = Repository::new(&platform, "flood");
    repository.write(".github/workflows/flood.yml", FLOOD);
    let sha = repository.ship(&platform, "A long line");
    let id = platform.run_of("flood", &sha).summary.id;
    let mut peak = 0;
    let run = wait_for("the end of the run", 150, || {
        let units = platform.processes().into_iter().filter(|p| p.command.contains("windlass job "));
        peak = units.filter_map(|p| p.peak()).max().unwrap_or(0).max(peak);
        platform.run_now(&id).filter(|r| r.summary.conclusion.is_some())
    });
    assert_eq!(run.summary.conclusion, Some(Conclusion::Success), "{:#?}", run.jobs);
    assert!(peak > 0, "the job's unit was never seen");
    assert!(peak < 100 << 20, "the job's unit needed {} MiB", peak >> 20);
    let control = crate::platform::peak(platform.pid_of("control")).unwrap();
    assert!(control < 150 << 20, "control needed {} MiB", control >> 20);
    let path = platform.data.join(format!("logs/jobs/{id}/{}.log", job(&run, "flood").id));
    let length = path.metadata().unwrap_or_else(|e| panic!("{}: {e}", path.display())).len();
    assert!(length > 1000, "the log was not kept");
    let text = tail(&path);
    assert!(
        text.contains("after") || text.contains("larger") || text.contains("limit"),
        "it ends with {text}"
    );
}

fn tail(path: &Path) -> String {
    use std::io::{Read as _, Seek as _};
    let mut file = std::fs::File::open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.seek(std::io::SeekFrom::Start(length.saturating_sub(4096))).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

const BOMB: &str = r#"
on: push
jobs:
  bomb:
    runs-on: ubuntu-latest
    timeout-minutes: 2
    steps:
      - run: |
          echo "limit $(ulimit -u)"
          python3 -c '
          import os, sys
          born = 0
          try:
              for _ in range(20000):
                  if os.fork() == 0:
                      import time; time.sleep(60); os._exit(0)
                  born += 1
          except OSError as e:
              print("contained after", born, "processes:", e, flush=True)
              sys.exit(9)
          '
"#;

#[test]
fn a_fork_bomb_is_contained_and_its_job_fails_with_what_it_saw() {
    const NAME: &str = "limits: fork bomb";
    if !wanted(NAME) {
        return;
    }
    if program("python3").is_none() {
        return windlass_testkit::skip(NAME, "there is no python3 to fork with");
    }
    if !contains_processes() {
        return windlass_testkit::skip(NAME, "no control group for the number of processes can be used here");
    }
    let Some(platform) = Platform::start(NAME) else { return };
    let repository = Repository::new(&platform, "bomb");
    repository.write(".github/workflows/bomb.yml", BOMB);
    let sha = repository.ship(&platform, "A bomb");
    let run = platform.concludes("bomb", &sha, Conclusion::Failure);
    let log = platform.log(&run, "bomb");
    assert!(log.contains("contained after") && log.contains("processes:"), "{log}");
    assert!(log.contains("exit code 9"), "{log}");
    // Nothing of it is left, and the next job runs.
    wait_for("the bomb's processes to be gone", 20, || {
        let processes = platform.processes();
        let named = |text: &str| processes.iter().filter(|p| p.command.contains(text)).count();
        // One unit waits for the next job.
        (named("python3") == 0 && named("windlass job ") <= 1).then_some(())
    });
    repository.write(".github/workflows/bomb.yml", BOMB.replace("20000", "3"));
    let sha = repository.ship(&platform, "No bomb");
    platform.concludes("bomb", &sha, Conclusion::Success);
}

fn contains_processes() -> bool {
    let writable = |path: &str| nix::unistd::access(path, nix::unistd::AccessFlags::W_OK).is_ok();
    writable("/sys/fs/cgroup/pids") || writable("/sys/fs/cgroup/cgroup.procs")
}
