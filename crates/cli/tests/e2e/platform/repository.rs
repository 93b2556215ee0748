//! A person's clone: files, commits, pushes with the ordinary `git`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use base64::Engine as _;

use super::{Platform, told};

/// A clone with one remote, the platform.
pub(crate) struct Repository {
    pub(crate) project: String,
    pub(crate) folder: PathBuf,
}

/// The value of an `Authorization` header.
pub(crate) fn basic(user: &str, password: &str) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {text}")
}

impl Repository {
    /// An empty one.
    pub(crate) fn new(platform: &Platform, project: &str) -> Self {
        let folder = platform.folder().join(format!("clone-{project}"));
        std::fs::create_dir_all(&folder).unwrap();
        let repository = Self { project: project.to_owned(), folder };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    /// Writes a file; folders are made.
    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn remove(&self, path: &str) -> &Self {
        std::fs::remove_file(self.folder.join(path)).unwrap();
        self
    }

    /// Commits everything; gives the commit's id.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(&self.folder);
        plain(&mut command);
        command
    }

    #[track_caller]
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", told(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn push_command(&self, platform: &Platform, user: &str, token: &str, what: &str) -> Command {
        let url = format!("{}/{}.git", platform.url, self.project);
        let mut command = self.command(&["push", "--quiet", &url, what]);
        command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "http.extraheader");
        command.env("GIT_CONFIG_VALUE_0", format!("Authorization: {}", basic(user, token)));
        command.stdin(Stdio::null());
        command
    }

    /// Pushes a ref, whatever comes of it.
    pub(crate) fn try_push(&self, platform: &Platform, user: &str, token: &str, what: &str) -> Output {
        self.push_command(platform, user, token, what).output().unwrap()
    }

    /// Starts a push and does not wait for it.
    pub(crate) fn start_push(&self, platform: &Platform) -> Child {
        let mut command = self.push_command(platform, "admin", &platform.token, "main");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Pushes `main` as `admin`; must succeed.
    #[track_caller]
    pub(crate) fn push(&self, platform: &Platform) {
        self.push_ref(platform, "main");
    }

    #[track_caller]
    pub(crate) fn push_ref(&self, platform: &Platform, what: &str) {
        let output = self.try_push(platform, "admin", &platform.token, what);
        assert!(output.status.success(), "git push {what}: {}\n{}", told(&output), platform.report());
    }

    /// Commits and pushes `main`; gives the commit's id.
    #[track_caller]
    pub(crate) fn ship(&self, platform: &Platform, message: &str) -> String {
        let sha = self.commit(message);
        self.push(platform);
        sha
    }
}

/// Makes `git` (or whatever calls it) deaf to the configuration of whoever runs the tests.
fn plain(command: &mut Command) {
    let nothing = Path::new("/dev/null");
    command.env("GIT_CONFIG_GLOBAL", nothing).env("GIT_CONFIG_SYSTEM", nothing);
    command.env("GIT_TERMINAL_PROMPT", "0");
    for (role, name) in [("AUTHOR", "Ada"), ("COMMITTER", "Ada")] {
        command.env(format!("GIT_{role}_NAME"), name).env(format!("GIT_{role}_EMAIL"), "ada@example.invalid");
    }
}
