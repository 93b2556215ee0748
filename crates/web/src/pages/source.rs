//! A project's source: files, commits, branches, and what a branch would change.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Redirect};
use axum::routing::{get, post};
use serde::Deserialize;
use windlass_api as wire;
use windlass_identity::{Action, Resource, authorize};

use crate::page::{Chrome, Posted, Shown, Visitor, show};
use crate::pages::assets;
use crate::state::Web;
use crate::view::Raw;
use crate::{Page, markdown, view};

pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/projects/{project}/files", get(root))
        .route("/projects/{project}/files/{*path}", get(file))
        .route("/projects/{project}/commits", get(commits))
        .route("/projects/{project}/commits/{sha}", get(commit))
        .route("/projects/{project}/branches", get(branches))
        .route("/projects/{project}/changes", get(changes))
        .route("/projects/{project}/changes/{number}/close", post(close))
        .route("/projects/{project}/compare", get(compare))
}

/// How many commits a page lists.
const COMMITS: usize = 50;
/// The most branches that are compared with the default branch on one page.
const CHANGES: usize = 30;

#[derive(Template)]
#[template(path = "files.html")]
struct FilesPage {
    chrome: Chrome,
    project: wire::ProjectView,
    tab: &'static str,
    reference: String,
    refs: Vec<wire::RefView>,
    crumbs: Vec<(String, String)>,
    file: wire::FileView,
    readme: Option<Raw>,
    notes: Option<Notes>,
}

/// What a run said of a file's lines.
struct Notes {
    run: wire::RunSummary,
    notes: Vec<wire::AnnotationView>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand every value over by reference")]
impl Notes {
    /// Those that are shown below a line: the last one that they are about.
    fn below(&self, line: &usize) -> Vec<&wire::AnnotationView> {
        self.notes.iter().filter(|n| n.end_line.max(n.line).unwrap_or(1) as usize == *line).collect()
    }

    /// How a line looks that some of them are about; the worst level counts.
    fn tone(&self, line: &usize) -> &'static str {
        let about = |n: &&wire::AnnotationView| {
            let first = n.line.unwrap_or(1) as usize;
            (first..=n.end_line.map_or(first, |end| end as usize)).contains(line)
        };
        let tones = self.notes.iter().filter(about).map(|n| view::level_look(&n.level).tone);
        tones.min_by_key(|tone| ["bad", "warn"].iter().position(|t| t == tone).unwrap_or(2)).unwrap_or("")
    }
}

#[derive(Template)]
#[template(path = "commits.html")]
struct CommitsPage {
    chrome: Chrome,
    project: wire::ProjectView,
    tab: &'static str,
    reference: String,
    refs: Vec<wire::RefView>,
    commits: Vec<wire::CommitView>,
    older: Option<String>,
}

#[derive(Template)]
#[template(path = "commit.html")]
struct CommitPage {
    chrome: Chrome,
    project: wire::ProjectView,
    tab: &'static str,
    commit: wire::CommitView,
    files: Vec<wire::FileDiff>,
    truncated: bool,
    at: String,
}

#[derive(Template)]
#[template(path = "branches.html")]
struct BranchesPage {
    chrome: Chrome,
    project: wire::ProjectView,
    tab: &'static str,
    branches: Vec<wire::RefView>,
    tags: Vec<wire::RefView>,
}

/// A branch that is ahead of the default branch.
struct Change {
    branch: wire::RefView,
    commits: usize,
    files: usize,
    added: u32,
    removed: u32,
    author: String,
}

#[derive(Template)]
#[template(path = "changes.html")]
struct ChangesPage {
    chrome: Chrome,
    project: wire::ProjectView,
    tab: &'static str,
    /// Those with a number, newest first.
    numbered: Vec<wire::ChangeView>,
    changes: Vec<Change>,
    cut: bool,
    mine: String,
    /// Whether the visitor may close what others proposed.
    writes: bool,
}

#[derive(Template)]
#[template(path = "compare.html")]
struct ComparePage {
    chrome: Chrome,
    project: wire::ProjectView,
    tab: &'static str,
    base: String,
    head: String,
    commits: Vec<wire::CommitView>,
    files: Vec<wire::FileDiff>,
    at: String,
}

#[derive(Deserialize)]
struct Place {
    #[serde(rename = "ref")]
    reference: Option<String>,
    before: Option<String>,
    /// The run whose annotations are shown.
    run: Option<String>,
}

#[derive(Deserialize)]
struct Sides {
    base: Option<String>,
    head: String,
}

async fn root(
    state: State<Web>,
    visitor: Visitor,
    Path(project): Path<String>,
    query: Query<Place>,
) -> Shown {
    file(state, visitor, Path((project, String::new())), query).await
}

async fn file(
    State(web): State<Web>,
    visitor: Visitor,
    Path((name, path)): Path<(String, String)>,
    Query(query): Query<Place>,
) -> Shown {
    let who = &visitor.who;
    let project = web.platform.project(who, &name).await?;
    let reference =
        query.reference.filter(|r| !r.is_empty()).unwrap_or_else(|| project.default_branch.clone());
    let refs = web.platform.refs(who, &name).await?;
    let path = path.trim_matches('/').to_owned();
    let file = if refs.is_empty() {
        nothing_yet(&reference)
    } else {
        web.platform.file(who, &name, &reference, &path).await?
    };
    let readme = readme(&web, &visitor, &name, &reference, &file).await;
    let notes = notes(&web, &visitor, &name, &file, query.run.as_deref()).await;
    let title = if path.is_empty() { format!("{name}: files") } else { format!("{path} · {name}") };
    let chrome = visitor.chrome(title, "projects");
    let crumbs = crumbs(&path);
    show(&FilesPage { chrome, project, tab: "files", reference, refs, crumbs, file, readme, notes })
}

fn nothing_yet(reference: &str) -> wire::FileView {
    wire::FileView {
        reference: reference.to_owned(),
        sha: String::new(),
        path: String::new(),
        entries: Some(Vec::new()),
        text: None,
        size: None,
    }
}

/// The folder's README, if it has one that can be read.
async fn readme(
    web: &Web,
    visitor: &Visitor,
    project: &str,
    reference: &str,
    folder: &wire::FileView,
) -> Option<Raw> {
    let entry = folder.entries.as_ref()?.iter().find(|e| e.name.eq_ignore_ascii_case("readme.md"))?;
    let file = web.platform.file(&visitor.who, project, reference, &entry.path).await.ok()?;
    Some(markdown::render(&file.text?))
}

/// How many of the newest runs are looked through for one of the same commit.
const RUNS: usize = 30;

/// What the run that was asked for, or else the newest one of this commit, says of a file.
async fn notes(
    web: &Web,
    visitor: &Visitor,
    project: &str,
    file: &wire::FileView,
    run: Option<&str>,
) -> Option<Notes> {
    file.text.as_ref()?;
    let id = match run {
        Some(run) => run.to_owned(),
        None => {
            let page = Page { limit: RUNS, before: None };
            let runs = web.platform.runs(&visitor.who, Some(project), &page).await.ok()?;
            runs.into_iter().find(|r| r.sha == file.sha)?.id
        }
    };
    let run = web.platform.run(&visitor.who, &id).await.ok().filter(|r| r.summary.project == project)?;
    let all = run.jobs.into_iter().flat_map(|job| job.annotations);
    let notes: Vec<_> = all.filter(|n| n.path.as_deref() == Some(file.path.as_str())).collect();
    (!notes.is_empty()).then_some(Notes { run: run.summary, notes })
}

/// The folders above a path: name and path of each.
fn crumbs(path: &str) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    for part in path.split('/').filter(|p| !p.is_empty()) {
        let above = out.last().map(|(_, path)| format!("{path}/")).unwrap_or_default();
        out.push((part.to_owned(), format!("{above}{part}")));
    }
    out
}

async fn commits(
    State(web): State<Web>,
    visitor: Visitor,
    Path(name): Path<String>,
    Query(query): Query<Place>,
) -> Shown {
    let who = &visitor.who;
    let project = web.platform.project(who, &name).await?;
    let reference =
        query.reference.filter(|r| !r.is_empty()).unwrap_or_else(|| project.default_branch.clone());
    let refs = web.platform.refs(who, &name).await?;
    let page = Page { limit: COMMITS + 1, before: query.before };
    let mut commits = if refs.is_empty() {
        Vec::new()
    } else {
        web.platform.commits(who, &name, &reference, &page).await?
    };
    let older = (commits.len() > COMMITS).then(|| commits[COMMITS - 1].sha.clone());
    commits.truncate(COMMITS);
    let chrome = visitor.chrome(format!("{name}: commits"), "projects").live(&name, 0);
    show(&CommitsPage { chrome, project, tab: "commits", reference, refs, commits, older })
}

async fn commit(
    State(web): State<Web>,
    visitor: Visitor,
    Path((name, sha)): Path<(String, String)>,
) -> Shown {
    let project = web.platform.project(&visitor.who, &name).await?;
    let detail = web.platform.commit(&visitor.who, &name, &sha).await?;
    let chrome = visitor.chrome(format!("{} · {name}", detail.commit.subject), "projects");
    let at = detail.commit.sha.clone();
    let (commit, files, truncated) = (detail.commit, detail.files, detail.truncated);
    show(&CommitPage { chrome, project, tab: "commits", commit, files, truncated, at })
}

async fn branches(State(web): State<Web>, visitor: Visitor, Path(name): Path<String>) -> Shown {
    let project = web.platform.project(&visitor.who, &name).await?;
    let mut refs = web.platform.refs(&visitor.who, &name).await?;
    refs.sort_by_key(|r| std::cmp::Reverse(r.committed_at));
    let (tags, branches) = refs.into_iter().partition(|r| r.tag);
    let chrome = visitor.chrome(format!("{name}: branches and tags"), "projects").live(&name, 0);
    show(&BranchesPage { chrome, project, tab: "branches", branches, tags })
}

async fn changes(State(web): State<Web>, visitor: Visitor, Path(name): Path<String>) -> Shown {
    let who = &visitor.who;
    let project = web.platform.project(who, &name).await?;
    let mut branches = web.platform.refs(who, &name).await?;
    branches.retain(|r| !r.tag && r.name != project.default_branch);
    branches.sort_by_key(|r| std::cmp::Reverse(r.committed_at));
    let cut = branches.len() > CHANGES;
    branches.truncate(CHANGES);
    let mut changes = Vec::new();
    for branch in branches {
        let (commits, files) =
            web.platform.compare(who, &name, &project.default_branch, &branch.name).await?;
        let Some(newest) = commits.first() else { continue };
        changes.push(Change {
            author: newest.author.clone(),
            commits: commits.len(),
            files: files.len(),
            added: files.iter().map(|f| f.added).sum(),
            removed: files.iter().map(|f| f.removed).sum(),
            branch,
        });
    }
    let numbered = web.platform.changes(who, &name, &Page { limit: CHANGES, before: None }).await?;
    let mine = who.actor.to_string();
    let writes =
        name.parse().is_ok_and(|own| authorize(who, Action::PushCode, &Resource::Project(own)).is_ok());
    let chrome = visitor.chrome(format!("{name}: changes"), "projects").live(&name, 0);
    show(&ChangesPage { chrome, project, tab: "changes", numbered, changes, cut, mine, writes })
}

async fn close(State(web): State<Web>, Path((name, number)): Path<(String, u64)>, posted: Posted) -> Shown {
    web.platform.close_change(&posted.visitor.who, &name, number).await?;
    Ok(Redirect::to(&format!("/projects/{}/changes", view::encode(&name))).into_response())
}

async fn compare(
    State(web): State<Web>,
    visitor: Visitor,
    Path(name): Path<String>,
    Query(sides): Query<Sides>,
) -> Shown {
    let project = web.platform.project(&visitor.who, &name).await?;
    let base = sides.base.filter(|b| !b.is_empty()).unwrap_or_else(|| project.default_branch.clone());
    let (commits, files) = web.platform.compare(&visitor.who, &name, &base, &sides.head).await?;
    let chrome = visitor.chrome(format!("{} · {name}", sides.head), "projects").live(&name, 0);
    let at = sides.head.clone();
    show(&ComparePage { chrome, project, tab: "changes", base, head: sides.head, commits, files, at })
}

#[cfg(test)]
mod tests {
    #[test]
    fn crumbs_name_every_folder() {
        let crumbs = super::crumbs("a/b/c.rs");
        let paths: Vec<&str> = crumbs.iter().map(|(_, p)| p.as_str()).collect();
        assert_eq!(paths, ["a", "a/b", "a/b/c.rs"]);
    }
}
