//! The same Dockerfiles built here and by others: the trees and configurations must be the same. Docker builds with its
//! own builder (its BuildKit needs a plugin that Debian does not have), Buildah as it is.

mod contexts;
#[path = "../builds/fixture.rs"]
#[expect(dead_code, reason = "shared with the other tests, which use more of it")]
mod fixture;
mod peers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use windlass_build::{BuildRequest, Builder, Compression, Destination, Output};
use windlass_testkit::skip;

use fixture::{File, Heard, Site, read};
use peers::{Buildah, Docker, Peer};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

/// A Dockerfile of the corpus.
struct Case {
    name: String,
    dockerfile: PathBuf,
    /// What the others build: the same, or the same said in the words that they know.
    theirs: PathBuf,
    /// Those that can build it.
    peers: Vec<String>,
    context: PathBuf,
}

/// The corpus' Dockerfiles by name. Comments at their head say who can build them (`# peers:`) and of what (`# context:`).
fn cases(temp: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(corpus()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(".Dockerfile") else { continue };
        let text = std::fs::read_to_string(&path).unwrap();
        let said = |what: &str| {
            let found = text.lines().take(3).find_map(|line| line.strip_prefix(&format!("# {what}: ")));
            found.map(str::to_owned)
        };
        let peers = said("peers").unwrap_or_else(|| panic!("{name} names no peers"));
        let classic = path.with_extension("legacy");
        cases.push(Case {
            name: name.to_owned(),
            theirs: if classic.exists() { classic } else { path.clone() },
            dockerfile: path,
            peers: peers.split(' ').map(str::to_owned).collect(),
            context: contexts::named(said("context").as_deref().unwrap_or("kept"), &corpus(), temp),
        });
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(cases.len() >= 40);
    cases
}

/// An image as it is compared.
#[derive(Debug, PartialEq)]
struct Image {
    files: BTreeMap<String, File>,
    config: Value,
}

async fn image_of(builder: &Builder, request: BuildRequest, tar: &Path) -> Result<Image, String> {
    let outcome = builder.build(request, Arc::new(Heard::default())).await.map_err(|e| e.to_string())?;
    let path = builder.store().blobs().path(outcome.id.as_ref().unwrap());
    let config: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    Ok(Image { files: read(tar), config: settled(&config["config"]) })
}

/// A configuration without what is written in several ways and means the same.
fn settled(config: &Value) -> Value {
    let mut settled = serde_json::Map::new();
    let names = [
        "User",
        "ExposedPorts",
        "Env",
        "Entrypoint",
        "Cmd",
        "WorkingDir",
        "Labels",
        "Volumes",
        "StopSignal",
        "Shell",
        "OnBuild",
        "Healthcheck",
    ];
    for name in names {
        let value = &config[name];
        let empty = value.is_null()
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(serde_json::Map::is_empty)
            || value.as_str().is_some_and(str::is_empty)
            || (name == "WorkingDir" && value == "/");
        if !empty {
            settled.insert(name.to_owned(), value.clone());
        }
    }
    // Buildah signs what it makes.
    if let Some(labels) = settled.get_mut("Labels").and_then(Value::as_object_mut) {
        labels.remove("io.buildah.version");
        if labels.is_empty() {
            settled.remove("Labels");
        }
    }
    Value::Object(settled)
}

async fn ours(site: &Site, case: &Case) -> Result<Image, String> {
    let mut request = BuildRequest::of(&case.context);
    request.dockerfile = windlass_build::DockerfileSource::File(case.dockerfile.clone());
    request.default_hosts = Vec::new();
    let tar = site.path(&format!("ours-{}.tar", case.name));
    request.outputs = vec![Output::Tar(Destination::Path(tar.clone()))];
    image_of(&site.builder, request, &tar).await
}

/// What another built, read from what it saved.
async fn theirs(site: &Site, name: &str, archive: &Path) -> Image {
    let loaded = site.builder.load(archive).await.unwrap_or_else(|e| panic!("{name}: {e}"));
    let image = &loaded[0];
    let named = format!("peer-{name}:1");
    site.builder.store().name_image(&named.parse().unwrap(), image).unwrap();
    let path = site.builder.store().blobs().path(&image.config);
    let config: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    // ONBUILD of the image must not run: only its files are wanted.
    let tar = site.path(&format!("theirs-{name}.tar"));
    let mut request = site.request(&format!("FROM {named} AS it\nFROM scratch\nCOPY --from={named} / /\n"));
    request.outputs = vec![Output::Tar(Destination::Path(tar.clone()))];
    image_of(&site.builder, request, &tar).await.unwrap_or_else(|e| panic!("{name}: {e}"));
    Image { files: read(&tar), config: settled(&config["config"]) }
}

/// Where Buildah attaches something and leaves the place.
const ATTACHED: [&str; 8] =
    ["dev", "proc", "sys", "run", "etc", "etc/hostname", "etc/hosts", "etc/resolv.conf"];

/// A file with what a peer keeps of its attributes: Docker keeps capabilities only.
fn kept_by(peer: &str, mut file: File) -> File {
    file.attributes.retain(|name, _| peer != "docker" || name == "security.capability");
    file
}

fn short(file: Option<&File>) -> String {
    match file {
        Some(file) => format!(
            "{} {:o} {:?} {:?} {:?}",
            file.kind,
            file.mode,
            file.owner,
            file.text.chars().take(160).collect::<String>(),
            file.attributes
        ),
        None => "nothing".to_owned(),
    }
}

/// Says where two images differ, path by path.
fn compare(name: &str, peer: &str, ours: &Image, theirs: &Image) -> Vec<String> {
    let mut found = Vec::new();
    let paths: std::collections::BTreeSet<&String> = ours.files.keys().chain(theirs.files.keys()).collect();
    for path in paths {
        let (a, b) = (ours.files.get(path), theirs.files.get(path));
        // Buildah leaves in the image what it attached something to.
        if peer == "buildah" && a.is_none() && ATTACHED.contains(&path.as_str()) {
            continue;
        }
        let kept = |file: Option<&File>| file.cloned().map(|file| kept_by(peer, file));
        if kept(a) != kept(b) {
            found.push(format!("{name}: /{path}: here {}, {peer} {}", short(a), short(b)));
        }
    }
    // Buildah puts a variable that is set again behind the others.
    let sorted = |config: &Value| {
        let mut config = config.clone();
        if let Some(env) = config["Env"].as_array_mut().filter(|_| peer == "buildah") {
            env.sort_by_key(ToString::to_string);
        }
        config
    };
    if sorted(&ours.config) != sorted(&theirs.config) {
        found.push(format!("{name}: configuration: here {}, {peer} {}", ours.config, theirs.config));
    }
    found
}

async fn against(test: &str, peer: &dyn Peer, site: &Site) {
    let base = site.path("base.tar");
    let output = Output::Docker { to: Destination::Path(base.clone()), compression: Compression::None };
    site.builder.save(&"base".parse().unwrap(), &output).await.unwrap();
    peer.load(&base);
    let (mut found, mut compared) = (Vec::new(), 0);
    let only = std::env::var("CASE").ok();
    for case in cases(site.temp.path()) {
        let name = &case.name;
        let wanted = only.as_ref().is_none_or(|only| only.split(',').any(|one| one == name));
        if !wanted || !case.peers.iter().any(|known| known == peer.name()) {
            continue;
        }
        if name == "attributes" && !contexts::has_setcap(&case.context) {
            skip(&format!("{test} {name}"), "there is no /usr/sbin/setcap to set capabilities with");
            continue;
        }
        let here = match ours(site, &case).await {
            Ok(here) => here,
            Err(why) => {
                found.push(format!("{name}: is not built here: {why}"));
                continue;
            }
        };
        let archive = site.path(&format!("{}-{name}.tar", peer.name()));
        let build = || peer.build(name, &case.theirs, &case.context, &archive);
        // Whoever is named in a case can build it; Buildah now and then fails for no reason, and gets another try.
        if let Err(why) = build().or_else(|_| build()) {
            found.push(format!("{name}: {} does not build it: {why}", peer.name()));
            continue;
        }
        let there = theirs(site, name, &archive).await;
        found.extend(compare(name, peer.name(), &here, &there));
        compared += 1;
    }
    assert!(compared > 0, "{} built nothing of the corpus", peer.name());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_builds_the_same() {
    let Some(site) = Site::with_steps("docker_builds_the_same").await else { return };
    match Docker::start(site.temp.path()) {
        Ok(docker) => against("docker_builds_the_same", &docker, &site).await,
        Err(why) => skip("docker_builds_the_same", &why),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn buildah_builds_the_same() {
    let Some(site) = Site::with_steps("buildah_builds_the_same").await else { return };
    match Buildah::start(site.temp.path()) {
        Ok(buildah) => against("buildah_builds_the_same", &buildah, &site).await,
        Err(why) => skip("buildah_builds_the_same", &why),
    }
}
