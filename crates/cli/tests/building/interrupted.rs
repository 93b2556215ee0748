//! A build that is interrupted at the terminal, and what its progress looks like to others.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Home;

/// A home with an image of busybox called `base`, if steps can run here.
fn with_base(test: &str) -> Option<Home> {
    let home = Home::new();
    if std::fs::copy("/bin/busybox", home.path("context/busybox")).is_err() {
        windlass_testkit::skip(test, "there is no /bin/busybox");
        return None;
    }
    home.file(
        "context/Dockerfile",
        "FROM scratch\nCOPY --chmod=755 busybox /bin/busybox\nSHELL [\"/bin/busybox\", \"sh\", \"-c\"]\nRUN /bin/busybox --install -s /bin\n",
    );
    let out = home.build(&["-t", "base", "."]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    if said.contains("namespaces") {
        windlass_testkit::skip(test, &said);
        return None;
    }
    assert!(out.status.success(), "{said}");
    Some(home)
}

/// The processes whose command line has a text.
fn processes(text: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let has = |path: std::path::PathBuf| {
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        line.windows(text.len()).any(|window| window == text.as_bytes())
    };
    all.filter(|entry| has(entry.path())).count()
}

#[test]
fn nothing_is_left_of_a_build_that_is_interrupted() {
    let Some(home) = with_base("nothing_is_left") else { return };
    let long = format!("9{:05}", std::process::id() % 100_000);
    home.file("context/Dockerfile", &format!("FROM base\nRUN echo running; sleep {long} & sleep {long}\n"));
    for progress in ["plain", "rawjson", "tty"] {
        let mut child = home
            .command(&[], &["--progress", progress, "."])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let ran = STANDARD.encode("running\n");
        let mut line = Vec::new();
        loop {
            line.clear();
            assert!(lines.read_until(b'\n', &mut line).unwrap() > 0, "{progress}: it ended by itself");
            let text = String::from_utf8_lossy(&line);
            if !text.contains("echo") && (text.contains("running") || text.contains(&ran)) {
                break;
            }
        }
        let runs = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(30));
            processes(&format!("sleep\0{long}")) == 2
        });
        assert!(runs, "{progress}: the step does not sleep");
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut lines, &mut rest).unwrap();
        let status = child.wait().unwrap();
        assert!(!status.success() && rest.contains("interrupted"), "{progress}: {rest}");
        let gone = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(30));
            processes(&format!("sleep\0{long}")) == 0
        });
        assert!(gone, "{progress}: a step runs on");
        assert!(home.left().is_empty(), "{progress}: {:?}", home.left());
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains(&home.temp.path().display().to_string()), "{mounts}");
    }
}

#[test]
fn progress_for_programs_is_whole() {
    let Some(home) = with_base("progress_for_programs") else { return };
    home.file(
        "context/Dockerfile",
        "FROM base\nRUN --mount=type=secret,id=s cat /run/secrets/s; echo; echo ünï\nRUN true\n",
    );
    let mut command = home.command(&[], &["--progress", "rawjson", "--secret", "id=s,env=GIVEN", "."]);
    let out = command.env("GIVEN", "hidden-word").output().unwrap();
    assert!(out.status.success());
    let (mut began, mut ended, mut log) = (Vec::new(), Vec::new(), String::new());
    for line in String::from_utf8(out.stderr).unwrap().lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        for vertex in value["vertexes"].as_array().into_iter().flatten() {
            let digest = vertex["digest"].as_str().unwrap().to_owned();
            assert!(digest.starts_with("sha256:") && !vertex["name"].as_str().unwrap().is_empty(), "{line}");
            if vertex.get("completed").is_some() { ended.push(digest) } else { began.push(digest) }
        }
        for entry in value["logs"].as_array().into_iter().flatten() {
            log.push_str(
                &String::from_utf8(STANDARD.decode(entry["data"].as_str().unwrap()).unwrap()).unwrap(),
            );
        }
    }
    assert!(began.iter().all(|digest| ended.contains(digest)), "{began:?} {ended:?}");
    assert!(log.contains("ünï\n") && log.contains("***") && !log.contains("hidden-word"), "{log}");
    let quiet = home.build(&["--progress", "quiet", "."]);
    assert!(quiet.stderr.is_empty() && String::from_utf8_lossy(&quiet.stdout).starts_with("sha256:"));
    let plain = home.command(&[], &["."]).env("BUILDKIT_PROGRESS", "plain").output().unwrap();
    assert!(String::from_utf8_lossy(&plain.stderr).contains("CACHED"));
}
