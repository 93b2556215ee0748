//! Scripts: commands to the runner that are no longer meant to be used.

use crate::diagnostic::Diagnostic;
use crate::model::{Step, StepKind};
use crate::yaml::{Source, inside};

/// Commands, and the file that stands for each.
const OLD: [(&str, &str); 4] = [
    ("::set-output ", "GITHUB_OUTPUT"),
    ("::save-state ", "GITHUB_STATE"),
    ("::set-env ", "GITHUB_ENV"),
    ("::add-path::", "GITHUB_PATH"),
];

/// With so many findings, no more are looked for.
const MOST: usize = 200;

pub(super) fn check(step: &Step, source: &Source<'_>, found: &mut Vec<Diagnostic>) {
    let StepKind::Run(run) = &step.kind else { return };
    let text = run.script.text();
    for (command, file) in OLD {
        for (at, _) in text.match_indices(command) {
            if found.len() >= MOST {
                return;
            }
            // A line of a comment does nothing.
            let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
            if text[line..].trim_start().starts_with('#') {
                continue;
            }
            let name = command.trim_matches([':', ' ']);
            let span = inside(source, run.script.span, text, at, at + command.trim_end().len());
            let message = format!("The command '{name}' is no longer meant to be used");
            let warning = Diagnostic::warning(span, message).with_rule("commands");
            let line = if file == "GITHUB_PATH" { "FOLDER" } else { "name=value" };
            found.push(warning.with_help(format!("write '{line}' to the file \"${file}\"")));
        }
    }
}
