//! What instructions say as they are written, without anything being expanded.

use std::collections::BTreeMap;

use super::Findings;
use crate::ast::{Command, CommandLine, Dockerfile, Healthcheck, Instruction, Pair, Stage, Word};

/// What a stage hands on to those that start from it.
#[derive(Clone, Copy, Default)]
struct Known {
    shell: bool,
    workdir: bool,
}

pub(super) fn check(file: &Dockerfile, findings: &mut Findings<'_>) {
    let mut ends: BTreeMap<String, Known> = BTreeMap::new();
    for instruction in &file.globals {
        arguments(instruction, findings);
    }
    for stage in &file.stages {
        description(stage, findings);
        let known = ends.get(&stage.base.text.to_lowercase()).copied().unwrap_or_default();
        let end = in_stage(stage, known, findings);
        if let Some(name) = &stage.name {
            ends.insert(name.text.to_lowercase(), end);
        }
    }
}

fn in_stage(stage: &Stage, mut known: Known, findings: &mut Findings<'_>) -> Known {
    let mut once: BTreeMap<&'static str, &Instruction> = BTreeMap::new();
    for instruction in &stage.instructions {
        match &instruction.command {
            Command::Shell(_) => known.shell = true,
            Command::Cmd(line) | Command::Entrypoint(line) => {
                again(&mut once, instruction, findings);
                json(instruction, line, known.shell, findings);
            }
            Command::Healthcheck(Healthcheck::None | Healthcheck::Test { .. }) => {
                again(&mut once, instruction, findings);
            }
            Command::Arg(_) => arguments(instruction, findings),
            Command::Env(pairs) => {
                for pair in pairs {
                    secret("ENV", &pair.name, instruction, findings);
                }
                legacy(instruction, pairs, findings);
            }
            Command::Label(pairs) => legacy(instruction, pairs, findings),
            Command::Maintainer(_) => {
                let help = "LABEL org.opencontainers.image.authors=… says it";
                let message = "MAINTAINER is a thing of the past".to_owned();
                findings.tell("MaintainerDeprecated", instruction.span, &instruction.comments, message, help);
            }
            Command::Workdir(word) => {
                if !known.workdir && !word.text.starts_with(['/', '$']) {
                    let message =
                        format!("'{}' is relative to what the base image happens to say", word.text);
                    let help = "let the first WORKDIR of a stage begin with /";
                    findings.tell("WorkdirRelativePath", word.span, &instruction.comments, message, help);
                }
                known.workdir = true;
            }
            _ => {}
        }
    }
    known
}

/// Only the last of them counts: the one before is where it is told.
fn again<'a>(
    once: &mut BTreeMap<&'static str, &'a Instruction>,
    instruction: &'a Instruction,
    findings: &mut Findings<'_>,
) {
    let keyword = instruction.command.keyword();
    if let Some(earlier) = once.insert(keyword, instruction) {
        let message = format!("another {keyword} stands below in the same stage: this one has no effect");
        let help = "take it out";
        findings.tell("MultipleInstructionsDisallowed", earlier.span, &earlier.comments, message, help);
    }
}

fn json(instruction: &Instruction, line: &CommandLine, shell: bool, findings: &mut Findings<'_>) {
    if let (CommandLine::Shell(_), false) = (line, shell) {
        let keyword = instruction.command.keyword();
        let message = format!("{keyword} in the shell form: signals reach the shell, not the program");
        let help = format!("write it in the JSON form: {keyword} [\"program\", \"argument\"]");
        findings.tell("JSONArgsRecommended", instruction.span, &instruction.comments, message, &help);
    }
}

fn legacy(instruction: &Instruction, pairs: &[Pair], findings: &mut Findings<'_>) {
    let keyword = instruction.command.keyword();
    for pair in pairs.iter().filter(|pair| pair.legacy) {
        let message = format!("{keyword} with white space between name and value is a thing of the past");
        let help = format!("write {keyword} {}=…", pair.name.text);
        findings.tell("LegacyKeyValueFormat", pair.name.span, &instruction.comments, message, &help);
    }
}

fn arguments(instruction: &Instruction, findings: &mut Findings<'_>) {
    let Command::Arg(arguments) = &instruction.command else { return };
    for argument in arguments {
        secret("ARG", &argument.name, instruction, findings);
    }
    let names: Vec<&str> = arguments.iter().map(|argument| argument.name.text.as_str()).collect();
    described("ARG", &names, &instruction.comments, instruction.span, findings);
}

fn description(stage: &Stage, findings: &mut Findings<'_>) {
    if let Some(name) = &stage.name {
        let lower = name.text.to_lowercase();
        described("FROM", &[&lower], &stage.comments, stage.span, findings);
    }
}

/// The comment directly above begins with the name of what it describes.
fn described(
    keyword: &str,
    names: &[&str],
    comments: &[String],
    span: crate::Span,
    findings: &mut Findings<'_>,
) {
    let Some(first) = comments.last().and_then(|comment| comment.split(' ').next()) else { return };
    if names.contains(&first) || first.starts_with("check=") {
        return;
    }
    let example = if let [name] = names { name } else { "name" };
    let message = format!("the comment above {keyword} does not begin with the name of what it describes");
    let help = format!("write '# {example} …', or put an empty comment between them");
    findings.tell("InvalidDefinitionDescription", span, comments, message, &help);
}

/// Words in a name that speak of a secret, and those that take it back.
const SECRET: [&str; 10] =
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];
const HARMLESS: [&str; 3] = ["public", "file", "version"];

fn secret(keyword: &str, name: &Word, instruction: &Instruction, findings: &mut Findings<'_>) {
    let lower = name.text.to_lowercase();
    let has = |words: &[&str]| lower.split('_').any(|part| words.contains(&part));
    if has(&SECRET) && !has(&HARMLESS) {
        let message = format!("'{}' looks like a secret: what {keyword} says stays in the image", name.text);
        let help = "use RUN --mount=type=secret instead";
        findings.tell("SecretsUsedInArgOrEnv", name.span, &instruction.comments, message, help);
    }
}
