//! Carries a plan out: each stage is a task, its steps one after the other; a stage waits for others only where it takes
//! something of them.

mod fetch;
pub(crate) mod foreign;
mod mounts;
mod run;
mod stage;
mod step;
mod transfer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;
use windlass_dockerfile::plan::{Plan, StageRun};
use windlass_dockerfile::{Diagnostic, Platform};
use windlass_runtime::Runtime;

use crate::cache::Entries;
use crate::error::Refused;
use crate::image::Image;
use crate::key::Key;
use crate::pack::Rules;
use crate::progress::Reporter;
use crate::request::BuildRequest;
use crate::sources::Sources;
use crate::store::Store;
use crate::tree::Local;
use crate::{BuildError, context};

/// A stage that is done.
#[derive(Clone)]
pub(crate) struct StageDone {
    pub(crate) image: Arc<Image>,
    pub(crate) key: Key,
    run: Arc<StageRun>,
}

/// One build under way.
pub(crate) struct Session {
    pub(crate) store: Arc<Store>,
    pub(crate) sources: Sources,
    pub(crate) request: BuildRequest,
    pub(crate) plan: Plan,
    pub(crate) reporter: Reporter,
    pub(crate) rules: Rules,
    /// The Dockerfile's name and text, for messages.
    pub(crate) file: (String, String),
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) context: OnceCell<Arc<Local>>,
    pub(crate) folder: context::Opened,
    pub(crate) named: BTreeMap<String, OnceCell<Arc<Local>>>,
    stages: Vec<watch::Sender<Option<StageDone>>>,
    pub(crate) steps: AtomicU32,
    pub(crate) cached: AtomicU32,
    /// What was done or found done, for a cache that is written elsewhere.
    pub(crate) entries: Arc<Entries>,
}

/// What a session is made of.
pub(crate) struct Parts {
    pub(crate) store: Arc<Store>,
    pub(crate) sources: Sources,
    pub(crate) request: BuildRequest,
    pub(crate) plan: Plan,
    pub(crate) reporter: Reporter,
    pub(crate) file: (String, String),
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) folder: context::Opened,
    /// One list for all platforms of a build.
    pub(crate) entries: Arc<Entries>,
}

impl Session {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { store, sources, request, plan, reporter, file, runtime, folder, entries } = parts;
        let stages = plan.stages().iter().map(|_| watch::channel(None).0).collect();
        let named = request.contexts.keys().map(|name| (name.clone(), OnceCell::new())).collect();
        Self {
            rules: Rules::new(request.source_date_epoch),
            store,
            sources,
            request,
            plan,
            reporter,
            file,
            runtime,
            context: OnceCell::new(),
            folder,
            named,
            stages,
            steps: AtomicU32::new(0),
            cached: AtomicU32::new(0),
            entries,
        }
    }

    /// Builds the target and what it needs.
    pub(crate) async fn build(self: &Arc<Self>) -> Result<StageDone, BuildError> {
        let mut tasks = JoinSet::new();
        for stage in self.plan.order() {
            let session = self.clone();
            tasks.spawn(async move { session.stage(stage).await });
        }
        let target = self.plan.target();
        let mut done = self.stages[target].subscribe();
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    Some(Ok(Ok(()))) => {}
                    // The rest ends with the set: their sandboxes are killed.
                    Some(Ok(Err(error))) => return Err(error),
                    Some(Err(error)) => return Err(BuildError::Store(format!("a stage ended: {error}"))),
                    None => break,
                },
                _ = done.wait_for(Option::is_some) => break,
            }
        }
        // All that is needed is needed by the target, so its end is the end of all.
        let done = self.stages[target].borrow().clone();
        done.ok_or_else(|| BuildError::Store("the target did not come to its end".into()))
    }

    /// Waits for a stage.
    pub(crate) async fn done(&self, stage: usize) -> Result<StageDone, BuildError> {
        let missing = || BuildError::Request(format!("there is no stage {stage} to copy from"));
        let planned = self.plan.stages().get(stage).ok_or_else(missing)?;
        if !planned.needed {
            let name = planned.name.clone().unwrap_or_else(|| stage.to_string());
            let why = format!(
                "the base image's ONBUILD copies from the stage `{name}`, which nothing else needs: name it in a COPY --from too"
            );
            return Err(BuildError::Request(why));
        }
        let mut waiting = self.stages[stage].subscribe();
        let found = waiting.wait_for(Option::is_some).await;
        let found = found.map_err(|_| missing())?.clone();
        found.ok_or_else(missing)
    }

    fn finish(&self, stage: usize, done: StageDone) {
        self.stages[stage].send_replace(Some(done));
    }

    pub(crate) fn refused(&self, finding: Diagnostic) -> BuildError {
        let (file, text) = self.file.clone();
        BuildError::Dockerfile(Refused { file, text, findings: vec![finding] })
    }

    pub(crate) fn counted(&self, cached: bool) {
        self.steps.fetch_add(1, Ordering::Relaxed);
        if cached {
            self.cached.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The platform of the build itself.
    pub(crate) fn platform(&self) -> &Platform {
        &self.plan.options().platform
    }
}
