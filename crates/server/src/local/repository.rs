//! What a local run is of: the repository around a folder, read from its files. No program is started where the files
//! say it plainly, because that would take as long as a whole step.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use windlass_kernel::Timestamp;

/// The largest file of Git's that is read here, in bytes.
const LARGEST: u64 = 32 << 20;
/// What stands for a commit where there is none.
pub(super) const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// A repository, or a folder that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repository {
    /// The working tree.
    pub(super) root: PathBuf,
    /// `owner/name`.
    pub(super) name: String,
    /// The full ref that is checked out.
    pub(super) git_ref: String,
    /// Its commit.
    pub(super) sha: String,
    /// The branch that changes are proposed for.
    pub(super) default_branch: String,
    /// The server that the remote `origin` is on.
    pub(super) server_url: String,
}

impl Repository {
    /// The repository around `folder`; without one, the folder itself.
    pub(super) fn around(folder: &Path) -> std::io::Result<Self> {
        let folder = std::fs::canonicalize(folder)?;
        let root = folder.ancestors().find(|above| above.join(".git").exists()).unwrap_or(&folder).to_owned();
        let plain = root.file_name().map_or("repository".into(), |name| name.to_string_lossy().into_owned());
        let mut found = Self {
            name: format!("local/{}", worded(&plain)),
            root,
            git_ref: "refs/heads/main".to_owned(),
            sha: NO_COMMIT.to_owned(),
            default_branch: "main".to_owned(),
            server_url: "https://github.com".to_owned(),
        };
        if let Some(git) = GitFiles::of(&found.root) {
            found.read(&git);
        }
        Ok(found)
    }

    fn read(&mut self, git: &GitFiles) {
        let head = text(&git.own.join("HEAD")).unwrap_or_default();
        match head.trim().strip_prefix("ref: ") {
            // Refs in tables are for Git itself to read.
            Some("refs/heads/.invalid") => self.ask_git(),
            Some(name) => {
                name.clone_into(&mut self.git_ref);
                self.sha = git.sha(name).unwrap_or_else(|| NO_COMMIT.to_owned());
            }
            None => {
                // Detached: workflows want a ref all the same, and the commit itself is one.
                head.trim().clone_into(&mut self.sha);
                head.trim().clone_into(&mut self.git_ref);
            }
        }
        let origin = text(&git.common.join("refs/remotes/origin/HEAD")).unwrap_or_default();
        let branch = origin.trim().strip_prefix("ref: refs/remotes/origin/").map(str::to_owned);
        let there = |name: &&str| git.sha(&format!("refs/heads/{name}")).is_some();
        self.default_branch = branch
            .or_else(|| ["main", "master", "trunk"].iter().find(|name| there(name)).map(|n| (*n).to_owned()))
            .unwrap_or_else(|| self.git_ref.trim_start_matches("refs/heads/").to_owned());
        let config = text(&git.common.join("config")).unwrap_or_default();
        if let Some((server, name)) = origin_of(&config).as_deref().and_then(server_and_name) {
            (self.server_url, self.name) = (server, name);
        }
    }

    fn ask_git(&mut self) {
        if let Some(name) = git(&self.root, &["symbolic-ref", "--quiet", "HEAD"]) {
            name.trim().clone_into(&mut self.git_ref);
        }
        if let Some(sha) = git(&self.root, &["rev-parse", "--verify", "--quiet", "HEAD"]) {
            sha.trim().clone_into(&mut self.sha);
        }
    }

    /// The ref without `refs/heads/` or `refs/tags/`.
    pub(super) fn short_ref(&self) -> &str {
        short(&self.git_ref)
    }

    /// What the commit says; none without one.
    pub(super) fn commit(&self) -> Option<Commit> {
        if self.sha == NO_COMMIT {
            return None;
        }
        let loose = GitFiles::of(&self.root).and_then(|git| git.object(&self.sha));
        let text = loose.or_else(|| git(&self.root, &["cat-file", "commit", &self.sha]))?;
        Some(Commit::parse(&text))
    }
}

/// A ref without its kind.
pub(super) fn short(git_ref: &str) -> &str {
    let branch = git_ref.strip_prefix("refs/heads/").or_else(|| git_ref.strip_prefix("refs/tags/"));
    branch.or_else(|| git_ref.strip_prefix("refs/pull/")).unwrap_or(git_ref)
}

/// What is told of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) author: String,
    pub(super) email: String,
    pub(super) time: String,
    pub(super) tree: String,
    /// The first parent.
    pub(super) parent: String,
    pub(super) message: String,
}

impl Commit {
    /// A commit as Git keeps it.
    fn parse(text: &str) -> Self {
        let (head, message) = text.split_once("\n\n").unwrap_or((text, ""));
        let field = |name: &str| {
            let mut lines = head.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or_default()
        };
        let (author, rest) = field("author").split_once(" <").unwrap_or_default();
        let email = rest.split_once('>').map_or("", |(email, _)| email);
        let when = field("committer").rsplit_once("> ").map_or("", |(_, when)| when);
        let seconds = when.split(' ').next().and_then(|text| text.parse::<i64>().ok()).unwrap_or_default();
        Self {
            author: author.to_owned(),
            email: email.to_owned(),
            time: Timestamp::from_millis(seconds.saturating_mul(1000)).to_string(),
            tree: field("tree").to_owned(),
            parent: field("parent").to_owned(),
            message: message.trim_end().to_owned(),
        }
    }
}

/// Git's own folders of a working tree.
struct GitFiles {
    /// Of this working tree.
    own: PathBuf,
    /// Of all working trees of the repository.
    common: PathBuf,
}

impl GitFiles {
    fn of(root: &Path) -> Option<Self> {
        let dot = root.join(".git");
        let own = if dot.is_dir() {
            dot
        } else {
            let text = std::fs::read_to_string(&dot).ok()?;
            root.join(text.trim().strip_prefix("gitdir:")?.trim())
        };
        let common = match std::fs::read_to_string(own.join("commondir")) {
            Ok(text) => own.join(text.trim()),
            Err(_) => own.clone(),
        };
        Some(Self { own, common })
    }

    /// The text of an object that has a file of its own.
    fn object(&self, sha: &str) -> Option<String> {
        let (folder, file) = sha.split_at_checked(2)?;
        let packed = std::fs::File::open(self.common.join("objects").join(folder).join(file)).ok()?;
        let mut whole = Vec::new();
        flate2::read::ZlibDecoder::new(packed).take(LARGEST).read_to_end(&mut whole).ok()?;
        let head = whole.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&whole[head + 1..]).into_owned())
    }

    /// The commit of a ref.
    fn sha(&self, name: &str) -> Option<String> {
        let loose = text(&self.common.join(name)).map(|text| text.trim().to_owned());
        if let Some(sha) = loose.filter(|sha| is_sha(sha)) {
            return Some(sha);
        }
        let packed = text(&self.common.join("packed-refs"))?;
        let found = packed.lines().filter_map(|line| line.split_once(' ')).find(|(_, known)| *known == name);
        found.map(|(sha, _)| sha.to_owned()).filter(|sha| is_sha(sha))
    }
}

/// A file's text, if it is not too large.
fn text(path: &Path) -> Option<String> {
    let small = std::fs::metadata(path).is_ok_and(|meta| meta.len() <= LARGEST);
    small.then(|| std::fs::read_to_string(path).ok()).flatten()
}

fn is_sha(text: &str) -> bool {
    (text.len() == 40 || text.len() == 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What a program says, if it succeeds.
fn git(root: &Path, args: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.args(["-c", "safe.directory=*", "-C"]).arg(root).args(args).stdin(Stdio::null());
    let done = command.stderr(Stdio::null()).output().ok()?;
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned())
}

/// The address of the remote `origin`, or of the first there is.
fn origin_of(config: &str) -> Option<String> {
    let (mut remote, mut first) = (None, None);
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            remote = line.strip_prefix("[remote \"").and_then(|rest| rest.strip_suffix("\"]"));
        } else if let (Some(name), Some((key, value))) = (remote, line.split_once('='))
            && key.trim().eq_ignore_ascii_case("url")
        {
            if name == "origin" {
                return Some(value.trim().to_owned());
            }
            first.get_or_insert_with(|| value.trim().to_owned());
        }
    }
    first
}

/// `https://host` and `owner/name` of a remote's address; none for folders and what has no owner.
fn server_and_name(url: &str) -> Option<(String, String)> {
    let (host, path) = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?,
        // `git@host:owner/name`, which a folder is not.
        None => url.split_once(':').filter(|(host, _)| !host.contains('/'))?,
    };
    let host = host.rsplit('@').next()?.split(':').next()?;
    let path = path.trim_matches('/').trim_end_matches(".git");
    let mut parts = path.rsplit('/');
    let (name, owner) = (parts.next()?, parts.next()?);
    let good = |text: &str| !text.is_empty() && worded(text) == text;
    (good(owner) && good(name) && !host.is_empty())
        .then(|| (format!("https://{host}"), format!("{owner}/{name}")))
}

/// A text of which nothing is left but what repositories' names have.
fn worded(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let text: String = text.chars().map(plain).collect();
    if text.trim_matches('.').is_empty() { "repository".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_tell_server_and_name() {
        let cases = [
            ("https://github.com/octo/shop.git", Some(("https://github.com", "octo/shop"))),
            ("https://x:y@git.example.org:8443/team/sub/shop", Some(("https://git.example.org", "sub/shop"))),
            ("git@github.com:octo/shop.git", Some(("https://github.com", "octo/shop"))),
            ("ssh://git@host/octo/shop/", Some(("https://host", "octo/shop"))),
            ("/srv/git/shop.git", None),
            ("../shop", None),
            ("http://127.0.0.1/none.git", None),
        ];
        for (url, wanted) in cases {
            let wanted = wanted.map(|(server, name)| (server.to_owned(), name.to_owned()));
            assert_eq!(server_and_name(url), wanted, "{url}");
        }
    }

    #[test]
    fn a_commit_tells_who_when_and_what() {
        let text = "tree t1\nparent p1\nparent p2\nauthor Ann B <ann@example.org> 1700000000 +0100\ncommitter C <c@d> 1700000001 \
                    -0500\ngpgsig x\n y\n\nSubject\n\nBody\n";
        let commit = Commit::parse(text);
        assert_eq!((commit.author.as_str(), commit.email.as_str()), ("Ann B", "ann@example.org"));
        assert_eq!((commit.tree.as_str(), commit.parent.as_str()), ("t1", "p1"));
        assert_eq!(
            (commit.time.as_str(), commit.message.as_str()),
            ("2023-11-14T22:13:21.000Z", "Subject\n\nBody")
        );
        assert_eq!(Commit::parse("").message, "");
    }

    #[test]
    fn origin_comes_before_others() {
        let config = "[core]\n\turl = no\n[remote \"fork\"]\n\turl = a\n[remote \"origin\"]\n\turl = b\n";
        assert_eq!(origin_of(config).as_deref(), Some("b"));
        assert_eq!(origin_of("[remote \"fork\"]\nurl=a").as_deref(), Some("a"));
        assert_eq!(origin_of("[branch \"x\"]\nurl=a"), None);
    }

    #[test]
    fn files_tell_the_ref_and_the_commit() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("my shop");
        let git = root.join(".git");
        std::fs::create_dir_all(git.join("refs/heads/feature")).unwrap();
        let (loose, packed) = ("1".repeat(40), "2".repeat(40));
        std::fs::write(git.join("HEAD"), "ref: refs/heads/feature/x\n").unwrap();
        std::fs::write(git.join("refs/heads/feature/x"), format!("{loose}\n")).unwrap();
        std::fs::write(
            git.join("packed-refs"),
            format!("# pack-refs with: peeled\n{packed} refs/heads/master\n"),
        )
        .unwrap();
        std::fs::create_dir_all(root.join("src/deep")).unwrap();
        let found = Repository::around(&root.join("src/deep")).unwrap();
        assert_eq!((found.git_ref.as_str(), found.sha.as_str()), ("refs/heads/feature/x", loose.as_str()));
        assert_eq!((found.name.as_str(), found.default_branch.as_str()), ("local/my-shop", "master"));
        assert_eq!(found.short_ref(), "feature/x");

        std::fs::write(git.join("HEAD"), "ref: refs/heads/master\n").unwrap();
        assert_eq!(Repository::around(&root).unwrap().sha, packed);
        std::fs::write(git.join("HEAD"), &loose).unwrap();
        assert_eq!(Repository::around(&root).unwrap().git_ref, loose);
        std::fs::write(git.join("HEAD"), "ref: refs/heads/unborn\n").unwrap();
        assert_eq!(Repository::around(&root).unwrap().sha, NO_COMMIT);

        let tree = temp.path().join("tree");
        std::fs::create_dir_all(git.join("worktrees/tree")).unwrap();
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::write(tree.join(".git"), format!("gitdir: {}\n", git.join("worktrees/tree").display()))
            .unwrap();
        std::fs::write(git.join("worktrees/tree/commondir"), "../..\n").unwrap();
        std::fs::write(git.join("worktrees/tree/HEAD"), "ref: refs/heads/feature/x\n").unwrap();
        assert_eq!(Repository::around(&tree).unwrap().sha, loose);
    }
}
