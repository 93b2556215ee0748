//! Jobs' logs: files that grow as bytes come, written at the offset that the sender names.

use std::io::SeekFrom;
use std::path::PathBuf;

use axum::body::Body;
use futures_util::StreamExt as _;
use tokio::fs::OpenOptions;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio_util::io::ReaderStream;
use windlass_api::Problem;
use windlass_api::runner as wire;
use windlass_identity::{Action, Principal, Resource};
use windlass_kernel::{JobId, RunId, StoreExt as _};
use windlass_pipeline::Run;
use windlass_web::Download;

use crate::context::{Context, internal, may, parse, stored};

type Answer<T> = Result<T, Problem>;

/// A job's log ends here, in bytes: what comes beyond is refused (the runner says so in the log itself).
const LARGEST: u64 = 2 << 30;

impl Context {
    fn log_path(&self, run: RunId, job: JobId) -> PathBuf {
        self.data.path("logs/jobs").join(run.to_string()).join(format!("{job}.log"))
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
        let mut file = OpenOptions::new().create(true).append(true).open(&path).await.map_err(fail)?;
        let mut size = file.metadata().await.map_err(fail)?.len();
        // A new hand-out of the job begins at nothing: its log takes the place of the lost one's.
        if offset == 0 && size > 0 && bearer.job.acknowledged == 0 {
            file.set_len(0).await.map_err(fail)?;
            size = 0;
        }
        if offset > size {
            return Ok(wire::LogReply { next_offset: size });
        }
        let mut skip = size - offset;
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            // What came before an interruption is kept; the sender goes on from there.
            let Ok(mut chunk) = chunk else { break };
            let known = skip.min(chunk.len() as u64);
            skip -= known;
            let _ = chunk.split_to(known as usize);
            if size + chunk.len() as u64 > LARGEST {
                return Err(Problem::new(
                    windlass_api::ErrorCode::TooLarge,
                    "the job's log is larger than 2 GiB",
                ));
            }
            file.write_all(&chunk).await.map_err(fail)?;
            size += chunk.len() as u64;
        }
        file.flush().await.map_err(fail)?;
        Ok(wire::LogReply { next_offset: size })
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
        let found = self.store.get::<Run>(&run.to_string()).await.map_err(stored)?;
        let found = found.ok_or_else(|| Problem::not_found(format!("there is no run {run}")))?.value;
        may(who, Action::ReadLogs, &Resource::Run { project: found.project.clone(), run })?;
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
