//! An ordinary Python web application with an ordinary Dockerfile: from the push to production, and no Docker anywhere.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use windlass_api::Conclusion;

use crate::platform::{Options, Platform, Repository, job, page, program, request, told, wait_for};

const PROJECT: &str = "hello";
/// The user that the image's password file has for `app`.
const APP: u64 = 10_001;

/// Variables with which nothing finds a Docker: neither its program, where the path can do without that folder, nor an engine.
fn without_docker() -> Vec<(String, String)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let kept: Vec<_> = std::env::split_paths(&path).filter(|dir| !dir.join("docker").exists()).collect();
    let nowhere = ("DOCKER_HOST".to_owned(), "unix:///nowhere/docker.sock".to_owned());
    let usable = ["git", "sh"].iter().all(|name| kept.iter().any(|dir| dir.join(name).is_file()));
    let path = std::env::join_paths(kept).ok().and_then(|path| path.into_string().ok());
    let path = path.filter(|_| usable).map(|path| ("PATH".to_owned(), path));
    path.into_iter().chain([nowhere]).collect()
}

/// A platform, if this machine has what the test needs.
fn platform(name: &str) -> Option<Platform> {
    for needed in ["python3", "ldd"] {
        if program(needed).is_none() {
            windlass_testkit::skip(name, &format!("there is no {needed} to make a base image with"));
            return None;
        }
    }
    let platform = Platform::start_with(name, Options { env: without_docker(), ..Options::default() })?;
    let status: windlass_api::Status = platform.get("/api/v1/status");
    if status.sandbox.starts_with("process") {
        windlass_testkit::skip(name, "this machine gives no sandbox with namespaces");
        return None;
    }
    Some(platform)
}

/// `windlass build` of a folder by the platform's owner, pushed as `image`; gives the digest.
fn build_and_push(platform: &Platform, context: &Path, image: &str) -> String {
    let told_of = context.with_extension("metadata.json");
    let (context, metadata) = (context.to_str().unwrap(), told_of.to_str().unwrap());
    let mut command =
        platform.command(&["build", "-t", image, "--push", "--metadata-file", metadata, context]);
    command.env("WINDLASS_BUILD_STORE", platform.folder().join("build-store"));
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "windlass build: {}", told(&output));
    let metadata: Value = serde_json::from_slice(&std::fs::read(told_of).unwrap()).unwrap();
    metadata["containerimage.digest"].as_str().unwrap().to_owned()
}

/// `shared/python:3`, of this machine's own Python; gives its digest.
fn base(platform: &Platform) -> String {
    let context = platform.folder().join("base");
    std::fs::create_dir(&context).unwrap();
    let laid_out: Output = Command::new("python3")
        .args(["-c", include_str!("dockerfile/base.py")])
        .arg(context.join("tree"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(laid_out.status.success(), "{}", told(&laid_out));
    let text = "FROM scratch\nCOPY tree/ /\nENV PATH=/usr/local/bin:/bin PYTHONDONTWRITEBYTECODE=1\n";
    std::fs::write(context.join("Dockerfile"), text).unwrap();
    build_and_push(platform, &context, &format!("{}/shared/python:3", platform.address()))
}

/// The project's files, with these words to say and the word that its test wants.
fn lay_out(platform: &Platform, repository: &Repository, words: &str, wanted: &str) {
    let here = |text: &str| text.replace("HOST", platform.address());
    repository.write(".github/workflows/deliver.yml", here(include_str!("dockerfile/deliver.yml")));
    repository.write(".github/workflows/hand.yml", include_str!("dockerfile/hand.yml"));
    repository.write("windlass.yml", include_str!("dockerfile/windlass.yml"));
    repository.write("Dockerfile", include_str!("dockerfile/Dockerfile"));
    repository.write(".dockerignore", ".git\n.github\n").write("words.txt", words);
    repository.write("app.py", include_str!("dockerfile/app.py"));
    repository.write("build.py", include_str!("dockerfile/build.py"));
    repository.write("test_app.py", include_str!("dockerfile/test_app.py").replace("WANTED", wanted));
}

/// What the application answers in an environment.
fn answer(platform: &Platform, environment: &str) -> Value {
    let reply = request(platform, &format!("{PROJECT}.{environment}.localhost"), "/").unwrap();
    assert_eq!(reply.status, 200, "{}", reply.body);
    serde_json::from_str(&reply.body).unwrap()
}

/// The digest of what is live in an environment.
fn live(platform: &Platform, environment: &str) -> String {
    let live = platform.environment(PROJECT, environment).live;
    live.unwrap_or_else(|| panic!("nothing is live in {environment}")).images[PROJECT].clone()
}

#[test]
fn a_python_application_goes_from_push_to_production_without_docker() {
    let Some(platform) = platform("dockerfile: from push to production") else { return };
    let base = base(&platform);
    let repository = Repository::new(&platform, PROJECT);
    lay_out(&platform, &repository, "hello\n", "hello");
    let sha = repository.ship(&platform, "Say hello");
    let run = platform.concludes(PROJECT, &sha, Conclusion::Success);
    let log = platform.log(&run, "image");
    for said in ["made before: nothing", "test_hello (test_app.Answers"] {
        assert!(log.contains(said), "no `{said}` in\n{log}");
    }
    let built = job(&run, "image").outputs["digest"].clone();
    for environment in ["staging", "production"] {
        assert_eq!(live(&platform, environment), built);
        let wanted = json!({"says": "hello", "uid": APP, "home": "/srv/app"});
        assert_eq!(answer(&platform, environment), wanted, "{environment}");
    }
    nobody_is_root(&platform);
    let checked = platform.ok(&["image", "verify", &format!("{PROJECT}@{built}")]);
    assert!(checked.contains("good https://slsa.dev/provenance/v1"), "{checked}");

    refused_without_evidence(&platform, &built);
    assert_eq!(live(&platform, "production"), built);

    // What its own test does not want goes nowhere.
    lay_out(&platform, &repository, "good evening\n", "good morning");
    let sha = repository.ship(&platform, "Say something else");
    let run = platform.concludes(PROJECT, &sha, Conclusion::Failure);
    let log = platform.log(&run, "image");
    assert!(log.contains("'good evening' != 'good morning'"), "{log}");
    assert_eq!(job(&run, "production").conclusion, Some(Conclusion::Skipped));
    assert_eq!(
        (live(&platform, "production"), answer(&platform, "production")["says"].as_str()),
        (built, Some("hello"))
    );

    shared_is_for_reading(&platform, &base);
    platform.assert_ledger_whole();
}

/// The application's processes, as the machine sees them: one for each environment, none of them root's.
fn nobody_is_root(platform: &Platform) {
    let apps: Vec<_> =
        platform.processes().into_iter().filter(|p| p.command.starts_with("python3 app.py")).collect();
    assert_eq!(apps.len(), 2, "{apps:?}");
    for app in apps {
        let status = std::fs::read_to_string(format!("/proc/{}/status", app.pid)).unwrap();
        let line = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
        assert!(line.split_whitespace().skip(1).all(|uid| uid != "0"), "{app}: {line}");
    }
}

/// An image that somebody pushed by hand: staging, which asks for nothing, takes it; production does not.
fn refused_without_evidence(platform: &Platform, built: &str) {
    let context = platform.folder().join("hand");
    std::fs::create_dir(&context).unwrap();
    let address = platform.address();
    let text = format!("FROM {address}/{PROJECT}@{built}\nENV MADE_BY=hand\n");
    std::fs::write(context.join("Dockerfile"), text).unwrap();
    let digest = build_and_push(platform, &context, &format!("{address}/{PROJECT}:hand"));
    assert_ne!(digest, built);
    platform.ok(&["workflow", "run", PROJECT, "hand.yml", "--input", &format!("digest={digest}")]);
    let run = wait_for("the run by hand", 30, || {
        platform.runs(PROJECT).into_iter().find(|run| run.event == "workflow_dispatch")
    });
    let run = platform.ended(&run.id, 120);
    assert_eq!(job(&run, "staging").conclusion, Some(Conclusion::Success));
    let production = job(&run, "production");
    assert_eq!(production.conclusion, Some(Conclusion::Failure));
    let reason = production.reason.clone().unwrap_or_default();
    assert!(reason.starts_with("production requires evidence that is missing:\n"), "{reason}");
    assert!(reason.contains("- provenance (hello): "), "{reason}");
    assert_eq!(live(platform, "staging"), digest);
}

/// Another project builds over what is shared, and cannot replace it.
fn shared_is_for_reading(platform: &Platform, base: &str) {
    let here = |text: &str| text.replace("HOST", platform.address());
    let stranger = Repository::new(platform, "stranger");
    stranger.write(".github/workflows/build.yml", here(include_str!("dockerfile/stranger.yml")));
    stranger.write("Dockerfile", here("FROM HOST/shared/python:3\nENV STRANGE=yes\n"));
    let sha = stranger.ship(platform, "Build over the shared image, then in its place");
    let run = platform.concludes("stranger", &sha, Conclusion::Failure);
    assert_eq!(job(&run, "pull").conclusion, Some(Conclusion::Success), "{}", platform.log(&run, "pull"));
    let log = platform.log(&run, "push");
    assert_eq!(job(&run, "push").conclusion, Some(Conclusion::Failure), "{log}");
    assert!(log.contains("shared/python"), "the failure does not say where it was refused: {log}");
    let shared = page(platform, "/v2/shared/python/manifests/3");
    assert!(shared.head.contains(base), "it is no longer {base}: {}", shared.head);
}
