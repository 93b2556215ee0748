//! What a sandbox, a program and an instance are, as values.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use windlass_kernel::Timestamp;

/// How strongly programs are kept apart, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Namespaces made by root, with a user namespace inside that holds no power over the machine.
    #[serde(rename = "namespaces")]
    Namespaces,
    /// The same within a user namespace of an ordinary user: the machine's root is read-only.
    #[serde(rename = "user")]
    UserNamespaces,
    /// Plain processes in a session of their own. Nothing is hidden from them.
    #[serde(rename = "process")]
    Process,
}

impl Level {
    /// All, strongest first.
    pub const ALL: [Self; 3] = [Self::Namespaces, Self::UserNamespaces, Self::Process];

    /// The name used in `WINDLASS_SANDBOX` and on pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::UserNamespaces => "user",
            Self::Process => "process",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Level {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|level| level.name() == text)
            .ok_or_else(|| format!("`{text}` is no sandbox level; use namespaces, user or process"))
    }
}

/// Which control groups can be used for limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ControlGroups {
    /// The separate hierarchies of version 1.
    V1,
    /// The unified hierarchy.
    V2,
    /// None: limits are kept by resource limits and a watch in the sandbox's init.
    None,
}

/// What this machine permits, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// The level in force.
    pub level: Level,
    /// Plain sentences for `windlass doctor`: why this level and no stronger one, and what follows.
    pub why: Vec<String>,
    /// Control groups in force.
    pub cgroup: ControlGroups,
    /// Whether a job may write anywhere (overlay), its writes thrown away at the end.
    pub overlay: bool,
    /// Whether abstract Unix sockets of the machine are out of reach although the network is shared (Landlock).
    pub abstract_sockets_hidden: bool,
}

/// What a sandbox's file system is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "layers", rename_all = "snake_case")]
pub enum Root {
    /// The machine's own root; writes are thrown away, secrets and homes are masked.
    Machine,
    /// Image layers, unpacked folders, the topmost first; nothing of the machine is seen.
    Layers(Vec<PathBuf>),
    /// Layers, the topmost first, over the machine's own root.
    MachineWithLayers(Vec<PathBuf>),
}

/// A folder or file of the machine that is seen in the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// Where it is on the machine.
    pub host: PathBuf,
    /// Where it is seen: absolute. Missing folders are made.
    pub inside: PathBuf,
    /// Whether writing is refused.
    pub read_only: bool,
}

/// What a sandbox may use at most. `None`: as much as there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Thousandths of a processor.
    pub cpu_millis: Option<u64>,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
}

/// A sandbox as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// Unique among the living ones on this machine: letters, digits, `-`, `_`, `.`; at most 100.
    pub id: String,
    /// The file system.
    pub root: Root,
    /// A folder of its own for what the sandbox writes. Made at the start, deleted at the end.
    pub scratch: PathBuf,
    /// The workspace and other folders that are seen inside.
    pub binds: Vec<Bind>,
    /// Paths of the machine that must not be seen (the data directory). Only for the machine's root.
    pub hidden: Vec<PathBuf>,
    /// Whether toolchains below home folders (rustup, pyenv, …) are seen. Only for the machine's root.
    pub toolchain_homes: bool,
    /// Limits.
    pub limits: Limits,
    /// The name that the sandbox sees as its machine's.
    pub hostname: String,
    /// Whether the root itself refuses writes.
    pub read_only_root: bool,
    /// User and group that programs run as; `None` is the sandbox's root.
    pub user: Option<(u32, u32)>,
    /// Whether it has a network of its own (loopback only) instead of the machine's.
    pub isolate_network: bool,
    /// A folder where what is written to the root is kept, as the upper layer of an overlay; it is on the file system of
    /// `scratch`. `/tmp` and `/run` are then the image's own. `None`: what is written is thrown away. Only for
    /// [`Root::Layers`], where each place that something is attached to is there already.
    #[serde(default)]
    pub keep: Option<PathBuf>,
    /// Whether `/tmp`, `/var/tmp` and `/run` are the image's own, instead of empty folders. Only for [`Root::Layers`].
    #[serde(default)]
    pub image_folders: bool,
    /// Folders laid over each other that are seen in the sandbox; what is written to them is thrown away.
    #[serde(default)]
    pub laid: Vec<Laid>,
    /// Empty folders in memory.
    #[serde(default)]
    pub memory: Vec<Memory>,
    /// Further groups of `user`.
    #[serde(default)]
    pub groups: Vec<u32>,
}

/// Folders laid over each other, seen at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Laid {
    /// The folders, the topmost first.
    pub layers: Vec<PathBuf>,
    /// Where they are seen: absolute.
    pub inside: PathBuf,
    /// Whether writing is refused.
    pub read_only: bool,
}

/// An empty folder in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Where it is: absolute.
    pub inside: PathBuf,
    /// How many bytes it may hold; 0 for the kernel's usual limit.
    pub bytes: u64,
}

impl SandboxSpec {
    /// A sandbox over the machine's own root, without binds or limits.
    pub fn machine(id: impl Into<String>, scratch: impl Into<PathBuf>) -> Self {
        let id = id.into();
        Self {
            hostname: "windlass".into(),
            id,
            root: Root::Machine,
            scratch: scratch.into(),
            binds: Vec::new(),
            hidden: Vec::new(),
            toolchain_homes: true,
            limits: Limits::default(),
            read_only_root: false,
            user: None,
            isolate_network: false,
            keep: None,
            laid: Vec::new(),
            memory: Vec::new(),
            groups: Vec::new(),
            image_folders: false,
        }
    }

    /// A sandbox over image layers, the topmost first.
    pub fn layers(id: impl Into<String>, scratch: impl Into<PathBuf>, layers: Vec<PathBuf>) -> Self {
        Self { root: Root::Layers(layers), toolchain_homes: false, ..Self::machine(id, scratch) }
    }

    /// Shows `host` at `inside`, writable.
    pub fn bind(mut self, host: impl Into<PathBuf>, inside: impl Into<PathBuf>) -> Self {
        self.binds.push(Bind { host: host.into(), inside: inside.into(), read_only: false });
        self
    }

    /// Hides a path of the machine.
    pub fn hide(mut self, path: impl Into<PathBuf>) -> Self {
        self.hidden.push(path.into());
        self
    }

    /// Sets the limits.
    pub fn limit(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// What a program reads from its standard input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stdin {
    /// Nothing.
    #[default]
    Null,
    /// These bytes, then the end.
    Bytes(Vec<u8>),
    /// What this file gives: a terminal, for instance.
    File(OpenFile),
}

/// A file that is open.
#[derive(Clone, Debug)]
pub struct OpenFile(Arc<OwnedFd>);

impl OpenFile {
    /// Shares an open file.
    pub fn new(file: OwnedFd) -> Self {
        Self(Arc::new(file))
    }

    /// A handle of its own to it.
    ///
    /// # Errors
    /// When no more files can be opened.
    pub fn handle(&self) -> std::io::Result<OwnedFd> {
        self.0.try_clone()
    }
}

impl PartialEq for OpenFile {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for OpenFile {}

/// A program to run in a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// Program and arguments. A name without a slash is looked up in `env`'s `PATH`, inside.
    pub argv: Vec<String>,
    /// The whole environment: nothing is inherited. (At level `process` a mark of the sandbox is added.)
    pub env: BTreeMap<String, String>,
    /// Working directory, as seen inside.
    pub cwd: PathBuf,
    /// Standard input.
    pub stdin: Stdin,
    /// Whether standard error goes into standard output, in order.
    pub merge_output: bool,
}

impl Exec {
    /// A program with arguments, in `/`, with an empty environment and no input.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            env: BTreeMap::new(),
            cwd: PathBuf::from("/"),
            stdin: Stdin::Null,
            merge_output: false,
        }
    }

    /// Adds one variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Adds variables.
    pub fn envs<K: Into<String>, V: Into<String>>(mut self, vars: impl IntoIterator<Item = (K, V)>) -> Self {
        self.env.extend(vars.into_iter().map(|(k, v)| (k.into(), v.into())));
        self
    }

    /// Sets the working directory.
    pub fn cwd(mut self, cwd: impl Into<PathBuf>) -> Self {
        self.cwd = cwd.into();
        self
    }

    /// Sets the bytes to read.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Stdin::Bytes(bytes.into());
        self
    }

    /// Sends standard error into standard output.
    pub fn merge_output(mut self) -> Self {
        self.merge_output = true;
        self
    }
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Because it, or something it started, was killed for using more memory than the sandbox's limit.
    OutOfMemory,
}

impl Exit {
    /// Whether it ended with code 0.
    pub const fn success(self) -> bool {
        matches!(self, Self::Code(0))
    }

    /// The code as shells give it: 128 + signal, 137 when out of memory.
    pub const fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
            Self::OutOfMemory => 137,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
            Self::OutOfMemory => f.write_str("out of memory: the sandbox's memory limit was reached"),
        }
    }
}

/// A signal by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal(pub i32);

impl Signal {
    /// Ctrl-C.
    pub const INTERRUPT: Self = Self(2);
    /// Cannot be refused.
    pub const KILL: Self = Self(9);
    /// Please end.
    pub const TERMINATE: Self = Self(15);
}

/// What a sandbox has used, and uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time of all its processes so far, nanoseconds.
    pub cpu_nanos: u64,
    /// Memory now, bytes.
    pub memory_bytes: u64,
    /// Processes now.
    pub processes: u64,
}

/// One service instance, as its shim is told (`DIR/spec.json`, readable by its owner only: it holds the environment).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// Its sandbox.
    pub sandbox: SandboxSpec,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// Working directory, as seen inside.
    pub cwd: PathBuf,
}

/// What is known of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Observed {
    /// The shim lives and the program is about to start.
    Starting,
    /// The program runs.
    Running {
        /// The shim's process id on this machine.
        pid: u32,
        /// Since when.
        started_at: Timestamp,
        /// What it uses; zeros when that could not be learnt.
        usage: Usage,
    },
    /// The program has ended.
    Exited {
        /// How.
        exit: Exit,
        /// When.
        at: Timestamp,
    },
    /// The sandbox or the program did not start; the instance's log says why.
    Failed {
        /// When.
        at: Timestamp,
    },
    /// There is no shim, and none left word of an exit: it was killed, or never started.
    Gone,
}
