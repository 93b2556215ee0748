//! The command line's words as a request.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use anyhow::{Context as _, Result};
use console::Term;
use windlass_kernel::Secret;
use windlass_server::local::{LabelPlace, LocalRequest};

use super::Local;
use crate::ask;
use crate::failure::Failure;

/// The largest file of variables or of an event, in bytes.
const LARGEST: u64 = 16 << 20;

/// What the command line asks for.
pub(super) fn request(local: &Local) -> Result<LocalRequest> {
    if let Some(event) = &local.event
        && windlass_workflow::events::event(event).is_none()
    {
        let text = format!(
            "`{event}` is neither an event (push, pull_request, workflow_dispatch, …) nor a command: see windlass run --help"
        );
        return Err(Failure::usage(text).into());
    }
    let folder = match &local.directory {
        Some(folder) => folder.clone(),
        None => std::env::current_dir()?,
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(LocalRequest {
        event: local.event.clone(),
        workflows: local.workflows.as_ref().map(|path| workflows(path, &folder)).transpose()?,
        folder,
        jobs: local.job.clone(),
        payload: local.event_file.as_deref().map(payload).transpose()?,
        secrets: secrets(local)?,
        vars: named(&local.var, &local.var_file, "--var")?,
        inputs: named(&local.input, &[], "--input")?,
        env: named(&local.env, &local.env_file, "--env")?,
        matrix: matrix(&local.matrix)?,
        places: local
            .place
            .iter()
            .map(|text| LabelPlace::from_str(text).map_err(Failure::usage))
            .collect::<Result<_, _>>()?,
        actor: local.actor.clone(),
        repositories: repositories(&local.stand_in)?,
        docker: local.docker,
        plans_only: local.dry_run || local.graph,
        reuse: local.reuse,
        ask: local.debug_on_failure && ask::possible(),
        at_once: local.parallel.unwrap_or(processors).max(1),
        store: store()?,
        exe: std::env::current_exe()?,
    })
}

/// A file or folder here, or in the repository's folder, or a file of its workflows' folder.
fn workflows(path: &Path, folder: &Path) -> Result<PathBuf> {
    let candidates = [path.to_owned(), folder.join(path), folder.join(".github/workflows").join(path)];
    candidates.into_iter().find(|candidate| candidate.exists()).ok_or_else(|| {
        Failure::not_found(format!("there is no workflow file or folder {}", path.display())).into()
    })
}

/// Where local runs keep what they keep: `$XDG_CACHE_HOME/windlass/local`, else below `~/.cache`.
fn store() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let missing = || Failure::usage("neither XDG_CACHE_HOME nor HOME says where files can be kept");
    Ok(cache.ok_or_else(missing)?.join("windlass/local"))
}

fn read(path: &Path) -> Result<String> {
    let what = || format!("cannot read {}", path.display());
    let size = std::fs::metadata(path).with_context(what)?.len();
    if size > LARGEST {
        return Err(Failure::usage(format!("{} is larger than {LARGEST} bytes", path.display())).into());
    }
    std::fs::read_to_string(path).with_context(what)
}

fn payload(path: &Path) -> Result<serde_json::Map<String, serde_json::Value>> {
    let wrong = |why: &dyn std::fmt::Display| Failure::usage(format!("{}: {why}", path.display()));
    match serde_json::from_str(&read(path)?) {
        Ok(serde_json::Value::Object(map)) => Ok(map),
        Ok(_) => Err(wrong(&"an event is a JSON object").into()),
        Err(e) => Err(wrong(&e).into()),
    }
}

fn secrets(local: &Local) -> Result<BTreeMap<String, Secret<String>>> {
    let mut secrets = BTreeMap::new();
    for path in &local.secret_file {
        let pairs = super::words::dotenv(&read(path)?);
        let pairs = pairs.map_err(|why| Failure::usage(format!("{}: {why}", path.display())))?;
        secrets.extend(pairs.into_iter().map(|(name, value)| (name, Secret::new(value))));
    }
    for given in &local.secret {
        let (name, value) = match given.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => (given.as_str(), wanted_secret(given)?),
        };
        secrets.insert(name.to_owned(), Secret::new(value));
    }
    Ok(secrets)
}

/// The variable of that name, or what is typed.
fn wanted_secret(name: &str) -> Result<String> {
    if let Ok(value) = std::env::var(name) {
        return Ok(value);
    }
    if !ask::possible() {
        let text = format!(
            "-s {name}: there is no variable {name}, and nobody can be asked: use -s {name}=VALUE or --secret-file"
        );
        return Err(Failure::usage(text).into());
    }
    let term = Term::stderr();
    term.write_str(&format!("secret {name}: "))?;
    Ok(term.read_secure_line()?)
}

/// `NAME=VALUE` from arguments, which come last, and from files.
fn named(given: &[String], files: &[PathBuf], option: &str) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for path in files {
        let pairs = super::words::dotenv(&read(path)?);
        found.extend(pairs.map_err(|why| Failure::usage(format!("{}: {why}", path.display())))?);
    }
    for text in given {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) =
            pair.ok_or_else(|| Failure::usage(format!("{option} {text}: NAME=VALUE is needed")))?;
        found.insert(name.to_owned(), value.to_owned());
    }
    Ok(found)
}

fn matrix(given: &[String]) -> Result<BTreeMap<String, Vec<String>>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for text in given {
        let pair = text.split_once(':').filter(|(key, _)| !key.is_empty());
        let (key, value) =
            pair.ok_or_else(|| Failure::usage(format!("--matrix {text}: KEY:VALUE is needed")))?;
        found.entry(key.to_owned()).or_default().push(value.to_owned());
    }
    Ok(found)
}

fn repositories(given: &[String]) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for text in given {
        let pair = text.split_once('=').filter(|(name, _)| name.split('/').count() == 2);
        let (name, path) = pair.ok_or_else(|| {
            Failure::usage(format!("--local-repository {text}: OWNER/REPO@REF=PATH is needed"))
        })?;
        let path = std::fs::canonicalize(path)
            .map_err(|e| Failure::not_found(format!("--local-repository {text}: {path}: {e}")))?;
        found.insert(name.to_lowercase(), path);
    }
    Ok(found)
}
