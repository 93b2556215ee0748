//! Layers as trees, and the files of two images compared. What a layer holds is read once and remembered in a file.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use windlass_api as api;
use windlass_api::Problem;
use windlass_identity::Principal;
use windlass_kernel::Digest;
use windlass_oci::{
    Descriptor, ImageConfig, ImageManifest, ListLimits, Listing, Manifest, MediaType, Reference,
    RepositoryName,
};

use super::changes::{Files, totals};
use super::tree::Tree;
use super::views::{registry_problem, unreadable};
use crate::context::{Context, internal, parse};

type Answer<T> = Result<T, Problem>;

/// How far a layer is looked into.
const LIMITS: ListLimits = ListLimits { entries: 200_000, names: 16 << 20, bytes: 8 << 30 };
/// The most layers of an image that are looked into.
const MOST_LAYERS: usize = 500;
/// The largest list that is remembered, unpacked.
const LARGEST_LIST: u64 = 256 << 20;
/// How many files that differ are told at once.
const PAGE: usize = api::FILES_AT_A_TIME as usize;
const CUT: &str = "not all of it could be read: what is told here is what was";

impl Context {
    /// A folder of what one of an image's layers does to those below it.
    pub(crate) async fn layer_tree(
        &self,
        who: &Principal,
        image: &str,
        layer: &str,
        folder: &str,
        from: u64,
    ) -> Answer<api::LayerTree> {
        let (manifest, config) = self.image_parts(who, image).await?;
        let layer: Digest = parse(layer)?;
        let place = manifest.layers.iter().position(|d| d.digest == layer);
        let place = place.ok_or_else(|| Problem::not_found("this image has no such layer"))?;
        // One at a time: a large layer keeps a processor busy.
        let _turn = self.locks.searching.acquire().await.map_err(|e| internal("no turn", &e))?;
        let mut below = Files::none();
        let mut problem = None;
        for lower in &manifest.layers[..place] {
            match self.listing(lower).await {
                Ok(listing) => below = laid(below, listing).await?,
                Err(e) => problem = Some(format!("the layer {} below it: {}", lower.digest, e.detail)),
            }
        }
        let listing = self.listing(&manifest.layers[place]).await?;
        let whole = below.whole && listing.complete;
        let created_by = config.map(|config| maker(&config, place)).unwrap_or_default();
        let folder = folder.trim_matches('/').to_owned();
        let work = move || {
            let changes = below.changes(&listing);
            let totals = totals(&changes);
            let tree = Tree::of(changes);
            let rows = tree.rows(&folder, usize::try_from(from).unwrap_or(usize::MAX));
            (totals, tree.whole, rows, folder)
        };
        let worked = tokio::task::spawn_blocking(work).await;
        let (totals, complete, rows, folder) = worked.map_err(|e| internal("a layer cannot be told", &e))?;
        let (rows, total) = rows
            .ok_or_else(|| Problem::not_found(format!("this layer does nothing in the folder /{folder}")))?;
        Ok(api::LayerTree {
            digest: layer.to_string(),
            place: place as u64,
            layers: manifest.layers.len() as u64,
            created_by,
            stored: manifest.layers[place].size,
            totals,
            folder,
            rows,
            from,
            total: total as u64,
            problem: problem.or_else(|| (!whole || !complete).then(|| CUT.to_owned())),
        })
    }

    /// What differs between the files of two images.
    pub(crate) async fn files_diff(
        &self,
        who: &Principal,
        one: &str,
        other: &str,
        from: u64,
    ) -> Answer<api::FilesDiff> {
        let (a, b) = (self.image_parts(who, one).await?.0, self.image_parts(who, other).await?.0);
        let _turn = self.locks.searching.acquire().await.map_err(|e| internal("no turn", &e))?;
        let (a, b) = (self.files_of(&a).await?, self.files_of(&b).await?);
        let whole = a.whole && b.whole;
        let worked = tokio::task::spawn_blocking(move || a.diff(&b)).await;
        let files = worked.map_err(|e| internal("two images cannot be compared", &e))?;
        let count = |change: &str| files.iter().filter(|file| file.change == change).count() as u64;
        let bytes = |size: Option<u64>| i64::try_from(size.unwrap_or_default()).unwrap_or(i64::MAX);
        let growth = files
            .iter()
            .fold(0i64, |sum, file| sum.saturating_add(bytes(file.after)).saturating_sub(bytes(file.before)));
        Ok(api::FilesDiff {
            added: count("added"),
            changed: count("changed"),
            removed: count("removed"),
            growth,
            from,
            problem: (!whole).then(|| CUT.to_owned()),
            files: files.into_iter().skip(usize::try_from(from).unwrap_or(usize::MAX)).take(PAGE).collect(),
        })
    }

    async fn files_of(&self, manifest: &ImageManifest) -> Answer<Files> {
        let mut files = Files::none();
        for layer in &manifest.layers {
            let listing = self.listing(layer).await?;
            files = laid(files, listing).await?;
        }
        Ok(files)
    }

    /// An image's manifest and, if that can be read, its configuration. Of an index, that of this machine's kind.
    async fn image_parts(
        &self,
        who: &Principal,
        image: &str,
    ) -> Answer<(ImageManifest, Option<ImageConfig>)> {
        let (name, record) = self.find_image(who, image).await?;
        let reference = Reference::Digest(record.digest);
        let (manifest, config) = match self.images.registry.image(&name, &reference).await {
            Ok((_, manifest, config)) => (manifest, Some(config)),
            // An artifact has layers as well.
            Err(error) => match self.bare_manifest(&name, &reference).await? {
                Some(manifest) => (manifest, None),
                None => return Err(registry_problem(&error)),
            },
        };
        if manifest.layers.len() > MOST_LAYERS {
            return Err(Problem::invalid(format!(
                "this image has {} layers: more than {MOST_LAYERS} are not looked into",
                manifest.layers.len()
            )));
        }
        Ok((manifest, config))
    }

    /// A manifest with layers, whatever kind of artifact it is.
    async fn bare_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Answer<Option<ImageManifest>> {
        let stored = self.images.registry.manifest(name, reference).await;
        let stored = stored.map_err(|e| registry_problem(&e))?;
        let Ok(kind) = MediaType::parse(&stored.media_type) else { return Ok(None) };
        match Manifest::parse(kind, &stored.bytes) {
            Ok(Manifest::Image(manifest)) => Ok(Some(*manifest)),
            _ => Ok(None),
        }
    }

    /// What a layer holds: remembered, or read now.
    async fn listing(&self, layer: &Descriptor) -> Answer<Listing> {
        let path = self.listing_path(&layer.digest);
        let known = path.clone();
        if let Ok(Some(listing)) = tokio::task::spawn_blocking(move || remembered(&known)).await {
            return Ok(listing);
        }
        if self.images.registry.blobs().stat(&layer.digest).await.map_err(|e| unreadable(&e))?.is_none() {
            return Err(Problem::not_found(format!(
                "the bytes of {} are not here: push the image again to put that right",
                layer.digest
            )));
        }
        let listing = self.images.registry.list_layer(layer, LIMITS).await;
        let listing = listing.map_err(|e| registry_problem(&e))?;
        if !listing.complete {
            return Ok(listing);
        }
        let kept = tokio::task::spawn_blocking(move || {
            if let Err(error) = remember(&path, &listing) {
                tracing::warn!(%error, "what a layer holds could not be remembered");
            }
            listing
        });
        kept.await.map_err(|e| internal("a layer cannot be listed", &e))
    }

    fn listing_path(&self, digest: &Digest) -> PathBuf {
        let name = format!("{}.json.gz", digest.to_string().replace(':', "-"));
        self.data.path("cache/evidence/files").join(name)
    }
}

async fn laid(mut files: Files, listing: Listing) -> Answer<Files> {
    let work = move || {
        files.lay(&listing);
        files
    };
    tokio::task::spawn_blocking(work).await.map_err(|e| internal("a layer cannot be laid on others", &e))
}

/// What is remembered of a layer. What cannot be read is read anew from the layer itself.
fn remembered(path: &std::path::Path) -> Option<Listing> {
    let file = std::fs::File::open(path).ok()?;
    let mut text = Vec::new();
    GzDecoder::new(file).take(LARGEST_LIST).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn remember(path: &std::path::Path, listing: &Listing) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let part = path.with_extension("part");
    let mut file = GzEncoder::new(std::fs::File::create(&part)?, Compression::fast());
    file.write_all(&serde_json::to_vec(listing)?)?;
    file.finish()?;
    std::fs::rename(&part, path)?;
    Ok(())
}

/// The instruction that made the layer of that place.
fn maker(config: &ImageConfig, place: usize) -> String {
    let makers = config.history.iter().filter(|line| !line.empty_layer);
    makers.map(|line| line.created_by.clone().unwrap_or_default()).nth(place).unwrap_or_default()
}
