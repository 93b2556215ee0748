//! The few questions that the hooks ask git. Git runs its hooks in the repository, with an environment that says so.

use std::process::{Command, Output};

fn git(args: &[&str]) -> Option<Output> {
    Command::new("git").args(args).output().ok()
}

/// The commit that a ref or an object's id leads to. The names are refs of the repository, or ids: never options.
pub(super) fn commit(name: &str) -> Option<String> {
    let output =
        git(&["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{name}^{{commit}}")])?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && text.len() == 40).then_some(text)
}

/// Whether one commit has another in its history; no, if either is not there.
pub(super) fn is_ancestor(old: &str, new: &str) -> bool {
    let (Some(old), Some(new)) = (commit(old), commit(new)) else { return false };
    git(&["merge-base", "--is-ancestor", &old, &new]).is_some_and(|output| output.status.success())
}

/// Moves a ref from where it was, or makes it.
pub(super) fn update_ref(name: &str, new: &str, old: Option<&str>) -> Result<(), String> {
    // No id at all stands for a ref that must not be there.
    let output =
        git(&["update-ref", name, new, old.unwrap_or(crate::Sha::ZERO)]).ok_or("git cannot be run")?;
    if output.status.success() {
        return Ok(());
    }
    Err("somebody else moved it at the same time; push again".into())
}

/// The default branch, by its short name.
pub(super) fn default_branch() -> Option<String> {
    let output = git(&["symbolic-ref", "--short", "HEAD"])?;
    let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !name.is_empty()).then_some(name)
}

/// The files in which two commits conflict; none if they merge.
pub(super) fn conflicts(base: &str, head: &str) -> Option<Vec<String>> {
    let args = ["merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", base, head];
    let output = git(&args)?;
    if output.status.code() != Some(1) {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.split('\0').skip(1).filter(|name| !name.is_empty()).map(str::to_owned).collect())
}
