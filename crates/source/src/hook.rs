//! The receive hooks: what `windlass hook pre-receive` and `windlass hook post-receive` do, called by git within a push.
//! They run in a process of their own that knows nothing but its environment, so they work whether control lives or not.

use std::io::{BufRead as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use windlass_kernel::{Actor, Clock as _, ProjectName, SystemClock};

use crate::spool::{self, Received};
use crate::{RefName, RefUpdate, Sha};

/// More refs than this in one push is taken for a mistake (`git push --mirror` of the wrong repository).
const MOST_REFS: usize = 2000;

/// What the server gives the hook by way of its environment.
struct Context {
    data: PathBuf,
    project: ProjectName,
    pusher: Actor,
    push: String,
    pages: String,
}

pub(crate) mod variable {
    pub(crate) const BIN: &str = "WINDLASS_BIN";
    pub(crate) const DATA: &str = "WINDLASS_DATA";
    pub(crate) const PROJECT: &str = "WINDLASS_PROJECT";
    pub(crate) const PUSHER: &str = "WINDLASS_PUSHER";
    pub(crate) const PUSH: &str = "WINDLASS_PUSH";
    pub(crate) const PAGES: &str = "WINDLASS_PAGES";
}

impl Context {
    fn read() -> Result<Self, String> {
        let get = |name: &str| {
            std::env::var(name)
                .map_err(|_| format!("{name} is not set: pushes go through Windlass, over HTTP"))
        };
        Ok(Self {
            data: get(variable::DATA)?.into(),
            project: get(variable::PROJECT)?.parse().map_err(|e| format!("{e}"))?,
            pusher: get(variable::PUSHER)?.parse()?,
            push: get(variable::PUSH)?,
            pages: get(variable::PAGES)?,
        })
    }
}

/// Runs the hook `kind` (`pre-receive` or `post-receive`) on the lines of standard input; gives the exit code.
/// What it prints appears behind `remote:` on the pusher's terminal.
pub fn hook_main(kind: &str, _args: &[String]) -> i32 {
    let done = match kind {
        "pre-receive" => read_updates().and_then(|updates| pre_receive(&updates)),
        "post-receive" => read_updates().and_then(post_receive),
        other => Err(format!("there is no hook `{other}`")),
    };
    match done {
        Ok(()) => 0,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "windlass: {why}");
            1
        }
    }
}

/// Lines of `OLD NEW REF`, as git gives them to both hooks.
fn read_updates() -> Result<Vec<RefUpdate>, String> {
    let mut updates = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| format!("git's list of refs cannot be read: {e}"))?;
        updates.push(parse_update(&line)?);
    }
    Ok(updates)
}

fn parse_update(line: &str) -> Result<RefUpdate, String> {
    let mut words = line.splitn(3, ' ');
    let (Some(old), Some(new), Some(name)) = (words.next(), words.next(), words.next()) else {
        return Err(format!("git gave a line that is no ref: `{line}`"));
    };
    let sha = |text| Sha::parse_or_zero(text).map_err(|e| e.to_string());
    Ok(RefUpdate {
        name: name.parse::<RefName>().map_err(|e| e.to_string())?,
        old: sha(old)?,
        new: sha(new)?,
    })
}

/// Refuses what could not be handled later: while git still holds the new objects in quarantine.
fn pre_receive(updates: &[RefUpdate]) -> Result<(), String> {
    Context::read()?;
    if updates.len() > MOST_REFS {
        return Err(format!("{} refs in one push; at most {MOST_REFS} are taken", updates.len()));
    }
    let foreign = updates.iter().find(|u| u.name.as_branch().is_none() && u.name.as_tag().is_none());
    match foreign {
        Some(update) => {
            Err(format!("{} is neither a branch nor a tag; only those can be pushed", update.name))
        }
        None => Ok(()),
    }
}

/// Tells control durably what moved. If that fails the push still stands: control finds it by comparing refs.
fn post_receive(refs: Vec<RefUpdate>) -> Result<(), String> {
    let context = Context::read()?;
    adopt_default_branch(&refs);
    let received = Received {
        project: context.project.clone(),
        pusher: context.pusher.clone(),
        refs,
        at: SystemClock.now(),
        push: context.push.clone(),
    };
    spool::write(&spool::folder(&context.data), &received).map_err(|e| {
        format!("the push is in, but could not be announced ({e}); it is found at the next check")
    })?;
    poke(&context.data, &context.project);
    // Whoever pushed may have gone away; what matters is kept already.
    let page = format!("{}/projects/{}", context.pages.trim_end_matches('/'), context.project);
    let _ = write!(std::io::stdout(), "\n  Windlass has it: {page}\n\n");
    Ok(())
}

/// Wakes control, if it listens. Whether it does is not the pusher's business: the entry waits in the spool.
fn poke(data: &Path, project: &ProjectName) {
    if let Ok(mut socket) = UnixStream::connect(data.join("run").join("control.sock")) {
        let _ = socket.set_write_timeout(Some(std::time::Duration::from_secs(1)));
        let _ = writeln!(socket, "received {project}");
    }
}

/// The first push decides what the default branch is called, if it is not `main`. Git runs the hook in the repository.
fn adopt_default_branch(refs: &[RefUpdate]) {
    let git = |args: &[&str]| std::process::Command::new("git").args(args).output();
    let unborn = git(&["rev-parse", "--verify", "--quiet", "HEAD"]).is_ok_and(|o| !o.status.success());
    let pushed = |name: &str| refs.iter().find(|u| u.new.is_some() && u.name.as_branch() == Some(name));
    let first = || refs.iter().find(|u| u.new.is_some() && u.name.as_branch().is_some());
    if unborn && let Some(update) = pushed("main").or_else(|| pushed("master")).or_else(first) {
        let _ = git(&["symbolic-ref", "HEAD", update.name.as_str()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gits_lines_parse_and_strange_ones_are_refused() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let update = parse_update(&format!("{a} {b} refs/heads/main")).unwrap();
        assert_eq!((update.old.unwrap().as_str(), update.new.unwrap().as_str()), (a.as_str(), b.as_str()));
        assert_eq!(parse_update(&format!("{} {b} refs/tags/v1", Sha::ZERO)).unwrap().old, None);
        for bad in
            ["", "a b c", &format!("{a} {b}"), &format!("{a} {b} main"), &format!("{a} {b} refs/heads/a b")]
        {
            assert!(parse_update(bad).is_err(), "{bad}");
        }
    }
}
