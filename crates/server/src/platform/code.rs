//! Projects and their source, as the API tells them.

use windlass_api as api;
use windlass_api::Problem;
use windlass_identity::{Action, Principal, Resource};
use windlass_kernel::{ProjectName, Query, StoreExt as _};
use windlass_pipeline::Run;
use windlass_source::{
    Commit, Diff, DiffLimits, EntryKind, FileStatus, LogQuery, RepoPath, Repository, Sha, SourceError,
};
use windlass_web::Page;
use windlass_workflow::trigger::{Input, InputKind};

use crate::context::{Context, internal, may, may_project, parse, stored};
use crate::runs::summary;
use crate::source::{ProjectDoc, create_project, manifest_summary};

type Answer<T> = Result<T, Problem>;

/// The largest file that is shown as text.
const SHOWN: usize = 1 << 20;
/// Branches and tags that are listed.
const MOST_REFS: usize = 1000;
/// Commits of a list when no number is asked for.
const COMMITS: usize = 50;

fn failed(error: SourceError) -> Problem {
    internal("the repository cannot be read", &error)
}

impl Context {
    fn repository(&self, who: &Principal, project: &str) -> Answer<Repository> {
        let project: ProjectName = parse(project)?;
        may_project(who, Action::ReadCode, &project)?;
        self.repositories
            .get(&project)
            .map_err(|_| Problem::not_found(format!("there is no project {project}")))
    }

    async fn sha(&self, repository: &Repository, reference: &str) -> Answer<Sha> {
        let found = repository.resolve(reference).await.map_err(failed)?;
        found.ok_or_else(|| Problem::not_found(format!("there is no branch, tag or commit `{reference}`")))
    }

    pub(crate) async fn projects(&self, who: &Principal) -> Answer<Vec<api::ProjectView>> {
        may(who, Action::ReadPlatform, &Resource::Platform)?;
        let mut views = Vec::new();
        for project in self.store.list::<ProjectDoc>(&Query::default()).await.map_err(stored)? {
            if may_project(who, Action::ReadProject, &project.value.name).is_ok() {
                views.push(self.project_view(&project.value).await?);
            }
        }
        Ok(views)
    }

    pub(crate) async fn create_project(
        &self,
        who: &Principal,
        wanted: api::CreateProject,
    ) -> Answer<api::ProjectView> {
        may(who, Action::CreateProject, &Resource::Platform)?;
        let name: ProjectName = parse(&wanted.name)?;
        if let Some(what) = crate::images::reserved(&name) {
            return Err(Problem::invalid(format!("`{name}` is {what}: choose another name")));
        }
        if self.store.get::<ProjectDoc>(name.as_str()).await.map_err(stored)?.is_some() {
            return Err(Problem::conflict(format!("there is a project {name} already")));
        }
        let project = create_project(self, &who.actor, &name).await;
        self.project_view(&project.map_err(|e| self.failing("the project cannot be made", &e))?).await
    }

    pub(crate) async fn project(&self, who: &Principal, project: &str) -> Answer<api::ProjectView> {
        let name: ProjectName = parse(project)?;
        may_project(who, Action::ReadProject, &name)?;
        let found = self.store.get::<ProjectDoc>(name.as_str()).await.map_err(stored)?;
        let found = found.ok_or_else(|| {
            Problem::not_found(format!("there is no project {name}; it is made by the first push to it"))
        })?;
        self.project_view(&found.value).await
    }

    async fn project_view(&self, project: &ProjectDoc) -> Answer<api::ProjectView> {
        let name = &project.name;
        let query =
            Query { parent: Some(name.to_string()), newest_first: true, limit: 1, ..Query::default() };
        let last = self.store.list::<Run>(&query).await.map_err(stored)?.pop();
        let branch = match self.repositories.get(name) {
            Ok(repository) => repository.default_branch().await.map(|b| b.short().to_owned()).ok(),
            Err(_) => None,
        };
        let (environments, manifest_problem) = manifest_summary(self, name).await;
        Ok(api::ProjectView {
            name: name.to_string(),
            default_branch: branch.unwrap_or_else(|| "main".into()),
            clone_url: format!("{}/{name}.git", self.endpoint.url),
            created_at: project.created_at,
            last_run: last.map(|r| summary(&r.value)),
            manifest_problem,
            environments,
        })
    }

    pub(crate) async fn refs(&self, who: &Principal, project: &str) -> Answer<Vec<api::RefView>> {
        let repository = self.repository(who, project)?;
        let refs = repository.refs(MOST_REFS).await.map_err(failed)?;
        let view = |r: windlass_source::RefEntry| api::RefView {
            name: r.name.short().to_owned(),
            sha: r.commit.as_str().to_owned(),
            tag: r.name.as_tag().is_some(),
            subject: r.subject,
            committed_at: r.at,
        };
        Ok(refs.into_iter().map(view).collect())
    }

    pub(crate) async fn commits(
        &self,
        who: &Principal,
        project: &str,
        reference: &str,
        page: &Page,
    ) -> Answer<Vec<api::CommitView>> {
        let repository = self.repository(who, project)?;
        let limit = if page.limit == 0 { COMMITS } else { page.limit.min(500) };
        // `before` is the last commit that was shown: its history without itself goes on from there.
        let from = self.sha(&repository, page.before.as_deref().unwrap_or(reference)).await?;
        let mut query = LogQuery::new(from, limit);
        query.skip = usize::from(page.before.is_some());
        let commits = repository.log(&query).await.map_err(failed)?;
        Ok(commits.into_iter().map(commit_view).collect())
    }

    pub(crate) async fn commit_detail(
        &self,
        who: &Principal,
        project: &str,
        sha: &str,
    ) -> Answer<api::CommitDetail> {
        let repository = self.repository(who, project)?;
        let sha = self.sha(&repository, sha).await?;
        let commit = repository.commit(&sha).await.map_err(failed)?;
        let commit =
            commit.ok_or_else(|| Problem::not_found(format!("there is no commit {}", sha.as_str())))?;
        let diff =
            repository.diff(commit.parents.first(), &sha, DiffLimits::default()).await.map_err(failed)?;
        let truncated = diff.truncated;
        Ok(api::CommitDetail { commit: commit_view(commit), files: files(diff), truncated })
    }

    pub(crate) async fn file(
        &self,
        who: &Principal,
        project: &str,
        reference: &str,
        path: &str,
    ) -> Answer<api::FileView> {
        let repository = self.repository(who, project)?;
        let sha = self.sha(&repository, reference).await?;
        let path: RepoPath = if path.is_empty() { RepoPath::root() } else { parse(path)? };
        let mut view = api::FileView {
            reference: reference.to_owned(),
            sha: sha.as_str().to_owned(),
            path: path.as_str().to_owned(),
            entries: None,
            text: None,
            size: None,
        };
        if let Some(entries) = repository.tree(&sha, &path).await.map_err(failed)? {
            view.entries = Some(entries.into_iter().map(entry).collect());
            return Ok(view);
        }
        let blob = repository.blob(&sha, &path, SHOWN).await.map_err(failed)?;
        let blob = blob
            .ok_or_else(|| Problem::not_found(format!("there is no `{}` at `{reference}`", path.as_str())))?;
        view.size = Some(blob.size);
        view.text = (!blob.truncated()).then(|| blob.text().map(str::to_owned)).flatten();
        Ok(view)
    }

    pub(crate) async fn compare(
        &self,
        who: &Principal,
        project: &str,
        base: &str,
        head: &str,
    ) -> Answer<(Vec<api::CommitView>, Vec<api::FileDiff>)> {
        let repository = self.repository(who, project)?;
        let (base, head) = (self.sha(&repository, base).await?, self.sha(&repository, head).await?);
        let left = repository.merge_base(&base, &head).await.map_err(failed)?;
        let mut query = LogQuery::new(head.clone(), 250);
        query.not = Some(base);
        let commits = repository.log(&query).await.map_err(failed)?;
        let diff = repository.diff(left.as_ref(), &head, DiffLimits::default()).await.map_err(failed)?;
        Ok((commits.into_iter().map(commit_view).collect(), files(diff)))
    }

    pub(crate) async fn workflows(&self, who: &Principal, project: &str) -> Answer<Vec<api::WorkflowView>> {
        let repository = self.repository(who, project)?;
        let branch = repository.default_branch().await.map_err(failed)?;
        let Some(tip) = repository.resolve(branch.as_str()).await.map_err(failed)? else {
            return Ok(Vec::new());
        };
        let files = crate::runs::workflows(&repository, &tip)
            .await
            .map_err(|e| internal("workflows cannot be read", &e))?;
        let (environments, _) = manifest_summary(self, &parse(project)?).await;
        let view = |file: crate::runs::WorkflowFile| {
            let parsed = file.parsed();
            let diagnostics = parsed.diagnostics.iter().map(|d| api::DiagnosticView {
                severity: d.severity.as_str().to_owned(),
                file: file.path.clone(),
                line: d.span.start.line,
                column: d.span.start.column,
                message: d.sentence(),
            });
            api::WorkflowView {
                name: parsed
                    .workflow
                    .as_ref()
                    .map_or_else(|| file.path.clone(), |w| w.display_name().to_owned()),
                dispatchable: parsed.workflow.as_ref().is_some_and(|w| w.on.dispatch.is_some()),
                inputs: parsed
                    .workflow
                    .as_ref()
                    .and_then(|w| w.on.dispatch_inputs())
                    .unwrap_or_default()
                    .iter()
                    .map(|i| dispatch_input(i, &environments))
                    .collect(),
                diagnostics: diagnostics.collect(),
                file: file.path.clone(),
            }
        };
        Ok(files.into_iter().map(view).collect())
    }
}

fn dispatch_input(input: &Input, environments: &[String]) -> api::DispatchInput {
    let text = |value: &windlass_workflow::expr::Value| match value.to_json() {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    api::DispatchInput {
        name: input.name.value.clone(),
        kind: input.kind.as_str().to_owned(),
        description: input.description.clone(),
        required: input.required,
        default: input.default.as_ref().map(text),
        options: match &input.kind {
            InputKind::Choice(options) => options.clone(),
            InputKind::Environment => environments.to_vec(),
            InputKind::String | InputKind::Boolean | InputKind::Number => Vec::new(),
        },
    }
}

fn commit_view(commit: Commit) -> api::CommitView {
    api::CommitView {
        sha: commit.sha.as_str().to_owned(),
        parents: commit.parents.iter().map(|p| p.as_str().to_owned()).collect(),
        author: commit.author,
        email: commit.author_email,
        committed_at: commit.committed_at,
        subject: commit.subject,
        body: commit.body,
    }
}

fn entry(entry: windlass_source::TreeEntry) -> api::TreeEntry {
    let kind = match entry.kind {
        EntryKind::File | EntryKind::Executable => "file",
        EntryKind::Folder => "folder",
        EntryKind::Link => "link",
        EntryKind::Submodule => "submodule",
    };
    api::TreeEntry { name: entry.name, path: entry.path, kind: kind.to_owned(), size: entry.size }
}

fn files(diff: Diff) -> Vec<api::FileDiff> {
    let status = |s: FileStatus| match s {
        FileStatus::Added => "added",
        FileStatus::Deleted => "deleted",
        FileStatus::Renamed => "renamed",
        FileStatus::Modified => "modified",
    };
    let file = |f: windlass_source::FileChange| api::FileDiff {
        path: f.path,
        old_path: f.old_path,
        status: status(f.status).to_owned(),
        binary: f.binary,
        added: f.added,
        removed: f.removed,
        hunks: f.hunks.into_iter().map(hunk).collect(),
    };
    diff.files.into_iter().map(file).collect()
}

fn hunk(hunk: windlass_source::Hunk) -> api::DiffHunk {
    let line =
        |l: windlass_source::Line| api::DiffLine { sign: l.sign, old: l.old, new: l.new, text: l.text };
    api::DiffHunk { header: hunk.header, lines: hunk.lines.into_iter().map(line).collect() }
}
