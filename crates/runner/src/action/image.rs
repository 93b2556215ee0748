//! `windlass/build`: an image assembled from files of the workspace, or built of a Dockerfile in it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use windlass_api::runner::BuildImage;
use windlass_build::{BuildRequest, Compression, Output};
use windlass_kernel::Secret;

use super::{Action, ActionError, ActionRun, dockerfile, failed};
use crate::tool::{Assembly, Request};

pub(super) struct Build;

#[async_trait]
impl Action for Build {
    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("base", "scratch"),
            ("files", ""),
            ("entrypoint", ""),
            ("cmd", ""),
            ("env", ""),
            ("user", ""),
            ("workdir", ""),
            ("expose", ""),
            ("name", ""),
            ("tags", ""),
            ("labels", ""),
            ("dockerfile", ""),
            ("context", ""),
            ("target", ""),
            ("build-args", ""),
            ("secrets", ""),
            ("secret-envs", ""),
            ("secret-files", ""),
        ]
    }

    async fn run(&self, run: &mut ActionRun<'_>) -> Result<(), ActionError> {
        if !run.input("dockerfile").is_empty() {
            return of_dockerfile(run).await;
        }
        run.required("files")?;
        let build = description(run)?;
        let tar = run
            .job
            .place
            .outgoing(&format!("image-{}.tar", run.job.next_serial()))
            .map_err(|e| failed(format!("cannot keep the image's files: {e}")))?;
        let assembly = Assembly { root: run.workspace(), files: run.lines("files") };
        let report = run.tool(Request::Assemble(assembly), Some(&tar)).await?;
        run.voice
            .say(&format!("{} file(s), {} bytes, on the base `{}`", report.files, report.bytes, build.base));
        let control = &run.job.control;
        let built = run.insist("building the image", || control.build_image(&build, &tar)).await;
        let _ = std::fs::remove_file(&tar);
        let built = built?;
        run.voice.say(&format!("Built {} ({} bytes compressed)", built.reference, built.size));
        run.output("digest", built.digest);
        run.output("reference", built.reference);
        Ok(())
    }
}

/// What a Dockerfile says itself.
const OF_FILES: [&str; 7] = ["files", "entrypoint", "cmd", "env", "user", "workdir", "expose"];

async fn of_dockerfile(run: &mut ActionRun<'_>) -> Result<(), ActionError> {
    if let Some(other) = OF_FILES.iter().find(|name| !run.input(name).is_empty()) {
        return Err(failed(format!(
            "`{other}` is for images of `files`: an image of a `dockerfile` has it from there"
        )));
    }
    let assignment = &run.job.assignment;
    let name = match run.input("name") {
        "" => &assignment.project,
        name => name,
    };
    let mut tags = words(run.input("tags")).map_err(|why| failed(format!("`tags`: {why}")))?;
    let commit = assignment.github["sha"].as_str().and_then(|sha| sha.get(..12)).unwrap_or("none");
    if tags.is_empty() {
        tags.push(format!("sha-{commit}"));
    }
    let place = format!("{}/{name}", assignment.registry);
    let mut request = BuildRequest::of(".");
    for tag in &tags {
        let image = format!("{place}:{tag}");
        let parsed =
            image.parse().map_err(|e| failed(format!("`{image}` cannot be an image's name: {e}")))?;
        request.tags.push(parsed);
    }
    request.target = Some(run.input("target").to_owned()).filter(|target| !target.is_empty());
    request.build_args = dockerfile::pairs(run, "build-args")?.into_iter().collect();
    request.labels = dockerfile::pairs(run, "labels")?.into_iter().collect();
    request.secrets =
        dockerfile::secrets(run)?.into_iter().map(|(id, value)| (id, Secret::new(value))).collect();
    if run.job.local.is_none() {
        request.outputs.push(Output::Push(Compression::Gzip));
    }
    let built = dockerfile::build(run, request, run.input("context"), Some(run.input("dockerfile"))).await?;
    let digest = built.digest.as_ref().map(ToString::to_string);
    let reference =
        digest.as_ref().map_or_else(|| format!("{place}:{}", tags[0]), |digest| format!("{place}@{digest}"));
    let digest = digest.or_else(|| built.id.map(|id| id.to_string())).unwrap_or_default();
    run.voice.say(&format!("Built {reference} ({} step(s), {} of them cached)", built.steps, built.cached));
    run.output("digest", digest);
    run.output("reference", reference);
    Ok(())
}

fn description(run: &ActionRun<'_>) -> Result<BuildImage, ActionError> {
    let optional = |name: &str| Some(run.input(name).to_owned()).filter(|value| !value.is_empty());
    let mut env = run.lines("env");
    for line in &mut env {
        let (name, value) =
            line.split_once('=').ok_or_else(|| failed(format!("`env`: `{line}` is not NAME=value")))?;
        *line = format!("{}={value}", name.trim());
    }
    let mut labels = BTreeMap::new();
    for line in run.lines("labels") {
        let (name, value) =
            line.split_once('=').ok_or_else(|| failed(format!("`labels`: `{line}` is not NAME=value")))?;
        labels.insert(name.trim().to_owned(), value.to_owned());
    }
    let ports = words(run.input("expose")).map_err(|why| failed(format!("`expose`: {why}")))?;
    let expose = ports
        .iter()
        .flat_map(|word| word.split(','))
        .filter(|word| !word.is_empty())
        .map(|word| {
            word.trim_end_matches("/tcp")
                .parse()
                .map_err(|_| failed(format!("`expose`: `{word}` is no port")))
        })
        .collect::<Result<_, _>>()?;
    let argv = |name: &str| words(run.input(name)).map_err(|why| failed(format!("`{name}`: {why}")));
    Ok(BuildImage {
        base: optional("base").unwrap_or_else(|| "scratch".to_owned()),
        name: optional("name"),
        tags: words(run.input("tags")).map_err(|why| failed(format!("`tags`: {why}")))?,
        entrypoint: argv("entrypoint")?,
        cmd: argv("cmd")?,
        env,
        workdir: optional("workdir"),
        user: optional("user"),
        expose,
        labels,
    })
}

/// A list: a JSON array of texts, or words divided by spaces and line ends; quotation marks hold words together.
fn words(text: &str) -> Result<Vec<String>, String> {
    let text = text.trim();
    if text.starts_with('[') {
        return serde_json::from_str(text).map_err(|e| format!("`{text}` is not a JSON list of texts: {e}"));
    }
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in text.chars() {
        match quote {
            Some(q) if c == q => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(format!("`{text}` has a quotation mark that is not closed"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn lists_are_json_or_words() {
        for (text, wanted) in [
            ("", &[][..]),
            ("/app", &["/app"]),
            ("[\"/app\", \"--x y\"]", &["/app", "--x y"]),
            ("python -m 'http server'  \"\"\n8080", &["python", "-m", "http server", "", "8080"]),
        ] {
            assert_eq!(words(text).unwrap(), wanted, "{text}");
        }
        for bad in ["[1]", "[", "'x"] {
            assert!(words(bad).is_err(), "{bad}");
        }
    }
}
