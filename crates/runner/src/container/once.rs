//! One run of an image, as every engine starts it. The folders of an action are links within the container: whatever a step
//! put in their place, they lead nowhere but there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use windlass_oci::ContainerConfig;
use windlass_runtime::Exec;

use super::exec::translate;
use super::{DEFAULT_PATH, DockerProgram, HOME, Once, WORKFLOW};
use crate::action::{ActionError, as_variables, failed, states};
use crate::job::Job;

/// Where the container sees the job's folder.
pub(crate) const WORK: &str = "/__w";

impl Job {
    /// The folders that an action finds below `/github`, and where they are in the container.
    pub(crate) fn github_links(&self) -> Result<Vec<(&'static str, PathBuf)>, ActionError> {
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

    /// The program of an image's run.
    pub(crate) fn once_exec(&self, once: &Once<'_>, image: &ContainerConfig) -> Result<Exec, ActionError> {
        let Once { progress, frame, program, going, files } = once;
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
        let mut env = environment(image);
        env.extend(own);
        let argv = argv(program, image);
        if argv.is_empty() {
            return Err(failed("the image has no entry point and no command, and the step gives none"));
        }
        Ok(Exec { env, ..Exec::new(argv) }.cwd("/github/workspace"))
    }
}

/// The variables that programs of an image start from.
pub(crate) fn environment(image: &ContainerConfig) -> BTreeMap<String, String> {
    let variables = image.env.iter().filter_map(|entry| entry.split_once('='));
    let mut env: BTreeMap<String, String> =
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    env.entry("PATH".to_owned()).or_insert_with(|| DEFAULT_PATH.to_owned());
    env
}

/// The entry point and the arguments that are given, else those of the image.
fn argv(program: &DockerProgram, image: &ContainerConfig) -> Vec<String> {
    let mut argv =
        program.entrypoint.clone().map_or_else(|| image.entrypoint.clone(), |entrypoint| vec![entrypoint]);
    if !program.args.is_empty() {
        argv.extend(program.args.iter().cloned());
    } else if program.entrypoint.is_none() {
        argv.extend(image.cmd.iter().cloned());
    }
    argv
}

#[cfg(test)]
mod tests {
    use super::super::Image;
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
        let image: ContainerConfig =
            serde_json::from_value(serde_json::json!({"Entrypoint": ["e"], "Cmd": ["c"]})).unwrap();
        for (entrypoint, args, expected) in [
            (None, &[][..], vec!["e", "c"]),
            (None, &["a"][..], vec!["e", "a"]),
            (Some("x"), &[][..], vec!["x"]),
            (Some("x"), &["a"][..], vec!["x", "a"]),
        ] {
            assert_eq!(argv(&program(entrypoint, args), &image), expected, "{entrypoint:?} {args:?}");
        }
        let empty = serde_json::from_value(serde_json::json!({"Entrypoint": null})).unwrap();
        assert!(argv(&program(None, &[]), &empty).is_empty());
    }

    #[test]
    fn programs_start_from_what_the_image_says() {
        let image: ContainerConfig =
            serde_json::from_value(serde_json::json!({"Env": ["A=1=2", "PATH=/x", "odd"]})).unwrap();
        let env = environment(&image);
        assert_eq!(
            env.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>(),
            [("A", "1=2"), ("PATH", "/x")]
        );
        assert_eq!(environment(&ContainerConfig::default())["PATH"], DEFAULT_PATH);
    }
}
