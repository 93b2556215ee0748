//! Stages side by side, and builds side by side: seen by what happens, not by how long it takes.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use crate::fixture::{Heard, Site, open};

/// Where the process of its own builds, and what it writes its image's id to.
const PLACE: &str = "WINDLASS_TEST_OVERLAP_PLACE";
const ID: &str = "WINDLASS_TEST_OVERLAP_ID";

/// Waits in a shell until a file is there; gives up after a while, so that a failure is one.
fn waits_for(file: &str) -> String {
    format!("i=0; until [ -e {file} ]; do i=$((i+1)); [ $i -lt 600 ] || exit 9; sleep 0.05; done")
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_that_wait_for_each_other_come_to_their_end_and_unused_ones_never_begin() {
    let Some(site) = Site::with_steps("stages_that_wait_for_each_other").await else { return };
    let mount = "--mount=type=cache,id=meeting,target=/meet";
    let dockerfile = format!(
        "FROM base AS a\nRUN {mount} touch /meet/a; {}; echo a > /a\n\
         FROM base AS b\nRUN {mount} touch /meet/b; {}; echo b > /b\n\
         FROM base AS unused\nRUN {mount} touch /meet/unused; false\n\
         FROM a AS unused-too\nRUN {mount} touch /meet/unused; false\n\
         FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n",
        waits_for("/meet/b"),
        waits_for("/meet/a"),
    );
    let built = site.build(&dockerfile).await.unwrap();
    assert_eq!((built.text("a"), built.text("b")), ("a\n", "b\n"));
    let seen = site.build(&format!("FROM base\nRUN {mount} ls /meet > /seen\n")).await.unwrap();
    assert_eq!(seen.text("seen"), "a\nb\n", "what is not needed does not run");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_fails_ends_the_others_that_run() {
    let Some(site) = Site::with_steps("a_stage_that_fails_ends_the_others").await else { return };
    let mount = "--mount=type=cache,id=failing,target=/meet";
    // The first would run for ten minutes: only because it is ended does the build come to its end.
    let dockerfile = format!(
        "FROM base AS long\nRUN {mount} touch /meet/long; sleep 600.25\n\
         FROM base AS fails\nRUN {mount} {}; echo it fails; exit 7\n\
         FROM scratch\nCOPY --from=long / /\nCOPY --from=fails / /\n",
        waits_for("/meet/long"),
    );
    let why = site.build(&dockerfile).await.err().unwrap().to_string();
    assert!(why.contains("it fails") && why.contains("exit code: 7"), "{why}");
    for _ in 0..200 {
        if running("600.25").is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the step of the other stage is still there: {:?}", running("600.25"));
}

/// The processes of this machine with an argument.
pub(crate) fn running(argument: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if line.split(|byte| *byte == 0).any(|one| one == argument.as_bytes()) {
            found.push(pid);
        }
    }
    found
}

/// What several processes build at once: every step would be another if it were done twice.
const DOCKERFILE: &str = "FROM base AS one
RUN cat /proc/sys/kernel/random/uuid > /one; sleep 0.3
FROM base AS two
COPY file /file
RUN cat /proc/sys/kernel/random/uuid > /two
FROM scratch
COPY --from=one /one /
COPY --from=two /two /file /
";

/// Not a test of its own: [`processes_that_build_the_same_at_once_do_it_once`] runs it.
#[tokio::test(flavor = "multi_thread")]
async fn inner() {
    let (Ok(place), Ok(id)) = (std::env::var(PLACE), std::env::var(ID)) else { return };
    let builder = open(place.as_ref()).await;
    let mut request = windlass_build::BuildRequest::of(format!("{place}/context"));
    request.dockerfile = windlass_build::DockerfileSource::Text(DOCKERFILE.into());
    let outcome = builder.build(request, Arc::new(Heard::default())).await.unwrap();
    std::fs::write(id, format!("{} {}", outcome.steps - outcome.cached, outcome.id.unwrap())).unwrap();
}

fn start(place: &Path, id: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["overlap::inner", "--exact"])
        .env(PLACE, place)
        .env(ID, id)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_build_the_same_at_once_do_it_once() {
    let Some(site) = Site::with_steps("processes_that_build_the_same").await else { return };
    site.file("file", "file");
    let ids: Vec<_> = (0..4).map(|number| site.path(&format!("id-{number}"))).collect();
    let children: Vec<Child> = ids.iter().map(|id| start(site.temp.path(), id)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let said: Vec<String> = ids.iter().map(|id| std::fs::read_to_string(id).unwrap()).collect();
    let done: u32 = said.iter().map(|one| one.split(' ').next().unwrap().parse::<u32>().unwrap()).sum();
    assert_eq!(done, 5, "each of the five steps was done by one of them: {said:?}");
    let first = said[0].split(' ').nth(1).unwrap();
    assert!(said.iter().all(|one| one.ends_with(first)), "{said:?}");
}
