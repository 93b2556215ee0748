//! A build's context: all files of a folder as a plain tar, as they are.

use std::io::Write;
use std::path::Path;

use super::{Report, at};

/// Packs a folder. Links stay links; what is neither file, folder nor link is left out.
pub(super) fn pack(folder: &Path, out: &mut dyn Write) -> Result<Report, String> {
    if !std::fs::metadata(folder).map_err(at(folder))?.is_dir() {
        return Err(format!("the build's context {} is not a folder", folder.display()));
    }
    let mut report = Report::default();
    let mut tar = tar::Builder::new(out);
    tar.follow_symlinks(false);
    let mut waiting = vec![folder.to_owned()];
    while let Some(here) = waiting.pop() {
        let mut entries: Vec<_> = std::fs::read_dir(&here).map_err(at(&here))?.flatten().collect();
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let (path, kind) = (entry.path(), entry.file_type().map_err(at(&here))?);
            let name = path.strip_prefix(folder).unwrap_or(&path);
            if !(kind.is_file() || kind.is_dir() || kind.is_symlink()) {
                report.notes.push(format!("{} is not a file: it is not part of the context", name.display()));
                continue;
            }
            tar.append_path_with_name(&path, name).map_err(at(&path))?;
            report.files += u64::from(!kind.is_dir());
            report.bytes += if kind.is_file() { entry.metadata().map_or(0, |meta| meta.len()) } else { 0 };
            if kind.is_dir() {
                waiting.push(path);
            }
        }
    }
    tar.finish().map_err(at(folder))?;
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_are_in_it_and_links_stay_links() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/.hidden")).unwrap();
        std::fs::write(dir.path().join("a/.hidden/file"), "12345").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("a/link")).unwrap();
        std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        let mut out = Vec::new();
        let report = pack(dir.path(), &mut out).unwrap();
        assert_eq!((report.files, report.bytes, report.notes.len()), (2, 5, 1));
        let mut archive = tar::Archive::new(out.as_slice());
        let entries = archive.entries().unwrap().map(|entry| entry.unwrap());
        let mut seen: Vec<_> =
            entries.map(|e| (e.path().unwrap().display().to_string(), e.header().entry_type())).collect();
        seen.sort_by(|a, b| a.0.cmp(&b.0));
        let names: Vec<_> = seen.iter().map(|(name, _)| name.trim_end_matches('/')).collect();
        assert_eq!(names, ["a", "a/.hidden", "a/.hidden/file", "a/link"]);
        assert_eq!(seen[3].1, tar::EntryType::Symlink);
        assert!(pack(&dir.path().join("a/.hidden/file"), &mut Vec::new()).is_err());
    }
}
