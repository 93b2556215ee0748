//! What the pages and the API show of repositories and images.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use windlass_api as api;
use windlass_api::Problem;
use windlass_identity::{Action, Principal};
use windlass_kernel::{Digest, ProjectName};
use windlass_oci::{
    BlobError, ImageConfig, ImageManifest, LARGEST_MANIFEST, Manifest, ManifestRecord, MediaType, Reference,
    RegistryError, RegistryRule, RepositoryName, TagRecord,
};

use crate::context::{Context, internal, may_project, parse, stored};

type Answer<T> = Result<T, Problem>;
type Running = BTreeMap<(RepositoryName, Digest), BTreeSet<String>>;

/// The most manifests that a page shows.
const MOST_SHOWN: usize = 500;
/// How many layers are looked for at a time.
const STATS: usize = 16;
/// The environment that others are compared with, where there is one of that name.
const PRODUCTION: &str = "production";

/// An image's parts, read.
struct Parts {
    manifest: ImageManifest,
    config: Option<ImageConfig>,
}

impl Context {
    pub(crate) async fn image_repositories(
        &self,
        who: &Principal,
        project: &str,
    ) -> Answer<Vec<api::RepositoryView>> {
        let project: ProjectName = parse(project)?;
        may_project(who, Action::PullImage, &project)?;
        self.repositories_where(Some(&project), |name| name.project().as_ref() == Some(&project)).await
    }

    /// Repositories of a project, or of all, that fit.
    pub(super) async fn repositories_where(
        &self,
        project: Option<&ProjectName>,
        fits: impl Fn(&RepositoryName) -> bool + Send,
    ) -> Answer<Vec<api::RepositoryView>> {
        let of = project.map(RepositoryName::from);
        let running = self.running_images(of.as_ref()).await.map_err(stored)?;
        let index = self.images.registry.index();
        let mut views = Vec::new();
        for name in index.repositories().await.map_err(stored)?.into_iter().filter(|name| fits(name)) {
            let manifests = index.manifests(&name).await.map_err(stored)?;
            let tags = index.tags(&name, None, 0).await.map_err(stored)?;
            let runs_in: BTreeSet<String> =
                running.iter().filter(|((of, _), _)| *of == name).flat_map(|(_, e)| e.clone()).collect();
            views.push(api::RepositoryView {
                name: name.to_string(),
                tags: tags.len() as u64,
                manifests: manifests.len() as u64,
                pushed_at: manifests.iter().map(|m| m.pushed_at).max().unwrap_or_default(),
                runs_in: runs_in.into_iter().collect(),
            });
        }
        Ok(views)
    }

    pub(crate) async fn image_repository(
        &self,
        who: &Principal,
        name: &str,
    ) -> Answer<api::RepositoryDetail> {
        let name = readable(who, name)?;
        let index = self.images.registry.index();
        let mut manifests = index.manifests(&name).await.map_err(stored)?;
        if manifests.is_empty() {
            return Err(Problem::not_found(format!("nothing was pushed to {name} yet")));
        }
        let tags = index.tags(&name, None, 0).await.map_err(stored)?;
        let running = self.running_images(Some(&name)).await.map_err(stored)?;
        let total = manifests.len() as u64;
        manifests.sort_by(|a, b| b.pushed_at.cmp(&a.pushed_at).then_with(|| a.digest.cmp(&b.digest)));
        manifests.truncate(MOST_SHOWN);
        let rules = index.rules().await.map_err(stored)?;
        let rules = rules.iter().filter(|rule| rule.repositories.matches(name.as_str()));
        Ok(api::RepositoryDetail {
            address: self.image_address(&name),
            name: name.to_string(),
            manifests: manifests.iter().map(|m| manifest_view(m, &tags, &running)).collect(),
            total,
            rules: rules.map(ToString::to_string).collect(),
        })
    }

    pub(crate) async fn image_detail(&self, who: &Principal, image: &str) -> Answer<api::ImageDetail> {
        let (name, record) = self.find_image(who, image).await?;
        let index = self.images.registry.index();
        let tags = index.tags_at(&name, &record.digest).await.map_err(stored)?;
        let running = self.running_images(Some(&name)).await.map_err(stored)?;
        let referrers = index.referrers(&name, &record.digest).await.map_err(stored)?;
        let rules = index.rules().await.map_err(stored)?;
        let mut immutable = Vec::new();
        for tag in &tags {
            if let Some(rule) = RegistryRule::forbids(&rules, &name, &tag.tag) {
                immutable.push((tag.tag.to_string(), rule.name.clone()));
            }
        }
        let annotations = record.annotations.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
        let mut detail = api::ImageDetail {
            repository: name.to_string(),
            manifest: manifest_view(&record, &tags, &running),
            address: format!("{}@{}", self.image_address(&name), record.digest),
            platforms: Vec::new(),
            layers: Vec::new(),
            history: Vec::new(),
            config: Vec::new(),
            referrers: referrers.iter().map(|r| manifest_view(r, &[], &running)).collect(),
            change: None,
            runs: self.image_runs(&name, &record.digest).await?,
            origin: self.image_origin(&record.pushed_by).await?,
            annotations,
            immutable,
            problem: None,
        };
        // What cannot be read leaves the rest to be shown: that is when somebody comes to look.
        let reference = Reference::Digest(record.digest.clone());
        let kept = match self.images.registry.manifest(&name, &reference).await {
            Ok(kept) => kept,
            Err(error) => {
                detail.problem = Some(registry_problem(&error).detail);
                return Ok(detail);
            }
        };
        let kind = MediaType::parse(&kept.media_type).map_err(|e| internal("a manifest is odd", &e))?;
        let read =
            Manifest::parse(kind, &kept.bytes).map_err(|e| internal("a manifest cannot be read", &e))?;
        match read {
            Manifest::Index(index) => {
                for descriptor in &index.manifests {
                    detail.platforms.push(self.platform_view(&name, descriptor).await?);
                }
            }
            Manifest::Image(manifest) => {
                let parts = match self.parts(*manifest.clone()).await {
                    Ok(parts) => parts,
                    Err(problem) => {
                        detail.problem = Some(problem.detail);
                        Parts { manifest: *manifest, config: None }
                    }
                };
                let production = self.production(&name, &record.digest, &running).await?;
                describe(&mut detail, &parts, production.as_ref());
                self.look_for_layers(&mut detail).await;
            }
        }
        Ok(detail)
    }

    /// Notes which layers are not here.
    async fn look_for_layers(&self, detail: &mut api::ImageDetail) {
        let registry = self.images.registry.clone();
        let digests: Vec<Digest> = detail.layers.iter().filter_map(|l| l.digest.parse().ok()).collect();
        let looks = digests.into_iter().map(move |digest| {
            let registry = registry.clone();
            async move { matches!(registry.blobs().stat(&digest).await, Ok(None)) }
        });
        let missing: Vec<bool> = futures_util::stream::iter(looks).buffered(STATS).collect().await;
        for (layer, missing) in detail.layers.iter_mut().zip(missing) {
            layer.missing = missing;
        }
        let count = detail.layers.iter().filter(|layer| layer.missing).count();
        if count > 0 && detail.problem.is_none() {
            let all = detail.layers.len();
            detail.problem = Some(format!(
                "the bytes of {count} of {all} layers are not here: push the image again to put that right"
            ));
        }
    }

    async fn platform_view(
        &self,
        name: &RepositoryName,
        descriptor: &windlass_oci::Descriptor,
    ) -> Answer<api::PlatformView> {
        let record = self.images.registry.index().manifest(name, &descriptor.digest).await.map_err(stored)?;
        let platform = descriptor.platform.as_ref().map_or_else(
            || descriptor.artifact_type.clone().unwrap_or_else(|| descriptor.media_type.clone()),
            |p| {
                let variant = p.variant.as_ref().map(|v| format!("/{v}")).unwrap_or_default();
                format!("{}/{}{variant}", p.os, p.architecture)
            },
        );
        Ok(api::PlatformView {
            platform,
            digest: descriptor.digest.to_string(),
            size: descriptor.size,
            content_size: record.map(|record| record.content_size),
        })
    }

    pub(super) async fn find_image(
        &self,
        who: &Principal,
        image: &str,
    ) -> Answer<(RepositoryName, ManifestRecord)> {
        let (name, reference) = named(image)?;
        let name = readable(who, name.as_str())?;
        let record =
            self.images.registry.record(&name, &reference).await.map_err(|e| registry_problem(&e))?;
        Ok((name, record))
    }

    fn image_address(&self, name: &RepositoryName) -> String {
        format!("{}/{name}", self.endpoint.url.trim_start_matches("http://"))
    }

    async fn parts(&self, manifest: ImageManifest) -> Answer<Parts> {
        let config = self.images.registry.blobs().read(&manifest.config.digest, LARGEST_MANIFEST).await;
        let config = match config {
            Ok(bytes) => ImageConfig::parse(&bytes).ok(),
            // An artifact's configuration may be anything, and a mirrored one may not be here yet.
            Err(BlobError::Unknown(_) | BlobError::TooLarge { .. }) => None,
            Err(error) => return Err(unreadable(&error)),
        };
        Ok(Parts { manifest, config })
    }

    /// The image of the same repository that production has now (or the only environment that has one), if it is another.
    async fn production(
        &self,
        name: &RepositoryName,
        this: &Digest,
        running: &Running,
    ) -> Answer<Option<(String, Digest, Parts)>> {
        let mine: Vec<(&Digest, &BTreeSet<String>)> =
            running.iter().filter(|((of, _), _)| of == name).map(|((_, d), e)| (d, e)).collect();
        let chosen = mine.iter().find(|(_, e)| e.contains(PRODUCTION));
        let chosen = chosen.or_else(|| mine.first().filter(|_| mine.len() == 1));
        let Some((digest, environments)) = chosen.filter(|(digest, _)| *digest != this) else {
            return Ok(None);
        };
        let environment = if environments.contains(PRODUCTION) { Some(PRODUCTION) } else { None };
        let environment = environment.map(str::to_owned).or_else(|| environments.first().cloned());
        let reference = Reference::Digest((*digest).clone());
        let Ok((_, manifest, config)) = self.images.registry.image(name, &reference).await else {
            return Ok(None);
        };
        let parts = Parts { manifest, config: Some(config) };
        Ok(Some((environment.unwrap_or_default(), (*digest).clone(), parts)))
    }
}

/// `NAME`, `NAME:TAG` or `NAME@DIGEST`.
pub(super) fn named(image: &str) -> Answer<(RepositoryName, Reference)> {
    let (name, reference) = match image.split_once('@') {
        Some((name, digest)) => (name, Reference::Digest(parse(digest)?)),
        None => match image.split_once(':') {
            Some((name, tag)) => (name, Reference::Tag(parse(tag)?)),
            None => (image, Reference::Tag(windlass_oci::Tag::latest())),
        },
    };
    Ok((parse(name)?, reference))
}

pub(super) fn readable(who: &Principal, name: &str) -> Answer<RepositoryName> {
    let name: RepositoryName = parse(name)?;
    let none = || Problem::not_found(format!("there is no repository {name}"));
    may_project(who, Action::PullImage, &name.project().ok_or_else(none)?)?;
    Ok(name)
}

pub(super) fn registry_problem(error: &RegistryError) -> Problem {
    match error {
        RegistryError::UnknownManifest { .. } => Problem::not_found(error.to_string()),
        RegistryError::Blob(error) => unreadable(error),
        other => internal("the registry failed", other),
    }
}

pub(super) fn unreadable(error: &BlobError) -> Problem {
    match error {
        BlobError::Unknown(_) => Problem::not_found(error.to_string()),
        BlobError::Corrupt { digest, .. } => {
            Problem::not_found(format!("{digest} is corrupt: push the image again to put it right"))
        }
        other => internal("the blobs failed", other),
    }
}

fn manifest_view(record: &ManifestRecord, tags: &[TagRecord], running: &Running) -> api::ManifestView {
    let key = (record.repository.clone(), record.digest.clone());
    api::ManifestView {
        digest: record.digest.to_string(),
        tags: tags.iter().filter(|t| t.digest == record.digest).map(|t| t.tag.to_string()).collect(),
        media_type: record.media_type.clone(),
        artifact_type: artifact_kind(record),
        subject: record.subject.as_ref().map(ToString::to_string),
        size: record.content_size,
        pushed_at: record.pushed_at,
        pushed_by: record.pushed_by.to_string(),
        runs_in: running.get(&key).into_iter().flatten().cloned().collect(),
    }
}

/// What kind of artifact it is, if it is no image.
pub(super) fn artifact_kind(record: &ManifestRecord) -> Option<String> {
    record.artifact_type.clone().filter(|kind| !is_image_config(kind))
}

fn is_image_config(kind: &str) -> bool {
    matches!(
        kind,
        "application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json"
    )
}

fn describe(detail: &mut api::ImageDetail, parts: &Parts, production: Option<&(String, Digest, Parts)>) {
    let history = parts.config.as_ref().map(|c| c.history.as_slice()).unwrap_or_default();
    let said = |line: &windlass_oci::History| line.created_by.clone().unwrap_or_default();
    detail.history =
        history.iter().map(|h| api::HistoryView { created_by: said(h), empty: h.empty_layer }).collect();
    let mut makers = history.iter().filter(|h| !h.empty_layer).map(said);
    let theirs: Option<BTreeSet<&Digest>> =
        production.map(|(_, _, p)| p.manifest.layers.iter().map(|l| &l.digest).collect());
    detail.layers = parts
        .manifest
        .layers
        .iter()
        .map(|layer| api::LayerView {
            digest: layer.digest.to_string(),
            media_type: layer.media_type.clone(),
            size: layer.size,
            created_by: makers.next().unwrap_or_default(),
            in_production: theirs.as_ref().map(|theirs| theirs.contains(&layer.digest)),
            title: layer.annotations.get("org.opencontainers.image.title").cloned(),
            missing: false,
        })
        .collect();
    detail.config = parts.config.as_ref().map(settings).unwrap_or_default();
    detail.change = production.map(|(environment, digest, other)| {
        let size = |shared: bool| {
            let of = |l: &&api::LayerView| l.in_production == Some(shared);
            detail.layers.iter().filter(of).map(|l| l.size).sum()
        };
        let there = other.config.as_ref().map(settings).unwrap_or_default();
        api::ImageChange {
            environment: environment.clone(),
            digest: digest.to_string(),
            new_size: size(false),
            shared_size: size(true),
            settings: api::differing_settings(&there, &detail.config),
        }
    });
}

/// How an image is run, as names and values.
fn settings(config: &ImageConfig) -> Vec<(String, String)> {
    let run = &config.config;
    let words = |words: &[String]| words.iter().map(|w| format!("{w:?}")).collect::<Vec<_>>().join(" ");
    let mut all = vec![
        ("Platform".to_owned(), format!("{}/{}", config.os, config.architecture)),
        ("Created".to_owned(), config.created.clone().unwrap_or_default()),
        ("Entrypoint".to_owned(), words(&run.entrypoint)),
        ("Command".to_owned(), words(&run.cmd)),
        ("User".to_owned(), run.user.clone()),
        ("Working directory".to_owned(), run.working_dir.clone()),
        ("Ports".to_owned(), run.exposed_ports.keys().cloned().collect::<Vec<_>>().join(" ")),
    ];
    let pair = |text: &String| text.split_once('=').map(|(n, v)| (format!("Env {n}"), v.to_owned()));
    all.extend(run.env.iter().filter_map(pair));
    all.extend(run.labels.iter().map(|(name, value)| (format!("Label {name}"), value.clone())));
    all.retain(|(_, value)| !value.is_empty());
    all
}
