//! `windlass demo` from its beginning to its end: the first thing that a newcomer does.
//!
//! Slow: it builds and tests an application of its own, twice.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long all of it may take, with nothing built before.
const LONGEST: Duration = Duration::from_mins(15);

#[test]
fn the_demo_delivers_goes_back_and_leaves_nothing_behind() {
    if std::env::var_os("WINDLASS_SKIP_E2E").is_some() {
        return windlass_testkit::skip("demo", "WINDLASS_SKIP_E2E is set");
    }
    let home = tempfile::Builder::new().prefix("windlass-demo-test-").tempdir().unwrap();
    let temporary = home.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let log = home.path().join("demo.log");
    let file = std::fs::File::create(&log).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    command.args(["demo", "--yes", "--exit"]).env("TMPDIR", &temporary).process_group(0);
    // What cargo told this test is not meant for what the demo builds.
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("CARGO_")) {
        if name != "CARGO_HOME" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
    let mut demo = command.spawn().unwrap();
    let end = now() + LONGEST;
    let status = loop {
        if let Some(status) = demo.try_wait().unwrap() {
            break status;
        }
        if now() > end {
            let group = nix::unistd::Pid::from_raw(demo.id() as i32);
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGTERM);
            std::thread::sleep(Duration::from_secs(20));
            let _ = demo.kill();
            panic!("the demo took longer than {LONGEST:?}:\n{}", text(&log));
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    let said = text(&log);
    assert!(status.success(), "{status}\n{said}");
    for wanted in ["failed: 0", "rolled back", "push → live", "staging", "production", "metrics", "logs"] {
        assert!(said.contains(wanted), "the summary does not say `{wanted}`:\n{said}");
    }
    let left: Vec<_> = std::fs::read_dir(&temporary).unwrap().flatten().map(|e| e.path()).collect();
    assert!(left.is_empty(), "left behind: {left:?}\n{said}");
    let left = processes(&temporary);
    assert!(left.is_empty(), "still running: {left:?}\n{said}");
}

#[expect(clippy::disallowed_methods, reason = "a real platform is waited for in real time")]
fn now() -> Instant {
    Instant::now()
}

fn text(log: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned()
}

/// The processes that name a folder in their arguments.
fn processes(folder: &Path) -> Vec<String> {
    let needle = folder.display().to_string();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let shown = entries.map(|e| {
        String::from_utf8_lossy(&std::fs::read(e.path().join("cmdline")).unwrap_or_default())
            .replace('\0', " ")
    });
    shown.filter(|c| c.contains(&needle)).collect()
}
