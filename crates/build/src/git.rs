//! Git repositories as sources, through the `git` program.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use windlass_kernel::Secret;

use crate::request::BuildRequest;

/// A repository, with what of it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repository {
    pub(crate) remote: String,
    pub(crate) reference: Option<String>,
    pub(crate) folder: Option<String>,
}

/// What opens a repository's door. It reaches `git` through its environment, never as an argument.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    /// The value of `Authorization`.
    header: Option<Secret<String>>,
    /// The socket of an SSH agent.
    agent: Option<PathBuf>,
    /// Whether what this machine's user has for `git` is of no account.
    stranger: bool,
}

impl Access {
    /// What a build's secrets say of a repository's host, under the names that BuildKit has for them:
    /// `GIT_AUTH_HEADER` and `GIT_AUTH_TOKEN`, each also with `.HOST` behind it, which goes first.
    pub(crate) fn of(request: &BuildRequest, remote: &str) -> Result<Self, String> {
        let (agent, stranger) = (request.ssh.get("default").cloned(), !request.as_user);
        let over_http = remote.strip_prefix("https://").or_else(|| remote.strip_prefix("http://"));
        let Some(rest) = over_http else {
            return Ok(Self { header: None, agent, stranger });
        };
        let host = rest.split('/').next().unwrap_or(rest);
        let host = host.rsplit('@').next().unwrap_or(host);
        let secret = |name: &str| {
            let found = request.secrets.get(&format!("{name}.{host}")).or_else(|| request.secrets.get(name));
            found.map(|value| {
                let text = std::str::from_utf8(value.expose()).map(|text| text.trim().to_owned());
                text.map_err(|_| format!("the secret {name}: its bytes are no text"))
            })
        };
        let header = match (secret("GIT_AUTH_HEADER").transpose()?, secret("GIT_AUTH_TOKEN").transpose()?) {
            (Some(header), _) => Some(Secret::new(header)),
            (None, Some(token)) => {
                use base64::Engine as _;
                let pair =
                    base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{token}"));
                Some(Secret::new(format!("basic {pair}")))
            }
            (None, None) => None,
        };
        Ok(Self { header, agent, stranger })
    }
}

impl Repository {
    /// Reads `https://host/path.git#ref:folder`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (remote, rest) = text.split_once('#').unwrap_or((text, ""));
        let (reference, folder) = rest.split_once(':').unwrap_or((rest, ""));
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let it = Self { remote: remote.to_owned(), reference: some(reference), folder: some(folder) };
        it.check()?;
        Ok(it)
    }

    /// Whether a text names a repository rather than a folder.
    pub(crate) fn is_one(text: &str) -> bool {
        let address = text.split('#').next().unwrap_or_default();
        let by_scheme = ["git://", "ssh://"].iter().any(|scheme| address.starts_with(scheme));
        let over_http = address.starts_with("https://") || address.starts_with("http://");
        by_scheme || address.starts_with("git@") || (over_http && address.strip_suffix(".git").is_some())
    }

    /// Only what a network address can be; nothing that `git` would take for an option or a program.
    pub(crate) fn check(&self) -> Result<(), String> {
        let known = ["https://", "http://", "git://", "ssh://", "git@"];
        if !known.iter().any(|start| self.remote.starts_with(start)) {
            return Err(format!("`{}` is no address of a Git repository", self.remote));
        }
        if let Some(reference) = &self.reference
            && (reference.starts_with('-')
                || reference.contains(|c: char| c.is_whitespace() || c.is_control() || "*?[:^~".contains(c)))
        {
            return Err(format!("`{reference}` is no branch, tag or commit"));
        }
        Ok(())
    }

    /// The address without a password that may stand in it.
    pub(crate) fn shown(&self) -> String {
        redacted(&self.remote)
    }
}

/// An address without its user and password.
pub(crate) fn redacted(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
    let host = host.rsplit_once('@').map_or(host.to_owned(), |(_, host)| format!("xxxxx@{host}"));
    path.map_or_else(|| format!("{scheme}://{host}"), |path| format!("{scheme}://{host}/{path}"))
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The commit that a repository's reference stands for now; `None` when no branch or tag is called so (it may be the
/// beginning of a commit's name, which a server is not asked for).
pub(crate) async fn resolve(repository: &Repository, access: &Access) -> Result<Option<String>, String> {
    repository.check()?;
    let wanted = repository.reference.as_deref().unwrap_or("HEAD");
    if is_commit(wanted) {
        return Ok(Some(wanted.to_ascii_lowercase()));
    }
    let (short, peeled) = (wanted.trim_start_matches("refs/"), format!("{wanted}^{{}}"));
    let args = ["ls-remote", "--", &repository.remote, wanted, &peeled];
    let said = run(repository, access, Path::new("/"), &args).await?;
    let of = |name: &str| {
        let line = said.lines().find_map(|line| line.split_once('\t').filter(|(_, found)| *found == name));
        line.map(|(commit, _)| commit.to_owned())
    };
    // A branch goes before a tag of the same name, as in `git checkout`; a tag stands for what it points to.
    let names = [
        if wanted == "HEAD" { "HEAD".to_owned() } else { format!("refs/{short}^{{}}") },
        format!("refs/{short}"),
        format!("refs/heads/{wanted}"),
        format!("refs/tags/{wanted}^{{}}"),
        format!("refs/tags/{wanted}"),
    ];
    Ok(names.iter().find_map(|name| of(name)).filter(|commit| is_commit(commit)))
}

/// Checks a repository out into the folder `into`, which is made: at `commit`, if that is known already. Gives the commit.
pub(crate) async fn check_out(
    repository: &Repository,
    access: &Access,
    commit: Option<&str>,
    into: &Path,
    keep_git: bool,
) -> Result<String, String> {
    repository.check()?;
    fs::create_dir_all(into).map_err(|e| format!("{}: {e}", into.display()))?;
    let git = |args: Vec<String>| async move {
        run(repository, access, into, &args.iter().map(String::as_str).collect::<Vec<_>>()).await
    };
    let words = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
    let (remote, wanted) = (repository.remote.as_str(), repository.reference.as_deref().unwrap_or("HEAD"));
    git(words(&["init", "--quiet", "--initial-branch=main", "."])).await?;
    git(words(&["remote", "add", "origin", remote])).await?;
    let shallow =
        git(words(&["fetch", "--quiet", "--depth", "1", "--no-tags", "--", "origin", wanted])).await;
    let there = match (&shallow, commit) {
        (Ok(_), Some(commit)) => {
            git(words(&["cat-file", "-e", &format!("{commit}^{{commit}}")])).await.is_ok()
        }
        (Ok(_), None) => true,
        (Err(_), _) => false,
    };
    if !there {
        // A server may refuse a single commit, or the branch has moved on meanwhile: then all of it is fetched.
        let all = ["fetch", "--quiet", "--tags", "--", "origin", "+refs/heads/*:refs/remotes/origin/*"];
        let fetched = git(words(&all)).await;
        fetched.map_err(|second| shallow.clone().err().unwrap_or(second))?;
    }
    let target = match commit {
        Some(commit) => commit.to_owned(),
        None if there => "FETCH_HEAD".to_owned(),
        None => wanted.to_owned(),
    };
    let found = git(words(&["rev-parse", "--verify", "--quiet", &format!("{target}^{{commit}}")])).await;
    let found = found.map_err(|_| format!("it has no branch, tag or commit `{wanted}`"))?.trim().to_owned();
    git(words(&["checkout", "--quiet", "--force", "--detach", &found])).await?;
    if into.join(".gitmodules").is_file() {
        git(words(&["submodule", "--quiet", "update", "--init", "--recursive", "--depth", "1"])).await?;
    }
    let folder = into.to_owned();
    let settled = tokio::task::spawn_blocking(move || settle(&folder, keep_git)).await;
    settled.unwrap_or_else(|e| Err(io::Error::other(e))).map_err(|e| format!("{}: {e}", into.display()))?;
    Ok(found)
}

/// Git knows of a file's mode only whether it may be executed: the rest was this process' umask, which is nobody's wish.
fn settle(folder: &Path, keep_git: bool) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, meta) = (entry.path(), entry.metadata()?);
        let inner = entry.file_name() == ".git";
        if inner && !keep_git {
            if meta.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
        } else if meta.is_dir() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
            settle(&path, keep_git)?;
        } else if meta.is_file() {
            let mode = if meta.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

/// `git` without this machine's user: no settings, no password of theirs, no way over SSH, which finds keys by itself.
fn of_nobody(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("GIT_") || text.starts_with("SSH_") || text == "XDG_CONFIG_HOME" {
            command.env_remove(&name);
        }
    }
    command.args(["-c", "protocol.ssh.allow=never", "-c", "protocol.file.allow=never"]);
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("HOME", "/nonexistent");
}

async fn run(
    repository: &Repository,
    access: &Access,
    folder: &Path,
    args: &[&str],
) -> Result<String, String> {
    let mut command = Command::new("git");
    if access.stranger {
        of_nobody(&mut command);
    }
    command
        .args(["-c", "protocol.ext.allow=never", "-c", "core.hooksPath=/dev/null"])
        .args(["-c", "advice.detachedHead=false", "-c", "core.autocrlf=false"])
        .args(args)
        .current_dir(folder)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CEILING_DIRECTORIES", folder.parent().unwrap_or(folder))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    if let Some(header) = &access.header {
        let before = std::env::var("GIT_CONFIG_COUNT").ok().filter(|_| !access.stranger);
        let first = before.and_then(|count| count.parse().ok()).unwrap_or(0_u32);
        command
            .env("GIT_CONFIG_COUNT", (first + 1).to_string())
            .env(format!("GIT_CONFIG_KEY_{first}"), format!("http.{}.extraheader", repository.remote))
            .env(format!("GIT_CONFIG_VALUE_{first}"), format!("Authorization: {}", header.expose()));
    }
    if let Some(agent) = &access.agent {
        command.env("SSH_AUTH_SOCK", agent);
    }
    let out = command.output().await.map_err(|e| format!("the program `git` could not be started: {e}"))?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&out.stderr).replace(&repository.remote, &repository.shown());
    Err(format!("git {}: {}", args.first().unwrap_or(&""), said.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_tricks_refused() {
        let it = Repository::parse("https://h.example/a.git#v1:sub/dir").unwrap();
        assert_eq!((it.reference.as_deref(), it.folder.as_deref()), (Some("v1"), Some("sub/dir")));
        for bad in [
            "ext::sh -c x",
            "--upload-pack=x",
            "https://h/a.git#--x",
            "/etc",
            "file:///etc",
            "https://h/a.git#a*",
        ] {
            assert!(Repository::parse(bad).is_err(), "{bad}");
        }
        for (text, one) in [
            ("https://h.example/a.git#main", true),
            ("git@h.example:a/b", true),
            ("https://h.example/a.tar", false),
            (".", false),
            ("./a.git", false),
        ] {
            assert_eq!(Repository::is_one(text), one, "{text}");
        }
    }

    #[test]
    fn passwords_in_addresses_are_not_shown() {
        assert_eq!(redacted("https://me:secret@h.example/a@b.git"), "https://xxxxx@h.example/a@b.git");
        assert_eq!(redacted("https://h.example/a"), "https://h.example/a");
        assert_eq!(redacted("git@h:a"), "git@h:a");
    }

    #[tokio::test]
    async fn a_stranger_has_nothing_of_this_machines_user() {
        if std::process::Command::new("git").arg("--version").output().is_err() {
            return windlass_testkit::skip("a_stranger_has_nothing_of_this_machines_user", "there is no git");
        }
        let mut request = BuildRequest::of(".");
        request.as_user = false;
        for remote in ["ssh://git@127.0.0.1:1/a.git", "git@127.0.0.1:a.git"] {
            let repository = Repository::parse(remote).unwrap();
            let access = Access::of(&request, remote).unwrap();
            let refused = resolve(&repository, &access).await.unwrap_err();
            assert!(refused.contains("'ssh' not allowed"), "{refused}");
            let settings = run(&repository, &access, Path::new("/"), &["config", "--list", "--show-scope"]);
            let settings = settings.await.unwrap();
            assert!(settings.lines().all(|line| line.starts_with("command")), "{settings}");
        }
        let mut command = Command::new("git");
        of_nobody(&mut command);
        let home = command.as_std().get_envs().find(|(name, _)| *name == "HOME").and_then(|(_, value)| value);
        assert_eq!(home, Some("/nonexistent".as_ref()), "where passwords are looked for");
    }

    #[test]
    fn a_secret_for_the_host_goes_before_the_one_for_all() {
        let mut request = BuildRequest::of(".");
        let mut put = |name: &str, value: &str| {
            request.secrets.insert(name.into(), Secret::new(value.as_bytes().to_vec()));
        };
        put("GIT_AUTH_TOKEN", "all");
        put("GIT_AUTH_HEADER.h.example:8080", "bearer own\n");
        let header = |remote: &str| Access::of(&request, remote).unwrap().header.map(|h| h.expose().clone());
        assert_eq!(header("https://me@h.example:8080/a.git").as_deref(), Some("bearer own"));
        assert_eq!(header("https://other/a.git").as_deref(), Some("basic eC1hY2Nlc3MtdG9rZW46YWxs"));
        assert_eq!(header("ssh://git@h.example:8080/a"), None);
    }
}
