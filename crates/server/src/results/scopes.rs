//! Which caches a run reads and which it writes. A cache of one scope is never seen from a sibling: what a change that
//! somebody proposes writes is read by runs of that same change only, and never by a branch.

use windlass_kernel::JobId;
use windlass_pipeline::{Run, cache_mode};
use windlass_workflow::model::CacheMode;

/// Events that run with the default branch's trust on account of what anybody may have written: they read only.
const LOW_TRUST: [&str; 8] = [
    "pull_request_target",
    "issue_comment",
    "issues",
    "discussion",
    "discussion_comment",
    "pull_request_review",
    "pull_request_review_comment",
    "workflow_run",
];

/// The scopes of caches, and what may be done with them there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CacheScopes {
    /// Where it writes.
    pub(crate) own: String,
    /// Where it looks, nearest first.
    pub(crate) read: Vec<String>,
    /// Why it may not write, if it may not.
    pub(crate) read_only: Option<String>,
    /// What may be done.
    pub(crate) mode: CacheMode,
}

impl CacheScopes {
    /// Those of a job: where its run's are, and as much as its `cache-mode` says.
    pub(crate) fn of_job(run: &Run, job: JobId, default_branch: Option<&str>) -> Self {
        Self::of(run, default_branch).within(cache_mode(run, job).unwrap_or(CacheMode::None))
    }

    fn within(mut self, said: CacheMode) -> Self {
        self.mode = self.mode.and(said);
        if !said.reads() {
            self.read.clear();
        }
        if !said.writes() {
            let why = || format!("cache write denied: the job's cache-mode is '{}'", said.as_str());
            self.read_only.get_or_insert_with(why);
        }
        self
    }

    /// Those of a run, in a project whose default branch is this (`refs/heads/…`).
    pub(crate) fn of(run: &Run, default_branch: Option<&str>) -> Self {
        let base = run.github["base_ref"].as_str().filter(|b| !b.is_empty());
        Self::new(&run.event, &run.git_ref, base, default_branch)
    }

    fn new(event: &str, git_ref: &str, base: Option<&str>, default_branch: Option<&str>) -> Self {
        let own = match event {
            // A proposed change has a scope of its own, whatever branch it lies on.
            "pull_request" if !git_ref.starts_with("refs/pull/") => format!("refs/pull/{git_ref}"),
            _ => git_ref.to_owned(),
        };
        let mut read = vec![own.clone()];
        read.extend(base.map(|b| format!("refs/heads/{}", b.trim_start_matches("refs/heads/"))));
        read.extend(default_branch.map(str::to_owned));
        let mut seen = std::collections::HashSet::new();
        read.retain(|scope| seen.insert(scope.clone()));
        let read_only = LOW_TRUST.contains(&event).then(|| {
            format!(
                "cache write denied: a run for `{event}` reads caches only, as it runs with the trust of {git_ref} on account of what others wrote"
            )
        });
        let mode = if read_only.is_some() { CacheMode::Read } else { CacheMode::Write };
        Self { own, read, read_only, mode }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: &str = "refs/heads/main";

    fn scopes(event: &str, git_ref: &str, base: Option<&str>) -> CacheScopes {
        CacheScopes::new(event, git_ref, base, Some(MAIN))
    }

    #[test]
    fn a_run_reads_its_own_then_its_base_then_the_default_branch() {
        type Case<'a> = (&'a str, &'a str, Option<&'a str>, &'a str, &'a [&'a str]);
        let cases: [Case<'_>; 6] = [
            ("push", MAIN, None, MAIN, &[MAIN]),
            ("push", "refs/heads/x", None, "refs/heads/x", &["refs/heads/x", MAIN]),
            ("push", "refs/tags/v1", None, "refs/tags/v1", &["refs/tags/v1", MAIN]),
            (
                "pull_request",
                "refs/heads/x",
                Some("next"),
                "refs/pull/refs/heads/x",
                &["refs/pull/refs/heads/x", "refs/heads/next", MAIN],
            ),
            (
                "pull_request",
                "refs/pull/7/merge",
                Some("main"),
                "refs/pull/7/merge",
                &["refs/pull/7/merge", MAIN],
            ),
            ("workflow_dispatch", "refs/heads/x", None, "refs/heads/x", &["refs/heads/x", MAIN]),
        ];
        for (event, git_ref, base, own, read) in cases {
            let found = scopes(event, git_ref, base);
            assert_eq!((found.own.as_str(), found.read_only), (own, None), "{event} {git_ref}");
            assert_eq!(found.read, read, "{event} {git_ref}");
        }
    }

    #[test]
    fn a_cache_mode_only_takes_away() {
        for (event, said, reads, writes, mode) in [
            ("push", CacheMode::Write, true, true, "write"),
            ("push", CacheMode::Read, true, false, "read"),
            ("push", CacheMode::WriteOnly, false, true, "write-only"),
            ("push", CacheMode::None, false, false, "none"),
            ("issues", CacheMode::Write, true, false, "read"),
            ("issues", CacheMode::WriteOnly, false, false, "none"),
        ] {
            let found = scopes(event, MAIN, None).within(said);
            assert_eq!(!found.read.is_empty(), reads, "{event} {said:?}");
            assert_eq!(found.read_only.is_none(), writes, "{event} {said:?}");
            assert_eq!(found.mode.as_str(), mode, "{event} {said:?}");
        }
    }

    #[test]
    fn what_a_proposed_change_writes_no_branch_reads() {
        for git_ref in [MAIN, "refs/heads/x", "refs/heads/release/1", "refs/pull/7/merge"] {
            let written = scopes("pull_request", git_ref, Some("main")).own;
            for event in ["push", "schedule", "workflow_dispatch", "release", "workflow_run"] {
                for branch in [MAIN, "refs/heads/x", "refs/heads/release/1", "refs/tags/v1"] {
                    assert!(
                        !scopes(event, branch, None).read.contains(&written),
                        "{event} {branch} {git_ref}"
                    );
                }
            }
        }
    }

    #[test]
    fn runs_that_others_texts_start_on_the_default_branch_only_read() {
        for event in LOW_TRUST {
            let found = scopes(event, MAIN, None);
            assert!(found.read_only.unwrap().starts_with("cache write denied:"), "{event}");
            assert_eq!(found.read, [MAIN]);
        }
        assert_eq!(scopes("push", MAIN, None).read_only, None);
    }
}
