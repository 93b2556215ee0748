//! A project's files as [`auto`] asks for them, and the programs of the machine.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use windlass_dockerfile::Ignore;
use windlass_dockerfile::auto::{self, Files};

use crate::failure::{Exit, Failure};

/// The most files of a project, the deepest folder, the largest text that is read, and how much is read in all.
const MOST_FILES: usize = 100_000;
const DEEPEST: usize = 40;
const LARGEST_TEXT: u64 = 8 << 20;
const MOST_TEXT: u64 = 64 << 20;

/// A project's files by their names, the texts that are wanted, and the machine's programs.
pub(super) fn look(folder: &Path) -> Result<Files> {
    let own = std::fs::read_to_string(folder.join(".dockerignore")).unwrap_or_default();
    let patterns = format!("{}\n{own}", auto::NEVER.join("\n"));
    let ignore =
        Ignore::parse(&patterns).map_err(|e| Failure::new(Exit::Failed, format!(".dockerignore: {e}")))?;
    let mut files = Files { folder: name_of(folder), tools: tools(), ..Files::default() };
    let mut read = 0;
    walk(folder, "", 0, &ignore, &mut files, &mut read)?;
    Ok(files)
}

fn name_of(folder: &Path) -> String {
    folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn walk(
    root: &Path,
    below: &str,
    depth: usize,
    ignore: &Ignore,
    files: &mut Files,
    read: &mut u64,
) -> Result<()> {
    let folder = root.join(below);
    let entries = std::fs::read_dir(&folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let mut entries = entries.with_context(|| format!("reading {}", folder.display()))?;
    // What is read does not depend on the order in which a file system has them.
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let Ok(name) = entry.file_name().into_string() else {
            let message = format!("{} has no name that is text", entry.path().display());
            return Err(Failure::new(Exit::Failed, message).into());
        };
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        let kind = entry.file_type().with_context(|| format!("reading {path}"))?;
        let excluded = ignore.excludes(&path);
        if kind.is_dir() {
            if depth < DEEPEST && !(excluded && ignore.excludes_all_below(&path)) {
                walk(root, &path, depth + 1, ignore, files, read)?;
            }
            continue;
        }
        if excluded || !(kind.is_file() || kind.is_symlink()) {
            continue;
        }
        if files.paths.len() >= MOST_FILES {
            let message =
                format!("the project has more than {MOST_FILES} files: leave some out with .dockerignore");
            return Err(Failure::new(Exit::Failed, message).into());
        }
        let wanted = auto::WANTED.iter().any(|wanted| path.ends_with(wanted));
        let size = entry.metadata().map_or(u64::MAX, |metadata| metadata.len());
        let read_it = wanted && kind.is_file() && size <= LARGEST_TEXT && *read + size <= MOST_TEXT;
        if read_it && let Ok(text) = std::fs::read_to_string(entry.path()) {
            *read += size;
            files.texts.insert(path.clone(), text);
        }
        files.paths.insert(path);
    }
    Ok(())
}

/// Those of the known programs that are in `PATH`.
fn tools() -> BTreeSet<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let found = |tool: &str| folders.iter().map(|folder| folder.join(tool)).find(|path| path.is_file());
    let there = |tool: &&str| match *tool {
        "busybox-static" => found("busybox").is_some_and(|path| needs_no_library(&path)),
        "rust-musl" => found("musl-gcc").is_some() && has_musl(),
        tool => found(tool).is_some(),
    };
    auto::TOOLS.iter().filter(|tool| there(tool)).map(|tool| (*tool).to_owned()).collect()
}

/// Whether a program names no interpreter: no header of type 3 (ELF, "Program Header").
fn needs_no_library(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(4096).read_to_end(&mut head));
    let number = |at: usize, len: usize| {
        let bytes = head.get(at..at + len)?;
        Some(bytes.iter().rev().fold(0_usize, |all, byte| all << 8 | usize::from(*byte)))
    };
    let headers = || -> Option<bool> {
        // Little-endian, 64 bit: what else is not looked at.
        if head.get(..6)? != [0x7f, b'E', b'L', b'F', 2, 1] {
            return None;
        }
        let (from, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        let kinds: Option<Vec<usize>> = (0..count).map(|at| number(from + at * size, 4)).collect();
        Some(!kinds?.contains(&3))
    };
    read.is_ok() && headers().unwrap_or(false)
}

/// Whether the toolchain has what programs with musl are built from.
fn has_musl() -> bool {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let told =
        std::process::Command::new("rustc").args(["--print", "target-libdir", "--target", &target]).output();
    told.is_ok_and(|told| {
        told.status.success() && Path::new(String::from_utf8_lossy(&told.stdout).trim()).is_dir()
    })
}
