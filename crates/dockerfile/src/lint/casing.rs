//! Capitals and small letters, and names of stages.

use std::collections::BTreeSet;

use super::Findings;
use crate::ast::{Dockerfile, Stage, Word};

pub(super) fn check(file: &Dockerfile, findings: &mut Findings<'_>) {
    keywords(file, findings);
    let mut names = BTreeSet::new();
    for stage in &file.stages {
        as_keyword(stage, findings);
        let Some(name) = &stage.name else { continue };
        let lower = name.text.to_lowercase();
        if lower != name.text {
            let message = format!("the stage's name '{}' has capital letters", name.text);
            findings.tell(
                "StageNameCasing",
                name.span,
                &stage.comments,
                message,
                &format!("call it '{lower}'"),
            );
        }
        if lower == "scratch" || lower == "context" {
            let message = format!("'{lower}' has a meaning of its own and is no good name for a stage");
            findings.tell("ReservedStageName", name.span, &stage.comments, message, "give it another name");
        }
        if !names.insert(lower.clone()) {
            let message = format!("there is another stage '{lower}' above: only this one can be named below");
            findings.tell(
                "DuplicateStageName",
                name.span,
                &stage.comments,
                message,
                "give each its own name",
            );
        }
    }
}

fn is_lower(text: &str) -> bool {
    text.to_lowercase() == text
}

fn is_upper(text: &str) -> bool {
    text.to_uppercase() == text
}

/// Most keywords decide how all are written.
fn keywords(file: &Dockerfile, findings: &mut Findings<'_>) {
    let all: Vec<(&Word, &[String])> = file
        .stages
        .iter()
        .flat_map(|stage| {
            let own = stage.instructions.iter().map(|each| (&each.keyword, &each.comments[..]));
            std::iter::once((&stage.keyword, &stage.comments[..])).chain(own)
        })
        .collect();
    let lower = all.iter().filter(|(word, _)| is_lower(&word.text)).count();
    let upper = all.iter().filter(|(word, _)| !is_lower(&word.text) && is_upper(&word.text)).count();
    let (fits, how): (fn(&str) -> bool, _) =
        if lower > upper { (is_lower, "small letters") } else { (is_upper, "capitals") };
    for (word, comments) in all {
        if !fits(&word.text) {
            let message = format!("'{}' is written otherwise than most keywords of the file", word.text);
            let help = format!("write it in {how}");
            findings.tell("ConsistentInstructionCasing", word.span, comments, message, &help);
        }
    }
}

fn as_keyword(stage: &Stage, findings: &mut Findings<'_>) {
    let Some(word) = &stage.as_keyword else { return };
    let from = &stage.keyword.text;
    let odd = (is_lower(from) && !is_lower(&word.text)) || (is_upper(from) && !is_upper(&word.text));
    if odd {
        let message = format!("'{}' is not written as '{from}' is", word.text);
        let help = "write both in capitals or both in small letters";
        findings.tell("FromAsCasing", word.span, &stage.comments, message, help);
    }
}
