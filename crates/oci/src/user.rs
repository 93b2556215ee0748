//! Who programs of an image run as: its `USER`, or `--user`, by number or by the image's own password file.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;

/// The largest password file that is read.
const LARGEST: u64 = 1 << 20;

/// A user of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageUser {
    /// User and group; none is root.
    pub ids: Option<(u32, u32)>,
    /// The home folder that the password file gives.
    pub home: Option<String>,
}

impl ImageUser {
    /// `user[:group]`, each a name or a number; empty is root. `layers` are the image's, the topmost first. A number
    /// without a group that the image does not know has group 0, as with other engines.
    ///
    /// # Errors
    ///
    /// A sentence that names the user or group which the image does not have.
    pub fn of(text: &str, layers: &[PathBuf]) -> Result<Self, String> {
        let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        let passwd = file(layers, "passwd");
        let user = if user.is_empty() { "0" } else { user };
        let number = user.parse::<u32>().ok();
        let entry = entries(&passwd).find(|fields| match number {
            Some(number) => fields.get(2).and_then(|id| id.parse().ok()) == Some(number),
            None => fields.first() == Some(&user),
        });
        let field = |at: usize| entry.as_ref().and_then(|fields| fields.get(at)).copied();
        let uid = number.or_else(|| field(2)?.parse().ok());
        let uid = uid.ok_or_else(|| format!("the image has no user `{user}` in its /etc/passwd"))?;
        let own_group = field(3).and_then(|id| id.parse().ok()).unwrap_or(0);
        let gid = match group {
            None | Some("") => own_group,
            Some(group) => match group.parse() {
                Ok(gid) => gid,
                Err(_) => {
                    let groups = file(layers, "group");
                    let found = entries(&groups).find(|fields| fields.first() == Some(&group));
                    let gid = found.and_then(|fields| fields.get(2)?.parse().ok());
                    gid.ok_or_else(|| format!("the image has no group `{group}` in its /etc/group"))?
                }
            },
        };
        let home = field(5).filter(|home| home.starts_with('/')).map(str::to_owned);
        Ok(Self { ids: ((uid, gid) != (0, 0)).then_some((uid, gid)), home })
    }
}

fn entries(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

/// A small file of `/etc`; empty if the image has none. A layer is hostile: no link leads out of it, nothing but a plain file
/// is read. The topmost layer that has something of this name decides.
fn file(layers: &[PathBuf], name: &str) -> String {
    let path = Path::new("etc").join(name);
    let found = layers.iter().find(|layer| std::fs::symlink_metadata(layer.join(&path)).is_ok());
    found.and_then(|layer| read(layer, &path)).unwrap_or_default()
}

fn read(layer: &Path, path: &Path) -> Option<String> {
    let opened = open_beneath(layer, path).ok()?;
    if !opened.metadata().is_ok_and(|found| found.is_file() && found.len() <= LARGEST) {
        return None;
    }
    let mut text = Vec::new();
    opened.take(LARGEST).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

fn open_beneath(layer: &Path, path: &Path) -> nix::Result<File> {
    let folder = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let layer = nix::fcntl::open(layer, folder, Mode::empty())?;
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    match openat2(&layer, path, OpenHow::new().flags(flags).resolve(resolve)) {
        // Old kernels and some containers do not have the call: then no link is followed at all.
        Err(Errno::ENOSYS | Errno::EPERM) => {
            let etc =
                openat(&layer, path.parent().unwrap_or(path), folder | OFlag::O_NOFOLLOW, Mode::empty())?;
            openat(&etc, path.file_name().unwrap_or_default(), flags | OFlag::O_NOFOLLOW, Mode::empty())
        }
        other => other,
    }
    .map(File::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_those_of_the_image() {
        let temp = tempfile::tempdir().unwrap();
        let (top, low) = (temp.path().join("top"), temp.path().join("low"));
        std::fs::create_dir_all(top.join("etc")).unwrap();
        std::fs::create_dir_all(low.join("etc")).unwrap();
        let passwd = "root:x:0:0:root:/root:/bin/sh\npg:x:70:71:x:/var/lib/pg:/bin/sh\n";
        std::fs::write(low.join("etc/passwd"), passwd).unwrap();
        std::fs::write(low.join("etc/group"), "web:x:33:\n").unwrap();
        let layers = [top.clone(), low];
        let user = |text: &str| ImageUser::of(text, &layers).map(|user| (user.ids, user.home));
        assert_eq!(user(""), Ok((None, Some("/root".into()))));
        assert_eq!(user("pg"), Ok((Some((70, 71)), Some("/var/lib/pg".into()))));
        assert_eq!(user("70:web"), Ok((Some((70, 33)), Some("/var/lib/pg".into()))));
        assert_eq!(user("1001"), Ok((Some((1001, 0)), None)));
        assert_eq!(user("1:2"), Ok((Some((1, 2)), None)));
        assert!(user("nobody").unwrap_err().contains("`nobody`"));
        assert!(user("pg:none").unwrap_err().contains("`none`"));
        // A link leads to no file of the machine.
        std::os::unix::fs::symlink("/etc/passwd", top.join("etc/passwd")).unwrap();
        assert!(user("daemon").is_err());
    }
}
