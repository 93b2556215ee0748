//! A folder, a runtime of one level in it, and what tests ask of sandboxes.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use windlass_runtime::{Exec, Finished, Level, Linux, Runtime, RuntimeConfig, Sandbox, SandboxSpec};

/// The binary that becomes the init of sandboxes.
pub(crate) const EXE: &str = env!("CARGO_BIN_EXE_windlass-sandbox");
const ROOT: &str = "WINDLASS_TEST_ROOT";
const NOBODY: u32 = 65534;

/// One test's surroundings.
pub(crate) struct World {
    /// The folder of this test: outside of `/tmp`, which sandboxes do not share anyway.
    pub(crate) root: PathBuf,
    pub(crate) runtime: Linux,
    pub(crate) level: Level,
    next: AtomicU64,
}

impl World {
    /// The world of a test, or nothing if the machine cannot run it, or another process already did.
    pub(crate) async fn enter(level: Level, test: &str) -> Option<Self> {
        let test = test.split_once("::").map_or(test, |(_, name)| name);
        let inherited = std::env::var_os(ROOT).map(PathBuf::from);
        let root = inherited.clone().unwrap_or_else(|| new_root(test));
        let is_root = nix::unistd::geteuid().is_root();
        if level == Level::UserNamespaces && is_root {
            as_nobody(&root, test);
            remove(&root);
            return None;
        }
        if level == Level::Process && is_root {
            // Once as an ordinary user, who has no control groups, then as root.
            let other = new_root(test);
            as_nobody(&other, test);
            remove(&other);
        }
        if level == Level::Namespaces && !is_root {
            windlass_testkit::skip(test, "level `namespaces` needs root");
            remove(&root);
            return None;
        }
        let config =
            RuntimeConfig { exe: EXE.into(), scratch_root: root.join("scratch"), level: Some(level) };
        match Linux::open(config).await {
            Ok(runtime) => Some(Self { root, runtime, level, next: AtomicU64::new(0) }),
            Err(error) => {
                windlass_testkit::skip(test, &error.to_string());
                None
            }
        }
    }

    /// A folder of this test.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.root.join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// A file of this test.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A job's sandbox as the runner describes it: a workspace at `/workspace`, this test's other folders hidden.
    pub(crate) fn spec(&self) -> SandboxSpec {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = format!("test-{}-{number}-{}", std::process::id(), unique());
        SandboxSpec::machine(&id, self.root.join("scratch").join(&id))
            .bind(self.folder(&format!("workspace-{number}")), "/workspace")
            .hide(&self.root)
    }

    pub(crate) async fn start(&self, spec: SandboxSpec) -> Arc<dyn Sandbox> {
        self.runtime.start(spec).await.unwrap()
    }

    /// A job's sandbox.
    pub(crate) async fn sandbox(&self) -> Arc<dyn Sandbox> {
        self.start(self.spec()).await
    }

    /// Asserts that nothing is left of sandboxes.
    pub(crate) fn assert_clean(&self) {
        let left: Vec<_> =
            std::fs::read_dir(self.root.join("scratch")).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        let groups = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().filter_map(Result::ok);
        let prefix = format!("windlass.test-{}-", std::process::id());
        for group in groups {
            let found = find_named(&group.path(), &prefix, 3);
            // Other tests of this process are still at it: only groups without processes count.
            for folder in found {
                std::thread::sleep(std::time::Duration::from_millis(300));
                let procs = std::fs::read_to_string(folder.join("cgroup.procs"));
                assert!(
                    procs.as_deref().map_or(true, |p| !p.is_empty()),
                    "left behind: {}",
                    folder.display()
                );
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// Removes a test's folder; the ordinary user may have done so, where he may write above it.
fn remove(root: &Path) {
    match std::fs::remove_dir_all(root) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => panic!("{}: {e}", root.display()),
        _ => {}
    }
}

fn find_named(dir: &Path, prefix: &str, depth: u32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push(entry.path());
        } else if depth > 0 {
            found.extend(find_named(&entry.path(), prefix, depth - 1));
        }
    }
    found
}

fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn new_root(test: &str) -> PathBuf {
    let name = format!("{}-{}-{}", test.replace("::", "."), std::process::id(), unique());
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&root).unwrap();
    root
}

/// Runs one test of this binary as an ordinary user.
fn as_nobody(root: &Path, test: &str) {
    std::os::unix::fs::chown(root, Some(NOBODY), Some(NOBODY)).unwrap();
    std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o700)).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ROOT, root)
        .env("HOME", "/nonexistent")
        .env_remove("WINDLASS_SANDBOX")
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .output();
    match output {
        Err(error) => {
            windlass_testkit::skip(test, &format!("an ordinary user cannot run this test: {error}"));
        }
        Ok(output) => {
            let (out, err) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success() && out.contains("1 passed"), "as nobody:\n{out}\n{err}");
            err.lines().filter(|line| line.starts_with("skipped: ")).for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Runs a shell script in the workspace of a sandbox, with the sandbox's own variables.
pub(crate) async fn sh(sandbox: &Arc<dyn Sandbox>, script: &str) -> Finished {
    let cwd = sandbox.inside(Path::new("/")).map_or("/workspace", |_| "/");
    let exec = Exec::new(["sh", "-c", script]).envs(sandbox.environment()).cwd(cwd);
    sandbox.exec(exec).await.unwrap().finish().await.unwrap()
}

/// Asserts that a script fails and never writes `loot`.
pub(crate) async fn refused(sandbox: &Arc<dyn Sandbox>, script: &str, loot: &str) {
    let done = sh(sandbox, script).await;
    let (out, err) = (done.text(), done.error_text());
    assert!(!out.contains(loot) && !err.contains(loot), "`{script}` found it:\n{out}{err}");
    assert!(!done.exit.success(), "`{script}` ended well:\n{out}{err}");
}

/// Defines one test per level.
macro_rules! at {
    ($name:ident, [$($level:ident),+], |$world:ident| $body:block) => {
        mod $name {
            use super::*;
            async fn body($world: crate::world::World) {
                $body
            }
            $(#[expect(non_snake_case, reason = "named after the level")]
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $level() {
                let test = concat!(module_path!(), "::", stringify!($level));
                if let Some(world) = crate::world::World::enter(windlass_runtime::Level::$level, test).await {
                    body(world).await;
                }
            })+
        }
    };
}
pub(crate) use at;
