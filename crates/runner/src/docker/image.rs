//! One run of an image: a container of its own, with our init in it, which makes way for the image's program. The folders of
//! an action are links within the container: whatever a step put in their place, they lead nowhere but there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use windlass_runtime::{Exec, Exit};

use super::DockerProgram;
use super::action::Image;
use super::entry::{environment, mount};
use super::exec::translate;
use super::start::{HOME, WORKFLOW};
use crate::action::{ActionError, as_variables, failed, states};
use crate::context::Frame;
use crate::job::{Going, Job, Progress, StepFiles};

/// Where the container sees the job's folder.
const WORK: &str = "/__w";
/// The largest folder that an image is built from, in bytes.
const LARGEST: u64 = 512 << 20;

impl Job {
    /// Runs an image.
    pub(crate) async fn run_image(
        &self,
        progress: &mut Progress,
        frame: &Frame,
        program: &DockerProgram,
        going: &mut Going,
        files: &StepFiles,
    ) -> Result<(), ActionError> {
        // Says who may, before anything else is tried.
        self.client().await?;
        self.own_folders().map_err(|e| failed(format!("the job's folders cannot be made: {e}")))?;
        let image = self.image_of(program, going).await?;
        let inspect = ["image", "inspect", "--format", "{{json .Config}}", "--", &image];
        let said = self.docker(&inspect, &going.patience).await?;
        let config: Json = serde_json::from_str(&said)
            .map_err(|e| failed(format!("the Docker Engine's answer is damaged: {e}")))?;
        let serial = self.next_serial();
        let entry = self.entry(serial).await?;
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
        let said = self.docker_ask(create, "create", &going.patience).await?;
        let id = said.lines().last().unwrap_or_default().trim().to_owned();
        let ran = async {
            let links =
                links(&self.links()?).map_err(|e| failed(format!("an archive cannot be made: {e}")))?;
            let copy = self.client().await?.exec(["cp", "-", &format!("{id}:/")]).stdin(links);
            self.docker_ask(copy, "cp", &going.patience).await?;
            self.docker(&["start", &id], &going.patience).await?;
            let argv = entry.argv.clone();
            let inside = self.place.through(entry.answer(&id).await.map_err(failed)?, argv);
            let exec = self.image_exec(progress, frame, program, &config, going, files)?;
            let ran = self.execute_in(&inside, progress, going, exec).await;
            inside.close().await;
            ran
        };
        let ran = ran.await;
        if let Err(e) = self.docker(&["rm", "--force", "--volumes", &id], &self.last_patience()).await {
            tracing::warn!(error = %e, "the container of an action does not go away");
        }
        match ran? {
            Exit::Code(0) => Ok(()),
            exit => Err(failed(format!("Docker run failed with exit code {}", exit.code()))),
        }
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
    async fn context_of(&self, folder: &Path, going: &Going) -> Result<Vec<u8>, ActionError> {
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

    /// The folders that an action finds below `/github`, and where they are in the container.
    fn links(&self) -> Result<Vec<(&'static str, PathBuf)>, ActionError> {
        let layout = &self.place.layout;
        let work = layout.temp.parent().unwrap_or(&layout.temp);
        let folders = [
            ("home", layout.temp.join(HOME)),
            ("workflow", layout.temp.join(WORKFLOW)),
            ("file_commands", layout.commands.clone()),
            ("runner_temp", layout.temp.clone()),
            ("workspace", layout.workspace.clone()),
        ];
        let link = |(name, folder): (&'static str, PathBuf)| {
            let relative = folder.strip_prefix(work).ok()?;
            Some((name, Path::new(WORK).join(relative)))
        };
        folders
            .into_iter()
            .map(link)
            .collect::<Option<_>>()
            .ok_or_else(|| failed("the job's folders are apart"))
    }

    fn image_exec(
        &self,
        progress: &Progress,
        frame: &Frame,
        program: &DockerProgram,
        config: &Json,
        going: &Going,
        files: &StepFiles,
    ) -> Result<Exec, ActionError> {
        let layout = &self.place.layout;
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let folders = [
            (path(&layout.temp.join(HOME)), "/github/home".to_owned()),
            (path(&layout.temp.join(WORKFLOW)), "/github/workflow".to_owned()),
            (path(&layout.commands), "/github/file_commands".to_owned()),
            (path(&layout.temp), "/github/runner_temp".to_owned()),
            (path(&layout.workspace), "/github/workspace".to_owned()),
        ];
        let base = self.place.base();
        let mut own = self.program_env(progress, frame, &going.visible, &going.mark);
        own.retain(|name, value| name != "PATH" && base.get(name) != Some(value));
        own.extend(as_variables(&program.inputs));
        own.extend(program.env.iter().cloned());
        own.extend(states(progress, &going.key));
        own.insert("GITHUB_ACTION_REPOSITORY".into(), program.repository.clone());
        own.insert("GITHUB_ACTION_REF".into(), program.git_ref.clone());
        if let Some(services) = &self.assignment.services {
            own.extend(services.action_env().into_iter().map(|(name, value)| (name.to_owned(), value)));
        }
        own.extend(files.env());
        for value in own.values_mut() {
            *value = translate(value, &folders);
        }
        own.insert("HOME".into(), "/github/home".into());
        // The folder is a link: by this a shell knows what it is called.
        own.insert("PWD".into(), "/github/workspace".into());
        let mut env = environment(&config.to_string()).map_err(failed)?;
        env.remove("HOSTNAME");
        env.extend(own);
        let argv = argv(program, config);
        if argv.is_empty() {
            return Err(failed("the image has no entry point and no command, and the step gives none"));
        }
        Ok(Exec { env, ..Exec::new(argv) }.cwd("/github/workspace"))
    }
}

/// What the engine would run: the entry point and the arguments that are given, else those of the image.
fn argv(program: &DockerProgram, config: &Json) -> Vec<String> {
    let words = |key: &str| {
        let words = config[key].as_array().into_iter().flatten();
        words.filter_map(|word| word.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let mut argv =
        program.entrypoint.clone().map_or_else(|| words("Entrypoint"), |entrypoint| vec![entrypoint]);
    if !program.args.is_empty() {
        argv.extend(program.args.iter().cloned());
    } else if program.entrypoint.is_none() {
        argv.extend(words("Cmd"));
    }
    argv
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

    fn program(entrypoint: Option<&str>, args: &[&str]) -> DockerProgram {
        DockerProgram {
            image: Image::Named("x".into()),
            entrypoint: entrypoint.map(str::to_owned),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: Vec::new(),
            inputs: Vec::new(),
            repository: String::new(),
            git_ref: String::new(),
        }
    }

    #[test]
    fn what_is_given_goes_before_what_the_image_says() {
        let config = serde_json::json!({"Entrypoint": ["e"], "Cmd": ["c"]});
        for (entrypoint, args, expected) in [
            (None, &[][..], vec!["e", "c"]),
            (None, &["a"][..], vec!["e", "a"]),
            (Some("x"), &[][..], vec!["x"]),
            (Some("x"), &["a"][..], vec!["x", "a"]),
        ] {
            assert_eq!(argv(&program(entrypoint, args), &config), expected, "{entrypoint:?} {args:?}");
        }
        assert!(argv(&program(None, &[]), &serde_json::json!({"Entrypoint": null})).is_empty());
    }

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
