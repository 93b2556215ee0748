//! Actions' repositories by Git, with the machine's own `git`, inside the sandbox.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;
use windlass_runtime::Exec;
use windlass_workflow::model::is_commit;

use super::keep::Kept;
use super::{Brought, Wanted};
use crate::action::{ActionError, failed};
use crate::job::Job;
use crate::kept;
use crate::place::{Interruption, Patience};
use crate::tool::{Packing, Request};

/// How long an address may take to say what a ref means, and to give the files.
const LONGEST_QUESTION: Duration = Duration::from_mins(1);
const LONGEST_FETCH: Duration = Duration::from_mins(10);

/// An address that may have the repository.
pub(super) struct Address {
    /// Without credentials: what people see.
    pub(super) shown: String,
    /// The header that this server wants.
    header: Option<String>,
}

/// What a ref means on a server.
struct Meaning {
    commit: String,
    /// Tags are not expected to move.
    is_tag: bool,
}

impl Job {
    /// Where the repository may be: this server's own come first.
    pub(super) fn addresses(&self, wanted: &Wanted<'_>) -> Vec<Address> {
        let mut addresses = Vec::new();
        let github =
            |name: &str| self.contexts.github.get(name).map(|v| v.to_text().to_string()).unwrap_or_default();
        let repository = github("repository");
        let owner = repository.split_once('/').map_or("", |(owner, _)| owner);
        let clone = &self.assignment.clone_url;
        if owner.eq_ignore_ascii_case(wanted.owner)
            && let Some((base, _)) = clone.rsplit_once('/')
        {
            addresses.push(self.own_address(&format!("{base}/{}.git", wanted.repo)));
        }
        if let Some(url) = &self.sources.url {
            addresses
                .push(Address { shown: format!("{url}/{}/{}", wanted.owner, wanted.repo), header: None });
        }
        addresses
    }

    /// A repository of this server.
    pub(super) fn own_address(&self, url: &str) -> Address {
        let pair = STANDARD.encode(format!("x-access-token:{}", self.assignment.token.expose()));
        self.log.mask(&pair);
        Address { shown: url.to_owned(), header: Some(format!("AUTHORIZATION: basic {pair}")) }
    }

    pub(super) async fn by_git(
        &self,
        wanted: &Wanted<'_>,
        address: &Address,
        patience: &Patience,
        fresh: bool,
    ) -> Result<Brought, ActionError> {
        // This server says each time whether this job may read a repository of its own: what another project's job was
        // given must not answer in its stead.
        let root = self.sources.kept.as_deref().filter(|_| address.header.is_none());
        let kept = root.map(|root| Kept::at(root, &address.shown, wanted));
        let meaning = self.meaning(wanted, address, kept.as_ref(), patience).await?;
        let commit = meaning.commit;
        let brought = Brought { folder: self.action_folder(wanted, &commit), commit: Some(commit.clone()) };
        let archive = kept.as_ref().map(|kept| kept.archive(&commit)).filter(|archive| archive.is_file());
        if let Some(archive) = archive {
            let (host, inside) = self.place.incoming(&format!("action-{}.tar.zst", self.next_serial()));
            let copied = std::fs::copy(&archive, &host);
            let _ = kept::used(&archive, self.now());
            let unpacked = match copied {
                Ok(_) => self.unpack(wanted, inside, patience).await,
                Err(e) => Err(failed(format!("what is kept cannot be read: {e}"))),
            };
            let _ = std::fs::remove_file(&host);
            if unpacked.is_ok() {
                self.log.say(&format!("Action {} (kept, commit {commit})", wanted.shown()));
                return Ok(brought);
            }
        }
        self.fetch(wanted, address, &commit, &brought.folder, patience).await?;
        self.log.say(&format!("Action {} ({}, commit {commit})", wanted.shown(), address.shown));
        if let Some(kept) = kept.filter(|_| fresh) {
            self.keep(wanted, &kept, &commit, patience).await;
        }
        Ok(brought)
    }

    /// The commit that is wanted. A server that does not answer is excused if it did before.
    async fn meaning(
        &self,
        wanted: &Wanted<'_>,
        address: &Address,
        kept: Option<&Kept>,
        patience: &Patience,
    ) -> Result<Meaning, ActionError> {
        if wanted.is_commit() {
            return Ok(Meaning { commit: wanted.git_ref.to_lowercase(), is_tag: false });
        }
        let before = kept.and_then(|kept| kept.meant(wanted.git_ref));
        let found = match self.asked(wanted, address, patience).await {
            Ok(found) => found,
            Err(ActionError::Failed(why)) => {
                let commit = before.ok_or_else(|| failed(why.clone()))?;
                self.log.say(&format!(
                    "##[warning]{} cannot be asked ({why}): {} is what it was the last time, commit {commit}",
                    address.shown,
                    wanted.shown()
                ));
                return Ok(Meaning { commit, is_tag: false });
            }
            Err(e) => return Err(e),
        };
        if let Some(before) = before.filter(|before| *before != found.commit && found.is_tag) {
            self.voice(1).warn(&format!(
                "the tag `{}` of the action {}/{} has moved: it was commit {before}, it is {} now. Name the commit in `uses` \
                 if it should not",
                wanted.git_ref, wanted.owner, wanted.repo, found.commit
            ));
        }
        if let Some(kept) = kept
            && let Err(e) = kept.remember(wanted.git_ref, &found.commit)
        {
            tracing::warn!(error = %e, "what a ref means cannot be remembered");
        }
        Ok(found)
    }

    async fn asked(
        &self,
        wanted: &Wanted<'_>,
        address: &Address,
        patience: &Patience,
    ) -> Result<Meaning, ActionError> {
        let (tag, branch) =
            (format!("refs/tags/{}", wanted.git_ref), format!("refs/heads/{}", wanted.git_ref));
        let peeled = format!("{tag}^{{}}");
        let argv = ["git", "ls-remote", "--", &address.shown, &tag, &peeled, &branch];
        let listed = self.git(&argv, address.header.as_deref(), patience).await?;
        let commit = |name: &str| {
            let mut lines = listed.lines().filter_map(|line| line.split_once('\t'));
            lines.find(|(_, found)| *found == name).map(|(commit, _)| commit.to_owned())
        };
        let (commit, is_tag) = commit(&peeled)
            .or_else(|| commit(&tag))
            .map(|commit| (commit, true))
            .or_else(|| commit(&branch).map(|commit| (commit, false)))
            .filter(|(commit, _)| is_commit(commit))
            .ok_or_else(|| failed(format!("it has no tag or branch `{}`", wanted.git_ref)))?;
        Ok(Meaning { commit, is_tag })
    }

    async fn fetch(
        &self,
        wanted: &Wanted<'_>,
        address: &Address,
        commit: &str,
        folder: &Path,
        patience: &Patience,
    ) -> Result<(), ActionError> {
        let at = folder.to_string_lossy().into_owned();
        let header = address.header.as_deref();
        self.git(&["git", "init", "--quiet", "--", &at], None, patience).await?;
        let shallow =
            ["git", "-C", &at, "fetch", "--quiet", "--no-tags", "--depth=1", "--", &address.shown, commit];
        if let Err(first) = self.git(&shallow, header, patience).await {
            if matches!(first, ActionError::Interrupted(_)) {
                return Err(first);
            }
            // A server may give only what its refs reach.
            let all = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
            let whole = ["git", "-C", &at, "fetch", "--quiet", "--", &address.shown, all[0], all[1]];
            self.git(&whole, header, patience).await?;
        }
        self.check_out_commit(folder, commit, patience).await.map_err(|e| match e {
            ActionError::Failed(why) => failed(format!("it has no commit `{}`: {why}", wanted.git_ref)),
            stopped @ ActionError::Interrupted(_) => stopped,
        })
    }

    async fn check_out_commit(
        &self,
        folder: &Path,
        commit: &str,
        patience: &Patience,
    ) -> Result<(), ActionError> {
        let at = folder.to_string_lossy().into_owned();
        let argv = ["git", "-C", &at, "checkout", "--quiet", "--force", "--detach", commit];
        self.git(&argv, None, patience).await?;
        // As from an archive: an action is files, not a repository.
        let history = folder.join(".git").to_string_lossy().into_owned();
        self.git(&["rm", "-rf", "--", &history], None, patience).await.map(|_| ())
    }

    /// The files of a ref, in a repository that a mirror had.
    pub(super) async fn check_out(
        &self,
        wanted: &Wanted<'_>,
        brought: Brought,
        patience: &Patience,
    ) -> Result<Brought, ActionError> {
        let at = brought.folder.to_string_lossy().into_owned();
        let mut commit = None;
        for name in [wanted.git_ref.to_owned(), format!("refs/remotes/origin/{}", wanted.git_ref)] {
            let name = format!("{name}^{{commit}}");
            let asked = ["git", "-C", &at, "rev-parse", "--quiet", "--verify", "--end-of-options", &name];
            if let Ok(said) = self.git(&asked, None, patience).await {
                commit = said.lines().last().map(|line| line.trim().to_owned());
                break;
            }
        }
        let commit = commit.ok_or_else(|| {
            failed(format!("the mirror's repository has nothing named `{}`", wanted.git_ref))
        })?;
        self.check_out_commit(&brought.folder, &commit, patience).await?;
        Ok(Brought { commit: Some(commit), ..brought })
    }

    async fn keep(&self, wanted: &Wanted<'_>, kept: &Kept, commit: &str, patience: &Patience) {
        let folder = self.action_folder(wanted, commit);
        let root = folder.parent().map(Path::to_owned).unwrap_or_default();
        let packing = Packing { root, home: PathBuf::from("/nowhere"), patterns: vec![commit.to_owned()] };
        let stored = async {
            let archive = self
                .place
                .outgoing(&format!("action-{}.tar.zst", self.next_serial()))
                .map_err(|e| failed(e.to_string()))?;
            self.place.tool(&Request::Pack(packing), Some(&archive), patience).await?;
            let stored = kept.store(commit, &archive).map_err(|e| failed(e.to_string()));
            let _ = std::fs::remove_file(&archive);
            stored
        };
        if let Err(e) = stored.await {
            tracing::warn!(error = %e, "an action's repository cannot be kept; it will be fetched again");
        }
    }

    /// Runs `git`, or what clears up after it; gives what it said.
    async fn git(
        &self,
        argv: &[&str],
        header: Option<&str>,
        patience: &Patience,
    ) -> Result<String, ActionError> {
        let mut settings = vec![
            ("safe.directory".to_owned(), "*".to_owned()),
            ("core.hooksPath".to_owned(), "/dev/null".to_owned()),
            ("advice.detachedHead".to_owned(), "false".to_owned()),
            ("init.defaultBranch".to_owned(), "main".to_owned()),
        ];
        if let Some(header) = header {
            let clone = &self.assignment.clone_url;
            let (scheme, rest) = clone.split_once("://").unwrap_or(("http", clone));
            let origin = format!("{scheme}://{}/", rest.split('/').next().unwrap_or(rest));
            settings.push((format!("http.{origin}.extraheader"), header.to_owned()));
        }
        let mut env: BTreeMap<String, String> = self.place.base().clone();
        env.insert("GIT_CONFIG_COUNT".into(), settings.len().to_string());
        for (index, (key, value)) in settings.into_iter().enumerate() {
            env.insert(format!("GIT_CONFIG_KEY_{index}"), key);
            env.insert(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        env.insert("GIT_TERMINAL_PROMPT".into(), "0".into());
        env.insert("GIT_ASKPASS".into(), "true".into());
        let exec = Exec { env, ..Exec::new(argv.iter().copied()) }.cwd(&self.place.layout.workspace);
        // An address that swallows what is sent to it must not hold the job for ever.
        let limit = if verb(argv) == "ls-remote" { LONGEST_QUESTION } else { LONGEST_FETCH };
        let end = Instant::now().checked_add(limit);
        let deadline = patience.deadline.into_iter().chain(end).min();
        let (code, out, err) = match self.place.ask(exec, &Patience { deadline, ..patience.clone() }).await {
            Err(ActionError::Interrupted(Interruption::TimedOut)) if deadline == end => {
                let limit = limit.as_secs();
                return Err(failed(format!("`git {}` took longer than {limit} seconds", verb(argv))));
            }
            other => other?,
        };
        if code == 0 {
            return Ok(out);
        }
        let words =
            err.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing").trim();
        Err(failed(format!("`{} {}` failed: {}", argv[0], verb(argv), self.log.masked(words))))
    }
}

/// What `git` was to do.
fn verb<'a>(argv: &[&'a str]) -> &'a str {
    let rest = if argv.get(1) == Some(&"-C") { argv.get(3) } else { argv.get(1) };
    rest.copied().unwrap_or_default()
}
