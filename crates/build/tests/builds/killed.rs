//! A build that is killed: nothing of it counts, and the next one cleans up.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::fixture::{Heard, Site, open};
use crate::overlap::running;

/// Where the process that is to be killed builds.
const PLACE: &str = "WINDLASS_TEST_BUILD_PLACE";
const DOCKERFILE: &str = "FROM base\nCOPY big /big\nRUN cat /big /big > /more; sleep 1; echo done > /done\nRUN echo last > /last\n";

/// Not a test of its own: [`whenever_it_is_killed`] runs it as a process.
#[tokio::test(flavor = "multi_thread")]
async fn inner() {
    let Ok(place) = std::env::var(PLACE) else { return };
    let builder = open(place.as_ref()).await;
    let mut request = windlass_build::BuildRequest::of(format!("{place}/context"));
    request.dockerfile = windlass_build::DockerfileSource::Text(DOCKERFILE.into());
    builder.build(request, Arc::new(Heard::default())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_it_is_killed() {
    let Some(site) = Site::with_steps("whenever_it_is_killed").await else { return };
    site.file("big", &"x".repeat(20 << 20));
    for after in [5, 60, 120, 250, 500, 900, 1300] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["killed::inner", "--exact"])
            .env(PLACE, site.temp.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(Duration::from_millis(after)).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let builder = open(site.temp.path()).await;
    let works = std::fs::read_dir(site.path("store/work")).unwrap().count();
    assert!(works <= 2, "the site's own folder and the new one's are left, not {works}");
    drop(builder);
    let built = site.build(DOCKERFILE).await.unwrap();
    assert_eq!((built.text("done"), built.text("last")), ("done\n", "last\n"));
    assert_eq!(built.text("more").len(), 40 << 20);
    assert_eq!(built.text("big").len(), 20 << 20);
}

/// A step that would run for long, with an argument that no other program has.
const LONG: &str = "FROM base\nRUN echo begun > /begun; sleep 1234.5\n";
const LONG_PLACE: &str = "WINDLASS_TEST_LONG_PLACE";

/// Not a test of its own: [`what_a_killed_build_ran_ends_and_its_mounts_go`] runs it as a process.
#[tokio::test(flavor = "multi_thread")]
async fn long() {
    let Ok(place) = std::env::var(LONG_PLACE) else { return };
    let builder = open(place.as_ref()).await;
    let mut request = windlass_build::BuildRequest::of(format!("{place}/context"));
    request.dockerfile = windlass_build::DockerfileSource::Text(LONG.into());
    let _ = builder.build(request, Arc::new(Heard::default())).await;
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_build_ran_ends_and_its_mounts_go() {
    let Some(site) = Site::with_steps("what_a_killed_build_ran").await else { return };
    site.file("x", "x");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["killed::long", "--exact"])
        .env(LONG_PLACE, site.temp.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the step does not begin", || !running("1234.5").is_empty()).await;
    child.kill().unwrap();
    child.wait().unwrap();
    until("the step outlives its build", || running("1234.5").is_empty()).await;
    let place = site.temp.path().to_string_lossy().into_owned();
    let mounts = || std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts().contains(&place), "{}", mounts());
    // The next one finds neither the step's layer nor its lock, and clears what was left.
    let next = open(site.temp.path()).await;
    let works = std::fs::read_dir(site.path("store/work")).unwrap().count();
    assert_eq!(works, 2, "the site's own folder and the new one's");
    drop(next);
    let built = site.build(&LONG.replace("sleep 1234.5", "true")).await.unwrap();
    assert_eq!((built.outcome.cached, built.text("begun")), (0, "begun\n"));
}
