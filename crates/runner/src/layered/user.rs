//! Who programs of an image run as: its `USER`, or `--user`, by number or by the image's own password file.

use std::path::{Path, PathBuf};

use crate::beneath::Beneath;

/// The largest password file that is read.
const LARGEST: u64 = 1 << 20;

/// A user of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct User {
    /// User and group; none is root.
    pub(super) ids: Option<(u32, u32)>,
    /// The home folder that the password file gives.
    pub(super) home: Option<String>,
}

impl User {
    /// `user[:group]`, each a name or a number; empty is root. `layers` are the image's, the topmost first.
    pub(super) fn of(text: &str, layers: &[PathBuf]) -> Result<Self, String> {
        let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        let passwd = file(layers, "etc/passwd");
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
                    let groups = file(layers, "etc/group");
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

/// A small file of an image; empty if it has none. A layer is hostile: no link leads out of it.
fn file(layers: &[PathBuf], name: &str) -> String {
    for layer in layers {
        if std::fs::symlink_metadata(layer.join(name)).is_ok() {
            let below = Beneath::new(layer, Path::new("/"));
            let text = below.and_then(|below| below.read_text(&Path::new("/").join(name), LARGEST));
            return text.unwrap_or_default();
        }
    }
    String::new()
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
        let user = |text: &str| User::of(text, &layers).map(|user| (user.ids, user.home));
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
