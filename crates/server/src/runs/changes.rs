//! Changes: what is proposed for a branch, by a branch of the project that differs from it or by a push to `refs/for/…`.
//! The number, the author and the base of each stand in its record beside the refs; here is what became of it. Its
//! commits are under `refs/pull/N/head`, and what the base would be with them under `refs/pull/N/merge`.

mod decisions;
mod views;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use windlass_kernel::{
    Actor, Batch, Document, NewEvent, ProjectName, Query, StoreError, StoreExt as _, Timestamp,
};
use windlass_source::{ChangeRecord, Commit, Merge, Origin, RefName, Repository, Sha, change_of};

use crate::context::Context;
use crate::runs::proposal::{self, Proposal};
use crate::runs::start::{Begun, Pushed, changed};

pub(crate) use decisions::tend_held;

/// A change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChangeDoc {
    pub(crate) project: ProjectName,
    pub(crate) number: u64,
    /// The subject of its newest commit.
    pub(crate) title: String,
    pub(crate) author: Actor,
    /// The branch that it is proposed for.
    pub(crate) base: String,
    /// What its branch is called.
    pub(crate) head_name: String,
    /// The project's own branch that it is, if it is one.
    pub(crate) branch: Option<String>,
    /// Whether whoever pushed it last may not write to the project.
    pub(crate) outside: bool,
    /// Its newest commit.
    pub(crate) head: String,
    /// The merge of that with the base, unless they conflict.
    pub(crate) merge: Option<String>,
    /// The files that conflict.
    pub(crate) conflicts: Vec<String>,
    pub(crate) state: ChangeState,
    pub(crate) opened_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    /// Who said that its runs may begin, or may not; each word is about one commit.
    pub(crate) decisions: Vec<Decision>,
}

/// Where a change stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChangeState {
    Open,
    Merged,
    Closed,
}

impl ChangeState {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Merged => "merged",
            Self::Closed => "closed",
        }
    }
}

/// Somebody's word about the runs of a commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Decision {
    pub(crate) by: Actor,
    pub(crate) approve: bool,
    pub(crate) head: String,
    pub(crate) comment: String,
    pub(crate) at: Timestamp,
}

/// The key of a change; sorts by number.
pub(crate) fn change_id(project: &ProjectName, number: u64) -> String {
    format!("{project}:{number:010}")
}

impl Document for ChangeDoc {
    const KIND: &'static str = "change";

    fn id(&self) -> String {
        change_id(&self.project, self.number)
    }

    fn parent(&self) -> String {
        self.project.to_string()
    }

    fn state(&self) -> String {
        self.state.word().to_owned()
    }
}

impl ChangeDoc {
    /// The last word about a commit.
    pub(crate) fn decision(&self, head: &str) -> Option<&Decision> {
        self.decisions.iter().rev().find(|decision| decision.head == head)
    }

    /// `refs/pull/N/merge`.
    pub(crate) fn merge_ref(&self) -> String {
        format!("refs/pull/{}/merge", self.number)
    }

    fn event(&self, now: Timestamp, by: &Actor, kind: &str) -> NewEvent {
        NewEvent::new(now, by.clone(), kind, self.id()).project(&self.project).data(json!({
            "change": self.number,
            "base": self.base,
            "head": self.head,
            "merge": self.merge,
            "outside": self.outside,
            "conflicts": self.conflicts,
        }))
    }
}

/// A project's changes, while what was pushed is taken in: several moves of one batch may concern the same change.
pub(crate) struct Changes {
    project: ProjectName,
    known: BTreeMap<u64, (ChangeDoc, u64)>,
    touched: Vec<u64>,
    events: Vec<NewEvent>,
}

impl Changes {
    /// The open ones.
    pub(crate) async fn load(ctx: &Context, project: &ProjectName) -> Result<Self, StoreError> {
        let query =
            Query { parent: Some(project.to_string()), states: vec!["open".to_owned()], ..Query::default() };
        let open = ctx.store.list::<ChangeDoc>(&query).await?;
        let known =
            open.into_iter().map(|found| (found.value.number, (found.value, found.version))).collect();
        Ok(Self { project: project.clone(), known, touched: Vec::new(), events: Vec::new() })
    }

    /// Adds what changed to the batch of the moves.
    pub(crate) fn keep(self, mut batch: Batch) -> Batch {
        for (number, (doc, version)) in &self.known {
            if self.touched.contains(number) {
                batch = batch.update(doc, *version);
            }
        }
        batch.events(self.events)
    }

    async fn get(&mut self, ctx: &Context, number: u64) -> Result<Option<ChangeDoc>, StoreError> {
        if let Some((doc, _)) = self.known.get(&number) {
            return Ok(Some(doc.clone()));
        }
        let found = ctx.store.get::<ChangeDoc>(&change_id(&self.project, number)).await?;
        Ok(found.map(|found| {
            self.known.insert(number, (found.value.clone(), found.version));
            found.value
        }))
    }

    fn put(&mut self, doc: ChangeDoc, now: Timestamp, by: &Actor, kind: &str) {
        self.events.push(doc.event(now, by, kind));
        let number = doc.number;
        if !self.touched.contains(&number) {
            self.touched.push(number);
        }
        let version = self.known.get(&number).map_or(0, |(_, version)| *version);
        self.known.insert(number, (doc, version));
    }

    fn of_branch(&self, branch: &str) -> Option<ChangeDoc> {
        let mut open = self.known.values().filter(|(doc, _)| doc.state == ChangeState::Open);
        open.find(|(doc, _)| doc.branch.as_deref() == Some(branch)).map(|(doc, _)| doc.clone())
    }
}

/// What everything here works on: a moved ref of a project.
pub(crate) struct Moved<'a> {
    pub(crate) ctx: &'a Context,
    pub(crate) repository: &'a Repository,
    pub(crate) pushed: &'a Pushed,
}

impl Moved<'_> {
    /// A branch that differs from the default branch has moved: it is a change of somebody who may write.
    pub(crate) async fn branch(
        &self,
        changes: &mut Changes,
        branch: &str,
        default: &RefName,
        commit: &Commit,
    ) -> anyhow::Result<Vec<Begun>> {
        let known = changes.of_branch(branch).filter(|doc| doc.base == default.short());
        let doc = match known {
            Some(doc) => doc,
            None => {
                let record = self.repository.change_of_branch(ChangeRecord {
                    number: 0,
                    base: default.short().to_owned(),
                    author: self.pushed.pusher.clone(),
                    origin: Origin::Branch(branch.to_owned()),
                    outside: false,
                    open: true,
                })?;
                self.fresh(&record)
            }
        };
        self.moved(changes, ChangeDoc { outside: false, ..doc }, commit).await
    }

    /// Something was pushed to `refs/for/…`.
    pub(crate) async fn proposed(&self, changes: &mut Changes) -> anyhow::Result<Vec<Begun>> {
        let (name, new) = (&self.pushed.update.name, &self.pushed.update.new);
        let (Some(number), Some(new)) = (change_of(name), new) else { return Ok(Vec::new()) };
        // Without its record nobody knows whose it is: nothing is made of it.
        let Some(record) = self.repository.change(number)? else {
            tracing::error!(project = %self.pushed.project, number, "a change has no record; it starts nothing");
            return Ok(Vec::new());
        };
        let Some(commit) = self.repository.commit(new).await? else { return Ok(Vec::new()) };
        let doc = changes.get(self.ctx, number).await?.unwrap_or_else(|| self.fresh(&record));
        self.moved(changes, ChangeDoc { outside: record.outside, ..doc }, &commit).await
    }

    fn fresh(&self, record: &ChangeRecord) -> ChangeDoc {
        let branch = match &record.origin {
            Origin::Branch(name) => Some(name.clone()),
            Origin::Topic(_) => None,
        };
        ChangeDoc {
            project: self.pushed.project.clone(),
            number: record.number,
            title: String::new(),
            author: record.author.clone(),
            base: record.base.clone(),
            head_name: record.head_name(),
            branch,
            outside: record.outside,
            head: String::new(),
            merge: None,
            conflicts: Vec::new(),
            state: ChangeState::Open,
            opened_at: self.ctx.now(),
            updated_at: self.ctx.now(),
            decisions: Vec::new(),
        }
    }

    /// A change has a new commit: merges it, and starts what runs on that.
    async fn moved(
        &self,
        changes: &mut Changes,
        mut doc: ChangeDoc,
        commit: &Commit,
    ) -> anyhow::Result<Vec<Begun>> {
        let (action, kind) = match (doc.head.is_empty(), doc.state) {
            (true, _) => ("opened", "change.opened"),
            (false, ChangeState::Open) => ("synchronize", "change.updated"),
            (false, _) => ("reopened", "change.reopened"),
        };
        doc.state = ChangeState::Open;
        doc.updated_at = self.ctx.now();
        doc.title.clone_from(&commit.subject);
        let before = std::mem::replace(&mut doc.head, commit.sha.as_str().to_owned());
        let base = self.repository.resolve(&format!("refs/heads/{}", doc.base)).await?;
        let Some(base) = base else { return Ok(Vec::new()) };
        self.merge(&mut doc, &base, commit).await?;
        let left = self.repository.merge_base(&base, &commit.sha).await?;
        let files = changed(self.repository, left.as_ref(), &commit.sha).await;
        let first = if doc.outside { self.is_first(&doc).await? } else { false };
        changes.put(doc.clone(), self.ctx.now(), &self.pushed.pusher, kind);
        let proposal = Proposal {
            action,
            change: &doc,
            base: &base,
            before: Some(before.as_str()).filter(|_| action == "synchronize"),
            commit,
            files: files.as_deref(),
            first,
        };
        proposal::start(self.ctx, self.repository, self.pushed, &proposal).await
    }

    /// Merges a change with its base, and lets its refs say so.
    async fn merge(&self, doc: &mut ChangeDoc, base: &Sha, commit: &Commit) -> anyhow::Result<()> {
        let name = |end: &str| format!("refs/pull/{}/{end}", doc.number).parse::<RefName>();
        self.repository.set_ref(&name("head")?, &commit.sha).await?;
        let merged = match self.repository.merge(base, &commit.sha).await {
            Ok(merged) => merged,
            Err(e) => {
                // Histories that have nothing in common, or more than git can merge in a minute.
                tracing::warn!(project = %doc.project, number = doc.number, error = %e, "a change cannot be merged");
                Merge::Conflicts(vec!["(git cannot merge the two at all)".to_owned()])
            }
        };
        (doc.merge, doc.conflicts) = match merged {
            Merge::Clean(tree) => {
                let merge = self.repository.commit_merge(&tree, base, commit).await?;
                self.repository.set_ref(&name("merge")?, &merge).await?;
                (Some(merge.as_str().to_owned()), Vec::new())
            }
            Merge::Conflicts(files) => (None, files),
        };
        Ok(())
    }

    /// Whether nobody has approved anything of this author's here yet.
    async fn is_first(&self, doc: &ChangeDoc) -> Result<bool, StoreError> {
        let query = Query { parent: Some(doc.project.to_string()), ..Query::default() };
        let all = self.ctx.store.list::<ChangeDoc>(&query).await?;
        let mut theirs = all.iter().filter(|found| found.value.author == doc.author);
        Ok(!theirs.any(|found| found.value.decisions.iter().any(|decision| decision.approve)))
    }

    /// The branch of a change is gone.
    pub(crate) async fn branch_deleted(
        &self,
        changes: &mut Changes,
        branch: &str,
        tip: &Sha,
    ) -> anyhow::Result<Vec<Begun>> {
        let Some(doc) = changes.of_branch(branch) else { return Ok(Vec::new()) };
        let head: Sha = doc.head.parse()?;
        let merged = self.repository.is_ancestor(&head, tip).await?;
        self.ended(changes, doc, if merged { ChangeState::Merged } else { ChangeState::Closed }).await
    }

    /// A branch has moved: what was proposed for it and is in it now, was merged.
    pub(crate) async fn base(&self, changes: &mut Changes, branch: &str) -> anyhow::Result<Vec<Begun>> {
        let open = |(doc, _): &&(ChangeDoc, u64)| doc.state == ChangeState::Open && doc.base == branch;
        let open: Vec<ChangeDoc> = changes.known.values().filter(open).map(|(doc, _)| doc.clone()).collect();
        let Some(new) = self.pushed.update.new.as_ref().filter(|_| !open.is_empty()) else {
            return Ok(Vec::new());
        };
        let merged = self.repository.merged_into(new, "refs/pull/*/head").await?;
        let mut started = Vec::new();
        for doc in open {
            let name: RefName = format!("refs/pull/{}/head", doc.number).parse()?;
            if merged.contains(&name) {
                started.extend(self.ended(changes, doc, ChangeState::Merged).await?);
            }
        }
        Ok(started)
    }

    async fn ended(
        &self,
        changes: &mut Changes,
        mut doc: ChangeDoc,
        state: ChangeState,
    ) -> anyhow::Result<Vec<Begun>> {
        let now = self.ctx.now();
        doc.state = state;
        doc.updated_at = now;
        if state == ChangeState::Merged && matches!(self.pushed.pusher, Actor::User(_)) {
            // Who takes it into the project's own code has said that it may run.
            doc.decisions.push(Decision {
                by: self.pushed.pusher.clone(),
                approve: true,
                head: doc.head.clone(),
                comment: format!("merged into {}", doc.base),
                at: now,
            });
        }
        self.repository.close_change(doc.number)?;
        let kind = if state == ChangeState::Merged { "change.merged" } else { "change.closed" };
        changes.put(doc.clone(), now, &self.pushed.pusher, kind);
        let head: Sha = doc.head.parse()?;
        let base = self.repository.resolve(&format!("refs/heads/{}", doc.base)).await?;
        let (Some(commit), Some(base)) = (self.repository.commit(&head).await?, base) else {
            return Ok(Vec::new());
        };
        let proposal = Proposal {
            action: "closed",
            change: &doc,
            base: &base,
            before: None,
            commit: &commit,
            files: None,
            first: false,
        };
        proposal::start(self.ctx, self.repository, self.pushed, &proposal).await
    }
}
