//! Where the jobs of a local run run: by their labels, in the sandbox or as plain processes.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;
use windlass_runtime::{Capabilities, Host, Level, Linux, Runtime, RuntimeConfig};

/// Where a job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    /// In the sandbox, as on a server.
    Sandbox,
    /// As plain processes of this user.
    Host,
    /// In a container of this image: of our own sandbox, or of the Docker Engine where that was asked for.
    Docker(String),
}

/// Where jobs of a label run: `LABEL=sandbox`, `LABEL=host` or `LABEL=docker:IMAGE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelPlace {
    /// The label; it ignores case.
    pub label: String,
    /// The place.
    pub place: Where,
}

impl FromStr for LabelPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not LABEL=sandbox, LABEL=host or LABEL=docker:IMAGE");
        let (label, place) = text.split_once('=').ok_or_else(wrong)?;
        let place = match place {
            "sandbox" => Where::Sandbox,
            "host" => Where::Host,
            other => match other.strip_prefix("docker:").filter(|image| !image.is_empty()) {
                Some(image) => Where::Docker(image.to_owned()),
                None => return Err(wrong()),
            },
        };
        if label.trim().is_empty() {
            return Err(wrong());
        }
        Ok(Self { label: label.trim().to_owned(), place })
    }
}

/// The places of this machine.
#[derive(Debug)]
pub(super) struct Places {
    given: Vec<LabelPlace>,
    exe: PathBuf,
    store: PathBuf,
    found: OnceCell<Result<Ground, String>>,
    host: OnceCell<Arc<Host>>,
}

/// What gives jobs their sandbox.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    pub(super) runtime: Arc<dyn Runtime>,
    /// Whether it is plain processes of this user.
    pub(super) plain: bool,
    /// Why it is no sandbox although one was wanted.
    pub(super) instead: Option<String>,
}

/// What was found out about sandboxes, kept for the next run: finding out costs a start.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    /// What must be the same for it to hold.
    on: String,
    capabilities: Capabilities,
}

impl Places {
    pub(super) fn new(given: Vec<LabelPlace>, exe: &Path, store: &Path) -> Self {
        let (exe, store) = (exe.to_owned(), store.to_owned());
        Self { given, exe, store, found: OnceCell::new(), host: OnceCell::new() }
    }

    /// Where a job with these labels runs; the error is the label that nobody serves.
    pub(super) fn of<'a>(&self, labels: &'a [String]) -> Result<Where, &'a str> {
        let given = |label: &str| self.given.iter().rev().find(|g| g.label.eq_ignore_ascii_case(label));
        if let Some(unserved) = labels.iter().find(|label| given(label).is_none() && !served(label)) {
            return Err(unserved);
        }
        Ok(labels.iter().find_map(|label| given(label)).map_or(Where::Sandbox, |given| given.place.clone()))
    }

    /// What is said of a label that nobody serves.
    pub(super) fn unserved(label: &str) -> String {
        format!(
            "no one here serves the label `{label}`: say where its jobs run, such as -P {label}=host (plain processes) or \
             -P {label}=sandbox"
        )
    }

    /// What a place runs jobs on.
    pub(super) async fn ground(&self, place: &Where) -> Result<Ground, String> {
        match place {
            Where::Host => Ok(self.host().await),
            // What fetches code and actions runs beside a container.
            Where::Sandbox | Where::Docker(_) => self.found.get_or_init(|| self.find()).await.clone(),
        }
    }

    /// Where containers run, or why nowhere.
    pub(super) async fn containers(&self) -> Result<Arc<dyn Runtime>, String> {
        let ground = self.ground(&Where::Sandbox).await?;
        ground.instead.map_or(Ok(ground.runtime), Err)
    }

    async fn host(&self) -> Ground {
        let host = self.host.get_or_init(|| async { Arc::new(Host::new()) }).await;
        Ground { runtime: host.clone(), plain: true, instead: None }
    }

    async fn find(&self) -> Result<Ground, String> {
        let config = RuntimeConfig::new(&self.exe, self.store.join("scratch")).map_err(|e| e.to_string())?;
        let on = circumstances(&self.exe, config.level);
        let path = self.store.join("sandbox.json");
        let known = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Known>(&bytes).ok());
        let linux = match known.filter(|known| known.on == on) {
            Some(known) => Linux::trusting(config, known.capabilities),
            None => match Linux::open(config).await {
                Ok(linux) => {
                    let known = Known { on, capabilities: linux.capabilities().clone() };
                    // Not kept is found out again.
                    let _ = serde_json::to_vec(&known).map(|bytes| std::fs::write(&path, bytes));
                    linux
                }
                Err(e) => return Ok(self.instead(e.to_string()).await),
            },
        };
        if linux.capabilities().level == Level::Process {
            return Ok(self.instead(linux.capabilities().why.join(" ")).await);
        }
        Ok(Ground { runtime: Arc::new(linux), plain: false, instead: None })
    }

    async fn instead(&self, why: String) -> Ground {
        Ground { instead: Some(why), ..self.host().await }
    }
}

/// A folder of this user's own in memory. Making a small file there takes a hundredth of what it takes on some disks,
/// and a step has six of them.
pub(super) fn memory() -> Option<PathBuf> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    let own = nix::unistd::geteuid().as_raw();
    let path = Path::new("/dev/shm").join(format!("windlass-local-{own}"));
    let _ = std::fs::DirBuilder::new().mode(0o700).create(&path);
    // Whoever else may write there must not have been first.
    let meta = std::fs::symlink_metadata(&path).ok()?;
    (meta.is_dir() && meta.uid() == own && meta.mode() & 0o777 == 0o700).then_some(path)
}

/// The labels of GitHub's Linux machines and of any machine of one's own.
fn served(label: &str) -> bool {
    let label = label.to_lowercase();
    let arch = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    ["linux", "self-hosted", arch].contains(&label.as_str())
        || label.strip_prefix("ubuntu-").is_some_and(|rest| !rest.is_empty())
}

/// What sandboxes depend on.
fn circumstances(exe: &Path, level: Option<Level>) -> String {
    use std::os::unix::fs::MetadataExt as _;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let program = std::fs::metadata(exe).map(|meta| (meta.ino(), meta.size(), meta.mtime())).ok();
    format!("{} {program:?} {level:?} {}", boot.trim(), nix::unistd::geteuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(given: &[&str]) -> Places {
        let given = given.iter().map(|text| text.parse().unwrap()).collect();
        Places::new(given, Path::new("/x"), Path::new("/y"))
    }

    fn labels(list: &[&str]) -> Vec<String> {
        list.iter().map(|label| (*label).to_owned()).collect()
    }

    #[test]
    fn labels_have_their_places() {
        type Case<'a> = (&'a [&'a str], &'a [&'a str], Result<Where, &'a str>);
        let cases: &[Case<'_>] = &[
            (&[], &["ubuntu-latest"], Ok(Where::Sandbox)),
            (&[], &["Ubuntu-22.04"], Ok(Where::Sandbox)),
            (&[], &["self-hosted", "linux"], Ok(Where::Sandbox)),
            (&[], &["windows-latest"], Err("windows-latest")),
            (&[], &["self-hosted", "gpu"], Err("gpu")),
            (&[], &["ubuntu-"], Err("ubuntu-")),
            (&["gpu=host"], &["self-hosted", "GPU"], Ok(Where::Host)),
            (&["ubuntu-latest=host"], &["ubuntu-latest"], Ok(Where::Host)),
            (&["ubuntu-latest=host"], &["ubuntu-22.04"], Ok(Where::Sandbox)),
            (&["x=sandbox", "x=docker:alpine:3"], &["x"], Ok(Where::Docker("alpine:3".into()))),
        ];
        for (given, wanted, place) in cases {
            assert_eq!(places(given).of(&labels(wanted)), *place, "{given:?} {wanted:?}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in ["x", "=host", "x=", "x=docker:", "x=vm"] {
            assert!(text.parse::<LabelPlace>().is_err(), "{text}");
        }
    }
}
