//! SIGKILL in the middle of a Dockerfile's build: of the platform's roles, of the job itself, and of everything at once.

use std::path::{Path, PathBuf};
use std::process::Command;

use windlass_api::{Conclusion, RunDetail};

use super::wire::Wire;
use crate::platform::{Platform, Repository, job, kill_hard, program, told, wait_for};

const BUILD: &str = r#"
on: push
permissions: { contents: read, packages: write }
jobs:
  image:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: cp "$(command -v busybox)" busybox
      - uses: docker/build-push-action@v6
        with: { context: ., push: true, tags: "HOST/built:v1" }
"#;

/// A step that takes its time and makes a file of what the commit says.
const DOCKERFILE: &str = r#"FROM scratch
COPY busybox /bin/busybox
COPY number /number
RUN --mount=type=cache,target=/kept ["/bin/busybox", "sh", "-c", "for i in $(/bin/busybox seq 1 60); do echo line $i.; /bin/busybox sleep 0.1; done; /bin/busybox cp /number /made"]
"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Role(&'static str),
    Job,
    Everything,
}

impl Victim {
    fn dies(self, platform: &mut Platform) {
        match self {
            Self::Role(role) => {
                kill_hard(platform.pid_of(role));
                platform.reconnect();
            }
            Self::Job => {
                let units = units(platform);
                assert!(!units.is_empty(), "no unit of a job is to be seen");
                for pid in units {
                    kill_hard(pid);
                }
            }
            Self::Everything => {
                platform.kill_everything();
                platform.up();
            }
        }
    }
}

/// The processes of jobs, with the one that waits for the next.
fn units(platform: &Platform) -> Vec<i32> {
    let jobs = platform.processes().into_iter().filter(|p| p.command.contains("windlass job "));
    jobs.map(|p| p.pid).collect()
}

#[test]
fn a_build_that_is_killed_is_done_again_or_told_and_leaves_nothing() {
    const NAME: &str = "registry: killed builds";
    if program("busybox").is_none() {
        return windlass_testkit::skip(NAME, "there is no busybox to build an image of");
    }
    let Some(mut platform) = Platform::start(NAME) else { return };
    let status: windlass_api::Status = platform.get("/api/v1/status");
    if status.sandbox.starts_with("process") {
        return windlass_testkit::skip(NAME, "this machine gives no sandbox with namespaces");
    }
    let repository = Repository::new(&platform, "built");
    repository.write(".github/workflows/build.yml", BUILD.replace("HOST", platform.address()));
    repository.write("Dockerfile", DOCKERFILE);
    let victims = [Victim::Role("runner"), Victim::Role("control"), Victim::Job, Victim::Everything];
    for (turn, victim) in victims.into_iter().enumerate() {
        let number = format!("number {turn}\n");
        let sha = repository.write("number", &number).ship(&platform, &format!("{victim:?}"));
        let id = platform.run_of("built", &sha).summary.id;
        platform.says(&id, "image", "line 10.");
        victim.dies(&mut platform);
        let run = platform.ended(&id, 150);
        let image = job(&run, "image");
        match run.summary.conclusion {
            Some(Conclusion::Success) => assert_eq!(made(&platform), number, "{victim:?}"),
            // Whose job died itself may hear so, in words.
            _ => {
                let reason = image.reason.clone().unwrap_or_default();
                assert!(
                    victim == Victim::Job && !reason.is_empty(),
                    "{victim:?}: {image:#?}{}",
                    log(&platform, &run)
                );
            }
        }
        nothing_is_left(&platform, victim);
    }
    // The next push builds; what is done already is done once.
    let sha = repository.write("number", "the last\n").ship(&platform, "Nobody dies");
    let run = platform.concludes("built", &sha, Conclusion::Success);
    assert_eq!(made(&platform), "the last\n");
    let log = log(&platform, &run);
    assert!(log.contains("CACHED"), "nothing was known of the steps that did not change:\n{log}");
    let left = half_done(&platform.data);
    assert!(left.is_empty(), "builds left {left:?}");
    super::killed::no_half_blob(&platform);
    platform.assert_ledger_whole();
    platform.down().unwrap();
}

fn log(platform: &Platform, run: &RunDetail) -> String {
    platform.log(run, "image")
}

/// What the image's last step made.
fn made(platform: &Platform) -> String {
    let accept = [("Accept", "application/vnd.oci.image.manifest.v1+json")];
    let manifest = Wire::ask(platform, "GET", "/v2/built/manifests/v1", &accept, b"");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest.body).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    let last = layers.last().unwrap()["digest"].as_str().unwrap();
    let layer = Wire::ask(platform, "GET", &format!("/v2/built/blobs/{last}"), &[], b"");
    let path = platform.folder().join("layer");
    std::fs::write(&path, layer.body).unwrap();
    let output = Command::new("tar").arg("-xOf").arg(path).arg("made").output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// No step goes on, and no job but the one that waits for the next.
#[track_caller]
fn nothing_is_left(platform: &Platform, victim: Victim) {
    wait_for(&format!("the build's processes to be gone after {victim:?}"), 30, || {
        let steps = platform.processes().into_iter().filter(|p| p.command.contains("/bin/busybox"));
        (steps.count() == 0 && units(platform).len() <= 1).then_some(())
    });
}

/// What builds that are over have in their folders of work.
fn half_done(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if path.ends_with("work") && path.parent().is_some_and(|store| store.join("steps").is_dir()) {
            found.extend(std::fs::read_dir(path).unwrap().flatten().map(|left| left.path()));
        } else {
            found.extend(half_done(&path));
        }
    }
    found
}
