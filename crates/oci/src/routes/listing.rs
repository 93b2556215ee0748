//! Lists: a repository's tags, page by page, and what refers to a manifest.

use axum::body::Body;
use axum::extract::{Request, State};
use http::StatusCode;
use serde_json::{Value, json};
use windlass_kernel::Digest;

use super::failure::Failure;
use super::{Answer, Call, Desk, guard, json as answer, query, reply, set};
use crate::{Access, Action, ManifestRecord, MediaType, Tag};

/// The most tags on one page.
const LARGEST_PAGE: usize = 1000;

/// `GET /v2/_catalog`: the repositories that the caller may pull from. Not in OCI's specification; Docker's clients use it.
pub(super) async fn catalog<A: Access>(State(desk): State<Desk<A>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    let principal = guard::require_anyone(&desk, &parts.headers).await?;
    let (limit, last) = page(&query(&parts))?;
    let mut names = Vec::new();
    for name in desk.registry.index().repositories().await? {
        let behind = last.as_deref().is_none_or(|last| name.as_str() > last);
        if behind && desk.access.may(&principal, Action::Pull, &name).await {
            names.push(name);
        }
        if names.len() > limit {
            break;
        }
    }
    let more = names.len() > limit;
    names.truncate(limit);
    let mut response = answer(StatusCode::OK, &json!({ "repositories": names }));
    if more && let Some(last) = names.last() {
        let link = format!("</v2/_catalog?n={limit}&last={last}>; rel=\"next\"");
        set(response.headers_mut(), &[("link", &link)]);
    }
    Ok(response)
}

/// How many names, and behind which one.
fn page(query: &[(String, String)]) -> Result<(usize, Option<String>), Failure> {
    let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let limit = match value("n") {
        Some(n) => n.parse::<usize>().map_err(|_| Failure::name("`n` is not a number"))?.min(LARGEST_PAGE),
        None => LARGEST_PAGE,
    };
    Ok((limit, value("last")))
}

impl<A: Access> Call<'_, A> {
    pub(super) async fn list_tags(self) -> Answer {
        let index = self.desk.registry.index();
        let (limit, last) = page(&query(self.parts))?;
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
