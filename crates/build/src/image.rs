//! Images while they are built: layers that may not be here yet, and configurations in the two forms that the language
//! and the image specification have for them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, ready};
use serde_json::{Value, json};
use windlass_dockerfile::plan::HealthCheck;
use windlass_dockerfile::{ImageConfig, Platform};
use windlass_kernel::Digest;
use windlass_oci::{ContainerConfig, Descriptor, History};

use crate::key::Key;
use crate::pack::Packed;

/// A layer's digest and size, which may still be reckoned out.
pub(crate) type Measured = Shared<BoxFuture<'static, Result<Packed, String>>>;

/// A layer.
#[derive(Clone)]
pub(crate) struct Layer {
    /// The folder where it is laid out, or will be.
    pub(crate) folder: PathBuf,
    /// The digest and size of its tar; the size is 0 where it is not known.
    pub(crate) measured: Measured,
    /// The step that left it, in the store.
    pub(crate) step: Option<String>,
    /// The blob that it is.
    pub(crate) blob: Option<Descriptor>,
    /// Where that blob is to be had, when it is not in the store.
    pub(crate) remote: Option<String>,
    /// The step of the cache that said that it left it.
    pub(crate) record: Option<Key>,
}

impl std::fmt::Debug for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layer").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// What is known already.
pub(crate) fn measured(digest: Digest, size: u64) -> Measured {
    ready(Ok(Packed { digest, size })).boxed().shared()
}

/// What a stage starts from, or has become.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// The layers, bottom first.
    pub(crate) layers: Vec<Arc<Layer>>,
    /// What the configuration says to the language.
    pub(crate) config: ImageConfig,
    /// The configuration as it was found: what the language does not know of is kept.
    pub(crate) found: ContainerConfig,
    /// How it came about so far.
    pub(crate) history: Vec<History>,
    /// When its last layer was made, RFC 3339.
    pub(crate) created: Option<String>,
    /// For which platform it is.
    pub(crate) platform: Platform,
    /// Whether a `CMD` was said here (BuildKit notes that).
    pub(crate) cmd_said: bool,
    /// Its digest, where it came from a registry.
    pub(crate) digest: Option<Digest>,
}

/// The usual search path (BuildKit's `DefaultPathEnvUnix`).
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Image {
    /// `scratch`.
    pub(crate) fn scratch(platform: Platform) -> Self {
        let config = ImageConfig {
            working_dir: "/".into(),
            env: vec![("PATH".into(), PATH.into())],
            ..ImageConfig::default()
        };
        Self {
            layers: Vec::new(),
            config,
            found: ContainerConfig::default(),
            history: Vec::new(),
            created: None,
            platform,
            cmd_said: false,
            digest: None,
        }
    }

    /// The layers' folders, top first, as a sandbox wants them.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        self.layers.iter().rev().map(|layer| layer.folder.clone()).collect()
    }
}

/// What the language knows of a configuration.
pub(crate) fn read_config(found: &ContainerConfig, author: Option<String>) -> ImageConfig {
    let strings = |name: &str| -> Option<Vec<String>> {
        let list = found.rest.get(name)?.as_array()?;
        Some(list.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect())
    };
    let volumes = found.rest.get("Volumes").and_then(Value::as_object);
    ImageConfig {
        user: found.user.clone(),
        working_dir: found.working_dir.clone(),
        env: found
            .env
            .iter()
            .map(|variable| {
                let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
                (name.to_owned(), value.to_owned())
            })
            .collect(),
        entrypoint: Some(found.entrypoint.clone()).filter(|list| !list.is_empty()),
        cmd: Some(found.cmd.clone()).filter(|list| !list.is_empty()),
        ports: found.exposed_ports.keys().cloned().collect(),
        volumes: volumes.map(|volumes| volumes.keys().cloned().collect()).unwrap_or_default(),
        labels: found.labels.clone(),
        stop_signal: found.rest.get("StopSignal").and_then(Value::as_str).map(str::to_owned),
        healthcheck: found.rest.get("Healthcheck").and_then(read_health),
        shell: strings("Shell"),
        onbuild: strings("OnBuild").unwrap_or_default(),
        author,
    }
}

fn read_health(value: &Value) -> Option<HealthCheck> {
    let time = |name: &str| Duration::from_nanos(value.get(name).and_then(Value::as_u64).unwrap_or(0));
    Some(HealthCheck {
        test: value.get("Test")?.as_array()?.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect(),
        interval: time("Interval"),
        timeout: time("Timeout"),
        start_period: time("StartPeriod"),
        start_interval: time("StartInterval"),
        retries: value.get("Retries").and_then(Value::as_u64).and_then(|n| n.try_into().ok()).unwrap_or(0),
    })
}

/// The configuration as the image specification and Docker write it.
pub(crate) fn write_config(image: &Image) -> ContainerConfig {
    let config = &image.config;
    let mut rest = image.found.rest.clone();
    let mut put = |name: &str, value: Option<Value>| match value {
        Some(value) => drop(rest.insert(name.to_owned(), value)),
        None => drop(rest.shift_remove(name)),
    };
    let volumes: serde_json::Map<String, Value> =
        config.volumes.iter().map(|volume| (volume.clone(), json!({}))).collect();
    put("Volumes", (!volumes.is_empty()).then_some(Value::Object(volumes)));
    put("StopSignal", config.stop_signal.clone().map(Value::String));
    put("Shell", config.shell.clone().map(|shell| json!(shell)));
    put("OnBuild", (!config.onbuild.is_empty()).then(|| json!(config.onbuild)));
    put("Healthcheck", config.healthcheck.as_ref().map(write_health));
    if image.cmd_said {
        put("ArgsEscaped", Some(Value::Bool(true)));
    }
    ContainerConfig {
        user: config.user.clone(),
        exposed_ports: config.ports.iter().map(|port| (port.clone(), json!({}))).collect(),
        env: config.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        entrypoint: config.entrypoint.clone().unwrap_or_default(),
        cmd: config.cmd.clone().unwrap_or_default(),
        working_dir: config.working_dir.clone(),
        labels: config.labels.clone(),
        rest,
    }
}

fn write_health(check: &HealthCheck) -> Value {
    let mut value = json!({ "Test": check.test });
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let times = [
        ("Interval", nanos(check.interval)),
        ("Timeout", nanos(check.timeout)),
        ("StartPeriod", nanos(check.start_period)),
        ("StartInterval", nanos(check.start_interval)),
        ("Retries", u64::from(check.retries)),
    ];
    for (name, number) in times.into_iter().filter(|(_, number)| *number > 0) {
        value[name] = json!(number);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_survives_the_way_there_and_back() {
        let text = r#"{"User":"app","ExposedPorts":{"80/tcp":{}},"Env":["A=b=c","E="],"Cmd":["x"],"WorkingDir":"/w",
            "Labels":{"l":"v"},"Volumes":{"/data":{}},"StopSignal":"SIGINT","Shell":["/bin/bash","-c"],"OnBuild":["RUN x"],
            "Healthcheck":{"Test":["CMD","x"],"Interval":5000000000,"Retries":3},"Unknown":7}"#;
        let found: ContainerConfig = serde_json::from_str(text).unwrap();
        let mut image = Image::scratch(Platform::linux("amd64"));
        image.config = read_config(&found, None);
        image.found = found.clone();
        assert_eq!(image.config.env[0], ("A".into(), "b=c".into()));
        assert_eq!(image.config.healthcheck.as_ref().unwrap().interval, Duration::from_secs(5));
        let (a, b) =
            (serde_json::to_value(write_config(&image)).unwrap(), serde_json::to_value(found).unwrap());
        assert_eq!(a, b);
    }
}
