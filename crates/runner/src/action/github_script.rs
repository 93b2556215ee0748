//! `actions/github-script`: JavaScript of the workflow's own, on the machine's Node.js.
//!
//! The script is given `core`, `context`, `exec`, `io`, `glob` and `require` as there; `github` speaks to the API of this
//! server, with the calls that are used most. The action itself can be provided in a mirror, and is used then.

use async_trait::async_trait;

use super::{Action, ActionError, ActionRun, failed};

pub(super) struct GithubScript;

/// What runs the script.
const FRAME: &str = include_str!("github_script.js");

#[async_trait]
impl Action for GithubScript {
    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("script", ""),
            ("github-token", ""),
            ("debug", "false"),
            ("user-agent", "actions/github-script"),
            ("previews", ""),
            ("result-encoding", "json"),
            ("retries", "0"),
            ("retry-exempt-status-codes", "400,401,403,404,422"),
            ("base-url", ""),
        ]
    }

    async fn run(&self, run: &mut ActionRun<'_>) -> Result<(), ActionError> {
        run.required("script")?;
        let node = run.job.node_program("node", &run.voice, &run.patience).await?;
        let file = run.job.place.layout.temp.join(format!("github-script-{}.js", run.job.next_serial()));
        run.job
            .place
            .write(&file, FRAME.as_bytes())
            .map_err(|e| failed(format!("cannot write the script: {e}")))?;
        for (name, _) in self.inputs() {
            let value = run.input(name).to_owned();
            run.env.insert(format!("INPUT_{}", name.to_uppercase()), value);
        }
        if run.input("github-token").is_empty() {
            let token = run.job.contexts.github.get("token").map(|v| v.to_text().to_string());
            run.env.insert("INPUT_GITHUB-TOKEN".into(), token.unwrap_or_default());
        }
        if let Some(services) = &run.job.assignment.services {
            let services = services.action_env().into_iter();
            run.env.extend(services.map(|(name, value)| (name.to_owned(), value)));
        }
        let file = file.to_string_lossy().into_owned();
        let words: Vec<&str> = node.iter().chain([&file]).map(String::as_str).collect();
        let exit = run.execute(&words).await?;
        let said = run.effects.last_error.take();
        match exit {
            0 => Ok(()),
            code => {
                run.told = said.is_some();
                Err(failed(said.unwrap_or_else(|| format!("The script ended with exit code {code}."))))
            }
        }
    }
}
