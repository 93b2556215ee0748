//! A small project to deliver: a service in Python, its workflow, its manifest.

use std::process::Command;

use super::{Platform, Repository, program};

/// How the service is delivered.
#[derive(Clone, Debug)]
pub(crate) struct App {
    /// What runs the service.
    python: String,
    /// Lines below the service in `windlass.yml`, without indentation.
    pub(crate) service: Vec<String>,
    /// The environments' part of `windlass.yml`.
    pub(crate) environments: String,
    /// How long a new instance may take, in seconds.
    pub(crate) deadline: u32,
}

const STAGING_ONLY: &str = "  staging: {}\n";
const WITH_APPROVAL: &str = "  staging: {}\n  production:\n    after: staging\n    reviewers: [anyone]\n";

impl App {
    /// One environment, `staging`, without rules. Nothing if this machine has no Python.
    pub(crate) fn staging_only(test: &str) -> Option<Self> {
        let Some(python) = python() else {
            windlass_testkit::skip(test, "there is no python3 on this machine to run a service with");
            return None;
        };
        Some(Self { python, service: Vec::new(), environments: STAGING_ONLY.to_owned(), deadline: 20 })
    }

    /// Then `production`, after an approval.
    pub(crate) fn with_approval(test: &str) -> Option<Self> {
        let environments = WITH_APPROVAL.to_owned();
        Some(Self { environments, ..Self::staging_only(test)? })
    }

    /// The interpreter that every user can run.
    pub(crate) fn with_system_python(mut self) -> Option<Self> {
        let python = std::path::Path::new("/usr/bin/python3");
        self.python = python.is_file().then(|| python.display().to_string())?;
        Some(self)
    }

    /// Writes all files of a project into a clone.
    pub(crate) fn lay_out(&self, repository: &Repository) {
        repository.write("server.py", include_str!("../app/server.py"));
        repository.write("files/version", "1").write("windlass.yml", self.manifest());
        repository.write(".github/workflows/ship.yml", self.workflow());
    }

    /// The host of the service in an environment.
    pub(crate) fn host(environment: &str) -> String {
        format!("app.{environment}.localhost")
    }

    fn manifest(&self) -> String {
        let more = self.service.iter().fold(String::new(), |text, line| text + "    " + line + "\n");
        format!(
            "services:\n  app:\n    port: 8080\n    drain: 3s\n    health: {{ path: /health, interval: 100ms, \
             timeout: 2s, deadline: {}s }}\n{more}environments:\n{}",
            self.deadline, self.environments
        )
    }

    fn workflow(&self) -> String {
        let deploy = |environment: &str, needs: &str| {
            format!(
                "  {environment}:\n    needs: {needs}\n    runs-on: ubuntu-latest\n    environment: {environment}\n    \
                 steps:\n      - uses: windlass/deploy@v1\n        with:\n          \
                 image: ${{{{ needs.build.outputs.digest }}}}\n"
            )
        };
        let production = if self.environments.contains("production") {
            deploy("production", "[build, staging]")
        } else {
            String::new()
        };
        format!(
            "name: ship\non:\n  push:\n    branches: [main]\njobs:\n  build:\n    runs-on: ubuntu-latest\n    \
             outputs:\n      digest: ${{{{ steps.image.outputs.digest }}}}\n    steps:\n      \
             - uses: actions/checkout@v4\n      - id: image\n        uses: windlass/build@v1\n        with:\n          \
             base: machine\n          files: |\n            server.py:/app/server.py\n            files:/app\n          \
             entrypoint: {} /app/server.py\n          expose: 8080\n{}{production}",
            self.python,
            deploy("staging", "build")
        )
    }

    /// A project with version 1 of the service, pushed.
    pub(crate) fn ship(&self, platform: &Platform, project: &str) -> (Repository, String) {
        let repository = Repository::new(platform, project);
        self.lay_out(&repository);
        let sha = repository.ship(platform, "Version 1");
        (repository, sha)
    }
}

/// The interpreter itself, behind whatever picks one by name.
fn python() -> Option<String> {
    program("python3")?;
    let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !path.is_empty()).then_some(path)
}
