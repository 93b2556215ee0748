//! Jobs' logs: files that grow as bytes come, written at the offset that the sender names, each with an index beside it
//! so that any window of it is read at once, however long it is.

mod index;
mod lines;
mod read;

use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use axum::body::Body;
use futures_util::StreamExt as _;
use tokio::fs::OpenOptions;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio_util::io::ReaderStream;
use windlass_api as api;
use windlass_api::Problem;
use windlass_api::runner as wire;
use windlass_identity::{Action, Principal, Resource};
use windlass_kernel::{JobId, RunId, StoreExt as _};
use windlass_pipeline::{Job, Run};
use windlass_web::Download;

use crate::context::{Context, internal, may, parse, stored};

type Answer<T> = Result<T, Problem>;

/// A job's log ends here, in bytes: what comes beyond is refused (the runner says so in the log itself).
const LARGEST: u64 = 2 << 30;
/// How long the logs of a run that has ended are kept: as long as its artifacts, as a rule.
const KEPT: std::time::Duration = std::time::Duration::from_hours(90 * 24);
/// A log that is so much longer than its index, in bytes, is indexed before it is read.
const LAGS: u64 = 1 << 20;

impl Context {
    fn log_path(&self, run: RunId, job: JobId) -> PathBuf {
        self.data.path("logs/jobs").join(run.to_string()).join(format!("{job}.log"))
    }

    /// A new hand-out of a job has a log of its own: what the lost one wrote goes. Before the runner is told of the job.
    pub(crate) async fn begin_log(&self, run: RunId, job: JobId) -> Answer<()> {
        let _writing = self.locks.logs.lock().await;
        let path = self.log_path(run, job);
        index::forget(&path).map_err(|e| internal("a job's log cannot be begun", &e))?;
        match tokio::fs::remove_file(path).await {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(internal("a job's log cannot be begun", &e))
            }
            _ => Ok(()),
        }
    }

    pub(crate) async fn append_log(
        &self,
        who: &Principal,
        job: &str,
        offset: u64,
        body: Body,
    ) -> Answer<wire::LogReply> {
        let bearer = self.bearer(who, job, Action::ReportJob).await?;
        let path = self.log_path(bearer.run.id, bearer.job.id);
        let fail = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::StorageFull => Problem::new(
                windlass_api::ErrorCode::StorageFull,
                "the disk that holds the logs is full; free some space",
            ),
            _ => internal("a job's log cannot be written", &e),
        };
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await.map_err(fail)?;
        }
        let mut at = offset;
        let mut size = match tokio::fs::metadata(&path).await {
            Ok(found) => found.len(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => 0,
            Err(e) => return Err(fail(e)),
        };
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            // What came before an interruption is kept; the sender goes on from there.
            let Ok(chunk) = chunk else { break };
            size = self.write_piece(&path, at, &chunk).await.map_err(fail)?;
            at += chunk.len() as u64;
            if size < at {
                if size >= LARGEST {
                    let why = "the job's log is larger than 2 GiB";
                    return Err(Problem::new(windlass_api::ErrorCode::TooLarge, why));
                }
                // A piece in between is missing.
                break;
            }
        }
        self.index_log(&path).await.map_err(fail)?;
        Ok(wire::LogReply { next_offset: size })
    }

    /// Writes what is not there yet of a piece that begins at byte `at`, and gives where the log ends then. One piece at
    /// a time: a sender that repeats itself may do so while its first attempt is still on its way.
    async fn write_piece(&self, path: &Path, at: u64, piece: &[u8]) -> std::io::Result<u64> {
        let _writing = self.locks.logs.lock().await;
        let mut file = OpenOptions::new().create(true).append(true).open(path).await?;
        let size = file.metadata().await?.len();
        let fresh = match size.checked_sub(at).and_then(|known| usize::try_from(known).ok()) {
            Some(known) => piece.get(known..).unwrap_or_default(),
            None => return Ok(size),
        };
        let room = usize::try_from(LARGEST.saturating_sub(size)).unwrap_or(usize::MAX);
        let fresh = &fresh[..fresh.len().min(room)];
        if !fresh.is_empty() {
            file.write_all(fresh).await?;
            file.flush().await?;
        }
        Ok(size + fresh.len() as u64)
    }

    /// Removes the logs of runs that ended long ago. Looks at each folder's own age first: most are young.
    pub(crate) async fn forget_logs(&self) -> std::io::Result<()> {
        let now = self.now();
        let mut folders = tokio::fs::read_dir(self.data.path("logs/jobs")).await?;
        while let Some(folder) = folders.next_entry().await? {
            let name = folder.file_name();
            let Some(run) = name.to_str().and_then(|n| n.parse::<RunId>().ok()) else { continue };
            let touched = folder.metadata().await?.modified()?;
            let since = touched.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            let since = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
            if now.since(windlass_kernel::Timestamp::from_millis(since)) < KEPT {
                continue;
            }
            let found = self.store.get::<Run>(&run.to_string()).await.map_err(std::io::Error::other)?;
            let old = |run: &Run| run.finished_at().is_some_and(|at| now.since(at) >= KEPT);
            if found.is_none_or(|run| old(&run.value)) {
                tokio::fs::remove_dir_all(folder.path()).await?;
            }
        }
        Ok(())
    }

    /// Brings a log's index up to date.
    async fn index_log(&self, path: &Path) -> std::io::Result<()> {
        let _writing = self.locks.logs.lock().await;
        let path = path.to_owned();
        match tokio::task::spawn_blocking(move || index::extend(&path)).await {
            Ok(Err(e)) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Ok(done) => done,
            Err(e) => Err(std::io::Error::other(e)),
        }
    }

    /// The run of a log that the caller may read.
    async fn run_of_log(&self, who: &Principal, run: RunId) -> Answer<Run> {
        let found = self.store.get::<Run>(&run.to_string()).await.map_err(stored)?;
        let found = found.ok_or_else(|| Problem::not_found(format!("there is no run {run}")))?.value;
        may(who, Action::ReadLogs, &Resource::Run { project: found.project.clone(), run })?;
        Ok(found)
    }

    /// Reads a job's log by lines, in a thread of its own.
    async fn by_lines<T: Send + 'static>(
        &self,
        who: &Principal,
        run: &str,
        job: &str,
        how: impl FnOnce(&Path, &Job) -> std::io::Result<T> + Send + 'static,
    ) -> Answer<T> {
        let (run, job): (RunId, JobId) = (parse(run)?, parse(job)?);
        let found = self.run_of_log(who, run).await?;
        let missing = || Problem::not_found("this run has no such job, in none of its attempts");
        let job = self.job_of_any_attempt(&found, job).await.map_err(stored)?.ok_or_else(missing)?;
        let failed = |e: &dyn std::fmt::Display| internal("a job's log cannot be read", e);
        let path = self.log_path(run, job.id);
        if index::lags(&path).map_err(|e| failed(&e))? > LAGS {
            self.index_log(&path).await.map_err(|e| failed(&e))?;
        }
        let read = tokio::task::spawn_blocking(move || how(&path, &job)).await;
        read.map_err(|e| failed(&e))?.map_err(|e| failed(&e))
    }

    /// How long a log is, and its parts.
    pub(crate) async fn log_outline(&self, who: &Principal, run: &str, job: &str) -> Answer<api::LogOutline> {
        self.by_lines(who, run, job, read::outline).await
    }

    /// Some lines of a log.
    pub(crate) async fn log_window(
        &self,
        who: &Principal,
        run: &str,
        job: &str,
        from: u64,
        count: usize,
    ) -> Answer<api::LogWindow> {
        self.by_lines(who, run, job, move |path, job| read::window(path, from, count, job.is_completed()))
            .await
    }

    /// The lines of a log that hold a text.
    pub(crate) async fn log_search(
        &self,
        who: &Principal,
        run: &str,
        job: &str,
        text: &str,
        from: u64,
        limit: usize,
    ) -> Answer<api::LogHits> {
        if text.is_empty() || text.chars().count() > read::LONGEST_SEARCH {
            return Err(Problem::invalid(format!(
                "`q` is the text to look for, of 1 to {} characters",
                read::LONGEST_SEARCH
            )));
        }
        let text = text.to_owned();
        // One at a time: each may read hundreds of megabytes.
        let _searching = self.locks.searching.acquire().await;
        self.by_lines(who, run, job, move |path, job| {
            read::search(path, &text, from, limit, job.is_completed())
        })
        .await
    }

    pub(crate) async fn job_log(
        &self,
        who: &Principal,
        run: &str,
        job: &str,
        offset: u64,
        limit: u64,
    ) -> Answer<Download> {
        let (run, job): (RunId, JobId) = (parse(run)?, parse(job)?);
        self.run_of_log(who, run).await?;
        let name = format!("{job}.log");
        let mut file = match tokio::fs::File::open(self.log_path(run, job)).await {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Download { body: Body::empty(), size: Some(0), name });
            }
            Err(e) => return Err(internal("a job's log cannot be read", &e)),
        };
        let read = |e: std::io::Error| internal("a job's log cannot be read", &e);
        let size = file.metadata().await.map_err(read)?.len();
        let from = offset.min(size);
        file.seek(SeekFrom::Start(from)).await.map_err(read)?;
        let length = if limit == 0 { size - from } else { limit.min(size - from) };
        let body = Body::from_stream(ReaderStream::with_capacity(file.take(length), 64 << 10));
        Ok(Download { body, size: Some(length), name })
    }
}
