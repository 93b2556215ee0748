//! One run of an image as a step: a sandbox of its own.

use std::path::Path;
use std::sync::Arc;

use windlass_build::{
    BuildRequest, Builder, Compression, Context, Destination, DockerfileSource, Output, Plain, Store,
};
use windlass_kernel::{OsEntropy, SystemClock};
use windlass_runtime::{Bind, Exit};

use super::Layered;
use super::options::Options;
use super::raise::Plan;
use super::store::Laid;
use crate::action::{ActionError, failed};
use crate::container::{Image, Once, WORK};
use crate::job::{Going, Job};
use crate::place::PlaceError;

impl Layered {
    pub(super) async fn run_once(&self, job: &Job, once: Once<'_>) -> Result<Exit, ActionError> {
        let laid = match &once.program.image {
            Image::Named(image) => {
                let Once { going, .. } = &once;
                self.image(job, image, None, &going.voice, &going.patience).await?
            }
            Image::Built { folder, file } => self.built(job, folder, file, once.going).await?,
        };
        let (mut binds, argv) = Self::externals(job).await?;
        binds.push(Bind { host: job.place.work(), inside: WORK.into(), read_only: false });
        let exec = job.once_exec(&once, &laid.config)?;
        let links = job.github_links()?.into_iter();
        let plan = Plan {
            name: format!("step-{}", job.next_serial()),
            laid: &laid,
            options: &Options::default(),
            volumes: &[],
            binds,
            links: links.map(|(name, target)| (format!("github/{name}"), target)).collect(),
            hostname: "action".to_owned(),
            workdir: None,
            isolated: false,
        };
        let raised = self.raise(job, plan).await?;
        let inside = job.place.through(raised.sandbox, argv);
        let ran = job.execute_in(&inside, once.progress, once.going, exec).await;
        inside.close().await;
        ran
    }

    /// An image that an action's `Dockerfile` makes: built once in a job, without a daemon.
    async fn built(&self, job: &Job, folder: &Path, file: &str, going: &Going) -> Result<Laid, ActionError> {
        let mut known = self.images.lock().await;
        let key = format!("dockerfile:{file}");
        if let Some(laid) = known.get(&key) {
            return Ok(laid.clone());
        }
        let name = Path::new(file).file_name().unwrap_or_default().to_string_lossy().into_owned();
        going.voice.say(&format!("Building the action's image from its {name}"));
        let own = Self::folder(job).join(format!("build-{}", job.next_serial()));
        let unusable = |e: std::io::Error| failed(format!("the folder of a build cannot be used: {e}"));
        // What the image is built from is read where the job could read it, not from here.
        let context = job.context_of(folder, going).await?;
        std::fs::create_dir_all(&own).map_err(unusable)?;
        std::fs::write(own.join("context.tar"), context).map_err(unusable)?;
        let root = self.root(job);
        let store = Store::open(&root.join("build"), Arc::new(SystemClock), Arc::new(OsEntropy));
        let store = store.map_err(|e| failed(e.to_string()))?;
        let layout = own.join("image");
        let mut request = BuildRequest::of(&own);
        request.context = Context::Tar(own.join("context.tar"));
        request.dockerfile = DockerfileSource::InContext(name);
        request.named_here = false;
        request.limits.sandbox = job.limits;
        request.logins.extend(Self::own_login(job));
        let to = Destination::Path(layout.clone());
        request.outputs = vec![Output::Oci { to, folder: true, compression: Compression::None }];
        let voice = going.voice.clone();
        let progress = Arc::new(Plain::new(move |line: &str| voice.say(line)));
        let builder = Builder::new(Arc::new(store), self.sandboxes()?.clone());
        let done = tokio::select! {
            done = builder.build(request, progress) => done.map(drop).map_err(|e| failed(e.to_string())),
            why = going.patience.interruption() => Err(PlaceError::Interrupted(why)),
        };
        done?;
        let laid = self.unpack(job, &layout, &going.voice).await.map_err(failed)?;
        let _ = std::fs::remove_dir_all(&own);
        known.insert(key, laid.clone());
        Ok(laid)
    }
}
