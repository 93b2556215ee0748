//! `windlass build --auto`: a project without a Dockerfile is recognised, built by this machine's own toolchain, and laid
//! into an image whose layers have dependencies apart from code.

mod crates;
mod look;
mod stage;

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use windlass_build::{BuildRequest, Context, DockerfileSource, NamedContext, Outcome, Store};
use windlass_dockerfile::auto::{self, Files, Ground, Project, Where};
use windlass_oci::ImageName;

use super::Build;
use crate::failure::{Exit, Failure};

/// What a base that is a folder or a layout is called in the Dockerfile.
const NAMED_BASE: &str = "base";

/// What came of the beginning.
pub(super) enum Begun {
    /// It was only to be told.
    Told,
    /// The project is built; an image can be made of it.
    Built(Box<Built>),
}

/// A project that was built, with the folder that its layers are taken from, which is ours as long as this is there.
pub(super) struct Built {
    project: Project,
    base: Option<NamedContext>,
    out: PathBuf,
    _lock: File,
}

impl Built {
    /// What is built is the image of the layers.
    pub(super) fn into_request(self: Box<Self>, request: &mut BuildRequest) -> Result<Box<Self>> {
        request.context = Context::Folder(self.out.clone());
        request.dockerfile = DockerfileSource::Text(self.project.assembly());
        if let Some(base) = &self.base {
            request.contexts.insert(NAMED_BASE.to_owned(), base.clone());
        }
        // No time of this build is in the image: the same files give the same digest.
        request.source_date_epoch.get_or_insert(0);
        if request.tags.is_empty() {
            let name =
                self.project.name.parse().map_err(|e| Failure::usage(format!("the image's name: {e}")))?;
            request.tags.push(name);
        }
        Ok(self)
    }

    /// Says of each layer what it is, and how large.
    pub(super) fn tell(&self, store: &Store, outcome: &Outcome) -> Result<()> {
        let named: Option<ImageName> = outcome.names.first().and_then(|name| name.parse().ok());
        let Some(image) = named.and_then(|name| store.image(&name)) else { return Ok(()) };
        let mut err = std::io::stderr().lock();
        let below = image.layers.len().saturating_sub(self.project.layers.len());
        for (at, layer) in image.layers.iter().enumerate() {
            let name = at.checked_sub(below).map_or("base", |own| self.project.layers[own].name);
            let digest = layer.diff_id.hex();
            let short = digest.get(..12).unwrap_or(digest);
            writeln!(err, "  layer   {name:<14} {:>10}  sha256:{short}", kilobytes(layer.size))?;
        }
        Ok(())
    }
}

fn kilobytes(bytes: u64) -> String {
    if bytes >= 10_000_000 {
        format!("{} MB", bytes / 1_000_000)
    } else {
        format!("{} kB", bytes.div_ceil(1000))
    }
}

/// Recognises a project, and builds it unless it is only to be told.
pub(super) async fn begin(build: &Build, json: bool) -> Result<Begun> {
    let folder = Path::new(&build.context);
    let folder = folder.canonicalize().with_context(|| format!("opening {}", folder.display()))?;
    if !folder.is_dir() {
        return Err(Failure::usage("--auto needs a folder").into());
    }
    let (ground, base) = base(build)?;
    let mut files = look::look(&folder)?;
    files.program.clone_from(&build.program);
    files.base = ground;
    let project = auto::recognise(&files).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    if build.print_dockerfile {
        crate::show::print(project.dockerfile().trim_end())?;
        return Ok(Begun::Told);
    }
    if build.write_dockerfile {
        write(&folder, &project)?;
        return Ok(Begun::Told);
    }
    if build.dry_run {
        if json {
            crate::show::json(&told(&project))?;
        } else {
            crate::show::print(project.report().trim_end())?;
        }
        return Ok(Begun::Told);
    }
    missing(&project, &files)?;
    if !build.quiet {
        eprint!("{}", project.report());
    }
    let (project, out, lock) = tokio::task::spawn_blocking(move || {
        let (out, lock) = stage::make(&folder, &files.paths, &project)?;
        anyhow::Ok((project, out, lock))
    })
    .await??;
    stage::run(&project, &out, build.quiet).await?;
    if project.kind == auto::Kind::Rust {
        let listed = crates::list(&out, &project.package).await?;
        if !listed && !build.quiet {
            eprintln!(
                "the crates are not listed in the program: objcopy (binutils) or cargo metadata failed"
            );
        }
    }
    Ok(Begun::Built(Box::new(Built { project, base, out, _lock: lock })))
}

/// What `--base` says: the machine, nothing, an image by name, or one in a folder of this machine.
fn base(build: &Build) -> Result<(Option<Ground>, Option<NamedContext>)> {
    let Some(text) = build.base.as_deref() else { return Ok((None, None)) };
    match text {
        "machine" => return Ok((Some(Ground::Machine), None)),
        "scratch" => return Ok((Some(Ground::Scratch), None)),
        _ => {}
    }
    if text.contains("://") || text.starts_with(['/', '.']) {
        let named: NamedContext = text.parse().map_err(|e| Failure::usage(format!("--base: {e}")))?;
        return Ok((Some(Ground::Image(NAMED_BASE.to_owned())), Some(named)));
    }
    let name: ImageName = text.parse().map_err(|e| Failure::usage(format!("--base: {e}")))?;
    Ok((Some(Ground::Image(name.to_string())), None))
}

/// Writes the Dockerfile beside the project's files, over none that is there.
fn write(folder: &Path, project: &Project) -> Result<()> {
    let path = folder.join("Dockerfile");
    let opened = File::options().write(true).create_new(true).open(&path);
    let mut file = opened.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            let message =
                format!("{} is there already: remove it first, or take --print-dockerfile", path.display());
            anyhow::Error::from(Failure::new(Exit::Failed, message))
        }
        _ => anyhow::Error::from(error).context(format!("writing {}", path.display())),
    })?;
    file.write_all(project.dockerfile().as_bytes()).with_context(|| format!("writing {}", path.display()))?;
    crate::show::print(&format!("wrote {}", path.display()))?;
    Ok(())
}

/// Refuses what the machine cannot build.
fn missing(project: &Project, files: &Files) -> Result<()> {
    let missing: Vec<&str> =
        project.tools.iter().copied().filter(|tool| !files.tools.contains(*tool)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!(
        "this {} project needs {}, which this machine has not: install it, or take the Dockerfile that \
         --print-dockerfile writes",
        project.kind.name(),
        missing.join(" and ")
    );
    Err(Failure::new(Exit::Failed, message).into())
}

fn told(project: &Project) -> Value {
    let steps = project.steps.iter().filter(|step| step.place != Where::There);
    let base = match &project.ground {
        Ground::Scratch => "scratch",
        Ground::Machine => "machine",
        Ground::Image(name) => name,
    };
    json!({
        "kind": project.kind.name(),
        "name": project.name,
        "version": project.version,
        "found": project.found.iter().map(|found| json!({"what": found.what, "why": found.why})).collect::<Vec<_>>(),
        "tools": project.tools,
        "steps": steps.map(|step| &step.argv).collect::<Vec<_>>(),
        "layers": project.layers.iter().map(|layer| json!({"name": layer.name, "to": layer.to})).collect::<Vec<_>>(),
        "machine": project.ground == Ground::Machine,
        "base": base,
        "user": auto::USER,
        "entrypoint": project.entrypoint,
        "port": project.port,
        "dockerfile": project.dockerfile(),
    })
}
