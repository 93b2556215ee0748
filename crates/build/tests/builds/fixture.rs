//! A store, a builder, and a base image of busybox.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use windlass_build::{
    BuildError, BuildRequest, Builder, BuilderConfig, Destination, DockerfileSource, Event, Outcome, Output,
    Progress,
};
use windlass_kernel::{OsEntropy, SystemClock};

/// What is heard of a build.
#[derive(Default)]
pub(crate) struct Heard(pub(crate) Mutex<Vec<Event>>);

impl Progress for Heard {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Heard {
    pub(crate) fn lines(&self) -> Vec<String> {
        let events = self.0.lock().unwrap();
        let line =
            |event: &Event| if let Event::Line { text, .. } = event { Some(text.clone()) } else { None };
        events.iter().filter_map(line).filter(|line| !line.starts_with("writing image sha256:")).collect()
    }
}

/// A place for builds.
pub(crate) struct Site {
    pub(crate) temp: TempDir,
    pub(crate) builder: Builder,
}

/// What a build left: its outcome, what was heard, and its files by path.
pub(crate) struct Built {
    pub(crate) outcome: Outcome,
    pub(crate) heard: Arc<Heard>,
    pub(crate) files: BTreeMap<String, File>,
}

/// A file of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) kind: char,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    pub(crate) text: String,
    /// Extended attributes, in hexadecimal.
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let builder = open(temp.path()).await;
        let site = Self { temp, builder };
        site.base().await;
        site
    }

    /// The site, if steps can run here; otherwise says that the test is skipped.
    pub(crate) async fn with_steps(test: &str) -> Option<Self> {
        if !Path::new("/bin/busybox").exists() {
            windlass_testkit::skip(test, "there is no /bin/busybox to make a base image of");
            return None;
        }
        let site = Self::new().await;
        match site.build("FROM base\nRUN true\n").await {
            Ok(_) => Some(site),
            Err(error) if error.to_string().contains("namespaces") => {
                windlass_testkit::skip(test, &error.to_string());
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// Writes a file of the context.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path("context").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    async fn base(&self) {
        let root = self.path("base");
        for folder in ["bin", "etc", "tmp", "root", "usr/bin", "home/app"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for name in [
            "sh", "true", "false", "cat", "echo", "ls", "mkdir", "rm", "touch", "chmod", "chown", "ln", "mv",
            "cp", "id", "env", "stat", "sleep", "head", "printf", "test", "mkfifo", "find", "grep", "dd",
            "yes", "wc", "sort", "pwd", "hostname", "df", "nc", "kill", "setsid", "date", "tr", "readlink",
        ] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        std::fs::write(
            root.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n",
        )
        .unwrap();
        std::fs::write(root.join("etc/group"), "root:x:0:\napp:x:1001:\nstaff:x:50:app\n").unwrap();
        let mut request = BuildRequest::of(&root);
        request.dockerfile = DockerfileSource::Text(
            "FROM scratch\nCOPY --chmod=755 . /\nRUN [\"chmod\", \"1777\", \"/tmp\"]\nENV BASE=yes\nCMD [\"/bin/sh\"]\n".into(),
        );
        if !Path::new("/bin/busybox").exists() {
            return;
        }
        request.tags = vec!["base".parse().unwrap()];
        // Where no step can run, the mode of /tmp does not matter.
        if let Err(error) = self.builder.build(request.clone(), Arc::new(Heard::default())).await {
            assert!(error.to_string().contains("namespaces"), "{error}");
            request.dockerfile = DockerfileSource::Text("FROM scratch\nCOPY . /\n".into());
            self.builder.build(request, Arc::new(Heard::default())).await.unwrap();
        }
    }

    pub(crate) fn request(&self, dockerfile: &str) -> BuildRequest {
        std::fs::create_dir_all(self.path("context")).unwrap();
        let mut request = BuildRequest::of(self.path("context"));
        request.dockerfile = DockerfileSource::Text(dockerfile.into());
        request.default_hosts = Vec::new();
        request
    }

    pub(crate) async fn build(&self, dockerfile: &str) -> Result<Built, BuildError> {
        self.run(self.request(dockerfile)).await
    }

    /// Builds, and looks at the files.
    pub(crate) async fn run(&self, mut request: BuildRequest) -> Result<Built, BuildError> {
        let tar = self.path(&format!("out-{}.tar", next()));
        request.outputs.push(Output::Tar(Destination::Path(tar.clone())));
        let heard = Arc::new(Heard::default());
        let outcome = self.builder.build(request, heard.clone()).await?;
        Ok(Built { outcome, heard, files: read(&tar) })
    }

    /// The configuration of the image of that id.
    pub(crate) fn config(&self, outcome: &Outcome) -> serde_json::Value {
        let id = outcome.id.as_ref().unwrap();
        let path = self.builder.store().blobs().path(id);
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }
}

pub(crate) async fn open(root: &Path) -> Builder {
    let config = BuilderConfig {
        store: root.join("store"),
        exe: PathBuf::from(env!("CARGO_BIN_EXE_windlass-build-init")),
    };
    Builder::open(config, Arc::new(SystemClock), Arc::new(OsEntropy)).await.unwrap()
}

fn next() -> u32 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// The files of a tar.
pub(crate) fn read(path: &Path) -> BTreeMap<String, File> {
    use std::io::Read as _;
    let mut archive = tar::Archive::new(std::fs::File::open(path).unwrap());
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_end_matches('/').to_owned();
        let header = entry.header().clone();
        let kind = match header.entry_type() {
            tar::EntryType::Directory => 'd',
            tar::EntryType::Symlink => 'l',
            tar::EntryType::Link => 'h',
            tar::EntryType::Fifo => 'p',
            _ => 'f',
        };
        let mut attributes = BTreeMap::new();
        for extension in entry.pax_extensions().unwrap().into_iter().flatten().flatten() {
            let key = extension.key().unwrap_or_default();
            if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                attributes.insert(name.to_owned(), hex::encode(extension.value_bytes()));
            }
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        let link = entry.link_name_bytes().map(|target| String::from_utf8_lossy(&target).into_owned());
        let text = link.unwrap_or_else(|| String::from_utf8_lossy(&bytes).into_owned());
        let owner = (header.uid().unwrap(), header.gid().unwrap());
        files.insert(name, File { kind, mode: header.mode().unwrap(), owner, text, attributes });
    }
    files
}

impl Built {
    pub(crate) fn text(&self, path: &str) -> &str {
        &self.files.get(path).unwrap_or_else(|| panic!("{path} is not there: {:?}", self.files.keys())).text
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }
}
