//! Where an image comes from: a registry by its name; for a run at a person's own terminal also what this person has built on
//! this machine, or a file of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_build::{Builder, Store as Built};
use windlass_kernel::{OsEntropy, Secret, SystemClock};
use windlass_oci::{BASE_LABEL, ImageName, Login, MACHINE_BASE};

use super::Layered;
use super::archive::{Archive, Place};
use super::store::{Laid, Store};
use crate::action::{ActionError, failed};
use crate::job::Job;
use crate::place::{Patience, PlaceError};
use crate::transcript::Voice;

/// The registry of images that name none.
const DEFAULT_HOST: &str = "docker.io";

impl Layered {
    /// An image, laid out. Fetching takes its time: a job that is cancelled does not wait for it.
    pub(super) async fn image(
        &self,
        job: &Job,
        image: &str,
        credentials: Option<&(String, String)>,
        voice: &Voice,
        patience: &Patience,
    ) -> Result<Laid, ActionError> {
        // One at a time: two steps of a job do not fetch the same layers.
        let mut known = self.images.lock().await;
        if let (Some(laid), None) = (known.get(image), credentials) {
            return Ok(laid.clone());
        }
        let impatient = Patience { survives_cancel: false, ..patience.clone() };
        let laid = tokio::select! {
            laid = self.bring(job, image, credentials, voice) => laid.and_then(|laid| whole(image, laid)).map_err(failed)?,
            why = impatient.interruption() => return Err(PlaceError::Interrupted(why)),
        };
        known.insert(image.to_owned(), laid.clone());
        Ok(laid)
    }

    async fn bring(
        &self,
        job: &Job,
        image: &str,
        credentials: Option<&(String, String)>,
        voice: &Voice,
    ) -> Result<Laid, String> {
        if let Some(local) = &job.local
            && let Some(place) = Place::of(image, &local.trees.own)
        {
            return self.unpack_place(job, place, voice).await;
        }
        let mut name: ImageName = image.parse().map_err(|e| format!("{e}"))?;
        if job.local.is_some()
            && let Some(laid) = self.own(job, &name, voice).await?
        {
            return Ok(laid);
        }
        let host = name.host.get_or_insert_with(|| DEFAULT_HOST.to_owned()).clone();
        let login = match credentials {
            Some((user, password)) => {
                Some(Login { host, user: user.clone(), password: Secret::new(password.clone()) })
            }
            None => Self::own_login(job).filter(|login| login.host == host),
        };
        let say = |text: &str| voice.say(text);
        Store::new(&self.root(job), self.level()).fetch(&name, login, &say).await
    }

    /// An image that this user named on this machine, with `windlass build -t` or `windlass image load`. It goes before a
    /// registry's of that name, as it does in `FROM`. Only for runs at a person's own terminal: what a person has built is
    /// nothing to the jobs of a server.
    async fn own(&self, job: &Job, name: &ImageName, voice: &Voice) -> Result<Option<Laid>, String> {
        let root = Built::usual();
        // Where nobody has built anything, nothing is made.
        if !root.join("images").is_dir() {
            return Ok(None);
        }
        let built =
            Built::open(&root, Arc::new(SystemClock), Arc::new(OsEntropy)).map_err(|e| e.to_string())?;
        let Some(image) = built.image(name) else { return Ok(None) };
        voice.say(&format!("{name} is an image of this machine: {}", image.config));
        let store = Store::new(&self.root(job), self.level());
        if let Some(laid) = store.kept(image.config.hex()) {
            return Ok(Some(laid));
        }
        let sandboxes = self.sandboxes.as_ref().map_err(Clone::clone)?;
        let taken = Builder::new(Arc::new(built), sandboxes.clone()).take(&image).await;
        let taken = taken.map_err(|e| e.to_string())?;
        let layers = taken.manifest.layers.iter().map(|layer| layer.digest.to_string());
        let files = layers.zip(taken.layers.iter().cloned()).collect();
        // It has no manifest of its own: it is known by its configuration, which names all layers.
        let archive = Archive::new(taken.id.clone(), taken.manifest.clone(), taken.config.clone(), files)?;
        let say = |text: &str| voice.say(text);
        store.unpack(&archive, &say).await.map(Some)
    }

    /// The registry of this very server knows the job.
    pub(super) fn own_login(job: &Job) -> Option<Login> {
        let host = job.assignment.registry.clone();
        let login = Login { host, user: "job".to_owned(), password: job.assignment.token.clone() };
        Some(login).filter(|login| !login.host.is_empty() && job.local.is_none())
    }

    /// Where images are kept.
    pub(super) fn root(&self, job: &Job) -> PathBuf {
        self.settings.images.clone().unwrap_or_else(|| Self::folder(job).join("images"))
    }

    /// An image of an OCI layout.
    pub(super) async fn unpack(&self, job: &Job, layout: &Path, voice: &Voice) -> Result<Laid, String> {
        self.unpack_place(job, Place::layout_at(layout), voice).await
    }

    async fn unpack_place(&self, job: &Job, place: Place, voice: &Voice) -> Result<Laid, String> {
        let folder = Self::folder(job);
        let scratch = folder.join(format!("archive-{}", job.next_serial()));
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let opened = tokio::task::spawn_blocking(move || place.open(&scratch)).await;
        let archive = opened.map_err(|e| e.to_string())??;
        let say = |text: &str| voice.say(text);
        Store::new(&self.root(job), self.level()).unpack(&archive, &say).await
    }
}

/// An image over the machine's own root is no whole one.
fn whole(image: &str, laid: Laid) -> Result<Laid, String> {
    if laid.config.labels.get(BASE_LABEL).is_some_and(|base| base == MACHINE_BASE) {
        return Err(format!(
            "`{image}` lies over the root of whatever machine it runs on, so there is no system in it for a container: build \
             it with a base"
        ));
    }
    Ok(laid)
}
