//! `ArtifactService`: the run's artifacts, as the client libraries see them.

use jiff::Timestamp as Instant;
use windlass_api::Problem;
use windlass_identity::{Action, Principal};
use windlass_kernel::{Batch, Timestamp};
use windlass_web::{Answer, BackendIds, NewArtifact, StoredArtifact};

use super::uploads::{Content, Purpose, UploadDoc, told_digest};
use crate::context::Context;
use crate::runs::{ArtifactDoc, Bearer, Recorded, artifact_expiry, artifact_name};

/// The longest media type, in characters.
const LONGEST_TYPE: usize = 100;

/// A media type that can be a header's value.
fn media_type(text: Option<String>) -> Answer<Option<String>> {
    let fits = |t: &String| t.len() <= LONGEST_TYPE && t.bytes().all(|b| (0x20..0x7f).contains(&b));
    match text {
        Some(text) if !fits(&text) => Err(Problem::invalid("this is not a media type")),
        text => Ok(text.filter(|t| !t.is_empty())),
    }
}

/// A point in time as protocol buffers have it in JSON (RFC 3339).
fn instant(text: &str) -> Answer<Timestamp> {
    let found: Result<Instant, _> = text.parse();
    found
        .map(|at| Timestamp::from_millis(at.as_millisecond()))
        .map_err(|_| Problem::invalid(format!("`{text}` is not a point in time (RFC 3339)")))
}

impl Context {
    /// The caller's job, which must be of the run that the call is about.
    async fn artifact_bearer(&self, who: &Principal, of: &BackendIds) -> Answer<Bearer> {
        let bearer = self.service_bearer(who, Action::UseRunArtifacts).await?;
        if !of.run.is_empty() && of.run != bearer.run.id.to_string() {
            return Err(Problem::forbidden(format!(
                "this token is for {}, not for {}",
                bearer.run.id, of.run
            )));
        }
        Ok(bearer)
    }

    pub(super) async fn create_artifact(
        &self,
        who: &Principal,
        of: &BackendIds,
        new: NewArtifact,
    ) -> Answer<String> {
        let bearer = self.artifact_bearer(who, of).await?;
        artifact_name(&new.name)?;
        self.artifact_room(&bearer.run, &new.name, 0, false).await?;
        let until = new.expires_at.as_deref().map(instant).transpose()?;
        let purpose = Purpose::Artifact {
            name: new.name,
            media_type: media_type(new.media_type)?,
            expires_at: artifact_expiry(self.now(), until),
        };
        Ok(self.begin_upload(&bearer, purpose).await?.url)
    }

    /// The upload of this job's that is to become an artifact of this name.
    async fn uploaded_artifact(&self, bearer: &Bearer, of: &str) -> Answer<Option<UploadDoc>> {
        let open = self.open_uploads(bearer.run.id).await?;
        let wanted = |u: &UploadDoc| {
            u.job == bearer.job.id && matches!(&u.purpose, Purpose::Artifact { name, .. } if name == of)
        };
        // One that was begun anew is the newest.
        Ok(open.into_iter().filter(wanted).max_by_key(|u| u.number))
    }

    pub(super) async fn finalize_artifact(
        &self,
        who: &Principal,
        of: &BackendIds,
        name: &str,
        size: u64,
        digest: Option<&str>,
    ) -> Answer<u64> {
        let bearer = self.artifact_bearer(who, of).await?;
        let digest = digest.filter(|d| !d.is_empty()).map(told_digest).transpose()?;
        let Some(upload) = self.uploaded_artifact(&bearer, name).await? else {
            // The answer to the first time got lost.
            let there = self.artifact_of_run(bearer.run.id, name).await?;
            return match there {
                Some(there) if digest.as_ref() == Some(&there.digest) => Ok(there.number()),
                _ => Err(Problem::not_found(format!(
                    "no upload of an artifact `{name}` was begun by this job"
                ))),
            };
        };
        let Some(content) = upload.kept.clone() else {
            return Err(Problem::invalid(format!(
                "the upload of `{name}` is not complete: send its blocks and their list"
            )));
        };
        if let Some(why) = mismatch(&content, size, digest.as_ref()) {
            self.drop_upload(&upload).await?;
            return Err(Problem::invalid(format!(
                "the artifact `{name}` did not arrive whole: {why}; upload it again"
            )));
        }
        let Purpose::Artifact { media_type, expires_at, .. } = upload.purpose.clone() else {
            return Err(Problem::conflict("this upload is not an artifact's"));
        };
        let recorded = Recorded {
            run: &bearer.run,
            name,
            digest: content.digest,
            size: content.size,
            media_type,
            expires_at,
            replace: false,
        };
        let batch = Batch::new().delete::<UploadDoc>(upload.number);
        Ok(self.record_artifact(&who.actor, recorded, batch).await?.number())
    }

    pub(super) async fn stored_artifacts(
        &self,
        who: &Principal,
        of: &BackendIds,
        name: Option<&str>,
        number: Option<u64>,
    ) -> Answer<Vec<StoredArtifact>> {
        let bearer = self.artifact_bearer(who, of).await?;
        let fits =
            |a: &ArtifactDoc| name.is_none_or(|n| n == a.name) && number.is_none_or(|n| n == a.number());
        let all = self.artifacts_of_run(bearer.run.id).await?;
        let told = all.into_iter().filter(fits).map(|a| StoredArtifact {
            number: a.number(),
            run: a.run.to_string(),
            size: a.size,
            created_at: a.created_at,
            digest: a.digest.to_string(),
            name: a.name,
        });
        Ok(told.collect())
    }

    /// The artifact of this name that the caller's run has.
    async fn named_artifact(&self, who: &Principal, of: &BackendIds, name: &str) -> Answer<ArtifactDoc> {
        let bearer = self.artifact_bearer(who, of).await?;
        let found = self.artifact_of_run(bearer.run.id, name).await?;
        found.ok_or_else(|| Problem::not_found(format!("this run has no artifact `{name}`")))
    }

    pub(super) async fn artifact_url(&self, who: &Principal, of: &BackendIds, name: &str) -> Answer<String> {
        let found = self.named_artifact(who, of, name).await?;
        self.download_url("artifact", &found.id.to_string()).await
    }

    pub(super) async fn delete_artifact(&self, who: &Principal, of: &BackendIds, name: &str) -> Answer<u64> {
        let found = self.named_artifact(who, of, name).await?;
        self.remove_artifact(&who.actor, &found).await?;
        Ok(found.number())
    }
}

/// What is not as the client told it.
pub(super) fn mismatch(
    content: &Content,
    size: u64,
    digest: Option<&windlass_kernel::Digest>,
) -> Option<String> {
    if let Some(told) = digest.filter(|told| **told != content.digest) {
        return Some(format!("its digest is {}, the client says {told}", content.digest));
    }
    (content.size != size).then(|| format!("it has {} bytes, the client says {size}", content.size))
}
