//! `windlass build`: images from Dockerfiles, without a daemon.

mod auto;
mod docker;
pub(crate) mod images;
mod login;
mod raw;
mod tty;
mod values;

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use windlass_build::{
    BuildError, BuildRequest, Builder, BuilderConfig, Compression, Context, DockerfileSource, Network,
    Outcome, Output, Plain, Progress, Quiet, Store, metadata,
};
use windlass_kernel::diagnostic::Diagnostic;
use windlass_kernel::{OsEntropy, SystemClock};

use crate::connection::Global;
use crate::failure::{Exit, Failure};

/// Build an image from a Dockerfile, without a daemon
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  windlass build .                                       the Dockerfile of this folder
  windlass build -t app:1 --target web --build-arg V=2 .
  windlass build -t 127.0.0.1:7700/app:1 --push .         into a registry
  windlass build --secret id=token,env=TOKEN -o type=oci,dest=app.tar .
  windlass build --cache-from REGISTRY/cache --cache-to type=registry,ref=REGISTRY/cache .
  windlass build --check .                               what could be better; nothing is built
  windlass build --auto --dry-run .                      no Dockerfile: what the project is, and how it is built

Exit codes: 0 built, 1 a step or the Dockerfile failed, 2 wrong command line.")]
#[expect(clippy::struct_field_names, reason = "options are called what Docker calls them")]
pub(crate) struct Build {
    /// The folder that COPY and ADD see, the address of a Git repository or tar, or `-`: a tar or a Dockerfile from standard input
    context: String,
    /// The Dockerfile, or `-` for standard input [default: CONTEXT/Dockerfile]
    #[arg(short, long)]
    file: Option<String>,
    /// A name for the image, with or without a tag; may be given again
    #[arg(short, long = "tag", value_name = "NAME")]
    tags: Vec<String>,
    /// The stage to build
    #[arg(long)]
    target: Option<String>,
    /// A build argument: NAME=VALUE, or NAME for the value of that variable here
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    build_args: Vec<String>,
    /// A secret for RUN --mount=type=secret: id=NAME[,src=FILE|,env=VARIABLE]
    #[arg(long = "secret", value_name = "id=NAME,…")]
    secrets: Vec<String>,
    /// An SSH agent for RUN --mount=type=ssh: default, or ID=SOCKET
    #[arg(long, value_name = "default|ID[=SOCKET]")]
    ssh: Vec<String>,
    /// The platforms to build for, such as linux/arm64 [default: this machine's]; several make one index
    #[arg(long, value_name = "OS/ARCHITECTURE", value_delimiter = ',')]
    platform: Vec<String>,
    /// Another context: NAME=FOLDER, NAME=docker-image://IMAGE, NAME=oci-layout://PATH or NAME=ADDRESS of a Git repository or tar
    #[arg(long = "build-context", value_name = "NAME=…")]
    build_contexts: Vec<String>,
    /// A label of the image
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// An annotation of the manifest
    #[arg(long = "annotation", value_name = "NAME=VALUE")]
    annotations: Vec<String>,
    /// Where else steps may have been done: IMAGE, type=registry,ref=IMAGE or type=local,src=FOLDER
    #[arg(long, value_name = "…")]
    cache_from: Vec<String>,
    /// Where to note what was done: type=registry,ref=IMAGE, type=local,dest=FOLDER or type=inline
    #[arg(long, value_name = "…")]
    cache_to: Vec<String>,
    /// Do every step again
    #[arg(long)]
    no_cache: bool,
    /// Do every step of these stages again
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    no_cache_filter: Vec<String>,
    /// Ask the registry for images that are here already
    #[arg(long)]
    pull: bool,
    /// Where the result goes: type=image,push=true, type=oci|docker|tar|local,dest=PATH, or a folder
    #[arg(short, long = "output", value_name = "type=…")]
    outputs: Vec<String>,
    /// Push to the registries that the tags name
    #[arg(long)]
    push: bool,
    /// Hand the image to the Docker of this machine
    #[arg(long)]
    load: bool,
    /// What RUN sees of the network
    #[arg(long, default_value = "default", value_parser = ["default", "host", "none"])]
    network: String,
    /// How progress looks
    #[arg(long, value_enum, default_value_t = Look::Auto)]
    progress: Look,
    /// Print nothing but the image's id
    #[arg(short, long)]
    quiet: bool,
    /// Write the image's id to this file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// Write what was made to this file, as JSON
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
    /// Only say what could be better
    #[arg(long)]
    check: bool,
    /// The most memory of a step, such as 2g
    #[arg(short, long, value_name = "BYTES")]
    memory: Option<String>,
    /// Let the Docker of this machine do it, with the same options
    #[arg(long)]
    docker: bool,
    /// Without a Dockerfile: find out what the project is, build it with this machine's toolchain, make an image of it
    #[arg(long, conflicts_with_all = ["file", "target", "docker", "check"])]
    auto: bool,
    /// Only say what --auto found, and what it would do
    #[arg(long, requires = "auto")]
    dry_run: bool,
    /// Only print a Dockerfile that builds the project anywhere
    #[arg(long, requires = "auto", conflicts_with = "dry_run")]
    print_dockerfile: bool,
    /// Only write that Dockerfile into the project
    #[arg(long, requires = "auto", conflicts_with_all = ["dry_run", "print_dockerfile"])]
    write_dockerfile: bool,
    /// Which program --auto takes, where a project has several
    #[arg(long, requires = "auto", value_name = "NAME")]
    program: Option<String>,
    /// What the image of --auto stands on: machine, scratch, IMAGE, or oci-layout://PATH
    #[arg(long, requires = "auto", value_name = "…")]
    base: Option<String>,
}

/// How progress looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Look {
    /// As a terminal can show it, else plain
    Auto,
    /// Lines that come one after the other
    Plain,
    /// What runs now, drawn anew
    Tty,
    /// Nothing but the id
    Quiet,
    /// One JSON object a line
    Rawjson,
}

/// Builds.
pub(crate) async fn run(global: &Global, build: Build) -> Result<Exit> {
    if build.docker {
        return docker::run();
    }
    // What came from standard input is removed at the end.
    let (mut request, _spooled) = request(&build)?;
    // What its layers are taken from stays ours until the image is there.
    let mut built = None;
    if build.auto {
        match auto::begin(&build, global.json).await? {
            auto::Begun::Told => return Ok(Exit::Done),
            auto::Begun::Built(project) => built = Some(project.into_request(&mut request)?),
        }
    }
    let builder = open_with(global.own_registry()).await?;
    if build.check {
        return check(&builder, &request, global.json).await;
    }
    let quiet = build.quiet || build.progress == Look::Quiet;
    let look = match build.progress {
        _ if quiet => Look::Quiet,
        Look::Auto if asked_plain() => Look::Plain,
        Look::Auto if std::io::stderr().is_terminal() => Look::Tty,
        Look::Auto => Look::Plain,
        look => look,
    };
    let tty = (look == Look::Tty).then(tty::Tty::new);
    let progress: Arc<dyn Progress> = match (&tty, look) {
        (Some(tty), _) => tty.clone(),
        (None, Look::Quiet) => Arc::new(Quiet),
        (None, Look::Rawjson) => Arc::new(raw::Raw::new(Arc::new(SystemClock))),
        (None, _) => Arc::new(Plain::new(|line: &str| drop(writeln!(std::io::stderr(), "{line}")))),
    };
    // What is elsewhere is fetched once, by the build itself.
    let found = if quiet || build.auto || windlass_build::is_remote(&build.context) {
        Vec::new()
    } else {
        findings(&builder, &request).await
    };
    let outcome = tokio::select! {
        outcome = builder.build(request, progress) => outcome,
        _ = tokio::signal::ctrl_c() => {
            if let Some(tty) = &tty {
                tty.close();
            }
            ended(builder).await;
            return Err(Failure::new(Exit::Failed, "interrupted: the steps that ran were ended").into());
        }
    };
    if let Some(tty) = &tty {
        tty.close();
    }
    // What is fetched for nobody any more does not wait: room is made when the store is too large.
    let evicted = builder.store().clone();
    let outcome = outcome.map_err(failure)?;
    if let Some(built) = built.take().filter(|_| !quiet) {
        built.tell(builder.store(), &outcome)?;
    }
    tell(&build, &outcome, quiet, &found)?;
    let room = tokio::task::spawn_blocking(move || images::make_room(&evicted));
    room.await.context("making room in the build store")??;
    Ok(Exit::Done)
}

/// Waits until the steps that ran let go of the store: who is the last to do so removes what they wrote.
async fn ended(builder: Builder) {
    let store = builder.store().clone();
    drop(builder);
    for _ in 0..100 {
        if Arc::strong_count(&store) == 1 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
}

/// Whether this user asks for lines wherever it can be chosen, as with Docker.
fn asked_plain() -> bool {
    std::env::var("BUILDKIT_PROGRESS").is_ok_and(|look| look == "plain")
}

/// The builder of this user.
pub(crate) async fn open() -> Result<Builder> {
    open_with(None).await
}

async fn open_with(own: Option<(String, windlass_kernel::Secret<String>)>) -> Result<Builder> {
    let exe = std::env::current_exe().context("finding the windlass binary")?;
    let config = BuilderConfig { store: Store::usual(), exe };
    let builder = Builder::open(config, Arc::new(SystemClock), Arc::new(OsEntropy)).await.map_err(failure)?;
    Ok(builder.with_keyring(Arc::new(login::Kept::new(own))))
}

fn failure(error: BuildError) -> Failure {
    match error {
        BuildError::Request(why) => Failure::new(Exit::Failed, why),
        other => Failure::new(Exit::Failed, other.to_string()),
    }
}

fn tell(build: &Build, outcome: &Outcome, quiet: bool, found: &[String]) -> Result<()> {
    let id = outcome.id.as_ref().map(ToString::to_string).unwrap_or_default();
    if let Some(path) = &build.iidfile {
        std::fs::write(path, &id).with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(path) = &build.metadata_file {
        let text = serde_json::to_string_pretty(&metadata(outcome))?;
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    if quiet {
        crate::show::print(&id)?;
    }
    let mut err = std::io::stderr().lock();
    if !found.is_empty() {
        writeln!(
            err,
            "\n {} warning{} found (--check shows them whole):",
            found.len(),
            if found.len() == 1 { "" } else { "s" }
        )?;
        for line in found {
            writeln!(err, " - {line}")?;
        }
    }
    Ok(())
}

/// What the lints find, a line each; what cannot be read says the build itself.
async fn findings(builder: &Builder, request: &BuildRequest) -> Vec<String> {
    match builder.check(request).await {
        Ok((file, _, findings)) => {
            let soft = findings.iter().filter(|finding| !finding.is_error());
            soft.map(|finding| finding.one_line(&file)).collect()
        }
        Err(_) => Vec::new(),
    }
}

async fn check(builder: &Builder, request: &BuildRequest, json: bool) -> Result<Exit> {
    let (file, text, findings) = builder.check(request).await.map_err(failure)?;
    if json {
        let list: Vec<_> = findings.iter().map(|finding| as_json(finding, &file)).collect();
        crate::show::json(&list)?;
    } else {
        for finding in &findings {
            crate::show::print(&format!("{}\n", finding.snippet(&file, &text)))?;
        }
        let said = match findings.len() {
            0 => "Check complete, no warnings found.".to_owned(),
            1 => "Check complete, 1 warning has been found!".to_owned(),
            n => format!("Check complete, {n} warnings have been found!"),
        };
        crate::show::print(&said)?;
    }
    Ok(if findings.is_empty() { Exit::Done } else { Exit::Failed })
}

fn as_json(finding: &Diagnostic, file: &str) -> serde_json::Value {
    serde_json::json!({
        "file": file,
        "line": finding.span.start.line,
        "column": finding.span.start.column,
        "severity": finding.severity.as_str(),
        "rule": finding.rule,
        "message": finding.message,
        "help": finding.help,
    })
}

fn request(build: &Build) -> Result<(BuildRequest, Option<tempfile::TempPath>)> {
    let mut request = BuildRequest::of(".");
    let spooled;
    (request.context, request.dockerfile, spooled) = sources(build)?;
    request.target.clone_from(&build.target);
    request.build_args = values::build_args(&build.build_args)?;
    request.secrets = values::secrets(&build.secrets)?;
    request.ssh = values::agents(&build.ssh)?;
    request.contexts = values::contexts(&build.build_contexts)?;
    request.labels = values::pairs("--label", &build.labels)?;
    request.annotations = values::pairs("--annotation", &build.annotations)?;
    request.cache_from = values::all(&build.cache_from, values::cache_from)?;
    request.cache_to = values::all(&build.cache_to, values::cache_to)?;
    for text in &build.outputs {
        let (output, names) = values::output(text)?;
        request.outputs.extend(output);
        request.tags.extend(names);
    }
    if build.push {
        request.outputs.push(Output::Push(Compression::Gzip));
    }
    if build.load {
        request.outputs.push(Output::DockerLoad);
    }
    request.outputs.dedup();
    for tag in &build.tags {
        request.tags.push(tag.parse().map_err(|e| Failure::usage(format!("--tag: {e}")))?);
    }
    for platform in &build.platform {
        let parsed = platform.parse().map_err(|e| Failure::usage(format!("--platform: {e}")))?;
        if !request.platforms.contains(&parsed) {
            request.platforms.push(parsed);
        }
    }
    request.no_cache = build.no_cache;
    request.no_cache_filter.clone_from(&build.no_cache_filter);
    request.pull = build.pull;
    request.network = if build.network == "none" { Network::None } else { Network::Host };
    let epoch = request.build_args.get("SOURCE_DATE_EPOCH").cloned();
    let epoch = epoch.or_else(|| std::env::var("SOURCE_DATE_EPOCH").ok()).filter(|text| !text.is_empty());
    if let Some(epoch) = epoch {
        let wrong =
            |_| Failure::usage(format!("SOURCE_DATE_EPOCH is `{epoch}`: seconds since 1970 are wanted"));
        request.source_date_epoch = Some(epoch.parse().map_err(wrong)?);
    }
    if let Some(memory) = &build.memory {
        request.limits.sandbox.memory_bytes = Some(values::bytes(memory)?);
    }
    Ok((request, spooled))
}

/// Where files and Dockerfile come from; and a file that is to stay until they were read.
fn sources(build: &Build) -> Result<(Context, DockerfileSource, Option<tempfile::TempPath>)> {
    let file_from_stdin = build.file.as_deref() == Some("-");
    if build.context == "-" {
        if file_from_stdin {
            return Err(Failure::usage("context and Dockerfile cannot both come from standard input").into());
        }
        return piped(build);
    }
    let remote = windlass_build::is_remote(&build.context);
    let context = match &build.context {
        address if windlass_build::is_git(address) => Context::Git(address.clone()),
        address if remote => Context::Url(address.clone()),
        folder => Context::Folder(folder.into()),
    };
    let dockerfile = match &build.file {
        Some(_) if file_from_stdin => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).context("reading standard input")?;
            let text = String::from_utf8(bytes);
            DockerfileSource::Text(text.map_err(|_| Failure::usage("the Dockerfile is no text"))?)
        }
        Some(path) if remote => DockerfileSource::InContext(path.clone()),
        Some(path) => DockerfileSource::File(path.into()),
        None => DockerfileSource::InContext("Dockerfile".into()),
    };
    Ok((context, dockerfile, None))
}

/// Standard input: a Dockerfile, if it is text; else a tar, which may be larger than memory.
fn piped(build: &Build) -> Result<(Context, DockerfileSource, Option<tempfile::TempPath>)> {
    const TEXT: u64 = 4 << 20;
    let (mut stdin, mut head) = (std::io::stdin().lock(), Vec::new());
    (&mut stdin).take(TEXT).read_to_end(&mut head).context("reading standard input")?;
    let text =
        std::str::from_utf8(&head).ok().filter(|text| !text.contains('\0') && (text.len() as u64) < TEXT);
    if let Some(text) = text {
        return Ok((Context::Empty, DockerfileSource::Text(text.to_owned()), None));
    }
    let mut spooled = tempfile::NamedTempFile::new().context("keeping the context")?;
    spooled.write_all(&head).context("keeping the context")?;
    std::io::copy(&mut stdin, &mut spooled).context("keeping the context")?;
    let path = spooled.into_temp_path();
    let file = build.file.clone().unwrap_or_else(|| "Dockerfile".into());
    Ok((Context::Tar(path.to_path_buf()), DockerfileSource::InContext(file), Some(path)))
}
