//! Where blobs are kept: in the data directory, or in an object store that the operator names.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use windlass_kernel::{Clock, Entropy};
use windlass_oci::{BlobStore, FileBlobs, ObjectBlobs, ObjectConfig};

use crate::data_dir::DataDir;

/// The variable that names an object store.
const PLACE: &str = "WINDLASS_BLOBS";

/// Opens the blobs where the operator wants them.
pub(crate) fn open_blobs(
    data: &DataDir,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> anyhow::Result<Arc<dyn BlobStore>> {
    let place = match std::env::var(PLACE) {
        Ok(place) => place,
        Err(std::env::VarError::NotPresent) => String::new(),
        Err(e) => bail!("{PLACE} cannot be read: {e}"),
    };
    if place.is_empty() {
        return Ok(Arc::new(FileBlobs::open(&data.path("blobs"), clock, entropy)?));
    }
    let config = ObjectConfig::parse(&place).map_err(|why| anyhow::anyhow!("{PLACE}: {why}"))?;
    let spool = data.path("blobs/spool");
    let blobs = ObjectBlobs::from_env(&config, &spool, clock, entropy)
        .with_context(|| format!("{PLACE} is {place}: the object store cannot be used"))?;
    tracing::info!(%place, "blobs are kept in an object store");
    Ok(Arc::new(blobs))
}
