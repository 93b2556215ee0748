//! `actions/checkout`: the repository's files at a commit, through the machine's own `git`, inside the sandbox.
//!
//! The token travels in the environment, never in arguments; what persists for later steps lies in a file of the
//! runner's temporary folder, never in `.git/config`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Action, ActionError, ActionRun, failed};

pub(super) struct Checkout;

/// What is fetched, and what is checked out then.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    refspecs: Vec<String>,
    /// The branch that is made, if one is.
    branch: Option<String>,
    /// What is checked out.
    start: String,
}

#[async_trait]
impl Action for Checkout {
    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("repository", ""),
            ("ref", ""),
            ("token", ""),
            ("ssh-key", ""),
            ("ssh-known-hosts", ""),
            ("ssh-strict", "true"),
            ("ssh-user", "git"),
            ("persist-credentials", "true"),
            ("path", ""),
            ("clean", "true"),
            ("filter", ""),
            ("sparse-checkout", ""),
            ("sparse-checkout-cone-mode", "true"),
            ("fetch-depth", "1"),
            ("fetch-tags", "false"),
            ("show-progress", "true"),
            ("lfs", "false"),
            ("submodules", "false"),
            ("set-safe-directory", "true"),
            ("github-server-url", ""),
        ]
    }

    async fn run(&self, run: &mut ActionRun<'_>) -> Result<(), ActionError> {
        if let Some(tree) = super::working_tree::tree_for(run)? {
            return super::working_tree::give(run, &tree).await;
        }
        refuse(run)?;
        let url = url(run)?;
        let path = run.in_workspace(run.input("path"))?;
        let header = header(run);
        git_env(run, &url, &header);
        let known = run.read(&["git", "--version"], &run.workspace()).await?;
        let version = known.ok_or_else(|| failed("there is no `git` on this machine: install it"))?;
        run.voice.say(version.trim());

        prepare(run, &path, &url).await?;
        let target = target(run, &path).await?;
        fetch(run, &path, &target).await?;
        sparse(run, &path).await?;
        let here = path.as_path();
        match &target.branch {
            Some(branch) => {
                let upstream = format!("refs/heads/{branch}");
                run.must(&["git", "checkout", "--progress", "--force", "-B", branch, &target.start], here)
                    .await?;
                run.voice.debug(&format!("on {upstream}"));
            }
            None => {
                run.must(
                    &[
                        "git",
                        "-c",
                        "advice.detachedHead=false",
                        "checkout",
                        "--force",
                        "--detach",
                        &target.start,
                    ],
                    here,
                )
                .await?;
            }
        }
        submodules(run, &path).await?;
        if run.flag("persist-credentials")? {
            persist(run, &path, &url, &header).await?;
        }
        let commit =
            run.read(&["git", "log", "-1", "--format=%H"], here).await?.unwrap_or_default().trim().to_owned();
        run.voice.say(&format!("HEAD is now at {commit}"));
        run.output("commit", commit);
        run.output(
            "ref",
            target.branch.map_or_else(|| target.start.clone(), |branch| format!("refs/heads/{branch}")),
        );
        Ok(())
    }

    fn has_post(&self) -> bool {
        true
    }

    async fn post(
        &self,
        run: &mut ActionRun<'_>,
        state: &BTreeMap<String, String>,
    ) -> Result<(), ActionError> {
        let (Some(path), Some(file)) = (state.get("path"), state.get("credentials")) else { return Ok(()) };
        // The repository may have been removed by the job: then there is nothing to forget.
        run.read(&["git", "config", "--local", "--unset-all", "include.path"], Path::new(path)).await?;
        run.read(&["rm", "-f", "--", file], &run.workspace()).await?;
        Ok(())
    }
}

/// What this checkout does not do is said, never left out in silence.
fn refuse(run: &ActionRun<'_>) -> Result<(), ActionError> {
    if !run.input("ssh-key").is_empty() {
        return Err(failed("`ssh-key` is not supported yet: the job's token is used over HTTP"));
    }
    if run.flag("lfs")? {
        return Err(failed("`lfs: true` is not supported yet: this server does not keep LFS objects"));
    }
    if !run.input("github-server-url").is_empty() {
        return Err(failed(
            "`github-server-url` is not supported: only repositories of this server are checked out",
        ));
    }
    Ok(())
}

fn url(run: &ActionRun<'_>) -> Result<String, ActionError> {
    let own = &run.job.assignment.clone_url;
    let wanted = run.input("repository");
    let current =
        run.job.contexts.github.get("repository").map(|v| v.to_text().to_string()).unwrap_or_default();
    if wanted.is_empty() || wanted.eq_ignore_ascii_case(&current) {
        return Ok(own.clone());
    }
    let name = wanted.rsplit('/').next().unwrap_or(wanted).trim_end_matches(".git");
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    match own.rsplit_once('/') {
        Some((base, _)) if plain && !name.starts_with('.') => Ok(format!("{base}/{name}.git")),
        _ => Err(failed(format!("`repository: {wanted}` is not the name of a repository of this server"))),
    }
}

fn is_own(run: &ActionRun<'_>) -> bool {
    url(run).is_ok_and(|url| url == run.job.assignment.clone_url)
}

fn header(run: &ActionRun<'_>) -> String {
    let token = match run.input("token") {
        "" => crate::context::steps_token(&run.job.assignment).to_owned(),
        given => given.to_owned(),
    };
    run.voice.log.mask(&token);
    let pair = STANDARD.encode(format!("x-access-token:{token}"));
    run.voice.log.mask(&pair);
    format!("AUTHORIZATION: basic {pair}")
}

/// The settings of this step's `git`, in the environment.
fn git_env(run: &mut ActionRun<'_>, url: &str, header: &str) {
    let settings = [
        (format!("http.{}.extraheader", origin(url)), header.to_owned()),
        ("safe.directory".to_owned(), "*".to_owned()),
        ("init.defaultBranch".to_owned(), "main".to_owned()),
        ("core.hooksPath".to_owned(), "/dev/null".to_owned()),
    ];
    run.env.insert("GIT_CONFIG_COUNT".into(), settings.len().to_string());
    for (index, (key, value)) in settings.into_iter().enumerate() {
        run.env.insert(format!("GIT_CONFIG_KEY_{index}"), key);
        run.env.insert(format!("GIT_CONFIG_VALUE_{index}"), value);
    }
    run.env.insert("GIT_TERMINAL_PROMPT".into(), "0".into());
    run.env.insert("GIT_ASKPASS".into(), "true".into());
}

/// `http://host:port/` of an address.
fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    format!("{scheme}://{}/", rest.split('/').next().unwrap_or(rest))
}

async fn prepare(run: &ActionRun<'_>, path: &Path, url: &str) -> Result<(), ActionError> {
    let folder = path.to_string_lossy().into_owned();
    let present = run.read(&["git", "-C", &folder, "rev-parse", "--git-dir"], &run.workspace()).await?;
    let is_own = present.is_some_and(|git_dir| git_dir.trim() == ".git");
    if !is_own {
        run.must(&["git", "init", "--quiet", &folder], &run.workspace()).await?;
        return run.must(&["git", "remote", "add", "origin", url], path).await;
    }
    run.must(&["git", "remote", "set-url", "origin", url], path).await?;
    if run.flag("clean")? {
        run.must(&["git", "clean", "-ffdx"], path).await?;
        run.read(&["git", "reset", "--hard", "HEAD"], path).await?;
    }
    Ok(())
}

async fn target(run: &ActionRun<'_>, path: &Path) -> Result<Target, ActionError> {
    let github =
        |name: &str| run.job.contexts.github.get(name).map(|v| v.to_text().to_string()).unwrap_or_default();
    let wanted = run.input("ref");
    if wanted.is_empty() && is_own(run) {
        return Ok(for_ref(&github("ref"), Some(&github("sha"))));
    }
    if wanted.is_empty() {
        return Ok(Target {
            refspecs: vec!["+HEAD:refs/remotes/origin/HEAD".into()],
            branch: None,
            start: "refs/remotes/origin/HEAD".into(),
        });
    }
    if is_sha(wanted) || wanted.starts_with("refs/") {
        return Ok(for_ref(wanted, None));
    }
    let patterns = [format!("refs/heads/{wanted}"), format!("refs/tags/{wanted}")];
    let listed = run.read(&["git", "ls-remote", "origin", &patterns[0], &patterns[1]], path).await?;
    let listed = listed.ok_or_else(|| {
        failed(format!("the server does not tell its branches and tags ({})", run.job.assignment.clone_url))
    })?;
    let found = patterns
        .iter()
        .find(|name| listed.lines().any(|line| line.split('\t').nth(1) == Some(name.as_str())));
    match found {
        Some(name) => Ok(for_ref(name, None)),
        None => Err(failed(format!("A branch or tag with the name '{wanted}' could not be found"))),
    }
}

fn is_sha(text: &str) -> bool {
    (text.len() == 40 || text.len() == 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What a full ref, or a commit, asks for. A commit of a branch is checked out as that branch.
fn for_ref(name: &str, sha: Option<&str>) -> Target {
    let sha = sha.filter(|sha| is_sha(sha));
    let source = sha.unwrap_or(name);
    if let Some(branch) = name.strip_prefix("refs/heads/") {
        let start = format!("refs/remotes/origin/{branch}");
        return Target {
            refspecs: vec![format!("+{source}:{start}")],
            branch: Some(branch.to_owned()),
            start,
        };
    }
    if name.starts_with("refs/tags/") {
        return Target {
            refspecs: vec![format!("+{name}:{name}")],
            branch: None,
            start: sha.unwrap_or(name).to_owned(),
        };
    }
    if let Some(pull) = name.strip_prefix("refs/pull/") {
        let start = format!("refs/remotes/pull/{pull}");
        return Target { refspecs: vec![format!("+{source}:{start}")], branch: None, start };
    }
    Target {
        refspecs: vec![source.to_owned()],
        branch: None,
        start: if is_sha(source) { source } else { "FETCH_HEAD" }.to_owned(),
    }
}

async fn fetch(run: &ActionRun<'_>, path: &Path, target: &Target) -> Result<(), ActionError> {
    let depth = run.number("fetch-depth")?.unwrap_or(1);
    let depth_flag = format!("--depth={depth}");
    let filter = format!("--filter={}", run.input("filter"));
    let mut argv = vec!["git", "-c", "protocol.version=2", "fetch", "--prune", "--no-recurse-submodules"];
    let all = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
    if run.flag("fetch-tags")? {
        argv.push("--tags");
    } else {
        argv.push("--no-tags");
    }
    if !run.input("filter").is_empty() {
        argv.push(&filter);
    }
    if depth > 0 {
        argv.push(&depth_flag);
    }
    argv.push("origin");
    let common = argv.len();
    if depth == 0 {
        argv.extend(all);
    }
    argv.extend(target.refspecs.iter().map(String::as_str));
    for attempt in 0..3u64 {
        if attempt > 0 {
            run.voice.say(&format!("The fetch failed; trying again in {} seconds", attempt * 2));
            let wait = tokio::time::sleep(std::time::Duration::from_secs(attempt * 2));
            tokio::select! {
                () = wait => {}
                why = run.patience.interruption() => return Err(ActionError::Interrupted(why)),
            }
        }
        if run.program(&argv, path).await? == 0 {
            return Ok(());
        }
    }
    // The branch may have moved on, and a server may give only what its refs reach: then the whole is fetched.
    let mut whole: Vec<&str> =
        argv[..common].iter().copied().filter(|arg| !arg.starts_with("--depth")).collect();
    whole.extend(all);
    run.must(&whole, path).await?;
    let Some((source, place)) = target.refspecs[0].trim_start_matches('+').split_once(':') else {
        return Ok(());
    };
    if is_sha(source) { run.must(&["git", "update-ref", place, source], path).await } else { Ok(()) }
}

async fn sparse(run: &ActionRun<'_>, path: &Path) -> Result<(), ActionError> {
    let wanted = run.lines("sparse-checkout");
    if wanted.is_empty() {
        return Ok(());
    }
    let cone = if run.flag("sparse-checkout-cone-mode")? { "--cone" } else { "--no-cone" };
    let mut argv = vec!["git", "sparse-checkout", "set", cone];
    argv.extend(wanted.iter().map(String::as_str));
    run.must(&argv, path).await
}

async fn submodules(run: &ActionRun<'_>, path: &Path) -> Result<(), ActionError> {
    let recursive = match run.input("submodules") {
        "recursive" => true,
        "true" => false,
        "false" | "" => return Ok(()),
        other => return Err(failed(format!("`submodules` must be true, false or recursive, not `{other}`"))),
    };
    let mut argv = vec!["git", "submodule", "update", "--init", "--force"];
    if recursive {
        argv.push("--recursive");
    }
    run.must(&argv, path).await
}

/// Later steps may fetch and push: the header lies in a file that `.git/config` names, and that goes with the job.
async fn persist(run: &mut ActionRun<'_>, path: &Path, url: &str, header: &str) -> Result<(), ActionError> {
    let file: PathBuf =
        run.job.place.layout.temp.join(format!("git-credentials-{}.config", run.job.next_serial()));
    let text = format!("[http \"{}\"]\n\textraheader = {header}\n", origin(url));
    run.job
        .place
        .write(&file, text.as_bytes())
        .map_err(|e| failed(format!("cannot keep the credentials: {e}")))?;
    let name = file.to_string_lossy().into_owned();
    run.must(&["git", "config", "--local", "include.path", &name], path).await?;
    run.save("path", path.to_string_lossy());
    run.save("credentials", name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refs_become_refspecs() {
        let sha = "0123456789012345678901234567890123456789";
        let cases = [
            (
                "refs/heads/main",
                Some(sha),
                format!("+{sha}:refs/remotes/origin/main"),
                Some("main"),
                "refs/remotes/origin/main",
            ),
            (
                "refs/heads/a/b",
                None,
                "+refs/heads/a/b:refs/remotes/origin/a/b".into(),
                Some("a/b"),
                "refs/remotes/origin/a/b",
            ),
            ("refs/tags/v1", Some(sha), "+refs/tags/v1:refs/tags/v1".into(), None, sha),
            (
                "refs/pull/3/merge",
                Some(sha),
                format!("+{sha}:refs/remotes/pull/3/merge"),
                None,
                "refs/remotes/pull/3/merge",
            ),
            (sha, None, sha.to_owned(), None, sha),
        ];
        for (name, commit, refspec, branch, start) in cases {
            let wanted = Target {
                refspecs: vec![refspec],
                branch: branch.map(str::to_owned),
                start: start.to_owned(),
            };
            assert_eq!(for_ref(name, commit), wanted, "{name}");
        }
        assert_eq!(origin("http://127.0.0.1:7700/git/shop.git"), "http://127.0.0.1:7700/");
    }
}
