//! Frames: the jobs of the run's own workflow, and those of each workflow that a job of it calls. A key means a job
//! only within its frame.

use std::collections::HashMap;
use std::sync::Arc;

use windlass_kernel::JobId;
use windlass_workflow::model::Workflow;

use crate::run::parse;
use crate::{Conclusion, Job, Run};

/// The job whose call made the jobs of a frame; none for the run's own workflow.
pub(crate) type Frame = Option<JobId>;

/// There is no such call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone;

impl Run {
    /// The place of the workflow that the jobs of a frame are of; none for the run's own.
    pub(crate) fn source(&self, frame: Frame) -> Result<Option<usize>, Gone> {
        let Some(id) = frame else { return Ok(None) };
        let call = self.job(id).and_then(|job| job.call.as_ref()).ok_or(Gone)?;
        Ok(Some(call.source))
    }

    /// The file and the text of a source.
    pub(crate) fn text_of(&self, source: Option<usize>) -> Option<(&str, &str)> {
        match source {
            None => Some((&self.workflow.file, &self.workflow.text)),
            Some(place) => self.called.get(place).map(|called| (called.file.as_str(), called.text.as_str())),
        }
    }

    /// The workflow that the jobs of a frame are of.
    pub(crate) fn model_of(&self, frame: Frame) -> Option<Workflow> {
        let (file, text) = self.text_of(self.source(frame).ok()?)?;
        parse(file, text).0
    }

    /// The jobs of a key within a frame: the legs of its matrix.
    pub(crate) fn legs<'a>(&'a self, frame: Frame, key: &'a str) -> impl Iterator<Item = &'a Job> {
        self.jobs.iter().filter(move |job| job.parent == frame && job.key.eq_ignore_ascii_case(key))
    }

    /// The jobs of a frame.
    pub(crate) fn within(&self, frame: Frame) -> impl Iterator<Item = &Job> {
        self.jobs.iter().filter(move |job| job.parent == frame)
    }

    /// How the jobs of a key ended together; `None` while one of them has not, or where there is none.
    pub(crate) fn result_in(&self, frame: Frame, key: &str) -> Option<Conclusion> {
        together(self.legs(frame, key))
    }

    /// The calls that a job stands below, its own first.
    pub(crate) fn callers<'a>(&'a self, job: &'a Job) -> impl Iterator<Item = &'a Job> {
        std::iter::successors(job.parent.and_then(|id| self.job(id)), |caller| {
            caller.parent.and_then(|id| self.job(id))
        })
    }
}

/// How jobs ended together: a failure, then a cancellation, then a success; skipped if all were.
pub(crate) fn together<'a>(jobs: impl Iterator<Item = &'a Job>) -> Option<Conclusion> {
    let results: Option<Vec<Conclusion>> = jobs.map(Job::result).collect();
    let results = results.filter(|results| !results.is_empty())?;
    let worst = [Conclusion::Failure, Conclusion::Cancelled, Conclusion::Success];
    Some(worst.into_iter().find(|c| results.contains(c)).unwrap_or(Conclusion::Skipped))
}

/// The workflows of one run that were read already: see [`crate::step_with`].
#[derive(Clone, Debug, Default)]
pub struct Models(HashMap<Option<usize>, Option<Arc<Workflow>>>);

impl Models {
    /// The run's own workflow is known: its text read so.
    pub fn knowing(workflow: Arc<Workflow>) -> Self {
        Self(HashMap::from([(None, Some(workflow))]))
    }

    /// The run's own workflow, if it is known.
    pub(crate) fn own(&self) -> Option<Arc<Workflow>> {
        self.0.get(&None).cloned().flatten()
    }

    /// The workflow that the jobs of a frame are of.
    pub(crate) fn of(&mut self, run: &Run, frame: Frame) -> Option<Arc<Workflow>> {
        let source = run.source(frame).ok()?;
        self.at(run, source)
    }

    /// The workflow of a source.
    pub(crate) fn at(&mut self, run: &Run, source: Option<usize>) -> Option<Arc<Workflow>> {
        let read = || run.text_of(source).and_then(|(file, text)| parse(file, text).0).map(Arc::new);
        self.0.entry(source).or_insert_with(read).clone()
    }
}
