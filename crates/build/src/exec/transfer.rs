//! `COPY` and `ADD` as steps: what is read, the key, the new layer.

use std::fs::File;
use std::io::{self, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_dockerfile::plan::{Mode, Source, TransferStep};
use windlass_dockerfile::{Origin, Step};
use windlass_oci::UnpackLimits;

use super::Session;
use super::stage::{Left, State};
use super::step::{Failed, cleared};
use crate::image::Image;
use crate::key::{Key, KeyMaker, of_layers};
use crate::progress::Doing;
use crate::request::NamedContext;
use crate::transfer::{
    Archive, Entry, Excludes, Gathered, ModeChange, Placement, Selected, TransferError, checked, gather,
    parse_mode, place, select, unpack,
};
use crate::tree::{Kind, Local, Nothing, Stack, Tree, relative};
use crate::writer::Writer;
use crate::{BuildError, context, passwd};

/// Something to copy, looked at.
pub(super) struct Item {
    pub(super) tree: Arc<dyn Tree>,
    pub(super) gathered: Gathered,
    /// Whether the tree may change while it is read.
    pub(super) unsure: bool,
    /// Whether archives among it are unpacked.
    pub(super) unpack: bool,
}

impl Session {
    /// What holds for everything of an origin that cannot change: its key. `None` for folders of this machine.
    pub(super) async fn origin_key(&self, origin: &Origin) -> Result<Option<Key>, BuildError> {
        Ok(match origin {
            Origin::Context => None,
            Origin::Scratch => Some(KeyMaker::new("scratch").done()),
            Origin::Stage(index) => Some(self.done(*index).await?.key),
            Origin::Image(_) | Origin::Named(_) => match self.origin_image(origin).await? {
                Some(image) => {
                    let mut diff_ids = Vec::new();
                    for layer in &image.layers {
                        diff_ids.push(layer.measured.clone().await.map_err(BuildError::Store)?.digest);
                    }
                    Some(of_layers(&diff_ids))
                }
                None => None,
            },
        })
    }

    async fn origin_image(&self, origin: &Origin) -> Result<Option<Arc<Image>>, BuildError> {
        Ok(match origin {
            Origin::Stage(index) => Some(self.done(*index).await?.image),
            Origin::Image(name) => Some(self.sources.image(name, self.platform()).await?),
            Origin::Named(name) => match self.request.contexts.get(name) {
                Some(NamedContext::Image(image)) => Some(self.sources.image(image, self.platform()).await?),
                Some(NamedContext::Layout(path, reference)) => {
                    Some(Arc::new(self.sources.layout(path, reference.as_deref(), self.platform()).await?))
                }
                Some(NamedContext::Folder(_) | NamedContext::Remote(_)) => None,
                None => return Err(BuildError::Request(format!("there is no build context `{name}`"))),
            },
            Origin::Context | Origin::Scratch => None,
        })
    }

    /// An origin's layers, laid over each other; none for folders of this machine.
    pub(super) async fn origin_stack(&self, origin: &Origin) -> Result<Option<Arc<Stack>>, BuildError> {
        match self.origin_image(origin).await? {
            Some(image) => Ok(Some(self.sources.lay(&image).await?)),
            None => Ok(None),
        }
    }

    /// An origin as a tree, and whether it may change while it is read.
    pub(super) async fn origin_tree(&self, origin: &Origin) -> Result<(Arc<dyn Tree>, bool), BuildError> {
        if let Some(stack) = self.origin_stack(origin).await? {
            return Ok((stack, false));
        }
        match origin {
            Origin::Context => match &self.folder.folder {
                Some(folder) => {
                    let open =
                        || async { context::open(&self.store, folder, &self.folder.ignore).map(Arc::new) };
                    Ok((self.context.get_or_try_init(open).await?.clone(), true))
                }
                None => Ok((Arc::new(Nothing), false)),
            },
            Origin::Named(name) => Ok((self.named_folder(name).await?, true)),
            _ => Ok((Arc::new(Nothing), false)),
        }
    }

    async fn named_folder(&self, name: &str) -> Result<Arc<Local>, BuildError> {
        let missing = || BuildError::Request(format!("there is no build context `{name}`"));
        let Some(NamedContext::Folder(path)) = self.request.contexts.get(name) else { return Err(missing()) };
        let cell = self.named.get(name).ok_or_else(missing)?;
        let open = || async {
            let mut request = self.request.clone();
            request.dockerfile = crate::DockerfileSource::Text(String::new());
            let ignore = context::ignored(Some(path), &request, &self.store)?;
            context::open(&self.store, path, &ignore).map(Arc::new)
        };
        Ok(cell.get_or_try_init(open).await?.clone())
    }

    /// A folder of this machine as what a stage starts from.
    pub(super) async fn folder_as_base(
        &self,
        name: &str,
        planned: &windlass_dockerfile::PlannedStage,
    ) -> Result<Image, BuildError> {
        let step = Step {
            span: None,
            source: format!("FROM {name}"),
            created_by: String::new(),
            action: windlass_dockerfile::Action::Nothing,
        };
        let mut state = State {
            image: Image::scratch(planned.platform.clone()),
            key: KeyMaker::new("named context").done(),
            stack: None,
            no_cache: false,
        };
        let transfer = TransferStep {
            add: false,
            origin: Origin::Named(name.to_owned()),
            sources: vec![Source::Path(".".into())],
            destination: "/".into(),
            owner: None,
            mode: None,
            link: false,
            parents: false,
            exclude: Vec::new(),
            keep_git_dir: false,
            checksum: None,
            unpack: Some(false),
        };
        let left = self.transfer(&mut state, &transfer, &step, &format!("[context {name}] load")).await?;
        state.image.layers.extend(left.layer);
        Ok(state.image)
    }

    pub(super) async fn transfer(
        &self,
        state: &mut State,
        transfer: &TransferStep,
        step: &Step,
        name: &str,
    ) -> Result<Left, BuildError> {
        let fail = |message: String| self.failure(name, step, message.into());
        let mode = match &transfer.mode {
            None => None,
            Some(Mode::Octal(bits)) => Some(ModeChange::Exactly(*bits)),
            Some(Mode::Symbolic(text)) => {
                Some(parse_mode(text).ok_or_else(|| fail(format!("invalid chmod parameter: '{text}'")))?)
            }
        };
        let paths: Vec<String> = transfer
            .sources
            .iter()
            .filter_map(|source| if let Source::Path(path) = source { Some(path.clone()) } else { None })
            .collect();
        // What cannot change was perhaps reckoned out before: then nothing has to be laid out.
        let origin = if paths.is_empty() { None } else { self.origin_key(&transfer.origin).await? };
        let fast = origin.map(|origin| {
            let list = |texts: &[String]| texts.join("\0");
            let key =
                KeyMaker::new("selected").key(origin).text(&list(&paths)).text(&list(&transfer.exclude));
            key.text(&transfer.parents.to_string()).done()
        });
        let (fast, commit) = match &transfer.sources[..] {
            [source] if paths.is_empty() => {
                self.fetched_key(transfer, source).await.map_err(|e| fail(e.to_string()))?
            }
            _ => (fast, None),
        };
        let whole = paths.len() == transfer.sources.len() || transfer.sources.len() == 1;
        if let Some(digest) = fast.filter(|_| whole).and_then(|fast| self.store.noted(fast)) {
            let key = self.transfer_key(state, transfer, &[digest]);
            if let Some(left) = self.known(state, key, name) {
                state.key = key;
                return Ok(left);
            }
        }
        let mut items = Vec::new();
        let paths_none = paths.is_empty();
        if !paths.is_empty() {
            items.push(self.select(transfer, paths).await.map_err(|e| fail(e.to_string()))?);
            if let Some(fast) = fast {
                self.store.note(fast, items[0].gathered.digest());
            }
        }
        for source in &transfer.sources {
            let fetched = self.fetch(transfer, source, commit.as_deref()).await;
            items.extend(fetched.map_err(|e| fail(e.to_string()))?);
        }
        if let (Some(fast), true, [item]) = (fast, paths_none, &items[..]) {
            self.store.note(fast, item.gathered.digest());
        }
        let digests: Vec<[u8; 32]> = items.iter().map(|item| item.gathered.digest()).collect();
        let key = self.transfer_key(state, transfer, &digests);
        let left = match self.known(state, key, name) {
            Some(left) => left,
            None => self.copy(state, transfer, (step, name), key, (items, mode)).await?,
        };
        state.key = key;
        Ok(left)
    }

    fn transfer_key(&self, state: &State, transfer: &TransferStep, digests: &[[u8; 32]]) -> Key {
        let mut key = self.step_key("transfer");
        let numeric = transfer.owner.as_deref().is_none_or(passwd::is_numeric);
        if !(transfer.link && numeric) {
            key = key.key(state.key);
        }
        key = key.text(&transfer.destination).text(transfer.owner.as_deref().unwrap_or_default());
        key = key.text(&format!("{:?}", transfer.mode)).text(&transfer.exclude.join("\0"));
        key = key.text(&format!("{} {} {:?}", transfer.add, transfer.parents, transfer.unpack));
        digests.iter().fold(key, |key, digest| key.field(digest)).done()
    }

    async fn select(&self, transfer: &TransferStep, paths: Vec<String>) -> Result<Item, BuildError> {
        let (tree, unsure) = self.origin_tree(&transfer.origin).await?;
        let (parents, excludes, from) = (transfer.parents, Excludes::new(&transfer.exclude), tree.clone());
        let gathered = blocking(move || {
            let mut selected: Vec<Selected> = Vec::new();
            for path in &paths {
                selected.extend(select(&*from, path, parents)?);
            }
            gather(&*from, selected, &excludes)
        });
        let unpack = transfer.add && transfer.unpack != Some(false);
        Ok(Item { tree, gathered: gathered.await?, unsure, unpack })
    }

    async fn copy(
        &self,
        state: &mut State,
        transfer: &TransferStep,
        (step, name): (&Step, &str),
        key: Key,
        (items, mode): (Vec<Item>, Option<ModeChange>),
    ) -> Result<Left, BuildError> {
        let numeric = transfer.owner.as_deref().is_none_or(passwd::is_numeric);
        let stack = if transfer.link && numeric { None } else { Some(self.stack(state).await?) };
        let owner = match &transfer.owner {
            Some(text) => {
                let nothing: Arc<dyn Tree> = Arc::new(Nothing);
                let names = stack.clone().map_or(nothing, |stack| stack as Arc<dyn Tree>);
                let found = passwd::owner(&*names, text);
                Some(found.map_err(|e| self.failure(name, step, e.into()))?)
            }
            None => None,
        };
        let below = match (transfer.link, stack) {
            (false, Some(stack)) => stack,
            _ => Arc::new(Stack::new(Vec::new())),
        };
        let destination = transfer.destination.clone();
        let parents = transfer.parents;
        let work = |doing: Doing| async {
            let folder = self.store.fresh("upper");
            let at = folder.clone();
            let most = self.sources.limits;
            let outcome =
                blocking(move || write(at, below, items, &destination, (owner, mode, parents), most));
            (doing, cleared(folder, outcome.await.map_err(|e| Failed::from(e.to_string()))))
        };
        self.perform(state, key, (name, step), work).await
    }
}

fn write(
    folder: PathBuf,
    below: Arc<Stack>,
    items: Vec<Item>,
    destination: &str,
    (owner, mode, parents): (Option<(u32, u32)>, Option<ModeChange>, bool),
    most: UnpackLimits,
) -> Result<(), TransferError> {
    let io = crate::transfer::at(Path::new(""));
    let mut writer = Writer::new(folder, below).map_err(io)?;
    for mut item in items {
        if item.unpack {
            unpack_archives(&mut writer, &mut item, destination, owner, most)?;
        }
        let placement = Placement { destination, owner, mode: mode.as_ref(), parents, unsure: item.unsure };
        place(&mut writer, &*item.tree, &item.gathered, &placement)?;
    }
    writer.done().map(drop).map_err(crate::transfer::at(Path::new("")))
}

/// Unpacks the archives among what was named itself; what is left is copied.
fn unpack_archives(
    writer: &mut Writer,
    item: &mut Item,
    destination: &str,
    owner: Option<(u32, u32)>,
    most: UnpackLimits,
) -> Result<(), TransferError> {
    let mut unpacked = Vec::new();
    for entry in &item.gathered.entries {
        if entry.node.kind != Kind::File || !entry.inner.as_os_str().is_empty() {
            continue;
        }
        let at = || crate::transfer::at(&entry.path);
        let mut file = item.tree.open(&entry.path).map_err(at())?;
        if item.unsure && Archive::of(&mut file).map_err(at())?.is_some() {
            // What is unpacked must be what was hashed: a copy of its own does not change any more.
            file = checked_copy(&mut file, entry, &writer.beside("archive")).map_err(at())?;
        }
        if let Some(archive) = Archive::of(&mut file).map_err(at())? {
            unpack(writer, file, archive, destination, owner, most)?;
            unpacked.push(entry.of);
        }
    }
    item.gathered.entries.retain(|entry| !unpacked.contains(&entry.of));
    Ok(())
}

fn checked_copy(source: &mut File, entry: &Entry, at: &Path) -> io::Result<File> {
    let mut copy = File::options().read(true).write(true).create(true).truncate(true).open(at)?;
    std::fs::remove_file(at)?;
    checked(source, &copy, entry.node.size, &entry.digest)?;
    copy.rewind()?;
    Ok(copy)
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TransferError> + Send + 'static,
) -> Result<T, TransferError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(TransferError::Refused(e.to_string())))
}

/// All that is in one folder of a tree.
pub(super) fn all_of(tree: &dyn Tree, path: &Path) -> Result<Gathered, TransferError> {
    let path = relative(path);
    let selected = Selected { named: path.clone(), real: path, kept: PathBuf::new() };
    gather(tree, vec![selected], &Excludes::default())
}
