//! `docker/build-push-action` without Docker: what its inputs ask for, as our own builder takes it.

use std::path::PathBuf;

use windlass_build::{
    BuildRequest, CacheFrom, CacheTo, Compression, Destination, NamedContext, Network, Outcome, Output,
    is_git, metadata,
};
use windlass_kernel::Secret;
use windlass_oci::ImageName;

use super::super::{ActionError, ActionRun, dockerfile, failed};
use super::build::entries;

/// How this builder is called, in `builder` and by `docker/setup-buildx-action`.
pub(super) const NAME: &str = "windlass";
/// The variable that says which builder is used, where that is Docker.
const CHOICE: &str = "WINDLASS_BUILDER";
/// What stands for the repository in `context`, with a folder of it behind a colon.
const DEFAULT_CONTEXT: &str = "{{defaultContext}}";
/// What only Docker has.
const FOREIGN: &[&str] = &["add-hosts", "call", "cgroup-parent", "shm-size", "ssh", "ulimit"];
/// What changes nothing here, and why.
const IDLE: &[(&str, &str)] = &[
    ("allow", "steps have no more rights than the job"),
    ("attests", "this server makes statements about images itself"),
];

/// A file that a build makes for the job.
struct Export {
    made: PathBuf,
    to: String,
    /// Whether its files are wanted, not itself.
    unpack: bool,
}

/// Whether Docker was asked for by name.
pub(super) fn is_dockers(run: &ActionRun<'_>) -> bool {
    let builder = run.input("builder");
    run.env.get(CHOICE).is_some_and(|choice| choice == "docker") || !["", NAME].contains(&builder)
}

/// Builds.
pub(super) async fn build(run: &mut ActionRun<'_>) -> Result<(), ActionError> {
    if let Some(foreign) = FOREIGN.iter().find(|name| !run.input(name).is_empty()) {
        return Err(failed(format!(
            "`{foreign}` is Docker's: use `env: {{ {CHOICE}: docker }}` where the runner's machine opens it to jobs"
        )));
    }
    for (idle, why) in IDLE.iter().filter(|(name, _)| !run.input(name).is_empty()) {
        run.voice.warn(&format!("`{idle}` has no effect: {why}"));
    }
    let (request, exports) = request(run)?;
    let context = context(run.input("context"))?;
    let file = Some(run.input("file")).filter(|file| !file.is_empty());
    let built = dockerfile::build(run, request, &context, file).await?;
    for export in exports {
        hand_over(run, &export).await?;
    }
    told(run, &built);
    Ok(())
}

fn told(run: &mut ActionRun<'_>, built: &Outcome) {
    let text = |digest: &Option<windlass_kernel::Digest>| {
        digest.as_ref().map_or_else(String::new, ToString::to_string)
    };
    let (id, digest) = (text(&built.id), text(&built.digest));
    run.voice.say(&format!("{} step(s), {} of them cached; image {id}", built.steps, built.cached));
    run.output("imageid", id);
    run.output("digest", digest);
    run.output("metadata", serde_json::to_string_pretty(&metadata(built)).unwrap_or_default());
}

/// The context's folder in the workspace.
fn context(text: &str) -> Result<String, ActionError> {
    if let Some(rest) = text.strip_prefix(DEFAULT_CONTEXT) {
        return Ok(rest.trim_start_matches(':').to_owned());
    }
    if is_git(text) {
        return Err(failed(format!(
            "`context: {text}`: check the repository out first, and name its folder"
        )));
    }
    Ok(text.to_owned())
}

fn request(run: &ActionRun<'_>) -> Result<(BuildRequest, Vec<Export>), ActionError> {
    let mut request = BuildRequest::of(".");
    request.target = Some(run.input("target").to_owned()).filter(|target| !target.is_empty());
    request.build_args = dockerfile::pairs(run, "build-args")?.into_iter().collect();
    request.labels = dockerfile::pairs(run, "labels")?.into_iter().collect();
    request.annotations = dockerfile::pairs(run, "annotations")?.into_iter().map(of_manifest).collect();
    for (name, value) in dockerfile::pairs(run, "build-contexts")? {
        let named: NamedContext = value.parse().map_err(failed)?;
        if !matches!(named, NamedContext::Image(_)) {
            return Err(failed(format!("`build-contexts`: `{value}` is not an image: docker-image://NAME")));
        }
        request.contexts.insert(name, named);
    }
    for wanted in entries(run, "platforms") {
        let platform = wanted.parse().map_err(|e| failed(format!("`platforms`: {e}")))?;
        if !request.platforms.contains(&platform) {
            request.platforms.push(platform);
        }
    }
    request.secrets =
        dockerfile::secrets(run)?.into_iter().map(|(id, value)| (id, Secret::new(value))).collect();
    request.tags = entries(run, "tags").iter().map(|tag| name(tag)).collect::<Result<_, _>>()?;
    request.no_cache = run.flag("no-cache")?;
    request.no_cache_filter = entries(run, "no-cache-filters");
    request.pull = run.flag("pull")?;
    request.network = match run.input("network") {
        "" | "default" | "host" => Network::Host,
        "none" => Network::None,
        other => return Err(failed(format!("`network: {other}` is neither `host` nor `none`"))),
    };
    let epoch = run.env.get("SOURCE_DATE_EPOCH").filter(|epoch| !epoch.is_empty());
    request.source_date_epoch =
        epoch.map(|e| e.parse()).transpose().map_err(|_| failed("`SOURCE_DATE_EPOCH` is no number"))?;
    for entry in run.lines("cache-from") {
        request.cache_from.extend(cache_from(&entry)?);
    }
    for entry in run.lines("cache-to") {
        request.cache_to.extend(cache_to(&entry)?);
    }
    let exports = outputs(run, &mut request)?;
    Ok((request, exports))
}

/// Annotations may say what they are of: here there are manifests only.
fn of_manifest((name, value): (String, String)) -> (String, String) {
    let plain = name.strip_prefix("manifest:").unwrap_or(&name).to_owned();
    (plain, value)
}

fn name(text: &str) -> Result<ImageName, ActionError> {
    text.parse().map_err(|e| failed(format!("`{text}` is not the name of an image: {e}")))
}

/// The `key=value` fields of an entry; none if it has no such form.
fn fields(entry: &str) -> Option<Vec<(&str, &str)>> {
    entry.split(',').map(|field| field.trim().split_once('=')).collect()
}

fn field<'a>(fields: &[(&'a str, &'a str)], name: &str) -> &'a str {
    fields.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
}

/// The builder keeps what it did by itself: what other systems keep for theirs is not needed.
fn cache_from(entry: &str) -> Result<Option<CacheFrom>, ActionError> {
    let Some(fields) = fields(entry) else { return Ok(Some(CacheFrom::Registry(name(entry)?))) };
    match field(&fields, "type") {
        "registry" => Ok(Some(CacheFrom::Registry(name(field(&fields, "ref"))?))),
        "gha" | "local" | "inline" => Ok(None),
        other => {
            Err(failed(format!("`cache-from: type={other}` is not supported: `type=registry,ref=…` is")))
        }
    }
}

fn cache_to(entry: &str) -> Result<Option<CacheTo>, ActionError> {
    let Some(fields) = fields(entry) else { return Ok(Some(CacheTo::Registry(name(entry)?))) };
    match field(&fields, "type") {
        "registry" => Ok(Some(CacheTo::Registry(name(field(&fields, "ref"))?))),
        "inline" => Ok(Some(CacheTo::Inline)),
        "gha" | "local" => Ok(None),
        other => Err(failed(format!("`cache-to: type={other}` is not supported: `type=registry,ref=…` is"))),
    }
}

fn outputs(run: &ActionRun<'_>, request: &mut BuildRequest) -> Result<Vec<Export>, ActionError> {
    let mut exports = Vec::new();
    let (mut push, mut load) = (run.flag("push")?, run.flag("load")?);
    for entry in run.lines("outputs") {
        let plain = [("type", "local"), ("dest", entry.as_str())].to_vec();
        let fields = fields(&entry).unwrap_or(plain);
        let (kind, to) = (field(&fields, "type"), field(&fields, "dest").to_owned());
        match (kind, to.as_str()) {
            ("registry", _) => push = true,
            ("image", _) => push |= field(&fields, "push") == "true",
            ("docker", "") => load = true,
            ("cacheonly", _) => {}
            ("docker" | "oci" | "tar" | "local", "" | "-") => {
                return Err(failed(format!("`outputs: {entry}`: `dest` must name a path of the workspace")));
            }
            ("docker" | "oci" | "tar" | "local", _) => {
                let made = run.job.place.outgoing(&format!("output-{}.tar", run.job.next_serial()));
                let made = made.map_err(|e| failed(format!("the output cannot be kept: {e}")))?;
                let (dest, compression) = (Destination::Path(made.clone()), Compression::Gzip);
                request.outputs.push(match kind {
                    "docker" => Output::Docker { to: dest, compression },
                    "oci" => Output::Oci { to: dest, folder: false, compression },
                    _ => Output::Tar(dest),
                });
                exports.push(Export { made, to, unpack: kind == "local" });
            }
            (other, _) => return Err(failed(format!("`outputs: type={other}` is not known"))),
        }
    }
    if push {
        request.outputs.push(Output::Push(Compression::Gzip));
    }
    if load && run.job.docker.allowed {
        request.outputs.push(Output::DockerLoad);
    } else if load {
        run.voice
            .say("The image is kept where builds of this job find it: there is no Docker to load it into.");
    }
    Ok(exports)
}

async fn hand_over(run: &ActionRun<'_>, export: &Export) -> Result<(), ActionError> {
    if !export.unpack {
        return dockerfile::hand_over(run, &export.made, &export.to).await;
    }
    let tar = format!(".windlass-output-{}.tar", run.job.next_serial());
    dockerfile::hand_over(run, &export.made, &tar).await?;
    run.in_workspace(&export.to)?;
    let workspace = run.workspace();
    run.must(&["mkdir", "-p", "--", &export.to], &workspace).await?;
    let unpacked = run.must(&["tar", "-xf", &tar, "-C", &export.to], &workspace).await;
    run.must(&["rm", "-f", "--", &tar], &workspace).await?;
    unpacked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_of_registries_are_taken_and_those_of_other_systems_are_not_needed() {
        let image = |text: &str| text.parse::<ImageName>().unwrap();
        for (entry, wanted) in [
            ("type=registry,ref=h:5/a:c", Some(CacheFrom::Registry(image("h:5/a:c")))),
            ("h:5/a:c", Some(CacheFrom::Registry(image("h:5/a:c")))),
            ("type=gha,scope=x", None),
            ("type=local,src=/tmp/x", None),
        ] {
            assert_eq!(cache_from(entry).unwrap_or_else(|_| panic!("{entry}")), wanted, "{entry}");
        }
        assert_eq!(cache_to("type=inline").ok(), Some(Some(CacheTo::Inline)));
        assert_eq!(cache_to("type=gha,mode=max").ok(), Some(None));
        assert!(cache_from("type=s3,bucket=x").is_err() && cache_to("type=registry").is_err());
    }

    #[test]
    fn a_context_is_a_folder() {
        for (text, wanted) in
            [("", ""), (".", "."), ("{{defaultContext}}", ""), ("{{defaultContext}}:a/b", "a/b")]
        {
            assert_eq!(context(text).ok().as_deref(), Some(wanted), "{text}");
        }
        assert!(context("https://github.com/a/b.git#main").is_err());
    }
}
