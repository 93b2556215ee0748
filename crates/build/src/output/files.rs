//! The files of a result, without its configuration: in a folder, or as a tar.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{into, shown};
use crate::BuildError;
use crate::pack::{Entry, Rules, Tar};
use crate::request::Destination;
use crate::transfer::{Excludes, Placement, Selected, gather, place};
use crate::tree::{Kind, Stack, Tree as _, walk};
use crate::writer::Writer;

/// Writes the files into a folder; they belong to whoever builds.
pub(super) async fn local(stack: Arc<Stack>, folder: PathBuf) -> Result<(), BuildError> {
    let what = folder.display().to_string();
    let written = tokio::task::spawn_blocking(move || {
        let root = PathBuf::new();
        let selected = Selected { named: root.clone(), real: root.clone(), kept: root };
        let gathered = gather(&*stack, vec![selected], &Excludes::default()).map_err(|e| e.to_string())?;
        let mut writer = Writer::plain(folder).map_err(|e| e.to_string())?;
        let placement =
            Placement { destination: "/", owner: None, mode: None, parents: false, unsure: false };
        place(&mut writer, &*stack, &gathered, &placement).map_err(|e| e.to_string())?;
        writer.done().map(drop).map_err(|e| e.to_string())
    });
    let written = written.await.unwrap_or_else(|e| Err(e.to_string()));
    written.map_err(|e| BuildError::output(format!("writing {what}"), e))
}

/// Writes the files as one tar.
pub(super) async fn tar(stack: Arc<Stack>, to: Destination, rules: Rules) -> Result<(), BuildError> {
    let what = shown(&to);
    let written = tokio::task::spawn_blocking(move || into(&to, |out| flat(&stack, rules, out)));
    let written = written.await.unwrap_or_else(|e| Err(io::Error::other(e)));
    written.map_err(|e| BuildError::output(format!("writing {what}"), e))
}

fn flat(stack: &Stack, rules: Rules, out: &mut dyn io::Write) -> io::Result<()> {
    let mut tar = Tar::new(out);
    let mut linked = std::collections::HashMap::new();
    walk(stack, Path::new(""), &mut |path, node| {
        if path.as_os_str().is_empty() {
            return Ok(true);
        }
        let attributes = match node.kind {
            Kind::File | Kind::Folder => stack.attributes(path)?,
            _ => Vec::new(),
        };
        let mut entry = Entry::new(path, node, &attributes);
        entry.modified = rules.clamp.map_or(entry.modified, |most| entry.modified.min(most)).max(0);
        match (&node.kind, node.linked) {
            (Kind::File, Some(id)) if linked.contains_key(&id) => {
                let first: &PathBuf = &linked[&id];
                tar.link(&entry, first)?;
            }
            (Kind::File, id) => {
                if let Some(id) = id {
                    linked.insert(id, path.to_owned());
                }
                tar.file(&entry, stack.open(path)?)?;
            }
            (Kind::Folder | Kind::Link(_) | Kind::Fifo, _) => tar.empty(&entry)?,
            (Kind::Socket | Kind::Device, _) => {}
        }
        Ok(true)
    })?;
    tar.finish().map(drop)
}
