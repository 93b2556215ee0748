//! Lists: a repository's tags, page by page, and what refers to a manifest.

use axum::body::Body;
use http::StatusCode;
use serde_json::{Value, json};
use windlass_kernel::Digest;

use super::failure::Failure;
use super::{Answer, Call, json as answer, reply, set};
use crate::{Access, ManifestRecord, MediaType, Tag};

/// The most tags on one page.
const LARGEST_PAGE: usize = 1000;

impl<A: Access> Call<'_, A> {
    pub(super) async fn list_tags(self) -> Answer {
        let index = self.desk.registry.index();
        let limit = match self.query("n") {
            Some(n) => {
                n.parse::<usize>().map_err(|_| Failure::name("`n` is not a number"))?.min(LARGEST_PAGE)
            }
            None => LARGEST_PAGE,
        };
        let last = self.query("last");
        if let Some(last) = &last {
            last.parse::<Tag>().map_err(Failure::name)?;
        }
        let mut tags = index.tags(&self.repository, last.as_deref(), limit + 1).await?;
        if tags.is_empty() && last.is_none() && index.manifests(&self.repository).await?.is_empty() {
            return Err(Failure::unknown_name(&self.repository));
        }
        let more = tags.len() > limit;
        tags.truncate(limit);
        let names: Vec<&str> = tags.iter().map(|t| t.tag.as_str()).collect();
        let mut response = answer(StatusCode::OK, &json!({ "name": self.repository, "tags": names }));
        if more && let Some(last) = names.last() {
            let link = format!("</v2/{}/tags/list?n={limit}&last={last}>; rel=\"next\"", self.repository);
            set(response.headers_mut(), &[("link", &link)]);
        }
        Ok(response)
    }

    pub(super) async fn list_referrers(self, subject: Digest) -> Answer {
        let wanted = self.query("artifactType");
        let mut found = self.desk.registry.index().referrers(&self.repository, &subject).await?;
        if let Some(wanted) = &wanted {
            found.retain(|record| record.artifact_type.as_ref() == Some(wanted));
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OciIndex.as_str(),
            "manifests": found.iter().map(descriptor).collect::<Vec<_>>(),
        });
        let mut headers = vec![("content-type", MediaType::OciIndex.as_str())];
        if wanted.is_some() {
            headers.push(("oci-filters-applied", "artifactType"));
        }
        Ok(reply(StatusCode::OK, &headers, Body::from(index.to_string())))
    }
}

fn descriptor(record: &ManifestRecord) -> Value {
    let mut value = json!({ "mediaType": record.media_type, "digest": record.digest, "size": record.size });
    if let Some(kind) = &record.artifact_type {
        value["artifactType"] = json!(kind);
    }
    if !record.annotations.is_empty() {
        value["annotations"] = json!(record.annotations);
    }
    value
}
