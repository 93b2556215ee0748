//! Where blobs are kept: in the data directory, or in an object store that the operator names.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use windlass_kernel::{Clock, Entropy};
use windlass_oci::{BlobStore, FileBlobs, ObjectBlobs, ObjectConfig};

use crate::data_dir::DataDir;

/// The variable that names an object store.
pub(crate) const BLOBS: &str = "WINDLASS_BLOBS";
/// What stands for the data directory where an object store could be named.
const FILES: &str = "files";

/// Where blobs are to be kept: what the command line says, or else the variable; empty for the data directory.
///
/// # Errors
///
/// What is wrong with the place, and which of the two named it.
pub fn blob_place(asked: Option<&str>) -> anyhow::Result<String> {
    let (from, place) = match asked {
        Some(place) => ("--blobs", place.to_owned()),
        None => match std::env::var(BLOBS) {
            Ok(place) => (BLOBS, place),
            Err(std::env::VarError::NotPresent) => (BLOBS, String::new()),
            Err(e) => bail!("{BLOBS} cannot be read: {e}"),
        },
    };
    read_place(&place).map_err(|why| anyhow::anyhow!("{from}: {why}, or {FILES} for the data directory"))?;
    Ok(if place == FILES { String::new() } else { place })
}

fn read_place(place: &str) -> Result<Option<ObjectConfig>, String> {
    if place.is_empty() || place == FILES {
        return Ok(None);
    }
    ObjectConfig::parse(place).map(Some)
}

/// Opens the blobs where the operator wants them.
pub(crate) fn open_blobs(
    data: &DataDir,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> anyhow::Result<Arc<dyn BlobStore>> {
    let place = blob_place(None)?;
    let Some(config) = read_place(&place).map_err(anyhow::Error::msg)? else {
        return Ok(Arc::new(FileBlobs::open(&data.path("blobs"), clock, entropy)?));
    };
    let spool = data.path("blobs/spool");
    let blobs = ObjectBlobs::from_env(&config, &spool, clock, entropy)
        .with_context(|| format!("{BLOBS} is {place}: the object store cannot be used"))?;
    tracing::info!(%place, "blobs are kept in an object store");
    Ok(Arc::new(blobs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_what_is_none_is_said_with_where_it_stood() {
        assert_eq!(blob_place(Some("files")).unwrap(), "");
        assert_eq!(blob_place(Some("")).unwrap(), "");
        assert_eq!(blob_place(Some("s3://images/team")).unwrap(), "s3://images/team");
        for bad in ["gs://images", "s3://", "file:///srv", "/srv/blobs", "s3://images/../x"] {
            let why = blob_place(Some(bad)).unwrap_err().to_string();
            assert!(why.starts_with("--blobs: `") && why.contains(bad), "{why}");
            assert!(why.contains("s3://BUCKET/PREFIX") && why.contains("files"), "{why}");
        }
    }
}
