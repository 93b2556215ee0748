//! `.dockerignore`: which files of a context are left out.
//!
//! The last pattern that is a path, or a folder above it, decides; one with `!` in front takes back. As moby's
//! pattern matcher has it, that `docker build` uses.

mod pattern;

use pattern::Pattern;

/// The most patterns of a file.
pub const MOST_PATTERNS: usize = 10_000;
/// The longest pattern, in bytes.
pub const LONGEST_PATTERN: usize = 4_096;

/// A list of patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    pattern: Pattern,
    /// Written with `!`.
    takes_back: bool,
}

/// Why a list of patterns is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreError {
    /// `!` alone.
    #[error("line {0}: '!' needs a pattern behind it")]
    Alone(usize),
    /// `[a`.
    #[error("line {0}: '{1}' is no pattern: a [ is not closed, or a \\ stands at its end")]
    Broken(usize, String),
    /// Longer than [`LONGEST_PATTERN`], or more than [`MOST_PATTERNS`].
    #[error(
        "line {0}: there are more than {MOST_PATTERNS} patterns, or one of more than {LONGEST_PATTERN} bytes"
    )]
    TooMuch(usize),
}

impl Ignore {
    /// Reads a `.dockerignore` file.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            if rules.len() >= MOST_PATTERNS || line.len() > LONGEST_PATTERN {
                return Err(IgnoreError::TooMuch(number + 1));
            }
            rules.push(rule(line.trim(), number + 1)?);
        }
        Ok(Self { rules })
    }

    /// Whether a path is left out. Relative to the context's root, with `/`, and no `.` or `..` in it.
    pub fn excludes(&self, path: &str) -> bool {
        let mut above = vec![false; self.rules.len()];
        let mut excluded = false;
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends.filter(|end| *end > 0) {
            excluded = self.level(&path[..end], &mut above);
        }
        excluded
    }

    /// Whether everything below an excluded folder is left out too, so that nobody has to look into it.
    pub fn excludes_all_below(&self, folder: &str) -> bool {
        let prefix = format!("{folder}/");
        self.rules
            .iter()
            .filter(|rule| rule.takes_back)
            .all(|rule| rule.pattern.literal().is_some_and(|path| !format!("{path}/").starts_with(&prefix)))
    }

    /// Whether there are patterns with `!`.
    pub fn takes_back(&self) -> bool {
        self.rules.iter().any(|rule| rule.takes_back)
    }

    /// Whether there are no patterns.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The patterns that leave out everything at the root: `*`, `**` and `**/*`.
    pub(crate) fn excludes_root(&self) -> bool {
        self.rules.iter().any(|rule| !rule.takes_back && ["*", "**", "**/*"].contains(&rule.pattern.text()))
    }

    /// One step down: `above` has which rules are those of a folder above, and gets those of the path.
    fn level(&self, path: &str, above: &mut [bool]) -> bool {
        let mut excluded = false;
        for (rule, above) in self.rules.iter().zip(above) {
            if !*above {
                // A rule that would change nothing is not asked, and so is none of the folder's rules either.
                *above = rule.takes_back == excluded && rule.pattern.is(path);
            }
            if *above {
                excluded = !rule.takes_back;
            }
        }
        excluded
    }
}

fn rule(line: &str, number: usize) -> Result<Rule, IgnoreError> {
    let (text, takes_back) = match line.strip_prefix('!') {
        Some(rest) => (rest.trim(), true),
        None => (line, false),
    };
    if text.is_empty() {
        return Err(IgnoreError::Alone(number));
    }
    let cleaned = clean(text);
    let broken = || IgnoreError::Broken(number, text.to_owned());
    Ok(Rule { pattern: Pattern::parse(&cleaned).ok_or_else(broken)?, takes_back })
}

/// A pattern as a relative path without `.` and, where that can be, without `..`.
fn clean(text: &str) -> String {
    let rooted = text.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => _ = parts.pop(),
            ".." if rooted => {}
            other => parts.push(other),
        }
    }
    match (parts.is_empty(), rooted) {
        (true, true) => "/".to_owned(),
        (true, false) => ".".to_owned(),
        _ => parts.join("/"),
    }
}

#[cfg(test)]
mod tests;
