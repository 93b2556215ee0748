//! Finds out what the machine permits: by starting a sandbox at each level, strongest first.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Linux, RuntimeConfig, Shared, seal};
use crate::RuntimeError;
use crate::cgroup::Hierarchies;
use crate::init::can_scope;
use crate::port::Sandbox as _;
use crate::spec::{Capabilities, ControlGroups, Level, SandboxSpec};

pub(super) async fn open(config: RuntimeConfig) -> Result<Linux, RuntimeError> {
    std::fs::create_dir_all(&config.scratch_root)
        .map_err(|error| RuntimeError::io(format!("making {}", config.scratch_root.display()), error))?;
    let shared = Shared { sealed: seal(&config.exe), exe: config.exe, groups: Hierarchies::find() };
    let mut why = Vec::new();
    let candidates = match config.level {
        Some(level) => vec![level],
        None if nix::unistd::geteuid().is_root() => Level::ALL.to_vec(),
        None => {
            why.push("Windlass runs as an ordinary user: namespaces made by root are not tried.".to_owned());
            Level::ALL[1..].to_vec()
        }
    };
    for level in candidates {
        match attempt(&shared, &config.scratch_root, level).await {
            Ok(()) => {
                let capabilities = describe(level, config.level.is_some(), why, shared.groups.version());
                return Ok(Linux { shared: Arc::new(shared), capabilities });
            }
            Err(error) if config.level.is_some() => {
                return Err(RuntimeError::LevelRefused {
                    level: level.to_string(),
                    reason: error.to_string(),
                });
            }
            Err(error) => why.push(format!("Level `{level}` is not permitted here: {error}.")),
        }
    }
    Err(RuntimeError::start("choosing a sandbox level", why.join(" ")))
}

async fn attempt(shared: &Shared, root: &Path, level: Level) -> Result<(), RuntimeError> {
    // Two probes of one process at a time must not meet in one control group.
    static PROBES: AtomicU32 = AtomicU32::new(0);
    let number = PROBES.fetch_add(1, Ordering::Relaxed);
    let id = format!("probe-{}-{number}-{level}", std::process::id());
    let sandbox = Linux::start_at(shared, SandboxSpec::machine(&id, root.join(&id)), level).await?;
    sandbox.kill().await
}

/// In plain sentences: what the level means first, as some places show no more than that; then why it is no stronger one.
fn describe(level: Level, forced: bool, mut tried: Vec<String>, cgroup: ControlGroups) -> Capabilities {
    let mut why = Vec::new();
    let mut say = |text: &str| why.push(text.to_owned());
    match level {
        Level::Namespaces => {
            say("Jobs run in namespaces of their own, as a root without power over the machine.");
            say("They may write anywhere; what they write outside of their workspace is thrown away.");
        }
        Level::UserNamespaces => {
            say("Jobs run in namespaces of their own that an ordinary user may make.");
            say(
                "They may write to their workspace, /tmp and their home; the machine's other folders are read-only.",
            );
        }
        Level::Process => {
            say("Jobs run as plain processes of the user that Windlass runs as.");
            say("Nothing is hidden from them: run only workflows here that you would run by hand.");
            say(
                "They are killed with all that they started, and their home and temporary folders are thrown away.",
            );
        }
    }
    if forced {
        say("WINDLASS_SANDBOX or the configuration insists on this level.");
    }
    why.append(&mut tried);
    let mut say = |text: &str| why.push(text.to_owned());
    match cgroup {
        ControlGroups::V1 => say("Limits are kept by control groups (version 1)."),
        ControlGroups::V2 => say("Limits are kept by control groups (version 2)."),
        ControlGroups::None => {
            say(
                "No control groups can be used: memory and processes are watched ten times a second, processor time is not limited.",
            );
        }
    }
    let scoped = can_scope();
    if level != Level::Process {
        say("Jobs share the machine's network: what listens on its loopback address is within their reach.");
    }
    if !scoped {
        say(
            "This kernel has no Landlock scopes: abstract Unix sockets of the machine are within reach of jobs.",
        );
    }
    Capabilities { level, why, cgroup, overlay: level == Level::Namespaces, abstract_sockets_hidden: scoped }
}
