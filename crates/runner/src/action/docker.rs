//! The actions of the name `docker/…`: names for images by plain computing, images by our own builder, and the machine's
//! Docker where it is asked for by name and the operator lets jobs use it.

mod build;
mod metadata;
mod own;
mod rules;

use std::path::Path;

use async_trait::async_trait;
use windlass_runtime::Exec;

use super::{Action, ActionError, ActionRun, failed};
use crate::docker::NO_DOCKER;
use crate::place::PlaceError;

pub(super) use build::BuildPush;
pub(super) use metadata::Metadata;

pub(super) struct Login;
pub(super) struct SetupBuildx;
pub(super) struct SetupQemu;

/// Fails unless programs of the job may use Docker, and it answers.
async fn engine(run: &ActionRun<'_>) -> Result<(), ActionError> {
    if !run.job.docker.allowed {
        return Err(failed(NO_DOCKER));
    }
    let asked = run.read(&["docker", "version", "--format", "{{.Server.Version}}"], &run.workspace()).await?;
    match asked {
        Some(version) => {
            run.voice.say(&format!("Docker Engine {}", version.trim()));
            Ok(())
        }
        None => Err(failed(
            "Docker does not answer: is `docker` installed on the runner's machine, and does its engine run?",
        )),
    }
}

/// Runs a program with something to read, which is not shown.
async fn fed(run: &ActionRun<'_>, argv: &[&str], input: &str) -> Result<(), ActionError> {
    let exec = Exec { env: run.env.clone(), ..Exec::new(argv.iter().copied()) };
    let exec = exec.cwd(run.workspace()).stdin(input.as_bytes().to_vec());
    match run.job.place.ask(exec, &run.patience).await? {
        (0, out, _) => {
            run.voice.say(out.trim_end());
            Ok(())
        }
        (code, _, err) => {
            Err(failed(format!("`{} {}` failed with exit code {code}: {}", argv[0], argv[1], err.trim())))
        }
    }
}

#[async_trait]
impl Action for Login {
    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("registry", ""),
            ("username", ""),
            ("password", ""),
            ("scope", ""),
            ("ecr", "auto"),
            ("logout", "true"),
            ("registry-auth", ""),
        ]
    }

    async fn run(&self, run: &mut ActionRun<'_>) -> Result<(), ActionError> {
        if !run.input("registry-auth").is_empty() {
            return Err(failed("`registry-auth` is not supported: use one step per registry"));
        }
        let (user, password) = (run.required("username")?.to_owned(), run.required("password")?.to_owned());
        run.voice.log.mask(&password);
        let registry = run.input("registry").to_owned();
        run.job.remember_login(host(&registry), &user, &password);
        if run.job.docker.allowed {
            engine(run).await?;
            let mut argv = vec!["docker", "login", "--username", &user, "--password-stdin"];
            argv.extend((!registry.is_empty()).then_some(registry.as_str()));
            fed(run, &argv, &password).await?;
        } else {
            run.voice.say(&format!("Builds of this job log in to {} as {user}.", host(&registry)));
        }
        if run.flag("logout")? {
            run.save("registry", if registry.is_empty() { "docker.io" } else { &registry });
        }
        Ok(())
    }

    fn has_post(&self) -> bool {
        true
    }

    async fn post(
        &self,
        run: &mut ActionRun<'_>,
        state: &std::collections::BTreeMap<String, String>,
    ) -> Result<(), ActionError> {
        let Some(registry) = state.get("registry") else { return Ok(()) };
        run.job.forget_login(host(registry));
        if !run.job.docker.allowed {
            return Ok(());
        }
        let registry = (registry != "docker.io").then_some(registry.as_str());
        let argv: Vec<&str> = ["docker", "logout"].into_iter().chain(registry).collect();
        run.program(&argv, &run.workspace()).await.map(|_| ())
    }
}

#[async_trait]
impl Action for SetupBuildx {
    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("version", ""),
            ("driver", "docker-container"),
            ("driver-opts", ""),
            ("buildkitd-flags", ""),
            ("buildkitd-config", ""),
            ("buildkitd-config-inline", ""),
            ("install", "false"),
            ("use", "true"),
            ("endpoint", ""),
            ("platforms", ""),
            ("append", ""),
            ("keep-state", "false"),
            ("cache-binary", "true"),
            ("cleanup", "true"),
        ]
    }

    async fn run(&self, run: &mut ActionRun<'_>) -> Result<(), ActionError> {
        if !own::is_dockers(run) && ["", "docker-container"].contains(&run.input("driver")) {
            run.voice
                .say("Images are built by Windlass itself; `driver: docker` asks for the machine's Docker.");
            let own = format!("linux/{}", platform(std::env::consts::ARCH));
            for (name, value) in
                [("name", own::NAME), ("driver", own::NAME), ("platforms", &own), ("nodes", "[]")]
            {
                run.output(name, value);
            }
            return Ok(());
        }
        engine(run).await?;
        let workspace = run.workspace();
        let Some(version) = run.read(&["docker", "buildx", "version"], &workspace).await? else {
            return Err(failed(
                "`docker buildx` is not on the runner's machine: install the plugin; without this step, \
                 docker/build-push-action uses `docker build`",
            ));
        };
        run.voice.say(version.trim());
        // The machine's own builder: one more is a container that outlives the job.
        for name in ["version", "driver-opts", "buildkitd-config", "buildkitd-config-inline", "append"] {
            if !run.input(name).is_empty() {
                run.voice.warn(&format!("`{name}` has no effect: the machine's own builder is used"));
            }
        }
        run.output("name", "default");
        run.output("driver", "docker");
        run.output("platforms", "");
        run.output("nodes", "[]");
        Ok(())
    }
}

#[async_trait]
impl Action for SetupQemu {
    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[("image", ""), ("platforms", "all"), ("reset", "false"), ("cache-image", "true")]
    }

    async fn run(&self, run: &mut ActionRun<'_>) -> Result<(), ActionError> {
        let listed = run.read(&["ls", "/proc/sys/fs/binfmt_misc"], Path::new("/")).await?.unwrap_or_default();
        let platforms: Vec<String> = listed
            .lines()
            .filter_map(|line| line.trim().strip_prefix("qemu-"))
            .map(|machine| format!("linux/{}", platform(machine)))
            .collect();
        run.voice.say(&format!(
            "This machine emulates: {}",
            if platforms.is_empty() { "nothing".into() } else { platforms.join(", ") }
        ));
        let wanted = run.input("platforms").to_owned();
        for wanted in wanted.split(',').map(str::trim).filter(|name| !name.is_empty() && *name != "all") {
            let wanted = if wanted.contains('/') { wanted.to_owned() } else { format!("linux/{wanted}") };
            let own = format!("linux/{}", platform(std::env::consts::ARCH));
            if wanted != own && !platforms.contains(&wanted) {
                return Err(failed(format!(
                    "{wanted} is not emulated on the runner's machine: install qemu-user-static with binfmt support there"
                )));
            }
        }
        run.output("platforms", platforms.join(","));
        Ok(())
    }
}

/// The host that a registry's address stands for.
fn host(registry: &str) -> &str {
    let host = registry.trim_start_matches("https://").trim_start_matches("http://");
    match host.split('/').next().unwrap_or_default() {
        "" | "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    }
}

/// A processor as images name it.
fn platform(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i686" => "386",
        other => other,
    }
}

impl ActionRun<'_> {
    /// Whether a program of the job's may be run and is there.
    async fn has(&self, argv: &[&str]) -> Result<bool, PlaceError> {
        Ok(self.read(argv, &self.workspace()).await?.is_some())
    }
}
