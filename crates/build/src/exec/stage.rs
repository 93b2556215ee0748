//! One stage: its base, then its steps.

use std::sync::Arc;

use serde_json::{Map, Value};
use windlass_dockerfile::plan::{Parent, PlannedStage};
use windlass_dockerfile::{Action, Base, Step};
use windlass_oci::History;

use super::{Session, StageDone, foreign};
use crate::BuildError;
use crate::image::{Image, Layer};
use crate::key::{Key, of_layers};
use crate::request::NamedContext;
use crate::tree::Stack;

/// A stage while it is built.
pub(super) struct State {
    pub(super) image: Image,
    /// The key of all that was done so far.
    pub(super) key: Key,
    /// The layers laid over each other, once somebody had to look at them.
    pub(super) stack: Option<Arc<Stack>>,
    /// Whether the cache does not count here.
    pub(super) no_cache: bool,
}

/// What a step's name in progress is made of.
pub(super) struct Naming {
    /// `build `, or nothing when there is one stage only.
    stage: String,
    total: usize,
    next: usize,
}

impl Naming {
    fn name(&mut self, text: &str) -> String {
        let digits = self.total.to_string().len();
        let name = format!("[{}{:>digits$}/{}] {text}", self.stage, self.next, self.total);
        self.next += 1;
        name
    }
}

impl Session {
    pub(super) async fn stage(self: &Arc<Self>, index: usize) -> Result<(), BuildError> {
        let planned = &self.plan.stages()[index];
        let (image, key, run) = match &planned.base {
            Base::Stage(base) => {
                let base = self.done(*base).await?;
                let run = self.plan.begin(index, Parent::Stage(&base.run)).map_err(|f| self.refused(f))?;
                ((*base.image).clone(), base.key, run)
            }
            other => {
                let image = self.base(other, planned).await?;
                let mut diff_ids = Vec::new();
                for layer in &image.layers {
                    diff_ids.push(layer.measured.clone().await.map_err(BuildError::Store)?.digest);
                }
                let config = image.config.clone();
                let run = self.plan.begin(index, Parent::Image(config)).map_err(|f| self.refused(f))?;
                (image, of_layers(&diff_ids), run)
            }
        };
        let mut run = run;
        let mut steps = Vec::new();
        for step in run.by_ref() {
            steps.push(step.map_err(|finding| self.refused(finding))?);
        }
        self.runnable(planned, &steps)?;
        let mut state = State { image, key, stack: None, no_cache: self.uncached(planned) };
        let mut naming = self.naming(planned, &steps);
        let from = naming.name(&format!("FROM {}", base_name(&planned.base)));
        self.reporter.start(from).done();
        for step in &steps {
            self.step(&mut state, &mut naming, step).await?;
        }
        state.image.config = run.config().clone();
        let done = StageDone { image: Arc::new(state.image), key: state.key, run: Arc::new(run) };
        self.finish(index, done);
        Ok(())
    }

    /// Refuses what this machine cannot run, before any step is begun: a base image's `ONBUILD` is known only now.
    fn runnable(&self, planned: &PlannedStage, steps: &[Step]) -> Result<(), BuildError> {
        let run = steps.iter().find(|step| matches!(step.action, Action::Run(_)));
        match run.map(|step| (step, foreign::runs(&planned.platform))) {
            Some((step, Err(why))) => {
                let span = step.span.unwrap_or_default();
                Err(self.refused(foreign::finding(span, &planned.platform, &why)))
            }
            _ => Ok(()),
        }
    }

    async fn base(&self, base: &Base, planned: &PlannedStage) -> Result<Image, BuildError> {
        match base {
            Base::Scratch | Base::Stage(_) => Ok(Image::scratch(planned.platform.clone())),
            Base::Image(name) => Ok((*self.sources.image(name, &planned.platform).await?).clone()),
            Base::Context(name) => match self.request.contexts.get(name) {
                Some(NamedContext::Image(image)) => {
                    Ok((*self.sources.image(image, &planned.platform).await?).clone())
                }
                Some(NamedContext::Layout(path, reference)) => {
                    self.sources.layout(path, reference.as_deref(), &planned.platform).await
                }
                Some(NamedContext::Folder(_) | NamedContext::Remote(_)) => {
                    self.folder_as_base(name, planned).await
                }
                None => Err(BuildError::Request(format!("there is no build context `{name}`"))),
            },
        }
    }

    fn uncached(&self, planned: &PlannedStage) -> bool {
        let named = |filter: &String| {
            planned.name.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(filter))
                || *filter == planned.index.to_string()
        };
        self.request.no_cache || self.request.no_cache_filter.iter().any(named)
    }

    fn naming(&self, planned: &PlannedStage, steps: &[Step]) -> Naming {
        let several = self.plan.stages().iter().filter(|stage| stage.needed).count() > 1;
        let stage = match (&planned.name, several) {
            (_, false) => String::new(),
            (Some(name), true) => format!("{name} "),
            (None, true) => format!("stage-{} ", planned.index),
        };
        let stage =
            if self.request.platforms.len() > 1 { format!("{} {stage}", planned.platform) } else { stage };
        let shown = |step: &&Step| !matches!(step.action, Action::Config | Action::Nothing);
        Naming { stage, total: 1 + steps.iter().filter(shown).count(), next: 1 }
    }

    async fn step(
        self: &Arc<Self>,
        state: &mut State,
        naming: &mut Naming,
        step: &Step,
    ) -> Result<(), BuildError> {
        let layer = match &step.action {
            Action::Nothing => return Ok(()),
            Action::Config => {
                if step.created_by.starts_with("CMD ") {
                    state.image.cmd_said = true;
                }
                let created = state.image.created.clone();
                state.image.history.push(history(created, &step.created_by, true));
                return Ok(());
            }
            Action::Run(run) => {
                let name = naming.name(&step.source);
                self.run(state, run, step, &name).await?
            }
            Action::Transfer(transfer) => {
                let name = naming.name(&step.source);
                self.transfer(state, transfer, step, &name).await?
            }
            Action::Folder(path) => {
                let name = naming.name(&step.source);
                self.folder(state, path, step, &name).await?
            }
        };
        let created = self.time(layer.created);
        state.image.created = Some(created.clone());
        state.image.history.push(history(Some(created), &step.created_by, layer.layer.is_none()));
        if let Some(layer) = layer.layer {
            state.image.layers.push(layer);
            state.stack = None;
        }
        Ok(())
    }

    /// A time as the image has it: not later than `SOURCE_DATE_EPOCH`.
    fn time(&self, at: windlass_kernel::Timestamp) -> String {
        match self.request.source_date_epoch {
            Some(epoch) => windlass_kernel::Timestamp::from_millis(epoch.saturating_mul(1000)),
            None => at,
        }
        .to_string()
    }

    /// The layers of a stage, laid over each other.
    pub(super) async fn stack(&self, state: &mut State) -> Result<Arc<Stack>, BuildError> {
        if let Some(stack) = &state.stack {
            return Ok(stack.clone());
        }
        let stack = self.sources.lay(&state.image).await?;
        state.stack = Some(stack.clone());
        Ok(stack)
    }
}

/// What a step left.
pub(super) struct Left {
    pub(super) layer: Option<Arc<Layer>>,
    pub(super) created: windlass_kernel::Timestamp,
}

fn base_name(base: &Base) -> String {
    match base {
        Base::Scratch => "scratch".into(),
        Base::Stage(index) => format!("stage {index}"),
        Base::Image(name) | Base::Context(name) => name.clone(),
    }
}

fn history(created: Option<String>, created_by: &str, empty_layer: bool) -> History {
    let mut rest = Map::new();
    rest.insert("comment".into(), Value::String("buildkit.dockerfile.v0".into()));
    History { created, created_by: Some(created_by.to_owned()), empty_layer, rest }
}
