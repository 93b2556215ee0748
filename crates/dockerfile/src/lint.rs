//! What could be better in a Dockerfile: the rules of BuildKit's check, with places.
//!
//! Nothing is fetched: what a base image sets is not known here. A variable that a stage on an image uses and nobody
//! declares is therefore told only when its name is near to one that is declared.

mod casing;
mod expanded;
mod heads;
mod written;

use std::collections::BTreeSet;

use crate::ast::Dockerfile;
use crate::ignore::Ignore;
use crate::parse::{self, Parsed};
use crate::plan::{Options, Plan};
use crate::{Diagnostic, Span};

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// What it finds.
    pub about: &'static str,
    /// Whether it is only checked when `# check=experimental=` asks for it.
    pub experimental: bool,
}

const fn rule(name: &'static str, about: &'static str) -> Rule {
    Rule { name, about, experimental: false }
}

const fn experimental(name: &'static str, about: &'static str) -> Rule {
    Rule { name, about, experimental: true }
}

/// All rules, by name.
pub const RULES: &[Rule] = &[
    rule("ConsistentInstructionCasing", "keywords are written all in capitals or all in small letters"),
    experimental("CopyIgnoredFile", "what is copied is not left out by .dockerignore"),
    rule("DuplicateStageName", "each stage has a name of its own"),
    rule("ExposeInvalidFormat", "EXPOSE has ports alone, no addresses and no ports of the host"),
    rule("ExposeProtoCasing", "protocols of EXPOSE are in small letters"),
    rule("FromAsCasing", "AS is written as FROM is: both in capitals or both in small letters"),
    rule("FromPlatformFlagConstDisallowed", "FROM --platform is no constant"),
    rule("InvalidDefaultArgInFrom", "with the defaults alone, each FROM has a sound image's name"),
    experimental("InvalidDefinitionDescription", "a comment above a stage or an ARG begins with its name"),
    rule("JSONArgsRecommended", "CMD and ENTRYPOINT are in the JSON form, so that signals reach the program"),
    rule("LegacyKeyValueFormat", "ENV and LABEL have = between name and value"),
    rule("MaintainerDeprecated", "MAINTAINER is a thing of the past: a label says it"),
    rule("MultipleInstructionsDisallowed", "a stage has at most one CMD, ENTRYPOINT and HEALTHCHECK"),
    rule("NoEmptyContinuation", "no empty lines within a continued instruction"),
    rule("RedundantTargetPlatform", "FROM --platform=$TARGETPLATFORM says what is so anyway"),
    rule("ReservedStageName", "no stage is called scratch or context"),
    rule("SecretsUsedInArgOrEnv", "secrets are not in ARG or ENV: they stay in the image"),
    rule("StageNameCasing", "stages' names are in small letters"),
    rule("UndefinedArgInFrom", "FROM uses only arguments that are declared above it"),
    rule("UndefinedVar", "variables are set before they are used"),
    rule("WorkdirRelativePath", "the first WORKDIR of a stage is absolute"),
];

/// What of a finding the rules need to know: what turned them off.
struct Findings<'a> {
    file: &'a Dockerfile,
    skipped: BTreeSet<&'a str>,
    wanted: BTreeSet<&'a str>,
    found: Vec<Diagnostic>,
}

impl<'a> Findings<'a> {
    fn new(file: &'a Dockerfile) -> Self {
        let texts = |words: &'a [crate::Word]| words.iter().map(|word| word.text.as_str()).collect();
        let directives = &file.directives;
        Self {
            file,
            skipped: texts(&directives.skip),
            wanted: texts(&directives.experimental),
            found: Vec::new(),
        }
    }

    /// Tells a finding, unless its rule is turned off, in the file or by the comment above the instruction.
    fn tell(&mut self, rule: &'static str, span: Span, comments: &[String], message: String, help: &str) {
        let Some(known) = RULES.iter().find(|known| known.name == rule) else { return };
        let directives = &self.file.directives;
        let off = if known.experimental {
            !directives.experimental_all && !self.wanted.contains(rule)
        } else {
            directives.skip_all || self.skipped.contains(rule)
        };
        let here = parse::skipped_by(comments);
        if off || here.contains(&rule) || here.contains(&"all") || self.found.len() >= parse::MOST_FINDINGS {
            return;
        }
        let finding = if directives.check_errors {
            Diagnostic::error(span, message)
        } else {
            Diagnostic::warning(span, message)
        };
        let finding = finding.with_rule(rule);
        self.found.push(if help.is_empty() { finding } else { finding.with_help(help) });
    }
}

/// What is wrong with a file, and what could be better; by place.
pub fn lint(parsed: &Parsed, options: &Options, ignore: Option<&Ignore>) -> Vec<Diagnostic> {
    let mut all = parsed.diagnostics.clone();
    let Some(file) = &parsed.dockerfile else { return all };
    let mut findings = Findings::new(file);
    for span in &parsed.empty_continuations {
        let message = "an empty line within a continued instruction".to_owned();
        findings.tell("NoEmptyContinuation", *span, &[], message, "take the line out, or write # in it");
    }
    for name in file.directives.skip.iter().chain(&file.directives.experimental) {
        if !RULES.iter().any(|rule| rule.name == name.text) {
            let finding = Diagnostic::warning(name.span, format!("there is no rule '{}'", name.text));
            all.push(finding.with_suggestion(&name.text, RULES.iter().map(|rule| rule.name)));
        }
    }
    casing::check(file, &mut findings);
    written::check(file, &mut findings);
    heads::check(file, options, &mut findings);
    all.extend(heads::near_stages(file, options));
    match Plan::new(file, options.clone()) {
        Ok(plan) => expanded::check(&plan, ignore, &mut findings, &mut all),
        Err(errors) => all.extend(errors),
    }
    all.append(&mut findings.found);
    all.sort_by_key(|finding| (finding.span.start.offset, finding.severity));
    all.dedup();
    all
}

#[cfg(test)]
mod tests;
