//! One image for several platforms: each is built as if it were alone, side by side with the others; then an index names
//! them all (image specification, "Image Index").

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::try_join_all;
use serde_json::json;
use windlass_dockerfile::Platform;
use windlass_kernel::Digest;
use windlass_oci::MediaType;

use crate::assemble::{Assembled, Finished, finish};
use crate::builder::Builder;
use crate::exec::Session;
use crate::progress::Reporter;
use crate::request::{BuildRequest, CacheTo, Context, Destination, Outcome, Output};
use crate::sources::as_image_has_it;
use crate::store::LocalImage;
use crate::{BuildError, Compression, context, output};

/// One platform's image.
struct Built {
    session: Arc<Session>,
    platform: Platform,
    finished: Finished,
}

/// An index with what it names.
pub(crate) struct Indexed {
    pub(crate) images: Vec<Assembled>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
}

type Say<'a> = &'a (dyn Fn(String) + Sync);

impl Builder {
    /// Builds for every platform of a request.
    pub(crate) async fn for_all(
        &self,
        request: BuildRequest,
        reporter: Reporter,
    ) -> Result<Outcome, BuildError> {
        for to in &request.outputs {
            if let Some(what) = single(to) {
                let why = format!(
                    "{what} holds one platform, and --platform names several: use --push, type=oci or type=local"
                );
                return Err(BuildError::Request(why));
            }
        }
        let folder = context::find(self.store(), &request.context).await?;
        let entries = Arc::default();
        let each = request.platforms.iter().enumerate().map(|(number, platform)| {
            let mut own = request.clone();
            // The first is the one that it is for; the others stay, as names in progress need them.
            own.platforms.swap(0, number);
            if let Some(folder) = &folder {
                own.context = Context::Folder(folder.clone());
            }
            let (reporter, entries, folder) = (reporter.clone(), Arc::clone(&entries), folder.clone());
            async move {
                let (session, done) = self.carry_out(own, folder, &reporter, entries).await?;
                Ok::<_, BuildError>((session, platform.clone(), (*done.image).clone()))
            }
        });
        let mut all = Vec::new();
        for (session, platform, image) in try_join_all(each).await? {
            let inline = request.cache_to.contains(&CacheTo::Inline).then_some(&*session.entries);
            let finished = finish(image, &request, inline).await?;
            self.store().keep_bytes(&finished.config)?;
            all.push(Built { session, platform, finished });
        }
        let mut outcome = Outcome::default();
        for built in &all {
            let (steps, cached) = built.session.counts();
            outcome.steps += steps;
            outcome.cached += cached;
            outcome.size += built.finished.size;
        }
        let here = Platform::linux(windlass_oci::machine_architecture());
        let first = all.iter().position(|built| built.platform == here).unwrap_or(0);
        outcome.id = all.get(first).map(|built| built.finished.digest.clone());
        let named = request.named_here && !request.tags.is_empty();
        if named || !request.outputs.is_empty() {
            let doing = reporter.start("exporting to image");
            let done = self.put_all(&all, first, &request, &mut outcome, &|line| doing.line(line)).await;
            doing.end(&done);
            done?;
        }
        if let Some(built) = all.first() {
            for to in &request.cache_to {
                output::cache_to(&built.session, to).await?;
            }
        }
        Ok(outcome)
    }

    async fn put_all(
        &self,
        all: &[Built],
        first: usize,
        request: &BuildRequest,
        outcome: &mut Outcome,
        say: Say<'_>,
    ) -> Result<(), BuildError> {
        for built in all {
            say(format!("writing image {} for {}", built.finished.digest, built.platform));
        }
        if request.named_here && !request.tags.is_empty() {
            let mut images =
                all.iter().map(|built| built.finished.local(self.store())).collect::<Result<Vec<_>, _>>()?;
            let own = images.swap_remove(first);
            let local = LocalImage { variants: images, ..own };
            for tag in &request.tags {
                self.store().name_image(tag, &local)?;
                say(format!("naming to {tag}"));
                outcome.names.push(tag.to_string());
            }
        }
        for to in &request.outputs {
            match to {
                Output::Push(compression) | Output::Oci { compression, .. } => {
                    let indexed = index(all, request, *compression).await?;
                    let Some(built) = all.first() else { continue };
                    output::put_index(&built.session.sources, request, &indexed, to, say).await?;
                    outcome.digest = Some(indexed.digest);
                }
                Output::Local(folder) => {
                    for built in all {
                        let name = built.platform.to_string().replace('/', "_");
                        let to = Output::Local(PathBuf::from(folder).join(name));
                        output::put(&built.session, &built.finished, &to, say).await?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What of an output holds one platform only.
fn single(to: &Output) -> Option<&'static str> {
    match to {
        Output::Docker { .. } => Some("an archive for `docker load`"),
        Output::DockerLoad => Some("what --load hands to Docker"),
        Output::Tar(_) => Some("a tar of files"),
        Output::Oci { to: Destination::Stdout, folder: true, .. } => Some("standard output"),
        Output::Push(_) | Output::Oci { .. } | Output::Local(_) => None,
    }
}

async fn index(
    all: &[Built],
    request: &BuildRequest,
    compression: Compression,
) -> Result<Indexed, BuildError> {
    let (mut images, mut manifests) = (Vec::new(), Vec::new());
    for built in all {
        let Session { sources, rules, .. } = &*built.session;
        let image = built.finished.assemble(sources, compression, *rules, &request.annotations).await?;
        manifests.push(json!({
            "mediaType": MediaType::OciManifest.as_str(),
            "digest": image.digest.to_string(),
            "size": image.manifest.len(),
            "platform": as_image_has_it(&built.platform),
        }));
        images.push(image);
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciIndex.as_str(),
        "manifests": manifests,
        "annotations": request.annotations,
    });
    let bytes = index.to_string().into_bytes();
    let digest = Digest::sha256(&bytes);
    Ok(Indexed { images, bytes, digest })
}
