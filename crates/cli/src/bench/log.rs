//! A gigabyte of log: the memory of the processes that it goes through, beside that of a small log, and how long its pages
//! take to open.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use http::Method;
use http_body_util::BodyExt as _;
use tokio::time::Instant;
use windlass_api::{Conclusion, Dispatch, RunDetail, RunSummary};

use super::processes::{most, name, naming, tree};
use super::report::{Samples, Section, millis};
use crate::demo::{Author, Place, Repository, Stage};
use crate::watch;

/// The lines of the two logs, of 1,000 bytes each: with its stamp a gigabyte of them is still below the limit of a log.
const SIZES: [(u64, &str); 2] = [(1_000, "1 MB"), (1_000_000, "1 GB")];
/// How often memory is looked at.
const PAUSE: Duration = Duration::from_millis(50);
/// How often each page is opened.
const OPENED: usize = 9;

/// The most memory of each kind of process, in kilobytes.
type Peaks = BTreeMap<String, u64>;

/// Measures.
pub(crate) async fn measure() -> Result<Section> {
    let stage = Stage::start(Place::new(None)?, 2).await?;
    let measured = on(&stage).await;
    stage.stop().await?;
    let how = "A job that writes lines of 1,000 bytes, on a running platform in the sandbox: first 1 MB, then 1 GB. Memory is the most that a \
               process of its kind had since it began (`VmHWM`); control and runner are the same processes for both. Then the gigabyte's \
               page and pieces of its lines, asked for over HTTP."
        .to_owned();
    let mut section = Section::new("log", "A log of a gigabyte", how, &["what", "measured"]);
    for row in measured? {
        section.row(row);
    }
    section.note("Aim: memory does not grow with the log; a page of it opens in less than a second.");
    Ok(section)
}

async fn on(stage: &Stage) -> Result<Vec<[String; 2]>> {
    let author = Author::new(stage, "log").await?;
    let folder = stage.place().folder("work")?;
    std::fs::create_dir_all(folder.join(".github/workflows"))?;
    for (lines, _) in SIZES {
        let text = format!(
            "on: workflow_dispatch\njobs:\n  write:\n    runs-on: ubuntu-latest\n    steps:\n      - run: seq -f '%0999.0f' {lines}\n"
        );
        std::fs::write(folder.join(format!(".github/workflows/w{lines}.yml")), text)?;
    }
    let repository = Repository::make(&folder, &stage.git_url("log"), author.token()).await?;
    repository.commit("log").await?;
    repository.push().await?;
    let mut rows = Vec::new();
    let mut peaks: Vec<Peaks> = Vec::new();
    let mut last = None;
    for (lines, size) in SIZES {
        let (run, took, most) = written(stage, lines).await?;
        rows.push([format!("{size}, from the start of its run to its end"), millis(took)]);
        peaks.push(most);
        last = Some(run);
    }
    let (small, large) = (&peaks[0], &peaks[1]);
    for (kind, kilobytes) in large {
        let before = small.get(kind).map_or_else(|| "?".to_owned(), |kilobytes| megabytes(*kilobytes));
        rows.push([
            format!("memory of {kind}, 1 MB → 1 GB"),
            format!("{before} → {}", megabytes(*kilobytes)),
        ]);
    }
    opened(stage, &last.context("there is a run")?, &mut rows).await?;
    Ok(rows)
}

fn megabytes(kilobytes: u64) -> String {
    format!("{:.1} MB", kilobytes as f64 * 1.024 / 1000.0)
}

/// Runs a workflow and looks at memory meanwhile.
async fn written(stage: &Stage, lines: u64) -> Result<(RunDetail, Duration, Peaks)> {
    let path = format!("/api/v1/projects/log/workflows/dispatch?file=.github%2Fworkflows%2Fw{lines}.yml");
    let how = Dispatch { git_ref: "main".into(), inputs: BTreeMap::new() };
    let begin = Instant::now();
    let run: RunSummary = stage.owner().post(&path, &how).await?;
    let data = stage.data().root().display().to_string();
    let mut peaks = Peaks::new();
    loop {
        let own = std::process::id();
        for pid in tree(own).into_iter().chain(naming(&data)).filter(|pid| *pid != own) {
            if let Some(kilobytes) = most(pid) {
                let kind = match name(pid).as_str() {
                    kind @ ("control" | "runner") => kind.to_owned(),
                    "job" => "the job's unit".to_owned(),
                    _ => continue,
                };
                let known = peaks.entry(kind).or_default();
                *known = (*known).max(kilobytes);
            }
        }
        let view = watch::fetch(stage.owner(), &run.id).await?;
        if watch::ended(&view) {
            if view.summary.conclusion != Some(Conclusion::Success) {
                bail!("the run of {lines} lines ended with {:?}", view.summary.conclusion);
            }
            return Ok((view, begin.elapsed(), peaks));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Opens pages of the log.
async fn opened(stage: &Stage, run: &RunDetail, rows: &mut Vec<[String; 2]>) -> Result<()> {
    let job = run.jobs.first().context("the run has a job")?;
    let base = format!("/runs/{}/jobs/{}", run.summary.id, job.id);
    let lines = |from: u64| format!("/api/v1{base}/log/lines?from={from}&count=200");
    let last = SIZES[1].0;
    let asked = [
        ("its page", base.clone()),
        ("its first 200 lines", lines(1)),
        ("200 lines of its middle", lines(last / 2)),
        ("its last 200 lines", lines(last - 200)),
    ];
    for (what, path) in asked {
        let mut all = Vec::new();
        for _ in 0..OPENED {
            let begin = Instant::now();
            let answer =
                stage.owner().send(Method::GET, &path, &[], windlass_api::RequestBody::default()).await?;
            answer.into_body().collect().await.context("the answer broke off")?;
            all.push(begin.elapsed());
        }
        let first = all.first().copied().unwrap_or_default();
        let samples = Samples::new(all);
        rows.push([
            format!("{what}: the first time; median"),
            format!("{}; {}", millis(first), millis(samples.median())),
        ]);
    }
    Ok(())
}
