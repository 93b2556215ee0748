//! The way into a job's container: it runs our init instead of what its image would, and takes the steps' programs over a
//! socket. A step costs what it costs in a sandbox: no client, no engine, no process of theirs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use windlass_oci::ContainerConfig;
use windlass_runtime::{Door, Resident, Sandbox};

use crate::container::externals;

/// How long the container's init has to report.
const REPORT: Duration = Duration::from_secs(30);
/// Where the container sees the door.
const DOOR: &str = "/__e/door";

/// A container's way in, before the container is there.
pub(super) struct Entry {
    door: Door,
    /// The words by which our program is called there.
    pub(super) argv: Vec<String>,
    /// What `docker create` is told, before the image.
    pub(super) options: Vec<String>,
    /// And after it.
    pub(super) command: Vec<String>,
}

impl Entry {
    /// Prepares it; `folder` is private to the unit.
    pub(super) async fn prepare(exe: &Path, folder: &Path) -> Result<Self, String> {
        let externals = externals::find(exe).await?;
        let folder = folder.join("door");
        let door = Door::open(&folder).map_err(|e| e.to_string())?;
        let mut options = Vec::new();
        for (host, inside) in
            externals.files.iter().map(|(h, i)| (h.as_path(), i.as_str())).chain([(folder.as_path(), DOOR)])
        {
            options.extend(["--mount".to_owned(), mount(host, inside, true)?]);
        }
        options.extend(["--entrypoint".to_owned(), externals.argv[0].clone()]);
        let command = externals.argv[1..].iter().cloned().chain(Door::arguments(Path::new(DOOR))).collect();
        Ok(Self { door, argv: externals.argv, options, command })
    }

    /// Waits for the init of the container, which was started.
    pub(super) async fn answer(self, id: &str) -> Result<Arc<dyn Sandbox>, String> {
        let resident = Resident { id: id.to_owned(), home: "/github/home".into(), ..Resident::default() };
        match tokio::time::timeout(REPORT, self.door.answer(resident)).await {
            Ok(Ok(sandbox)) => Ok(sandbox),
            Ok(Err(e)) => Err(format!("the job's container does not start: {e}")),
            Err(_) => Err(format!(
                "the job's container did not report for {} seconds; its last words stand above",
                REPORT.as_secs()
            )),
        }
    }
}

/// A folder or file, for `--mount`.
pub(super) fn mount(host: &Path, inside: &str, read_only: bool) -> Result<String, String> {
    let host = host.display().to_string();
    if host.contains([',', '"', '\n']) {
        return Err(format!("the folder `{host}` has characters that Docker cannot mount"));
    }
    let end = if read_only { ",readonly" } else { "" };
    Ok(format!("type=bind,source={host},target={inside}{end}"))
}

/// What `docker inspect` says of a `.Config`.
pub(super) fn config(said: &str) -> Result<ContainerConfig, String> {
    serde_json::from_str(said).map_err(|e| format!("the Docker Engine's answer is damaged: {e}"))
}

/// The variables that programs of a container start from.
pub(super) fn environment(config: &ContainerConfig) -> BTreeMap<String, String> {
    let mut env = crate::container::environment(config);
    if let Some(name) = config.rest.get("Hostname").and_then(serde_json::Value::as_str) {
        env.entry("HOSTNAME".to_owned()).or_insert_with(|| name.to_owned());
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_mounted_as_they_are_named() {
        let spelt = mount(Path::new("/a b:c"), "/__w", true).unwrap();
        assert_eq!(spelt, "type=bind,source=/a b:c,target=/__w,readonly");
        assert!(mount(Path::new("/a,readonly=false"), "/x", true).is_err());
    }

    #[test]
    fn programs_start_from_what_the_container_says() {
        let env = environment(&config(r#"{"Env": ["A=1=2", "PATH=/x"], "Hostname": "h"}"#).unwrap());
        let expected = [("A", "1=2"), ("HOSTNAME", "h"), ("PATH", "/x")];
        assert_eq!(env.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
        assert!(config(r#"{"Env": null, "Cmd": null}"#).is_ok() && config("x").is_err());
    }
}
