//! Fetching advisories, laid out as OSV publishes them: from a folder, or over HTTP.

use std::fs::{File, FileTimes};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use windlass_evidence::{Database, FRESH, Imported, import};
use windlass_kernel::Timestamp;

/// The largest archive that is fetched, in bytes.
const LARGEST: u64 = 2 << 30;
/// How long the other side may be silent.
const SILENCE: Duration = Duration::from_mins(1);

/// Takes the advisories of each ecosystem in; also gives those that did not change since. What cannot be had is told and
/// does not keep the others away.
pub(super) async fn all(
    folder: &Path,
    from: &str,
    ecosystems: &[String],
    now: Timestamp,
) -> Result<(Imported, Vec<String>)> {
    let mut unchanged = Vec::new();
    let mut done = Imported::default();
    let mut failed = Vec::new();
    for ecosystem in ecosystems {
        match one(folder, from, ecosystem, now).await {
            Ok(None) => unchanged.push(ecosystem.clone()),
            Ok(Some(found)) => {
                done.ecosystems.extend(found.ecosystems);
                done.unreadable += found.unreadable;
            }
            Err(e) => failed.push(format!("{ecosystem}: {e:#}")),
        }
    }
    if done.ecosystems.is_empty() && unchanged.is_empty() {
        bail!("nothing was taken in\n{}", failed.join("\n"));
    }
    for why in failed {
        eprintln!("windlass: not updated: {why}");
    }
    Ok((done, unchanged))
}

/// Takes one ecosystem's advisories in; none if they are those that are here already.
async fn one(folder: &Path, from: &str, ecosystem: &str, now: Timestamp) -> Result<Option<Imported>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || " .-_".contains(c);
    if ecosystem.is_empty() || ecosystem.starts_with('.') || !ecosystem.chars().all(plain) {
        bail!("this is not the name of an ecosystem");
    }
    let temporary;
    let path: PathBuf = if from.starts_with("http://") || from.starts_with("https://") {
        std::fs::create_dir_all(folder)?;
        temporary = tempfile::Builder::new().suffix(".zip").tempfile_in(folder)?;
        let address = format!("{}/{}/all.zip", from.trim_end_matches('/'), ecosystem.replace(' ', "%20"));
        let known = Database::at(folder, FRESH).states().unwrap_or_default();
        let known = known.iter().find(|state| state.ecosystem == ecosystem).map(|state| state.as_of);
        if !download(&address, temporary.as_file(), known, now).await.with_context(|| address)? {
            return Ok(None);
        }
        temporary.path().to_owned()
    } else {
        Path::new(from).join(ecosystem).join("all.zip")
    };
    let (folder, ecosystem) = (folder.to_owned(), ecosystem.to_owned());
    let taken = tokio::task::spawn_blocking(move || import(&folder, &path, Some(&ecosystem), now)).await?;
    Ok(Some(taken?))
}

/// Fetches an archive, if it is newer than what is known; the file becomes as old as the other side says that it is.
async fn download(address: &str, mut file: &File, known: Option<Timestamp>, now: Timestamp) -> Result<bool> {
    let client = reqwest::Client::builder().connect_timeout(SILENCE).read_timeout(SILENCE).build()?;
    let mut request = client.get(address);
    if let Some(since) = known.and_then(header) {
        request = request.header(reqwest::header::IF_MODIFIED_SINCE, since);
    }
    let mut response = request.send().await?.error_for_status()?;
    if response.status() == reqwest::StatusCode::NOT_MODIFIED {
        return Ok(false);
    }
    let said = response.headers().get("last-modified").and_then(|value| value.to_str().ok());
    let changed = said.and_then(written).unwrap_or_else(|| UNIX_EPOCH + millis(now));
    let mut size = 0;
    while let Some(chunk) = response.chunk().await? {
        size += chunk.len() as u64;
        if size > LARGEST {
            bail!("it has more than {} GiB", LARGEST >> 30);
        }
        file.write_all(&chunk)?;
    }
    file.set_times(FileTimes::new().set_modified(changed))?;
    Ok(true)
}

fn millis(time: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or_default())
}

/// A time as HTTP writes it.
fn header(time: Timestamp) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(time.as_millis()).ok()?;
    Some(at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

/// A date of HTTP (RFC 9110, section 5.6.7).
fn written(text: &str) -> Option<SystemTime> {
    let text = text.replace("GMT", "+0000");
    let at = jiff::fmt::rfc2822::parse(&text).ok()?;
    u64::try_from(at.timestamp().as_second()).ok().map(|s| UNIX_EPOCH + Duration::from_secs(s))
}

#[cfg(test)]
mod tests;
