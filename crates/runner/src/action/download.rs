//! `actions/download-artifact`: artifacts of the run, unpacked.

use std::path::Path;

use async_trait::async_trait;

use super::{Action, ActionError, ActionRun, failed};
use crate::tool::{Request, Unzipping, name_fits};

pub(super) struct Download;

#[async_trait]
impl Action for Download {
    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("name", ""),
            ("artifact-ids", ""),
            ("path", ""),
            ("pattern", ""),
            ("merge-multiple", "false"),
            ("github-token", ""),
            ("repository", ""),
            ("run-id", ""),
        ]
    }

    async fn run(&self, run: &mut ActionRun<'_>) -> Result<(), ActionError> {
        let other_run = !["", &run.job.assignment.run].contains(&run.input("run-id"));
        if other_run || !run.input("repository").is_empty() {
            return Err(failed(
                "artifacts of other runs and repositories cannot be downloaded yet (`run-id`, `repository`)",
            ));
        }
        let into = run.workspace().join(run.input("path"));
        let name = run.input("name").to_owned();
        if !name.is_empty() {
            let control = &run.job.control;
            let all = run.insist("listing the run's artifacts", || control.artifacts()).await?;
            // One that is not listed is asked for all the same: the answer says which there are.
            let raw = all.iter().any(|artifact| artifact.name == name && artifact.raw);
            unpack(run, &name, raw, &into).await?;
        } else {
            several(run, &into).await?;
        }
        run.output("download-path", into.to_string_lossy());
        Ok(())
    }
}

async fn several(run: &ActionRun<'_>, into: &Path) -> Result<(), ActionError> {
    let control = &run.job.control;
    let all = run.insist("listing the run's artifacts", || control.artifacts()).await?;
    let ids: Vec<_> =
        run.input("artifact-ids").split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
    let pattern = run.input("pattern");
    let wanted: Vec<_> = all
        .iter()
        .filter(|artifact| ids.is_empty() || ids.contains(&artifact.id.as_str()))
        .filter(|artifact| pattern.is_empty() || name_fits(pattern, &artifact.name))
        .collect();
    if wanted.len() < ids.len() {
        return Err(failed(format!(
            "the run has only {} of the {} artifacts asked for",
            wanted.len(),
            ids.len()
        )));
    }
    if wanted.is_empty() {
        run.voice.warn("No artifacts were found for this run that fit; nothing was downloaded.");
    }
    let merge = run.flag("merge-multiple")? || (ids.len() == 1 && wanted.len() == 1);
    for artifact in wanted {
        let folder = if merge { into.to_owned() } else { into.join(&artifact.name) };
        unpack(run, &artifact.name, artifact.raw, &folder).await?;
    }
    Ok(())
}

/// Brings an artifact into a folder: the files of its archive, or the one file that it is (`archive: false`).
async fn unpack(run: &ActionRun<'_>, name: &str, raw: bool, into: &Path) -> Result<(), ActionError> {
    let (host, inside) = run.job.place.incoming(&format!("artifact-{}.zip", run.job.next_serial()));
    let control = &run.job.control;
    run.insist(&format!("downloading the artifact `{name}`"), || control.fetch_artifact(name, &host)).await?;
    let unzipping = Unzipping { archive: inside, into: into.to_owned(), raw: raw.then(|| name.to_owned()) };
    let report = run.tool(Request::Unzip(unzipping), None).await;
    let _ = std::fs::remove_file(&host);
    let report = report?;
    for note in &report.notes {
        run.voice.warn(note);
    }
    run.voice.say(&format!("Artifact {name}: {} file(s) in {}", report.files, into.display()));
    Ok(())
}
