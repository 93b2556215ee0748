//! `actions/upload-artifact`: files of the job as a zip archive of the run.

use async_trait::async_trait;
use windlass_api::{ArtifactView, ErrorCode};

use super::{Action, ActionError, ActionRun, failed};
use crate::control::{Control, ControlError, NewArtifact};
use crate::tool::{Request, Zipping};

pub(super) struct Upload;

#[async_trait]
impl Action for Upload {
    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("name", "artifact"),
            ("path", ""),
            ("if-no-files-found", "warn"),
            ("retention-days", ""),
            ("compression-level", "6"),
            ("overwrite", "false"),
            ("include-hidden-files", "false"),
        ]
    }

    async fn run(&self, run: &mut ActionRun<'_>) -> Result<(), ActionError> {
        let name = run.required("name")?.to_owned();
        check_name(&name).map_err(failed)?;
        run.required("path")?;
        let patterns = run.lines("path");
        let level = run.number("compression-level")?.unwrap_or(6);
        if level > 9 {
            return Err(failed(format!("`compression-level` is from 0 to 9, not {level}")));
        }
        let none = run.input("if-no-files-found").to_owned();
        if !["warn", "error", "ignore"].contains(&none.as_str()) {
            return Err(failed(format!("`if-no-files-found` is warn, error or ignore, not `{none}`")));
        }
        let archive = run
            .job
            .place
            .outgoing(&format!("artifact-{}.zip", run.job.next_serial()))
            .map_err(|e| failed(format!("cannot keep the archive: {e}")))?;
        let zipping = Zipping {
            root: run.workspace(),
            patterns: patterns.clone(),
            hidden: run.flag("include-hidden-files")?,
            level: level as i64,
        };
        let report = run.tool(Request::Zip(zipping), Some(&archive)).await?;
        for note in &report.notes {
            run.voice.warn(note);
        }
        if report.files == 0 {
            let _ = std::fs::remove_file(&archive);
            let text = format!(
                "No files were found with the provided path: {}. No artifacts will be uploaded.",
                patterns.join(", ")
            );
            return match none.as_str() {
                "error" => Err(failed(text)),
                "warn" => {
                    run.voice.warn(&text);
                    Ok(())
                }
                _ => {
                    run.voice.say(&text);
                    Ok(())
                }
            };
        }
        run.voice.say(&format!(
            "With the provided path, there will be {} file(s) uploaded ({} bytes before compression), relative to {}",
            report.files, report.bytes, report.text
        ));
        let retention_days = run.number("retention-days")?.filter(|days| *days > 0).map(|days| days as u32);
        let overwrite = run.flag("overwrite")?;
        let control = &run.job.control;
        let mut tries = 0;
        let view = run
            .insist(&format!("uploading the artifact `{name}`"), || {
                tries += 1;
                let artifact = NewArtifact { name: &name, archive: &archive, retention_days, overwrite };
                store(control.as_ref(), artifact, tries > 1)
            })
            .await;
        let _ = std::fs::remove_file(&archive);
        let view = view?;
        run.voice.say(&format!("Artifact {name} has been uploaded: {} bytes, {}", view.size, view.digest));
        let url = format!("{}/api/v1/artifacts/{}", run.job.assignment.server_url, view.id);
        run.output("artifact-id", view.id);
        run.output("artifact-url", url);
        run.output("artifact-digest", view.digest.trim_start_matches("sha256:"));
        Ok(())
    }
}

/// Stores an artifact. An earlier try may have gone through although its answer did not: then it is there already.
async fn store(
    control: &dyn Control,
    artifact: NewArtifact<'_>,
    again: bool,
) -> Result<ArtifactView, ControlError> {
    let name = artifact.name;
    let size = tokio::fs::metadata(artifact.archive).await?.len();
    match control.store_artifact(artifact).await {
        Err(ControlError::Refused { code: ErrorCode::Conflict, detail }) if again => {
            let all = control.artifacts().await?;
            let ours = all.into_iter().find(|view| view.name == name && view.size == size);
            ours.ok_or(ControlError::Refused { code: ErrorCode::Conflict, detail })
        }
        other => other,
    }
}

/// Names become files on other systems too.
fn check_name(name: &str) -> Result<(), String> {
    let bad = name.chars().find(|c| "\":<>|*?\\/\r\n".contains(*c));
    match bad {
        Some(c) => Err(format!(
            "The artifact name is not valid: {name}. Contains the character {c:?}, which no artifact's name may have."
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_that_no_file_can_have_are_refused() {
        assert!(super::check_name("my artifact-1.0").is_ok());
        for bad in ["a/b", "a\\b", "a:b", "a*", "a\nb", "a\"b"] {
            assert!(super::check_name(bad).is_err(), "{bad}");
        }
    }
}
