//! The hook `proc-receive` (git's `githooks` document): a push to `refs/for/BRANCH` or `refs/for/BRANCH/TOPIC` moves no
//! ref of that name, but makes a change, or adds to the pusher's open one for that branch and topic.

use std::io::{self, BufRead, Read, Write};
use std::path::Path;

use windlass_kernel::Actor;

use super::command;
use crate::changes::{self, ChangeRecord, MOST_OPEN, Origin};
use crate::{RefName, RefUpdate, Sha};

/// More changes than this in one push are taken for a mistake.
const MOST_CHANGES: usize = 10;

/// Who pushes, and whether they may do more than propose.
pub(super) struct Pusher {
    pub(super) actor: Actor,
    pub(super) outside: bool,
}

/// What became of one of git's commands: the ref that moved, or why not.
type Outcome = Result<RefUpdate, String>;

/// Answers git's commands, in the repository's folder.
pub(super) fn answer(
    repository: &Path,
    pusher: &Pusher,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> io::Result<()> {
    // The versions that git offers, with features that are not used here.
    while packet(input)?.is_some() {}
    write_packet(output, b"version=1\n")?;
    output.write_all(b"0000")?;
    output.flush()?;
    let mut commands = Vec::new();
    while let Some(line) = packet(input)? {
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        commands.push(super::parse_update(&line).map_err(io::Error::other)?);
    }
    let many = commands.len() > MOST_CHANGES;
    for asked in commands {
        let outcome = if many {
            Err(format!("more than {MOST_CHANGES} changes in one push"))
        } else {
            propose(repository, pusher, &asked)
        };
        match outcome {
            Ok(moved) => tell(output, &asked, &moved)?,
            Err(why) => write_packet(output, format!("ng {} {why}\n", asked.name).as_bytes())?,
        }
    }
    output.write_all(b"0000")?;
    output.flush()
}

fn tell(output: &mut impl Write, asked: &RefUpdate, moved: &RefUpdate) -> io::Result<()> {
    let text = |sha: &Option<Sha>| sha.as_ref().map_or(Sha::ZERO.to_owned(), ToString::to_string);
    let mut lines = vec![
        format!("ok {}\n", asked.name),
        format!("option refname {}\n", moved.name),
        format!("option old-oid {}\n", text(&moved.old)),
        format!("option new-oid {}\n", text(&moved.new)),
    ];
    if let (Some(old), Some(new)) = (&moved.old, &moved.new)
        && !command::is_ancestor(old.as_str(), new.as_str())
    {
        lines.push("option forced-update\n".to_owned());
    }
    lines.iter().try_for_each(|line| write_packet(output, line.as_bytes()))
}

/// Makes or moves the change that a command asks for.
fn propose(repository: &Path, pusher: &Pusher, asked: &RefUpdate) -> Outcome {
    let Some(new) = &asked.new else {
        return Err("a change is closed on its page or with `windlass change close`, not by a push".into());
    };
    let kept = |e: io::Error| format!("the change could not be kept: {e}");
    let (base, topic) = target(&asked.name)?;
    let commit = command::commit(new.as_str()).ok_or("what is proposed must be a commit")?;
    if command::is_ancestor(&commit, &format!("refs/heads/{base}")) {
        return Err(format!("{base} has all of this already; there is nothing to propose"));
    }
    let mine: Vec<ChangeRecord> = changes::all(repository)
        .map_err(kept)?
        .into_iter()
        .filter(|c| c.open && c.author == pusher.actor)
        .collect();
    let origin = Origin::Topic(topic);
    let known = mine.iter().find(|change| {
        // What was merged is over, whether or not control has seen it yet.
        let merged =
            || command::is_ancestor(&changes::proposed_ref(change.number), &format!("refs/heads/{base}"));
        change.base == base && change.origin == origin && !merged()
    });
    let record = match known {
        Some(known) if known.outside == pusher.outside => known.clone(),
        Some(known) => {
            let record = ChangeRecord { outside: pusher.outside, ..known.clone() };
            changes::update(repository, &record).map_err(kept)?;
            record
        }
        None if mine.len() >= MOST_OPEN => {
            return Err(format!(
                "you have {MOST_OPEN} open changes here; close some, or push to one of them"
            ));
        }
        None => {
            let author = pusher.actor.clone();
            let new = ChangeRecord { number: 0, base, author, origin, outside: pusher.outside, open: true };
            changes::open(repository, new).map_err(kept)?
        }
    };
    let name = changes::proposed_ref(record.number);
    let old = command::commit(&name);
    if old.as_ref() != Some(&commit) {
        command::update_ref(&name, &commit, old.as_deref())?;
    }
    let sha = |text: &str| text.parse::<Sha>().map_err(|e| e.to_string());
    Ok(RefUpdate {
        name: name.parse().map_err(|e: crate::NameRefused| e.to_string())?,
        old: old.as_deref().map(sha).transpose()?,
        new: Some(sha(&commit)?),
    })
}

/// The branch and the topic that `refs/for/…` names: the longest branch that there is.
fn target(name: &RefName) -> Result<(String, String), String> {
    let wanted = name.as_str().strip_prefix("refs/for/").unwrap_or_default();
    let ends = wanted.match_indices('/').map(|(at, _)| at).chain([wanted.len()]);
    let mut ends: Vec<usize> = ends.collect();
    ends.reverse();
    for end in ends {
        let branch = &wanted[..end];
        if command::commit(&format!("refs/heads/{branch}")).is_some() {
            let topic = wanted[end..].trim_start_matches('/').to_owned();
            if !changes::topic_ok(&topic) {
                return Err(format!(
                    "`{topic}` cannot be a topic: it has up to 100 letters, digits and . _ - /"
                ));
            }
            return Ok((branch.to_owned(), topic));
        }
    }
    Err(format!("there is no branch {wanted} to propose it for"))
}

/// A line in git's packet format; none for the packet that ends a section.
fn packet(input: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0u8; 4];
    input.read_exact(&mut length)?;
    let length = std::str::from_utf8(&length).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
    match length {
        Some(0) => Ok(None),
        Some(length) if length >= 4 => {
            let mut line = vec![0; length - 4];
            input.read_exact(&mut line)?;
            Ok(Some(line))
        }
        _ => Err(io::Error::other("git sent no packet")),
    }
}

fn write_packet(output: &mut impl Write, line: &[u8]) -> io::Result<()> {
    write!(output, "{:04x}", line.len() + 4)?;
    output.write_all(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_as_they_are_written() {
        let mut bytes = Vec::new();
        write_packet(&mut bytes, b"ok refs/for/main\n").unwrap();
        bytes.extend(b"0000");
        assert!(bytes.starts_with(b"0015ok "));
        let mut input = &bytes[..];
        assert_eq!(packet(&mut input).unwrap().as_deref(), Some(&b"ok refs/for/main\n"[..]));
        assert_eq!(packet(&mut input).unwrap(), None);
        for bad in [&b"00"[..], b"0001", b"zzzz", b"0009abc"] {
            assert!(packet(&mut &bad[..]).is_err(), "{bad:?}");
        }
    }
}
