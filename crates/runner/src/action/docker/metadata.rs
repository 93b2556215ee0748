//! `docker/metadata-action`: tags and labels of images, from what the run is about.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::super::{Action, ActionError, ActionRun, failed};
use super::rules::{About, Flavor, Tags};

pub(in super::super) struct Metadata;

#[async_trait]
impl Action for Metadata {
    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("context", "workflow"),
            ("images", ""),
            ("tags", ""),
            ("flavor", ""),
            ("labels", ""),
            ("annotations", ""),
            ("sep-tags", "\n"),
            ("sep-labels", "\n"),
            ("sep-annotations", "\n"),
            ("bake-target", "docker-metadata-action"),
            ("github-token", ""),
        ]
    }

    async fn run(&self, run: &mut ActionRun<'_>) -> Result<(), ActionError> {
        if run.input("context") == "git" {
            return Err(failed("`context: git` is not supported: the run's own context is used"));
        }
        let about = about(run);
        let flavor = Flavor::parse(&run.lines("flavor")).map_err(failed)?;
        let (tags, notes) = Tags::of(&run.lines("tags"), &flavor, &about).map_err(failed)?;
        for note in &notes {
            run.voice.warn(note);
        }
        let images = images(&run.lines("images")).map_err(failed)?;
        if tags.version.is_none() {
            run.voice.warn("No Docker image version has been generated. Check tags input.");
        }
        let names = tags.names(&images, &flavor);
        let version = tags.version.clone().unwrap_or_default();
        let labels = labels(run, &about, &version, "labels");
        let annotations: Vec<String> =
            labels_of(run, &about, &version, "annotations").iter().map(|l| format!("manifest:{l}")).collect();
        show(run, "Docker tags", &names);
        show(run, "Docker labels", &labels);
        let object: serde_json::Map<String, Value> = labels
            .iter()
            .filter_map(|label| label.split_once('='))
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect();
        let all = json!({"tags": names, "labels": object, "annotations": annotations});
        let joined = |items: &[String], separator: &str| {
            let separator = match run.inputs.get(separator).map_or("", String::as_str) {
                "" => "\n".to_owned(),
                other => other.to_owned(),
            };
            items.join(&separator)
        };
        let (tags, labels, annotations) = (
            joined(&names, "sep-tags"),
            joined(&labels, "sep-labels"),
            joined(&annotations, "sep-annotations"),
        );
        let bare: Vec<&str> = names.iter().map(|name| name.rsplit(':').next().unwrap_or(name)).collect();
        let bare = serde_json::to_string(&bare).unwrap_or_default();
        run.output("version", version.clone());
        run.env.insert("DOCKER_METADATA_OUTPUT_VERSION".into(), version);
        run.output("tags", tags);
        run.output("tag-names", bare);
        run.output("labels", labels);
        run.output("annotations", annotations);
        run.export("DOCKER_METADATA_OUTPUT_JSON", all.to_string());
        run.output("json", all.to_string());
        Ok(())
    }
}

fn show(run: &ActionRun<'_>, title: &str, lines: &[String]) {
    run.voice.say(&format!("##[group]{title}\n{}\n##[endgroup]", lines.join("\n")));
}

fn about(run: &ActionRun<'_>) -> About {
    let github =
        |name: &str| run.job.contexts.github.get(name).map(|v| v.to_text().to_string()).unwrap_or_default();
    let event = &run.job.assignment.github["event"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    About {
        event: github("event_name"),
        reference: github("ref"),
        sha: github("sha"),
        base_ref: github("base_ref"),
        default_branch: text(&event["repository"]["default_branch"]),
        now: run.job.now().to_string(),
        committed: text(&event["head_commit"]["timestamp"]),
    }
}

/// The images' names, in lower case; `name=…,enable=…` too.
fn images(lines: &[String]) -> Result<Vec<String>, String> {
    let mut images = Vec::new();
    for line in lines {
        let mut name = String::new();
        let mut enabled = true;
        for part in line.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("name", value)) => value.clone_into(&mut name),
                Some(("enable", value)) => {
                    enabled = match value {
                        "true" => true,
                        "false" => false,
                        other => return Err(format!("Invalid value for enable attribute: {other}")),
                    };
                }
                Some((key, _)) => return Err(format!("Unknown image attribute: {key}")),
                None => images.push(part.to_lowercase()),
            }
        }
        images.extend((enabled && !name.is_empty()).then(|| name.to_lowercase()));
    }
    Ok(images)
}

fn labels(run: &ActionRun<'_>, about: &About, version: &str, extra: &str) -> Vec<String> {
    labels_of(run, about, version, extra)
}

/// The labels of the standard, in its order, then those that are given; one that is given again holds.
fn labels_of(run: &ActionRun<'_>, about: &About, version: &str, extra: &str) -> Vec<String> {
    let github =
        |name: &str| run.job.contexts.github.get(name).map(|v| v.to_text().to_string()).unwrap_or_default();
    let repository = &run.job.assignment.github["event"]["repository"];
    let name = github("repository");
    let url = match repository["html_url"].as_str() {
        Some(url) => url.to_owned(),
        None => format!("{}/{name}", github("server_url").trim_end_matches('/')),
    };
    let title = name.rsplit('/').next().unwrap_or(&name).to_owned();
    let standard = [
        ("title", title),
        ("description", repository["description"].as_str().unwrap_or_default().to_owned()),
        ("url", url.clone()),
        ("source", url),
        ("version", version.to_owned()),
        ("created", about.now.clone()),
        ("revision", about.sha.clone()),
        ("licenses", repository["license"]["spdx_id"].as_str().unwrap_or_default().to_owned()),
    ];
    let mut labels: Vec<(String, String)> = standard
        .into_iter()
        .map(|(name, value)| (format!("org.opencontainers.image.{name}"), value))
        .collect();
    for line in run.lines(extra) {
        let (name, value) = line.split_once('=').unwrap_or((&line, ""));
        labels.retain(|(known, _)| known != name);
        labels.push((name.to_owned(), about.expand(value)));
    }
    labels.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}
