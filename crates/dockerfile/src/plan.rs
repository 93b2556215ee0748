//! One build of a Dockerfile: which stages, in which order, from what; and each stage's steps, expanded.

mod action;
mod config;
mod git;
mod graph;
mod history;
mod mount;
mod path;
mod platform;
mod ports;
mod run;
mod scope;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use action::{
    Action, Checksum, GitSource, InlineFile, Mode, Origin, RunStep, Source, Step, TransferStep,
};
pub use config::{HealthCheck, ImageConfig};
pub use mount::{Mount, MountKind, Sharing};
pub use platform::{Platform, PlatformError};
pub use run::{Parent, StageRun, Undefined};
pub use scope::{AUTOMATIC, PROXIES};
pub(crate) use {
    graph::{Names, check_image, froms},
    ports::ports,
    scope::{expand, globals},
};

use crate::ast::{Dockerfile, Stage};
use crate::expand::{Lexer, Variables};
use crate::{Diagnostic, Word};

/// What a build is told besides the file.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--build-arg`, by name. The proxy arguments (`HTTP_PROXY` and so on) are among them and need no `ARG`.
    pub build_args: BTreeMap<String, String>,
    /// `--target`: the name or number of the stage that is wanted; the last one when it is not said.
    pub target: Option<String>,
    /// For which platform the image is.
    pub platform: Platform,
    /// On which platform the build runs.
    pub build_platform: Platform,
    /// The names of `--build-context`: they go before stages and images of that name.
    pub contexts: BTreeSet<String>,
}

/// What a stage starts from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// Another stage, by its number.
    Stage(usize),
    /// An image, as its name is written.
    Image(String),
    /// A named context of [`Options::contexts`].
    Context(String),
}

/// A stage of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedStage {
    /// Its number.
    pub index: usize,
    /// Its name, in small letters.
    pub name: Option<String>,
    /// What it starts from.
    pub base: Base,
    /// For which platform it is: its base stage's, else `--platform`, else that of the build.
    pub platform: Platform,
    /// The stages that have to be there before it: its base, and those that `COPY --from` and mounts name.
    pub needs: BTreeSet<usize>,
    /// Everything else that it takes files from, its base not among it.
    pub origins: BTreeSet<Origin>,
    /// Whether the target needs it. What is not needed is never built.
    pub needed: bool,
}

/// A build, planned: what is to be done for which stage, in which order.
#[derive(Clone, Debug)]
pub struct Plan {
    file: Arc<Dockerfile>,
    options: Arc<Options>,
    globals: Arc<Variables>,
    names: Arc<Names>,
    stages: Vec<PlannedStage>,
    target: usize,
}

impl Plan {
    /// Plans a build: evaluates the global arguments, expands the `FROM` lines, finds the target and what it needs.
    ///
    /// # Errors
    /// All that is wrong: words that cannot be expanded, bases that are empty, platforms that are none, a target that
    /// is not there, stages that need themselves, or ones below them.
    pub fn new(file: &Dockerfile, options: Options) -> Result<Self, Vec<Diagnostic>> {
        let globals = globals(file, &options, true).map_err(|finding| vec![finding])?;
        let mut findings = Vec::new();
        let mut names = Names::new(&options.contexts);
        let mut stages = Vec::new();
        for stage in &file.stages {
            match head(stage, file.directives.escape, &globals, &options, &names, &stages) {
                Ok(planned) => stages.push(planned),
                Err(finding) => {
                    findings.push(finding);
                    stages.push(unknown(stage, &options));
                }
            }
            if let Some(name) = &stage.name {
                names.add(&name.text, stage.index);
            }
        }
        names.close(file.stages.len());
        graph::connect(file, &mut stages, &names, &mut findings);
        if let Some(finding) = graph::cycle(file, &stages) {
            findings.push(finding);
        }
        let target = match names.target(options.target.as_deref()) {
            Ok(target) => target,
            Err(finding) => {
                findings.push(finding);
                0
            }
        };
        if findings.is_empty() {
            graph::need(&mut stages, target);
            findings = graph::forward(file, &stages);
        }
        if !findings.is_empty() {
            return Err(findings);
        }
        Ok(Self {
            file: Arc::new(file.clone()),
            options: Arc::new(options),
            globals: Arc::new(globals),
            names: Arc::new(names),
            stages,
            target,
        })
    }

    /// The stage that the build is for.
    pub fn target(&self) -> usize {
        self.target
    }

    /// All stages, by their numbers.
    pub fn stages(&self) -> &[PlannedStage] {
        &self.stages
    }

    /// The file.
    pub fn file(&self) -> &Dockerfile {
        &self.file
    }

    /// What the build was told.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The needed stages, each after all that it needs.
    pub fn order(&self) -> Vec<usize> {
        // A stage only needs those above it: their order in the file will do.
        self.stages.iter().filter(|stage| stage.needed).map(|stage| stage.index).collect()
    }

    /// Begins a stage: what its base's `ONBUILD` says comes first.
    ///
    /// A base image's `ONBUILD` may copy from a stage that [`PlannedStage::needs`] does not have, because the image
    /// was not known to the plan.
    ///
    /// # Errors
    /// When the `ONBUILD` of the base image cannot be read.
    pub fn begin(&self, stage: usize, parent: Parent<'_>) -> Result<StageRun, Diagnostic> {
        StageRun::begin(self, stage, parent)
    }
}

/// A stage's `FROM` line, expanded.
fn head(
    stage: &Stage,
    escape: char,
    globals: &Variables,
    options: &Options,
    names: &Names,
    above: &[PlannedStage],
) -> Result<PlannedStage, Diagnostic> {
    let lexer = Lexer::new(escape);
    let found = expand(&stage.base, lexer, globals)?;
    if found.text.trim().is_empty() {
        let message = format!("the base '{}' is empty", stage.base.text);
        return Err(scope::blame(&stage.base, message, &found.missing, globals));
    }
    let own = stage.name.as_ref().and_then(|name| names.context(&name.text));
    let base = match own {
        // A context of the stage's name is the stage.
        Some(context) => Base::Context(context),
        None => names.base(&found.text),
    };
    if let Base::Image(image) = &base {
        graph::check_image(image)
            .map_err(|message| scope::blame(&stage.base, message, &found.missing, globals))?;
    }
    let platform = match (&base, &stage.platform) {
        (Base::Stage(index), _) => {
            above.get(*index).map_or_else(|| options.platform.clone(), |base| base.platform.clone())
        }
        (_, None) => options.platform.clone(),
        (_, Some(word)) => platform(word, lexer, globals)?,
    };
    let needs = match &base {
        Base::Stage(index) => BTreeSet::from([*index]),
        _ => BTreeSet::new(),
    };
    Ok(PlannedStage { base, platform, needs, ..unknown(stage, options) })
}

fn platform(word: &Word, lexer: Lexer, globals: &Variables) -> Result<Platform, Diagnostic> {
    let found = expand(word, lexer, globals)?;
    found.text.parse().map_err(|error: PlatformError| {
        let message =
            if found.text.is_empty() { "the platform is empty".to_owned() } else { error.to_string() };
        scope::blame(word, message, &found.missing, globals)
    })
}

fn unknown(stage: &Stage, options: &Options) -> PlannedStage {
    PlannedStage {
        index: stage.index,
        name: stage.name.as_ref().map(|name| name.text.to_lowercase()),
        base: Base::Scratch,
        platform: options.platform.clone(),
        needs: BTreeSet::new(),
        origins: BTreeSet::new(),
        needed: false,
    }
}

#[cfg(test)]
mod tests;
