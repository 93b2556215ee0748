//! Archives of what a job made: zip for artifacts, compressed tar for caches.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::glob::{Patterns, Walk};
use super::{Report, at};

/// A zip archive to make.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Zipping {
    /// Where relative patterns begin.
    pub(crate) root: PathBuf,
    /// What to take.
    pub(crate) patterns: Vec<String>,
    /// Whether names that begin with a dot are taken.
    pub(crate) hidden: bool,
    /// From 0 (none) to 9.
    pub(crate) level: i64,
}

/// A zip archive to take apart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Unzipping {
    /// The archive.
    pub(crate) archive: PathBuf,
    /// The folder for its files.
    pub(crate) into: PathBuf,
    /// The file's name, where it is no archive but one file as it is.
    #[serde(default)]
    pub(crate) raw: Option<String>,
}

/// A compressed tar to make.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Packing {
    /// Where relative patterns begin; names in the archive are relative to it.
    pub(crate) root: PathBuf,
    /// What `~` is.
    pub(crate) home: PathBuf,
    /// What to take.
    pub(crate) patterns: Vec<String>,
}

/// A compressed tar to take apart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Unpacking {
    /// The archive.
    pub(crate) archive: PathBuf,
    /// What its names are relative to.
    pub(crate) root: PathBuf,
    /// What `~` is.
    pub(crate) home: PathBuf,
}

impl Zipping {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<Report, String> {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let patterns = Patterns::parse(&self.patterns, &self.root, home.as_deref());
        let files = patterns.files(Walk { hidden: self.hidden, follow: true });
        let base = base(&patterns.roots(), &files);
        let mut report = Report { text: base.display().to_string(), ..Report::default() };
        let method = if self.level == 0 { CompressionMethod::Stored } else { CompressionMethod::Deflated };
        let level = (self.level > 0).then_some(self.level);
        let mut zip = ZipWriter::new_stream(out);
        for path in &files {
            let Ok(meta) = std::fs::metadata(path) else {
                report.notes.push(format!("{} leads nowhere: it is left out", path.display()));
                continue;
            };
            if !meta.is_file() {
                report.notes.push(format!("{} is not a regular file: it is left out", path.display()));
                continue;
            }
            let name = path.strip_prefix(&base).unwrap_or(path).to_string_lossy().into_owned();
            let options = SimpleFileOptions::default()
                .compression_method(method)
                .compression_level(level)
                .large_file(meta.len() > u64::from(u32::MAX / 2))
                .unix_permissions(meta.permissions().mode() & 0o777);
            zip.start_file(name, options).map_err(|e| format!("{}: {e}", path.display()))?;
            let mut file = File::open(path).map_err(at(path))?;
            report.bytes += io::copy(&mut file, &mut zip).map_err(at(path))?;
            report.files += 1;
        }
        zip.finish().map_err(|e| format!("writing the archive: {e}"))?;
        Ok(report)
    }
}

/// What names in an artifact are relative to: the folder itself for one folder or pattern, the deepest common folder
/// for several.
fn base(roots: &[(PathBuf, bool)], files: &[PathBuf]) -> PathBuf {
    if let [(root, exact)] = roots {
        let one_file = *exact && files.len() == 1 && files[0] == *root;
        return if one_file { root.parent().unwrap_or(root).to_owned() } else { root.clone() };
    }
    let folder_of = |(root, exact): &(PathBuf, bool)| {
        let is_file = *exact && std::fs::metadata(root).is_ok_and(|meta| meta.is_file());
        if is_file { root.parent().unwrap_or(root).to_owned() } else { root.clone() }
    };
    let common = |a: PathBuf, b: PathBuf| {
        a.components().zip(b.components()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect::<PathBuf>()
    };
    roots.iter().map(folder_of).reduce(common).unwrap_or_else(|| PathBuf::from("/"))
}

impl Unzipping {
    pub(super) fn run(self) -> Result<Report, String> {
        if let Some(name) = &self.raw {
            return self.put(name);
        }
        let broken = |e: &dyn std::fmt::Display| format!("the artifact's archive is damaged: {e}");
        let mut zip =
            ZipArchive::new(File::open(&self.archive).map_err(at(&self.archive))?).map_err(|e| broken(&e))?;
        let mut report = Report::default();
        std::fs::create_dir_all(&self.into).map_err(at(&self.into))?;
        for index in 0..zip.len() {
            let mut entry = zip.by_index(index).map_err(|e| broken(&e))?;
            let Some(name) = entry.enclosed_name() else {
                report.notes.push(format!(
                    "`{}` would lie outside of the folder: it is left out",
                    entry.name().unwrap_or_default()
                ));
                continue;
            };
            let path = self.into.join(name);
            if entry.is_dir() {
                std::fs::create_dir_all(&path).map_err(at(&path))?;
                continue;
            }
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(at(parent))?;
            }
            let _ = std::fs::remove_file(&path);
            let mut file = File::create(&path).map_err(at(&path))?;
            report.bytes += io::copy(&mut entry, &mut file).map_err(at(&path))?;
            report.files += 1;
            if let Some(mode) = entry.unix_mode() {
                let _ = std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode & 0o777));
            }
        }
        Ok(report)
    }

    /// Puts one file in its place.
    fn put(&self, name: &str) -> Result<Report, String> {
        let plain = Path::new(name).components().eq([Component::Normal(name.as_ref())]);
        if !plain {
            return Err(format!("`{name}` is no file's name"));
        }
        std::fs::create_dir_all(&self.into).map_err(at(&self.into))?;
        let path = self.into.join(name);
        let _ = std::fs::remove_file(&path);
        let bytes = std::fs::copy(&self.archive, &path).map_err(at(&path))?;
        let _ = std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644));
        Ok(Report { files: 1, bytes, ..Report::default() })
    }
}

/// How hard caches are compressed: fast, as they are made in every run.
const ZSTD_LEVEL: i32 = 3;

impl Packing {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<Report, String> {
        let patterns = Patterns::parse(&self.patterns, &self.root, Some(&self.home));
        let files = patterns.files(Walk { hidden: true, follow: false });
        let mut report = Report::default();
        if files.is_empty() {
            return Ok(report);
        }
        let zstd = zstd::Encoder::new(out, ZSTD_LEVEL).map_err(|e| e.to_string())?;
        let mut tar = tar::Builder::new(zstd.auto_finish());
        tar.follow_symlinks(false);
        folders_header(&mut tar, &self.root, &self.home).map_err(|e| e.to_string())?;
        for path in &files {
            let name = relative(path, &self.root);
            match append(&mut tar, path, &name) {
                Ok(()) => report.files += 1,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => report.notes.push(format!("{}: {e}", path.display())),
            }
        }
        tar.into_inner().map_err(|e| e.to_string())?;
        Ok(report)
    }
}

/// A path as GitHub's own client (`@actions/cache`) names it: relative to the workspace, upwards where it must be. So
/// each takes the other's archives.
fn relative(path: &Path, root: &Path) -> PathBuf {
    let shared = path.components().zip(root.components()).take_while(|(one, other)| one == other).count();
    let up = std::iter::repeat_n(Component::ParentDir, root.components().count() - shared);
    up.chain(path.components().skip(shared)).collect()
}

/// Adds a file under a name. One that leads upwards goes into a header of its own (POSIX pax), as the writer of archives
/// does not put it into the usual place.
fn append(tar: &mut tar::Builder<impl Write>, path: &Path, name: &Path) -> io::Result<()> {
    if !name.components().any(|part| part == Component::ParentDir) {
        return tar.append_path_with_name(path, name);
    }
    // Gone meanwhile, or not to be read: no header may be left without its file.
    if std::fs::symlink_metadata(path)?.is_file() {
        File::open(path)?;
    }
    tar.append_pax_extensions([("path", name.as_os_str().as_encoded_bytes())])?;
    tar.append_path_with_name(path, "upwards")
}

/// The keys, of a global header (POSIX pax), under which our own archives say where the folders were that its names hang
/// on: the next job's may be elsewhere. Other programs pass over them.
const FOLDERS: [&str; 2] = ["WINDLASS.workspace", "WINDLASS.home"];
/// The longest such header that is read.
const LONGEST_HEADER: u64 = 64 << 10;

fn folders_header(tar: &mut tar::Builder<impl Write>, root: &Path, home: &Path) -> io::Result<()> {
    let mut records = String::new();
    for (key, path) in FOLDERS.iter().zip([root, home]) {
        // A record begins with its own length, which counts its own digits.
        let rest = format!(" {key}={}\n", path.display());
        let digits = (1..20).find(|digits| (rest.len() + digits).to_string().len() == *digits).unwrap_or(1);
        records += &format!("{}{rest}", rest.len() + digits);
    }
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::XGlobalHeader);
    header.set_size(records.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "pax_global_header", records.as_bytes())
}

/// The folders that an archive's names hang on.
struct Folders {
    root: PathBuf,
    home: PathBuf,
}

impl Folders {
    /// Takes in what a global header says.
    fn read(&mut self, header: impl io::Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        header.take(LONGEST_HEADER).read_to_end(&mut bytes)?;
        for record in String::from_utf8_lossy(&bytes).lines() {
            let said = record.split_once(' ').and_then(|(_, record)| record.split_once('='));
            let Some((key, path)) = said.filter(|(_, path)| path.starts_with('/')) else { continue };
            match FOLDERS.iter().position(|known| *known == key) {
                Some(0) => self.root = normal(Path::new(path)),
                Some(_) => self.home = normal(Path::new(path)),
                None => {}
            }
        }
        Ok(())
    }
}

/// A path without `.` and `..`, by its letters alone.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut whole, part| {
        match part {
            Component::ParentDir => {
                whole.pop();
            }
            Component::CurDir => {}
            other => whole.push(other),
        }
        whole
    })
}

impl Unpacking {
    pub(super) fn run(self) -> Result<Report, String> {
        let file = File::open(&self.archive).map_err(at(&self.archive))?;
        let tar = zstd::Decoder::new(file).map_err(damaged)?;
        unpack(tar, &self.root, &self.home, Path::new("/"))
    }
}

fn damaged(e: io::Error) -> String {
    format!("the cache's archive cannot be unpacked: {e}")
}

/// Takes a cache apart, into the folders that its names are relative to.
pub(super) fn unpack(
    tar: impl io::Read,
    root: &Path,
    home: &Path,
    elsewhere: &Path,
) -> Result<Report, String> {
    let mut tar = tar::Archive::new(tar);
    let mut report = Report::default();
    let mut folders = Folders { root: normal(root), home: normal(home) };
    for entry in tar.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        if entry.header().entry_type() == tar::EntryType::XGlobalHeader {
            folders.read(&mut entry).map_err(damaged)?;
            continue;
        }
        let name = entry.path().map_err(damaged)?.into_owned();
        let whole = normal(&folders.root.join(&name));
        let (root, rest) = if let Ok(rest) = whole.strip_prefix(&folders.root) {
            (root, rest)
        } else if let Ok(rest) = whole.strip_prefix(&folders.home) {
            (home, rest)
        } else {
            (elsewhere, whole.strip_prefix("/").unwrap_or(&whole))
        };
        let (name, rest) = (name, rest.to_owned());
        if rest.as_os_str().is_empty() || name.as_os_str().is_empty() {
            // The folder itself: it is there.
            if entry.header().entry_type() != tar::EntryType::Directory {
                report.notes.push(format!("`{}` has no plain name: it is left out", name.display()));
            }
            continue;
        }
        let name = rest;
        let path = root.join(&name);
        if entry.header().entry_type() == tar::EntryType::Link || !stays(&path, root) {
            report.notes.push(format!("`{}` leads out by a link: it is left out", name.display()));
            continue;
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(at(parent))?;
        }
        entry.set_preserve_permissions(true);
        entry.unpack(&path).map_err(at(&path))?;
        report.files += 1;
    }
    Ok(report)
}

/// Whether a path below `root` still lies there once the links on its way are followed: an earlier entry of the same
/// archive may have made one that leads out.
fn stays(path: &Path, root: &Path) -> bool {
    let there = path.ancestors().skip(1).find(|above| std::fs::symlink_metadata(above).is_ok());
    match (there.map(std::fs::canonicalize), std::fs::canonicalize(root)) {
        (Some(Ok(there)), Ok(root)) => there.starts_with(root),
        // Nothing is there yet: no link either. What cannot be followed is a link to nowhere.
        (Some(Ok(_)), Err(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str) {
        let path = root.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, file).unwrap();
    }

    fn zipped(root: &Path, patterns: &[&str]) -> (Report, Vec<String>) {
        let mut out = Vec::new();
        let patterns = patterns.iter().map(|p| (*p).to_owned()).collect();
        let report =
            Zipping { root: root.to_owned(), patterns, hidden: false, level: 6 }.run(&mut out).unwrap();
        let zip = ZipArchive::new(io::Cursor::new(out)).unwrap();
        let mut names: Vec<_> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
        names.sort();
        (report, names)
    }

    #[test]
    fn names_in_an_artifact_are_relative_to_what_was_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["out/a/x.txt", "out/b/y.txt", "out/.secret", "top.txt"] {
            write(dir.path(), file);
        }
        for (patterns, wanted) in [
            (&["out"][..], &["a/x.txt", "b/y.txt"][..]),
            (&["out/a/x.txt"], &["x.txt"]),
            (&["out/**/*.txt"], &["a/x.txt", "b/y.txt"]),
            (&["out/a", "out/b/y.txt"], &["a/x.txt", "b/y.txt"]),
            (&["out", "top.txt", "!**/y.txt"], &["out/a/x.txt", "top.txt"]),
            (&["nothing"], &[]),
        ] {
            let (report, names) = zipped(dir.path(), patterns);
            assert_eq!(names, wanted, "{patterns:?}");
            assert_eq!(report.files, wanted.len() as u64);
        }
    }

    #[test]
    fn a_zip_that_leads_out_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("evil.zip");
        let mut zip = ZipWriter::new(File::create(&archive).unwrap());
        for name in ["../../evil", "/evil", "good/file"] {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(b"x").unwrap();
        }
        zip.finish().unwrap();
        let into = dir.path().join("a/b");
        Unzipping { archive, into: into.clone(), raw: None }.run().unwrap();
        assert!(into.join("good/file").exists());
        assert!(!dir.path().join("evil").exists() && !Path::new("/evil").exists());
    }

    #[test]
    fn a_file_that_is_no_archive_is_put_under_its_name_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let (archive, into) = (dir.path().join("kept"), dir.path().join("a/b"));
        std::fs::write(&archive, "as it is").unwrap();
        let put = |name: &str| {
            Unzipping { archive: archive.clone(), into: into.clone(), raw: Some(name.to_owned()) }.run()
        };
        assert_eq!(put("notes.txt").unwrap().bytes, 8);
        assert_eq!(std::fs::read_to_string(into.join("notes.txt")).unwrap(), "as it is");
        for bad in ["../x", "/x", "a/b", "..", ".", ""] {
            assert!(put(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_in_a_cache_are_those_of_the_genuine_client() {
        for (path, root, wanted) in [
            ("/w/shop/target/x", "/w/shop", "target/x"),
            ("/root/.cargo/y", "/w/shop", "../../root/.cargo/y"),
            ("/w/other/z", "/w/shop", "../other/z"),
            ("/w/shop", "/w/shop", ""),
        ] {
            assert_eq!(relative(Path::new(path), Path::new(root)), Path::new(wanted), "{path}");
        }
        assert_eq!(normal(Path::new("/a/./b/../../../c")), Path::new("/c"));
    }

    /// What GNU tar makes for the genuine client, and what it does with ours.
    #[test]
    fn caches_pass_between_us_and_tar() {
        let tar = |dir: &Path, args: &[&str]| {
            std::process::Command::new("tar")
                .current_dir(dir)
                .args(args)
                .output()
                .is_ok_and(|o| o.status.success())
        };
        let dir = tempfile::tempdir().unwrap();
        if !tar(dir.path(), &["--version"]) {
            return windlass_testkit::skip("caches and tar", "there is no tar on this machine");
        }
        let at = |path: &str| dir.path().join(path);
        write(&at("work"), "deps/x");
        write(&at("home"), ".npm/y");
        let (root, home, plain) = (at("work"), at("home"), at("plain.tar"));
        let made = plain.to_string_lossy().into_owned();
        assert!(tar(&root, &["--posix", "-cf", &made, "-P", "deps", "../home/.npm"]));
        std::fs::create_dir_all(at("then/work")).unwrap();
        let (next, then) = (at("then/work"), at("then/home"));
        // Without our header the names hang on where the folders are now.
        unpack(File::open(&plain).unwrap(), &next, &then, &at("else")).unwrap();
        assert_eq!(std::fs::read_to_string(at("then/work/deps/x")).unwrap(), "deps/x");
        assert_eq!(std::fs::read_to_string(at("then/home/.npm/y")).unwrap(), ".npm/y");

        let mut out = Vec::new();
        let patterns = vec!["deps".to_owned(), "~/.npm".to_owned()];
        Packing { root: root.clone(), home: home.clone(), patterns }.run(&mut out).unwrap();
        std::fs::write(&plain, zstd::decode_all(&out[..]).unwrap()).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        std::fs::remove_dir_all(&home).unwrap();
        std::fs::create_dir_all(&root).unwrap();
        assert!(tar(&root, &["-xf", &made, "-P"]), "GNU tar takes ours");
        assert_eq!(std::fs::read_to_string(at("home/.npm/y")).unwrap(), ".npm/y");
        assert_eq!(std::fs::read_to_string(at("work/deps/x")).unwrap(), "deps/x");
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 1, "and nothing else of them");
    }

    #[test]
    fn a_cache_that_leads_out_by_its_own_links_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (root, home, outside) =
            (dir.path().join("work"), dir.path().join("home"), dir.path().join("outside"));
        for folder in [&root, &home, &outside] {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::fs::write(dir.path().join("secret"), "s").unwrap();
        let archive = dir.path().join("cache");
        let mut tar =
            tar::Builder::new(zstd::Encoder::new(File::create(&archive).unwrap(), 1).unwrap().auto_finish());
        let mut header = |kind: tar::EntryType, name: &str, target: &str| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(0);
            header.set_mode(0o644);
            if target.is_empty() {
                tar.append_data(&mut header, name, io::empty()).unwrap();
            } else {
                tar.append_link(&mut header, name, target).unwrap();
            }
        };
        header(tar::EntryType::Symlink, "link", outside.to_str().unwrap());
        header(tar::EntryType::Regular, "link/evil", "");
        header(tar::EntryType::Regular, "link/deep/evil", "");
        header(tar::EntryType::Symlink, "nowhere", "/no/such/folder");
        header(tar::EntryType::Regular, "nowhere/evil", "");
        header(tar::EntryType::Link, "hard", dir.path().join("secret").to_str().unwrap());
        header(tar::EntryType::Regular, "good/file", "");
        drop(tar);
        let report = Unpacking { archive, root: root.clone(), home }.run().unwrap();
        assert!(root.join("good/file").exists(), "{:?}", report.notes);
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        assert!(!root.join("hard").exists());
        assert_eq!(report.notes.len(), 4, "{:?}", report.notes);
    }

    #[test]
    fn caches_come_back_where_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let (root, home) = (dir.path().join("work"), dir.path().join("home"));
        write(&root, "target/debug/x");
        write(&home, ".cargo/registry/y");
        std::os::unix::fs::symlink("x", root.join("target/debug/link")).unwrap();
        let mut out = Vec::new();
        let patterns = vec!["target".to_owned(), "~/.cargo/registry".to_owned()];
        let report = Packing { root: root.clone(), home: home.clone(), patterns }.run(&mut out).unwrap();
        assert_eq!(report.files, 3);
        let archive = dir.path().join("cache");
        std::fs::write(&archive, out).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        std::fs::remove_dir_all(&home).unwrap();
        let home = dir.path().join("another home");
        Unpacking { archive, root: root.clone(), home: home.clone() }.run().unwrap();
        assert_eq!(std::fs::read_to_string(root.join("target/debug/link")).unwrap(), "target/debug/x");
        assert_eq!(std::fs::read_to_string(home.join(".cargo/registry/y")).unwrap(), ".cargo/registry/y");
    }
}
