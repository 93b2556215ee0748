//! The file of a problem matcher, and what it must hold.

use serde::Deserialize;

/// A file of matchers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MatcherFile {
    pub(super) problem_matcher: Vec<MatcherSpec>,
}

/// One matcher.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MatcherSpec {
    pub(super) owner: String,
    pub(super) severity: Option<String>,
    pub(super) from_path: Option<String>,
    pub(super) pattern: Vec<PatternSpec>,
}

/// A pattern, and which of its groups is what.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PatternSpec {
    pub(super) regexp: String,
    pub(super) file: Option<usize>,
    pub(super) from_path: Option<usize>,
    pub(super) line: Option<usize>,
    pub(super) column: Option<usize>,
    pub(super) severity: Option<usize>,
    pub(super) code: Option<usize>,
    pub(super) message: Option<usize>,
    #[serde(default, rename = "loop")]
    pub(super) repeat: bool,
}

impl MatcherFile {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|e| e.to_string())
    }
}

impl MatcherSpec {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.owner.trim().is_empty() {
            return Err("it has no `owner`".to_owned());
        }
        let last = self.pattern.len().checked_sub(1).ok_or("it has no pattern")?;
        for (n, pattern) in self.pattern.iter().enumerate() {
            if pattern.repeat && (n == 0 || n != last) {
                return Err("Only the last pattern in a multi-line matcher may set 'loop'".to_owned());
            }
            if pattern.repeat && pattern.message.is_none() {
                return Err("The loop pattern must set 'message'".to_owned());
            }
        }
        type Group = fn(&PatternSpec) -> Option<usize>;
        let properties: [(&str, Group); 7] = [
            ("file", |p| p.file),
            ("fromPath", |p| p.from_path),
            ("line", |p| p.line),
            ("column", |p| p.column),
            ("severity", |p| p.severity),
            ("code", |p| p.code),
            ("message", |p| p.message),
        ];
        for (name, group) in properties {
            if self.pattern.iter().filter(|pattern| group(pattern).is_some()).count() > 1 {
                return Err(format!("The property '{name}' is set twice"));
            }
        }
        if self.pattern.iter().all(|pattern| pattern.message.is_none()) {
            return Err("At least one pattern must set 'message'".to_owned());
        }
        Ok(())
    }
}
