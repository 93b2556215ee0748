//! From a service of a release to a process: image layers, environment, volumes, limits.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use windlass_delivery::{Instance, Release, ServiceSpec};
use windlass_kernel::{InstanceId, Query, StoreExt as _, Timestamp};
use windlass_runtime::{Bind, InstanceSpec, Level, Limits, Root, SandboxSpec};
use windlass_secrets::{SecretRecord, SettingName};

use crate::context::Context;
use crate::data_dir::DataDir;
use crate::images::Prepared;
use crate::settings::{ArchivedSecret, secret_pin};

/// The folder that an instance's shim keeps its things in.
pub(crate) fn instance_dir(data: &DataDir, id: InstanceId) -> PathBuf {
    data.path("instances").join(id.to_string())
}

/// What an instance's shim is told.
pub(crate) async fn spec(
    ctx: &Context,
    release: &Release,
    instance: &Instance,
) -> anyhow::Result<InstanceSpec> {
    let specs = release.manifest.for_environment(&instance.environment, &instance.project);
    let service = specs.into_iter().find(|s| s.name == instance.service);
    let service =
        service.with_context(|| format!("release {} has no service {}", release.number, instance.service))?;
    let image = release.images.get(&instance.service).context("the release has no image of this service")?;
    let image = ctx.images.prepare(image).await?;
    let argv = service.service.command.clone().unwrap_or_else(|| image.argv.clone());
    if argv.is_empty() {
        bail!(
            "the image says no program to start and windlass.yml gives no `command` for {}",
            instance.service
        );
    }
    let sandbox = sandbox(ctx, &service, instance, &image)?;
    let env = environment(ctx, release, &service, instance, &image).await?;
    Ok(InstanceSpec { sandbox, argv, env, cwd: PathBuf::from(image.workdir.as_deref().unwrap_or("/")) })
}

fn sandbox(
    ctx: &Context,
    service: &ServiceSpec,
    instance: &Instance,
    image: &Prepared,
) -> anyhow::Result<SandboxSpec> {
    let scratch = instance_dir(&ctx.data, instance.id).join("scratch");
    let mut spec = SandboxSpec::machine(instance.id.to_string(), scratch);
    spec.root = if image.machine {
        Root::MachineWithLayers(image.layers.clone())
    } else {
        Root::Layers(image.layers.clone())
    };
    spec.toolchain_homes = image.machine;
    if image.machine {
        spec.hidden.push(ctx.data.root().to_owned());
    }
    spec.hostname = service.name.to_string();
    spec.user = image.user;
    let limits = &service.service.limits;
    spec.limits = Limits {
        cpu_millis: limits.cpu_millis.map(u64::from),
        memory_bytes: limits.memory_bytes,
        processes: limits.processes.map(u64::from),
    };
    for volume in &service.service.volumes {
        let host =
            ctx.data.path("volumes").join(instance.project.as_str()).join(instance.environment.as_str());
        let host = host.join(&volume.name);
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&host)?;
        // Only with the machine's own namespaces is an instance somebody else than Windlass itself: in a user namespace
        // its id stands for Windlass' own, as a plain process it has that.
        if let Some((uid, gid)) = image.user
            && ctx.capabilities.level == Level::Namespaces
        {
            std::os::unix::fs::chown(&host, Some(uid), Some(gid))
                .with_context(|| format!("cannot give the volume {} to {uid}:{gid}", volume.name))?;
        }
        spec.binds.push(Bind { host, inside: PathBuf::from(&volume.path), read_only: false });
    }
    Ok(spec)
}

/// The image's variables, then the manifest's, then the secrets, then what Windlass says.
async fn environment(
    ctx: &Context,
    release: &Release,
    service: &ServiceSpec,
    instance: &Instance,
    image: &Prepared,
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut env = image.env.clone();
    if image.machine {
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".into());
        env.entry("PATH".into()).or_insert(path);
    }
    // As every engine does for an image that says nothing of them.
    env.entry("PATH".into())
        .or_insert_with(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
    if let Some(home) = &image.home {
        env.entry("HOME".into()).or_insert_with(|| home.clone());
    }
    env.extend(service.service.env.clone());
    for name in &service.service.secrets {
        let value = secret(ctx, release, instance, name).await?;
        env.insert(name.clone(), value);
    }
    env.insert("PORT".into(), instance.port.to_string());
    env.insert("WINDLASS_PROJECT".into(), instance.project.to_string());
    env.insert("WINDLASS_ENVIRONMENT".into(), instance.environment.to_string());
    env.insert("WINDLASS_SERVICE".into(), instance.service.to_string());
    env.insert("WINDLASS_RELEASE".into(), release.number.to_string());
    env.insert("WINDLASS_SHA".into(), release.sha.clone());
    env.insert("WINDLASS_INSTANCE".into(), instance.id.to_string());
    Ok(env)
}

/// The version of a secret that the release was made with; of one set later, the one that stands.
async fn secret(ctx: &Context, release: &Release, instance: &Instance, name: &str) -> anyhow::Result<String> {
    let parsed: SettingName = name.parse().with_context(|| format!("`{name}` cannot be a secret's name"))?;
    let query = Query { parent: Some(instance.project.to_string()), ..Query::default() };
    let records = ctx.store.list::<SecretRecord>(&query).await?;
    let fits = |r: &&SecretRecord| {
        r.name == parsed && (r.environment.is_none() || r.environment.as_ref() == Some(&instance.environment))
    };
    // The environment's own before the project's.
    let found = records.iter().map(|r| &r.value).filter(fits).max_by_key(|r| r.environment.is_some());
    let Some(found) = found else {
        bail!(
            "secret {name} is not set for {}: `windlass secret set {name} --project {} --environment {}`",
            instance.environment,
            instance.project,
            instance.environment
        );
    };
    let pins = release.config.get(&instance.environment);
    let pinned = pins.and_then(|c| c.get(&secret_pin(&parsed, found.environment.as_ref()))).copied();
    let record = match pinned {
        Some(version) if version != found.version => {
            let id = ArchivedSecret::key(found, version);
            ctx.store.get::<ArchivedSecret>(&id).await?.map_or_else(|| found.clone(), |a| a.value.record)
        }
        _ => found.clone(),
    };
    Ok(ctx.vault.open(&record)?.expose().clone())
}

/// Leaves word in an instance's log of why it could not be started.
pub(crate) fn note_failure(dir: &Path, why: &str, now: Timestamp) {
    let write = || -> std::io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log"))?;
        for line in why.lines() {
            writeln!(log, "{now} e windlass: {line}")?;
        }
        Ok(())
    };
    if let Err(error) = write() {
        tracing::warn!(%error, "cannot write to an instance's log");
    }
}
