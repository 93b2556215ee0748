//! A container of somebody else, as a sandbox: our init in it reports at a door. Here the container is no more than a
//! process, since what makes containers is not this crate's.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use windlass_runtime::{Bind, Door, Exec, Exit, Resident, Sandbox, Signal};

struct Container {
    init: Child,
    sandbox: Arc<dyn Sandbox>,
    _dir: tempfile::TempDir,
}

async fn container() -> Container {
    let dir = tempfile::tempdir().unwrap();
    let door = Door::open(&dir.path().join("door")).unwrap();
    let init = Command::new(env!("CARGO_BIN_EXE_windlass-sandbox"))
        .args(Door::arguments(&dir.path().join("door")))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let resident = Resident {
        id: "c".into(),
        binds: vec![Bind { host: dir.path().to_owned(), inside: "/__w".into(), read_only: false }],
        home: "/github/home".into(),
        environment: BTreeMap::from([("FROM_IMAGE".into(), "yes".into())]),
    };
    let sandbox = door.answer(resident).await.unwrap();
    assert!(!dir.path().join("door/door").exists(), "nobody else is let in");
    Container { init, sandbox, _dir: dir }
}

fn sh(script: &str) -> Exec {
    Exec::new(["sh", "-c", script]).env("PATH", "/usr/local/bin:/usr/bin:/bin")
}

#[tokio::test]
async fn programs_run_there_as_in_any_sandbox() {
    let mut container = container().await;
    let sandbox = container.sandbox.clone();
    assert_eq!(sandbox.environment()["FROM_IMAGE"], "yes");
    let exec = sh("echo $A; pwd; cat; exit 7").env("A", "1").cwd("/usr").stdin("given").merge_output();
    let done = sandbox.exec(exec).await.unwrap().finish().await.unwrap();
    assert_eq!((done.text().as_str(), done.exit), ("1\n/usr\ngiven", Exit::Code(7)));
    let missing = sandbox.exec(Exec::new(["no-such-program"])).await.unwrap_err();
    assert!(missing.to_string().contains("no-such-program"), "{missing}");
    let sleeper = sandbox.exec(sh("sleep 1000")).await.unwrap();
    sleeper.signal(Signal::TERMINATE).await.unwrap();
    assert_eq!(sleeper.finish().await.unwrap().exit, Exit::Signal(15));
    sandbox.kill().await.unwrap();
    assert_eq!(container.init.wait().unwrap().code(), Some(0));
    assert!(sandbox.exec(sh("true")).await.is_err());
}

#[tokio::test]
async fn its_programs_end_with_its_owner_and_an_owner_hears_of_its_end() {
    let mut container = container().await;
    let left = sh("setsid sleep 1000 >/dev/null 2>&1 & echo $!").merge_output();
    let pid = container.sandbox.exec(left).await.unwrap().finish().await.unwrap().text();
    let left = std::path::Path::new("/proc").join(pid.trim());
    assert!(left.exists());
    drop(std::mem::replace(&mut container.sandbox, self::container().await.sandbox));
    container.init.wait().unwrap();
    assert!(!left.join("exe").exists(), "what was left running ended with the init");

    let mut other = self::container().await;
    let sleeper = other.sandbox.exec(sh("sleep 3")).await.unwrap();
    other.init.kill().unwrap();
    other.init.wait().unwrap();
    assert_eq!(sleeper.wait().await.unwrap(), Exit::Signal(9));
}
