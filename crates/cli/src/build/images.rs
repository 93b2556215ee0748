//! The images that builds left on this machine, by name: `windlass image list`, `load` and their kin.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use windlass_build::{Compression, Destination, ImageName, Output, Store};

use crate::connection::Global;
use crate::failure::{Exit, Failure};
use crate::show::{self, Field, Tone};

/// The images that builds left on this machine.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Local {
    /// The images that builds left on this machine
    #[command(after_help = "Example:\n  windlass image list")]
    List,
    /// Take images of an archive or an OCI layout into this machine's store, so that FROM finds them
    #[command(
        after_help = "Examples:\n  windlass image load app.tar\n  docker save app | windlass image load /dev/stdin"
    )]
    Load(File),
    /// Make an image of a tar of files
    #[command(after_help = "Example:\n  windlass image import rootfs.tar base:1")]
    Import(Import),
    /// Write an image of this machine into an archive, as docker save does; --oci for an OCI layout
    #[command(
        after_help = "Examples:\n  windlass image save app:1 app.tar\n  windlass image save --oci app:1 app.tar"
    )]
    Save(Save),
    /// Take the names of images of this machine away
    #[command(after_help = "Example:\n  windlass image rm app:1")]
    Rm(Names),
    /// Remove what builds keep on this machine and no image is made of
    #[command(after_help = "Examples:\n  windlass image prune\n  windlass image prune --keep 10g")]
    Prune(Prune),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct File {
    /// The archive, or the folder of an OCI layout
    path: PathBuf,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Import {
    /// The tar, plain or compressed
    path: PathBuf,
    /// The image's name
    name: ImageName,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Save {
    /// The image
    name: ImageName,
    /// The archive
    path: PathBuf,
    /// As an OCI layout
    #[arg(long)]
    oci: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Names {
    /// The images
    #[arg(required = true)]
    names: Vec<ImageName>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Prune {
    /// How much may stay, such as 10g
    #[arg(long, default_value = "0")]
    keep: String,
}

/// How much builds keep unless `WINDLASS_BUILD_KEEP` says otherwise, bytes.
const KEEP: u64 = 20 << 30;

/// Makes room when the store is larger than it may be. Looked at once in a while only: to count takes time.
pub(super) fn make_room(store: &Store) -> Result<()> {
    let mark = store.root().join("counted");
    let lately =
        std::fs::metadata(&mark).and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
    if lately.is_some_and(|age| age < std::time::Duration::from_hours(1)) {
        return Ok(());
    }
    let _ = std::fs::write(&mark, "");
    let keep = match std::env::var("WINDLASS_BUILD_KEEP") {
        Ok(text) if !text.is_empty() => super::values::bytes(&text)?,
        _ => KEEP,
    };
    store.evict(keep)?;
    Ok(())
}

/// Carries one out.
pub(crate) async fn run(global: &Global, local: Local) -> Result<Exit> {
    let builder = super::open().await?;
    let store = builder.store();
    match local {
        Local::List => {
            let images = store.images();
            if global.json {
                show::json(&images)?;
                return Ok(Exit::Done);
            }
            let row = |image: &windlass_build::LocalImage| {
                let size: u64 = image.layers.iter().map(|layer| layer.size).sum();
                let fields = [
                    image.name.clone(),
                    image.config.short().to_owned(),
                    if size == 0 { "-".into() } else { format!("{:.1} MB", size as f64 / 1e6) },
                    image.named_at.to_string(),
                ];
                fields.map(|text| Field::toned(text, Tone::Plain))
            };
            let rows = images.iter().map(row).collect();
            let nothing = "No images on this machine: `windlass build -t NAME .` makes one.";
            show::table(["image", "id", "size", "named"], rows, nothing)?;
        }
        Local::Load(file) => {
            for image in builder.load(&file.path).await? {
                let name = if image.name.is_empty() { image.config.to_string() } else { image.name };
                show::print(&format!("loaded {name}"))?;
            }
        }
        Local::Import(import) => {
            let id = builder.import(&import.path, &import.name).await?;
            show::print(&id.to_string())?;
        }
        Local::Save(save) => {
            let to = Destination::Path(save.path);
            let output = if save.oci {
                Output::Oci { to, folder: false, compression: Compression::Gzip }
            } else {
                Output::Docker { to, compression: Compression::None }
            };
            builder.save(&save.name, &output).await?;
        }
        Local::Rm(names) => {
            for name in names.names {
                if !store.remove_image(&name)? {
                    return Err(Failure::not_found(format!("this machine has no image {name}")).into());
                }
            }
        }
        Local::Prune(prune) => {
            let keep = if prune.keep == "0" { 0 } else { super::values::bytes(&prune.keep)? };
            let evicted = store.evict(keep)?;
            let megabytes = |bytes: u64| bytes as f64 / 1e6;
            let text = format!(
                "removed {} entries, {:.1} MB; {:.1} MB are left",
                evicted.entries,
                megabytes(evicted.bytes),
                megabytes(evicted.left)
            );
            show::print(&text)?;
        }
    }
    Ok(Exit::Done)
}
