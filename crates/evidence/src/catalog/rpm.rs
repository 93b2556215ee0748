//! RPM's lists of packages: a header for each (RPM file format, "Header"), in an SQLite database or in the form of its
//! own that SUSE has. Berkeley DB's form is not read.

use super::sqlite::{self, Cell};
use crate::package::{Kind, Package};

/// The most entries of one header.
const MOST_ENTRIES: usize = 100_000;
/// The longest text that is taken out of a header, in bytes.
const LONGEST: usize = 1000;

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const LICENCE: u32 = 1014;
const ARCH: u32 = 1022;
const SOURCE: u32 = 1044;
/// Types of entries: a number of 32 bits, a text.
const INT32: u32 = 4;
const STRING: u32 = 6;

/// The packages of a list, and how many of its headers cannot be read; why the list cannot be read, otherwise.
pub(super) fn packages(path: &str, bytes: &[u8]) -> Result<(Vec<Package>, usize), &'static str> {
    let mut found = Vec::new();
    let mut odd = 0;
    let mut take = |blob: &[u8]| match header(blob) {
        Some(package) if package.name == "gpg-pubkey" => {}
        Some(package) => found.push(package),
        None => odd += 1,
    };
    if path.ends_with(".sqlite") {
        sqlite::rows(bytes, "Packages", &mut |row| {
            take(
                row.iter()
                    .find_map(|cell| if let Cell::Bytes(blob) = cell { Some(&**blob) } else { None })
                    .unwrap_or_default(),
            );
        })?;
    } else if bytes.starts_with(b"RpmP") {
        slots(bytes, &mut take).ok_or("its slots contradict each other")?;
    } else {
        return Err("it is in Berkeley DB's form, which is not read");
    }
    Ok((found, odd))
}

/// The form with slots: pages of four numbers each, that say where a header lies (rpm's `lib/backend/ndb`).
fn slots(bytes: &[u8], take: &mut dyn FnMut(&[u8])) -> Option<()> {
    const SLOT: usize = 16;
    const PAGE: usize = 4096;
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?));
    let pages = number(12)? as usize;
    let end = pages.checked_mul(PAGE).filter(|end| *end <= bytes.len())?;
    // Headers do not share their bytes: many that do would make much out of little.
    let mut unread = bytes.len();
    // The file's own header takes the place of the first two.
    for at in (2 * SLOT..end).step_by(SLOT) {
        if bytes.get(at..at + 4)? != b"Slot" {
            return None;
        }
        let (package, block) = (number(at + 4)?, number(at + 8)? as usize);
        if package == 0 {
            continue;
        }
        let blob = block.checked_mul(SLOT)?;
        if bytes.get(blob..blob.checked_add(4)?)? != b"BlbS" || number(blob + 4)? != package {
            return None;
        }
        let (from, length) = (blob + SLOT, number(blob + 12)? as usize);
        unread = unread.checked_sub(length.checked_add(SLOT)?)?;
        take(bytes.get(from..from.checked_add(length)?)?);
    }
    Some(())
}

/// What a header says: counts of entries and of bytes, the entries, the bytes.
fn header(blob: &[u8]) -> Option<Package> {
    let number = |at: usize| Some(u32::from_be_bytes(blob.get(at..at.checked_add(4)?)?.try_into().ok()?));
    let (entries, size) = (number(0)? as usize, number(4)? as usize);
    if entries > MOST_ENTRIES {
        return None;
    }
    let from = 8 + entries * 16;
    let data = blob.get(from..from.checked_add(size)?)?;
    let (mut name, mut version, mut release, mut epoch) = (None, None, None, None);
    let (mut licence, mut arch, mut source) = (None, None, None);
    for index in 0..entries {
        let at = 8 + index * 16;
        let (tag, kind, place) = (number(at)?, number(at + 4)?, number(at + 8)? as usize);
        let text = || {
            let bytes = data.get(place..)?;
            let end = bytes.iter().take(LONGEST).position(|b| *b == 0)?;
            Some(String::from_utf8_lossy(&bytes[..end]).into_owned()).filter(|text| !text.is_empty())
        };
        match (tag, kind) {
            (NAME, STRING) if name.is_none() => name = text(),
            (VERSION, STRING) if version.is_none() => version = text(),
            (RELEASE, STRING) if release.is_none() => release = text(),
            (LICENCE, _) if licence.is_none() => licence = text(),
            (ARCH, STRING) if arch.is_none() => arch = text(),
            (SOURCE, STRING) if source.is_none() => source = text(),
            (EPOCH, INT32) => {
                let four = data.get(place..place.checked_add(4)?)?;
                epoch = Some(u32::from_be_bytes(four.try_into().ok()?));
            }
            _ => {}
        }
    }
    let name = name?;
    let version = full(epoch, &version?, &release?);
    let source =
        source.and_then(|file| source_of(&file, epoch)).filter(|(of, at)| *of != name || *at != version);
    let licences = licence.into_iter().collect();
    // A key that signs packages stands in the list like one, without an architecture.
    let arch = arch.filter(|arch| arch != "(none)");
    Some(Package { arch, source, licences, ..Package::new(Kind::Rpm, name, version) })
}

fn full(epoch: Option<u32>, version: &str, release: &str) -> String {
    match epoch {
        Some(epoch) if epoch > 0 => format!("{epoch}:{version}-{release}"),
        _ => format!("{version}-{release}"),
    }
}

/// Name and version of `NAME-VERSION-RELEASE.src.rpm`. A source package has its packages' epoch, as good as always.
fn source_of(file: &str, epoch: Option<u32>) -> Option<(String, String)> {
    let stem = file.strip_suffix(".src.rpm").or_else(|| file.strip_suffix(".nosrc.rpm"))?;
    let (rest, release) = stem.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    Some((name.to_owned(), full(epoch, version, release)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A header with these entries.
    pub(in crate::catalog) fn made(texts: &[(u32, &str)], epoch: Option<u32>) -> Vec<u8> {
        let mut index = Vec::new();
        let mut data = Vec::new();
        let mut entry = |tag: u32, kind: u32, place: usize| {
            for number in [tag, kind, place as u32, 1] {
                index.extend(number.to_be_bytes());
            }
        };
        if let Some(epoch) = epoch {
            entry(EPOCH, INT32, 0);
            data.extend(epoch.to_be_bytes());
        }
        for (tag, text) in texts {
            entry(*tag, STRING, data.len());
            data.extend(text.as_bytes());
            data.push(0);
        }
        let counts = [(index.len() / 16) as u32, data.len() as u32];
        [counts.map(u32::to_be_bytes).concat(), index, data].concat()
    }

    /// A list in the form with slots.
    fn with_slots(blobs: &[Vec<u8>]) -> Vec<u8> {
        let mut file = b"RpmP".to_vec();
        for number in [0u32, 1, 1, 0, 0, 0, 0] {
            file.extend(number.to_le_bytes());
        }
        let mut heap = Vec::new();
        for (index, blob) in blobs.iter().enumerate() {
            let block = ((4096 + heap.len()) / 16) as u32;
            let package = index as u32 + 1;
            file.extend(b"Slot");
            for number in [package, block, 1] {
                file.extend(number.to_le_bytes());
            }
            heap.extend(b"BlbS");
            for number in [package, 1, blob.len() as u32] {
                heap.extend(number.to_le_bytes());
            }
            heap.extend(blob);
            heap.resize(heap.len().next_multiple_of(16), 0);
        }
        while file.len() < 4096 {
            file.extend(b"Slot");
            file.extend([0; 12]);
        }
        file.extend(heap);
        file
    }

    #[test]
    fn headers_are_read() {
        let texts = [
            (NAME, "openssl-libs"),
            (VERSION, "3.0.7"),
            (RELEASE, "24.el9"),
            (ARCH, "x86_64"),
            (LICENCE, "ASL 2.0"),
            (SOURCE, "openssl-3.0.7-24.el9.src.rpm"),
        ];
        let blob = made(&texts, Some(1));
        let found = header(&blob).unwrap();
        assert_eq!((found.name.as_str(), found.version.as_str()), ("openssl-libs", "1:3.0.7-24.el9"));
        assert_eq!(found.source, Some(("openssl".into(), "1:3.0.7-24.el9".into())));
        assert_eq!(found.licences, ["ASL 2.0"]);
        for cut in 0..blob.len() {
            assert_eq!(header(&blob[..cut]), None);
        }
    }

    #[test]
    fn lists_with_slots_are_read_and_other_forms_are_named() {
        let texts = [(NAME, "bash"), (VERSION, "5.2"), (RELEASE, "1")];
        let key = [(NAME, "gpg-pubkey"), (VERSION, "1"), (RELEASE, "2")];
        let file = with_slots(&[made(&texts, None), made(&key, None), b"x".to_vec()]);
        let (found, odd) = packages("var/lib/rpm/Packages.db", &file).unwrap();
        assert_eq!((found.len(), odd), (1, 1));
        assert_eq!(found[0].version, "5.2-1");
        for cut in (0..file.len()).step_by(7) {
            let _ = packages("Packages.db", &file[..cut]);
        }
        // All slots show the same header.
        let mut shared = with_slots(&[[made(&texts, None), vec![0; 4000]].concat()]);
        let slot = shared[32..48].to_vec();
        for at in (48..4096).step_by(16) {
            shared[at..at + 16].copy_from_slice(&slot);
        }
        assert!(packages("Packages.db", &shared).is_err(), "much is made of little");
        let why = packages("var/lib/rpm/Packages", &[0; 64]).unwrap_err();
        assert!(why.contains("Berkeley"), "{why}");
    }
}
