//! What shows only when instructions are gone through: variables, ports, and files that are left out.

use std::collections::BTreeMap;

use super::Findings;
use crate::Diagnostic;
use crate::ast::{Command, Instruction};
use crate::ignore::Ignore;
use crate::plan::{
    Action, Base, ImageConfig, Origin, Parent, Plan, Source, StageRun, Step, TransferStep, ports,
};

pub(super) fn check(
    plan: &Plan,
    ignore: Option<&Ignore>,
    findings: &mut Findings<'_>,
    errors: &mut Vec<Diagnostic>,
) {
    let mut runs: BTreeMap<usize, StageRun> = BTreeMap::new();
    // Whether all that a stage sees is known: it stands on scratch, not on an image.
    let mut known: BTreeMap<usize, bool> = BTreeMap::new();
    for stage in plan.stages() {
        let (parent, sure) = match &stage.base {
            Base::Stage(base) => match runs.get(base) {
                Some(run) => (Parent::Stage(run), known.get(base).copied().unwrap_or(false)),
                None => continue,
            },
            Base::Scratch => (Parent::Image(ImageConfig::default()), true),
            Base::Image(_) | Base::Context(_) => (Parent::Image(ImageConfig::default()), false),
        };
        match plan.begin(stage.index, parent) {
            Ok(run) => {
                let run = one(plan, stage.index, run, sure, ignore, findings, errors);
                known.insert(stage.index, sure);
                runs.insert(stage.index, run);
            }
            Err(error) => errors.push(error),
        }
    }
}

fn one(
    plan: &Plan,
    index: usize,
    mut run: StageRun,
    sure: bool,
    ignore: Option<&Ignore>,
    findings: &mut Findings<'_>,
    errors: &mut Vec<Diagnostic>,
) -> StageRun {
    let instructions = &plan.file().stages[index].instructions;
    loop {
        let before = run.undefined().len();
        let left = run.remaining();
        let exposed = instructions
            .len()
            .checked_sub(left)
            .and_then(|at| instructions.get(at))
            .map(|instruction| expose(instruction, &run));
        let Some(step) = run.next() else { return run };
        let step = match step {
            Ok(step) => step,
            Err(error) => {
                errors.push(error);
                return run;
            }
        };
        // What the base stage's ONBUILD brought was told there.
        let Some(span) = step.span else { continue };
        let Some(instruction) = instructions.iter().find(|each| each.span == span) else { continue };
        undefined(&run, before, sure, instruction, findings);
        for (rule, word, message, help) in exposed.into_iter().flatten() {
            findings.tell(rule, word, &instruction.comments, message, help);
        }
        left_out(&step, instruction, ignore, findings);
    }
}

fn undefined(
    run: &StageRun,
    before: usize,
    sure: bool,
    instruction: &Instruction,
    findings: &mut Findings<'_>,
) {
    for undefined in &run.undefined()[before..] {
        let help = match &undefined.near {
            Some(near) => format!("did you mean '{near}'?"),
            None if sure => "declare it with ARG or set it with ENV above".to_owned(),
            None => continue,
        };
        let message = format!("'{}' is not set here", undefined.name);
        findings.tell("UndefinedVar", undefined.word.span, &instruction.comments, message, &help);
    }
}

type Exposed = (&'static str, crate::Span, String, &'static str);

/// Ports with odd forms, as they are with what is known in front of the instruction.
fn expose(instruction: &Instruction, run: &StageRun) -> Vec<Exposed> {
    let Command::Expose(words) = &instruction.command else { return Vec::new() };
    let mut found: Vec<Exposed> = Vec::new();
    for word in words {
        let Ok(expansion) = run.peek(word) else { continue };
        for text in &expansion {
            let Ok(ports) = ports(text) else { continue };
            if ports.odd_casing {
                let message = format!("the protocol of '{text}' has capital letters");
                found.push(("ExposeProtoCasing", word.span, message, "write it in small letters"));
            }
            if ports.odd_format {
                let message = format!("'{text}' has more than a port: the rest has no effect");
                found.push(("ExposeInvalidFormat", word.span, message, "write the container's port alone"));
            }
        }
    }
    found
}

fn left_out(step: &Step, instruction: &Instruction, ignore: Option<&Ignore>, findings: &mut Findings<'_>) {
    let (Some(ignore), Action::Transfer(transfer)) = (ignore, &step.action) else { return };
    // With patterns that take back, what is left out in the end only the files can tell.
    let TransferStep { origin: Origin::Context, sources, .. } = &**transfer else { return };
    if ignore.takes_back() {
        return;
    }
    for source in sources {
        let Source::Path(path) = source else { continue };
        let out = if path == "." { ignore.excludes_root() } else { ignore.excludes(path) };
        if out {
            let message = format!("'{path}' is left out by .dockerignore");
            let help = "take it out of one of the two files";
            findings.tell("CopyIgnoredFile", instruction.span, &instruction.comments, message, help);
        }
    }
}
