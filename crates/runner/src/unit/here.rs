//! A job in this very process: see [`crate::local`].

use std::sync::Arc;

use windlass_kernel::Clock;
use windlass_secrets::Masker;

use super::{Ground, Unit};
use crate::control::Control;
use crate::folder::JobFolder;
use crate::job::JobEnd;
use crate::local::{Listener, Local, LocalJob};
use crate::log::Log;
use crate::place::Manner;
use crate::report::Reporter;
use crate::stop::StopSwitch;

/// Carries out a job whose folder is there.
pub(crate) async fn here(
    job: LocalJob,
    control: Arc<dyn Control>,
    listener: Arc<dyn Listener>,
    stop: StopSwitch,
    clock: Arc<dyn Clock>,
) -> JobEnd {
    let manner = Manner { plain: job.plain, small: job.small(), tools: job.tools() };
    let assignment = job.assignment;
    let secrets = assignment.secrets.values().map(|secret| secret.expose().as_str());
    let masker = Masker::new(secrets.chain([assignment.token.expose().as_str()]));
    let log = Log::heard(listener.clone(), masker, clock.clone(), job.settings.log_limit);
    let reporter = Reporter::heard(listener.clone(), clock.clone());
    let local = Local {
        workflow: job.workflow,
        containers: job.containers,
        manner,
        trees: job.trees,
        env: Arc::new(job.env),
        asked: job.ask.then_some(listener),
    };
    let unit = Unit {
        folder: JobFolder::at(&job.folder),
        exe: job.exe,
        settings: job.settings,
        clock,
        local: Some(local),
    };
    let ground = Ground { sandboxes: Ok(job.sandboxes), ready: None };
    let (end, job) = Box::pin(unit.job(assignment, ground, control, &log, &reporter, &stop)).await;
    log.flush();
    super::leave(job).await;
    end
}
