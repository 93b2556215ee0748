//! Carries a job out in a folder of its own, against a control in memory, and gives what came of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;
use tokio::sync::OnceCell;
use windlass_api::runner::{Assignment, JobHappening};
use windlass_api::{AnnotationView, Conclusion, State, StepView};
use windlass_kernel::{Secret, SystemClock};
use windlass_runner::unit::{UnitSettings, run_job};
use windlass_runner::{Control as _, MemoryControl};
use windlass_runtime::{Level, Linux, Runtime, RuntimeConfig};

/// A job that is about to run.
pub(crate) struct Fixture {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) assignment: Assignment,
    pub(crate) control: Arc<MemoryControl>,
    pub(crate) level: Option<Level>,
    pub(crate) settings: UnitSettings,
}

/// What came of it.
pub(crate) struct Ran {
    pub(crate) conclusion: Option<Conclusion>,
    pub(crate) reason: Option<String>,
    pub(crate) outputs: BTreeMap<String, String>,
    pub(crate) environment_url: Option<String>,
    pub(crate) log: String,
    pub(crate) control: Arc<MemoryControl>,
    pub(crate) dir: tempfile::TempDir,
}

/// Sandboxes of one machine have each its own id.
static NEXT: AtomicU32 = AtomicU32::new(0);

pub(crate) fn exe() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_windlass-job"))
}

/// The job `j` of a workflow of which only what is below `jobs.j` is given, without `runs-on`.
pub(crate) fn job(body: &str) -> Fixture {
    let body = body.replace('\n', "\n    ");
    workflow(&format!("on: push\njobs:\n  j:\n    runs-on: ubuntu-latest\n    {body}"))
}

pub(crate) fn workflow(text: &str) -> Fixture {
    let control = Arc::new(MemoryControl::default());
    let dir = tempfile::tempdir().unwrap();
    let settings = UnitSettings { runner: "test".into(), ..UnitSettings::default() };
    // All of these tests can be run at another level: WINDLASS_SANDBOX names it.
    let level = std::env::var("WINDLASS_SANDBOX").ok().and_then(|level| level.parse().ok());
    let level = Some(level.unwrap_or(Level::Process));
    Fixture { dir, assignment: assignment(text), control, level, settings }
}

pub(crate) fn assignment(text: &str) -> Assignment {
    Assignment {
        job: format!("job_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)),
        run: "run_test".into(),
        project: "shop".into(),
        attempt: 1,
        name: "j".into(),
        key: "j".into(),
        workflow_file: ".github/workflows/ci.yml".into(),
        workflow_text: text.into(),
        github: json!({
            "repository": "team/shop", "ref": "refs/heads/main", "ref_name": "main", "event_name": "push", "actor": "ann",
            "sha": "0123456789012345678901234567890123456789", "run_id": "7", "event": {"after": "x"},
            "server_url": "http://localhost", "ref_protected": false,
        }),
        needs: json!({"before": {"result": "success", "outputs": {"n": "5"}}}),
        strategy: json!({"job-index": 0, "job-total": 1, "fail-fast": true, "max-parallel": 1}),
        matrix: json!({"os": "linux"}),
        inputs: json!({}),
        vars: json!({"COLOUR": "blue"}),
        secrets: BTreeMap::from([("PASSWORD".to_owned(), Secret::new("hunter2-correct-horse".to_owned()))]),
        token: Secret::new("job-token-0123456789".to_owned()),
        environment: None,
        timeout_minutes: 5.0,
        lease_seconds: 3,
        server_url: "http://localhost".into(),
        clone_url: "http://localhost/shop.git".into(),
        registry: "localhost".into(),
        tools: None,
        cache_mode: String::new(),
        debug: false,
        services: None,
    }
}

/// What the machine permits is found out once in a process.
async fn sandboxes(level: Option<Level>) -> Arc<Linux> {
    static STRONGEST: OnceCell<Arc<Linux>> = OnceCell::const_new();
    static PROCESS: OnceCell<Arc<Linux>> = OnceCell::const_new();
    let found = if level.is_some() { &PROCESS } else { &STRONGEST };
    let open = || async {
        let root = tempfile::tempdir().unwrap();
        let config = RuntimeConfig { exe: exe(), scratch_root: root.path().to_owned(), level };
        Arc::new(Linux::open(config).await.unwrap())
    };
    found.get_or_init(open).await.clone()
}

impl Fixture {
    pub(crate) async fn run(self) -> Ran {
        let linux = sandboxes(self.level).await;
        self.run_with(linux).await
    }

    /// Runs it with these sandboxes.
    pub(crate) async fn run_with(self, sandboxes: Arc<dyn Runtime>) -> Ran {
        let folder = self.dir.path().join("job");
        let exe = exe();
        let whole = run_job(
            &folder,
            &exe,
            self.settings,
            self.assignment,
            sandboxes,
            self.control.clone(),
            Arc::new(SystemClock),
        );
        let conclusion = Box::pin(whole).await.unwrap();
        let finished = self.control.happenings().into_iter().find_map(|what| match what {
            JobHappening::Finished { reason, outputs, environment_url, .. } => {
                Some((reason, outputs, environment_url))
            }
            _ => None,
        });
        let (reason, outputs, environment_url) = finished.unwrap_or_default();
        let log = self.control.log();
        let log = log
            .lines()
            .map(|line| line.split_once(' ').map_or("", |(_, text)| text))
            .collect::<Vec<_>>()
            .join("\n");
        Ran { conclusion, reason, outputs, environment_url, log, control: self.control, dir: self.dir }
    }
}

impl Ran {
    /// Each step's name and conclusion, as they stood at the end.
    pub(crate) fn steps(&self) -> Vec<(String, Conclusion)> {
        self.views().into_iter().map(|step| (step.name, step.conclusion.unwrap())).collect()
    }

    pub(crate) fn views(&self) -> Vec<StepView> {
        let mut steps: BTreeMap<u32, StepView> = BTreeMap::new();
        for what in self.control.happenings() {
            if let JobHappening::Step { step } = what {
                steps.insert(step.number, step);
            }
        }
        assert!(
            steps.values().all(|step| step.state == State::Completed),
            "every step has an end: {steps:?}"
        );
        steps.into_values().collect()
    }

    pub(crate) fn annotations(&self) -> Vec<AnnotationView> {
        let annotation = |what| match what {
            JobHappening::Annotation { annotation } => Some(annotation),
            _ => None,
        };
        self.control.happenings().into_iter().filter_map(annotation).collect()
    }

    pub(crate) fn summary(&self) -> String {
        let summary = |what| match what {
            JobHappening::Summary { markdown } => Some(markdown),
            _ => None,
        };
        self.control.happenings().into_iter().filter_map(summary).collect()
    }

    /// Asserts that the job succeeded; shows the log if not.
    #[track_caller]
    pub(crate) fn succeeded(&self) -> &Self {
        assert_eq!(self.conclusion, Some(Conclusion::Success), "{}", self.log);
        self
    }

    /// Asserts that a line stands in the log, as a whole.
    #[track_caller]
    pub(crate) fn says(&self, line: &str) -> &Self {
        assert!(self.log.lines().any(|l| l == line), "`{line}` is missing in:\n{}", self.log);
        self
    }

    pub(crate) async fn artifact_names(&self) -> Vec<String> {
        self.control.artifacts().await.unwrap().into_iter().map(|artifact| artifact.name).collect()
    }
}
