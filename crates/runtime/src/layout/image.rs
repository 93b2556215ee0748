//! An image's layers over the machine's root, as an ordinary user can have them: the kernel refuses one overlay over a
//! root with mounts below it. So each folder of the layers is laid over the machine's folder of that name by itself.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Step, is_private};
use crate::machine::MountPoint;

/// The steps that lay `layers`, the topmost first, over the machine's root.
pub(super) fn over_machine(layers: &[PathBuf], mounts: &[MountPoint], read_only: bool) -> Vec<Step> {
    let mut laying = Laying { mounts, read_only, steps: Vec::new(), through_links: Vec::new() };
    laying.below(Path::new("/"), layers);
    // A folder that is reached through a link of the machine (`/lib`) may lie in another one that is laid over.
    laying.steps.append(&mut laying.through_links);
    laying.steps
}

struct Laying<'a> {
    mounts: &'a [MountPoint],
    read_only: bool,
    steps: Vec<Step>,
    through_links: Vec<Step>,
}

impl Laying<'_> {
    fn below(&mut self, folder: &Path, layers: &[PathBuf]) {
        for name in names(layers) {
            let at = folder.join(&name);
            if is_private(&at) {
                continue;
            }
            let there = layers.iter().map(|layer| layer.join(&name));
            let mut there =
                there.filter_map(|path| Some((fs::symlink_metadata(&path).ok()?.file_type(), path)));
            match there.next() {
                Some((kind, top)) if kind.is_dir() => {
                    // A file in a lower layer hides what is below it.
                    let lower = there.take_while(|(kind, _)| kind.is_dir()).map(|(_, path)| path);
                    self.folder(at, std::iter::once(top).chain(lower).collect());
                }
                Some((kind, top)) if kind.is_symlink() => {
                    let target = fs::read_link(&top).unwrap_or_default();
                    self.steps.push(Step::Link { at, target });
                }
                Some((kind, from)) if kind.is_file() => {
                    self.steps.push(Step::Bind { from, at, read_only: true, optional: false });
                }
                _ => {}
            }
        }
    }

    fn folder(&mut self, at: PathBuf, mut layers: Vec<PathBuf>) {
        let machine = fs::canonicalize(&at).ok().filter(|machine| machine.is_dir());
        if let Some(machine) = machine {
            let linked = machine != at;
            if self.mounts.iter().any(|mount| mount.at != machine && mount.at.starts_with(&machine)) {
                return self.below(&at, &layers);
            }
            layers.push(machine);
            let steps = if linked { &mut self.through_links } else { &mut self.steps };
            steps.push(Step::Laid { lower: layers, at, read_only: self.read_only });
        } else {
            self.steps.push(Step::Laid { lower: layers, at, read_only: self.read_only });
        }
    }
}

/// The names in all of the layers' folders.
fn names(layers: &[PathBuf]) -> BTreeSet<OsString> {
    let entries = layers.iter().filter_map(|layer| fs::read_dir(layer).ok()).flatten();
    entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(root: &Path, name: &str, files: &[&str]) -> PathBuf {
        let layer = root.join(name);
        for file in files {
            let path = layer.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        layer
    }

    fn laid(steps: &[Step]) -> Vec<(PathBuf, usize)> {
        let places = steps.iter().filter_map(|step| match step {
            Step::Laid { lower, at, .. } => Some((at.clone(), lower.len())),
            _ => None,
        });
        places.collect()
    }

    #[test]
    fn folders_lie_over_those_of_the_machine_and_nothing_over_private_ones() {
        let temp = tempfile::tempdir().unwrap();
        let top = layer(temp.path(), "top", &["usr/x", "windlass-none/x", "tmp/x", "run/x", "windlass-file"]);
        let low = layer(temp.path(), "low", &["usr/y", "windlass-none/y"]);
        std::os::unix::fs::symlink("usr/x", top.join("windlass-link")).unwrap();
        let steps = over_machine(&[top.clone(), low], &[], false);
        assert_eq!(laid(&steps), [("/usr".into(), 3), ("/windlass-none".into(), 2)]);
        let (file, link) = (PathBuf::from("/windlass-file"), PathBuf::from("/windlass-link"));
        let from = top.join("windlass-file");
        assert!(steps.contains(&Step::Bind { from, at: file, read_only: true, optional: false }));
        assert!(steps.contains(&Step::Link { at: link, target: "usr/x".into() }));
        assert_eq!(steps.len(), 4);
    }

    #[test]
    fn where_something_is_mounted_below_it_goes_on_one_folder_deeper() {
        let temp = tempfile::tempdir().unwrap();
        let top = layer(temp.path(), "top", &["usr/lib/x", "usr/bin/y"]);
        let mount = |at: &str| MountPoint {
            at: at.into(),
            root: "/".into(),
            kind: "ext4".into(),
            options: String::new(),
        };
        let mounts = [mount("/"), mount("/usr"), mount("/usr/local/share"), mount("/usr/libexec")];
        let steps = over_machine(&[top], &mounts, false);
        assert_eq!(laid(&steps), [("/usr/bin".into(), 2), ("/usr/lib".into(), 2)]);
    }
}
