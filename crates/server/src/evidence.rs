//! Evidence: what is known of each image that lies in the registry, as signed statements beside it. The ledger says what
//! was pushed and by which run; a reader of it makes the statements, so that nothing is lost when control dies in between.
//! A statement says what control knows; nothing of it is what a job says about itself.

mod attach;
mod contents;
mod cosign;
mod documents;
mod exceptions;
mod keys;
mod known;
mod packages;
mod predicates;
mod views;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use windlass_evidence::Database;
use windlass_kernel::{Actor, Event, Query, RunId, StoreError, StoreExt as _};
use windlass_oci::RepositoryName;

use crate::context::Context;
use crate::data_dir::DataDir;
use documents::{EvidenceDoc, How, Origin};

pub(crate) use known::facts;
pub use views::{difference, leak_told, vulnerabilities_told};

/// The reader's name in the store.
const READER: &str = "evidence";
/// How many entries are read at a time.
const ENTRIES: usize = 500;
/// How many images are looked through for those without statements, at the start.
const LEFT_OVER: usize = 200;
/// How long a push is left alone before its statements are made: what is told right after it belongs to it.
const QUIET: Duration = Duration::from_secs(2);
/// How long a gate waits for reports that were uploaded just now.
const REPORTS: Duration = Duration::from_secs(10);

/// What is kept beside the documents.
pub(crate) struct Evidence {
    /// Vulnerabilities that are known.
    pub(crate) database: Database,
    /// Where lists of what images hold are remembered.
    contents: std::path::PathBuf,
    /// The reader's place, once it is known. Whoever holds it reads.
    place: Mutex<Option<u64>>,
    /// Images about which something may still have to be stated.
    pending: std::sync::Mutex<BTreeSet<String>>,
    /// One image at a time: looking into one takes memory.
    settling: Mutex<()>,
    keys: Mutex<Option<Arc<keys::Keys>>>,
    /// Whether reports are taken in here, and how far they are.
    reports: AtomicBool,
    reports_at: AtomicU64,
}

impl Evidence {
    pub(crate) fn open(data: &DataDir) -> anyhow::Result<Self> {
        let days = std::env::var("WINDLASS_VULNDB_DAYS").ok().map(|text| text.parse::<u64>());
        let fresh = match days {
            None => windlass_evidence::FRESH,
            Some(Ok(days)) if (1..=3650).contains(&days) => Duration::from_hours(24 * days),
            Some(_) => anyhow::bail!("WINDLASS_VULNDB_DAYS must be a number of days from 1 to 3650"),
        };
        Ok(Self {
            database: Database::at(&data.path("vulndb"), fresh),
            contents: data.path("cache/evidence"),
            place: Mutex::default(),
            pending: std::sync::Mutex::default(),
            settling: Mutex::default(),
            keys: Mutex::default(),
            reports: AtomicBool::new(false),
            reports_at: AtomicU64::new(0),
        })
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.pending.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The reader of reports has come this far.
    pub(crate) fn reports_are_at(&self, place: u64) {
        self.reports.store(true, Ordering::SeqCst);
        self.reports_at.fetch_max(place, Ordering::SeqCst);
    }
}

impl std::fmt::Debug for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evidence").finish_non_exhaustive()
    }
}

/// Makes statements about what the ledger tells of, until `stop`.
pub(crate) async fn run(ctx: Arc<Context>, stop: CancellationToken) {
    let mut told = ctx.ledger.subscribe();
    if let Err(e) = left_over(&ctx).await {
        tracing::warn!(error = %e, "images without statements could not be looked for");
    }
    loop {
        if let Err(e) = take_in(&ctx).await {
            tracing::warn!(error = %e, "evidence could not be taken in; it is tried again");
        }
        if !ctx.evidence.pending().is_empty() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(QUIET) => {}
            }
            if let Err(e) = take_in(&ctx).await {
                tracing::warn!(error = %e, "evidence could not be taken in; it is tried again");
            }
            let pending = std::mem::take(&mut *ctx.evidence.pending());
            for id in pending {
                if let Err(e) = settle(&ctx, &id).await {
                    tracing::warn!(error = %format!("{e:#}"), image = id, "statements about an image could not be made");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            _ = told.changed() => {}
            () = tokio::time::sleep(Duration::from_secs(30)) => {}
        }
    }
}

/// Images that were taken in before control died, without having had anything stated about them.
async fn left_over(ctx: &Context) -> Result<(), StoreError> {
    let query = Query { newest_first: true, limit: LEFT_OVER, ..Query::default() };
    let found = ctx.store.list::<EvidenceDoc>(&query).await?;
    let without = found.into_iter().filter(|doc| doc.value.made.is_empty() && doc.value.problem.is_none());
    ctx.evidence.pending().extend(without.map(|doc| doc.value.key()));
    Ok(())
}

/// Reads the ledger to its end; notes the images that there is something new about.
pub(crate) async fn take_in(ctx: &Context) -> Result<(), StoreError> {
    let mut held = ctx.evidence.place.lock().await;
    let mut place = match *held {
        Some(place) => place,
        None => ctx.store.cursor(READER).await?,
    };
    loop {
        let entries = ctx.store.events(place, ENTRIES).await?;
        let mut any = false;
        for entry in &entries {
            let image = match entry.body.kind.as_str() {
                "image.pushed" => seen(ctx, entry, How::Pushed).await?,
                "image.built" => seen(ctx, entry, How::Built).await?,
                _ => None,
            };
            any |= image.is_some();
            ctx.evidence.pending().extend(image);
            place = entry.seq;
        }
        *held = Some(place);
        if any || entries.len() >= ENTRIES {
            ctx.store.set_cursor(READER, place).await?;
        }
        if entries.len() < ENTRIES {
            return Ok(());
        }
    }
}

/// Notes that an image was pushed, and by which run. What says something about another image is none.
async fn seen(ctx: &Context, entry: &Event, how: How) -> Result<Option<String>, StoreError> {
    let data = &entry.body.data;
    let text = |key: &str| data.get(key).and_then(serde_json::Value::as_str);
    let repository = text("repository").and_then(|t| t.parse::<RepositoryName>().ok());
    let digest = text("digest").and_then(|t| t.parse().ok());
    let (Some(repository), Some(digest)) = (repository, digest) else { return Ok(None) };
    let record = ctx.images.registry.index().manifest(&repository, &digest).await?;
    if record.is_none_or(|record| record.subject.is_some()) {
        return Ok(None);
    }
    let origin = match &entry.body.actor {
        Actor::Run(run) => Some(origin(ctx, *run, entry, how).await?).flatten(),
        _ => None,
    };
    for _ in 0..5 {
        let (mut doc, version) = EvidenceDoc::load(ctx, &repository, &digest).await?;
        if !doc.note(origin.clone()) && version > 0 {
            return Ok(Some(doc.key()));
        }
        match ctx.store.commit(windlass_kernel::Batch::new().update(&doc, version)).await {
            Ok(_) => return Ok(Some(doc.key())),
            Err(StoreError::Conflict { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

async fn origin(ctx: &Context, run: RunId, entry: &Event, how: How) -> Result<Option<Origin>, StoreError> {
    let Some(found) = ctx.store.get::<windlass_pipeline::Run>(&run.to_string()).await? else {
        return Ok(None);
    };
    let data = &entry.body.data;
    let attempt = data.get("attempt").and_then(serde_json::Value::as_u64);
    Ok(Some(Origin {
        run,
        attempt: attempt.map_or(found.value.attempt, |attempt| attempt as u32),
        how,
        job: data.get("job").and_then(serde_json::Value::as_str).map(str::to_owned),
        at: entry.body.at,
        base: data.get("base").and_then(|base| serde_json::from_value(base.clone()).ok()),
    }))
}

/// Makes the statements that are still missing about an image.
pub(crate) async fn settle(ctx: &Context, id: &str) -> anyhow::Result<()> {
    let _one = ctx.evidence.settling.lock().await;
    let Some(found) = ctx.store.get::<EvidenceDoc>(id).await? else { return Ok(()) };
    attach::complete(ctx, found.value).await
}

/// Makes everything that can be known of an image known: before a gate decides about it.
pub(crate) async fn bring_up_to_date(
    ctx: &Context,
    repository: &RepositoryName,
    digest: &windlass_kernel::Digest,
) -> anyhow::Result<()> {
    take_in(ctx).await?;
    wait_for_reports(ctx).await?;
    let (doc, version) = EvidenceDoc::load(ctx, repository, digest).await?;
    if version == 0 {
        // It was pushed before statements were made here.
        match ctx.store.commit(windlass_kernel::Batch::new().update(&doc, 0)).await {
            Ok(_) | Err(StoreError::Conflict { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    settle(ctx, &doc.key()).await
}

/// Waits until reports that were uploaded by now are taken in.
async fn wait_for_reports(ctx: &Context) -> Result<(), StoreError> {
    let evidence = &ctx.evidence;
    if !evidence.reports.load(Ordering::SeqCst) {
        return Ok(());
    }
    let head = ctx.store.head().await?.seq;
    let deadline = tokio::time::Instant::now() + REPORTS;
    while evidence.reports_at.load(Ordering::SeqCst) < head && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
