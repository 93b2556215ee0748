//! Smaller matters of local runs: files of variables, waiting for changes, and who does not listen.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Result;
use windlass_api::{JobView, RunDetail, StepView};
use windlass_server::local::{Audience, Outcome};

use super::Local;

/// How often files are looked at while nothing runs.
const LOOK: Duration = Duration::from_millis(400);

/// Hears nothing: for runs that only decide.
#[derive(Debug)]
pub(super) struct Silent;

#[async_trait::async_trait]
impl Audience for Silent {
    fn line(&self, _job: &str, _step: &str, _line: &[u8]) {}
    fn pause(&self) {}
    fn step(&self, _job: &str, _step: &StepView) {}
    fn job(&self, _workflow: &str, _job: &JobView) {}
    fn run(&self, _run: &RunDetail) {}
    fn note(&self, text: &str) {
        eprintln!("{text}");
    }
}

/// Says where that is which a run made to be kept.
pub(super) fn tell_kept(outcome: &Outcome) {
    for folder in &outcome.artifacts {
        eprintln!("windlass: artifacts are in {}", folder.display());
    }
    if let Some(layout) = &outcome.images {
        let layout = layout.display();
        eprintln!("windlass: images are in the OCI layout {layout} (skopeo copy oci:{layout}:NAME …)");
    }
}

/// The pairs of a file of `NAME=VALUE` lines: `#` begins a comment, `export` is ignored, quotes hold spaces and line
/// breaks together, and in double ones `\n`, `\t`, `\"` and `\\` are read.
pub(super) fn dotenv(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut rest = text;
    let mut number = 0;
    while !rest.is_empty() {
        number += 1;
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        rest = after;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) =
            line.split_once('=').ok_or_else(|| format!("line {number}: NAME=VALUE is needed"))?;
        let (name, value) = (name.trim(), value.trim_start());
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(format!("line {number}: `{name}` is no name"));
        }
        let Some(quote) = value.chars().next().filter(|c| "'\"".contains(*c)) else {
            let value = value.split_once(" #").map_or(value, |(value, _)| value);
            pairs.push((name.to_owned(), value.trim_end().to_owned()));
            continue;
        };
        let mut whole = value[1..].to_owned();
        let end = loop {
            if let Some(end) = closing(&whole, quote) {
                break end;
            }
            if rest.is_empty() {
                return Err(format!("line {number}: a quotation mark is not closed"));
            }
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            (rest, number) = (after, number + 1);
            whole.push('\n');
            whole.push_str(line.trim_end_matches('\r'));
        };
        whole.truncate(end);
        pairs.push((name.to_owned(), if quote == '"' { unescaped(&whole) } else { whole }));
    }
    Ok(pairs)
}

/// Where the quotation ends.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            c if c == quote => return Some(at),
            _ => {}
        }
    }
    None
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some('r')) => out.push('\r'),
            ('\\', Some('t')) => out.push('\t'),
            ('\\', Some(c @ ('"' | '\\' | '$'))) => out.push(c),
            ('\\', Some(other)) => out.extend(['\\', other]),
            (c, _) => out.push(c),
        }
    }
    out
}

/// The files of a repository at some moment.
pub(super) struct Files {
    folder: PathBuf,
    then: Seen,
}

impl Files {
    /// As they are now.
    pub(super) fn now(local: &Local) -> Result<Self> {
        let folder = match &local.directory {
            Some(folder) => folder.clone(),
            None => std::env::current_dir()?,
        };
        let then = state(&folder);
        Ok(Self { folder, then })
    }

    /// Waits until one is another than it was.
    pub(super) fn wait_for_change(self) {
        eprintln!("waiting for changes in {}; Ctrl-C ends", self.folder.display());
        while state(&self.folder) == self.then {
            std::thread::sleep(LOOK);
        }
        // An editor that writes several files has a moment for it.
        std::thread::sleep(LOOK / 4);
    }
}

type Seen = Vec<(PathBuf, u64, Option<std::time::SystemTime>)>;

/// All files that Git knows or does not ignore, with their sizes and times.
fn state(folder: &Path) -> Seen {
    let listed = Command::new("git")
        .args(["-c", "safe.directory=*", "-C"])
        .arg(folder)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--full-name", ":/"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let root = folder.ancestors().find(|above| above.join(".git").exists()).unwrap_or(folder);
    let names = listed.map(|done| String::from_utf8_lossy(&done.stdout).into_owned()).unwrap_or_default();
    let paths = names.split('\0').filter(|name| !name.is_empty()).map(|name| root.join(name));
    let seen = paths.filter_map(|path| {
        let meta = std::fs::symlink_metadata(&path).ok()?;
        Some((path, meta.len(), meta.modified().ok()))
    });
    seen.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_variables_are_read() {
        let text = "# comment\nA=1\nexport B = two words # rest\nC='a # b'\nD=\"x\\ny \\\"z\\\"\"\nE=\"one\ntwo\"\nF=\n\nG=a=b\n";
        let wanted = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "a # b"),
            ("D", "x\ny \"z\""),
            ("E", "one\ntwo"),
            ("F", ""),
            ("G", "a=b"),
        ];
        let wanted: Vec<_> = wanted.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!(dotenv(text).unwrap(), wanted);
        for (bad, why) in [("A", "line 1"), ("A=1\nx y=2", "line 2"), ("A='x\n", "not closed")] {
            assert!(dotenv(bad).unwrap_err().contains(why), "{bad}");
        }
    }
}
