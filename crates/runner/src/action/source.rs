//! Where actions come from that are not built in: a mirror folder of the operator's, this server's own repositories, or
//! Git at an address, kept by commit. Files reach the job's `_actions` folder through its sandbox; what is
//! brought before the first step is kept for other jobs, what is brought later is not, as the job could have altered it.

mod git;
mod keep;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use windlass_workflow::model::{ActionRef, is_commit};

use super::{ActionError, failed};
use crate::job::Job;
use crate::place::Patience;
use crate::tool::{Request, Unpacking};

/// The variable that names the mirror's folder.
const MIRROR: &str = "WINDLASS_ACTIONS_MIRROR";
/// The variable that says where actions are fetched from by Git; `off` for nowhere.
const URL: &str = "WINDLASS_ACTIONS_URL";
/// Where they are fetched from if nothing is said.
const DEFAULT_URL: &str = "https://github.com";

/// Where actions that are not built in come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ActionSources {
    /// Folders in which `OWNER/REPO@REF` or `OWNER/REPO` is looked for, in this order.
    pub mirrors: Vec<PathBuf>,
    /// Where what was fetched is kept by commit; none: nothing is kept.
    pub kept: Option<PathBuf>,
    /// The address below which `OWNER/REPO` is fetched by Git; none: nothing is.
    pub url: Option<String>,
}

/// An action's repository, as the job has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Brought {
    /// Its folder, as the job sees it.
    pub(crate) folder: PathBuf,
    /// The commit, where it is known.
    pub(crate) commit: Option<String>,
}

/// The repositories that this job has already.
#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<BTreeMap<String, Brought>>);

/// What is wanted: `OWNER/REPO@REF`, in plain characters.
#[derive(Clone, Debug)]
struct Wanted<'a> {
    owner: &'a str,
    repo: &'a str,
    git_ref: &'a str,
}

impl ActionSources {
    /// Those of a machine with this data directory, as its environment says.
    pub fn of_machine(data_dir: &Path) -> Self {
        let own = data_dir.join("actions");
        let named = std::env::var_os(MIRROR).filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let url = std::env::var(URL).unwrap_or_else(|_| DEFAULT_URL.to_owned());
        let url = Some(url.trim().trim_end_matches('/').to_owned());
        Self {
            mirrors: named.into_iter().chain([own]).collect(),
            kept: Some(data_dir.join(crate::kept::ACTIONS)),
            url: url.filter(|url| !url.is_empty() && url != "off" && url != "none"),
        }
    }
}

impl Wanted<'_> {
    fn of(action: &ActionRef) -> Option<Wanted<'_>> {
        let ActionRef::Repository { owner, repo, git_ref, .. } = action else { return None };
        let wanted = Wanted { owner, repo, git_ref };
        (plain(owner) && plain(repo) && plain_ref(git_ref)).then_some(wanted)
    }

    fn key(&self) -> String {
        format!("{}/{}@{}", self.owner.to_lowercase(), self.repo.to_lowercase(), self.git_ref)
    }

    fn shown(&self) -> String {
        format!("{}/{}@{}", self.owner, self.repo, self.git_ref)
    }

    /// The ref as the name of one folder.
    fn leaf(&self) -> String {
        self.git_ref.replace('/', "_")
    }

    fn is_commit(&self) -> bool {
        is_commit(self.git_ref)
    }
}

fn plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 100
        && !name.starts_with(['.', '-'])
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// A ref that is safe in paths and arguments.
fn plain_ref(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 200
        && !name.starts_with(['.', '-', '/'])
        && !name.contains("..")
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_./+#".contains(c))
}

impl Job {
    /// The repository of an action, fetched if the job does not have it yet. `fresh`: no step has run so far.
    pub(crate) async fn bring(
        &self,
        action: &ActionRef,
        patience: &Patience,
        fresh: bool,
    ) -> Result<Brought, ActionError> {
        let wanted = Wanted::of(action).ok_or_else(|| {
            failed(format!("`{action}` has characters that no owner, repository or ref should have"))
        })?;
        // One at a time: two steps that want the same do not fetch it twice.
        let mut shelf = self.shelf.0.lock().await;
        if let Some(brought) = shelf.get(&wanted.key()) {
            return Ok(brought.clone());
        }
        let brought = self.bring_new(&wanted, patience, fresh).await?;
        shelf.insert(wanted.key(), brought.clone());
        Ok(brought)
    }

    /// The repository and the commit that the workflow is from.
    pub(crate) async fn bring_own(&self, patience: &Patience, fresh: bool) -> Result<PathBuf, ActionError> {
        let github =
            |name: &str| self.contexts.github.get(name).map(|v| v.to_text().to_string()).unwrap_or_default();
        let commit = [github("workflow_sha"), github("sha")].into_iter().find(|sha| is_commit(sha));
        let commit = commit.ok_or_else(|| failed("the workflow's commit is not known"))?;
        let wanted = Wanted { owner: "_own", repo: "workflow", git_ref: &commit };
        let mut shelf = self.shelf.0.lock().await;
        if let Some(brought) = shelf.get(&wanted.key()) {
            return Ok(brought.folder.clone());
        }
        let address = self.own_address(&self.assignment.clone_url);
        let brought = self.by_git(&wanted, &address, patience, fresh).await?;
        shelf.insert(wanted.key(), brought.clone());
        Ok(brought.folder)
    }

    async fn bring_new(
        &self,
        wanted: &Wanted<'_>,
        patience: &Patience,
        fresh: bool,
    ) -> Result<Brought, ActionError> {
        if let Some((folder, exact)) = self.mirrored(wanted) {
            return self.by_mirror(wanted, &folder, exact, patience).await;
        }
        let mut tried = Vec::new();
        for address in self.addresses(wanted) {
            match self.by_git(wanted, &address, patience, fresh).await {
                Ok(brought) => return Ok(brought),
                Err(ActionError::Failed(why)) => tried.push(format!("{}: {why}", address.shown)),
                Err(e) => return Err(e),
            }
        }
        if tried.is_empty() {
            tried.push("nothing is fetched by Git here".to_owned());
        }
        let shown = wanted.shown();
        let mirror = self.sources.mirrors.last().map_or_else(
            || format!("the folder that {MIRROR} names"),
            |folder| format!("`{}`", folder.join(wanted.owner).display()),
        );
        Err(failed(format!(
            "the action `{shown}` is not built in and cannot be had ({}). To provide it, put its files into the folder \
             `{}@{}` (or `{}`, for every ref) of {mirror} on the runner's machine, or set {URL} to an address below which \
             Git finds `{}/{}`",
            tried.join("; "),
            wanted.repo,
            wanted.leaf(),
            wanted.repo,
            wanted.owner,
            wanted.repo,
        )))
    }

    /// Whether a mirror has this very ref of an action: then that is used even if the action is built in.
    pub(crate) fn is_mirrored(&self, action: &ActionRef) -> bool {
        Wanted::of(action).and_then(|wanted| self.mirrored(&wanted)).is_some_and(|(_, exact)| exact)
    }

    /// The folder of the first mirror that has it, and whether it is there under its very ref.
    fn mirrored(&self, wanted: &Wanted<'_>) -> Option<(PathBuf, bool)> {
        self.sources.mirrors.iter().find_map(|mirror| {
            let owner = folder_called(mirror, wanted.owner)?;
            let exact = folder_called(&owner, &format!("{}@{}", wanted.repo, wanted.leaf()));
            exact
                .map(|folder| (folder, true))
                .or_else(|| folder_called(&owner, wanted.repo).map(|folder| (folder, false)))
        })
    }

    async fn by_mirror(
        &self,
        wanted: &Wanted<'_>,
        folder: &Path,
        exact: bool,
        patience: &Patience,
    ) -> Result<Brought, ActionError> {
        let (host, inside) = self.place.incoming(&format!("action-{}.tar.zst", self.next_serial()));
        let (source, archive, leaf) = (folder.to_owned(), host.clone(), wanted.leaf());
        let packed = tokio::task::spawn_blocking(move || keep::pack(&source, &leaf, &archive)).await;
        let packed = packed.map_err(std::io::Error::other).and_then(|packed| packed);
        packed.map_err(|e| failed(format!("the mirror `{}` cannot be read: {e}", folder.display())))?;
        let brought = Brought { folder: self.action_folder(wanted, &wanted.leaf()), commit: None };
        let unpacked = self.unpack(wanted, inside, patience).await;
        let _ = std::fs::remove_file(&host);
        unpacked?;
        self.log.say(&format!("Action {} from the mirror", wanted.shown()));
        let is_repository = !exact && folder.join(".git").exists();
        if is_repository { self.check_out(wanted, brought, patience).await } else { Ok(brought) }
    }

    /// The folder of the job in which an action's repository lies, as the job sees it.
    fn action_folder(&self, wanted: &Wanted<'_>, leaf: &str) -> PathBuf {
        self.actions_root().join(wanted.owner.to_lowercase()).join(wanted.repo.to_lowercase()).join(leaf)
    }

    fn actions_root(&self) -> PathBuf {
        self.place.layout.temp.with_file_name("_actions")
    }

    async fn unpack(
        &self,
        wanted: &Wanted<'_>,
        archive: PathBuf,
        patience: &Patience,
    ) -> Result<(), ActionError> {
        let folder = self.action_folder(wanted, "x");
        let root = folder.parent().unwrap_or(&folder).to_owned();
        let unpacking = Unpacking { archive, root, home: self.place.home() };
        self.place.tool(&Request::Unpack(unpacking), None, patience).await.map(|_| ())
    }
}

/// The folder of a name; owners and repositories ignore case.
fn folder_called(above: &Path, name: &str) -> Option<PathBuf> {
    let straight = above.join(name);
    if straight.is_dir() {
        return Some(straight);
    }
    let entries = std::fs::read_dir(above).ok()?.flatten();
    let mut fitting = entries.filter(|entry| entry.file_name().to_string_lossy().eq_ignore_ascii_case(name));
    fitting.next().map(|entry| entry.path()).filter(|folder| folder.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_wanted() {
        for (uses, good) in [
            ("a/b@v1", true),
            ("a/b/c/d@feature/x", true),
            ("a-b/c.d_e@0123456789012345678901234567890123456789", true),
            ("a/b@../x", false),
            ("a/..@v1", false),
            ("-a/b@v1", false),
            ("a/b@-upload-pack", false),
            ("a/b@v1;x", false),
            ("./a", false),
            ("docker://a", false),
        ] {
            assert_eq!(Wanted::of(&ActionRef::parse(uses).unwrap()).is_some(), good, "{uses}");
        }
    }
}
