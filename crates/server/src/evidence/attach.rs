//! Statements: made, signed, and put beside the image in the registry, each as an artifact that refers to it
//! (distribution specification 1.1, "referrers"; artifact type and annotations as sigstore's tools expect them).

use std::collections::BTreeMap;

use anyhow::Context as _;
use bytes::Bytes;
use serde_json::{Value, json};
use windlass_evidence::{BUNDLE, Claim, Contents, Statement, Subject, check, cyclonedx, spdx};
use windlass_kernel::{Actor, Batch, Digest, NewEvent, RunId, StoreError, StoreExt as _};
use windlass_oci::{Descriptor, MediaType, Reference};
use windlass_pipeline::Run;

use super::documents::{EvidenceDoc, Made};
use super::{contents, predicates};
use crate::context::Context;

/// What stands in the place of a configuration (image specification, "Guidance for an Empty Descriptor").
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Makes the statements that are missing about an image.
pub(super) async fn complete(ctx: &Context, doc: EvidenceDoc) -> anyhow::Result<()> {
    let mut making = Making { ctx, doc, made: Vec::new(), problem: None };
    making.of_runs().await?;
    making.of_contents().await?;
    let Making { mut doc, made, problem, .. } = making;
    let unpublished = doc.for_cosign.is_none() && !doc.made.is_empty();
    if made.is_empty() && problem == doc.problem && !unpublished {
        return Ok(());
    }
    doc.made.extend(made.iter().cloned());
    super::cosign::publish(ctx, &mut doc).await?;
    for _ in 0..5 {
        let (mut now, version) = EvidenceDoc::load(ctx, &doc.repository, &doc.digest).await?;
        now.made.extend(made.iter().filter(|m| !now.has(&m.key)).cloned().collect::<Vec<_>>());
        now.problem.clone_from(&problem);
        now.for_cosign.clone_from(&doc.for_cosign);
        now.signature.clone_from(&doc.signature);
        let keys: Vec<&str> = made.iter().map(|m| m.key.as_str()).collect();
        let mut batch = Batch::new().update(&now, version);
        if !keys.is_empty() {
            let event = NewEvent::new(ctx.now(), Actor::System, "image.stated", doc.key());
            let event = match doc.repository.project() {
                Some(project) => event.project(&project),
                None => event,
            };
            batch = batch.event(event.data(json!({ "digest": doc.digest, "statements": keys })));
        }
        match ctx.commit(batch).await {
            Err(StoreError::Conflict { .. }) => {}
            other => return other.map(|_| ()).map_err(Into::into),
        }
    }
    anyhow::bail!("the evidence of {} changes too fast", doc.key())
}

/// Statements on their way.
struct Making<'a> {
    ctx: &'a Context,
    doc: EvidenceDoc,
    made: Vec<Made>,
    problem: Option<String>,
}

impl Making<'_> {
    /// What the runs that made it say: where it comes from, their tests, who approved.
    async fn of_runs(&mut self) -> anyhow::Result<()> {
        let url = self.ctx.endpoint.url.clone();
        for origin in self.doc.origins.clone() {
            let Some(run) = self.ctx.store.get::<Run>(&origin.run.to_string()).await? else { continue };
            let run = run.value;
            let key = format!("provenance:{}:{}", origin.run, origin.attempt);
            self.state(key, Claim::Provenance, || predicates::provenance(&url, &run, &origin)).await?;
            self.state("signature".to_owned(), Claim::Signature, || json!({})).await?;
            // A run that was started anew says nothing of what its attempt before did.
            if run.attempt != origin.attempt {
                continue;
            }
            let reports = crate::reports::of_run(self.ctx, run.id).await?;
            if !reports.tests.is_empty() {
                let says = predicates::tests(&url, &run, &reports);
                self.state(keyed("tests", run.id, &says), Claim::Tests, || says).await?;
            }
            if !reports.load.is_empty() {
                let says = predicates::load(&url, &run, &reports);
                self.state(keyed("load", run.id, &says), Claim::Load, || says).await?;
            }
            if !reports.findings.is_empty() {
                let says = predicates::findings(&url, &run, &reports);
                self.state(keyed("findings", run.id, &says), Claim::Findings, || says).await?;
            }
        }
        for approved in
            crate::runs::approved(self.ctx, &self.doc.digest, self.doc.repository.project()).await?
        {
            let says = predicates::approval(&url, &approved);
            self.state(keyed("approval", approved.run, &says), Claim::Approval, || says).await?;
        }
        Ok(())
    }

    /// What is in it, and what is known of that.
    async fn of_contents(&mut self) -> anyhow::Result<()> {
        let looked = match contents::look(self.ctx, &self.doc.repository, &self.doc.digest).await {
            Ok(looked) => looked,
            Err(e) => {
                self.problem = Some(format!("{e:#}"));
                return Ok(());
            }
        };
        let (name, digest) = (self.doc.repository.to_string(), self.doc.digest.clone());
        let found: &Contents = &looked.contents;
        let subject =
            Subject { name: &name, digest: &digest, created: looked.created.as_deref(), contents: found };
        self.state("sbom:cyclonedx".to_owned(), Claim::CycloneDx, || cyclonedx(&subject)).await?;
        self.state("sbom:spdx".to_owned(), Claim::Spdx, || spdx(&subject)).await?;
        let now = self.ctx.now();
        self.state("secrets".to_owned(), Claim::Leaks, || predicates::leaks(found, now)).await?;
        let (database, of) = (self.ctx.evidence.database.clone(), looked.contents.clone());
        let report = tokio::task::spawn_blocking(move || check(&of, &database, now)).await?;
        // Compared with the same advisories it is the same; nothing is said where nothing was compared.
        if !report.checked.is_empty() {
            let state = json!([report.checked, report.not_checked]);
            let key = format!("vulns:{}", &Digest::sha256(state.to_string().as_bytes()).hex()[..16]);
            self.state(key, Claim::Vulns, || predicates::vulns(&report, now)).await?;
        }
        Ok(())
    }

    /// Signs a statement and puts it beside the image, unless that was done.
    async fn state(&mut self, key: String, claim: Claim, says: impl FnOnce() -> Value) -> anyhow::Result<()> {
        if self.doc.has(&key) || !self.doc.has_room() {
            return Ok(());
        }
        let statement = Statement::new(self.doc.repository.as_str(), &self.doc.digest, claim, says());
        let keys = self.ctx.statement_keys().await.map_err(|p| anyhow::anyhow!("{p}"))?;
        let bundle = serde_json::to_vec(&statement.sign(&keys.signing)?)?;
        let referrer = self.attach(claim, bundle).await.context("the registry does not take a statement")?;
        self.made.push(Made { key, referrer, at: self.ctx.now() });
        Ok(())
    }

    async fn attach(&self, claim: Claim, bundle: Vec<u8>) -> anyhow::Result<Digest> {
        let registry = &self.ctx.images.registry;
        let repository = &self.doc.repository;
        let image = registry.record(repository, &Reference::Digest(self.doc.digest.clone())).await?;
        let (empty, size) = (Bytes::from_static(b"{}"), bundle.len() as u64);
        let config = registry.blobs().put(empty).await?;
        let layer = registry.blobs().put(bundle.into()).await?;
        registry.index().link_blobs(repository, &[config.clone(), layer.clone()]).await?;
        let annotations = BTreeMap::from([
            ("dev.sigstore.bundle.content", "dsse-envelope".to_owned()),
            ("dev.sigstore.bundle.predicateType", claim.uri().to_owned()),
            ("org.opencontainers.image.created", self.ctx.now().to_string()),
        ]);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OciManifest.as_str(),
            "artifactType": BUNDLE,
            "config": { "mediaType": EMPTY, "digest": config, "size": 2 },
            "layers": [{ "mediaType": BUNDLE, "digest": layer, "size": size }],
            "subject": { "mediaType": image.media_type, "digest": image.digest, "size": image.size },
            "annotations": annotations,
        });
        let bytes = Bytes::from(serde_json::to_vec(&manifest)?);
        let reference = Reference::Digest(Digest::sha256(&bytes));
        let pushed =
            registry.push(repository, &reference, MediaType::OciManifest, bytes, &Actor::System).await?;
        Ok(pushed.digest)
    }
}

/// A statement's key that changes with what it says.
fn keyed(what: &str, run: RunId, says: &Value) -> String {
    format!("{what}:{run}:{}", &Digest::sha256(says.to_string().as_bytes()).hex()[..16])
}

/// The bundle that a referrer's only layer is.
pub(super) fn bundle_of(layers: &[Descriptor]) -> Option<&Descriptor> {
    match layers {
        [only] if only.media_type == BUNDLE => Some(only),
        _ => None,
    }
}
