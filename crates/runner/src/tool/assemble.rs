//! A tar of an image's files, from lines `SOURCE[:DESTINATION[:MODE]]`. The same files give the same tar.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tar::{EntryType, Header};

use super::{Report, at};

/// What goes into the image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Assembly {
    /// The workspace: sources are below it, and no link leads out of it.
    pub(crate) root: PathBuf,
    /// The lines.
    pub(crate) files: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    source: &'a str,
    destination: String,
    /// Whether the destination ends with a slash: a file goes into it under its own name, a folder becomes it.
    is_folder: bool,
    mode: Option<u32>,
}

impl Assembly {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<Report, String> {
        let root = self.root.canonicalize().map_err(at(&self.root))?;
        let mut tar = tar::Builder::new(out);
        tar.follow_symlinks(false);
        let mut report = Report::default();
        for text in self.files.iter().map(|line| line.trim()).filter(|line| !line.is_empty()) {
            let line = parse(text)?;
            let source = within(&root, &root.join(line.source.trim_start_matches('/')))?;
            let mut destination = PathBuf::from(&line.destination);
            if let (true, false, Some(name)) =
                (line.is_folder, source.is_dir(), Path::new(line.source).file_name())
            {
                destination.push(name);
            }
            add(&mut tar, &root, &source, &destination, line.mode, &mut report)?;
        }
        if report.files == 0 {
            return Err("`files` names nothing: give lines such as `target/release/app:app`".to_owned());
        }
        tar.into_inner().map_err(|e| e.to_string())?;
        Ok(report)
    }
}

fn parse(text: &str) -> Result<Line<'_>, String> {
    let mut parts = text.splitn(3, ':');
    let source = parts.next().unwrap_or_default().trim();
    let wanted = parts.next().map_or("", str::trim);
    let mode = parts.next().map(str::trim).filter(|mode| !mode.is_empty());
    let mode = mode
        .map(|mode| u32::from_str_radix(mode, 8).ok().filter(|m| *m <= 0o7777).ok_or(mode))
        .transpose()
        .map_err(|mode| format!("`{text}`: `{mode}` is no mode; write it in octal, such as 0755"))?;
    if source.is_empty() {
        return Err(format!("`{text}` names no file of the workspace"));
    }
    let destination = match wanted {
        "" => source.trim_start_matches("./").to_owned(),
        path => path.to_owned(),
    };
    let destination = destination.trim_matches('/').to_owned();
    if destination.split('/').any(|part| part == "..") {
        return Err(format!("`{text}`: the place in the image must not have `..` in it"));
    }
    Ok(Line { source, destination, is_folder: wanted.ends_with('/'), mode })
}

/// The real path, if it lies in the workspace.
fn within(root: &Path, path: &Path) -> Result<PathBuf, String> {
    let real = path.canonicalize().map_err(|e| {
        let shown = path.strip_prefix(root).unwrap_or(path);
        format!("`{}` is not in the workspace ({e}): was it built?", shown.display())
    })?;
    if real.starts_with(root) {
        return Ok(real);
    }
    Err(format!(
        "`{}` leads out of the workspace: only files of the workspace go into an image",
        path.display()
    ))
}

fn add(
    tar: &mut tar::Builder<&mut dyn Write>,
    root: &Path,
    source: &Path,
    destination: &Path,
    mode: Option<u32>,
    report: &mut Report,
) -> Result<(), String> {
    let meta = std::fs::symlink_metadata(source).map_err(at(source))?;
    let own = meta.permissions().mode() & 0o777;
    // Only whether a file may be executed is taken from the machine: its other bits are the machine's umask.
    let plain = if meta.is_dir() || own & 0o111 != 0 { 0o755 } else { 0o644 };
    if meta.is_symlink() {
        let target = std::fs::read_link(source).map_err(at(source))?;
        within(root, source)?;
        let mut header = header(EntryType::Symlink, 0o777, 0);
        tar.append_link(&mut header, destination, &target).map_err(at(source))?;
        report.files += 1;
        return Ok(());
    }
    if meta.is_dir() {
        if destination.as_os_str().is_empty() {
            // The image's own root needs no entry.
        } else {
            let mut header = header(EntryType::Directory, plain, 0);
            tar.append_data(&mut header, destination.join(""), std::io::empty()).map_err(at(source))?;
        }
        let mut entries: Vec<_> = std::fs::read_dir(source).map_err(at(source))?.flatten().collect();
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            add(tar, root, &entry.path(), &destination.join(entry.file_name()), mode, report)?;
        }
        return Ok(());
    }
    if !meta.is_file() {
        return Err(format!("{} is neither a file, nor a folder, nor a link", source.display()));
    }
    let mut header = header(EntryType::Regular, mode.unwrap_or(plain), meta.len());
    let file = File::open(source).map_err(at(source))?;
    tar.append_data(&mut header, destination, file).map_err(at(source))?;
    report.files += 1;
    report.bytes += meta.len();
    Ok(())
}

/// Nothing of the machine, nor of the moment, is in it.
fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(root: &Path, files: &[&str]) -> Result<Vec<(String, u32)>, String> {
        let mut out = Vec::new();
        Assembly { root: root.to_owned(), files: files.iter().map(|f| (*f).to_owned()).collect() }
            .run(&mut out)?;
        let mut tar = tar::Archive::new(&out[..]);
        let entries = tar.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            (entry.path().unwrap().to_string_lossy().into_owned(), entry.header().mode().unwrap())
        });
        Ok(entries.collect())
    }

    #[test]
    fn lines_place_files() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("bin/sub")).unwrap();
        std::fs::write(dir.path().join("bin/app"), "x").unwrap();
        std::fs::write(dir.path().join("bin/sub/data"), "y").unwrap();
        std::fs::set_permissions(dir.path().join("bin/app"), std::fs::Permissions::from_mode(0o700)).unwrap();
        type Entries<'a> = &'a [(&'a str, u32)];
        let cases: &[(&[&str], Entries<'_>)] = &[
            (&["bin/app"], &[("bin/app", 0o755)]),
            (&["bin/app:/app"], &[("app", 0o755)]),
            (&["bin/app:/opt/:0500"], &[("opt/app", 0o500)]),
            (
                &["bin:srv"],
                &[("srv/", 0o755), ("srv/app", 0o755), ("srv/sub/", 0o755), ("srv/sub/data", 0o644)],
            ),
            (&["bin/sub:/"], &[("data", 0o644)]),
        ];
        for (files, wanted) in cases {
            let wanted: Vec<_> = wanted.iter().map(|(n, m)| ((*n).to_owned(), *m)).collect();
            assert_eq!(names(dir.path(), files), Ok(wanted), "{files:?}");
        }
    }

    #[test]
    fn nothing_from_outside_of_the_workspace_gets_in() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("work");
        std::fs::create_dir_all(root.join("d")).unwrap();
        std::fs::write(dir.path().join("secret"), "s").unwrap();
        std::os::unix::fs::symlink("../../secret", root.join("d/link")).unwrap();
        for bad in ["../secret", "d/link", "d", "missing", "d:../x", "d:x:9", ""] {
            assert!(names(&root, &[bad]).is_err(), "{bad}");
        }
    }
}
