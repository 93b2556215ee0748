//! One run of an image by the engine: a container of its own, with our init in it, which makes way for the image's program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use windlass_runtime::{Exec, Exit};

use super::entry::{config, mount};
use crate::action::{ActionError, failed};
use crate::container::{DockerProgram, Image, Once, WORK};
use crate::job::{Going, Job};

/// The largest folder that an image is built from, in bytes.
const LARGEST: u64 = 512 << 20;

impl Job {
    /// Runs an image.
    pub(super) async fn docker_run(&self, once: Once<'_>) -> Result<Exit, ActionError> {
        // Says who may, before anything else is tried.
        self.client().await?;
        let patience = once.going.patience.clone();
        let image = self.image_of(once.program, once.going).await?;
        let inspect = ["image", "inspect", "--format", "{{json .Config}}", "--", &image];
        let config = config(&self.docker(&inspect, &patience).await?).map_err(failed)?;
        let entry = self.entry(self.next_serial()).await?;
        let mut words = vec!["create".to_owned(), "--workdir".into(), "/".into()];
        words.extend(self.labels());
        words.extend(self.bounds());
        if let Some(containers) = self.containers.get() {
            words.extend(["--network".to_owned(), containers.network.clone()]);
        }
        let work = self.place.work();
        words.extend(["--mount".to_owned(), mount(&work, WORK, false).map_err(failed)?]);
        if let Some(socket) = self.docker.socket() {
            words.extend(["--volume".to_owned(), format!("{}:/var/run/docker.sock", socket.display())]);
        }
        words.extend(entry.options.iter().cloned());
        words.push(image);
        words.extend(entry.command.iter().cloned());
        let create = self.client().await?.exec(words);
        let said = self.docker_ask(create, "create", &patience).await?;
        let id = said.lines().last().unwrap_or_default().trim().to_owned();
        let ran = async {
            let links = links(&self.github_links()?)
                .map_err(|e| failed(format!("an archive cannot be made: {e}")))?;
            let copy = self.client().await?.exec(["cp", "-", &format!("{id}:/")]).stdin(links);
            self.docker_ask(copy, "cp", &patience).await?;
            self.docker(&["start", &id], &patience).await?;
            let argv = entry.argv.clone();
            let inside = self.place.through(entry.answer(&id).await.map_err(failed)?, argv);
            let exec = self.once_exec(&once, &config)?;
            let ran = self.execute_in(&inside, once.progress, once.going, exec).await;
            inside.close().await;
            ran
        };
        let ran = ran.await;
        if let Err(e) = self.docker(&["rm", "--force", "--volumes", &id], &self.last_patience()).await {
            tracing::warn!(error = %e, "the container of an action does not go away");
        }
        ran
    }

    async fn image_of(&self, program: &DockerProgram, going: &Going) -> Result<String, ActionError> {
        match &program.image {
            Image::Named(image) => {
                self.docker_image(image, &going.voice, &going.patience).await?;
                Ok(image.clone())
            }
            Image::Built { folder, file } => {
                let mut built = self.images.lock().await;
                if let Some(tag) = built.get(file) {
                    return Ok(tag.clone());
                }
                let tag = format!("windlass-action:{}-{}", self.assignment.job.to_lowercase(), built.len());
                let name = Path::new(file).file_name().unwrap_or_default().to_string_lossy().into_owned();
                let context = self.context_of(folder, going).await?;
                let labels = self.labels();
                let words = ["build", "--tag", &tag, "--file", &name].into_iter();
                let words: Vec<&str> = words.chain(labels.iter().map(String::as_str)).chain(["-"]).collect();
                self.docker_shown(&words, context, &going.voice, &going.patience).await?;
                built.insert(file.clone(), tag.clone());
                Ok(tag)
            }
        }
    }

    /// The files that an image is built from. They are read where the job could read them, not by the engine's client.
    pub(crate) async fn context_of(&self, folder: &Path, going: &Going) -> Result<Vec<u8>, ActionError> {
        let archive = self.place.layout.temp.join(format!("context-{}.tar", self.next_serial()));
        let (file, folder) = (archive.to_string_lossy().into_owned(), folder.to_string_lossy().into_owned());
        let tar = ["tar", "--create", "--file", &file, "--directory", &folder, "--", "."];
        let exec =
            Exec { env: self.place.base().clone(), ..Exec::new(tar) }.cwd(&self.place.layout.workspace);
        match self.place.ask(exec, &going.patience).await? {
            (0, ..) => {}
            (_, _, err) => return Err(failed(format!("`{folder}` cannot be packed: {}", err.trim()))),
        }
        let read = || {
            let file = self.place.below.open(&archive)?;
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut std::io::Read::take(file, LARGEST + 1), &mut bytes)?;
            Ok::<_, std::io::Error>(bytes)
        };
        let bytes = read().map_err(|e| failed(format!("`{folder}` cannot be packed: {e}")))?;
        let _ = self.place.write(&archive, b"");
        if bytes.len() as u64 > LARGEST {
            return Err(failed(format!(
                "`{folder}` holds more than {} MiB to build an image from",
                LARGEST >> 20
            )));
        }
        Ok(bytes)
    }
}

/// An archive with a folder `github` of links.
fn links(links: &[(&str, PathBuf)]) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let header = |kind, mode| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(0);
        header
    };
    tar.append_data(&mut header(tar::EntryType::Directory, 0o755), "github/", std::io::empty())?;
    let names: BTreeMap<_, _> = links.iter().map(|(name, target)| (*name, target)).collect();
    for (name, target) in names {
        tar.append_link(&mut header(tar::EntryType::Symlink, 0o777), format!("github/{name}"), target)?;
    }
    tar.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_of_an_action_are_links_within_the_container() {
        let bytes = links(&[("workspace", PathBuf::from("/__w/shop/shop"))]).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let found: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                (
                    entry.path().unwrap().into_owned(),
                    entry.link_name().unwrap().map(std::borrow::Cow::into_owned),
                )
            })
            .collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1], ("github/workspace".into(), Some("/__w/shop/shop".into())));
    }
}
