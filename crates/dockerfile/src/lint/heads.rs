//! `FROM` lines: their arguments and platforms.

use super::Findings;
use crate::ast::{Dockerfile, Stage};
use crate::diagnostic::suggest;
use crate::expand::{Expansion, Lexer, Variables};
use crate::plan::{Options, Platform, check_image, globals};
use crate::{Diagnostic, Word};

pub(super) fn check(file: &Dockerfile, options: &Options, findings: &mut Findings<'_>) {
    let lexer = Lexer::new(file.directives.escape);
    let declared: Vec<&str> = file
        .globals
        .iter()
        .filter_map(|instruction| match &instruction.command {
            crate::Command::Arg(arguments) => {
                Some(arguments.iter().map(|argument| argument.name.text.as_str()))
            }
            _ => None,
        })
        .flatten()
        .collect();
    if let Ok(variables) = globals(file, options, true) {
        for stage in &file.stages {
            head(stage, lexer, &variables, &declared, findings);
        }
    }
    if let Ok(variables) = globals(file, options, false) {
        defaults(file, lexer, &variables, findings);
    }
}

/// Names that mean images and are near to those of stages above.
pub(super) fn near_stages(file: &Dockerfile, options: &Options) -> Vec<Diagnostic> {
    let mut names: Vec<String> = Vec::new();
    let mut found = Vec::new();
    let mut look = |word: &Word, names: &[String]| {
        let plain = word.text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        let known = options.contexts.contains(&word.text)
            || word.text == "scratch"
            || word.text.parse::<usize>().is_ok();
        if !plain || known || names.contains(&word.text.to_lowercase()) {
            return;
        }
        if let Some(near) = suggest(&word.text, names.iter().map(String::as_str)) {
            let message = format!("'{}' is no stage above, so it is an image", word.text);
            found.push(
                Diagnostic::note(word.span, message).with_help(format!("did you mean the stage '{near}'?")),
            );
        }
    };
    for stage in &file.stages {
        look(&stage.base, &names);
        for word in stage.instructions.iter().flat_map(crate::plan::froms) {
            look(word, &names);
        }
        names.extend(stage.name.as_ref().map(|name| name.text.to_lowercase()));
    }
    found
}

fn head(stage: &Stage, lexer: Lexer, variables: &Variables, declared: &[&str], findings: &mut Findings<'_>) {
    let expand =
        |word: &Word| -> Result<Expansion, Diagnostic> { crate::plan::expand(word, lexer, variables) };
    if let Ok(found) = expand(&stage.base) {
        undefined(&stage.base, &found, variables, declared, stage, findings);
    }
    let Some(word) = &stage.platform else { return };
    let Ok(found) = expand(word) else { return };
    undefined(word, &found, variables, declared, stage, findings);
    let only_target =
        found.used.len() == 1 && found.used.contains("TARGETPLATFORM") && found.missing.is_empty();
    if only_target && variables.get("TARGETPLATFORM") == Some(found.text.as_str()) {
        let message = format!("{} is the platform that a stage has anyway", word.text);
        findings.tell("RedundantTargetPlatform", word.span, &stage.comments, message, "take the flag out");
    }
    constant(word, &found, stage, findings);
}

fn undefined(
    word: &Word,
    found: &Expansion,
    variables: &Variables,
    declared: &[&str],
    stage: &Stage,
    findings: &mut Findings<'_>,
) {
    for name in found.missing.iter().filter(|name| !declared.contains(&name.as_str())) {
        let message = format!("'{name}' is not declared in front of the first FROM");
        let help = match suggest(name, variables.names().chain(declared.iter().copied())) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("write ARG {name} above the first FROM"),
        };
        findings.tell("UndefinedArgInFrom", word.span, &stage.comments, message, &help);
    }
}

fn constant(word: &Word, found: &Expansion, stage: &Stage, findings: &mut Findings<'_>) {
    if !found.used.is_empty() || !found.missing.is_empty() {
        return;
    }
    let Ok(platform) = found.text.parse::<Platform>() else { return };
    let name = stage.name.as_ref().map(|name| name.text.to_lowercase()).unwrap_or_default();
    if name.contains(&platform.os) || name.contains(&platform.architecture) {
        return;
    }
    let message =
        format!("the platform '{}' is a constant: the image is built for that one alone", found.text);
    let help = "take the flag out, use $BUILDPLATFORM, or name the stage after the platform";
    findings.tell("FromPlatformFlagConstDisallowed", word.span, &stage.comments, message, help);
}

/// With the defaults alone, the names still have to be names.
fn defaults(file: &Dockerfile, lexer: Lexer, variables: &Variables, findings: &mut Findings<'_>) {
    for stage in &file.stages {
        let Ok(found) = crate::plan::expand(&stage.base, lexer, variables) else { return };
        let varies = !found.used.is_empty() || !found.missing.is_empty();
        if varies && (found.text.is_empty() || check_image(&found.text).is_err()) {
            let message =
                format!("with the defaults, '{}' is '{}': no image's name", stage.base.text, found.text);
            let help = "give the ARG a default with which the file can be built";
            findings.tell("InvalidDefaultArgInFrom", stage.base.span, &stage.comments, message, help);
        }
    }
}
