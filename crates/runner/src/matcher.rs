//! Problem matchers: patterns that find annotations in ordinary output (`::add-matcher::FILE`).

mod spec;

use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, LazyLock};

use fancy_regex::{Captures, Regex};

use crate::beneath::Beneath;
use spec::{MatcherFile, MatcherSpec, PatternSpec};

/// What a matcher found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) level: &'static str,
    pub(crate) file: Option<String>,
    pub(crate) line: Option<u32>,
    pub(crate) column: Option<u32>,
    pub(crate) code: Option<String>,
    pub(crate) message: String,
}

/// What came of showing a line to the matchers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) finding: Option<Finding>,
    /// Matchers that are given up, and why.
    pub(crate) dropped: Vec<String>,
}

/// The matchers in force, newest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Matchers {
    active: Vec<Matcher>,
    /// The job's folder and its workspace, as the job sees them; none: files cannot be read.
    folders: Option<(Beneath, PathBuf)>,
}

#[derive(Clone, Debug)]
struct Matcher {
    owner: String,
    severity: Option<String>,
    from_path: Option<String>,
    patterns: Vec<(Regex, PatternSpec)>,
    /// What each pattern but the last has caught, together with those before it.
    running: Vec<Option<Caught>>,
    /// How often a pattern took too long.
    strikes: u32,
    /// What it shares with its copies only.
    mark: Mark,
}

/// By this a matcher is known among others of its owner.
pub(crate) type Mark = Arc<()>;

#[derive(Clone, Debug, Default)]
struct Caught {
    file: Option<String>,
    from_path: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
    severity: Option<String>,
    code: Option<String>,
    message: Option<String>,
}

/// The largest file of matchers.
const LARGEST: u64 = 1 << 20;
/// How often a matcher may take too long before it is given up.
const STRIKES: u32 = 3;
/// How many steps back a pattern may go on one line: about a second's worth.
const STEPS_BACK: usize = 1_000_000;
/// The most memory of one pattern, in bytes.
const LARGEST_PATTERN: usize = 4 << 20;

static COLOURS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("\x1b\\[[0-9;]*m?").expect("the pattern is part of this program"));

impl Matchers {
    /// No matchers yet; their files lie below the job's folder, relative names in the workspace.
    pub(crate) fn below(folder: Beneath, workspace: PathBuf) -> Self {
        Self { active: Vec::new(), folders: Some((folder, workspace)) }
    }

    /// Puts the matchers of a file in force; one with the same owner gives way.
    pub(crate) fn want(&mut self, file: &str) -> Result<(), String> {
        let (folder, workspace) = self.folders.as_ref().ok_or("problem matchers cannot be read here")?;
        if file.trim().is_empty() {
            return Err("File path must be specified.".to_owned());
        }
        let path = workspace.join(file.trim());
        let text = folder
            .read_text(&path, LARGEST)
            .map_err(|e| format!("cannot read the problem matcher `{}`: {e}", path.display()))?;
        self.add(&text)
            .map_err(|why| format!("the problem matcher `{}` cannot be used: {why}", path.display()))
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        let file = MatcherFile::parse(text)?;
        for spec in file.problem_matcher {
            let owner = spec.owner.clone();
            let matcher = Matcher::build(spec).map_err(|why| format!("owner `{owner}`: {why}"))?;
            self.active.retain(|old| !old.owner.eq_ignore_ascii_case(&owner));
            self.active.insert(0, matcher);
        }
        Ok(())
    }

    /// Takes matchers out of force: those of an owner, or those that a file names.
    pub(crate) fn remove(&mut self, owner: Option<&str>, file: &str) -> Result<(), String> {
        if let Some(owner) = owner {
            if !file.trim().is_empty() {
                return Err("Either specify an owner name or a file path in the command, not both".to_owned());
            }
            self.active.retain(|matcher| !matcher.owner.eq_ignore_ascii_case(owner));
            return Ok(());
        }
        let mut named = Self { active: Vec::new(), folders: self.folders.clone() };
        named.want(file)?;
        self.active.retain(|old| !named.active.iter().any(|new| new.owner.eq_ignore_ascii_case(&old.owner)));
        Ok(())
    }

    /// What the matchers in force are known by.
    pub(crate) fn marks(&self) -> Vec<Mark> {
        self.active.iter().map(|matcher| matcher.mark.clone()).collect()
    }

    /// Does what was done to a copy since it had these marks: what it put in force, and what it took out.
    pub(crate) fn follow(&mut self, copy: Self, before: &[Mark]) {
        let among =
            |marks: &[Mark], matcher: &Matcher| marks.iter().any(|mark| Arc::ptr_eq(mark, &matcher.mark));
        let kept = copy.marks();
        self.active.retain(|matcher| !among(before, matcher) || among(&kept, matcher));
        for new in copy.active.into_iter().rev().filter(|matcher| !among(before, matcher)) {
            self.active.retain(|old| !old.owner.eq_ignore_ascii_case(&new.owner));
            self.active.insert(0, new);
        }
    }

    /// Shows a line to the matchers; the first that finds something ends the search.
    pub(crate) fn see(&mut self, line: &str) -> Seen {
        let mut seen = Seen::default();
        if self.active.is_empty() {
            return seen;
        }
        let line = COLOURS.replace_all(line, "");
        let mut at = 0;
        while at < self.active.len() {
            match self.active[at].see(&line) {
                Ok(None) => at += 1,
                Ok(Some(caught)) => {
                    let matcher = &self.active[at];
                    seen.finding =
                        matcher.finding(caught.clone()).map(|finding| self.placed(finding, &caught));
                    let others = self.active.iter_mut().enumerate().filter(|(n, _)| *n != at);
                    others.for_each(|(_, other)| other.running.fill(None));
                    return seen;
                }
                Err(why) => {
                    let matcher = &mut self.active[at];
                    matcher.strikes += 1;
                    matcher.running.fill(None);
                    if matcher.strikes < STRIKES {
                        at += 1;
                        continue;
                    }
                    seen.dropped.push(format!(
                        "Removing issue matcher '{}'. Matcher failed {STRIKES} times. Error: {why}",
                        matcher.owner
                    ));
                    self.active.remove(at);
                }
            }
        }
        seen
    }

    /// A file of the workspace is named by its path in there; any other, and one that is not there, is not named.
    fn placed(&self, mut finding: Finding, caught: &Caught) -> Finding {
        if let (Some(file), Some((below, workspace))) = (&finding.file, &self.folders) {
            let from = caught.from_path.as_deref().map(Path::new).and_then(Path::parent);
            let path = workspace.join(from.unwrap_or(Path::new(""))).join(file);
            let path = straight(&path);
            let there = below.open(&path).is_ok();
            let inside = path.strip_prefix(workspace).ok().filter(|_| there);
            finding.file = inside.map(|path| path.to_string_lossy().into_owned());
        }
        finding
    }

    /// How annotations name a file: by its path in the workspace, if it lies there.
    pub(crate) fn in_workspace(&self, file: &str) -> String {
        let inside = self.folders.as_ref().and_then(|(_, workspace)| {
            straight(Path::new(file))
                .strip_prefix(workspace)
                .ok()
                .map(|path| path.to_string_lossy().into_owned())
        });
        inside.unwrap_or_else(|| file.to_owned())
    }
}

/// A path without `.` and `..`.
fn straight(path: &Path) -> PathBuf {
    let mut straight = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(straight.pop()),
            Component::CurDir => {}
            other => straight.push(other),
        }
    }
    straight
}

impl Matcher {
    fn build(spec: MatcherSpec) -> Result<Self, String> {
        spec.check()?;
        let mut patterns = Vec::new();
        for pattern in spec.pattern {
            let regex = fancy_regex::RegexBuilder::new(&pattern.regexp)
                .backtrack_limit(STEPS_BACK)
                .delegate_size_limit(LARGEST_PATTERN)
                .build()
                .map_err(|e| e.to_string())?;
            patterns.push((regex, pattern));
        }
        let running = vec![None; patterns.len() - 1];
        let (owner, severity, from_path) = (spec.owner, spec.severity, spec.from_path);
        Ok(Self { owner, severity, from_path, patterns, running, strikes: 0, mark: Mark::default() })
    }

    /// What was caught once the last pattern matched. The patterns are tried from the last to the first, so that one
    /// line moves each running match by one pattern.
    fn see(&mut self, line: &str) -> Result<Option<Caught>, String> {
        let last = self.patterns.len() - 1;
        for at in (0..=last).rev() {
            let before = at.checked_sub(1).map(|before| self.running[before].clone());
            if matches!(before, Some(None)) {
                continue;
            }
            let before = before.flatten();
            let (regex, spec) = &self.patterns[at];
            let captures = regex.captures(line).map_err(|e| e.to_string())?;
            match captures {
                Some(captures) if at == last => {
                    let caught = before.clone().unwrap_or_default().and(&captures, spec);
                    let repeats = spec.repeat;
                    self.running.fill(None);
                    if repeats && at > 0 {
                        self.running[at - 1] = before;
                    }
                    return Ok(Some(caught));
                }
                Some(captures) => {
                    self.running[at] = Some(before.unwrap_or_default().and(&captures, spec));
                }
                None if at == last && at > 0 => self.running[at - 1] = None,
                None if at < last => self.running[at] = None,
                None => {}
            }
        }
        Ok(None)
    }

    /// What is reported; nothing without a message, nor with a severity that there is not.
    fn finding(&self, mut caught: Caught) -> Option<Finding> {
        caught.from_path = caught.from_path.or_else(|| self.from_path.clone());
        let severity =
            caught.severity.filter(|severity| !severity.is_empty()).or_else(|| self.severity.clone());
        let level = match severity.unwrap_or_default().to_ascii_lowercase().as_str() {
            "" | "error" => "error",
            "warning" => "warning",
            "notice" => "notice",
            _ => return None,
        };
        let message = caught.message.filter(|message| !message.trim().is_empty())?;
        let file = caught.file.filter(|file| !file.trim().is_empty());
        Some(Finding { level, file, line: caught.line, column: caught.column, code: caught.code, message })
    }
}

impl Caught {
    fn and(mut self, captures: &Captures<'_, str>, spec: &PatternSpec) -> Self {
        let group = |n: Option<usize>| n.and_then(|n| captures.get(n)).map(|m| m.as_str().to_owned());
        let number = |n: Option<usize>| group(n).and_then(|text| text.trim().parse().ok());
        self.file = group(spec.file).or(self.file);
        self.from_path = group(spec.from_path).or(self.from_path);
        self.line = number(spec.line).or(self.line);
        self.column = number(spec.column).or(self.column);
        self.severity = group(spec.severity).or(self.severity);
        self.code = group(spec.code).or(self.code);
        self.message = group(spec.message).or(self.message);
        self
    }
}

#[cfg(test)]
mod tests;
