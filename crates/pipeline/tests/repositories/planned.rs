//! What the machine makes of a workflow when every step succeeds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use windlass_kernel::{Actor, Clock as _, Ids, JobId, RunId};
use windlass_pipeline::*;
use windlass_testkit::{TestClock, TestEntropy};
use windlass_workflow::model::{CallSecrets, Map, Tree, WorkflowRef};
use windlass_workflow::{Admit, parse_admitting};

use super::happening::Happening;

/// A repository's workflows.
pub(crate) struct Repository {
    /// `OWNER/NAME`
    pub(crate) name: String,
    /// Its workflow files, by their paths.
    pub(crate) files: BTreeMap<String, String>,
    /// Outputs of jobs, by file and job.
    pub(crate) outputs: BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>>,
    /// What stands for the workflows of other repositories that these call, by the text behind `uses`.
    pub(crate) stubs: BTreeMap<String, String>,
}

impl Repository {
    /// With a workflow of one job for each of other repositories that is called: it takes what it is given.
    pub(crate) fn with_stubs(mut self) -> Self {
        for (file, text) in &self.files {
            let parsed = parse_admitting(file, text, Admit::Everything);
            for call in
                parsed.workflow.iter().flat_map(|workflow| &workflow.jobs).filter_map(|job| job.call())
            {
                if !matches!(call.workflow.value, WorkflowRef::Repository { .. }) {
                    continue;
                }
                let mut takes = json!({"inputs": {}, "secrets": {}});
                if let Tree::Mapping(pairs) = &call.with {
                    for (name, tree) in pairs {
                        let value =
                            if let Tree::Literal(value) = tree { value.value.to_json() } else { Value::Null };
                        let kind = if value.is_boolean() {
                            "boolean"
                        } else if value.is_number() {
                            "number"
                        } else {
                            "string"
                        };
                        takes["inputs"][&name.value] = json!({"type": kind});
                    }
                }
                if let CallSecrets::Named(Map::Entries(entries)) = &call.secrets {
                    for entry in entries {
                        takes["secrets"][&entry.name.value] = json!({"required": false});
                    }
                }
                let text = json!({"on": {"workflow_call": takes}, "jobs": {"stub": {"runs-on": "stub", "steps": [{"run": "x"}]}}});
                self.stubs.insert(call.workflow.value.to_string(), text.to_string());
            }
        }
        self
    }

    fn loaded(&self, file: &str) -> Loaded {
        let mut loading = Loading::new(file, &self.files[file]);
        while let Some(wanted) = loading.wanted() {
            let text = match (&wanted.repository, &wanted.git_ref) {
                (Some(repository), Some(git_ref)) => {
                    self.stubs.get(&format!("{repository}/{}@{git_ref}", wanted.path))
                }
                _ => self.files.get(&wanted.path),
            };
            let found = text.map(|text| Found { sha: "0".repeat(40), text: text.clone() });
            loading.answer(wanted, found.ok_or_else(|| "The workflow was not found.".to_owned()));
        }
        loading.finish()
    }
}

struct Going<'a> {
    run: Run,
    models: Models,
    clock: Arc<TestClock>,
    ids: Ids,
    repository: &'a Repository,
}

impl Going<'_> {
    fn send(&mut self, event: RunEvent) {
        self.clock.advance(Duration::from_millis(1));
        let ids = &self.ids;
        let next = step_with(&self.run, event, self.clock.now(), &mut || JobId::new(ids), &mut self.models);
        self.run = next.expect("the event fits").0;
    }

    /// The file that a job is of.
    fn file(&self, job: &Job) -> String {
        let caller = job.parent.and_then(|id| self.run.job(id)).and_then(|caller| caller.call.as_ref());
        caller
            .map_or_else(|| self.run.workflow.file.clone(), |call| self.run.called[call.source].file.clone())
    }

    fn succeed(&mut self, id: JobId) {
        let job = self.run.job(id).unwrap().clone();
        let until = self.clock.now() + Duration::from_hours(1);
        self.send(RunEvent::Leased { job: id, runner: "r".into(), until });
        let at = self.clock.now();
        let hand_out = self.run.job(id).unwrap().tries;
        let outputs = self.repository.outputs.get(&self.file(&job)).and_then(|jobs| jobs.get(&job.key));
        let report = Report::Started { sandbox: "plain".into() };
        self.send(RunEvent::Reported { job: id, hand_out, seq: 1, at, report });
        let report = Report::Finished {
            conclusion: Conclusion::Success,
            reason: None,
            outputs: outputs.cloned().unwrap_or_default(),
            environment_url: None,
        };
        self.send(RunEvent::Reported { job: id, hand_out, seq: 2, at, report });
    }

    /// Lets everything happen that can, each time the first thing.
    fn finish(&mut self) {
        if let RunState::Waiting { group } = self.run.state.clone() {
            self.send(RunEvent::GroupAdmitted { job: None, group });
        }
        loop {
            let next = self.run.jobs.iter().find_map(|job| match &job.state {
                JobState::Queued { .. } => Some((job.id, None)),
                JobState::Waiting { for_what: WaitingFor::Gate { .. } } => {
                    Some((job.id, Some(RunEvent::GatePassed { job: job.id })))
                }
                JobState::Waiting { for_what: WaitingFor::Group { group } } => {
                    Some((job.id, Some(RunEvent::GroupAdmitted { job: Some(job.id), group: group.clone() })))
                }
                _ => None,
            });
            match next {
                Some((id, None)) => self.succeed(id),
                Some((_, Some(event))) => self.send(event),
                None => return,
            }
        }
    }
}

/// The plan, as the oracle writes its own.
pub(crate) fn planned(repository: &Repository, file: &str, happening: &Happening) -> Value {
    let text = &repository.files[file];
    let parsed = windlass_workflow::parse(file, text);
    let Some(workflow) = parsed.workflow else {
        return json!({"error": format!("{:?}", parsed.diagnostics)});
    };
    if !workflow.on.decide(&happening.trigger()).run {
        return json!({"runs": false});
    }
    let clock = Arc::new(TestClock::at(1_000_000));
    let ids = Ids::new(clock.clone(), Arc::new(TestEntropy::default()));
    let new = NewRun {
        id: RunId::new(&ids),
        project: "shop".parse().unwrap(),
        number: 7,
        file: file.to_owned(),
        text: text.clone(),
        title: "A change".into(),
        event: happening.github["event_name"].as_str().unwrap().to_owned(),
        github: happening.github.clone(),
        git_ref: happening.github["ref"].as_str().unwrap().to_owned(),
        sha: happening.github["sha"].as_str().unwrap().to_owned(),
        actor: Actor::User("ann".parse().unwrap()),
        inputs: happening.inputs.clone(),
        vars: json!({}),
        called: repository.loaded(file),
    };
    let mut models = Models::knowing(Arc::new(workflow));
    let (run, _) = Run::known(new, Vec::new(), clock.now(), &mut || JobId::new(&ids), &mut models);
    let mut going = Going { run, models, clock, ids, repository };
    going.finish();
    let run = going.run;
    if run.conclusion() == Some(Conclusion::StartupFailure) {
        return json!({"error": format!("{:?}", run.diagnostics)});
    }
    assert!(run.is_completed(), "{} {file} on {}: {:#?}", repository.name, happening.title, run.state);
    let jobs: Vec<Value> = run.jobs.iter().map(told).collect();
    json!({"runs": true, "jobs": jobs})
}

fn told(job: &Job) -> Value {
    let JobState::Completed { conclusion, reason, .. } = &job.state else { panic!("{job:?}") };
    match conclusion {
        Conclusion::Success if job.call.is_some() => {
            json!({"key": job.key, "name": job.name, "conclusion": "success", "call": true})
        }
        Conclusion::Success => json!({
            "key": job.key, "name": job.name, "conclusion": "success",
            "matrix": job.leg.as_ref().map(|leg| &leg.values), "labels": job.labels, "environment": job.environment,
            "group": job.group.as_ref().map(|group| &group.name),
        }),
        other => json!({"key": job.key, "conclusion": other.as_str(), "why": reason}),
    }
}
