//! A repository in a folder of its own, and the binary in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A repository with one commit and a cache of its own.
pub(crate) struct Repo {
    temp: tempfile::TempDir,
}

/// What the binary said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Repo {
    /// A repository whose workflow `ci.yml` reads so.
    pub(crate) fn with(workflow: &str) -> Self {
        let repo = Self { temp: tempfile::tempdir().unwrap() };
        repo.write(".github/workflows/ci.yml", workflow);
        repo.write("README", "first\n");
        for args in [
            &["init", "--quiet", "--initial-branch=main"][..],
            &["add", "."],
            &[
                "-c",
                "user.name=Ann",
                "-c",
                "user.email=ann@example.org",
                "commit",
                "--quiet",
                "-m",
                "The first",
            ],
        ] {
            let done = Command::new("git").args(args).current_dir(repo.root()).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
        repo
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.temp.path().join("shop")
    }

    /// Where the binary keeps what it keeps.
    pub(crate) fn cache(&self) -> PathBuf {
        self.temp.path().join("cache")
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.root().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// `windlass run` with these arguments.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
        for name in
            ["WINDLASS_URL", "WINDLASS_TOKEN", "WINDLASS_DATA", "WINDLASS_SANDBOX", "WINDLASS_BUILD_STORE"]
        {
            command.env_remove(name);
        }
        command.arg("run").args(args).current_dir(self.root()).env("XDG_CACHE_HOME", self.cache());
        command.env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    /// The same, carried out.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        Said::of(&self.command(args).output().unwrap())
    }

    /// The same, with plain processes.
    pub(crate) fn here(&self, args: &[&str]) -> Said {
        let mut all = vec!["-P", "ubuntu-latest=host"];
        all.extend(args);
        self.run(&all)
    }
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// It ended with this code, or everything that it said is shown.
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "out:\n{}\nerr:\n{}", self.out, self.err);
        self
    }

    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text), "`{text}` is not in\n{}\nerr:\n{}", self.out, self.err);
        self
    }

    pub(crate) fn says_not(self, text: &str) -> Self {
        assert!(
            !self.out.contains(text) && !self.err.contains(text),
            "`{text}` is in\n{}\n{}",
            self.out,
            self.err
        );
        self
    }

    pub(crate) fn complains(self, text: &str) -> Self {
        assert!(self.err.contains(text), "`{text}` is not in\n{}", self.err);
        self
    }

    /// The JSON objects of `--json`.
    pub(crate) fn objects(&self) -> Vec<serde_json::Value> {
        let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.out.lines().map(line).collect()
    }
}

/// A workflow on push with these jobs.
pub(crate) fn on_push(jobs: &str) -> String {
    format!("name: CI\non: push\njobs:\n{jobs}")
}

/// A job that runs one script.
pub(crate) fn job(id: &str, more: &str, script: &str) -> String {
    let (more, script) = (indented(more, "    "), indented(script, "          "));
    format!("  {id}:\n    runs-on: ubuntu-latest\n{more}    steps:\n      - run: |\n{script}")
}

fn indented(text: &str, by: &str) -> String {
    text.lines().fold(String::new(), |all, line| all + by + line + "\n")
}

/// All files below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(here) = waiting.pop() {
        for entry in std::fs::read_dir(here).into_iter().flatten().flatten() {
            if entry.path().is_dir() { waiting.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found
}
