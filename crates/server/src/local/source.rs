//! The files that a local run's workflow calls: from the working tree, or from a folder that stands for another
//! repository.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use windlass_pipeline::{Found, Loaded, Loading, Wanted};
use windlass_workflow::Workflow;

use super::LocalRequest;
use super::repository::Repository;

/// The largest workflow file, in bytes.
pub(super) const LARGEST: u64 = 16 << 20;

/// All that a workflow calls.
pub(super) fn called(
    file: &str,
    text: &str,
    workflow: &Workflow,
    repository: &Repository,
    others: &BTreeMap<String, PathBuf>,
) -> Loaded {
    if workflow.jobs.iter().all(|job| job.call().is_none()) {
        return Loaded::default();
    }
    let mut loading = Loading::new(file, text);
    while let Some(wanted) = loading.wanted() {
        let found = find(&wanted, repository, others);
        loading.answer(wanted, found);
    }
    loading.finish()
}

fn find(wanted: &Wanted, own: &Repository, others: &BTreeMap<String, PathBuf>) -> Result<Found, String> {
    let root = match &wanted.repository {
        None => own.root.clone(),
        Some(name) if name.eq_ignore_ascii_case(&own.name) && wanted.git_ref.is_none() => own.root.clone(),
        Some(name) => {
            let git_ref = wanted.git_ref.as_deref().unwrap_or_default();
            stands_for(others, name, git_ref).cloned().ok_or_else(|| {
                format!(
                    "the repository `{name}` is not on this machine: give its folder with --local-repository \
                     {name}@{git_ref}=PATH"
                )
            })?
        }
    };
    let text = read(&root.join(&wanted.path))?;
    Ok(Found { sha: own.sha.clone(), text })
}

/// The folder that stands for a repository at a ref.
fn stands_for<'a>(others: &'a BTreeMap<String, PathBuf>, name: &str, git_ref: &str) -> Option<&'a PathBuf> {
    let name = name.to_lowercase();
    others.get(&format!("{name}@{}", git_ref.to_lowercase())).or_else(|| others.get(&name))
}

/// A workflow file's text.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() > LARGEST => Err(format!("{shown} is larger than {LARGEST} bytes")),
        Ok(_) => std::fs::read(path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(|e| format!("{shown}: {e}")),
        Err(e) => Err(format!("{shown}: {e}")),
    }
}

/// A folder with a link for each repository that stands for one that workflows name, as runners look for actions.
pub(super) fn stand_ins(request: &LocalRequest) -> std::io::Result<Option<PathBuf>> {
    if request.repositories.is_empty() {
        return Ok(None);
    }
    let folder = request.store.join("stand-ins").join(std::process::id().to_string());
    for (name, path) in &request.repositories {
        let (named, git_ref) = name.split_once('@').map_or((name.as_str(), None), |(n, r)| (n, Some(r)));
        let Some((owner, repo)) = named.split_once('/') else { continue };
        let leaf = git_ref.map_or_else(|| repo.to_owned(), |r| format!("{repo}@{}", r.replace('/', "_")));
        let link = folder.join(owner).join(leaf);
        std::fs::create_dir_all(folder.join(owner))?;
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(path, link)?;
    }
    Ok(Some(folder))
}
