//! Runs as data: `tests/data/*.txt` hold workflows, what happens to their run, and what comes of it. Written anew with
//! `UPDATE_EXPECT=1 cargo test -p windlass-pipeline --test plans`.
//!
//! A file has sections that begin with `-- NAME --`. A section whose name is a path is a workflow file (the first is the
//! run's own; one of another project is named `OWNER/NAME@REF:PATH`); `given` holds contexts as `NAME JSON` lines; `play`
//! holds what happens, a line each (see `Stage::act`); `expect` is the record.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use windlass_kernel::{Actor, Clock as _, Ids, JobId, RunId};
use windlass_pipeline::*;
use windlass_testkit::{TestClock, TestEntropy};

#[test]
fn runs_go_as_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "txt"));
    paths.sort();
    assert!(paths.len() >= 20, "the data are gone");
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let found = played(&text);
        if found != text && update {
            std::fs::write(&path, found).unwrap();
        } else if found != text {
            wrong.push(format!("{}:\n{}", path.display(), difference(&text, &found)));
        }
    }
    assert!(wrong.is_empty(), "{}\nUPDATE_EXPECT=1 writes them anew", wrong.join("\n"));
}

/// The lines from the first that differs on.
fn difference(old: &str, new: &str) -> String {
    let same = old.lines().zip(new.lines()).take_while(|(a, b)| a == b).count();
    let rest = |text: &str| text.lines().skip(same).take(12).collect::<Vec<_>>().join("\n    ");
    format!("  line {}, recorded:\n    {}\n  now:\n    {}", same + 1, rest(old), rest(new))
}

/// The file's text with the record that the play gives.
fn played(text: &str) -> String {
    let mut sections: Vec<(&str, String)> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("-- ").and_then(|line| line.strip_suffix(" --")) {
            Some(name) => sections.push((name, String::new())),
            None => match sections.last_mut() {
                Some((_, body)) => *body += &format!("{line}\n"),
                None => sections.push(("", format!("{line}\n"))),
            },
        }
    }
    sections.retain(|(name, _)| *name != "expect");
    let mut stage = Stage::new(&sections);
    let play = sections.iter().find(|(name, _)| *name == "play").map(|(_, body)| body.clone());
    for line in play.unwrap_or_default().lines().filter(|line| !line.trim().is_empty()) {
        let _ = writeln!(stage.record, "> {line}");
        stage.act(line);
    }
    stage.ending();
    let head = |(name, body): &(&str, String)| match *name {
        "" => body.clone(),
        name => format!("-- {name} --\n{body}"),
    };
    sections.iter().map(head).collect::<String>() + "-- expect --\n" + &stage.record
}

struct Stage {
    run: Run,
    clock: Arc<TestClock>,
    ids: Ids,
    record: String,
    /// The names of jobs that a re-run replaced.
    names: BTreeMap<String, String>,
}

fn loaded(files: &[(&str, String)]) -> Loaded {
    let (path, text) = &files[0];
    let mut loading = Loading::new(path, text);
    while let Some(wanted) = loading.wanted() {
        let name = match (&wanted.repository, &wanted.git_ref) {
            (Some(repository), Some(git_ref)) => format!("{repository}@{git_ref}:{}", wanted.path),
            _ => wanted.path.clone(),
        };
        let found = files.iter().find(|(path, _)| *path == name);
        let sha = wanted.git_ref.clone().unwrap_or_else(|| "0".repeat(40));
        let found = found.map(|(_, text)| Found { sha, text: text.clone() });
        loading.answer(wanted, found.ok_or_else(|| "The workflow was not found.".to_owned()));
    }
    loading.finish()
}

impl Stage {
    fn new(sections: &[(&str, String)]) -> Self {
        let clock = Arc::new(TestClock::at(1_000_000));
        let ids = Ids::new(clock.clone(), Arc::new(TestEntropy::default()));
        let is_file = |name: &str| Path::new(name).extension().is_some_and(|e| e == "yml");
        let files: Vec<_> = sections.iter().filter(|(name, _)| is_file(name)).cloned().collect();
        let given = sections.iter().find(|(name, _)| *name == "given").map(|(_, body)| body.as_str());
        let given: BTreeMap<&str, Value> = given
            .unwrap_or_default()
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, value)| (name, serde_json::from_str(value).unwrap()))
            .collect();
        let mut github =
            json!({"event_name": "push", "ref": "refs/heads/main", "ref_name": "main", "actor": "ada"});
        if let Some(Value::Object(more)) = given.get("github") {
            github.as_object_mut().unwrap().extend(more.clone());
        }
        let new = NewRun {
            id: RunId::new(&ids),
            project: "shop".parse().unwrap(),
            number: 7,
            file: files[0].0.to_owned(),
            text: files[0].1.clone(),
            title: "A change".into(),
            event: "push".into(),
            github,
            git_ref: "refs/heads/main".into(),
            sha: "0".repeat(40),
            actor: Actor::User("ada".parse().unwrap()),
            inputs: given.get("inputs").cloned().unwrap_or_default(),
            vars: given.get("vars").cloned().unwrap_or_else(|| json!({})),
            called: loaded(&files),
        };
        let (run, actions) = Run::new(new, clock.now(), &mut || JobId::new(&ids));
        let mut stage = Self { run, clock, ids, record: String::new(), names: BTreeMap::new() };
        for finding in &stage.run.diagnostics.clone() {
            let file = finding.file.as_deref().map(|file| format!("{file}:")).unwrap_or_default();
            let Finding { severity, line, column, message, .. } = finding;
            let _ = writeln!(stage.record, "  {severity} {file}{line}:{column} {message}");
        }
        stage.tell(&actions);
        stage
    }

    fn job(&self, name: &str) -> &Job {
        let names = || self.run.jobs.iter().map(|job| job.name.as_str()).collect::<Vec<_>>();
        let found = self.run.jobs.iter().find(|job| job.name == name);
        found.unwrap_or_else(|| panic!("no job '{name}' among {:?}\n{}", names(), self.record))
    }

    fn tell(&mut self, actions: &[Action]) {
        for job in &self.run.jobs {
            self.names.insert(job.id.to_string(), job.name.clone());
        }
        let name = |id: &str| self.names.get(id).cloned().unwrap_or_else(|| "the run".to_owned());
        let who =
            |member: &concurrency::Member| member.job.map_or("the run".into(), |id| name(&id.to_string()));
        for action in actions {
            let line = match action {
                Action::Queue { labels, .. } => format!("    on {}", labels.join(", ")),
                Action::AskGate { job, environment } => {
                    format!("  ask {environment} for {}", name(&job.to_string()))
                }
                Action::JoinGroup { member, group, manner } => {
                    let cancel = if manner.cancel_in_progress { ", cancelling" } else { "" };
                    let queued = if manner.queued { ", queued" } else { "" };
                    format!("  join '{group}'{cancel}{queued}: {}", who(member))
                }
                Action::LeaveGroup { member, group } => format!("  leave '{group}': {}", who(member)),
                Action::CancelJob { job, reason } => format!("  stop {}: {reason}", name(&job.to_string())),
                Action::Emit { kind, subject, data, .. } => {
                    let more = ["conclusion", "reason"].iter().filter_map(|key| data[key].as_str());
                    let more: Vec<&str> = more.collect();
                    format!("  {kind} {} {}", name(subject), more.join(": ")).trim_end().to_owned()
                }
            };
            self.record += &line;
            self.record.push('\n');
        }
    }

    fn send(&mut self, event: RunEvent) {
        match step(&self.run, event, self.clock.now(), &mut || JobId::new(&self.ids)) {
            Ok((run, actions)) => {
                self.run = run;
                self.tell(&actions);
            }
            Err(e) => {
                let mut text = e.to_string();
                for (id, name) in &self.names {
                    text = text.replace(id, &format!("'{name}'"));
                }
                let _ = writeln!(self.record, "  refused: {text}");
            }
        }
    }

    fn report(&mut self, name: &str, report: Report) {
        let job = self.job(name);
        let (job, hand_out, seq) = (job.id, job.tries, job.acknowledged + 1);
        self.send(RunEvent::Reported { job, hand_out, seq, at: self.clock.now(), report });
    }

    fn begin(&mut self, name: &str) {
        let until = self.clock.now() + Duration::from_hours(1000);
        self.send(RunEvent::Leased { job: self.job(name).id, runner: "r".into(), until });
        self.report(name, Report::Started { sandbox: "plain".into() });
    }

    fn finish(&mut self, rest: &str, conclusion: Conclusion) {
        let (name, outputs) = rest.split_once(" :: ").unwrap_or((rest, ""));
        if matches!(self.job(name).state, JobState::Queued { .. }) {
            self.begin(name);
        }
        let pairs = outputs.split(' ').filter_map(|pair| pair.split_once('='));
        let outputs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        self.report(name, Report::Finished { conclusion, reason: None, outputs, environment_url: None });
    }

    /// One line of a play.
    fn act(&mut self, line: &str) {
        self.clock.advance(Duration::from_secs(1));
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let by = Actor::User("ada".parse().unwrap());
        match verb {
            "begin" => self.begin(rest),
            "succeed" => self.finish(rest, Conclusion::Success),
            "fail" => self.finish(rest, Conclusion::Failure),
            "stopped" => self.finish(rest, Conclusion::Cancelled),
            "cancel" => {
                self.send(RunEvent::CancelRequested { by, reason: "enough".into(), force: rest == "force" });
            }
            "pass" => self.send(RunEvent::GatePassed { job: self.job(rest).id }),
            "reject" => self.send(RunEvent::GateRejected { job: self.job(rest).id, reason: "no".into() }),
            "admit" => {
                let (group, name) = rest.split_once(": ").unwrap();
                let job = (name != "the run").then(|| self.job(name).id);
                self.send(RunEvent::GroupAdmitted { job, group: group.to_owned() });
            }
            "displace" => {
                let job = (rest != "the run").then(|| self.job(rest).id);
                self.send(RunEvent::GroupCancelled { job, reason: "a newer one waits".into() });
            }
            "lose" => {
                let job = self.job(rest);
                let (job, hand_out) = (job.id, job.tries);
                self.send(RunEvent::LeaseLost { job, hand_out, reason: "it died".into() });
            }
            "wait" => {
                let (amount, unit) = rest.split_once(' ').unwrap();
                let seconds = amount.parse::<u64>().unwrap()
                    * BTreeMap::from([("s", 1), ("m", 60), ("h", 3600), ("d", 86400)])[unit];
                self.clock.advance(Duration::from_secs(seconds));
                for event in due(&self.run, self.clock.now()) {
                    self.send(event);
                }
            }
            "rerun" => {
                let which = match rest {
                    "all" => Again::All,
                    "failed" => Again::Failed,
                    name => Again::Job(self.job(name).id),
                };
                self.send(RunEvent::Rerun { by, which });
            }
            "context" => {
                let (name, key) = rest.split_once(" :: ").unwrap();
                let context = assignment(&self.run, self.job(name).id).unwrap();
                let value = match key {
                    "inputs" => context.inputs,
                    "matrix" => context.matrix,
                    "needs" => context.needs,
                    "strategy" => context.strategy,
                    "github" => context.github,
                    "workflow" => {
                        json!([context.workflow.repository, context.workflow.git_ref, context.workflow.file])
                    }
                    "permissions" => {
                        json!(format!("{:?}", permissions(&self.run, self.job(name).id).unwrap()))
                    }
                    "cache-mode" => {
                        json!(cache_mode(&self.run, self.job(name).id).unwrap().as_str())
                    }
                    "secrets" => self.secrets(name),
                    "timeout" => json!(context.timeout_minutes),
                    other => panic!("no context '{other}'"),
                };
                let _ = writeln!(self.record, "  {value}");
            }
            "states" => self.states(),
            other => panic!("a play cannot '{other}'"),
        }
    }

    fn secrets(&self, name: &str) -> Value {
        let secret = |name: &str| (name.to_owned(), windlass_kernel::Secret::new(format!("<{name}>")));
        let given = ["KEY", "OTHER", "GITHUB_TOKEN"].map(secret).into_iter().collect();
        match secrets(&self.run, self.job(name).id, given) {
            Ok(secrets) => {
                secrets.iter().map(|(name, value)| (name.clone(), json!(value.expose()))).collect()
            }
            Err(why) => json!(why),
        }
    }

    fn states(&mut self) {
        for job in &self.run.jobs {
            let state = match &job.state {
                JobState::Waiting { for_what } => match for_what {
                    WaitingFor::Needs => "waits".to_owned(),
                    WaitingFor::Siblings => "waits for siblings".to_owned(),
                    WaitingFor::Gate { environment } => format!("at the gate of {environment}"),
                    WaitingFor::Group { group } => format!("in the group '{group}'"),
                },
                JobState::Queued { .. } => "queued".to_owned(),
                JobState::Leased { .. } => "leased".to_owned(),
                JobState::Running { .. } => "running".to_owned(),
                JobState::Calling { .. } => "calling".to_owned(),
                JobState::Completed { conclusion, reason, .. } => match reason {
                    Some(reason) => format!("{}: {reason}", conclusion.as_str()),
                    None => conclusion.as_str().to_owned(),
                },
            };
            let _ = writeln!(self.record, "  {} = {state}", job.name);
        }
    }

    fn ending(&mut self) {
        self.record += "=\n";
        self.states();
        for job in self.run.jobs.iter().filter(|job| !job.outputs.is_empty()) {
            let _ = writeln!(self.record, "  {} gave {}", job.name, json!(job.outputs));
        }
        let how = self.run.conclusion().map_or("goes on", Conclusion::as_str);
        let _ = writeln!(self.record, "  run, attempt {}: {how}", self.run.attempt);
    }
}
