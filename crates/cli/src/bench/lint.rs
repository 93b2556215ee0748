//! 1,000 workflow files looked at by `windlass lint`, the whole program; beside `actionlint`, where it is on the path.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::process::Command;
use tokio::time::Instant;

use super::report::{Samples, Section};

const FILES: usize = 1_000;
const JOBS: usize = 6;

/// Measures.
pub(crate) async fn measure(count: usize) -> Result<Section> {
    let temp = tempfile::tempdir()?;
    let folder = temp.path().join(".github/workflows");
    std::fs::create_dir_all(&folder)?;
    for number in 0..FILES {
        std::fs::write(folder.join(format!("w{number}.yml")), workflow(number))?;
    }
    let ourselves = std::env::current_exe()?;
    let ours = times(&ourselves, &["lint"], temp.path(), count).await?;
    let theirs = times(Path::new("actionlint"), &[], temp.path(), count).await;
    let how = format!(
        "{FILES} files of {JOBS} jobs each, all findings looked for; the whole program, from its start to its end."
    );
    let mut section =
        Section::new("lint", "Lint", how, &["what", "median", "spread", "÷ actionlint (or ÷ itself)"]);
    let ours = Samples::new(ours);
    match theirs {
        Ok(theirs) => {
            let theirs = Samples::new(theirs);
            section.compared("windlass lint", &ours, &theirs);
            section.compared("actionlint", &theirs, &theirs);
        }
        Err(why) => {
            section.compared("windlass lint", &ours, &ours);
            section.note(format!("actionlint: not measured: {why:#}."));
        }
    }
    Ok(section)
}

async fn times(program: &Path, arguments: &[&str], folder: &Path, count: usize) -> Result<Vec<Duration>> {
    let mut found = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
        let status = command.stderr(Stdio::null()).status().await;
        status.with_context(|| format!("{} cannot be started", program.display()))?;
        found.push(start.elapsed());
    }
    Ok(found)
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
