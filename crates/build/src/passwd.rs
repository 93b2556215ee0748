//! Users and groups by name, as the image itself knows them (`passwd(5)`, `group(5)`).

use std::path::Path;

use crate::tree::{Kind, Tree, follow, read_small};

/// Larger files are not read.
const LARGEST: u64 = 4 << 20;

/// Somebody that a program runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Further groups.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

fn lines(tree: &dyn Tree, path: &str) -> Vec<Vec<String>> {
    let real = follow(tree, Path::new(path)).ok();
    let there =
        |path: &std::path::PathBuf| matches!(tree.node(path), Ok(Some(node)) if node.kind == Kind::File);
    let bytes = real.filter(there).and_then(|path| read_small(tree, &path, LARGEST).ok()).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.lines().map(|line| line.trim().split(':').map(str::to_owned).collect()).collect()
}

fn number(fields: &[String], at: usize) -> Option<u32> {
    fields.get(at)?.parse().ok()
}

fn group(tree: &dyn Tree, name: &str) -> Result<u32, String> {
    if let Ok(gid) = name.parse() {
        return Ok(gid);
    }
    let found = lines(tree, "etc/group").into_iter().find(|fields| fields[0] == name);
    found
        .and_then(|fields| number(&fields, 2))
        .ok_or_else(|| format!("unable to find group {name}: no matching entries in the image's group file"))
}

/// `--chown`: a number without a group is the group's too; a name's group is the one of the password file.
pub(crate) fn owner(tree: &dyn Tree, text: &str) -> Result<(u32, u32), String> {
    let (user, of) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let (uid, usual) = match user.parse::<u32>() {
        Ok(uid) => (uid, uid),
        Err(_) if user.is_empty() => (0, 0),
        Err(_) => {
            let found = lines(tree, "etc/passwd").into_iter().find(|fields| fields[0] == user);
            found.and_then(|fields| Some((number(&fields, 2)?, number(&fields, 3)?))).ok_or_else(|| {
                format!("unable to find user {user}: no matching entries in the image's passwd file")
            })?
        }
    };
    Ok((uid, of.map_or(Ok(usual), |of| group(tree, of))?))
}

/// Whether an owner has to be looked up.
pub(crate) fn is_numeric(text: &str) -> bool {
    text.split(':').all(|part| part.is_empty() || part.parse::<u32>().is_ok())
}

/// `USER`: who a program runs as, with home and further groups.
pub(crate) fn account(tree: &dyn Tree, text: &str) -> Result<Account, String> {
    let (user, of) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let wanted = user.parse::<u32>().ok();
    let known = lines(tree, "etc/passwd").into_iter().find(|fields| match wanted {
        Some(uid) => number(fields, 2) == Some(uid),
        None => fields[0] == user,
    });
    let mut account = Account { home: "/".into(), ..Account::default() };
    match (known, wanted) {
        (Some(fields), _) => {
            account.uid = number(&fields, 2).unwrap_or(0);
            account.gid = number(&fields, 3).unwrap_or(0);
            if let Some(home) = fields.get(5).filter(|home| home.starts_with('/')) {
                account.home.clone_from(home);
            }
            let name = fields[0].clone();
            if of.is_none() {
                let member = |group: &Vec<String>| {
                    group.get(3).is_some_and(|names| names.split(',').any(|member| member == name))
                };
                let groups = lines(tree, "etc/group").into_iter().filter(member);
                account.groups = groups.filter_map(|group| number(&group, 2)).collect();
                // The user's own group is among them: what takes power away by groups would miss it otherwise.
                account.groups.retain(|gid| *gid != account.gid);
                account.groups.insert(0, account.gid);
            }
        }
        (None, Some(uid)) => {
            account.uid = uid;
            if uid == 0 {
                account.home = "/root".into();
            }
        }
        (None, None) => {
            return Err(format!(
                "unable to find user {user}: no matching entries in the image's passwd file"
            ));
        }
    }
    if let Some(of) = of {
        account.gid = group(tree, of)?;
    }
    Ok(account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Stack;

    #[test]
    fn names_are_those_of_the_image() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("etc")).unwrap();
        let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:100:101::/home/app:/bin/sh\nbroken\n";
        std::fs::write(temp.path().join("etc/passwd"), passwd).unwrap();
        std::fs::write(temp.path().join("etc/group"), "root:x:0:\napp:x:101:\nextra:x:7:other,app\n")
            .unwrap();
        let tree = Stack::new(vec![temp.path().to_owned()]);
        for (text, expected) in [
            ("app", Ok((100, 101))),
            ("app:extra", Ok((100, 7))),
            ("55", Ok((55, 55))),
            ("55:4", Ok((55, 4))),
            ("100", Ok((100, 100))),
            (":7", Ok((0, 7))),
        ] {
            assert_eq!(owner(&tree, text), expected, "{text}");
        }
        assert!(owner(&tree, "nobody").is_err() && owner(&tree, "0:nogroup").is_err());
        let app = account(&tree, "app").unwrap();
        assert_eq!(app, Account { uid: 100, gid: 101, groups: vec![101, 7], home: "/home/app".into() });
        assert_eq!(account(&tree, "100").unwrap(), app);
        assert_eq!(account(&tree, "app:extra").unwrap().groups, Vec::<u32>::new());
        assert_eq!(
            account(&tree, "99").unwrap(),
            Account { uid: 99, home: "/".into(), ..Account::default() }
        );
        assert_eq!(account(&tree, "").unwrap().home, "/root");
        assert!(account(&tree, "nobody").is_err());
    }
}
