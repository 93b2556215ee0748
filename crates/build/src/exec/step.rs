//! What all steps have in common: look into the cache, wait for whoever is at it, carry it out, keep what it left.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use windlass_dockerfile::Step;

use super::Session;
use super::stage::{Left, State};
use crate::BuildError;
use crate::error::{FailedStep, excerpt};
use crate::image::{Layer, measured};
use crate::key::{Key, KeyMaker};
use crate::pack::measure;
use crate::progress::Doing;
use crate::store::{Lock, Record, StepLayer};
use crate::writer::Writer;

/// How many lines of a step's output a failure shows.
pub(super) const TAIL: usize = 20;

/// Why a step did not come to its end.
pub(super) struct Failed {
    pub(super) message: String,
    pub(super) log: Vec<String>,
    pub(super) exit: Option<i32>,
}

/// The folder of a new layer, which goes when the step failed: a full disk is not to stay so.
pub(super) fn cleared(folder: PathBuf, outcome: Result<(), Failed>) -> Result<PathBuf, Failed> {
    match outcome {
        Ok(()) => Ok(folder),
        Err(failed) => {
            let _ = crate::store::remove_tree(&folder);
            Err(failed)
        }
    }
}

impl From<String> for Failed {
    fn from(message: String) -> Self {
        Self { message, log: Vec::new(), exit: None }
    }
}

impl From<BuildError> for Failed {
    fn from(error: BuildError) -> Self {
        error.to_string().into()
    }
}

impl Session {
    /// Gives what a step left before, if the cache has it.
    pub(super) fn known(&self, state: &State, key: Key, name: &str) -> Option<Left> {
        if state.no_cache {
            return None;
        }
        let record = self.store.record(key)?;
        self.reporter.cached(name);
        self.counted(true);
        let left = self.left(key, record);
        self.entries.add(key, left.created, left.layer.clone());
        Some(left)
    }

    fn left(&self, key: Key, record: Record) -> Left {
        let layer = record.layer.map(|layer| {
            let folder = match &layer.step {
                Some(step) => self.store.step_folder(step),
                None => self.store.layer_folder(&layer.diff_id, self.sources.style),
            };
            Arc::new(Layer {
                folder,
                measured: measured(layer.diff_id, layer.size),
                step: layer.step,
                blob: layer.blob,
                remote: layer.image,
                record: Some(key),
            })
        });
        Left { layer, created: record.created }
    }

    /// Carries a step out, unless somebody else did so meanwhile. `work` gives the folder of the new layer.
    pub(super) async fn perform<F>(
        &self,
        state: &State,
        key: Key,
        (name, step): (&str, &Step),
        work: impl FnOnce(Doing) -> F,
    ) -> Result<Left, BuildError>
    where
        F: Future<Output = (Doing, Result<PathBuf, Failed>)>,
    {
        let lock = self.store.lock(&format!("step-{}", key.hex())).await?;
        if let Some(left) = self.known(state, key, name) {
            return Ok(left);
        }
        self.counted(false);
        let (doing, outcome) = work(self.reporter.start(name)).await;
        let kept = match outcome {
            Ok(folder) => self.keep(key, folder, lock).map_err(Failed::from),
            Err(failed) => Err(failed),
        };
        match kept {
            Ok(left) => {
                doing.done();
                self.entries.add(key, left.created, left.layer.clone());
                Ok(left)
            }
            Err(failed) => {
                doing.failed(&failed.message);
                Err(self.failure(name, step, failed))
            }
        }
    }

    /// Takes a new layer's folder over. What its tar hashes to is reckoned out while the build goes on.
    fn keep(&self, key: Key, folder: PathBuf, lock: Lock) -> Result<Left, BuildError> {
        let created = self.store.now();
        let io = |doing: &str| {
            let doing = format!("{doing} {}", folder.display());
            move |e| BuildError::io(doing, e)
        };
        crate::writer::make_readable(&folder).map_err(io("reading"))?;
        let empty = fs::read_dir(&folder).map_err(io("reading"))?.next().is_none();
        if empty {
            let _ = fs::remove_dir(&folder);
            self.store.keep_record(key, &Record { layer: None, created })?;
            return Ok(Left { layer: None, created });
        }
        let mut step = key.hex();
        let mut place = self.store.step_folder(&step);
        if place.exists() {
            // Another build may use what is there; this one was told not to.
            let mut random = [0; 6];
            self.store.entropy().fill(&mut random);
            step = format!("{step}-{}", hex::encode(random));
            place = self.store.step_folder(&step);
        }
        fs::rename(&folder, &place).map_err(io("keeping"))?;
        let (store, rules) = (self.store.clone(), self.rules);
        let (from, name) = (place.clone(), step.clone());
        let reckoned = tokio::task::spawn_blocking(move || {
            let packed = measure(&from, rules).map_err(|e| format!("packing {}: {e}", from.display()))?;
            let (diff_id, size) = (packed.digest.clone(), packed.size);
            let layer = StepLayer { diff_id, size, step: Some(name), blob: None, image: None };
            let record = Record { layer: Some(layer), created };
            store.keep_record(key, &record).map_err(|e| e.to_string())?;
            drop(lock);
            Ok(packed)
        });
        let measured = reckoned.map(|done| done.unwrap_or_else(|e| Err(e.to_string()))).boxed().shared();
        let layer =
            Layer { folder: place, measured, step: Some(step), blob: None, remote: None, record: None };
        Ok(Left { layer: Some(Arc::new(layer)), created })
    }

    pub(super) fn failure(&self, name: &str, step: &Step, failed: Failed) -> BuildError {
        let (file, text) = &self.file;
        let place = step.span.map(|span| {
            // A span ends where the next thing begins: at a line's start that line is not meant.
            let end = span.end;
            let last = if end.column <= 1 && end.line > span.start.line { end.line - 1 } else { end.line };
            excerpt(file, text, span.start.line, last)
        });
        let mask = |text: &str| self.reporter.secrets().mask(text);
        BuildError::Step(Box::new(FailedStep {
            name: mask(name),
            message: mask(&failed.message),
            log: failed.log,
            excerpt: place,
            exit: failed.exit,
        }))
    }

    /// `WORKDIR`: the folder is there afterwards.
    pub(super) async fn folder(
        &self,
        state: &mut State,
        path: &str,
        step: &Step,
        name: &str,
    ) -> Result<Left, BuildError> {
        let key = self.step_key("folder").key(state.key).text(path).done();
        let left = match self.known(state, key, name) {
            Some(left) => left,
            None => {
                let below = self.stack(state).await?;
                let work = |doing: Doing| async {
                    let folder = self.store.fresh("upper");
                    let at = folder.clone();
                    let named = crate::tree::relative(path.as_ref());
                    let made = tokio::task::spawn_blocking(move || {
                        let mut writer = Writer::new(at, below)?;
                        let real = crate::tree::follow(&writer, &named)?;
                        let new = writer.folders(&real, 0o755, (0, 0))?;
                        let root = writer.done()?;
                        if !new {
                            // The folders above it were only looked at.
                            crate::store::remove_tree(&root)?;
                            fs::create_dir(&root)?;
                        }
                        Ok::<_, std::io::Error>(())
                    });
                    let made = made.await.unwrap_or_else(|e| Err(std::io::Error::other(e)));
                    let outcome = made.map_err(|e| Failed::from(format!("mkdir {path}: {e}")));
                    (doing, cleared(folder, outcome))
                };
                self.perform(state, key, (name, step), work).await?
            }
        };
        state.key = key;
        Ok(left)
    }

    /// A key that what holds for the whole build goes into.
    pub(super) fn step_key(&self, kind: &str) -> KeyMaker {
        let clamp = self.rules.clamp.map(|clamp| clamp.to_string()).unwrap_or_default();
        KeyMaker::new(kind).text(&clamp).text(&format!("{:?}", self.sources.style))
    }

    /// How many steps there were, and how many of them had been done before.
    pub(crate) fn counts(&self) -> (u32, u32) {
        (self.steps.load(Ordering::Relaxed), self.cached.load(Ordering::Relaxed))
    }
}
