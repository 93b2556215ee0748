//! The receive hooks: what `windlass hook pre-receive`, `proc-receive` and `post-receive` do, called by git within a push.
//! They run in a process of their own that knows nothing but its environment, so they work whether control lives or not.

mod command;
mod propose;

use std::io::{BufRead as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use windlass_kernel::{Actor, Clock as _, ProjectName, SystemClock};

use crate::changes::{self, change_of};
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
    /// Whether the pusher may propose changes, and nothing else.
    outside: bool,
}

/// What [`variable::REACH`] says of somebody who may push everything. Whatever else it says means less.
pub(crate) const EVERYTHING: &str = "everything";

pub(crate) mod variable {
    pub(crate) const BIN: &str = "WINDLASS_BIN";
    pub(crate) const DATA: &str = "WINDLASS_DATA";
    pub(crate) const PROJECT: &str = "WINDLASS_PROJECT";
    pub(crate) const PUSHER: &str = "WINDLASS_PUSHER";
    pub(crate) const PUSH: &str = "WINDLASS_PUSH";
    pub(crate) const PAGES: &str = "WINDLASS_PAGES";
    pub(crate) const REACH: &str = "WINDLASS_REACH";
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
            outside: get(variable::REACH)? != EVERYTHING,
        })
    }
}

/// Runs the hook `kind` (`pre-receive`, `proc-receive` or `post-receive`) on standard input; gives the exit code.
/// What it prints appears behind `remote:` on the pusher's terminal.
pub fn hook_main(kind: &str, _args: &[String]) -> i32 {
    let done = match kind {
        "pre-receive" => read_updates().and_then(|updates| pre_receive(&updates)),
        "proc-receive" => proc_receive(),
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
    let context = Context::read()?;
    if updates.len() > MOST_REFS {
        return Err(format!("{} refs in one push; at most {MOST_REFS} are taken", updates.len()));
    }
    updates.iter().try_for_each(|update| may_move(&update.name, context.outside))
}

/// Whether somebody may push to a ref. Whatever is not named here, may not be pushed to.
fn may_move(name: &RefName, outside: bool) -> Result<(), String> {
    let proposed = name.as_str().starts_with("refs/for/");
    let own = name.as_branch().is_some() || name.as_tag().is_some();
    if proposed || own && !outside {
        return Ok(());
    }
    if own {
        return Err(format!(
            "you may propose changes here, not push to {}: git push REMOTE HEAD:refs/for/BRANCH proposes one for a branch",
            name.short()
        ));
    }
    Err(format!("{name} is neither a branch nor a tag; only those, and refs/for/BRANCH, can be pushed"))
}

/// Takes what is pushed to `refs/for/BRANCH` as a change.
fn proc_receive() -> Result<(), String> {
    let context = Context::read()?;
    let repository = std::env::current_dir().map_err(|e| format!("the repository is not there: {e}"))?;
    let pusher = propose::Pusher { actor: context.pusher, outside: context.outside };
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    propose::answer(&repository, &pusher, &mut input, &mut output)
        .map_err(|e| format!("what was proposed could not be taken: {e}"))
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
    let _ = write!(std::io::stdout(), "{}", notice(&context, &received.refs, &page));
    Ok(())
}

/// What the pusher reads at the end.
fn notice(context: &Context, refs: &[RefUpdate], page: &str) -> String {
    let mut text = format!("\n  Windlass has it: {page}\n");
    // Looked for in a few of them only: it is a courtesy, and git takes its time.
    for update in refs.iter().filter(|update| update.new.is_some()).take(5) {
        let (Some(new), record) = (&update.new, change_of(&update.name)) else { continue };
        let record = record.and_then(|number| changes::read(Path::new("."), number).ok().flatten());
        let base = match (&record, update.name.as_branch()) {
            (Some(record), _) => Some(record.base.clone()),
            (None, Some(branch)) => command::default_branch().filter(|default| default != branch),
            (None, None) => None,
        };
        if let Some(record) = &record {
            text += &format!("  It is the change {} for {}: {page}/changes\n", record.number, record.base);
            if context.outside {
                text += "  Its workflows run once somebody who may write has approved them.\n";
            }
        }
        let conflicts = base.as_ref().and_then(|base| {
            let tip = command::commit(&format!("refs/heads/{base}"))?;
            command::conflicts(&tip, new.as_str())
        });
        if let (Some(base), Some(files)) = (base, conflicts) {
            let files = files.iter().take(5).map(|name| name.escape_debug().to_string());
            let files: Vec<String> = files.collect();
            text += &format!(
                "  It conflicts with {base} in {}: workflows on pull_request do not run until it merges.\n",
                files.join(", ")
            );
        }
    }
    text + "\n"
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
    fn whoever_may_only_propose_moves_nothing_else() {
        for (name, member, contributor) in [
            ("refs/heads/main", true, false),
            ("refs/heads/eve/fix", true, false),
            ("refs/tags/v1", true, false),
            ("refs/for/main", true, true),
            ("refs/for/main/topic", true, true),
            ("refs/changes/7/head", false, false),
            ("refs/pull/7/merge", false, false),
            ("refs/notes/commits", false, false),
            ("refs/forged/main", false, false),
        ] {
            let name: RefName = name.parse().unwrap();
            assert_eq!(may_move(&name, false).is_ok(), member, "{name}");
            assert_eq!(may_move(&name, true).is_ok(), contributor, "{name}");
        }
    }

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
