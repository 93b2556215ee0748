//! The library's entrance: a builder over a store, one build after the other or many at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use windlass_dockerfile::plan::Plan;
use windlass_dockerfile::{Diagnostic, Options, Parsed, Platform, lint, parse};
use windlass_kernel::{Clock, Digest, Entropy};
use windlass_oci::{ImageName, Keyring, Puller, UnpackLimits, WhiteoutStyle};
use windlass_runtime::{Capabilities, Level, Linux, Runtime, RuntimeConfig};

use crate::assemble::{Finished, finish};
use crate::cache::Entries;
use crate::context::{self, Opened};
use crate::error::Refused;
use crate::exec::{Parts, Session, StageDone, foreign};
use crate::progress::{Progress, Reporter, Secrets};
use crate::request::{BuildRequest, CacheTo, Outcome, Output, StepLimits};
use crate::sources::Sources;
use crate::store::{LocalImage, Store};
use crate::{BuildError, cache, output};

/// Builds images.
#[derive(Clone)]
pub struct Builder {
    store: Arc<Store>,
    runtime: Arc<dyn Runtime>,
    keyring: Option<Arc<dyn Keyring>>,
}

/// What a builder needs.
#[derive(Clone, Debug)]
pub struct BuilderConfig {
    /// The folder of the store: [`Store::usual`] for a person's.
    pub store: PathBuf,
    /// The binary that becomes the init of sandboxes (see [`RuntimeConfig::exe`]).
    pub exe: PathBuf,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("store", &self.store.root()).finish_non_exhaustive()
    }
}

/// What the machine permits, found out once per start of the machine and user.
#[derive(Serialize, Deserialize)]
struct Known {
    boot: String,
    forced: Option<String>,
    capabilities: Capabilities,
}

impl Builder {
    /// Opens the store, and finds out which sandboxes the machine permits, unless that is known.
    pub async fn open(
        config: BuilderConfig,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, BuildError> {
        let store = Arc::new(Store::open(&config.store, clock, entropy)?);
        let sandbox = |e: windlass_runtime::RuntimeError| BuildError::Sandbox(e.to_string());
        let settings = RuntimeConfig::new(&config.exe, store.root().join("work").join(store.session_name()))
            .map_err(sandbox)?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let forced = settings.level.map(|level| level.to_string());
        let path = store.root().join(format!("sandbox-{}.json", nix::unistd::geteuid()));
        let known =
            Store::read_json::<Known>(&path).filter(|known| known.boot == boot && known.forced == forced);
        let runtime: Arc<dyn Runtime> = match known {
            Some(known) => Arc::new(Linux::trusting(settings, known.capabilities)),
            None => {
                let runtime = Linux::open(settings).await.map_err(sandbox)?;
                let capabilities = runtime.capabilities().clone();
                store.write_json(&path, &Known { boot, forced, capabilities })?;
                Arc::new(runtime)
            }
        };
        Ok(Self { store, runtime, keyring: None })
    }

    /// A builder over a store and a runtime that are open already.
    pub fn new(store: Arc<Store>, runtime: Arc<dyn Runtime>) -> Self {
        Self { store, runtime, keyring: None }
    }

    /// Registries that no request says a login of are asked with those of a keyring; so are images of the store whose
    /// layers have to be fetched once more.
    #[must_use]
    pub fn with_keyring(mut self, keyring: Arc<dyn Keyring>) -> Self {
        self.keyring = Some(keyring);
        self
    }

    /// The store.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    fn style(&self) -> WhiteoutStyle {
        match self.runtime.capabilities().level {
            Level::Namespaces => WhiteoutStyle::Overlay,
            Level::UserNamespaces => WhiteoutStyle::OverlayUser,
            Level::Process if nix::unistd::geteuid().is_root() => WhiteoutStyle::Overlay,
            Level::Process => WhiteoutStyle::OverlayUser,
        }
    }

    pub(crate) fn sources(&self, request: &BuildRequest, reporter: Reporter) -> Sources {
        let mut puller = Puller::new(request.logins.clone());
        if let Some(keyring) = &self.keyring {
            puller = puller.with_keyring(keyring.clone());
        }
        let StepLimits { layer_bytes: bytes, layer_entries: entries, .. } = request.limits;
        let limits = UnpackLimits { bytes, entries };
        let names = (request.default_hosts.clone(), request.pull);
        Sources::new(self.store.clone(), puller, self.style(), reporter, names, limits)
    }

    /// Builds. Dropping the future ends the steps that run; nothing half done stays in the cache.
    pub async fn build(
        &self,
        request: BuildRequest,
        progress: Arc<dyn Progress>,
    ) -> Result<Outcome, BuildError> {
        check(&request)?;
        let reporter = reporter(&request, progress);
        let mut request = self.bring(request, &reporter).await?;
        if request.platforms.len() > 1 {
            return self.for_all(request, reporter).await;
        }
        let folder = context::find(&self.store, &request.context).await?;
        loop {
            let entries = Arc::<Entries>::default();
            let built = async {
                let done =
                    self.carry_out(request.clone(), folder.clone(), &reporter, entries.clone()).await?;
                let image = (*done.1.image).clone();
                self.put_out(&done.0, image).await
            };
            let built = built.await;
            let lost = entries.lost();
            if built.is_ok() || lost.is_empty() {
                return built;
            }
            // Each of these steps is forgotten, so this comes to an end.
            for why in lost {
                reporter.warn(format!("a step is done again, since its layer cannot be had: {why}"));
            }
            // What they had was taken over already.
            request.cache_from.clear();
        }
    }

    /// Carries the steps of one platform out.
    pub(crate) async fn carry_out(
        &self,
        request: BuildRequest,
        folder: Option<PathBuf>,
        reporter: &Reporter,
        entries: Arc<Entries>,
    ) -> Result<(Arc<Session>, StageDone), BuildError> {
        let mut sources = self.sources(&request, reporter.clone());
        sources.lost = entries.lost_list();
        let doing = reporter.start("[internal] load build definition from Dockerfile");
        let read = self.read(&request, folder.as_deref());
        doing.end(&read);
        let (file, plan, ignore) = read?;
        for from in &request.cache_from {
            let doing = reporter.start(format!("importing cache manifest from {}", cache::shown(from)));
            let taken = cache::import(&sources, from).await;
            doing.end(&taken);
            // A cache that is not there yet is the usual beginning.
            if let Err(error) = taken {
                reporter.warn(format!("no cache was taken: {error}"));
            }
        }
        let parts = Parts {
            store: self.store.clone(),
            sources,
            request,
            plan,
            reporter: reporter.clone(),
            file,
            runtime: self.runtime.clone(),
            folder: Opened { folder, ignore },
            entries,
        };
        let session = Arc::new(Session::new(parts));
        let done = session.build().await?;
        if let Some(context) = session.context.get() {
            context.remember();
        }
        for context in session.named.values().filter_map(|cell| cell.get()) {
            context.remember();
        }
        Ok((session, done))
    }

    fn read(
        &self,
        request: &BuildRequest,
        folder: Option<&Path>,
    ) -> Result<((String, String), Plan, windlass_dockerfile::Ignore), BuildError> {
        let (name, text) = context::dockerfile(folder, request, &self.store)?;
        let ignore = context::ignored(folder, request, &self.store)?;
        let refused = |findings: Vec<Diagnostic>| {
            BuildError::Dockerfile(Refused { file: name.clone(), text: text.clone(), findings })
        };
        let parsed = parse(&text);
        let Some(dockerfile) = &parsed.dockerfile else { return Err(refused(parsed.diagnostics)) };
        let plan = Plan::new(dockerfile, options(request)).map_err(refused)?;
        let foreign = foreign::findings(&plan);
        if !foreign.is_empty() {
            return Err(refused(foreign));
        }
        Ok(((name, text), plan, ignore))
    }

    /// What the lints find in the request's Dockerfile, with its name and text. Nothing is built.
    pub async fn check(
        &self,
        request: &BuildRequest,
    ) -> Result<(String, String, Vec<Diagnostic>), BuildError> {
        let quiet = reporter(request, Arc::new(crate::Quiet));
        let request = &self.bring(request.clone(), &quiet).await?;
        let folder = context::find(&self.store, &request.context).await?;
        let (name, text) = context::dockerfile(folder.as_deref(), request, &self.store)?;
        let ignore = context::ignored(folder.as_deref(), request, &self.store)?;
        let parsed: Parsed = parse(&text);
        let mut findings = parsed.diagnostics.clone();
        if parsed.dockerfile.is_some() {
            findings.extend(lint(&parsed, &options(request), Some(&ignore)));
        }
        Ok((name, text, findings))
    }

    async fn put_out(&self, session: &Session, image: crate::image::Image) -> Result<Outcome, BuildError> {
        let request = &session.request;
        let inline = request.cache_to.contains(&CacheTo::Inline).then_some(&*session.entries);
        let finished = finish(image, request, inline).await?;
        self.store.keep_bytes(&finished.config)?;
        let (steps, cached) = session.counts();
        let mut outcome = Outcome {
            id: Some(finished.digest.clone()),
            steps,
            cached,
            size: finished.size,
            ..Outcome::default()
        };
        let shown = !request.outputs.is_empty() || (request.named_here && !request.tags.is_empty());
        if shown {
            let doing = session.reporter.start("exporting to image");
            let done = self.outputs(session, &finished, &mut outcome, &|line| doing.line(line)).await;
            doing.end(&done);
            done?;
        }
        for to in &request.cache_to {
            output::cache_to(session, to).await?;
        }
        Ok(outcome)
    }

    async fn outputs(
        &self,
        session: &Session,
        finished: &Finished,
        outcome: &mut Outcome,
        say: &(dyn Fn(String) + Sync),
    ) -> Result<(), BuildError> {
        let request = &session.request;
        say(format!("writing image {}", finished.digest));
        if request.named_here && !request.tags.is_empty() {
            let local = finished.local(&self.store)?;
            for tag in &request.tags {
                self.store.name_image(tag, &local)?;
                say(format!("naming to {tag}"));
                outcome.names.push(tag.to_string());
            }
        }
        for to in &request.outputs {
            if let Some(digest) = output::put(session, finished, to, say).await? {
                outcome.digest = Some(digest);
            }
        }
        Ok(())
    }

    /// Takes the images of an archive or an OCI layout into the store; gives their names.
    pub async fn load(&self, path: &Path) -> Result<Vec<LocalImage>, BuildError> {
        let request = BuildRequest::of(".");
        let reporter = Reporter::new(Arc::new(crate::Quiet), Secrets::default());
        let sources = self.sources(&request, reporter);
        let mut taken = Vec::new();
        for loaded in sources.load(path).await? {
            let mut layers = Vec::new();
            for layer in &loaded.image.layers {
                let packed = layer.measured.clone().await.map_err(BuildError::Store)?;
                layers.push(crate::store::LocalLayer {
                    diff_id: packed.digest,
                    size: packed.size,
                    step: None,
                    blob: layer.blob.clone(),
                    image: None,
                });
            }
            let now = self.store.now();
            let (name, config, variants) = (String::new(), loaded.config, Vec::new());
            let image = LocalImage { name, config, layers, named_at: now, variants };
            if loaded.names.is_empty() {
                taken.push(image.clone());
            }
            for name in &loaded.names {
                let parsed: ImageName = name.parse().map_err(|e| BuildError::image(name, e))?;
                self.store.name_image(&parsed, &image)?;
                taken.push(LocalImage { name: name.clone(), ..image.clone() });
            }
        }
        Ok(taken)
    }

    /// Makes an image of one layer of a tar of files, as `docker import` does, and names it.
    pub async fn import(&self, tar: &Path, name: &ImageName) -> Result<Digest, BuildError> {
        let mut request = BuildRequest::of(".");
        let folder = self.store.fresh_folder("import")?;
        let at = folder.join("root.tar");
        std::fs::copy(tar, &at).map_err(|e| BuildError::io(format!("reading {}", tar.display()), e))?;
        request.context = crate::Context::Folder(folder);
        request.dockerfile = crate::DockerfileSource::Text("FROM scratch\nADD root.tar /\n".into());
        request.tags = vec![name.clone()];
        let outcome = self.build(request, Arc::new(crate::Quiet)).await?;
        outcome.id.ok_or_else(|| BuildError::Store("the import left no image".into()))
    }

    /// Writes images of the store into an archive.
    pub async fn save(&self, name: &ImageName, to: &Output) -> Result<(), BuildError> {
        let missing = || BuildError::image(&name.to_string(), "this machine has no image of that name");
        let image = self.store.image(name).ok_or_else(missing)?;
        let (sources, finished) = self.stored(&image).await?;
        let mut request = BuildRequest::of(".");
        request.tags = vec![name.clone()];
        output::save(&sources, &request, &finished, to).await.map(drop)
    }

    /// An image of the store, as if it had just been built.
    pub(crate) async fn stored(&self, image: &LocalImage) -> Result<(Sources, Finished), BuildError> {
        let reporter = Reporter::new(Arc::new(crate::Quiet), Secrets::default());
        let sources = self.sources(&BuildRequest::of("."), reporter);
        let found = sources.local(image).await?;
        let config = self.store.bytes(&image.config).await?;
        let diff_ids: Vec<Digest> = image.layers.iter().map(|layer| layer.diff_id.clone()).collect();
        let finished = Finished { image: found, config, digest: image.config.clone(), diff_ids, size: 0 };
        Ok((sources, finished))
    }
}

/// Hands on what happens, without the request's secrets.
pub(crate) fn reporter(request: &BuildRequest, progress: Arc<dyn Progress>) -> Reporter {
    let secrets = Secrets::new(request.secrets.values().map(|secret| secret.expose().as_slice()));
    Reporter::new(progress, secrets)
}

fn options(request: &BuildRequest) -> Options {
    let here = Platform::linux(windlass_oci::machine_architecture());
    let mut build_args = request.build_args.clone();
    if let Some(epoch) = request.source_date_epoch {
        build_args.entry("SOURCE_DATE_EPOCH".into()).or_insert_with(|| epoch.to_string());
    }
    Options {
        build_args,
        target: request.target.clone(),
        platform: request.platforms.first().cloned().unwrap_or_else(|| here.clone()),
        build_platform: here,
        contexts: request.contexts.keys().cloned().collect(),
    }
}

/// What can be said against a request before anything is read.
fn check(request: &BuildRequest) -> Result<(), BuildError> {
    let refuse = |why: String| Err(BuildError::Request(why));
    if let Some(platform) = request.platforms.iter().find(|platform| platform.os != "linux") {
        return refuse(format!("--platform {platform}: images are built for linux only"));
    }
    let pushes = request.outputs.iter().any(|to| matches!(to, Output::Push(_)));
    if pushes && request.tags.is_empty() {
        return refuse("--push needs a name to push to: give one with --tag".into());
    }
    if request.cache_to.contains(&CacheTo::Inline) && !pushes {
        return refuse("--cache-to type=inline stands in the image that is pushed: it needs --push".into());
    }
    Ok(())
}

/// The metadata of a build, as `--metadata-file` has it.
pub fn metadata(outcome: &Outcome) -> Value {
    let mut value = serde_json::json!({});
    if let Some(id) = &outcome.id {
        value["containerimage.config.digest"] = serde_json::json!(id.to_string());
    }
    if let Some(digest) = &outcome.digest {
        value["containerimage.digest"] = serde_json::json!(digest.to_string());
    }
    if !outcome.names.is_empty() {
        value["image.name"] = serde_json::json!(outcome.names.join(","));
    }
    value
}
