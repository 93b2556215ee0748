//! What the caller of a local run leaves out of it: jobs that nobody asked for, legs of other values.

use windlass_kernel::JobId;
use windlass_pipeline::{Conclusion, Job, Report, RunEvent};

use super::{Shell, drive::FOR_EVER};
use crate::local::place::Places;

impl Shell {
    /// A job could begin: it waits for its turn, is passed over, or fails because nobody serves its labels.
    pub(super) fn queued(&mut self, at: usize, id: JobId, labels: &[String]) {
        let Some(job) = self.runs[at].run.job(id) else { return };
        let (key, fits) = (job.key.clone(), self.fits(job));
        let count = self.runs[at].legs.entry(key).or_default();
        if !fits {
            count.0 += 1;
            self.end_at_once(at, id, Conclusion::Success, None);
            self.runs[at].run.jobs.retain(|job| job.id != id);
            return;
        }
        count.1 += 1;
        match self.plan.places.of(labels) {
            Ok(_) if self.dry => self.end_at_once(at, id, Conclusion::Success, None),
            Ok(_) => self.ready.push_back((at, id)),
            // What comes after it is decided all the same.
            Err(label) if self.dry => {
                self.missed = true;
                let why = Places::unserved(label);
                self.end_at_once(at, id, Conclusion::Success, Some(why));
            }
            Err(label) => {
                let why = Places::unserved(label);
                self.end_at_once(at, id, Conclusion::Failure, Some(why));
            }
        }
    }

    /// Whether a job's leg has the values that were asked for. One that does not know a key is not meant by it.
    fn fits(&self, job: &Job) -> bool {
        let Some(leg) = &job.leg else { return true };
        self.plan.request.matrix.iter().all(|(key, wanted)| {
            let entries = leg.values.as_object().into_iter().flatten();
            let mut values =
                entries.filter(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value);
            values.next().is_none_or(|value| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                wanted.contains(&text)
            })
        })
    }

    /// A job that ends without having run.
    pub(super) fn end_at_once(
        &mut self,
        at: usize,
        job: JobId,
        conclusion: Conclusion,
        reason: Option<String>,
    ) {
        self.happen(at, RunEvent::Leased { job, runner: "here".to_owned(), until: FOR_EVER });
        let Some(hand_out) = self.runs[at].run.job(job).map(|job| job.tries) else { return };
        let outputs = std::collections::BTreeMap::new();
        let report = Report::Finished { conclusion, reason, outputs, environment_url: None };
        self.happen(at, RunEvent::Reported { job, hand_out, seq: 1, at: self.clock.now(), report });
    }

    /// A run is over: if `--matrix` left nothing of a job, that is no success.
    pub(super) fn adjust_end(&mut self, at: usize) {
        let empty = self.runs[at].legs.iter().filter(|(_, (passed, ran))| *passed > 0 && *ran == 0);
        let empty: Vec<String> = empty.map(|(key, _)| key.clone()).collect();
        for key in empty {
            self.missed = true;
            self.audience.note(&format!("no leg of the job `{key}` has the values that --matrix asks for"));
        }
    }
}
