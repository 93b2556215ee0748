//! Tags that nobody set: `sha256-HEX.sig` and `sha256-HEX.att`, under which cosign looks for the signatures of an image
//! and for the statements about it. They stand for what the platform itself keeps as referrers of the image, so that
//! they go with it, count against no rule, and stand in no list.

use windlass_kernel::{Actor, Digest};

use super::{Registry, RegistryError};
use crate::{RepositoryName, Tag};

impl Registry {
    /// What such a tag stands for. Where somebody pushed a tag of that name, this is not asked.
    pub(super) async fn beside(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<Digest>, RegistryError> {
        let Some((digest, artifact_type)) = of(tag) else { return Ok(None) };
        let referrers = self.index.referrers(repository, &digest).await?;
        let own = referrers.into_iter().filter(|record| {
            record.artifact_type.as_deref() == Some(artifact_type) && record.pushed_by == Actor::System
        });
        let newest = own.max_by(|a, b| (a.pushed_at, &a.digest).cmp(&(b.pushed_at, &b.digest)));
        Ok(newest.map(|record| record.digest))
    }
}

/// The image that such a tag is about, and the type of what it stands for.
fn of(tag: &Tag) -> Option<(Digest, &'static str)> {
    let (image, what) = tag.as_str().split_once('.')?;
    let artifact_type = match what {
        "sig" => "application/vnd.dev.cosign.artifact.sig.v1+json",
        "att" => "application/vnd.dev.cosign.artifact.att.v1+json",
        _ => return None,
    };
    let (algorithm, hex) = image.split_once('-')?;
    Some((format!("{algorithm}:{hex}").parse().ok()?, artifact_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tags_of_that_form_are_such() {
        let digest = Digest::sha256(b"image");
        let image = digest.to_string().replace(':', "-");
        let read = |text: &str| of(&text.parse().unwrap()).map(|(digest, _)| digest);
        for end in ["sig", "att"] {
            assert_eq!(read(&format!("{image}.{end}")), Some(digest.clone()));
        }
        for other in [&image, "latest", "sha256-00.sig", "v1.sig", &format!("{image}.sbom")] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
