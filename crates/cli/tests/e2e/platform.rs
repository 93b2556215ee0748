//! The platform under test: `windlass up` on a temporary data directory and free ports, stopped by `windlass down`,
//! after which nothing of it may be left.

mod app;
mod process;
mod report;
mod repository;
mod traffic;
mod watch;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;
use windlass_api::{Client, ClientError, CreatedToken, Status};
use windlass_kernel::Secret;

pub(crate) use app::App;
pub(crate) use process::{Process, kill_hard, peak, signal};
pub(crate) use repository::Repository;
pub(crate) use traffic::{Traffic, page, request};
pub(crate) use watch::{Deadline, job, wait_for};

/// The program under test.
pub(crate) const WINDLASS: &str = env!("CARGO_BIN_EXE_windlass");

/// How a platform is started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Where its data lies; a temporary folder if not said.
    pub(crate) data: Option<PathBuf>,
    /// Variables beside those of the test.
    pub(crate) env: Vec<(String, String)>,
    /// The user (and group of the same number) that runs it; the test's own if not said.
    pub(crate) uid: Option<u32>,
    /// How many jobs may run at a time; the platform's own choice if not said.
    pub(crate) slots: Option<u32>,
}

/// A running platform.
pub(crate) struct Platform {
    home: TempDir,
    pub(crate) data: PathBuf,
    options: Options,
    supervisor: Option<Child>,
    pub(crate) url: String,
    pub(crate) gateway: String,
    pub(crate) token: String,
    runtime: tokio::runtime::Runtime,
}

/// Whether end-to-end tests are to run at all.
pub(crate) fn wanted(name: &str) -> bool {
    if std::env::var_os("WINDLASS_SKIP_E2E").is_some() {
        windlass_testkit::skip(name, "WINDLASS_SKIP_E2E is set");
        return false;
    }
    true
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The first program of this name on the path, if there is one.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let extra = [PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")];
    std::env::split_paths(&path).chain(extra).map(|dir| dir.join(name)).find(|p| p.is_file())
}

impl Platform {
    /// Starts one, or says why not.
    pub(crate) fn start(name: &str) -> Option<Self> {
        Self::start_with(name, Options::default())
    }

    pub(crate) fn start_with(name: &str, options: Options) -> Option<Self> {
        if !wanted(name) {
            return None;
        }
        if program("git").is_none() {
            windlass_testkit::skip(name, "there is no git on this machine");
            return None;
        }
        let home = tempfile::Builder::new().prefix("windlass-e2e-").tempdir().unwrap();
        let data = options.data.clone().unwrap_or_else(|| home.path().join("data"));
        // A name of its own: other users may not enter the folder it was built in, and a new build must not pull it
        // away from under a platform that runs.
        let program = home.path().join("windlass");
        if std::fs::hard_link(WINDLASS, &program).is_err() {
            std::fs::copy(WINDLASS, &program).unwrap();
        }
        if let Some(uid) = options.uid {
            std::os::unix::fs::chown(home.path(), Some(uid), Some(uid)).unwrap();
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(home.path(), open).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let mut platform = Self {
            home,
            data,
            options,
            supervisor: None,
            url: String::new(),
            gateway: String::new(),
            token: String::new(),
            runtime: runtime.unwrap(),
        };
        platform.up();
        Some(platform)
    }

    /// `windlass ARGUMENTS --data DATA`, as the platform's user.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match self.options.uid {
            None => Command::new(self.home.path().join("windlass")),
            Some(uid) => {
                let mut command = Command::new("setpriv");
                command.arg(format!("--reuid={uid}")).arg(format!("--regid={uid}")).arg("--clear-groups");
                command.arg(self.home.path().join("windlass"));
                command
            }
        };
        command.args(arguments).arg("--data").arg(&self.data).current_dir(self.home.path());
        if self.options.uid.is_some() {
            command.env("HOME", self.home.path()).env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        }
        for (name, value) in &self.options.env {
            command.env(name, value);
        }
        command
    }

    /// Runs a command of the platform to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a command with this as its standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        use std::io::Write as _;
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Runs a command that must succeed; gives what it wrote.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "windlass {arguments:?}: {}", told(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts the supervisor (again) and waits until everything answers.
    pub(crate) fn up(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.home.path().join("up.log"));
        let log = log.unwrap();
        // Any free ports at first; the same ones ever after.
        let at = |url: &str| url.strip_prefix("http://").map_or_else(steady_address, str::to_owned);
        let (listen, gateway) = (at(&self.url), at(&self.gateway));
        let mut command = self.command(&["up", "--listen", &listen, "--gateway-listen", &gateway]);
        if let Some(slots) = self.options.slots {
            command.args(["--slots", &slots.to_string()]);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let _ = std::fs::remove_file(self.data.join("run/endpoint.json"));
        let _ = std::fs::remove_file(self.data.join("run/local.token"));
        self.supervisor = Some(command.spawn().unwrap());
        self.reconnect();
    }

    /// Reads where the platform answers and waits until all roles are well.
    pub(crate) fn reconnect(&mut self) {
        let end = Deadline::in_seconds(40);
        loop {
            if let Some((url, gateway, token)) = self.endpoint() {
                (self.url, self.gateway, self.token) = (url, gateway, token);
                let status = self.try_get::<Status>("/api/v1/status");
                if status.is_ok_and(|s| s.roles.len() >= 3 && s.roles.iter().all(|r| r.healthy)) {
                    return;
                }
            }
            let ended = self.supervisor.as_mut().and_then(|s| s.try_wait().unwrap());
            assert!(ended.is_none(), "`windlass up` ended: {ended:?}\n{}", self.report());
            assert!(!end.passed(), "the platform did not come up\n{}", self.report());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn endpoint(&self) -> Option<(String, String, String)> {
        let text = std::fs::read(self.data.join("run/endpoint.json")).ok()?;
        let endpoint: Value = serde_json::from_slice(&text).ok()?;
        let token = std::fs::read_to_string(self.data.join("run/local.token")).ok()?;
        let field = |name: &str| endpoint[name].as_str().map(str::to_owned);
        Some((field("url")?, field("gateway_url")?, token.trim().to_owned()))
    }

    /// Where control listens, `host:port`.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// A folder of this test's own, outside the data directory.
    pub(crate) fn folder(&self) -> &Path {
        self.home.path()
    }

    // The API.

    /// The API's client with this token.
    pub(crate) fn client(&self, token: &str) -> Client {
        Client::new(&self.url, Some(Secret::new(token.to_owned())))
    }

    pub(crate) fn try_get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let client = self.client(&self.token);
        self.runtime.block_on(async {
            let answer = tokio::time::timeout(Duration::from_secs(30), client.get(path)).await;
            answer.unwrap_or_else(|_| {
                Err(ClientError::Unreachable { url: path.to_owned(), why: "no answer in 30 s".to_owned() })
            })
        })
    }

    #[track_caller]
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        self.try_get(path).unwrap_or_else(|e| panic!("GET {path}: {e}\n{}", self.report()))
    }

    pub(crate) fn post_as<T: DeserializeOwned>(
        &self,
        token: &str,
        path: &str,
        body: &Value,
    ) -> Result<T, ClientError> {
        self.runtime.block_on(self.client(token).post(path, body))
    }

    #[track_caller]
    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> T {
        self.post_as(&self.token, path, body).unwrap_or_else(|e| panic!("POST {path}: {e}"))
    }

    /// Makes an account and gives a token of it.
    pub(crate) fn account(&self, name: &str, role: &str) -> String {
        let password = "correct horse battery staple";
        let user = serde_json::json!({"name": name, "role": role, "password": password});
        let _: Value = self.post("/api/v1/users", &user);
        let basic = repository::basic(name, password);
        let body = r#"{"label":"test"}"#;
        let headers = [("Authorization", basic.as_str()), ("Content-Type", "application/json")];
        let reply =
            traffic::send(self.address(), "POST", "/api/v1/tokens", &headers, body.as_bytes()).unwrap();
        assert!(reply.status < 300, "a token for {name}: {} {}", reply.status, reply.body);
        let token: CreatedToken = serde_json::from_str(&reply.body).unwrap();
        token.secret.expose().clone()
    }

    /// The process of a role.
    #[track_caller]
    pub(crate) fn pid_of(&self, role: &str) -> i32 {
        let status: Status = self.get("/api/v1/status");
        let found = status.roles.iter().find(|r| r.name.split(' ').next() == Some(role));
        let pid = found.and_then(|r| r.pid);
        pid.unwrap_or_else(|| panic!("no process of {role}: {:?}", status.roles)) as i32
    }

    /// The supervisor's process.
    pub(crate) fn supervisor(&self) -> i32 {
        self.supervisor.as_ref().unwrap().id() as i32
    }

    /// Everything that runs on the data directory.
    pub(crate) fn processes(&self) -> Vec<Process> {
        process::of(&self.data)
    }

    /// Kills the supervisor, the roles, the jobs and the instances, all at once.
    pub(crate) fn kill_everything(&mut self) {
        // Stopped first, so that none of them sees another's death; a supervisor would start roles anew.
        for _ in 0..3 {
            for process in self.processes() {
                signal(process.pid, nix::sys::signal::Signal::SIGSTOP);
            }
        }
        wait_for("all processes to be dead", 10, || {
            let left = self.processes();
            for process in &left {
                kill_hard(process.pid);
            }
            left.is_empty().then_some(())
        });
        if let Some(mut supervisor) = self.supervisor.take() {
            supervisor.wait().unwrap();
        }
    }

    /// `windlass down`, and the claim that nothing is left.
    pub(crate) fn down(&mut self) -> Result<(), String> {
        let output = self.run(&["down"]);
        let mut said =
            if output.status.success() { String::new() } else { format!("down: {}\n", told(&output)) };
        if let Some(mut supervisor) = self.supervisor.take() {
            let end = Deadline::in_seconds(40);
            while supervisor.try_wait().unwrap().is_none() {
                if end.passed() {
                    said += "the supervisor did not end within 40 s of `windlass down`\n";
                    kill_hard(supervisor.id() as i32);
                    let _ = supervisor.wait();
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        // What git had begun when control was killed may have a pack to finish; it must end by itself all the same.
        let end = Deadline::in_seconds(20);
        let left = loop {
            let left = self.processes();
            if left.is_empty() || end.passed() {
                break left;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        for process in &left {
            said += &format!("left behind: {process}\n");
            kill_hard(process.pid);
        }
        for mount in process::mounts(&self.data) {
            said += &format!("still mounted: {mount}\n");
        }
        if said.is_empty() { Ok(()) } else { Err(said) }
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        let panicking = std::thread::panicking();
        if panicking {
            eprintln!("{}", self.report());
        }
        if self.supervisor.is_none() && self.processes().is_empty() {
            return;
        }
        if let Err(left) = self.down() {
            assert!(panicking, "after `windlass down`:\n{left}");
            eprintln!("after `windlass down`:\n{left}");
        }
    }
}

/// What a command said, for a failed assertion.
pub(crate) fn told(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A free address that nobody is given who asks for any: it must still be free when a platform that was killed comes back.
fn steady_address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Linux gives out ports from 32768 on (`net.ipv4.ip_local_port_range`).
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap();
    (0..COUNT)
        .map(|_| FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .map(|port| format!("127.0.0.1:{port}"))
        .find(|address| std::net::TcpListener::bind(address).is_ok())
        .unwrap()
}
