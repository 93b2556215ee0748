//! Files that come from addresses: fetched once, asked for again with what the server said identifies them (RFC 9110,
//! "ETag"), and kept as blobs.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use reqwest::{StatusCode, Url, header};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use windlass_kernel::Digest;

use super::Sources;
use crate::git::redacted;
use crate::store::Store;

/// How many redirections are followed.
const REDIRECTIONS: usize = 10;

/// What is known of a file that was fetched.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Page {
    /// What its bytes hash to: a blob of the store.
    pub(crate) digest: Digest,
    etag: Option<String>,
    /// Seconds since the epoch, as the server said; 0 where it did not.
    modified: u64,
}

/// What a file is fetched for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds<'a> {
    /// What it has to hash to.
    pub(crate) expected: Option<&'a Digest>,
    /// The most bytes that it may have.
    pub(crate) bytes: u64,
    /// How long the server may say nothing.
    pub(crate) stall: Duration,
}

impl Sources {
    /// The file at an address. One whose digest is said and that is here is not asked for.
    pub(crate) async fn page(&self, address: &str, bounds: Bounds<'_>) -> Result<Page, String> {
        let shown = redacted(address);
        let failed = |why: String| format!("failed to load {shown}: {why}");
        let note = self.store.path("urls", &format!("{}.json", Digest::sha256(address.as_bytes()).hex()));
        let known =
            Store::read_json::<Page>(&note).filter(|page| self.store.blobs().path(&page.digest).is_file());
        if let Some(page) = known.as_ref().filter(|page| Some(&page.digest) == bounds.expected) {
            return Ok(page.clone());
        }
        let doing = self.reporter.start(format!("[internal] load {shown}"));
        let page = self.ask(address, known.as_ref(), bounds).await.map_err(failed);
        let page = page.and_then(|page| match bounds.expected {
            Some(expected) if *expected != page.digest => {
                Err(failed(format!("digest mismatch: it hashes to {}, {expected} was expected", page.digest)))
            }
            _ => Ok(page),
        });
        doing.end(&page);
        let page = page?;
        let kept = fs::create_dir_all(self.store.root().join("urls")).map_err(|e| e.to_string());
        kept.and_then(|()| self.store.write_json(&note, &page).map_err(|e| e.to_string())).map_err(failed)?;
        Ok(page)
    }

    async fn ask(&self, address: &str, known: Option<&Page>, bounds: Bounds<'_>) -> Result<Page, String> {
        let url = Url::parse(address).map_err(|e| e.to_string())?;
        let client = reqwest::Client::builder()
            .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::limited(REDIRECTIONS))
            .connect_timeout(Duration::from_secs(20))
            .read_timeout(bounds.stall)
            .build()
            .map_err(|e| innermost(&e))?;
        let mut request = client.get(url);
        if let Some(etag) = known.and_then(|page| page.etag.as_ref()) {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let said = |e: reqwest::Error| match (e.is_timeout(), e.is_redirect()) {
            (true, _) => format!("the server said nothing for {} s", bounds.stall.as_secs()),
            (_, true) => format!("more than {REDIRECTIONS} redirections, or one to nowhere"),
            _ => innermost(&e),
        };
        let answer = request.send().await.map_err(said)?;
        match (answer.status(), known) {
            (StatusCode::NOT_MODIFIED, Some(page)) => return Ok(page.clone()),
            (status, _) if !status.is_success() => return Err(format!("the server answered {status}")),
            _ => {}
        }
        let text = |name: header::HeaderName| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
        let etag = text(header::ETAG);
        let modified = text(header::LAST_MODIFIED).and_then(|date| seconds(&date)).unwrap_or(0);
        if answer.content_length().is_some_and(|size| size > bounds.bytes) {
            return Err(too_large(bounds.bytes));
        }
        let new = self.store.fresh("page");
        let written = |e| format!("writing {}: {e}", new.display());
        let mut file = fs::File::create(&new).map_err(written)?;
        let (mut hasher, mut size) = (Sha256::new(), 0_u64);
        let mut body = answer.bytes_stream();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(said)?;
            size += chunk.len() as u64;
            if size > bounds.bytes {
                let _ = fs::remove_file(&new);
                return Err(too_large(bounds.bytes));
            }
            hasher.update(&chunk);
            file.write_all(&chunk).map_err(written)?;
        }
        let digest = crate::pack::digest(hasher.finalize().into());
        self.store.keep_file(&new, &digest).map_err(|e| e.to_string())?;
        Ok(Page { digest, etag, modified })
    }

    /// Puts a file that was fetched into a folder, under a name, as BuildKit does: for its owner only, with the time that
    /// the server said.
    pub(crate) fn put_page(&self, page: &Page, folder: &Path, name: &str) -> std::io::Result<PathBuf> {
        let path = folder.join(name);
        fs::copy(self.store.blobs().path(&page.digest), &path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(page.modified);
        fs::File::options().write(true).open(&path)?.set_modified(time)?;
        Ok(path)
    }
}

fn too_large(most: u64) -> String {
    format!("it is larger than {most} bytes")
}

/// The last cause in the chain: what the operating system or the TLS library said.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// What a file of an address is called: the last part of its path, decoded.
pub(crate) fn file_name(address: &str) -> String {
    let path = Url::parse(address).map(|url| url.path().to_owned()).unwrap_or_default();
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let name = String::from_utf8(decoded(last)).unwrap_or_else(|_| last.to_owned());
    let plain = !matches!(name.as_str(), "" | "." | "..") && !name.contains(['/', '\0']);
    if plain { name } else { "__unnamed__".to_owned() }
}

fn decoded(text: &str) -> Vec<u8> {
    let (mut bytes, mut at) = (Vec::new(), 0);
    let raw = text.as_bytes();
    while at < raw.len() {
        let hex = (raw[at] == b'%').then(|| raw.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| hex::decode(hex).ok()) {
            Some(byte) => {
                bytes.extend(byte);
                at += 3;
            }
            None => {
                bytes.push(raw[at]);
                at += 1;
            }
        }
    }
    bytes
}

/// Seconds since the epoch of a date as HTTP writes it (RFC 9110, 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
fn seconds(date: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = date.split_once(", ")?;
    let mut parts = rest.split(' ');
    let day: i64 = parts.next()?.parse().ok()?;
    let month = parts.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let year: i64 = parts.next()?.parse().ok()?;
    let clock: Vec<i64> = parts.next()?.split(':').map_while(|part| part.parse().ok()).collect();
    let [hours, minutes, seconds] = clock[..] else { return None };
    let fine = (1..=31).contains(&day) && (1970..=9999).contains(&year);
    if !fine || parts.next() != Some("GMT") || hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    // Days of the civil calendar: years begin in March, so that a leap day is a year's last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (y / 400, y % 400);
    let days =
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * m + 2) / 5 + day - 1 - 719_468;
    u64::try_from(days * 86_400 + hours * 3600 + minutes * 60 + seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_last_part_of_the_path() {
        for (address, name) in [
            ("http://h/a/b.tar.gz?x=/y", "b.tar.gz"),
            ("http://h/a%20b%zz", "a b%zz"),
            ("http://h/dir/", "dir"),
            ("http://h", "__unnamed__"),
            ("http://h/%2e%2e%2fetc", "__unnamed__"),
            ("http://h/a%00", "__unnamed__"),
        ] {
            assert_eq!(file_name(address), name, "{address}");
        }
    }

    #[test]
    fn dates_are_read_as_http_writes_them() {
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(seconds("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(seconds("Thu, 29 Feb 2024 12:00:00 GMT"), Some(1_709_208_000));
        for bad in [
            "",
            "yesterday",
            "Sun, 06 Nov 1994 08:49:37 +0100",
            "Sun, 06 Now 1994 08:49:37 GMT",
            "Sun, 06 Nov 1960 08:49:37 GMT",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
