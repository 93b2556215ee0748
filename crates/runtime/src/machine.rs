//! Facts about the machine that a sandbox's layout depends on: mounts, home folders, ids.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// A mount of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountPoint {
    /// Where.
    pub(crate) at: PathBuf,
    /// The part of the file system that is seen there.
    pub(crate) root: PathBuf,
    /// The kind of file system.
    pub(crate) kind: String,
    /// The options of the file system itself.
    pub(crate) options: String,
}

impl MountPoint {
    /// Whether it holds files on a disk, so that a job may expect to write there.
    pub(crate) fn on_disk(&self) -> bool {
        matches!(self.kind.as_str(), "ext2" | "ext3" | "ext4" | "xfs" | "btrfs" | "f2fs" | "zfs" | "bcachefs")
    }
}

/// All mounts, as `/proc/self/mountinfo` tells them (see `proc_pid_mountinfo(5)`).
pub(crate) fn mounts() -> Vec<MountPoint> {
    fs::read_to_string("/proc/self/mountinfo").map(|text| parse_mounts(&text)).unwrap_or_default()
}

pub(crate) fn parse_mounts(text: &str) -> Vec<MountPoint> {
    text.lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut left = left.split(' ').skip(3);
            let (root, at) = (left.next()?, left.next()?);
            let mut right = right.split(' ');
            let kind = right.next()?.to_owned();
            let options = right.nth(1).unwrap_or_default().to_owned();
            Some(MountPoint { at: unescape(at).into(), root: unescape(root).into(), kind, options })
        })
        .collect()
}

/// Undoes the octal escapes of mountinfo.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = (first == b'\\')
            .then(|| tail.get(..3).and_then(|d| std::str::from_utf8(d).ok()))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The home folder of the user that this process runs as.
pub(crate) fn own_home() -> PathBuf {
    let of_user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.dir);
    of_user.filter(|home| is_home(home)).unwrap_or_else(|| "/root".into())
}

/// Home folders of people: those of the password file with an id for people, root's, and all below `/home`.
pub(crate) fn homes() -> Vec<PathBuf> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut homes = parse_homes(&passwd);
    homes.insert("/home".into());
    homes.insert("/root".into());
    homes.insert(own_home());
    if let Some(home) = std::env::var_os("HOME").map(PathBuf::from).filter(|home| is_home(home)) {
        homes.insert(home);
    }
    homes.into_iter().filter(|home| home.is_dir()).collect()
}

fn parse_homes(passwd: &str) -> BTreeSet<PathBuf> {
    passwd
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let id: u32 = fields.get(2)?.parse().ok()?;
            let home = PathBuf::from(fields.get(5)?);
            ((id == 0 || id >= 1000) && is_home(&home)).then_some(home)
        })
        .collect()
}

/// A folder that can be masked without taking the system away.
fn is_home(path: &Path) -> bool {
    const SYSTEM: [&str; 17] = [
        "/",
        "/bin",
        "/boot",
        "/dev",
        "/etc",
        "/lib",
        "/lib64",
        "/opt",
        "/proc",
        "/run",
        "/sbin",
        "/srv",
        "/sys",
        "/tmp",
        "/usr",
        "/var",
        "/nonexistent",
    ];
    path.is_absolute()
        && !SYSTEM.iter().any(|system| path == Path::new(system))
        && !["/usr", "/proc", "/dev", "/sys"].iter().any(|system| path.starts_with(system))
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}

/// A map of ids to themselves, for all that exist here, in the form of `/proc/PID/uid_map`.
pub(crate) fn identity_map(own_map: &str) -> String {
    own_map
        .lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace();
            let (inside, _, count) = (numbers.next()?, numbers.next()?, numbers.next()?);
            Some(format!("{inside} {inside} {count}\n"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_with_escapes_and_optional_fields() {
        let text = "27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard\n\
                    31 23 0:28 /docker/x /a\\040b\\134 rw - cgroup cgroup rw,memory\nrubbish\n";
        let mounts = parse_mounts(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].at, Path::new("/"));
        assert!(mounts[0].on_disk());
        assert_eq!(mounts[1].at, Path::new("/a b\\"));
        assert_eq!(mounts[1].root, Path::new("/docker/x"));
        assert_eq!(mounts[1].options, "rw,memory");
        assert!(!mounts[1].on_disk());
    }

    #[test]
    fn homes_of_people_and_root_but_no_system_folder() {
        let passwd = "root:x:0:0::/root:/bin/sh\nwww:x:33:33::/var/www:/x\nann:x:1000:1000::/srv/people/ann:/bin/sh\n\
                      odd:x:1001:1::/:/bin/sh\nusr:x:1002:1::/usr/lib/x:/x\nnobody:x:65534:1::/nonexistent:/x\n\
                      up:x:1003:1::/home/../etc:/x\nbroken\n";
        let homes: Vec<_> = parse_homes(passwd).into_iter().collect();
        assert_eq!(homes, [PathBuf::from("/root"), PathBuf::from("/srv/people/ann")]);
    }

    #[test]
    fn identity_covers_what_exists_here() {
        assert_eq!(identity_map("         0          0 4294967295\n"), "0 0 4294967295\n");
        assert_eq!(identity_map("0 1000 1\n1 100000 65536\n"), "0 0 1\n1 1 65536\n");
    }
}
