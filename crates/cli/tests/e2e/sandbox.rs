//! The main job in every level of the sandbox: what namespaces do not give is done without, and said.

use windlass_api::Status;

use crate::delivery::deliver;
use crate::platform::{App, Options, Platform, is_root, program, wanted};

/// `nobody`, or rather a number that nobody has.
const SOMEBODY: u32 = 61_234;

fn in_level(name: &str, level: &str, uid: Option<u32>, said: &str) {
    if !wanted(name) {
        return;
    }
    let Some(app) = App::with_approval(name) else { return };
    let app = if uid.is_some() {
        let Some(app) = app.with_system_python() else {
            windlass_testkit::skip(name, "there is no /usr/bin/python3 that another user could run");
            return;
        };
        app
    } else {
        app
    };
    let env = vec![("WINDLASS_SANDBOX".to_owned(), level.to_owned())];
    let Some(platform) = Platform::start_with(name, Options { env, uid, ..Options::default() }) else {
        return;
    };
    let status: Status = platform.get("/api/v1/status");
    assert!(status.sandbox.contains(said), "the level in force is `{}`", status.sandbox);
    let doctor = platform.ok(&["doctor"]);
    assert!(doctor.contains(said), "{doctor}");
    deliver(&platform, &app);
}

#[test]
fn as_plain_processes() {
    in_level("sandbox: plain processes", "process", None, "process");
}

#[test]
fn as_plain_processes_of_an_ordinary_user() {
    const NAME: &str = "sandbox: plain processes of an ordinary user";
    if other_user(NAME) {
        in_level(NAME, "process", Some(SOMEBODY), "process");
    }
}

#[test]
fn in_user_namespaces_of_an_ordinary_user() {
    const NAME: &str = "sandbox: user namespaces";
    if !is_root() {
        return in_level(NAME, "user", None, "an ordinary user may make");
    }
    if !other_user(NAME) {
        return;
    }
    let trial = std::process::Command::new("setpriv")
        .args([&format!("--reuid={SOMEBODY}"), &format!("--regid={SOMEBODY}"), "--clear-groups"])
        .args(["unshare", "--user", "--map-root-user", "--mount", "true"])
        .output();
    if !trial.is_ok_and(|t| t.status.success()) {
        windlass_testkit::skip(NAME, "ordinary users may not make user namespaces here");
        return;
    }
    in_level(NAME, "user", Some(SOMEBODY), "an ordinary user may make");
}

/// Whether this test can act as another user.
fn other_user(name: &str) -> bool {
    if !is_root() {
        windlass_testkit::skip(name, "only root can act as another user");
        return false;
    }
    if program("setpriv").is_none() {
        windlass_testkit::skip(name, "there is no setpriv");
        return false;
    }
    true
}
