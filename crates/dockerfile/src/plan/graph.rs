//! Which stage needs which.

use std::collections::{BTreeMap, BTreeSet};

use super::{Base, Origin, PlannedStage};
use crate::ast::{Command, Dockerfile, Instruction, Word};
use crate::expand::{Lexer, Variables};
use crate::{Diagnostic, Span};

/// What names mean: stages, contexts, images.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    stages: BTreeMap<String, usize>,
    contexts: BTreeSet<String>,
    count: usize,
}

impl Names {
    pub(super) fn new(contexts: &BTreeSet<String>) -> Self {
        Self { contexts: contexts.clone(), ..Self::default() }
    }

    /// The last stage of a name is the one that it means below.
    pub(super) fn add(&mut self, name: &str, index: usize) {
        self.stages.insert(name.to_lowercase(), index);
    }

    pub(super) fn close(&mut self, count: usize) {
        self.count = count;
    }

    /// The context that a name means: as it is written, or as an image's full name.
    pub(super) fn context(&self, name: &str) -> Option<String> {
        if ["scratch", "context"].iter().any(|reserved| reserved.eq_ignore_ascii_case(name)) {
            return None;
        }
        self.contexts.iter().find(|context| *context == name || full(context) == full(name)).cloned()
    }

    /// What a `FROM` means.
    pub(super) fn base(&self, name: &str) -> Base {
        if let Some(context) = self.context(name) {
            return Base::Context(context);
        }
        match self.stages.get(&name.to_lowercase()) {
            Some(index) => Base::Stage(*index),
            None if name == "scratch" => Base::Scratch,
            None => Base::Image(name.to_owned()),
        }
    }

    /// What a `--from` means.
    pub(crate) fn origin(&self, word: &Word) -> Result<Origin, Diagnostic> {
        let name = word.text.as_str();
        let constant =
            Lexer::new('\\').expand(name, &Variables::default()).is_ok_and(|found| found.text == name);
        if !constant {
            let help = "name a stage of its own with the variable in its FROM, and take that";
            return Err(Diagnostic::error(word.span, "--from cannot have variables").with_help(help));
        }
        if let Some(context) = self.context(name) {
            return Ok(Origin::Named(context));
        }
        if let Ok(index) = name.parse::<usize>() {
            return if index < self.count {
                Ok(Origin::Stage(index))
            } else {
                let message =
                    format!("there is no stage {index}: the last one is {}", self.count.saturating_sub(1));
                Err(Diagnostic::error(word.span, message))
            };
        }
        if let Some(index) = self.stages.get(&name.to_lowercase()) {
            return Ok(Origin::Stage(*index));
        }
        if name == "scratch" {
            return Ok(Origin::Scratch);
        }
        match check_image(name) {
            Ok(()) => Ok(Origin::Image(name.to_owned())),
            Err(message) => Err(self.near(Diagnostic::error(word.span, message), name)),
        }
    }

    /// The stage that the build is for.
    pub(super) fn target(&self, wanted: Option<&str>) -> Result<usize, Diagnostic> {
        let last = self.count.saturating_sub(1);
        let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else { return Ok(last) };
        if let Some(index) = self.stages.get(&wanted.to_lowercase()) {
            return Ok(*index);
        }
        match wanted.parse::<usize>() {
            Ok(index) if index < self.count => Ok(index),
            _ => {
                let finding = Diagnostic::error(Span::default(), format!("there is no stage '{wanted}'"));
                Err(self.near(finding, wanted))
            }
        }
    }

    fn near(&self, finding: Diagnostic, name: &str) -> Diagnostic {
        finding.with_suggestion(name, self.stages.keys().map(String::as_str))
    }
}

/// An image's name with the host and the tag that it has when it says none.
fn full(name: &str) -> String {
    let (path, digest) = name.split_once('@').map_or((name, None), |(path, digest)| (path, Some(digest)));
    let last = path.rsplit('/').next().unwrap_or(path);
    let tagged = digest.is_some() || last.contains(':');
    let first = path.split('/').next().unwrap_or(path);
    let host = path.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    let path = match (host, path.contains('/')) {
        (true, _) => path.to_owned(),
        (false, true) => format!("docker.io/{path}"),
        (false, false) => format!("docker.io/library/{path}"),
    };
    let digest = digest.map(|digest| format!("@{digest}")).unwrap_or_default();
    format!("{path}{}{digest}", if tagged { "" } else { ":latest" })
}

/// Whether a text can be an image's name: `[host[:port]/]path[:tag][@digest]`.
pub(crate) fn check_image(name: &str) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("'{name}' is no image's name: {why}"));
    let (rest, digest) = name.split_once('@').map_or((name, None), |(rest, digest)| (rest, Some(digest)));
    if let Some(digest) = digest {
        let plausible = digest.split_once(':').is_some_and(|(algorithm, hex)| {
            !algorithm.is_empty() && hex.len() >= 32 && hex.chars().all(|c| c.is_ascii_hexdigit())
        });
        if !plausible {
            return refuse("what follows @ is no digest");
        }
    }
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (rest, None),
    };
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if let Some(tag) = tag {
        let sound =
            tag.len() <= 128 && tag.starts_with(word) && tag.chars().all(|c| word(c) || c == '.' || c == '-');
        if !sound {
            return refuse("what follows : is no tag");
        }
    }
    let mut parts: Vec<&str> = path.split('/').collect();
    if parts.len() > 1 && (parts[0].contains(['.', ':', '[']) || parts[0] == "localhost") {
        parts.remove(0);
    }
    let part = |part: &&str| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
    };
    if path.chars().any(|c| c.is_ascii_uppercase()) && parts.iter().any(|each| !part(each)) {
        return refuse("it has capital letters");
    }
    if !parts.iter().all(part) {
        return refuse("it has small letters, digits and single '.', '_', '-' and '/'");
    }
    Ok(())
}

/// Finds what each stage takes files from.
pub(super) fn connect(
    file: &Dockerfile,
    stages: &mut [PlannedStage],
    names: &Names,
    findings: &mut Vec<Diagnostic>,
) {
    for stage in &file.stages {
        if matches!(&stages[stage.index].base, Base::Context(_)) && replaced(&stages[stage.index], names) {
            continue;
        }
        // What the base stage keeps for those that build on it is done here.
        let inherited = match stages[stage.index].base {
            Base::Stage(base) => triggers(&file.stages[base].instructions),
            _ => Vec::new(),
        };
        for instruction in inherited.iter().chain(&stage.instructions) {
            for word in froms(instruction) {
                match names.origin(word) {
                    Ok(Origin::Stage(index)) => _ = stages[stage.index].needs.insert(index),
                    Ok(origin) => _ = stages[stage.index].origins.insert(origin),
                    Err(finding) => findings.push(finding),
                }
            }
        }
    }
}

/// Whether a context took the stage's place.
pub(super) fn replaced(stage: &PlannedStage, names: &Names) -> bool {
    stage.name.as_ref().is_some_and(|name| names.context(name).is_some())
}

fn triggers(instructions: &[Instruction]) -> Vec<Instruction> {
    let kept = instructions.iter().filter_map(|instruction| match &instruction.command {
        Command::Onbuild(word) => crate::parse::parse_trigger(&word.text).ok(),
        _ => None,
    });
    kept.collect()
}

/// The words that say where files are taken from.
pub(crate) fn froms(instruction: &Instruction) -> Vec<&Word> {
    match &instruction.command {
        Command::Copy(transfer) => transfer.from.iter().collect(),
        Command::Run(run) => run.mounts.iter().filter_map(|mount| mount.get("from")).collect(),
        _ => Vec::new(),
    }
}

/// A stage that needs itself, over however many others.
pub(super) fn cycle(file: &Dockerfile, stages: &[PlannedStage]) -> Option<Diagnostic> {
    // 0: not seen, 1: on the way, 2: done.
    let mut state = vec![0_u8; stages.len()];
    for start in 0..stages.len() {
        let mut stack = vec![(start, stages[start].needs.iter())];
        if state[start] != 0 {
            continue;
        }
        state[start] = 1;
        while let Some((index, rest)) = stack.last_mut() {
            let index = *index;
            let Some(&next) = rest.next() else {
                state[index] = 2;
                stack.pop();
                continue;
            };
            match state.get(next) {
                Some(1) => return Some(circle(file, next)),
                Some(0) => {
                    state[next] = 1;
                    stack.push((next, stages[next].needs.iter()));
                }
                _ => {}
            }
        }
    }
    None
}

fn circle(file: &Dockerfile, index: usize) -> Diagnostic {
    let stage = &file.stages[index];
    Diagnostic::error(stage.span, format!("the stage {} needs itself", shown(file, index)))
        .with_help("a stage takes files only from those above it")
}

fn shown(file: &Dockerfile, index: usize) -> String {
    file.stages[index].name.as_ref().map_or_else(|| index.to_string(), |name| format!("'{}'", name.text))
}

/// Marks what the target needs.
pub(super) fn need(stages: &mut [PlannedStage], target: usize) {
    let mut wanted = vec![target];
    while let Some(index) = wanted.pop() {
        if let Some(stage) = stages.get_mut(index).filter(|stage| !stage.needed) {
            stage.needed = true;
            wanted.extend(stage.needs.iter().copied());
        }
    }
}

/// Needed stages that take files from ones below them.
pub(super) fn forward(file: &Dockerfile, stages: &[PlannedStage]) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for stage in stages.iter().filter(|stage| stage.needed) {
        for later in stage.needs.range(stage.index + 1..) {
            let name = file.stages[*later].name.as_ref().map(|name| name.text.to_lowercase());
            let means =
                |word: &&Word| word.text.parse() == Ok(*later) || Some(word.text.to_lowercase()) == name;
            let instructions = &file.stages[stage.index].instructions;
            let span = instructions.iter().flat_map(froms).find(means).map(|word| word.span);
            let message = format!("the stage {} stands below this one", shown(file, *later));
            let finding = Diagnostic::error(span.unwrap_or(file.stages[stage.index].span), message);
            findings.push(finding.with_help("a stage takes files only from those above it"));
        }
    }
    findings
}
