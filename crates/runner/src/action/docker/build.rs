//! `docker/build-push-action`: our own builder, or where Docker was asked for by name `docker buildx build`, or
//! `docker build` where there is no buildx.

use async_trait::async_trait;

use super::super::{Action, ActionError, ActionRun, failed};
use super::own;

pub(in super::super) struct BuildPush;

/// Inputs that are lists, with the option that each line becomes.
const LISTS: &[(&str, &str)] = &[
    ("add-hosts", "--add-host"),
    ("allow", "--allow"),
    ("annotations", "--annotation"),
    ("attests", "--attest"),
    ("build-args", "--build-arg"),
    ("build-contexts", "--build-context"),
    ("cache-from", "--cache-from"),
    ("cache-to", "--cache-to"),
    ("labels", "--label"),
    ("no-cache-filters", "--no-cache-filter"),
    ("outputs", "--output"),
    ("platforms", "--platform"),
    ("secret-files", "--secret"),
    ("ssh", "--ssh"),
    ("tags", "--tag"),
    ("ulimit", "--ulimit"),
];
/// Inputs that are one value.
const VALUES: &[(&str, &str)] = &[
    ("builder", "--builder"),
    ("cgroup-parent", "--cgroup-parent"),
    ("file", "--file"),
    ("network", "--network"),
    ("shm-size", "--shm-size"),
    ("target", "--target"),
];
/// Inputs that are yes or no.
const FLAGS: &[(&str, &str)] =
    &[("load", "--load"), ("no-cache", "--no-cache"), ("pull", "--pull"), ("push", "--push")];
/// What only buildx knows.
const BUILDX_ONLY: &[&str] = &[
    "--allow",
    "--annotation",
    "--attest",
    "--build-context",
    "--builder",
    "--cache-to",
    "--no-cache-filter",
    "--output",
    "--secret",
    "--ssh",
];

#[async_trait]
impl Action for BuildPush {
    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("add-hosts", ""),
            ("allow", ""),
            ("annotations", ""),
            ("attests", ""),
            ("build-args", ""),
            ("build-contexts", ""),
            ("builder", ""),
            ("cache-from", ""),
            ("cache-to", ""),
            ("call", ""),
            ("cgroup-parent", ""),
            ("context", ""),
            ("file", ""),
            ("labels", ""),
            ("load", "false"),
            ("network", ""),
            ("no-cache", "false"),
            ("no-cache-filters", ""),
            ("outputs", ""),
            ("platforms", ""),
            ("provenance", ""),
            ("pull", "false"),
            ("push", "false"),
            ("sbom", ""),
            ("secrets", ""),
            ("secret-envs", ""),
            ("secret-files", ""),
            ("shm-size", ""),
            ("ssh", ""),
            ("tags", ""),
            ("target", ""),
            ("ulimit", ""),
            ("github-token", ""),
        ]
    }

    async fn run(&self, run: &mut ActionRun<'_>) -> Result<(), ActionError> {
        if own::is_dockers(run) { by_docker(run).await } else { own::build(run).await }
    }
}

/// With the machine's Docker.
async fn by_docker(run: &mut ActionRun<'_>) -> Result<(), ActionError> {
    for name in ["secrets", "secret-envs", "call"] {
        if !run.input(name).is_empty() {
            return Err(failed(format!("`{name}` is not supported yet: `secret-files` is")));
        }
    }
    super::engine(run).await?;
    let context = match run.input("context") {
        "" => ".".to_owned(),
        context => context.to_owned(),
    };
    let buildx = run.has(&["docker", "buildx", "version"]).await?;
    let mut options = options(run)?;
    let id = run.job.place.layout.temp.join(format!("image-id-{}", run.job.next_serial()));
    let facts = run.job.place.layout.temp.join(format!("image-facts-{}.json", run.job.next_serial()));
    let push = run.flag("push")?;
    let foreign = options.iter().find(|option| BUILDX_ONLY.contains(&option.as_str()));
    if let Some(foreign) = foreign.filter(|_| !buildx) {
        return Err(failed(format!(
            "`{foreign}` needs `docker buildx`, which is not on the runner's machine"
        )));
    }
    if !buildx {
        options.retain(|option| option != "--push" && option != "--load");
    }
    options.push(format!("--iidfile={}", id.display()));
    if buildx {
        options.push(format!("--metadata-file={}", facts.display()));
    }
    let begin: &[&str] = if buildx { &["docker", "buildx", "build"] } else { &["docker", "build"] };
    let argv: Vec<&str> =
        begin.iter().copied().chain(options.iter().map(String::as_str)).chain([context.as_str()]).collect();
    run.must(&argv, &run.workspace()).await?;
    if push && !buildx {
        for tag in entries(run, "tags") {
            run.must(&["docker", "push", &tag], &run.workspace()).await?;
        }
    }
    let read = |path: &std::path::Path| run.job.place.below.read_text(path, 1 << 20).unwrap_or_default();
    let (image, facts) = (read(&id).trim().to_owned(), read(&facts).trim().to_owned());
    let digest = serde_json::from_str::<serde_json::Value>(&facts)
        .ok()
        .and_then(|facts| facts["containerimage.digest"].as_str().map(str::to_owned));
    run.output("imageid", image);
    run.output("digest", digest.unwrap_or_default());
    run.output("metadata", facts);
    Ok(())
}

/// A list's entries: one per line; where options are written with commas, those stay.
pub(super) fn entries(run: &ActionRun<'_>, name: &str) -> Vec<String> {
    let commas = ["tags", "platforms", "allow", "add-hosts", "ulimit", "no-cache-filters"].contains(&name);
    let lines = run.lines(name).into_iter();
    let parts = |line: String| -> Vec<String> {
        if commas { line.split(',').map(|part| part.trim().to_owned()).collect() } else { vec![line] }
    };
    lines.flat_map(parts).filter(|entry| !entry.is_empty()).collect()
}

fn options(run: &ActionRun<'_>) -> Result<Vec<String>, ActionError> {
    let mut options = Vec::new();
    for (name, option) in LISTS {
        for entry in entries(run, name) {
            options.extend([(*option).to_owned(), entry]);
        }
    }
    for (name, option) in VALUES {
        if !run.input(name).is_empty() {
            options.extend([(*option).to_owned(), run.input(name).to_owned()]);
        }
    }
    for (name, option) in FLAGS {
        options.extend(run.flag(name)?.then(|| (*option).to_owned()));
    }
    for name in ["provenance", "sbom"] {
        let value = run.input(name);
        if !value.is_empty() && value != "false" {
            options.push(format!("--{name}={value}"));
        }
    }
    Ok(options)
}
