//! Where a job runs: labels that are likely misspelt, and shells that are not there.

use super::Looked;
use crate::diagnostic::{Diagnostic, suggest};
use crate::model::{Job, RunDefaults, Spanned, StepKind};
use crate::template::Template;

/// Labels that many runners have.
const LABELS: [&str; 38] = [
    "ubuntu-latest",
    "ubuntu-slim",
    "ubuntu-26.04",
    "ubuntu-26.04-arm",
    "ubuntu-24.04",
    "ubuntu-24.04-arm",
    "ubuntu-22.04",
    "ubuntu-22.04-arm",
    "ubuntu-20.04",
    "ubuntu-18.04",
    "windows-latest",
    "windows-2025",
    "windows-2022",
    "windows-2019",
    "windows-11-arm",
    "macos-latest",
    "macos-latest-large",
    "macos-latest-xlarge",
    "macos-26",
    "macos-26-large",
    "macos-26-xlarge",
    "macos-15",
    "macos-15-intel",
    "macos-15-large",
    "macos-15-xlarge",
    "macos-14",
    "macos-14-large",
    "macos-14-xlarge",
    "macos-13",
    "macos-12",
    "self-hosted",
    "linux",
    "windows",
    "macos",
    "x64",
    "x86",
    "arm",
    "arm64",
];

pub(super) fn check(looked: &Looked<'_>, job: &Job, found: &mut Vec<Diagnostic>) {
    let Some(runs_on) = &job.runs_on else { return };
    for label in &runs_on.labels {
        if let Some(near) = label.literal().and_then(misspelt) {
            let message = format!("'{}' is a label that few runners have", label.text());
            let warning = Diagnostic::warning(label.span, message).with_rule("labels");
            found.push(warning.with_help(format!("did you mean '{near}'?")));
        }
    }
    let system = runs_on.labels.iter().find_map(|label| system(label.literal()?));
    let Some(system) = system else { return };
    let mut shells: Vec<&Spanned<Template>> = Vec::new();
    shells.extend(shell_of(&looked.workflow.defaults).into_iter().chain(shell_of(&job.defaults)));
    shells.extend(job.all_steps().filter_map(|step| match &step.kind {
        StepKind::Run(run) => run.shell.as_ref(),
        _ => None,
    }));
    for shell in shells {
        if matches!(shell.literal(), Some("cmd" | "powershell")) && system != "Windows" {
            let message = format!("The shell '{}' is not there on {system}", shell.text());
            found.push(Diagnostic::warning(shell.span, message).with_rule("shells"));
        }
    }
}

fn shell_of(defaults: &RunDefaults) -> Option<&Spanned<Template>> {
    defaults.shell.as_ref()
}

fn system(label: &str) -> Option<&'static str> {
    let label = label.to_ascii_lowercase();
    [("ubuntu-", "Linux"), ("linux", "Linux"), ("macos", "macOS"), ("windows", "Windows")]
        .into_iter()
        .find(|(prefix, _)| label.starts_with(prefix))
        .map(|(_, system)| system)
}

/// The label that was likely meant. A label of one's own may well begin like a known one, or differ in its version.
fn misspelt(label: &str) -> Option<&'static str> {
    let lower = label.to_ascii_lowercase();
    if LABELS.iter().any(|known| lower == *known || known.len() > 5 && lower.starts_with(known)) {
        return None;
    }
    let letters = |text: &str| text.chars().filter(char::is_ascii_alphabetic).collect::<String>();
    let near = suggest(&lower, LABELS.into_iter().filter(|known| known.len() > 5))?;
    (letters(near) != letters(&lower)).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::misspelt;

    #[test]
    fn labels() {
        for (label, wanted) in [
            ("ubuntu-lastest", Some("ubuntu-latest")),
            ("macos-lates", Some("macos-latest")),
            ("Ubuntu-Latest", None),
            ("ubuntu-23.04", None),
            ("ubuntu-latest-4-cores", None),
            ("my-runner", None),
            ("gpu", None),
            ("linux-arm64", None),
        ] {
            assert_eq!(misspelt(label), wanted, "{label}");
        }
    }
}
