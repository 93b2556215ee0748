//! What changed between two commits: names for path filters, and parsed unified diffs for the pages.

use super::{fields, strange};
use crate::{Repository, Sha, SourceError, git};

const NAMES_LIMIT: usize = 32 << 20;

/// What a diff may take.
#[derive(Clone, Copy, Debug)]
pub struct DiffLimits {
    /// Files listed.
    pub files: usize,
    /// Bytes of patch text read.
    pub bytes: usize,
    /// Lines shown of one file.
    pub lines_per_file: usize,
    /// Characters kept of one line.
    pub line_chars: usize,
}

impl Default for DiffLimits {
    fn default() -> Self {
        Self { files: 300, bytes: 2 << 20, lines_per_file: 3000, line_chars: 2000 }
    }
}

/// The paths that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedFiles {
    /// The paths, both the old and the new one of a renamed file.
    pub paths: Vec<String>,
    /// Whether there were too many to list them all: a path filter should then match.
    pub truncated: bool,
}

/// What changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// The files.
    pub files: Vec<FileChange>,
    /// Whether something was left out because it is too large to show.
    pub truncated: bool,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileStatus {
    /// It is new.
    Added,
    /// Its content, mode or kind changed.
    Modified,
    /// It is gone.
    Deleted,
    /// It has another path.
    Renamed,
}

/// How one file changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// The path after the change (before it, if it was deleted).
    pub path: String,
    /// The path before, if it was another.
    pub old_path: Option<String>,
    /// What happened.
    pub status: FileStatus,
    /// Whether it is not text.
    pub binary: bool,
    /// Lines added.
    pub added: u32,
    /// Lines removed.
    pub removed: u32,
    /// The changed parts.
    pub hunks: Vec<Hunk>,
}

/// A changed part of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hunk {
    /// The `@@ … @@` line.
    pub header: String,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// A line of a diff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `+`, `-`, a space, or `\` for "no newline at end of file".
    pub sign: char,
    /// Its number before the change.
    pub old: Option<u32>,
    /// Its number after the change.
    pub new: Option<u32>,
    /// Its text, without the sign and the line break.
    pub text: String,
}

impl Repository {
    /// The paths that changed from one commit to another (`from` none: from nothing), at most `limit`.
    pub async fn changed_files(
        &self,
        from: Option<&Sha>,
        to: &Sha,
        limit: usize,
    ) -> Result<ChangedFiles, SourceError> {
        let from = from.cloned().unwrap_or_else(Sha::empty_tree);
        let args = ["diff-tree", "-r", "-z", "--no-renames", "--name-only", from.as_str(), to.as_str()];
        let output = git::run(self.path(), &args, NAMES_LIMIT).await?;
        let mut truncated = output.truncated;
        let out = output.cut()?;
        let mut paths: Vec<String> = fields(&out).collect();
        if truncated {
            // The last one may have been cut in two.
            paths.pop();
        }
        truncated |= paths.len() > limit;
        paths.truncate(limit);
        Ok(ChangedFiles { paths, truncated })
    }

    /// What changed from one commit to another (`from` none: from nothing).
    pub async fn diff(&self, from: Option<&Sha>, to: &Sha, limits: DiffLimits) -> Result<Diff, SourceError> {
        let from = from.cloned().unwrap_or_else(Sha::empty_tree);
        let names = ["diff-tree", "-r", "-M", "-z", "--raw", "--numstat", from.as_str(), to.as_str()];
        let output = git::run(self.path(), &names, NAMES_LIMIT).await?;
        let mut listing = Listing { truncated: output.truncated, ..Listing::default() };
        listing.read(fields(&output.cut()?))?;

        let patch = [
            "diff-tree",
            "-r",
            "-M",
            "-p",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            "--src-prefix=a/",
            "--dst-prefix=b/",
            from.as_str(),
            to.as_str(),
        ];
        let output = git::run(self.path(), &patch, limits.bytes).await?;
        let cut = output.truncated;
        let mut diff = listing.with_patch(&output.cut()?, limits);
        diff.truncated |= cut || diff.files.len() > limits.files;
        diff.files.truncate(limits.files);
        Ok(diff)
    }
}

/// The files as `--raw --numstat -z` lists them, each with the number of sections that it has in the patch.
#[derive(Default)]
struct Listing {
    files: Vec<(FileChange, usize)>,
    truncated: bool,
}

impl Listing {
    fn read(&mut self, fields: impl Iterator<Item = String>) -> Result<(), SourceError> {
        let mut fields = fields;
        let mut counted = 0;
        while let Some(field) = fields.next() {
            let whole = match field.strip_prefix(':') {
                Some(meta) => self.read_raw(meta, &mut fields)?,
                None => self.read_count(&field, &mut counted, &mut fields),
            };
            if whole.is_none() {
                // Cut off in the middle of an entry.
                return if self.truncated { Ok(()) } else { Err(strange("diff-tree", field)) };
            }
        }
        Ok(())
    }

    /// `:MODE MODE SHA SHA STATUS`, then one path, or two for a rename.
    fn read_raw(
        &mut self,
        meta: &str,
        fields: &mut impl Iterator<Item = String>,
    ) -> Result<Option<()>, SourceError> {
        let letter = meta.rsplit(' ').next().and_then(|s| s.chars().next());
        let (status, sections) = match letter {
            Some('A') => (FileStatus::Added, 1),
            Some('D') => (FileStatus::Deleted, 1),
            Some('M') => (FileStatus::Modified, 1),
            // A file that became a link, or the other way round: the patch removes the one and adds the other.
            Some('T') => (FileStatus::Modified, 2),
            Some('R' | 'C') => (FileStatus::Renamed, 1),
            _ => return Err(strange("diff-tree", meta)),
        };
        let Some(mut path) = fields.next() else { return Ok(None) };
        let mut old_path = None;
        if status == FileStatus::Renamed {
            let Some(new) = fields.next() else { return Ok(None) };
            old_path = Some(std::mem::replace(&mut path, new));
        }
        let (binary, added, removed, hunks) = (false, 0, 0, Vec::new());
        self.files.push((FileChange { path, old_path, status, binary, added, removed, hunks }, sections));
        Ok(Some(()))
    }

    /// `ADDED\tREMOVED\tPATH`, or with an empty path, and two more fields, for a rename. In the order of the raw entries.
    fn read_count(
        &mut self,
        field: &str,
        counted: &mut usize,
        fields: &mut impl Iterator<Item = String>,
    ) -> Option<()> {
        let mut parts = field.splitn(3, '\t');
        let (added, removed, path) = (parts.next()?, parts.next()?, parts.next()?);
        if path.is_empty() {
            fields.next()?;
            fields.next()?;
        }
        let (file, _) = self.files.get_mut(*counted)?;
        *counted += 1;
        file.binary = added == "-";
        file.added = added.parse().unwrap_or(0);
        file.removed = removed.parse().unwrap_or(0);
        Some(())
    }

    /// Gives each file its sections of the patch, which come in the same order.
    fn with_patch(self, patch: &[u8], limits: DiffLimits) -> Diff {
        let text = String::from_utf8_lossy(patch);
        let mut truncated = self.truncated;
        let mut sections = sections(&text);
        let mut files = Vec::new();
        for (mut file, count) in self.files {
            for section in sections.by_ref().take(count) {
                truncated |= hunks(section, limits, &mut file.hunks);
            }
            files.push(file);
        }
        Diff { files, truncated }
    }
}

/// The parts of a patch that begin with `diff --git`. No line of content does: those begin with a sign.
fn sections(patch: &str) -> impl Iterator<Item = &str> {
    let mut rest = patch;
    let begin = "diff --git ";
    if !rest.starts_with(begin) {
        rest = rest.find("\ndiff --git ").map_or("", |at| &rest[at + 1..]);
    }
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.find("\ndiff --git ").map_or(rest.len(), |at| at + 1);
        let (section, tail) = rest.split_at(end);
        rest = tail;
        Some(section)
    })
}

/// Reads the hunks of a section; true if something was left out.
fn hunks(section: &str, limits: DiffLimits, into: &mut Vec<Hunk>) -> bool {
    let (mut old, mut new, mut count, mut truncated) = (0u32, 0u32, 0usize, false);
    let mut inside = false;
    for line in section.split_terminator('\n') {
        if let Some((from, to)) = line.strip_prefix("@@ -").and_then(starts) {
            (old, new, inside) = (from, to, true);
            into.push(Hunk { header: line.chars().take(limits.line_chars).collect(), lines: Vec::new() });
            continue;
        }
        let Some(sign) = line.chars().next().filter(|c| inside && "+- \\".contains(*c)) else { continue };
        count += 1;
        if count > limits.lines_per_file {
            return true;
        }
        let mut text = line[1..].strip_suffix('\r').unwrap_or(&line[1..]);
        if let Some((at, _)) = text.char_indices().nth(limits.line_chars) {
            (text, truncated) = (&text[..at], true);
        }
        let numbers = (matches!(sign, '-' | ' ').then_some(old), matches!(sign, '+' | ' ').then_some(new));
        old += u32::from(numbers.0.is_some());
        new += u32::from(numbers.1.is_some());
        if let Some(hunk) = into.last_mut() {
            hunk.lines.push(Line { sign, old: numbers.0, new: numbers.1, text: text.to_owned() });
        }
    }
    truncated
}

/// The line numbers in `OLD[,N] +NEW[,N] @@…`.
fn starts(text: &str) -> Option<(u32, u32)> {
    let (old, rest) = text.split_once(" +")?;
    let (new, _) = rest.split_once(" @@")?;
    let number = |t: &str| t.split(',').next()?.parse().ok();
    Some((number(old)?, number(new)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(raw: &str) -> Listing {
        let mut listing = Listing::default();
        listing.read(fields(raw.as_bytes())).unwrap();
        listing
    }

    const RAW: &str = ":100644 100644 a b M\0a.txt\0:100644 100644 a b R090\0old\0new\0:000000 100644 a b A\0bin\0\
                       1\t1\ta.txt\x002\t0\t\0old\0new\0-\t-\tbin\0";

    #[test]
    fn names_numbers_and_patch_come_together() {
        let patch = "diff --git a/a.txt b/a.txt\nindex 1..2 100644\n--- a/a.txt\n+++ b/a.txt\n@@ -3,2 +3,2 @@ fn x\n one\n-two\n+2\n\
                     diff --git a/old b/new\nsimilarity index 90%\n@@ -1 +1,3 @@\n-a\n\\ No newline at end of file\n+b\n+diff --git c\n+++ d\n\
                     diff --git a/bin b/bin\nBinary files /dev/null and b/bin differ\n";
        let diff = listing(RAW).with_patch(patch.as_bytes(), DiffLimits::default());
        assert!(!diff.truncated);
        let [text, moved, binary] = &diff.files[..] else { panic!("{diff:?}") };
        assert_eq!((text.added, text.removed, text.status), (1, 1, FileStatus::Modified));
        let numbers: Vec<_> = text.hunks[0].lines.iter().map(|l| (l.sign, l.old, l.new)).collect();
        assert_eq!(numbers, [(' ', Some(3), Some(3)), ('-', Some(4), None), ('+', None, Some(4))]);
        assert_eq!((moved.path.as_str(), moved.old_path.as_deref()), ("new", Some("old")));
        let lines: Vec<_> = moved.hunks[0].lines.iter().map(|l| format!("{}{}", l.sign, l.text)).collect();
        assert_eq!(lines, ["-a", "\\ No newline at end of file", "+b", "+diff --git c", "+++ d"]);
        assert!(binary.binary && binary.hunks.is_empty() && binary.status == FileStatus::Added);
    }

    #[test]
    fn long_lines_and_long_files_are_cut_and_said_so() {
        let patch = format!("diff --git a/a b/a\n@@ -0,0 +1,9 @@\n+{}\n{}", "é".repeat(50), "+x\n".repeat(8));
        let limits = DiffLimits { lines_per_file: 5, line_chars: 10, ..DiffLimits::default() };
        let diff = listing(":0 1 a b A\0a\x009\t0\ta\0").with_patch(patch.as_bytes(), limits);
        assert!(diff.truncated);
        assert_eq!(diff.files[0].hunks[0].lines.len(), 5);
        assert_eq!(diff.files[0].hunks[0].lines[0].text, "é".repeat(10));
    }

    #[test]
    fn nothing_makes_it_fall_over() {
        for text in [
            "",
            "diff --git ",
            "@@ -1 +1 @@\n+x",
            "diff --git a b\n@@ -x +y @@\n+z",
            "diff --git a b\n\n@@ -1 +1 @@",
        ] {
            let _ = listing(RAW).with_patch(text.as_bytes(), DiffLimits::default());
        }
        assert!(Listing::default().read(fields(b":nonsense")).is_err());
        assert!(Listing::default().read(fields(b":1 2 a b M")).is_err());
        assert_eq!(fields(b"").count(), 0);
    }
}
