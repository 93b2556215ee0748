use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use windlass_kernel::Timestamp;

use crate::RunSummary;

/// A project.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProjectView {
    /// Its name.
    pub name: String,
    /// The branch that `HEAD` names.
    pub default_branch: String,
    /// What to give `git remote add`.
    pub clone_url: String,
    /// When it was made.
    #[schema(value_type = i64)]
    pub created_at: Timestamp,
    /// The newest run.
    pub last_run: Option<RunSummary>,
    /// What is wrong with `windlass.yml` on the default branch, if anything: `file:line:column: message` lines.
    pub manifest_problem: Option<String>,
    /// The environments' names in their order, from `windlass.yml` on the default branch.
    pub environments: Vec<String>,
}

/// Makes a project.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CreateProject {
    /// Its name: lower-case letters, digits, hyphens.
    pub name: String,
}

/// A branch or a tag.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RefView {
    /// Its short name, such as `main`.
    pub name: String,
    /// The commit, in hexadecimal.
    pub sha: String,
    /// Whether it is a tag.
    pub tag: bool,
    /// The commit's subject line.
    pub subject: String,
    /// When the commit was made.
    #[schema(value_type = i64)]
    pub committed_at: Timestamp,
}

/// A commit.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CommitView {
    /// Its id in hexadecimal.
    pub sha: String,
    /// Its parents' ids.
    pub parents: Vec<String>,
    /// The author's name.
    pub author: String,
    /// The author's address.
    pub email: String,
    /// When it was committed.
    #[schema(value_type = i64)]
    pub committed_at: Timestamp,
    /// The first line of its message.
    pub subject: String,
    /// The rest of its message.
    pub body: String,
}

/// A commit with what it changed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CommitDetail {
    /// The commit.
    pub commit: CommitView,
    /// The files that it changed, against its first parent.
    pub files: Vec<FileDiff>,
    /// True if the list was cut because the change is too large to show.
    pub truncated: bool,
}

/// How one file changed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FileDiff {
    /// The path after the change.
    pub path: String,
    /// The path before, if it was another.
    pub old_path: Option<String>,
    /// `added`, `modified`, `deleted`, `renamed`.
    pub status: String,
    /// Whether it is not text.
    pub binary: bool,
    /// Lines added.
    pub added: u32,
    /// Lines removed.
    pub removed: u32,
    /// The changed parts, in unified form.
    pub hunks: Vec<DiffHunk>,
}

/// A changed part of a file.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DiffHunk {
    /// The `@@ … @@` line.
    pub header: String,
    /// Its lines.
    pub lines: Vec<DiffLine>,
}

/// A line of a diff.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DiffLine {
    /// `+`, `-` or a space.
    pub sign: char,
    /// Its number before the change.
    pub old: Option<u32>,
    /// Its number after the change.
    pub new: Option<u32>,
    /// Its text, without the sign and the line break.
    pub text: String,
}

/// An entry of a folder.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TreeEntry {
    /// Its name within the folder.
    pub name: String,
    /// Its path from the repository's root.
    pub path: String,
    /// `file`, `folder`, `link` or `submodule`.
    pub kind: String,
    /// A file's size.
    pub size: Option<u64>,
}

/// A folder's or a file's content at a ref.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FileView {
    /// The ref that was asked for.
    pub reference: String,
    /// The commit it stands for.
    pub sha: String,
    /// The path; empty for the root.
    pub path: String,
    /// The entries, if it is a folder.
    pub entries: Option<Vec<TreeEntry>>,
    /// The text, if it is a text file of at most 1 MiB.
    pub text: Option<String>,
    /// The size, if it is a file.
    pub size: Option<u64>,
}

/// How one branch differs from another: a change before it is merged.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Comparison {
    /// The commits that are only on the branch, newest first.
    pub commits: Vec<CommitView>,
    /// The files that they change.
    pub files: Vec<FileDiff>,
}

/// A change whose run waits for an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProposedChange {
    /// Its number.
    pub number: u64,
    /// Who proposed it.
    pub author: String,
    /// The subject of its newest commit.
    pub title: String,
    /// The commit that the approval is about.
    pub head: String,
    /// What is waited for, in words; empty once it was decided.
    pub reason: String,
}

/// A change: what is proposed for a branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeView {
    /// The project.
    pub project: String,
    /// Its number within the project.
    pub number: u64,
    /// The subject of its newest commit.
    pub title: String,
    /// Who proposed it.
    pub author: String,
    /// The branch that it is proposed for.
    pub base: String,
    /// What its branch is called; `AUTHOR/TOPIC` if it has none in the project.
    pub head_name: String,
    /// Its newest commit.
    pub head: String,
    /// The merge of that with the base, unless they conflict.
    pub merge: Option<String>,
    /// The files that conflict: its `pull_request` workflows do not run.
    pub conflicts: Vec<String>,
    /// Whether it comes from somebody who may not write: its runs wait for an approval.
    pub outside: bool,
    /// `open`, `merged` or `closed`.
    pub state: String,
    /// Whether the runs of its newest commit were approved.
    pub approved: bool,
    /// When it was opened.
    #[schema(value_type = i64)]
    pub opened_at: Timestamp,
    /// When it was last pushed to, merged or closed.
    #[schema(value_type = i64)]
    pub updated_at: Timestamp,
}
