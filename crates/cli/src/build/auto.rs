//! `windlass build --auto`: a project without a Dockerfile is recognised, built by this machine's own toolchain, and laid
//! into an image whose layers have dependencies apart from code.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use windlass_build::{BuildRequest, Context, DockerfileSource, Store};
use windlass_dockerfile::Ignore;
use windlass_dockerfile::auto::{self, Files, HostStep, Project};
use windlass_kernel::Digest;

use super::Build;
use crate::failure::{Exit, Failure};

/// The most files of a project, the deepest folder, the largest text that is read, and how much is read in all.
const MOST_FILES: usize = 100_000;
const DEEPEST: usize = 40;
const LARGEST_TEXT: u64 = 1 << 20;
const MOST_TEXT: u64 = 32 << 20;

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
    out: PathBuf,
    _lock: File,
}

impl Built {
    /// What is built is the image of the layers.
    pub(super) fn into_request(self: Box<Self>, request: &mut BuildRequest) -> Result<Box<Self>> {
        let arch = std::env::consts::ARCH;
        request.context = Context::Folder(self.out.clone());
        request.dockerfile = DockerfileSource::Text(self.project.assembly().replace("{arch}", arch));
        // No time of this build is in the image: the same files give the same digest.
        request.source_date_epoch.get_or_insert(0);
        if request.tags.is_empty() {
            let name =
                self.project.name.parse().map_err(|e| Failure::usage(format!("the image's name: {e}")))?;
            request.tags.push(name);
        }
        Ok(self)
    }
}

/// Recognises a project, and builds it unless it is only to be told.
pub(super) async fn begin(build: &Build, json: bool) -> Result<Begun> {
    let folder = Path::new(&build.context);
    let folder = folder.canonicalize().with_context(|| format!("opening {}", folder.display()))?;
    if !folder.is_dir() {
        return Err(Failure::usage("--auto needs a folder").into());
    }
    let files = look(&folder)?;
    let project = auto::recognise(&files).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    if build.print_dockerfile {
        crate::show::print(project.dockerfile().trim_end())?;
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
    let missing: Vec<&str> =
        project.tools.iter().copied().filter(|tool| !files.tools.contains(*tool)).collect();
    if !missing.is_empty() {
        let message = format!(
            "this {} project needs {}, which this machine has not: install it, or take the Dockerfile that \
             --print-dockerfile writes",
            project.kind.name(),
            missing.join(" and ")
        );
        return Err(Failure::new(Exit::Failed, message).into());
    }
    if !build.quiet {
        eprint!("{}", project.report());
    }
    let (out, lock) = tokio::task::spawn_blocking(move || stage(&folder, &files.paths)).await??;
    for step in &project.steps {
        run(step, &out, build.quiet).await?;
    }
    Ok(Begun::Built(Box::new(Built { project, out, _lock: lock })))
}

fn told(project: &Project) -> Value {
    json!({
        "kind": project.kind.name(),
        "name": project.name,
        "found": project.found.iter().map(|found| json!({"what": found.what, "why": found.why})).collect::<Vec<_>>(),
        "tools": project.tools,
        "steps": project.steps.iter().map(|step| &step.argv).collect::<Vec<_>>(),
        "layers": project.layers.iter().map(|layer| json!({"name": layer.name, "to": layer.to})).collect::<Vec<_>>(),
        "machine": project.ground == auto::Ground::Machine,
        "entrypoint": project.entrypoint,
        "port": project.port,
        "dockerfile": project.dockerfile(),
    })
}

/// A project's files by their names, the texts that are wanted, and the machine's programs.
fn look(folder: &Path) -> Result<Files> {
    let own = std::fs::read_to_string(folder.join(".dockerignore")).unwrap_or_default();
    let patterns = format!("{}\n{own}", auto::NEVER.join("\n"));
    let ignore =
        Ignore::parse(&patterns).map_err(|e| Failure::new(Exit::Failed, format!(".dockerignore: {e}")))?;
    let mut files = Files { folder: name_of(folder), tools: tools(), ..Files::default() };
    let mut read = 0;
    walk(folder, "", 0, &ignore, &mut files, &mut read)?;
    Ok(files)
}

fn name_of(folder: &Path) -> String {
    folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn walk(
    root: &Path,
    below: &str,
    depth: usize,
    ignore: &Ignore,
    files: &mut Files,
    read: &mut u64,
) -> Result<()> {
    let folder = root.join(below);
    let entries = std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
        let Ok(name) = entry.file_name().into_string() else {
            let message = format!("{} has no name that is text", entry.path().display());
            return Err(Failure::new(Exit::Failed, message).into());
        };
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        let kind = entry.file_type().with_context(|| format!("reading {path}"))?;
        let excluded = ignore.excludes(&path);
        if kind.is_dir() {
            if depth < DEEPEST && !(excluded && ignore.excludes_all_below(&path)) {
                walk(root, &path, depth + 1, ignore, files, read)?;
            }
            continue;
        }
        if excluded || !(kind.is_file() || kind.is_symlink()) {
            continue;
        }
        if files.paths.len() >= MOST_FILES {
            let message =
                format!("the project has more than {MOST_FILES} files: leave some out with .dockerignore");
            return Err(Failure::new(Exit::Failed, message).into());
        }
        let wanted = auto::WANTED.iter().any(|wanted| path.ends_with(wanted));
        let size = entry.metadata().map_or(u64::MAX, |metadata| metadata.len());
        let read_it = wanted && kind.is_file() && size <= LARGEST_TEXT && *read + size <= MOST_TEXT;
        if read_it && let Ok(text) = std::fs::read_to_string(entry.path()) {
            *read += size;
            files.texts.insert(path.clone(), text);
        }
        files.paths.insert(path);
    }
    Ok(())
}

/// Those of the known programs that are in `PATH`.
fn tools() -> BTreeSet<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let there = |tool: &&str| folders.iter().any(|folder| folder.join(tool).is_file());
    auto::TOOLS.iter().filter(|tool| there(tool)).map(|tool| (*tool).to_owned()).collect()
}

/// The folder that layers are taken from, with a fresh copy of the project in `src`. What compilers keep from one time
/// to the next stays.
fn stage(folder: &Path, paths: &BTreeSet<String>) -> Result<(PathBuf, File)> {
    let name = Digest::sha256(folder.as_os_str().as_encoded_bytes());
    let out = Store::usual().with_extension("auto").join(&name.hex()[..16]);
    std::fs::create_dir_all(&out).with_context(|| format!("making {}", out.display()))?;
    let lock = File::create(out.join("lock")).context("locking the project's build folder")?;
    lock.lock().context("locking the project's build folder")?;
    for old in ["src", "packages", "classes", "lib", "program"] {
        let old = out.join(old);
        let gone = if old.is_dir() { std::fs::remove_dir_all(&old) } else { std::fs::remove_file(&old) };
        if let Err(error) = gone {
            let fine = error.kind() == std::io::ErrorKind::NotFound;
            anyhow::ensure!(fine, "removing {}: {error}", old.display());
        }
    }
    let src = out.join("src");
    std::fs::create_dir_all(&src).context("copying the project")?;
    for path in paths {
        copy(&folder.join(path), &src.join(path)).with_context(|| format!("copying {path}"))?;
    }
    Ok((out, lock))
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let metadata = from.symlink_metadata()?;
    if metadata.is_symlink() {
        return std::os::unix::fs::symlink(std::fs::read_link(from)?, to);
    }
    std::fs::copy(from, to)?;
    // Compilers look at times; where the file may not be written, they compile it once more.
    if let (Ok(time), Ok(file)) = (metadata.modified(), File::options().write(true).open(to)) {
        _ = file.set_modified(time);
    }
    Ok(())
}

async fn run(step: &HostStep, out: &Path, quiet: bool) -> Result<()> {
    let src = out.join("src");
    let filled = |text: &String| {
        text.replace("{src}", &src.display().to_string())
            .replace("{out}", &out.display().to_string())
            .replace("{arch}", std::env::consts::ARCH)
    };
    let argv: Vec<String> = step.argv.iter().map(filled).collect();
    let Some((program, arguments)) = argv.split_first() else { return Ok(()) };
    if !quiet {
        eprintln!("$ {}", argv.join(" "));
    }
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .current_dir(&src)
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .kill_on_drop(true);
    command.envs(step.env.iter().map(|(name, value)| (name, filled(value))));
    let status = command.status().await.with_context(|| format!("starting {program}"))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, format!("`{}` failed: {status}", argv.join(" "))).into())
}
