//! Reports: test results, coverage and findings that runs upload, read and remembered. The ledger says what was uploaded;
//! a reader of it opens what may hold a report. So nothing is lost when control dies in between, and the order is the
//! ledger's.

mod archive;
mod coverage;
mod documents;
mod junit;
mod load;
mod sarif;
mod views;
mod xml;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use windlass_kernel::{
    Actor, ArtifactId, Batch, Digest, Document, Event, NewEvent, RunId, StoreError, StoreExt as _,
};
use windlass_pipeline::Run;

use crate::context::Context;
use archive::Contents;
use documents::{
    Coverage, CoverageHistory, FindingsHistory, Known, Point, ReportDoc, TestHistory, Tests, of_branch,
};
use junit::{MOST_CASES, Outcome};
use sarif::Finding;
pub(crate) use views::of_run;

/// The reader's name in the store.
const READER: &str = "reports";
/// How many entries are read at a time.
const ENTRIES: usize = 500;
/// The largest upload that is opened, in bytes.
const LARGEST: u64 = 1 << 30;
/// How many of the slowest tests are kept.
const SLOWEST: usize = 20;

/// Takes in what the ledger tells, until `stop`.
pub(crate) async fn run(ctx: Arc<Context>, stop: CancellationToken) {
    let mut told = ctx.ledger.subscribe();
    let mut at = None;
    loop {
        match take_in(&ctx, &mut at).await {
            Ok(()) => ctx.evidence.reports_are_at(at.unwrap_or_default()),
            Err(e) => tracing::warn!(error = %e, "reports could not be taken in; they are tried again"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            _ = told.changed() => {}
            () = tokio::time::sleep(std::time::Duration::from_secs(30)) => {}
        }
    }
}

/// Reads the ledger from `at` (or where the store says) to its end.
pub(crate) async fn take_in(ctx: &Arc<Context>, at: &mut Option<u64>) -> Result<(), StoreError> {
    let mut place = match *at {
        Some(place) => place,
        None => ctx.store.cursor(READER).await?,
    };
    loop {
        let entries = ctx.store.events(place, ENTRIES).await?;
        // Every commit wakes this reader: its place is written down only where it did something, or came far.
        let mut written = entries.len() >= ENTRIES;
        for entry in &entries {
            match entry.body.kind.as_str() {
                "artifact.created" => match uploaded(ctx, entry).await {
                    Ok(()) => written = true,
                    Err(e @ StoreError::Corrupt { .. }) => {
                        tracing::error!(error = %e, "a report is left out");
                    }
                    Err(e) => return Err(e),
                },
                "artifact.expired" | "artifact.deleted" => {
                    ctx.store.commit(Batch::new().delete::<ReportDoc>(&entry.body.subject)).await?;
                    written = true;
                }
                _ if let Some(id) = gone(entry) => {
                    let batch = Batch::new()
                        .delete::<TestHistory>(&id)
                        .delete::<CoverageHistory>(&id)
                        .delete::<FindingsHistory>(&id);
                    ctx.store.commit(batch).await?;
                    written = true;
                }
                _ => {}
            }
            place = entry.seq;
            *at = Some(place);
        }
        if written {
            ctx.store.set_cursor(READER, place).await?;
        }
        if entries.len() < ENTRIES {
            return Ok(());
        }
    }
}

/// The key of what is remembered of a branch, if an entry says that the branch is gone, or the change that it was.
fn gone(entry: &Event) -> Option<String> {
    let (project, data) = (entry.body.project.as_ref()?, &entry.body.data);
    let branch = match entry.body.kind.as_str() {
        "ref.updated" if data["change"] == "deleted" => entry.body.subject.clone(),
        "change.merged" | "change.closed" => format!("refs/pull/{}/merge", data["change"].as_u64()?),
        _ => return None,
    };
    Some(of_branch(project, &branch))
}

/// The branch that remembers what a run reports: its own; a member's change's branch; but what was proposed from outside
/// only ever counts for itself.
fn branch_of(run: &Run) -> String {
    let head = run.github["head_ref"].as_str().filter(|head| !head.is_empty());
    match head {
        Some(head)
            if run.event == "pull_request" && !run.untrusted && run.git_ref.starts_with("refs/pull/") =>
        {
            format!("refs/heads/{head}")
        }
        _ => run.git_ref.clone(),
    }
}

/// What the ledger says of an upload.
struct Upload {
    artifact: ArtifactId,
    run: RunId,
    name: String,
    digest: Digest,
}

fn upload(entry: &Event) -> Option<Upload> {
    let data = &entry.body.data;
    let text = |key: &str| data.get(key).and_then(serde_json::Value::as_str);
    let size = data.get("size").and_then(serde_json::Value::as_u64)?;
    let name = text("name").filter(|name| archive::may_hold(name))?;
    (size <= LARGEST).then_some(())?;
    Some(Upload {
        artifact: entry.body.subject.parse().ok()?,
        run: text("run")?.parse().ok()?,
        name: name.to_owned(),
        digest: text("digest")?.parse().ok()?,
    })
}

async fn uploaded(ctx: &Arc<Context>, entry: &Event) -> Result<(), StoreError> {
    let Some(upload) = upload(entry) else { return Ok(()) };
    let Some(run) = ctx.store.get::<Run>(&upload.run.to_string()).await? else { return Ok(()) };
    let path = ctx.results.archives.path(&upload.digest);
    let name = upload.name.clone();
    let read = tokio::task::spawn_blocking(move || Contents::read(&path, &name)).await;
    let contents = match read {
        Ok(Ok(contents)) => contents,
        // It is gone already: replaced, or expired.
        Ok(Err(e)) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Ok(Err(e)) => {
            unread(&upload, &e);
            return Ok(());
        }
        Err(e) => {
            unread(&upload, &e);
            return Ok(());
        }
    };
    if contents.is_empty() {
        return Ok(());
    }
    keep(ctx, upload, &run.value, contents).await
}

/// One that cannot be read is left out: those behind it are not to wait for it.
fn unread(upload: &Upload, why: &dyn std::fmt::Display) {
    tracing::error!(error = %why, artifact = %upload.artifact, "a report could not be read");
}

/// An upload's reports on their way into the store.
struct Keeping<'a> {
    ctx: &'a Context,
    name: &'a str,
    run: &'a Run,
    branch: &'a str,
    point: Point,
    /// The default branch, where the run is of another one.
    other: Option<String>,
    /// Documents of branches that changed.
    batch: Batch,
}

/// Keeps an upload's reports, and what they mean for their branch, in one transaction.
async fn keep(ctx: &Arc<Context>, upload: Upload, run: &Run, contents: Contents) -> Result<(), StoreError> {
    let point = Point {
        run: run.id,
        number: run.number,
        attempt: run.attempt,
        workflow: run.workflow.name.clone(),
        sha: run.sha.clone(),
        at: run.created_at,
    };
    let branch = branch_of(run);
    let other = default_branch(ctx, run).await.filter(|default| *default != branch);
    let mut keeping =
        Keeping { ctx, name: &upload.name, run, branch: &branch, point, other, batch: Batch::new() };
    let tests = keeping.tests(&contents).await?;
    let coverage = keeping.coverage(&contents).await?;
    let findings = match contents.findings {
        Some(findings) => Some(keeping.findings(findings).await?),
        None => None,
    };
    let (point, batch) = (keeping.point, keeping.batch);
    let data = serde_json::json!({
        "run": run.id,
        "name": upload.name,
        "tests": tests.as_ref().map(|t| t.passed + t.failed + t.skipped + t.flaky),
        "failed": tests.as_ref().map(|t| t.failed),
        "findings": findings.as_ref().map(Vec::len),
        "load": contents.load.len(),
    });
    let event = NewEvent {
        // Told again after a crash, it is in the ledger once.
        key: Some(format!("report:{}", upload.artifact)),
        ..NewEvent::new(ctx.now(), Actor::System, "report.taken", upload.artifact)
            .project(&run.project)
            .data(data)
    };
    let report = ReportDoc {
        artifact: upload.artifact,
        name: upload.name,
        project: run.project.clone(),
        branch: branch.clone(),
        point,
        problems: contents.problems,
        tests,
        coverage,
        findings,
        load: contents.load,
    };
    ctx.commit(batch.put(&report).event(event)).await.map(|_| ())
}

impl Keeping<'_> {
    /// A branch's document; none if there is none yet.
    async fn known<T: Document>(&self, branch: &str) -> Result<Option<T>, StoreError> {
        Ok(self.ctx.store.get::<T>(&of_branch(&self.run.project, branch)).await?.map(|d| d.value))
    }

    async fn tests(&mut self, contents: &Contents) -> Result<Option<Tests>, StoreError> {
        if contents.tests.cases.is_empty() {
            return Ok(None);
        }
        let (project, branch) = (&self.run.project, self.branch);
        let mut history = self.known(branch).await?.unwrap_or_else(|| TestHistory::new(project, branch));
        history.take(&self.point, &contents.tests.cases, MOST_CASES);
        self.batch = std::mem::take(&mut self.batch).put(&history);
        Ok(Some(sum_up(contents)))
    }

    async fn coverage(&mut self, contents: &Contents) -> Result<Option<Coverage>, StoreError> {
        if contents.coverage.is_empty() {
            return Ok(None);
        }
        let (project, branch) = (&self.run.project, self.branch);
        let mut history: CoverageHistory =
            self.known(branch).await?.unwrap_or_else(|| CoverageHistory::new(project, branch));
        let files = contents.coverage.sums();
        let base = match &self.other {
            Some(other) => {
                let there: Option<CoverageHistory> = self.known(other).await?;
                there.and_then(|there| there.base(self.name, self.run.id, &files))
            }
            None => history.base(self.name, self.run.id, &files),
        };
        let add = |sum: (u64, u64), one: &(u32, u32)| (sum.0 + u64::from(one.0), sum.1 + u64::from(one.1));
        let sum = files.values().fold((0, 0), add);
        let coverage = Coverage { sum, files, cut: contents.coverage.cut, base };
        history.take(self.name, &self.point, &coverage);
        self.batch = std::mem::take(&mut self.batch).put(&history);
        Ok(Some(coverage))
    }

    async fn findings(&mut self, findings: Vec<Finding>) -> Result<Vec<Known>, StoreError> {
        let (project, branch) = (&self.run.project, self.branch);
        let default = match &self.other {
            Some(other) => {
                Some(self.known(other).await?.unwrap_or_else(|| FindingsHistory::new(project, other)))
            }
            None => None,
        };
        let mut history: FindingsHistory =
            self.known(branch).await?.unwrap_or_else(|| FindingsHistory::new(project, branch));
        let told = history.take(self.name, &self.point, findings, default.as_ref());
        self.batch = std::mem::take(&mut self.batch).put(&history);
        Ok(told)
    }
}

fn sum_up(contents: &Contents) -> Tests {
    let results = &contents.tests;
    let mut slowest: Vec<(String, u64)> = results.cases.iter().map(|c| (c.name.clone(), c.millis)).collect();
    slowest.sort_by_key(|(_, millis)| std::cmp::Reverse(*millis));
    slowest.truncate(SLOWEST);
    slowest.retain(|(_, millis)| *millis > 0);
    Tests {
        passed: results.count(Outcome::Passed),
        failed: results.count(Outcome::Failed),
        skipped: results.count(Outcome::Skipped),
        flaky: results.count(Outcome::Flaky),
        dropped: results.dropped,
        millis: results.cases.iter().map(|c| c.millis).sum(),
        failures: results.failures.clone(),
        slowest,
    }
}

/// The full name of a project's default branch.
async fn default_branch(ctx: &Context, run: &Run) -> Option<String> {
    let repository = ctx.repositories.get(&run.project).ok()?;
    Some(repository.default_branch().await.ok()?.as_str().to_owned())
}
