//! A job's last steps: what actions left to be done, its outputs, its address.

use std::collections::BTreeMap;

use windlass_api::Conclusion;
use windlass_workflow::model::Job as JobModel;

use super::{Entry, Job, JobEnd, Progress};
use crate::context::{Frame, StepScope};

/// The most that a job's outputs may come to, in bytes.
const LARGEST_OUTPUTS: usize = 1 << 20;

impl Job {
    /// "Complete job": outputs, environment address, and the end of everything in the sandbox.
    pub(super) async fn complete(&self, progress: &mut Progress, model: &JobModel, number: u32) -> JobEnd {
        let entry = Entry::begin(number, "Complete job", &self.log, &self.reporter, self.now());
        let voice = self.voice(number);
        let stop = self.stop.now();
        let outputs = self.outputs(progress, model).unwrap_or_else(|why| {
            voice.error(&why);
            progress.failed = true;
            progress.reason.get_or_insert(why);
            BTreeMap::new()
        });
        let environment_url = self.environment_url(progress, model);
        voice.say("Cleaning up: everything that the job left running is ended, everything it wrote outside of artifacts, caches and images is thrown away.");
        self.place.end().await;
        let (conclusion, reason) = match (stop.is_stop(), progress.failed) {
            (true, _) => (Conclusion::Cancelled, stop.reason().map(str::to_owned)),
            (false, true) => (Conclusion::Failure, progress.reason.take()),
            (false, false) => (Conclusion::Success, None),
        };
        let reason = reason.map(|reason| self.log.masked(&reason));
        if let (Conclusion::Cancelled, Some(reason)) = (conclusion, &reason) {
            voice.error(reason);
        }
        entry.end(Conclusion::Success, Conclusion::Success, &self.log, &self.reporter, self.now());
        JobEnd { conclusion, reason, outputs, environment_url }
    }

    fn scope<'a>(&'a self, progress: &'a Progress, frame: &'a Frame) -> StepScope<'a> {
        StepScope {
            contexts: &self.contexts,
            frame,
            env: &progress.env,
            job: self.status(progress),
            place: None,
        }
    }

    fn outputs(&self, progress: &Progress, model: &JobModel) -> Result<BTreeMap<String, String>, String> {
        let scope = self.scope(progress, &progress.frame);
        let all =
            scope.map(&model.outputs).map_err(|e| format!("the job's outputs cannot be evaluated: {e}"))?;
        let mut kept = BTreeMap::new();
        for (name, value) in all {
            if value.is_empty() {
                continue;
            }
            if self.log.holds_secret(&value) {
                self.log.say(&format!("##[warning]Skip output '{name}' since it may contain secret."));
                continue;
            }
            kept.insert(name, value);
        }
        let size: usize = kept.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size > LARGEST_OUTPUTS {
            return Err(format!("the job's outputs come to {size} bytes; {LARGEST_OUTPUTS} are the most"));
        }
        Ok(kept)
    }

    fn environment_url(&self, progress: &Progress, model: &JobModel) -> Option<String> {
        let template = model.environment.as_ref()?.url.as_ref()?;
        match self.scope(progress, &progress.frame).text(&template.value) {
            Ok(url) => Some(self.log.masked(&url)).filter(|url| !url.is_empty()),
            Err(e) => {
                self.log.say(&format!("##[warning]The environment's url cannot be evaluated: {e}"));
                None
            }
        }
    }
}
