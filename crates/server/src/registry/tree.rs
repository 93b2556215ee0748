//! What a layer does as a tree: folders with what is in them, as far as a page holds it. Pure.

use std::collections::BTreeMap;

use windlass_api::TreeRow;

use super::changes::{Change, Kind};

/// How many entries of the folder that is asked for are told at once.
const PAGE: usize = windlass_api::FILES_AT_A_TIME as usize;
/// How many entries are told at once in all: folders that fit are told with what is in them.
const ROWS: usize = 500;
/// Names deeper than this are told as one.
const DEEPEST: usize = 40;
/// The most entries of a tree.
const MOST_NODES: usize = 1_000_000;

/// A tree of changes.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// Whether all changes are in it.
    pub(super) whole: bool,
}

#[derive(Debug, Default)]
struct Node {
    children: BTreeMap<String, usize>,
    change: Option<Change>,
    /// How many files and links are in it.
    entries: u64,
    /// The size of all in it that is not gone.
    size: u64,
    /// How many entries a tree of it has.
    rows: usize,
}

impl Tree {
    pub(super) fn of(changes: BTreeMap<String, Change>) -> Self {
        let mut tree = Self { nodes: vec![Node::default()], whole: true };
        for (path, change) in changes {
            if tree.nodes.len() >= MOST_NODES {
                tree.whole = false;
                break;
            }
            tree.insert(&path, change);
        }
        tree.count(0);
        tree
    }

    fn insert(&mut self, path: &str, change: Change) {
        let leaf = change.entry.kind != "folder";
        let size = if change.kind == Kind::Removed { 0 } else { change.entry.size };
        let mut at = 0;
        for name in path.splitn(DEEPEST, '/').filter(|name| !name.is_empty()) {
            if leaf {
                self.nodes[at].entries += 1;
                self.nodes[at].size = self.nodes[at].size.saturating_add(size);
            }
            at = match self.nodes[at].children.get(name) {
                Some(child) => *child,
                None => {
                    let child = self.nodes.len();
                    self.nodes.push(Node::default());
                    self.nodes[at].children.insert(name.to_owned(), child);
                    child
                }
            };
        }
        self.nodes[at].change = Some(change);
    }

    fn count(&mut self, at: usize) -> usize {
        let children: Vec<usize> = self.nodes[at].children.values().copied().collect();
        let rows = children.into_iter().map(|child| 1 + self.count(child)).sum();
        self.nodes[at].rows = rows;
        rows
    }

    /// The entries of a folder from the place `from` on, with what is in those folders that fit; and how many it has.
    /// None where there is no such folder.
    pub(super) fn rows(&self, folder: &str, from: usize) -> Option<(Vec<TreeRow>, usize)> {
        let mut at = 0;
        for name in folder.splitn(DEEPEST, '/').filter(|name| !name.is_empty()) {
            at = *self.nodes[at].children.get(name)?;
        }
        let children = self.children(at);
        let total = children.len();
        let mut rows = Vec::new();
        let shown: Vec<_> = children.into_iter().skip(from).take(PAGE).collect();
        let mut left = ROWS.saturating_sub(shown.len());
        let alone = total == 1;
        for (name, child) in shown {
            let path = joined(folder.trim_matches('/'), &name);
            self.tell((name, path, child), 0, alone, &mut left, &mut rows);
        }
        Some((rows, total))
    }

    /// A folder's entries: folders first.
    fn children(&self, at: usize) -> Vec<(String, usize)> {
        let all = self.nodes[at].children.iter().map(|(name, child)| (name.clone(), *child));
        let (mut folders, others): (Vec<_>, Vec<_>) = all.partition(|(_, child)| self.is_folder(*child));
        folders.extend(others);
        folders
    }

    fn is_folder(&self, at: usize) -> bool {
        let node = &self.nodes[at];
        !node.children.is_empty() || node.change.as_ref().is_none_or(|c| c.entry.kind == "folder")
    }

    /// Tells an entry, and what is in it if all of that fits. One that stands alone is opened as far as its own entries
    /// fit: nobody wants to see nothing but it.
    fn tell(
        &self,
        (mut name, mut path, mut at): (String, String, usize),
        depth: u32,
        alone: bool,
        left: &mut usize,
        rows: &mut Vec<TreeRow>,
    ) {
        // A folder in which there is nothing but another one is told together with that.
        while let [(only, child)] = &self.children(at)[..]
            && self.is_folder(at)
            && self.is_folder(*child)
            && self.word(at) == self.word(*child)
        {
            (name, path) = (joined(&name, only), joined(&path, only));
            at = *child;
        }
        let node = &self.nodes[at];
        let whole = node.rows <= *left;
        let open = node.rows > 0 && (whole || alone && node.children.len() <= *left);
        rows.push(self.row(name, path.clone(), at, depth, open));
        if !open {
            return;
        }
        let children = self.children(at);
        *left -= if whole { node.rows } else { children.len() };
        let alone = children.len() == 1;
        for (name, child) in children {
            let path = joined(&path, &name);
            // Where all of it fits, room for it is set aside already.
            let mut enough = usize::MAX;
            let left = if whole { &mut enough } else { &mut *left };
            self.tell((name, path, child), depth + 1, alone, left, rows);
        }
    }

    fn word(&self, at: usize) -> &'static str {
        match self.nodes[at].change.as_ref().map(|change| change.kind) {
            None | Some(Kind::Folder) => "",
            Some(Kind::Added) => "added",
            Some(Kind::Changed) => "changed",
            Some(Kind::Removed) => "removed",
            Some(Kind::Repeated) => "repeated",
        }
    }

    fn row(&self, name: String, path: String, at: usize, depth: u32, open: bool) -> TreeRow {
        let node = &self.nodes[at];
        let entry = node.change.as_ref().map(|change| &change.entry);
        let folder = self.is_folder(at);
        TreeRow {
            depth,
            name,
            path,
            kind: if folder {
                "folder".to_owned()
            } else {
                entry.map(|e| e.kind.to_string()).unwrap_or_default()
            },
            change: self.word(at).to_owned(),
            size: if folder { node.size } else { entry.map_or(0, |e| e.size) },
            before: node.change.as_ref().and_then(|change| change.before),
            mode: entry.map_or(0o755, |e| e.mode),
            target: entry.and_then(|e| e.target.clone()),
            entries: node.entries,
            open,
        }
    }
}

fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::super::changes::tests::{files, listing};
    use super::*;

    fn tree(below: &[&[&str]], layer: &[&str]) -> Tree {
        Tree::of(files(below).changes(&listing(layer)))
    }

    fn told(rows: &[TreeRow]) -> Vec<String> {
        let indent = |row: &TreeRow| "  ".repeat(row.depth as usize);
        let mark = |row: &TreeRow| if row.kind == "folder" { if row.open { "-" } else { "+" } } else { "" };
        rows.iter()
            .map(|row| format!("{}{}{} {} {}", indent(row), mark(row), row.name, row.change, row.size))
            .collect()
    }

    #[test]
    fn folders_come_first_with_what_is_in_them() {
        let tree = tree(
            &[&["folder etc", "file etc/old 4 x"]],
            &[
                "file readme 1 x",
                "folder etc",
                "removed etc/old",
                "folder usr",
                "folder usr/lib",
                "file usr/lib/a 5 x",
                "file usr/lib/b 6 x",
            ],
        );
        let (rows, total) = tree.rows("", 0).unwrap();
        assert_eq!(
            told(&rows),
            [
                "-etc  0",
                "  old removed 4",
                "-usr/lib added 11",
                "  a added 5",
                "  b added 6",
                "readme added 1"
            ]
        );
        assert_eq!(total, 3);
        let (rows, _) = tree.rows("usr/lib", 0).unwrap();
        assert_eq!(told(&rows), ["a added 5", "b added 6"]);
        assert_eq!(rows[0].path, "usr/lib/a");
        assert!(tree.rows("nowhere", 0).is_none());
    }

    #[test]
    fn large_folders_stay_folded_and_are_paged() {
        let many: Vec<String> = (0..1_000).map(|i| format!("file big/{i:04} 1 x")).collect();
        let mut layer: Vec<&str> = many.iter().map(String::as_str).collect();
        layer.push("file small/one 1 x");
        let tree = tree(&[], &layer);
        let (rows, _) = tree.rows("", 0).unwrap();
        assert_eq!(told(&rows), ["+big  1000", "-small  1", "  one added 1"]);
        assert_eq!(rows[0].entries, 1_000);
        let (rows, total) = tree.rows("big", 900).unwrap();
        assert_eq!((rows.len(), total, rows[0].path.as_str()), (100, 1_000, "big/0900"));
        assert_eq!(tree.rows("big", 5_000).unwrap().0.len(), 0);
    }

    #[test]
    fn a_folder_that_stands_alone_is_opened_as_far_as_it_fits() {
        let many: Vec<String> = (0..1_000).map(|i| format!("file srv/data/{}/{i:04} 1 x", i / 300)).collect();
        let layer: Vec<&str> = many.iter().map(String::as_str).collect();
        let (rows, total) = tree(&[], &layer).rows("", 0).unwrap();
        let folders: Vec<String> = told(&rows).into_iter().filter(|row| row.contains(['+', '-'])).collect();
        assert_eq!(folders, ["-srv/data  1000", "  -0  300", "  +1  300", "  +2  300", "  -3  100"]);
        assert_eq!((rows.len(), total), (405, 1));
    }

    #[test]
    fn names_without_end_are_cut_into_one() {
        let deep = vec!["d"; 5_000].join("/");
        let line = format!("file {deep} 1 x");
        let tree = tree(&[], &[&line]);
        assert!(tree.nodes.len() <= DEEPEST + 1);
        let (rows, _) = tree.rows("", 0).unwrap();
        assert_eq!(rows.len(), 2, "a chain of folders, and the rest as one name");
    }
}
