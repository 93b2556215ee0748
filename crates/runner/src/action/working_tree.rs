//! `actions/checkout` in a local run: the working tree as it is, changes that are not committed included. The user's
//! own tree is only read; the copy has a repository of its own that borrows the other's objects.

use std::path::{Path, PathBuf};

use super::{ActionError, ActionRun, failed};
use crate::tool::{Copying, Request};

/// The tree that stands for what a checkout asks for; none: it is fetched by Git as ever.
pub(super) fn tree_for(run: &ActionRun<'_>) -> Result<Option<PathBuf>, ActionError> {
    let Some(local) = &run.job.local else { return Ok(None) };
    let github =
        |name: &str| run.job.contexts.github.get(name).map(|v| v.to_text().to_string()).unwrap_or_default();
    let (repository, wanted) = (run.input("repository"), run.input("ref"));
    let own = repository.is_empty() || repository.eq_ignore_ascii_case(&github("repository"));
    if own {
        let same = ["", &github("ref"), &github("sha"), &github("ref_name"), &github("head_ref")];
        return Ok(same.contains(&wanted).then(|| local.trees.own.clone()));
    }
    match local.trees.other(repository, wanted) {
        Some(tree) => Ok(Some(tree.clone())),
        None => {
            let name =
                if wanted.is_empty() { repository.to_owned() } else { format!("{repository}@{wanted}") };
            Err(failed(format!(
                "`repository: {repository}` is not on this machine: give its folder with --local-repository {name}=PATH"
            )))
        }
    }
}

/// Gives the job the tree.
pub(super) async fn give(run: &mut ActionRun<'_>, tree: &Path) -> Result<(), ActionError> {
    let path = run.in_workspace(run.input("path"))?;
    let workspace = run.workspace();
    let shown = tree.display().to_string();
    let is_repository = tree.join(".git").exists();
    if is_repository {
        repository(run, tree, &path).await?;
    }
    let copying = Copying {
        from: tree.to_owned(),
        to: path.clone(),
        clean: run.flag("clean")? || path == workspace,
        spare_ignored: true,
        submodules: run.input("submodules") != "false" && !run.input("submodules").is_empty(),
    };
    let report = run.tool(Request::Copy(copying), None).await?;
    for note in &report.notes {
        run.voice.say(&format!("##[warning]{note}"));
    }
    let (mut commit, mut changes) = (String::new(), String::new());
    if is_repository {
        // Fills the index from the commit, and notes what is the same already.
        run.read(&["git", "reset", "--quiet"], &path).await?;
        commit = run.read(&["git", "rev-parse", "--verify", "HEAD"], &path).await?.unwrap_or_default();
        let status = run.read(&["git", "status", "--porcelain"], &path).await?.unwrap_or_default();
        let count = status.lines().filter(|line| !line.is_empty()).count();
        changes = match count {
            0 => ", nothing uncommitted".to_owned(),
            1 => ", with 1 uncommitted change".to_owned(),
            count => format!(", with {count} uncommitted changes"),
        };
    }
    let commit = commit.trim().to_owned();
    let at = if commit.is_empty() { String::new() } else { format!(" at {commit}") };
    run.voice.say(&format!("The working tree of {shown}{at}{changes}: {} files copied", report.files));
    let git_ref = run.job.contexts.github.get("ref").map(|v| v.to_text().to_string()).unwrap_or_default();
    run.output("commit", commit);
    run.output("ref", git_ref);
    Ok(())
}

/// A repository of its own at `path`, with the tree's branch, tags and commit.
async fn repository(run: &mut ActionRun<'_>, tree: &Path, path: &Path) -> Result<(), ActionError> {
    let serial = run.job.next_serial();
    let draft = run.job.place.layout.temp.join(format!("checkout-{serial}"));
    let (from, to) = (tree.to_string_lossy().into_owned(), draft.to_string_lossy().into_owned());
    let settings =
        [("safe.directory", "*"), ("core.hooksPath", "/dev/null"), ("advice.detachedHead", "false")];
    run.env.insert("GIT_CONFIG_COUNT".into(), settings.len().to_string());
    for (index, (key, value)) in settings.into_iter().enumerate() {
        run.env.insert(format!("GIT_CONFIG_KEY_{index}"), key.into());
        run.env.insert(format!("GIT_CONFIG_VALUE_{index}"), value.into());
    }
    let workspace = run.workspace();
    run.must(&["git", "clone", "--quiet", "--shared", "--no-checkout", "--", &from, &to], &workspace).await?;
    let place = path.to_string_lossy().into_owned();
    let git_dir = path.join(".git").to_string_lossy().into_owned();
    let fresh = draft.join(".git").to_string_lossy().into_owned();
    for command in
        [&["mkdir", "-p", "--", &place][..], &["rm", "-rf", "--", &git_dir], &["mv", "--", &fresh, &git_dir]]
    {
        match run.read(command, &workspace).await? {
            Some(_) => {}
            None => return Err(failed(format!("`{}` failed", command.join(" ")))),
        }
    }
    Ok(())
}
