//! Problem matchers: patterns that find annotations in ordinary output (`::add-matcher::FILE`).

use std::path::PathBuf;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde::Deserialize;

use crate::beneath::Beneath;

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
    patterns: Vec<(Regex, PatternSpec)>,
    /// What the patterns before the one that is waited for have caught.
    caught: Caught,
    next: usize,
}

#[derive(Clone, Debug, Default)]
struct Caught {
    file: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
    severity: Option<String>,
    code: Option<String>,
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MatcherFile {
    problem_matcher: Vec<MatcherSpec>,
}

#[derive(Debug, Deserialize)]
struct MatcherSpec {
    owner: String,
    severity: Option<String>,
    pattern: Vec<PatternSpec>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct PatternSpec {
    regexp: String,
    file: Option<usize>,
    line: Option<usize>,
    column: Option<usize>,
    severity: Option<usize>,
    code: Option<usize>,
    message: Option<usize>,
    #[serde(default, rename = "loop")]
    repeat: bool,
}

/// The largest file of matchers.
const LARGEST: u64 = 1 << 20;

static COLOURS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("\x1b\\[[0-9;]*m").expect("the pattern is part of this program"));

impl Matchers {
    /// No matchers yet; their files lie below the job's folder, relative names in the workspace.
    pub(crate) fn below(folder: Beneath, workspace: PathBuf) -> Self {
        Self { active: Vec::new(), folders: Some((folder, workspace)) }
    }

    /// Puts the matchers of a file in force; one with the same owner gives way.
    pub(crate) fn want(&mut self, file: &str) -> Result<(), String> {
        let (folder, workspace) = self.folders.as_ref().ok_or("problem matchers cannot be read here")?;
        let path = workspace.join(file.trim());
        let text = folder
            .read_text(&path, LARGEST)
            .map_err(|e| format!("cannot read the problem matcher `{}`: {e}", path.display()))?;
        self.add(&text)
            .map_err(|why| format!("the problem matcher `{}` cannot be used: {why}", path.display()))
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        let file: MatcherFile = serde_json::from_str(text).map_err(|e| e.to_string())?;
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
            self.active.retain(|matcher| !matcher.owner.eq_ignore_ascii_case(owner));
            return Ok(());
        }
        let mut named = Self { active: Vec::new(), folders: self.folders.clone() };
        named.want(file)?;
        self.active.retain(|old| !named.active.iter().any(|new| new.owner.eq_ignore_ascii_case(&old.owner)));
        Ok(())
    }

    /// Shows a line to the matchers; the first that finds something ends the search.
    pub(crate) fn see(&mut self, line: &str) -> Option<Finding> {
        if self.active.is_empty() {
            return None;
        }
        let line = COLOURS.replace_all(line, "");
        let at = self.active.iter_mut().position(|matcher| matcher.see(&line))?;
        let finding = self.active[at].take();
        for other in self.active.iter_mut().enumerate().filter(|(n, _)| *n != at).map(|(_, other)| other) {
            other.reset();
        }
        finding.map(|finding| self.in_repository(finding))
    }

    /// A file of the workspace is named by its path in there, any other is not named.
    fn in_repository(&self, mut finding: Finding) -> Finding {
        if let (Some(file), Some((_, workspace))) = (&finding.file, &self.folders) {
            let path = workspace.join(file);
            finding.file = path.strip_prefix(workspace).ok().map(|path| path.to_string_lossy().into_owned());
        }
        finding
    }
}

impl Matcher {
    fn build(spec: MatcherSpec) -> Result<Self, String> {
        let last = spec.pattern.len().checked_sub(1).ok_or("it has no pattern")?;
        let mut patterns = Vec::new();
        for (n, pattern) in spec.pattern.into_iter().enumerate() {
            if pattern.repeat && n != last {
                return Err("only its last pattern may have `loop`".to_owned());
            }
            let regex = Regex::new(&pattern.regexp).map_err(|e| e.to_string())?;
            patterns.push((regex, pattern));
        }
        if patterns[last].1.message.is_none() {
            return Err("its last pattern must say where the `message` is".to_owned());
        }
        Ok(Self { owner: spec.owner, severity: spec.severity, patterns, caught: Caught::default(), next: 0 })
    }

    fn reset(&mut self) {
        self.caught = Caught::default();
        self.next = 0;
    }

    /// True once the last pattern matched.
    fn see(&mut self, line: &str) -> bool {
        let last = self.patterns.len() - 1;
        let (regex, spec) = &self.patterns[self.next];
        let Some(captures) = regex.captures(line) else {
            let waiting = self.next > 0;
            self.reset();
            // The line may begin a new problem.
            return waiting && self.see(line);
        };
        self.caught.add(&captures, spec);
        if self.next < last {
            self.next += 1;
            return false;
        }
        true
    }

    /// What was found, and what stays for the next round.
    fn take(&mut self) -> Option<Finding> {
        let caught = self.caught.clone();
        if self.patterns.last().is_some_and(|(_, spec)| spec.repeat) && self.next > 0 {
            self.caught.message = None;
        } else {
            self.reset();
        }
        let severity =
            caught.severity.or_else(|| self.severity.clone()).unwrap_or_default().to_ascii_lowercase();
        let level = match severity.as_str() {
            "warning" => "warning",
            "notice" => "notice",
            _ => "error",
        };
        let message = caught.message.filter(|message| !message.is_empty())?;
        Some(Finding {
            level,
            file: caught.file,
            line: caught.line,
            column: caught.column,
            code: caught.code,
            message,
        })
    }
}

impl Caught {
    fn add(&mut self, captures: &Captures<'_>, spec: &PatternSpec) {
        let group = |n: Option<usize>| n.and_then(|n| captures.get(n)).map(|m| m.as_str().to_owned());
        let number = |n: Option<usize>| group(n).and_then(|text| text.parse().ok());
        self.file = group(spec.file).or(self.file.take());
        self.line = number(spec.line).or(self.line.take());
        self.column = number(spec.column).or(self.column.take());
        self.severity = group(spec.severity).or(self.severity.take());
        self.code = group(spec.code).or(self.code.take());
        self.message = group(spec.message).or(self.message.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matchers(json: &str) -> Matchers {
        let mut matchers = Matchers::default();
        matchers.add(json).unwrap();
        matchers
    }

    #[test]
    fn one_line_patterns_find_places() {
        let mut matchers = matchers(
            r#"{"problemMatcher":[{"owner":"cc","pattern":[{"regexp":"^(.+):(\\d+):(\\d+): (warning|error): (.+)$",
               "file":1,"line":2,"column":3,"severity":4,"message":5}]}]}"#,
        );
        let finding = matchers.see("\x1b[31msrc/a.c:3:7: warning: unused\x1b[0m").unwrap();
        assert_eq!(finding.level, "warning");
        assert_eq!(
            (finding.file.as_deref(), finding.line, finding.column),
            (Some("src/a.c"), Some(3), Some(7))
        );
        assert_eq!(matchers.see("all is well"), None);
        matchers.remove(Some("CC"), "").unwrap();
        assert_eq!(matchers.see("src/a.c:3:7: warning: unused"), None);
    }

    #[test]
    fn the_last_pattern_may_repeat() {
        let mut matchers = matchers(
            r#"{"problemMatcher":[{"owner":"lint","severity":"warning","pattern":[{"regexp":"^(\\S+\\.js)$","file":1},
               {"regexp":"^\\s+(\\d+):(\\d+)\\s+(.+)$","line":1,"column":2,"message":3,"loop":true}]}]}"#,
        );
        let found: Vec<_> = ["a.js", "  1:2 one", "  3:4 two", "", "  5:6 none", "b.js", "  7:8 three"]
            .iter()
            .filter_map(|line| matchers.see(line))
            .map(|f| (f.file.unwrap(), f.line.unwrap(), f.message))
            .collect();
        let wanted = [("a.js", 1, "one"), ("a.js", 3, "two"), ("b.js", 7, "three")];
        assert_eq!(found, wanted.map(|(f, l, m)| (f.to_owned(), l, m.to_owned())));
    }

    #[test]
    fn unusable_matchers_say_why() {
        for (json, why) in [
            ("{}", "problemMatcher"),
            (r#"{"problemMatcher":[{"owner":"x","pattern":[]}]}"#, "no pattern"),
            (r#"{"problemMatcher":[{"owner":"x","pattern":[{"regexp":"("}]}]}"#, "owner `x`"),
            (r#"{"problemMatcher":[{"owner":"x","pattern":[{"regexp":"a"}]}]}"#, "message"),
        ] {
            let error = Matchers::default().add(json).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
