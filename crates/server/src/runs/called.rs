//! The workflows that a workflow calls, read when a run is made: from the run's own commit, or from another of this
//! server's projects. `pipeline` says which are wanted and whether they fit.

use windlass_kernel::ProjectName;
use windlass_pipeline::{Found, Loaded, Loading, Wanted};
use windlass_source::{RepoPath, Sha};

use crate::context::Context;
use crate::runs::start::{OWNER, WorkflowFile};
use crate::source::LARGEST_TEXT;

/// All that a workflow file at a commit calls.
///
/// # Errors
/// A repository that cannot be read just now. What is wrong with a call is a finding.
pub(crate) async fn load(
    ctx: &Context,
    project: &ProjectName,
    sha: &str,
    file: &WorkflowFile,
) -> anyhow::Result<Loaded> {
    let mut loading = Loading::new(&file.path, &file.text);
    while let Some(wanted) = loading.wanted() {
        let found = find(ctx, project, sha, &wanted).await?;
        loading.answer(wanted, found);
    }
    Ok(loading.finish())
}

/// A wanted file, or why there is none.
async fn find(
    ctx: &Context,
    project: &ProjectName,
    sha: &str,
    wanted: &Wanted,
) -> anyhow::Result<Result<Found, String>> {
    let other = match &wanted.repository {
        None => project.clone(),
        Some(name) => match own_project(name) {
            Ok(project) => project,
            Err(why) => return Ok(Err(why)),
        },
    };
    let Ok(repository) = ctx.repositories.get(&other) else {
        return Ok(Err(format!("There is no project {other} on this server: push it first.")));
    };
    let at: Sha = match &wanted.git_ref {
        None => sha.parse()?,
        Some(git_ref) => match repository.resolve(git_ref).await {
            Ok(Some(at)) => at,
            Ok(None) => {
                return Ok(Err(format!("The project {other} has no branch, tag or commit '{git_ref}'.")));
            }
            Err(e) => return Err(e.into()),
        },
    };
    let Ok(path) = wanted.path.parse::<RepoPath>() else {
        return Ok(Err(format!("'{}' is not a path.", wanted.path)));
    };
    let Some(blob) = repository.blob(&at, &path, LARGEST_TEXT).await? else {
        let at = at.as_str().get(..12).unwrap_or_default().to_owned();
        return Ok(Err(format!("The workflow was not found: {other} has no {path} at {at}.")));
    };
    if blob.truncated() {
        return Ok(Err("The workflow file is larger than 1 MiB.".to_owned()));
    }
    Ok(Ok(Found { sha: at.as_str().to_owned(), text: String::from_utf8_lossy(&blob.bytes).into_owned() }))
}

/// The project that `owner/name` means here.
fn own_project(name: &str) -> Result<ProjectName, String> {
    let (owner, repo) = name.split_once('/').unwrap_or(("", name));
    if !owner.eq_ignore_ascii_case(OWNER) {
        return Err(format!(
            "Workflows are called from this server's own projects only: push {repo} here as a project and write {OWNER}/{repo}."
        ));
    }
    repo.to_lowercase().parse().map_err(|e| format!("'{repo}' is not the name of a project: {e}"))
}
