//! Whose what is in the engine is: labels name the process that made it, so that what a dead one left can be told from
//! what a living one needs.

use sha2::{Digest as _, Sha256};

use super::client::Caller;

const OWNER: &str = "windlass.owner";
const MACHINE: &str = "windlass.machine";

/// This process, so that no other ever has the same name on this machine.
pub(super) fn token() -> String {
    let pid = std::process::id();
    format!("{pid}-{}", started(pid).unwrap_or_default())
}

/// When a process started, in ticks since the machine did; none if there is no such process.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, brackets too.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

/// Whether the process of a token lives.
fn lives(token: &str) -> bool {
    let parts = token.split_once('-').and_then(|(pid, at)| Some((pid.parse().ok()?, at.parse().ok()?)));
    parts.is_some_and(|(pid, at): (u32, u64)| started(pid) == Some(at))
}

/// Where process numbers mean the same: this start of the machine, and this namespace of it. The value of a label of all
/// that is made in the Docker Engine.
pub fn machine() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    hex::encode(&Sha256::digest(format!("{boot}{}", space.display()))[..8])
}

/// The arguments that label what is made.
pub(super) fn labels() -> Vec<String> {
    let pairs = [(OWNER, token()), (MACHINE, machine())];
    pairs.into_iter().flat_map(|(name, value)| ["--label".to_owned(), format!("{name}={value}")]).collect()
}

/// Removes what processes left that are no more.
pub(super) async fn sweep(client: &Caller) {
    let filter = format!("label={MACHINE}={}", machine());
    let kinds: [(&[&str], &str, &[&str]); 3] = [
        (&["ps", "--all", "--no-trunc"], "{{.ID}}", &["rm", "--force", "--volumes"]),
        (&["network", "ls", "--no-trunc"], "{{.ID}}", &["network", "rm"]),
        (&["volume", "ls"], "{{.Name}}", &["volume", "rm", "--force"]),
    ];
    for (list, name, remove) in kinds {
        let format = format!("{name} {{{{.Label \"{OWNER}\"}}}}");
        let words = list.iter().copied().chain(["--filter", &filter, "--format", &format]);
        let Ok(listed) = client.ask(words).await else { continue };
        let dead: Vec<&str> = listed
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(_, owner)| !lives(owner.trim()))
            .map(|(id, _)| id)
            .collect();
        if dead.is_empty() {
            continue;
        }
        tracing::info!(
            count = dead.len(),
            kind = list[0],
            "removing what a dead job left in the Docker Engine"
        );
        if let Err(why) = client.ask(remove.iter().copied().chain(dead)).await {
            tracing::warn!(why, "what a dead job left in the Docker Engine cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_process_lives() {
        assert!(lives(&token()));
        let pid = std::process::id();
        for dead in [String::new(), format!("{pid}-1"), "0-5".into(), "x-y".into(), format!("{pid}")] {
            assert!(!lives(&dead), "{dead}");
        }
        assert_eq!(machine(), machine());
    }
}
