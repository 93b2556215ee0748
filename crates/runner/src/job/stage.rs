//! What actions do before a job's first step and after its last: `pre` in the order of the steps, `post` in the reverse
//! order in which their actions began.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::Ordering;

use windlass_workflow::action::ActionRuns;
use windlass_workflow::model::{ActionRef, Setting, Step, StepKind, Uses};
use windlass_workflow::template::Condition;

use super::background::places;
use super::step::{Came, Going};
use super::{Entry, Job, Progress, StepFiles, parallel};
use crate::action::{Action, ActionError, DEEPEST, Found, NodeProgram, composite_frame, find};
use crate::container::DockerProgram;
use crate::context::{Frame, OwnRoot, Status};

/// When a stage runs.
#[derive(Clone, Debug)]
pub(crate) enum When {
    Always,
    Success,
    /// `pre-if`, `post-if`
    If(Condition),
}

/// What a stage does.
#[derive(Clone)]
pub(crate) enum PostWork {
    BuiltIn {
        action: &'static dyn Action,
        uses: ActionRef,
        inputs: BTreeMap<String, String>,
    },
    Node(NodeProgram),
    Image(Box<DockerProgram>),
    /// A script of the operator's.
    Hook(PathBuf),
    /// The job's containers, begun and ended.
    StartContainers,
    StopContainers,
}

/// A stage of an action, beside what its step does.
#[derive(Clone)]
pub(crate) struct Post {
    pub(crate) name: String,
    /// Which step it belongs to: stages of one share their state.
    pub(crate) key: String,
    when: When,
    work: PostWork,
    own: BTreeMap<String, String>,
    action: String,
    continue_on_error: Setting<bool>,
    /// What its action's end begins with, once this stage began.
    then: Option<Box<Post>>,
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Post {
    /// What a step's action leaves to be done after the job.
    pub(crate) fn of(going: &Going, when: When, work: PostWork) -> Self {
        Self {
            name: format!("Post {}", going.name),
            key: going.key.clone(),
            when,
            work,
            own: going.own.clone(),
            action: going.action.clone(),
            continue_on_error: going.continue_on_error.clone(),
            then: None,
        }
    }
}

impl Post {
    /// A script of the operator's.
    pub(super) fn hook(name: &str, script: &Path) -> Self {
        Self::plain(name, PostWork::Hook(script.to_owned()))
    }

    /// What is no action's.
    pub(super) fn plain(name: &str, work: PostWork) -> Self {
        Self {
            name: name.to_owned(),
            key: name.to_owned(),
            when: When::Always,
            work,
            own: BTreeMap::new(),
            action: String::new(),
            continue_on_error: Setting::Literal(false),
            then: None,
        }
    }
}

impl Progress {
    /// Notes what is to be done after the job; once per step, whichever of its stages began first.
    pub(crate) fn register(&mut self, post: Post) {
        match self.posts.iter_mut().find(|known| known.key == post.key) {
            Some(known) => *known = post,
            None => self.posts.push(post),
        }
    }
}

impl Job {
    /// Whether an action is fetched when the job is set up. Those of the workspace are not there then, and what is built
    /// in needs no files.
    fn is_fetched(&self, action: &ActionRef) -> bool {
        match action {
            ActionRef::Own { .. } => true,
            _ => {
                action.repository_name().is_some_and(|name| find(&name).is_none() || self.is_mirrored(action))
            }
        }
    }

    /// Fetches the actions that steps use, and those that these use, before anything runs.
    pub(crate) fn prepare<'a>(
        &'a self,
        steps: &'a [Step],
        own: Option<&'a OwnRoot>,
        depth: u32,
    ) -> Boxed<'a, Result<(), ActionError>> {
        Box::pin(async move {
            for step in with_parallel(steps) {
                let StepKind::Uses(uses) = &step.kind else { continue };
                let action = &uses.action.value;
                if depth >= DEEPEST || !self.is_fetched(action) {
                    continue;
                }
                let found = self.look_up(action, own, &self.last_patience(), true).await?;
                if let ActionRuns::Composite { steps } = &found.meta.runs {
                    self.prepare(steps, found.own().as_ref(), depth + 1).await?;
                }
            }
            Ok(())
        })
    }

    /// What the actions of these steps do before the job's first step.
    pub(super) fn pres<'a>(
        &'a self,
        progress: &'a Progress,
        frame: Frame,
        steps: &'a [Step],
        outer: Option<&'a Going>,
    ) -> Boxed<'a, Result<Vec<Post>, String>> {
        Box::pin(async move {
            let (mut found, mut frame) = (Vec::new(), frame);
            for (place, children) in places(steps, 0) {
                for place in std::iter::once(place).chain(children) {
                    let StepKind::Uses(uses) = &place.step.kind else { continue };
                    if frame.depth() < DEEPEST && self.is_fetched(&uses.action.value) {
                        let key = outer.iter().map(|outer| outer.key.as_str()).chain([place.key.as_str()]);
                        let key = key.collect::<Vec<_>>().join(".");
                        frame.action = place.action;
                        found.extend(self.pres_of(progress, &frame, (place.step, uses), key).await?);
                    }
                }
            }
            Ok(found)
        })
    }

    async fn pres_of(
        &self,
        progress: &Progress,
        frame: &Frame,
        (step, uses): (&Step, &Uses),
        key: String,
    ) -> Result<Vec<Post>, String> {
        let own = frame.composite.as_ref().and_then(|composite| composite.root.as_ref());
        let action = self.look_up(&uses.action.value, own, &self.last_patience(), true).await;
        let action = action.map_err(|e| e.to_string())?;
        let name = self.name(progress, frame, step);
        let has_pre = match &action.meta.runs {
            ActionRuns::Node(node) => node.pre.is_some(),
            ActionRuns::Docker(image) => image.pre.is_some(),
            ActionRuns::Composite { .. } => false,
        };
        if !has_pre && !matches!(action.meta.runs, ActionRuns::Composite { .. }) {
            return Ok(Vec::new());
        }
        let going = self.prepare_step(progress, frame, step, name, key, self.voice(1))?;
        let scope = self.step_scope(progress, frame, &going.visible, Some(&going.patience));
        let given = scope.map(&uses.with).map_err(|e| format!("`with` cannot be evaluated: {e}"))?;
        let inputs =
            self.inputs_of(progress, frame, &action.meta, given, &going).map_err(|e| e.to_string())?;
        match &action.meta.runs {
            ActionRuns::Composite { steps } => {
                let inner = composite_frame(frame, &action, &inputs, &going);
                self.pres(progress, inner, steps, Some(&going)).await
            }
            ActionRuns::Node(_) => Ok(node_pre(&action, inputs, &going).into_iter().collect()),
            ActionRuns::Docker(runs) => {
                let program = self.image_program(frame, (&action, runs), inputs, &going);
                let program = program.map_err(|e| e.to_string())?;
                let stage = |entrypoint: &str| PostWork::Image(Box::new(program.with_entrypoint(entrypoint)));
                Ok(pre(&going, runs.pre.as_ref(), runs.post.as_ref(), stage).into_iter().collect())
            }
        }
    }

    /// Runs a stage, as a step of its own.
    pub(super) async fn stage(&self, progress: &mut Progress, post: Post, number: u32) {
        let entry = Entry::begin(number, &post.name, &self.log, &self.reporter, self.now());
        let frame =
            Frame { steps: progress.frame.steps.clone(), action: post.action.clone(), ..Frame::default() };
        let voice = self.voice(number);
        let mut going = self.going(&post.name, &post.key, voice.clone());
        going.visible = progress.env.clone();
        going.visible.extend(post.own.clone());
        going.own.clone_from(&post.own);
        going.continue_on_error = post.continue_on_error.clone();
        let came = match self.stage_holds(progress, &frame, &going, &post.when) {
            Ok(true) => {
                if let Some(then) = post.then {
                    progress.register(*then);
                }
                self.stage_goes(progress, &frame, &post.work, going).await
            }
            Ok(false) => Came::skipped(),
            Err(why) => {
                voice.error(&why);
                Came::failed(why)
            }
        };
        progress.note(&post.name, &came);
        entry.end(came.outcome, came.conclusion, &self.log, &self.reporter, self.now());
    }

    fn stage_holds(
        &self,
        progress: &Progress,
        frame: &Frame,
        going: &Going,
        when: &When,
    ) -> Result<bool, String> {
        if self.stop.now().is_final() {
            return Ok(false);
        }
        match when {
            When::Always => Ok(true),
            When::Success => Ok(self.status(progress) == Status::Success),
            When::If(condition) => {
                let scope = self.step_scope(progress, frame, &going.visible, Some(&going.patience));
                let verdict = condition.evaluate(&scope);
                let verdict =
                    verdict.map_err(|e| format!("`if: {}` cannot be evaluated: {e}", condition.text()))?;
                if !verdict.holds {
                    going.voice.say(&format!("Skipped: {} is false", verdict.explained));
                }
                Ok(verdict.holds)
            }
        }
    }

    async fn stage_goes(
        &self,
        progress: &mut Progress,
        frame: &Frame,
        work: &PostWork,
        mut going: Going,
    ) -> Came {
        let files = match StepFiles::create(&self.place, self.next_serial(), &progress.declared) {
            Ok(files) => files,
            Err(e) => return Came::failed(format!("cannot make the step's environment files: {e}")),
        };
        let result = match work {
            PostWork::BuiltIn { action, uses, inputs } => {
                going.voice.say(&format!("Post job cleanup: {uses}"));
                self.built_in_post(progress, (*action, uses, inputs), &mut going).await
            }
            PostWork::Hook(script) => self.hook(progress, frame, script, &mut going, &files).await,
            PostWork::StartContainers => {
                let started = match self.model() {
                    Some(model) => self.start_containers(progress, model, &going.voice).await,
                    None => Ok(()),
                };
                if started.is_err() {
                    self.contained.store(false, Ordering::Relaxed);
                }
                started
            }
            PostWork::StopContainers => {
                self.stop_containers(&going.voice).await;
                Ok(())
            }
            PostWork::Image(program) => self.run_image(progress, frame, program, &mut going, &files).await,
            PostWork::Node(program) => self.run_node(progress, frame, program, &mut going, &files).await,
        };
        self.collect(progress, frame, going, result, &files).await
    }
}

/// Steps, and those that run in parallel within them.
fn with_parallel(steps: &[Step]) -> Vec<&Step> {
    steps.iter().flat_map(|step| std::iter::once(step).chain(parallel(step))).collect()
}

/// The stage before the job, and the one after it that follows from it.
fn pre(
    going: &Going,
    pre: Option<&(String, Condition)>,
    post: Option<&(String, Condition)>,
    work: impl Fn(&str) -> PostWork,
) -> Option<Post> {
    let stage = |(what, when): &(String, Condition)| Post::of(going, When::If(when.clone()), work(what));
    let then = post.map(|post| Box::new(stage(post)));
    Some(Post { name: format!("Pre {}", going.name), then, ..stage(pre?) })
}

fn node_pre(action: &Found, inputs: Vec<(String, String)>, going: &Going) -> Option<Post> {
    let ActionRuns::Node(node) = &action.meta.runs else { return None };
    let work = |file: &str| PostWork::Node(NodeProgram::of(action, &node.using, file, inputs.clone()));
    pre(going, node.pre.as_ref(), node.post.as_ref(), work)
}
