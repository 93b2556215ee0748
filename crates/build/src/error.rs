//! Why a build did not succeed.

use std::fmt;
use std::io;

use windlass_dockerfile::Diagnostic;

use crate::transfer::TransferError;

/// Why a build did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The request cannot be carried out as it is.
    #[error("{0}")]
    Request(String),
    /// The Dockerfile has errors.
    #[error("{0}")]
    Dockerfile(Refused),
    /// A step failed.
    #[error("{0}")]
    Step(Box<FailedStep>),
    /// An image that a stage starts from, or files of one, cannot be had.
    #[error("{image}: {why}")]
    Image {
        /// The image, as the Dockerfile names it.
        image: String,
        /// Why.
        why: String,
    },
    /// The context cannot be had.
    #[error("the build context {0}")]
    Context(String),
    /// The result could not be written, or sent.
    #[error("{what}: {why}")]
    Output {
        /// Where to.
        what: String,
        /// Why not.
        why: String,
    },
    /// The file system failed.
    #[error("{doing} failed: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// The store failed.
    #[error("the build store: {0}")]
    Store(String),
    /// Sandboxes cannot be had.
    #[error("{0}")]
    Sandbox(String),
}

/// A Dockerfile that is refused.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The file's name, as messages show it.
    pub file: String,
    /// Its text.
    pub text: String,
    /// What is wrong, at least one.
    pub findings: Vec<Diagnostic>,
}

/// A step that failed.
#[derive(Clone, Debug)]
pub struct FailedStep {
    /// As progress names it: `[2/5] RUN make`.
    pub name: String,
    /// What happened.
    pub message: String,
    /// The last lines that it wrote, secrets masked.
    pub log: Vec<String>,
    /// Where it stands in the Dockerfile: the lines around it, marked.
    pub excerpt: Option<String>,
    /// The exit code of its program.
    pub exit: Option<i32>,
}

impl BuildError {
    pub(crate) fn io(doing: impl Into<String>, source: io::Error) -> Self {
        let doing = doing.into();
        Self::Io { doing, source }
    }

    pub(crate) fn image(image: &str, why: impl fmt::Display) -> Self {
        Self::Image { image: image.to_owned(), why: why.to_string() }
    }

    pub(crate) fn output(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self::Output { what: what.into(), why: why.to_string() }
    }
}

impl From<TransferError> for BuildError {
    fn from(error: TransferError) -> Self {
        Self::Request(error.to_string())
    }
}

impl fmt::Display for FailedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "------\n > {}:", self.name)?;
        for line in &self.log {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "------")?;
        if let Some(excerpt) = &self.excerpt {
            f.write_str(excerpt)?;
        }
        write!(f, "{}", self.message)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, finding) in self.findings.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            let first = finding.span.start.line;
            f.write_str(&excerpt(&self.file, &self.text, first, finding.span.end.line))?;
            write!(f, "{}", finding.message)?;
            if let Some(help) = finding.help.as_deref().filter(|help| !help.is_empty()) {
                write!(f, "\n{help}")?;
            }
        }
        Ok(())
    }
}

/// How many lines are shown before and after those that are meant.
const AROUND: u32 = 2;

/// Lines of a file with those from `first` to `last` (counted from 1) marked, as BuildKit shows them.
pub(crate) fn excerpt(file: &str, text: &str, first: u32, last: u32) -> String {
    let mut shown = format!("{file}:{first}\n--------------------\n");
    let from = first.saturating_sub(AROUND).max(1);
    let to = last.max(first).saturating_add(AROUND);
    for (number, line) in (1_u32..).zip(text.lines()).skip(from as usize - 1).take((to - from + 1) as usize) {
        let mark = if (first..=last.max(first)).contains(&number) { ">>>" } else { "   " };
        shown.push_str(&format!("{number:4} | {mark} {line}\n"));
    }
    shown.push_str("--------------------\n");
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_shows_the_lines_around() {
        let text = "FROM a\n\nRUN x \\\n  y\nCOPY . .\nCMD z\nEXPOSE 1\n";
        let shown = excerpt("Dockerfile", text, 3, 4);
        assert_eq!(
            shown,
            "Dockerfile:3\n--------------------\n   1 |     FROM a\n   2 |     \n   3 | >>> RUN x \\\n   4 | >>>   y\n   5 |     COPY . .\n   6 |     CMD z\n--------------------\n"
        );
        assert!(excerpt("D", "a", 9, 9).ends_with("--------------------\n"));
    }
}
