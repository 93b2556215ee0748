//! What the fake platform holds.

use std::collections::BTreeMap;

use windlass_api::*;
use windlass_kernel::{Digest, Timestamp};

/// Text that must never come out as markup.
pub(crate) const EVIL: &str = "<script>alert(\"x\")</script>";

/// Makes views; with `evil`, every text that comes from outside carries [`EVIL`].
#[derive(Clone, Debug)]
pub(crate) struct Data {
    pub(crate) now: i64,
    pub(crate) evil: bool,
}

pub(crate) const RUN: &str = "run_01kag0000000000000000000a1";
pub(crate) const GREEN: &str = "run_01kag0000000000000000000a2";
pub(crate) const RED: &str = "run_01kag0000000000000000000a3";
pub(crate) const BROKEN: &str = "run_01kag0000000000000000000a4";
pub(crate) const LIVE: &str = "dep_01kag0000000000000000000b1";
pub(crate) const FAILED: &str = "dep_01kag0000000000000000000b2";
pub(crate) const ACTIVE: &str = "dep_01kag0000000000000000000b3";

impl Data {
    pub(crate) fn ago(&self, seconds: i64) -> Timestamp {
        Timestamp::from_millis(self.now - seconds * 1000)
    }

    /// A text from outside.
    pub(crate) fn t(&self, text: &str) -> String {
        if self.evil { format!("{text} {EVIL}") } else { text.to_owned() }
    }

    pub(crate) fn sha(n: u32) -> String {
        Digest::sha256(&n.to_be_bytes()).hex()[..40].to_owned()
    }

    fn image(n: u32) -> String {
        format!("127.0.0.1:7700/tasks@{}", Digest::sha256(format!("image {n}").as_bytes()))
    }

    pub(crate) fn branch(&self) -> String {
        self.t("feature/search")
    }

    pub(crate) fn projects(&self) -> Vec<ProjectView> {
        vec![
            self.project(
                "tasks",
                Some(self.run_summary(RUN)),
                None,
                &["staging", "validation", "production"],
            ),
            self.project(
                "shop",
                Some(self.run_summary(RED)),
                Some("windlass.yml:7:3: `replica` is not a key of a service; did you mean `replicas`?"),
                &[],
            ),
            self.project("prompts", None, None, &[]),
        ]
    }

    fn project(
        &self,
        name: &str,
        last_run: Option<RunSummary>,
        problem: Option<&str>,
        environments: &[&str],
    ) -> ProjectView {
        ProjectView {
            name: name.into(),
            default_branch: "main".into(),
            clone_url: format!("http://127.0.0.1:7700/{name}.git"),
            created_at: self.ago(86_400 * 12),
            last_run,
            manifest_problem: problem.map(|p| self.t(p)),
            environments: environments.iter().map(|e| (*e).to_owned()).collect(),
        }
    }

    pub(crate) fn run_summary(&self, id: &str) -> RunSummary {
        let (number, title, state, conclusion, age) = match id {
            RUN => (42, "Search tasks by words in the title", State::Running, None, 95),
            GREEN => (
                41,
                "Answer 400 with the field that was wrong",
                State::Completed,
                Some(Conclusion::Success),
                5400,
            ),
            RED => (
                40,
                "Keep the order of tasks that were made in the same second, even on a machine whose clock stands still",
                State::Completed,
                Some(Conclusion::Failure),
                9300,
            ),
            _ => (39, "Try a matrix", State::Completed, Some(Conclusion::StartupFailure), 88_000),
        };
        RunSummary {
            id: id.into(),
            project: "tasks".into(),
            number,
            attempt: if id == RED { 2 } else { 1 },
            workflow: self.t("ci"),
            workflow_file: ".github/workflows/ci.yml".into(),
            title: self.t(title),
            waits_for: None,
            untrusted: false,
            event: "push".into(),
            git_ref: format!("refs/heads/{}", if id == RED { self.branch() } else { "main".into() }),
            sha: Self::sha(1),
            actor: "user:ana".into(),
            state,
            conclusion,
            created_at: self.ago(age),
            started_at: (id != BROKEN).then(|| self.ago(age - 2)),
            finished_at: (state == State::Completed).then(|| self.ago(age - 130)),
        }
    }

    pub(crate) fn runs(&self) -> Vec<RunSummary> {
        [RUN, GREEN, RED, BROKEN].map(|id| self.run_summary(id)).to_vec()
    }

    pub(crate) fn run(&self, id: &str) -> RunDetail {
        let broken = DiagnosticView {
            severity: "error".into(),
            file: ".github/workflows/ci.yml".into(),
            line: 3,
            column: 9,
            message: self.t("`run-on` is not a key of a job; did you mean `runs-on`?"),
        };
        let summary = self.run_summary(id);
        let going = id == RUN;
        RunDetail {
            jobs: if id == BROKEN { Vec::new() } else { self.jobs(id) },
            diagnostics: if id == BROKEN { vec![broken] } else { Vec::new() },
            artifacts: if id == BROKEN { Vec::new() } else { self.artifacts() },
            deployments: if going { vec![ACTIVE.into()] } else { vec![LIVE.into(), FAILED.into()] },
            approvals: if going { vec![self.approval("production", "pending")] } else { Vec::new() },
            summary,
        }
    }

    fn jobs(&self, run: &str) -> Vec<JobView> {
        let red = run == RED;
        let going = run == RUN;
        let done = Some(Conclusion::Success);
        let tests = if red { Some(Conclusion::Failure) } else { done };
        let later = if red {
            Some(Conclusion::Skipped)
        } else if going {
            None
        } else {
            done
        };
        let mut jobs = vec![
            self.job(run, 1, "lint", "Format and lint", &[], done),
            self.job(run, 2, "test", "Tests (stable, sqlite)", &[], tests),
            self.job(run, 3, "test", "Tests (beta, a database with a long name)", &[], done),
            self.job(run, 4, "audit", "Dependencies", &[], done),
            self.job(run, 5, "build", "Image", &["lint", "test", "audit"], if red { later } else { done }),
            self.job(run, 6, "staging", "Staging", &["build"], later),
            self.job(run, 7, "smoke", "Smoke and security checks", &["staging"], later),
            self.job(run, 8, "production", "Production", &["smoke", "build"], later),
        ];
        jobs[5].environment = Some("staging".into());
        jobs[5].environment_url = Some("http://tasks.staging.localhost:7780".into());
        jobs[7].environment = Some("production".into());
        jobs[7].environment_url = Some("javascript:alert(1)".into());
        if going {
            jobs[5].state = State::Running;
            for job in &mut jobs[6..] {
                job.state = State::Waiting;
                job.steps.clear();
                job.started_at = None;
                job.reason = Some(self.t("waits for Staging"));
            }
        }
        if red {
            jobs[1].reason = Some(self.t("the step `cargo test` ended with exit status 101"));
            jobs[1].annotations = self.annotations();
            jobs[1].tries = 2;
        }
        jobs[1].summary = format!(
            "### Tests\n\n| suite | passed | failed |\n|---|--:|--:|\n| api | 41 | {} |\n| store | 18 | 0 |\n\nCoverage: **87.4 %**, [report](https://example.org/) {}",
            u8::from(red),
            if self.evil { EVIL } else { "" }
        );
        jobs
    }

    fn job(
        &self,
        run: &str,
        n: u32,
        key: &str,
        name: &str,
        needs: &[&str],
        conclusion: Option<Conclusion>,
    ) -> JobView {
        let skipped = conclusion == Some(Conclusion::Skipped);
        JobView {
            id: format!("job_{}{n}", &run[4..]),
            key: key.into(),
            name: self.t(name),
            parent: None,
            needs: needs.iter().map(|n| (*n).to_owned()).collect(),
            environment: None,
            environment_url: None,
            state: if conclusion.is_some() { State::Completed } else { State::Queued },
            conclusion,
            reason: skipped.then(|| "Tests failed".to_owned()),
            tries: 1,
            queued_at: Some(self.ago(90)),
            started_at: (!skipped).then(|| self.ago(80)),
            finished_at: conclusion.map(|_| self.ago(14)),
            steps: if skipped { Vec::new() } else { self.steps(conclusion) },
            annotations: Vec::new(),
            summary: String::new(),
            outputs: BTreeMap::new(),
        }
    }

    fn steps(&self, conclusion: Option<Conclusion>) -> Vec<StepView> {
        let log = self.log_parts();
        let names = ["Set up job", "actions/checkout@v4", "cargo test", "Upload the report", "Complete job"];
        let mut start = 0;
        let mut steps = Vec::new();
        for (i, name) in names.iter().enumerate() {
            let end = start + log[i].len() as u64;
            let failed = i == 2 && conclusion == Some(Conclusion::Failure);
            let running = i == 2 && conclusion.is_none();
            let begun = conclusion.is_some() || i < 3;
            let how = if failed || i == 3 { Conclusion::Failure } else { Conclusion::Success };
            steps.push(StepView {
                number: i as u32 + 1,
                name: if i == 2 { self.t(name) } else { (*name).to_owned() },
                state: if running {
                    State::Running
                } else if begun {
                    State::Completed
                } else {
                    State::Waiting
                },
                outcome: (begun && !running).then_some(how),
                conclusion: (begun && !running).then_some(if i == 3 { Conclusion::Success } else { how }),
                started_at: begun.then(|| self.ago(80 - i as i64 * 12)),
                finished_at: (begun && !running).then(|| self.ago(80 - i as i64 * 12 - 9)),
                log_start: if begun { start } else { 0 },
                log_end: (begun && !running).then_some(end),
            });
            start = end;
        }
        steps
    }

    /// The log's part of each step.
    pub(crate) fn log_parts(&self) -> Vec<String> {
        let at = |s: u32, text: &str| format!("2026-11-20T11:25:{s:02}.1234567Z {text}\n");
        let mut test = at(10, "##[group]Run cargo test --all")
            + &at(10, "cargo test --all")
            + &at(10, "env: RUSTFLAGS=-D warnings")
            + &at(10, "##[endgroup]");
        for i in 0..14 {
            test += &at(11 + i, &format!("\u{1b}[1m\u{1b}[32m   Compiling\u{1b}[0m crate-{i} v0.{i}.0"));
        }
        test += &at(40, "running 59 tests");
        test += &at(41, "test list::keeps_the_order ... \u{1b}[31mFAILED\u{1b}[0m");
        test += &at(41, &self.t("thread 'list::keeps_the_order' panicked at src/list.rs:88:9:"));
        test += &at(42, "##[error]assertion failed: left == right");
        test += &at(42, "##[warning]1 test is ignored");
        vec![
            at(1, "Runner: this machine") + &at(1, "Sandbox: own root, namespaces, cgroup v1"),
            at(3, "[command]git fetch --depth=1 origin main") + &at(4, "From http://127.0.0.1:7700/tasks"),
            test,
            at(50, "##[error]No files were found with the path report.xml"),
            at(51, "Cleaning up"),
        ]
    }

    /// Where the steps stand in that log, and its groups.
    pub(crate) fn log_outline(&self, run: &str, job: &str) -> LogOutline {
        let mut first = 1;
        let mut steps = Vec::new();
        for (i, part) in self.log_parts().iter().enumerate() {
            let last = first + part.lines().count() as u64 - 1;
            steps.push(LogStep { number: i as u32 + 1, first, last });
            first = last + 1;
        }
        let ended = self.run(run).jobs.iter().any(|j| j.id == job && j.state == State::Completed);
        let groups = vec![LogGroup { first: 5, last: 8, marked: true }];
        LogOutline { lines: first - 1, bytes: 4000, ended, steps, groups }
    }

    fn annotations(&self) -> Vec<AnnotationView> {
        let one = |level: &str, message: &str, path: Option<&str>| AnnotationView {
            level: level.into(),
            title: Some(self.t("list::keeps_the_order")),
            message: self.t(message),
            path: path.map(str::to_owned),
            line: path.map(|_| 2),
            end_line: None,
            column: None,
            end_column: None,
            step: 3,
        };
        vec![
            one("error", "assertion failed: left == right", Some("src/main.rs")),
            one("warning", "1 test is ignored", None),
        ]
    }

    pub(crate) fn artifacts(&self) -> Vec<ArtifactView> {
        vec![ArtifactView {
            id: "art_01kag0000000000000000000c1".into(),
            name: self.t("coverage report"),
            size: 812_345,
            digest: Digest::sha256(b"report").to_string(),
            created_at: self.ago(60),
            expires_at: self.ago(-86_400 * 30),
            raw: false,
            untrusted: true,
        }]
    }

    pub(crate) fn release(&self, number: u64) -> ReleaseView {
        let titles = [
            "Search tasks by words in the title",
            "Answer 400 with the field that was wrong",
            "Keep the order of tasks",
        ];
        ReleaseView {
            id: format!("rel_01kag000000000000000000d{number:02}"),
            number,
            project: "tasks".into(),
            sha: Self::sha(1),
            title: self.t(titles[(14 - number.min(14)) as usize % 3]),
            run: Some(GREEN.into()),
            images: BTreeMap::from([("api".into(), Self::image(number as u32))]),
            created_at: self.ago(700 * (15 - number as i64)),
            created_by: "user:ana".into(),
        }
    }

    pub(crate) fn deployment(&self, id: &str) -> DeploymentView {
        let (number, environment, state, reason) = match id {
            ACTIVE => (
                14,
                "staging",
                DeploymentState::Running,
                "1 of 2 new instances is healthy; the old ones still serve",
            ),
            FAILED => (
                13,
                "production",
                DeploymentState::RolledBack,
                "instance 4k2f never became healthy: GET /health answered 500 for 30 s; release 12 serves again",
            ),
            _ => (12, "production", DeploymentState::Succeeded, "2 of 2 instances are healthy and serve"),
        };
        let step = |age: i64, text: &str| DeploymentStep { at: self.ago(age), text: self.t(text) };
        let failed = id == FAILED;
        DeploymentView {
            id: id.into(),
            project: "tasks".into(),
            environment: environment.into(),
            release: self.release(number),
            strategy: "blue_green".into(),
            cause: "deploy".into(),
            state,
            reason: self.t(reason),
            log: vec![
                step(70, "pulled sha256:5d41402abc4b, 11.8 MB"),
                step(68, "started instance 4k2f of api"),
                step(66, "GET /health on instance 4k2f answered 200 in 3 ms"),
                step(62, "routes switched to the new instances"),
                step(60, "2 old instances drained, kept warm"),
            ],
            last_health: failed.then(|| self.t("500 Internal Server Error: {\"status\":\"unhealthy\"}")),
            last_lines: if failed {
                vec![
                    self.t("listening on 127.0.0.1:41873"),
                    self.t("cannot open /data/tasks.sqlite: permission denied"),
                ]
            } else {
                Vec::new()
            },
            created_at: self.ago(72),
            finished_at: (id != ACTIVE).then(|| self.ago(40)),
            created_by: "run:".to_owned() + GREEN,
            urls: BTreeMap::from([
                ("api".into(), "http://tasks.production.localhost:7780".into()),
                ("odd".into(), "javascript:alert(1)".into()),
            ]),
        }
    }

    pub(crate) fn approval(&self, environment: &str, state: &str) -> ApprovalView {
        let pending = state == "pending";
        ApprovalView {
            id: format!("{RUN}:{environment}"),
            run: RUN.into(),
            project: "tasks".into(),
            environment: environment.into(),
            change: None,
            state: state.into(),
            reviewers: vec!["ana".into(), self.t("ben")],
            wanted: u32::from(pending),
            decided_by: if pending { Vec::new() } else { vec!["ben".into()] },
            comment: if pending { String::new() } else { self.t("seen on staging") },
            digests: BTreeMap::from([("api".into(), Self::image(14))]),
            caller_may: environment != "validation",
            caller_note: self.t("You pushed this commit; somebody else must agree."),
            requested_at: self.ago(50),
        }
    }

    pub(crate) fn environments(&self) -> Vec<EnvironmentView> {
        let one = |name: &str, after: Option<&str>, live: u64| EnvironmentView {
            name: name.into(),
            after: after.map(str::to_owned),
            reviewers: Vec::new(),
            branches: Vec::new(),
            live: Some(self.release(live)),
            live_since: Some(self.ago(4000)),
            warm: None,
            active: None,
            recent: Vec::new(),
            approvals: Vec::new(),
            services: vec![self.service_summary(name)],
            requires: Vec::new(),
        };
        let mut staging = one("staging", None, 13);
        staging.active = Some(self.deployment(ACTIVE));
        let mut validation = one("validation", Some("staging"), 13);
        validation.live = None;
        validation.services = Vec::new();
        validation.approvals = vec![self.approval("validation", "pending")];
        let mut production = one("production", Some("validation"), 12);
        production.reviewers = vec!["ana".into(), self.t("ben")];
        production.branches = vec!["main".into(), self.t("release/*")];
        production.requires = vec![self.t("tests"), self.t("vulns up to medium")];
        production.warm = Some(self.release(11));
        production.approvals = vec![self.approval("production", "pending")];
        vec![staging, validation, production]
    }

    pub(crate) fn service_summary(&self, environment: &str) -> ServiceSummary {
        ServiceSummary {
            project: "tasks".into(),
            environment: environment.into(),
            name: "api".into(),
            url: Some(if self.evil {
                "javascript:alert(1)".into()
            } else {
                format!("http://tasks.{environment}.localhost:7780")
            }),
            image: Some(Self::image(12)),
            healthy: if environment == "staging" { 1 } else { 2 },
            wanted: 2,
        }
    }

    pub(crate) fn service(&self, environment: &str) -> ServiceView {
        let instance = |n: u32, state: &str, routed: bool| InstanceView {
            id: format!("ins_01kag0000000000000000004k{n}f"),
            release: if routed { "12".into() } else { "11".into() },
            state: state.into(),
            routed,
            address: format!("127.0.0.1:4187{n}"),
            started_at: self.ago(3900),
            restarts: n % 2,
            last_health: Some(self.t("200 OK in 2 ms")),
            cpu_millis: routed.then_some(14),
            memory_bytes: routed.then_some(9_300_000),
            sandbox: "namespaces".into(),
        };
        ServiceView {
            summary: self.service_summary(environment),
            instances: vec![
                instance(1, "healthy", true),
                instance(2, "healthy", true),
                instance(3, "warm", false),
            ],
            health: self.t("GET /health every 5 s, 2 s allowed"),
            release: Some(self.release(12)),
        }
    }

    pub(crate) fn metrics(&self, minutes: u32) -> ServiceMetrics {
        let points = 120usize;
        let wave = |base: f64, swing: f64, phase: f64| -> Vec<Option<f64>> {
            (0..points)
                .map(|i| {
                    (i > 5 && !(40..=46).contains(&i)).then(|| {
                        base + swing * ((i as f64 / 9.0 + phase).sin() + (i as f64 / 2.3).cos() * 0.3).abs()
                    })
                })
                .collect()
        };
        ServiceMetrics {
            from: self.ago(i64::from(minutes) * 60),
            to: self.ago(0),
            step_seconds: minutes * 60 / points as u32,
            request_rate: wave(40.0, 30.0, 0.0),
            error_rate: wave(0.0, 0.02, 1.0),
            p50: wave(0.003, 0.001, 0.2),
            p95: wave(0.009, 0.006, 0.5),
            p99: wave(0.02, 0.03, 0.9),
            cpu: wave(0.05, 0.1, 0.3),
            memory: wave(18e6, 2e6, 0.0),
            own: vec![
                "api_requests_total".into(),
                "api_request_duration_seconds".into(),
                self.t("odd_metric"),
            ],
        }
    }

    pub(crate) fn log_lines(&self) -> Vec<LogLine> {
        (0..30)
            .map(|i| LogLine {
                at: self.ago(30 - i),
                instance: format!("ins_01kag0000000000000000004k{}f", 1 + i % 2),
                stream: if i % 11 == 7 { "stderr" } else { "stdout" }.into(),
                text: self.t(&format!("{{\"level\":\"info\",\"method\":\"GET\",\"path\":\"/tasks\",\"status\":200,\"ms\":{i}}} \u{1b}[33mslow\u{1b}[0m")),
                cursor: i.to_string(),
            })
            .collect()
    }
}
