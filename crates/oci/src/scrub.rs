//! Looking for blobs that rotted: each is read from where it lies and hashed. One that is wrong is set aside, so that the
//! next push of it is taken; what came from a mirrored registry is fetched anew.

use windlass_kernel::{Digest, StoreError};

use crate::{BlobError, Registry, RepositoryName};

/// What a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// How many blobs were read.
    pub checked: usize,
    /// Their size in bytes.
    pub size: u64,
    /// Those that were wrong.
    pub rotten: Vec<Rotten>,
}

/// A blob whose bytes are not what they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotten {
    /// The blob.
    pub digest: Digest,
    /// Some of the repositories that hold it.
    pub repositories: Vec<RepositoryName>,
    /// Where it lies now.
    pub aside: String,
    /// The repository by whose mirror it was put right.
    pub healed: Option<RepositoryName>,
}

impl Registry {
    /// Reads every blob.
    pub async fn scrub(&self) -> Result<Scrubbed, BlobError> {
        let mut found = Scrubbed::default();
        for blob in self.blobs().list().await? {
            match self.blobs().check(&blob.digest).await {
                Ok(size) => {
                    found.checked += 1;
                    found.size += size;
                }
                Err(BlobError::Corrupt { digest, aside, .. }) => {
                    found.checked += 1;
                    found.size += blob.size;
                    found.rotten.push(self.rotten(digest, aside).await);
                }
                // Removed meanwhile.
                Err(BlobError::Unknown(_)) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(found)
    }

    async fn rotten(&self, digest: Digest, aside: String) -> Rotten {
        let repositories = self.holders_of(&digest).await.unwrap_or_else(|error| {
            tracing::warn!(%digest, %error, "who holds a rotten blob cannot be found out");
            Vec::new()
        });
        let mut healed = None;
        for repository in &repositories {
            match self.heal_blob(repository, &digest).await {
                Ok(true) => {
                    healed = Some(repository.clone());
                    break;
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%digest, %repository, %error, "a rotten blob cannot be fetched anew");
                }
            }
        }
        Rotten { digest, repositories, aside, healed }
    }

    /// The repositories that hold a digest, as a blob or as a manifest.
    async fn holders_of(&self, digest: &Digest) -> Result<Vec<RepositoryName>, StoreError> {
        let mut holders = self.index().holders(digest).await?;
        for repository in self.index().repositories().await? {
            if !holders.contains(&repository) && self.index().manifest(&repository, digest).await?.is_some() {
                holders.push(repository);
            }
        }
        Ok(holders)
    }
}
