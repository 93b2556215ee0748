//! The workflows that a run calls: found before it is made, all of them, so that what cannot be called is said before
//! anything runs. [`Loading`] says which files are wanted and checks what was found; somebody else reads them.

mod check;

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use windlass_workflow::model::{Workflow, WorkflowRef};

use crate::Finding;
use crate::run::parse;

/// The most workflows that a run may call, directly or not.
pub const MAX_CALLED: usize = 50;
/// The most levels of calls, with the run's own workflow.
pub const MAX_LEVELS: usize = 10;
/// The most text that all called workflows together may have, in bytes.
const MAX_TEXT: usize = 4 << 20;

/// A workflow that a run calls, as it stood when the run was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalledWorkflow {
    /// The repository that it is from, as `owner/name`; none for the run's own.
    pub repository: Option<String>,
    /// The ref that it was named by; none for the run's own commit.
    pub git_ref: Option<String>,
    /// The commit that it is from.
    pub sha: String,
    /// The file, from the repository's root.
    pub file: String,
    /// Its text.
    pub text: String,
    /// The places of what it calls itself, by the text behind `uses`.
    pub calls: BTreeMap<String, usize>,
}

/// A file that a run needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wanted {
    /// The repository, as `owner/name`; none for the run's own.
    pub repository: Option<String>,
    /// The branch, tag or commit; none for the run's own commit.
    pub git_ref: Option<String>,
    /// The file, from the repository's root.
    pub path: String,
}

/// A file that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The commit that it is from.
    pub sha: String,
    /// Its text.
    pub text: String,
}

/// What a run calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The workflows.
    pub workflows: Vec<CalledWorkflow>,
    /// The places of what the run's own workflow calls, by the text behind `uses`.
    pub calls: BTreeMap<String, usize>,
    /// What is wrong with the calls: with an error among these the run does not start.
    pub findings: Vec<Finding>,
}

/// Finds all that a workflow calls. Ask for [`Loading::wanted`] and answer with [`Loading::answer`] until nothing is
/// wanted any more.
#[derive(Debug)]
pub struct Loading {
    root: Option<Workflow>,
    /// Those that were found, and what they say.
    found: Vec<(CalledWorkflow, Option<Workflow>)>,
    /// Their places, or why there is none.
    known: BTreeMap<Wanted, Result<usize, String>>,
    open: VecDeque<Wanted>,
}

impl Loading {
    /// What a workflow's text calls.
    pub fn new(file: &str, text: &str) -> Self {
        let root = parse(file, text).0;
        let mut loading = Self { root, found: Vec::new(), known: BTreeMap::new(), open: VecDeque::new() };
        loading.ask_for(None);
        loading
    }

    /// The next file that is wanted.
    pub fn wanted(&mut self) -> Option<Wanted> {
        while let Some(next) = self.open.pop_front() {
            if self.known.contains_key(&next) {
                continue;
            }
            if self.found.len() < MAX_CALLED {
                return Some(next);
            }
            let why = format!("a run may call {MAX_CALLED} workflows, and this one calls more");
            self.known.insert(next, Err(why));
        }
        None
    }

    /// The file that was wanted, or why there is none, in words.
    pub fn answer(&mut self, wanted: Wanted, found: Result<Found, String>) {
        let texts: usize = self.found.iter().map(|(called, _)| called.text.len()).sum();
        let found = found.and_then(|found| {
            let fits = texts + found.text.len() <= MAX_TEXT;
            fits.then_some(found)
                .ok_or_else(|| "the called workflows are larger than 4 MiB together".to_owned())
        });
        let place = found.map(|found| {
            let model = parse(&wanted.path, &found.text).0;
            let called = CalledWorkflow {
                repository: wanted.repository.clone(),
                git_ref: wanted.git_ref.clone(),
                sha: found.sha,
                file: wanted.path.clone(),
                text: found.text,
                calls: BTreeMap::new(),
            };
            self.found.push((called, model));
            self.found.len() - 1
        });
        let source = place.as_ref().ok().copied();
        self.known.insert(wanted, place);
        if source.is_some() {
            self.ask_for(source);
        }
    }

    /// All that was found, checked.
    pub fn finish(mut self) -> Loaded {
        let sources = std::iter::once(None).chain((0..self.found.len()).map(Some));
        let mut findings = Vec::new();
        let mut edges: Vec<(Option<usize>, String, usize)> = Vec::new();
        for source in sources {
            let Some(workflow) = self.model(source) else { continue };
            for job in &workflow.jobs {
                let Some(call) = job.call() else { continue };
                let name = call.workflow.value.to_string();
                let place = self.known.get(&self.wanted_by(source, &call.workflow.value));
                let wrong = match place {
                    Some(Ok(place)) => {
                        edges.push((source, name.clone(), *place));
                        let (called, model) = &self.found[*place];
                        check::call(workflow, job, call, called, model.as_ref())
                    }
                    Some(Err(why)) => vec![why.clone()],
                    None => vec!["it was not looked for".to_owned()],
                };
                for why in wrong {
                    findings.push(Finding {
                        severity: "error".to_owned(),
                        file: source.map(|place| self.found[place].0.file.clone()),
                        line: call.workflow.span.start.line,
                        column: call.workflow.span.start.column,
                        message: format!("Error calling workflow '{name}'. {why}"),
                    });
                }
            }
        }
        let plain: Vec<(Option<usize>, usize)> = edges.iter().map(|(from, _, to)| (*from, *to)).collect();
        let files: Vec<&str> = self.found.iter().map(|(called, _)| called.file.as_str()).collect();
        findings.extend(check::levels(&plain, &files).map(|message| Finding {
            severity: "error".to_owned(),
            file: None,
            line: 1,
            column: 1,
            message,
        }));
        let mut calls = BTreeMap::new();
        for (source, name, place) in edges {
            match source {
                None => _ = calls.insert(name, place),
                Some(source) => _ = self.found[source].0.calls.insert(name, place),
            }
        }
        Loaded { workflows: self.found.into_iter().map(|(called, _)| called).collect(), calls, findings }
    }

    fn model(&self, source: Option<usize>) -> Option<&Workflow> {
        match source {
            None => self.root.as_ref(),
            Some(place) => self.found[place].1.as_ref(),
        }
    }

    fn ask_for(&mut self, source: Option<usize>) {
        let Some(workflow) = self.model(source) else { return };
        let calls = workflow.jobs.iter().filter_map(|job| job.call());
        let wanted: Vec<Wanted> = calls.map(|call| self.wanted_by(source, &call.workflow.value)).collect();
        self.open.extend(wanted);
    }

    /// The file that a reference means in a source: one without a repository is of the source's own commit.
    fn wanted_by(&self, source: Option<usize>, reference: &WorkflowRef) -> Wanted {
        match reference {
            WorkflowRef::Repository { owner, repo, path, git_ref } => Wanted {
                repository: Some(format!("{owner}/{repo}")),
                git_ref: Some(git_ref.clone()),
                path: path.clone(),
            },
            WorkflowRef::Local { path } | WorkflowRef::Own { path } => {
                let of =
                    source.map(|place| &self.found[place].0).filter(|called| called.repository.is_some());
                Wanted {
                    repository: of.and_then(|called| called.repository.clone()),
                    git_ref: of.map(|called| called.sha.clone()),
                    path: path.clone(),
                }
            }
        }
    }
}
