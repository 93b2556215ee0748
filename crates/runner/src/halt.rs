//! Ends the units of a data directory whose platform is down. Their jobs are queued again at the next start, which
//! finds them without a report.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::folder::JobFolder;

/// How long a killed unit may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends every job that runs below `data_dir`, with everything in its sandbox; gives how many.
///
/// # Errors
/// When the jobs' folder cannot be read, or a job does not end.
pub async fn end_jobs(data_dir: &Path) -> std::io::Result<usize> {
    let jobs = data_dir.join("runner/jobs");
    let mut ended = 0;
    let Ok(entries) = std::fs::read_dir(&jobs) else { return Ok(ended) };
    for entry in entries {
        let path = entry?.path();
        let folder = JobFolder::at(&path);
        if folder.is_held() {
            end(&path, &folder).await?;
            ended += 1;
        }
        folder.remove_small()?;
        windlass_runtime::sweep(&folder.scratch()).map_err(std::io::Error::other)?;
    }
    Ok(ended)
}

/// A unit that is asked to end would first report, and nobody listens any more: so it is not asked.
async fn end(path: &Path, folder: &JobFolder) -> std::io::Result<()> {
    let begin = tokio::time::Instant::now();
    while folder.is_held() {
        for unit in units(path) {
            let _ = kill(unit, Signal::SIGKILL);
        }
        if begin.elapsed() > PATIENCE {
            return Err(std::io::Error::other(format!("the job in {} does not end", path.display())));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// The processes `PROGRAM job PATH`.
fn units(path: &Path) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbered = entries.filter_map(|e| Some((e.path(), e.file_name().to_str()?.parse::<i32>().ok()?)));
    numbered.filter(|(process, _)| is_unit(process, path)).map(|(_, pid)| Pid::from_raw(pid)).collect()
}

fn is_unit(process: &Path, path: &Path) -> bool {
    let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0).skip(1);
    let job = words.next() == Some(b"job");
    let place = words.next().map(|word| PathBuf::from(String::from_utf8_lossy(word).into_owned()));
    job && place.as_deref() == Some(path)
}
