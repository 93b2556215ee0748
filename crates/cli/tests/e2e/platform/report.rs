//! What a person wants to see when a test has failed.

use std::path::Path;

use windlass_api::{RunDetail, RunSummary};

use super::Platform;

/// Lines of each log that are shown.
const LINES: usize = 40;

impl Platform {
    /// The ends of all logs, and how the runs stand.
    pub(crate) fn report(&self) -> String {
        let mut text = String::from("---- the platform ----\n");
        text += &tail(&self.folder().join("up.log"));
        for role in ["control", "gateway", "runner"] {
            text += &tail(&self.data.join(format!("logs/{role}.log")));
        }
        if !self.url.is_empty()
            && let Ok(runs) = self.try_get::<Vec<RunSummary>>("/api/v1/runs")
        {
            for run in runs {
                text += &self.run_report(&run.id);
            }
        }
        for log in files(&self.data.join("logs/jobs")) {
            text += &tail(&log);
        }
        text
    }

    fn run_report(&self, id: &str) -> String {
        let Ok(run) = self.try_get::<RunDetail>(&format!("/api/v1/runs/{id}")) else { return String::new() };
        let head = &run.summary;
        let mut text = format!("run {id} `{}` {:?} {:?}\n", head.title, head.state, head.conclusion);
        for finding in &run.diagnostics {
            text += &format!("  {}:{}:{}: {}\n", finding.file, finding.line, finding.column, finding.message);
        }
        for job in &run.jobs {
            text += &format!(
                "  job {} {:?} {:?} tries {} {}\n",
                job.name,
                job.state,
                job.conclusion,
                job.tries,
                job.reason.as_deref().unwrap_or("")
            );
        }
        text
    }
}

fn tail(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    let cut = |line: &&str| line.chars().take(400).collect::<String>();
    let last: Vec<String> = last.iter().map(cut).collect();
    format!("---- {} ----\n{}\n", path.display(), last.join("\n"))
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}
