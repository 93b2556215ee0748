//! A platform that keeps 10,000 runs: its pages, and its memory when nothing happens.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::Method;
use http_body_util::BodyExt as _;
use tokio::time::Instant;
use windlass_api::{Dispatch, RunSummary};

use super::processes::{name, pss, tree};
use super::report::{Samples, Section, millis};
use crate::demo::{Author, Place, Repository, Stage};

/// How many runs there are.
const RUNS: usize = 10_000;
/// How many are started at a time.
const AT_ONCE: usize = 4;
/// How long it is left alone before it is weighed.
const REST: Duration = Duration::from_secs(10);
/// A run that ends as it begins: what is measured is how it is kept.
const WORKFLOW: &str = "on: workflow_dispatch\njobs:\n  a:\n    if: github.actor == ''\n    runs-on: ubuntu-latest\n    steps:\n      - run: \"true\"\n";

/// Measures.
pub(crate) async fn measure(count: usize) -> Result<Section> {
    let stage = Stage::start(Place::new(None)?, 2).await?;
    let measured = on(&stage, count).await;
    stage.stop().await?;
    let how = format!(
        "{RUNS} runs started by hand, one after the other, on a running platform; each page then asked for over HTTP. Memory is the \
         proportional set size of all its processes, {} s after the last request, before and after.",
        REST.as_secs()
    );
    let mut section = Section::new("runs", "Many runs", how, &["what", "median", "spread"]);
    for row in measured? {
        section.row(row);
    }
    section.note("Aim: pages in less than 50 ms, idle memory unchanged.");
    Ok(section)
}

async fn on(stage: &Stage, count: usize) -> Result<Vec<[String; 3]>> {
    let author = Author::new(stage, "many").await?;
    let folder = stage.place().folder("work")?;
    std::fs::create_dir_all(folder.join(".github/workflows"))?;
    std::fs::write(folder.join(".github/workflows/w.yml"), WORKFLOW)?;
    let repository = Repository::make(&folder, &stage.git_url("many"), author.token()).await?;
    repository.commit("many").await?;
    repository.push().await?;
    // What every process does once is done before it is weighed.
    start(stage, 50).await?;
    pages(stage, 1).await?;
    let before = weighed().await?;
    start(stage, RUNS - 50).await?;
    let mut rows = pages(stage, count).await?;
    let after = weighed().await?;
    for (kind, kilobytes) in &after {
        let was = before.get(kind).copied().unwrap_or_default();
        rows.push([
            format!("memory of {kind}, before → after"),
            format!("{} → {}", megabytes(was), megabytes(*kilobytes)),
            String::new(),
        ]);
    }
    Ok(rows)
}

async fn start(stage: &Stage, runs: usize) -> Result<()> {
    let one = || async {
        let path = "/api/v1/projects/many/workflows/dispatch?file=.github%2Fworkflows%2Fw.yml";
        let how = Dispatch { git_ref: "main".into(), inputs: BTreeMap::new() };
        stage.owner().post::<_, RunSummary>(path, &how).await.context("a run cannot be started")
    };
    for _ in 0..runs.div_ceil(AT_ONCE) {
        tokio::try_join!(one(), one(), one(), one())?;
    }
    Ok(())
}

async fn pages(stage: &Stage, count: usize) -> Result<Vec<[String; 3]>> {
    let newest: Vec<RunSummary> = stage.owner().get("/api/v1/projects/many/runs?limit=100").await?;
    let (first, last) = (newest.first().context("there are runs")?, newest.last().context("there are runs")?);
    let asked = [
        ("overview", "/".to_owned()),
        ("projects", "/projects".to_owned()),
        ("project, with its newest runs", "/projects/many".to_owned()),
        ("project, older runs", format!("/projects/many?before={}", last.id)),
        ("run", format!("/runs/{}", first.id)),
        ("audit", "/audit".to_owned()),
    ];
    let mut rows = Vec::new();
    for (what, path) in asked {
        let mut all = Vec::new();
        for _ in 0..count.max(1) {
            let begin = Instant::now();
            let answer =
                stage.owner().send(Method::GET, &path, &[], windlass_api::RequestBody::default()).await?;
            answer.into_body().collect().await.context("the answer broke off")?;
            all.push(begin.elapsed());
        }
        let samples = Samples::new(all);
        rows.push([what.to_owned(), millis(samples.median()), samples.spread()]);
    }
    Ok(rows)
}

/// The memory of each process of the platform, in kilobytes, and of all together.
async fn weighed() -> Result<BTreeMap<String, u64>> {
    tokio::time::sleep(REST).await;
    let mut found = BTreeMap::new();
    // This process stands for the supervisor and measures as well: it is left out.
    for pid in tree(std::process::id()).into_iter().skip(1) {
        let kind = name(pid);
        if ["control", "gateway", "runner", "job"].contains(&kind.as_str()) {
            *found.entry(kind).or_default() += pss(pid)?;
        }
    }
    let sum = found.values().sum();
    found.insert("all together".to_owned(), sum);
    Ok(found)
}

fn megabytes(kilobytes: u64) -> String {
    format!("{:.1} MB", kilobytes as f64 * 1.024 / 1000.0)
}
