//! A served data directory, and working copies that talk to it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use windlass_identity::{Action, Principal, Resource, Role, authorize};
use windlass_kernel::{ProjectName, Secret};
use windlass_source::{Gate, HttpLimits, Reach, Refusal, Repositories, RepositoriesConfig, SmartHttp};

/// Lets in `ada` (member), `eve` (contributor) and `vera` (viewer) with the password `token`.
#[derive(Default)]
pub(crate) struct TestGate {
    pub(crate) projects: Mutex<Vec<ProjectName>>,
    pub(crate) received: AtomicUsize,
}

#[async_trait]
impl Gate for TestGate {
    async fn authenticate(&self, user: &str, password: &Secret<String>) -> Option<Principal> {
        let role = match user {
            "ada" => Role::Member,
            "eve" => Role::Contributor,
            "vera" => Role::Viewer,
            _ => return None,
        };
        (password.expose() == "token").then(|| Principal::user(&user.parse().unwrap(), role))
    }

    async fn may_read(&self, principal: &Principal, project: &ProjectName) -> Result<(), Refusal> {
        Ok(authorize(principal, Action::ReadCode, &Resource::Project(project.clone()))?)
    }

    async fn may_push(&self, principal: &Principal, project: &ProjectName) -> Result<Reach, Refusal> {
        let project = Resource::Project(project.clone());
        if authorize(principal, Action::PushCode, &project).is_ok() {
            return Ok(Reach::Everything);
        }
        authorize(principal, Action::ProposeChange, &project)
            .or_else(|_| authorize(principal, Action::PushCode, &project))?;
        Ok(Reach::Changes)
    }

    async fn ensure_project(&self, principal: &Principal, project: &ProjectName) -> Result<(), Refusal> {
        authorize(principal, Action::CreateProject, &Resource::Platform)?;
        self.projects.lock().unwrap().push(project.clone());
        Ok(())
    }

    async fn received(&self, _project: &ProjectName) {
        self.received.fetch_add(1, Ordering::SeqCst);
    }
}

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) repositories: Repositories,
    pub(crate) gate: Arc<TestGate>,
    pub(crate) address: std::net::SocketAddr,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(HttpLimits::default(), &hook_program()).await
    }

    pub(crate) async fn with(limits: HttpLimits, program: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let repositories = Repositories::open(RepositoriesConfig {
            data: dir.path().join("data"),
            program: program.to_owned(),
            pages: "http://pages.test".into(),
        })
        .unwrap();
        let gate = Arc::new(TestGate::default());
        let router = SmartHttp::new(repositories.clone(), gate.clone(), limits).router();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { dir, repositories, gate, address }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn url(&self, user: &str, project: &str) -> String {
        format!("http://{user}:token@{}/{project}.git", self.address)
    }

    /// A working copy with one commit on `main`.
    pub(crate) async fn copy(&self, name: &str) -> Copy {
        let copy = Copy { path: self.dir.path().join(name) };
        std::fs::create_dir(&copy.path).unwrap();
        copy.ok(&["init", "-q", "-b", "main"]).await;
        copy.commit("README.md", "hello\n", "First commit").await;
        copy
    }
}

/// The example that is nothing but the hook, built beside this test.
pub(crate) fn hook_program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples/receive_hook");
    assert!(
        program.is_file(),
        "{} is missing: run `cargo build -p windlass-source --examples`",
        program.display()
    );
    program
}

pub(crate) struct Copy {
    pub(crate) path: PathBuf,
}

impl Copy {
    /// Runs git here, off the async threads: the server lives on them.
    pub(crate) async fn git(&self, args: &[&str]) -> Output {
        let mut command = Command::new("git");
        command
            .args(args)
            .current_dir(&self.path)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("NO_PROXY", "127.0.0.1")
            .envs([("GIT_AUTHOR_NAME", "Ada"), ("GIT_AUTHOR_EMAIL", "ada@test")])
            .envs([("GIT_COMMITTER_NAME", "Ada"), ("GIT_COMMITTER_EMAIL", "ada@test")])
            .envs([("GIT_AUTHOR_DATE", "1700000000 +0000"), ("GIT_COMMITTER_DATE", "1700000000 +0000")]);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    pub(crate) async fn ok(&self, args: &[&str]) -> String {
        let output = self.git(args).await;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "git {args:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned() + &stderr
    }

    pub(crate) async fn fails(&self, args: &[&str]) -> String {
        let output = self.git(args).await;
        assert!(!output.status.success(), "git {args:?} succeeded");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) async fn commit(&self, path: &str, content: &str, message: &str) -> windlass_source::Sha {
        self.write(path, content);
        self.commit_all(message).await
    }

    pub(crate) async fn commit_all(&self, message: &str) -> windlass_source::Sha {
        self.ok(&["add", "-A"]).await;
        self.ok(&["commit", "-q", "--allow-empty", "-m", message]).await;
        self.ok(&["rev-parse", "HEAD"]).await.parse().unwrap()
    }
}
