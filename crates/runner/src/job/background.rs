//! Steps in the background: `background`, `wait`, `wait-all`, `cancel`, `parallel`.
//!
//! Such a step works on a copy of what the job is like when it is reached. What it brought about (its outputs, variables,
//! folders, its log) becomes part of the job when it is waited for: until then nobody sees it half done.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use windlass_api::Conclusion;
use windlass_workflow::model::{Spanned, Step, StepKind};

use super::step::{Came, remember};
use super::{Entry, Job, Progress};
use crate::matcher::Mark;
use crate::place::{Interruption, PlaceError};
use crate::stop::{Stop, StopSwitch};

/// How many run at once; others wait for a place.
const AT_ONCE: usize = 10;

type Boxed<'a> = Pin<Box<dyn Future<Output = Ended<'a>> + Send + 'a>>;

/// The background steps of a job.
pub(super) struct Background<'a> {
    job: &'a Job,
    running: FuturesUnordered<Boxed<'a>>,
    queued: VecDeque<(String, Boxed<'a>)>,
    /// Ended, not waited for yet.
    ended: Vec<Ended<'a>>,
    /// In the order in which they began.
    started: Vec<Started<'a>>,
}

/// A step that was begun.
struct Started<'a> {
    key: String,
    step: &'a Step,
    switch: StopSwitch,
    waited: bool,
}

/// A step that ended, and what it brought about.
struct Ended<'a> {
    key: String,
    step: &'a Step,
    came: Came,
    entry: Option<Entry>,
    name: String,
    /// The job as the step left it, and as it found it.
    progress: Progress,
    found: Arc<BTreeMap<String, String>>,
    paths: usize,
    spool: Option<PathBuf>,
    /// The problem matchers that it found in force.
    matchers: Vec<Mark>,
}

/// A step, its number in the list, and its key.
#[derive(Clone)]
pub(super) struct Place<'a> {
    pub(super) step: &'a Step,
    pub(super) number: u32,
    pub(super) key: String,
    /// `github.action`
    pub(super) action: String,
}

impl Progress {
    /// A copy for a step in the background.
    fn copy(&self, switch: StopSwitch) -> Self {
        let mut frame = self.frame.clone();
        frame.own = switch;
        Self {
            env: self.env.clone(),
            paths: self.paths.clone(),
            failed: self.failed,
            reason: None,
            posts: Vec::new(),
            states: self.states.clone(),
            matchers: self.matchers.clone(),
            declared: self.declared.clone(),
            frame,
        }
    }
}

impl<'a> Background<'a> {
    /// None yet.
    pub(super) fn of(job: &'a Job) -> Self {
        let (running, queued) = (FuturesUnordered::new(), VecDeque::new());
        Self { job, running, queued, ended: Vec::new(), started: Vec::new() }
    }

    /// Does something of the foreground; the background goes on meanwhile.
    pub(super) async fn alongside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                Some(ended) = self.running.next(), if !self.running.is_empty() => self.take(ended),
            }
        }
    }

    /// Begins a step.
    pub(super) fn begin(&mut self, progress: &Progress, place: Place<'a>) {
        let switch = StopSwitch::default();
        let (key, step) = (place.key.clone(), place.step);
        let work = in_background(self.job, progress.copy(switch.clone()), place);
        if self.running.len() < AT_ONCE {
            self.running.push(work);
        } else {
            self.queued.push_back((key.clone(), work));
        }
        self.started.push(Started { key, step, switch, waited: false });
    }

    fn take(&mut self, ended: Ended<'a>) {
        self.ended.push(ended);
        while self.running.len() < AT_ONCE
            && let Some((_, work)) = self.queued.pop_front()
        {
            self.running.push(work);
        }
    }

    /// A step that waits for others, cancels one, or runs some at once.
    pub(super) async fn control(
        &mut self,
        progress: &mut Progress,
        place: Place<'a>,
        children: Vec<Place<'a>>,
    ) {
        let Place { step, number, key, action } = place;
        if self.job.stop.now().is_final() {
            return;
        }
        progress.frame.action = action;
        let name = self.job.name(progress, &progress.frame, step);
        let entry = Entry::begin(number, &name, &self.job.log, &self.job.reporter, self.job.now());
        let voice = self.job.voice(number);
        let keys = match &step.kind {
            StepKind::Wait(ids) => self.called(ids),
            StepKind::Cancel(id) => {
                let keys = self.called(std::slice::from_ref(id));
                self.cancel(&keys);
                keys
            }
            StepKind::Parallel(_) => {
                let keys = children.iter().map(|child| child.key.clone()).collect();
                for child in children {
                    self.begin(progress, child);
                }
                keys
            }
            _ => self.started.iter().map(|started| started.key.clone()).collect(),
        };
        let result = self.wait(progress, &keys).await;
        let mut going = self.job.going(&name, &key, voice);
        going.visible.clone_from(&progress.env);
        going.continue_on_error = step.continue_on_error.clone();
        let frame = std::mem::take(&mut progress.frame);
        let came = self.job.judge(progress, &frame, going, result);
        progress.frame = frame;
        progress.note(&name, &came);
        entry.end(came.outcome, came.conclusion, &self.job.log, &self.job.reporter, self.job.now());
        remember(&mut progress.frame, step, came);
    }

    /// Waits for all that nobody waited for. What failed fails the job.
    pub(super) async fn rest(&mut self, progress: &mut Progress) {
        let keys: Vec<_> = self.started.iter().map(|started| started.key.clone()).collect();
        if let Err(PlaceError::Failed(why)) = self.wait(progress, &keys).await {
            progress.failed = true;
            progress.reason.get_or_insert(why);
        }
    }

    /// The steps of these ids.
    fn called(&self, ids: &[Spanned<String>]) -> Vec<String> {
        let named = |started: &&Started<'_>| {
            let id = started.step.id.as_ref();
            id.is_some_and(|id| ids.iter().any(|wanted| wanted.value.eq_ignore_ascii_case(&id.value)))
        };
        self.started.iter().filter(named).map(|started| started.key.clone()).collect()
    }

    fn cancel(&mut self, keys: &[String]) {
        for started in self.started.iter().filter(|started| keys.contains(&started.key)) {
            started.switch.set(Stop::Cancelled("a step of the job cancelled it".to_owned()));
        }
        // One that still waits for its turn ends without one; the others go on waiting.
        let (ends, waits) =
            std::mem::take(&mut self.queued).into_iter().partition(|(key, _)| keys.contains(key));
        self.queued = waits;
        let ends: VecDeque<(String, Boxed<'a>)> = ends;
        self.running.extend(ends.into_iter().map(|(_, work)| work));
    }

    async fn wait(&mut self, progress: &mut Progress, keys: &[String]) -> Result<(), PlaceError> {
        let mut result = Ok(());
        for key in keys {
            let Some(started) = self.started.iter_mut().find(|s| s.key == *key && !s.waited) else {
                continue;
            };
            started.waited = true;
            let cancelled = started.switch.now().is_stop();
            let ended = loop {
                if let Some(at) = self.ended.iter().position(|ended| ended.key == *key) {
                    break self.ended.swap_remove(at);
                }
                match self.running.next().await {
                    Some(ended) => self.take(ended),
                    None => return Err(PlaceError::Failed("a background step was lost".to_owned())),
                }
            };
            let (conclusion, why) = self.job.merge(progress, ended);
            let worse = match conclusion {
                Conclusion::Failure => Err(PlaceError::Failed(why)),
                Conclusion::Cancelled if !cancelled => Err(PlaceError::Interrupted(Interruption::Cancelled)),
                _ => Ok(()),
            };
            result = result.and(worse);
        }
        result
    }
}

impl Job {
    /// Makes what a background step brought about part of the job. Gives how it ended, and why.
    fn merge(&self, progress: &mut Progress, ended: Ended<'_>) -> (Conclusion, String) {
        let Ended { step, came, entry, name, progress: own, found, paths, spool, matchers, .. } = ended;
        let begin = self.log.position();
        if let Some(spool) = spool {
            self.log.take_in(&spool);
            let _ = std::fs::remove_file(&spool);
        }
        if let Some(entry) = entry {
            entry.stands(begin, self.log.position(), &self.reporter);
        }
        progress.env.extend(own.env.into_iter().filter(|(name, value)| found.get(name) != Some(value)));
        progress.paths.extend(own.paths.into_iter().skip(paths));
        progress.states.extend(own.states);
        progress.matchers.follow(own.matchers, &matchers);
        own.posts.into_iter().for_each(|post| progress.register(post));
        let mut why = came.reason.clone().unwrap_or_else(|| "it failed".to_owned());
        let mut conclusion = came.conclusion;
        if let Err(conflict) = progress.declared.join(&own.declared) {
            (conclusion, why) = (Conclusion::Failure, conflict);
        }
        remember(&mut progress.frame, step, came);
        (conclusion, format!("the background step `{name}` failed: {why}"))
    }
}

fn in_background<'a>(job: &'a Job, mut progress: Progress, place: Place<'a>) -> Boxed<'a> {
    Box::pin(async move {
        let Place { step, number, key, action } = place;
        let found = Arc::new(progress.env.clone());
        let paths = progress.paths.len();
        let matchers = progress.matchers.marks();
        let mut voice = job.voice(number);
        // Its lines come into the job's log in one piece.
        let spool = job.place.outgoing(&format!("step-{number}.log")).ok();
        let beside = spool.as_ref().and_then(|spool| job.log.beside(spool).ok());
        let spool = spool.filter(|_| beside.is_some());
        if let Some(beside) = beside {
            voice.log = beside;
        }
        let mut frame = std::mem::take(&mut progress.frame);
        frame.action = action;
        let name = job.name(&progress, &frame, step);
        let (came, entry) = job
            .told_step(&mut progress, &mut frame, step, (number, key.clone(), name.clone()), voice.clone())
            .await;
        voice.log.flush();
        let entry = entry.map(|entry| entry.ended(came.outcome, came.conclusion, &job.reporter, job.now()));
        Ended { key, step, came, entry, name, progress, found, paths, spool, matchers }
    })
}

/// All steps of a job with their numbers, from `first`; behind each those that it runs in parallel.
pub(super) fn places<'a>(steps: &'a [Step], first: u32) -> Vec<(Place<'a>, Vec<Place<'a>>)> {
    let mut number = first;
    let mut next = |step: &'a Step, key: String, action: &str| {
        number += 1;
        Place { step, number: number - 1, key, action: action.to_owned() }
    };
    let names = super::step_names(steps);
    let mut places = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let place = next(step, index.to_string(), &names[index]);
        let inner = super::parallel(step);
        let inner_names = super::step_names(inner);
        let children = inner.iter().enumerate();
        let children =
            children.map(|(n, child)| next(child, format!("{index}.{n}"), &inner_names[n])).collect();
        places.push((place, children));
    }
    places
}

/// Whether the job's other steps do not wait for it.
pub(super) fn goes_behind(step: &Step) -> bool {
    step.background && matches!(step.kind, StepKind::Run(_) | StepKind::Uses(_))
}

/// Whether it waits for others, cancels one, or runs some at once.
pub(super) fn controls(step: &Step) -> bool {
    !matches!(step.kind, StepKind::Run(_) | StepKind::Uses(_))
}
