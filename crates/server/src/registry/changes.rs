//! What stands in an image's layers, what a layer does to those below it, and what differs between two images. Pure:
//! lists of archives' entries in, changes out.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use windlass_api::{FileChange, TreeTotals};
use windlass_oci::{Listed, Listing};

/// The most files that are told apart in one image: beyond, it is said that not all of it is told.
const MOST_FILES: usize = 600_000;
/// The most bytes of their paths and links.
const MOST_NAMES: usize = 256 << 20;

/// The files that stand after some layers, by path.
#[derive(Debug, Default)]
pub(super) struct Files {
    by_path: BTreeMap<String, Listed>,
    /// How many bytes of paths and links were put in.
    names: usize,
    /// Whether all of them are known.
    pub(super) whole: bool,
}

/// What happens to a path in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A folder in which something happens.
    Folder,
    /// It was not there.
    Added,
    /// It was another one.
    Changed,
    /// It is gone.
    Removed,
    /// It stood there just so.
    Repeated,
}

/// A path of a layer.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) kind: Kind,
    /// What it is, or was.
    pub(super) entry: Listed,
    /// Its size below.
    pub(super) before: Option<u64>,
}

fn is_folder(entry: &Listed) -> bool {
    entry.kind == "folder"
}

/// Everything but where it is.
fn same(a: &Listed, b: &Listed) -> bool {
    a.kind == b.kind && a.size == b.size && a.mode == b.mode && a.target == b.target && a.content == b.content
}

impl Files {
    /// Before any layer.
    pub(super) fn none() -> Self {
        Self { by_path: BTreeMap::new(), names: 0, whole: true }
    }

    /// What lies below a folder.
    fn below(&self, folder: &str) -> impl Iterator<Item = &Listed> {
        // `0` follows `/`: everything that begins with the folder's name and a slash lies between the two.
        let (start, end) = if folder.is_empty() {
            (Bound::Unbounded, Bound::Unbounded)
        } else {
            (Bound::Excluded(format!("{folder}/")), Bound::Excluded(format!("{folder}0")))
        };
        self.by_path.range((start, end)).map(|(_, entry)| entry)
    }

    fn remove_below(&mut self, folder: &str) {
        let gone: Vec<String> = self.below(folder).map(|entry| entry.path.clone()).collect();
        for path in gone {
            self.by_path.remove(&path);
        }
    }

    /// Lays a layer on top (image specification, "Applying Changesets").
    pub(super) fn lay(&mut self, layer: &Listing) {
        self.whole &= layer.complete;
        for entry in layer.entries.iter().filter(|entry| is_whiteout(entry)) {
            self.remove_below(&entry.path);
            if entry.kind == "removed" {
                self.by_path.remove(&entry.path);
            }
        }
        for entry in layer.entries.iter().filter(|entry| !is_whiteout(entry)) {
            self.names += entry.path.len() + entry.target.as_ref().map_or(0, String::len);
            if self.by_path.len() >= MOST_FILES || self.names > MOST_NAMES {
                self.whole = false;
                return;
            }
            if !is_folder(entry) && self.by_path.get(&entry.path).is_some_and(is_folder) {
                self.remove_below(&entry.path);
            }
            self.by_path.insert(entry.path.clone(), entry.clone());
        }
    }

    /// What a layer on top of these does, by path.
    pub(super) fn changes(&self, layer: &Listing) -> BTreeMap<String, Change> {
        let mut changes = BTreeMap::new();
        let gone = |entry: &Listed| Change {
            kind: Kind::Removed,
            before: (!is_folder(entry)).then_some(entry.size),
            entry: entry.clone(),
        };
        for folder in emptied(layer) {
            changes.extend(self.below(&folder).map(|below| (below.path.clone(), gone(below))));
        }
        for entry in layer.entries.iter().filter(|entry| is_whiteout(entry)) {
            if entry.kind == "removed" {
                let change = match self.by_path.get(&entry.path) {
                    Some(below) => gone(below),
                    // It removes what is not there.
                    None => {
                        let entry = Listed { kind: "file".into(), ..entry.clone() };
                        Change { kind: Kind::Removed, entry, before: None }
                    }
                };
                changes.insert(entry.path.clone(), change);
            }
        }
        for entry in layer.entries.iter().filter(|entry| !is_whiteout(entry)) {
            let below = self.by_path.get(&entry.path);
            let kind = match below {
                None => Kind::Added,
                Some(below) if is_folder(below) && is_folder(entry) && below.mode == entry.mode => {
                    Kind::Folder
                }
                Some(below) if same(below, entry) => Kind::Repeated,
                Some(_) => Kind::Changed,
            };
            let before = below.filter(|below| !is_folder(below)).map(|below| below.size);
            changes.insert(entry.path.clone(), Change { kind, entry: entry.clone(), before });
        }
        changes
    }

    /// What another image's files are, compared with these.
    pub(super) fn diff(&self, other: &Self) -> Vec<FileChange> {
        let mut found = Vec::new();
        for (path, after) in &other.by_path {
            let before = self.by_path.get(path);
            let what = match before {
                // A folder that is new tells nothing beside what is in it.
                None if is_folder(after) && other.below(path).next().is_some() => continue,
                None => Vec::new(),
                Some(before) => differences(before, after),
            };
            if before.is_some() && what.is_empty() {
                continue;
            }
            let change = if before.is_some() { "changed" } else { "added" };
            found.push(FileChange {
                path: path.clone(),
                change: change.to_owned(),
                what,
                before: before.map(|entry| entry.size),
                after: Some(after.size),
            });
        }
        for (path, before) in &self.by_path {
            if other.by_path.contains_key(path) || is_folder(before) && self.below(path).next().is_some() {
                continue;
            }
            found.push(FileChange {
                path: path.clone(),
                change: "removed".to_owned(),
                what: Vec::new(),
                before: Some(before.size),
                after: None,
            });
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }
}

/// The folders whose content goes in a layer, each once, and none within another: a layer may name the same one, or each
/// of those within it, a hundred thousand times.
fn emptied(layer: &Listing) -> Vec<String> {
    // What lies below `a` follows `a/` without a gap.
    let key = |entry: &Listed| if entry.path.is_empty() { String::new() } else { format!("{}/", entry.path) };
    let keys: BTreeSet<String> = layer.entries.iter().filter(|entry| is_whiteout(entry)).map(key).collect();
    let mut outer: Vec<String> = Vec::new();
    for key in keys {
        if !outer.last().is_some_and(|last| key.starts_with(last)) {
            outer.push(key);
        }
    }
    outer.iter().map(|key| key.trim_end_matches('/').to_owned()).collect()
}

fn is_whiteout(entry: &Listed) -> bool {
    entry.kind == "removed" || entry.kind == "emptied"
}

/// What is another one of a file, in words.
fn differences(before: &Listed, after: &Listed) -> Vec<String> {
    let mut what = Vec::new();
    if before.kind != after.kind {
        what.push(format!("{} → {}", before.kind, after.kind));
    } else if before.content != after.content || before.size != after.size {
        what.push("contents".to_owned());
    }
    if before.mode != after.mode {
        what.push(format!("{:04o} → {:04o}", before.mode, after.mode));
    }
    if before.kind == after.kind && before.target != after.target {
        let to = |entry: &Listed| entry.target.clone().unwrap_or_default();
        what.push(format!("leads to {} instead of {}", to(after), to(before)));
    }
    what
}

/// What a layer does in all.
pub(super) fn totals(changes: &BTreeMap<String, Change>) -> TreeTotals {
    let mut totals = TreeTotals::default();
    for change in changes.values() {
        let folder = is_folder(&change.entry);
        let count = u64::from(!folder);
        match change.kind {
            Kind::Folder => {}
            Kind::Added => totals.added += count,
            Kind::Changed => totals.changed += count,
            Kind::Removed => totals.removed += count,
            Kind::Repeated => totals.repeated += count,
        }
        if matches!(change.kind, Kind::Added | Kind::Changed) {
            totals.added_size = totals.added_size.saturating_add(change.entry.size);
        }
        totals.hidden_size = totals.hidden_size.saturating_add(change.before.unwrap_or_default());
    }
    totals
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// `kind path size content`, one for each entry.
    pub(in crate::registry) fn listing(text: &[&str]) -> Listing {
        let entries: Vec<Listed> = text
            .iter()
            .map(|line| {
                let mut words = line.split(' ');
                let kind = words.next().unwrap().to_owned();
                let path = words.next().unwrap().to_owned();
                let size = words.next().map_or(0, |n| n.parse().unwrap());
                let content = words.next().map(str::to_owned);
                Listed { path, kind: kind.into(), size, mode: 0o644, target: None, content }
            })
            .collect();
        Listing { entries, complete: true }
    }

    pub(in crate::registry) fn files(layers: &[&[&str]]) -> Files {
        let mut files = Files::none();
        for layer in layers {
            files.lay(&listing(layer));
        }
        files
    }

    fn told(changes: &BTreeMap<String, Change>) -> Vec<String> {
        changes.iter().map(|(path, change)| format!("{path} {:?} {:?}", change.kind, change.before)).collect()
    }

    #[test]
    fn a_layer_adds_changes_removes_and_repeats() {
        let below = files(&[&[
            "folder a",
            "file a/same 3 x",
            "file a/other 3 x",
            "file a/gone 7 x",
            "folder b",
            "file b/one 1 x",
            "file b/two 2 x",
            "file bb 9 x",
        ]]);
        let layer = listing(&[
            "folder a",
            "file a/same 3 x",
            "file a/other 3 y",
            "removed a/gone",
            "file a/new 5 x",
            "removed b",
            "removed nothing",
        ]);
        let changes = below.changes(&layer);
        let expected = [
            "a Folder None",
            "a/gone Removed Some(7)",
            "a/new Added None",
            "a/other Changed Some(3)",
            "a/same Repeated Some(3)",
            "b Removed None",
            "b/one Removed Some(1)",
            "b/two Removed Some(2)",
            "nothing Removed None",
        ];
        assert_eq!(told(&changes), expected);
        let totals = totals(&changes);
        assert_eq!((totals.added, totals.changed, totals.removed, totals.repeated), (1, 1, 4, 1));
        assert_eq!((totals.added_size, totals.hidden_size), (8, 16));
    }

    #[test]
    fn whiteouts_hide_what_is_below_and_nothing_of_their_own_layer() {
        let below = files(&[&["folder a", "file a/old 1 x"], &["file a/late 1 x"]]);
        let layer = listing(&["file a/new 2 x", "emptied a"]);
        let changes = below.changes(&layer);
        assert_eq!(told(&changes), ["a/late Removed Some(1)", "a/new Added None", "a/old Removed Some(1)"]);
        let mut files = below;
        files.lay(&layer);
        assert_eq!(files.by_path.keys().collect::<Vec<_>>(), ["a", "a/new"]);
        files.lay(&listing(&["file a 3 x"]));
        assert_eq!(files.by_path.keys().collect::<Vec<_>>(), ["a"], "a file stands where a folder was");
        assert!(files.whole);
        files.lay(&Listing { complete: false, ..listing(&["file z 1 x"]) });
        assert!(!files.whole);
    }

    #[test]
    fn a_folder_goes_once_however_often_a_layer_says_so() {
        let layer = listing(&[
            "removed a",
            "emptied a",
            "removed a/b",
            "emptied a/b/c",
            "removed a-b",
            "removed ab/c",
        ]);
        assert_eq!(emptied(&layer), ["a-b", "a", "ab/c"]);
        assert_eq!(emptied(&listing(&["removed a", "emptied "])), [""]);
        let below = files(&[&["file a/b/c/d 1 x", "file a-b/e 1 x", "file ab/f 1 x"]]);
        let expected = ["a Removed None", "a-b Removed None", "a-b/e Removed Some(1)", "a/b Removed None"];
        assert_eq!(told(&below.changes(&layer))[..4], expected);
        assert!(told(&below.changes(&layer)).contains(&"a/b/c/d Removed Some(1)".to_owned()));
    }

    #[test]
    fn names_have_a_bound_in_all() {
        let mut files = Files::none();
        let long = "n".repeat(16 << 20);
        for place in 0..20 {
            files.lay(&listing(&[&format!("file {place}{long} 1 x")]));
        }
        assert!(!files.whole && files.by_path.len() == 15, "{}", files.by_path.len());
    }

    #[test]
    fn two_images_differ_by_their_files_whatever_layers_brought_them() {
        let one = files(&[&["folder a", "file a/f 1 x", "file a/g 1 x"], &["folder old", "file old/f 1 x"]]);
        let other =
            files(&[&["folder a", "file a/f 1 x"], &["file a/g 1 y", "folder new", "file new/f 4 x"]]);
        let found: Vec<String> = one
            .diff(&other)
            .iter()
            .map(|f| format!("{} {} {:?} {:?} {:?}", f.change, f.path, f.what, f.before, f.after))
            .collect();
        assert_eq!(
            found,
            [
                "changed a/g [\"contents\"] Some(1) Some(1)",
                "added new/f [] None Some(4)",
                "removed old/f [] Some(1) None",
            ]
        );
        assert!(one.diff(&one).is_empty());
        let mut link = listing(&["link a 0"]);
        link.entries[0].target = Some("b".into());
        let mut before = Files::none();
        before.lay(&listing(&["file a 0"]));
        let mut after = Files::none();
        after.lay(&link);
        assert_eq!(before.diff(&after)[0].what, ["file → link"]);
    }
}
