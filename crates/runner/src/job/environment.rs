//! The environment of a step's program: what the runner gives, what the workflow sets, in their order.

use std::collections::BTreeMap;

use windlass_workflow::expr::Value;

use super::{Job, Progress};
use crate::context::Frame;
use crate::tool::MARK;

/// Properties of the `github` context that have no variable.
const WITHOUT_VARIABLE: &[&str] =
    &["token", "event", "action_status", "repositoryurl", "secret_source", "job_workflow_sha"];

impl Job {
    /// The variables that expressions of a step see, before its own `env`.
    pub(crate) fn visible_env(progress: &Progress, frame: &Frame) -> BTreeMap<String, String> {
        let mut env = progress.env.clone();
        if let Some(composite) = &frame.composite {
            env.extend(composite.env.clone());
        }
        env
    }

    /// A program's whole environment, from the variables that expressions see.
    pub(crate) fn program_env(
        &self,
        progress: &Progress,
        frame: &Frame,
        visible: &BTreeMap<String, String>,
        mark: &str,
    ) -> BTreeMap<String, String> {
        let mut env = self.place.base().clone();
        env.insert("CI".into(), "true".into());
        env.extend(visible.iter().map(|(name, value)| (name.clone(), value.clone())));
        for (name, value) in self.contexts.github.iter() {
            if value.is_scalar() && !WITHOUT_VARIABLE.contains(&name.to_ascii_lowercase().as_str()) {
                env.insert(format!("GITHUB_{}", name.to_ascii_uppercase()), value.to_text().to_string());
            }
        }
        if !frame.action.is_empty() {
            env.insert("GITHUB_ACTION".into(), frame.action.clone());
        }
        if let Some(composite) = &frame.composite {
            env.insert("GITHUB_ACTION_REPOSITORY".into(), composite.repository.clone());
            env.insert("GITHUB_ACTION_REF".into(), composite.git_ref.clone());
            env.insert("GITHUB_ACTION_PATH".into(), composite.path.clone());
        }
        env.insert("GITHUB_ACTIONS".into(), "true".into());
        self.runner_env(&mut env);
        if let Some(services) = &self.assignment.services {
            env.extend(services.step_env().into_iter().map(|(name, value)| (name.to_owned(), value)));
        }
        env.insert(MARK.into(), mark.to_owned());
        if !progress.paths.is_empty() {
            let path = env.get("PATH").cloned().unwrap_or_default();
            let mut all: Vec<&str> = progress.paths.iter().rev().map(String::as_str).collect();
            all.extend((!path.is_empty()).then_some(path.as_str()));
            env.insert("PATH".into(), all.join(":"));
        }
        env
    }

    fn runner_env(&self, env: &mut BTreeMap<String, String>) {
        let scope = crate::context::StepScope {
            contexts: &self.contexts,
            frame: &Frame::default(),
            env: &BTreeMap::new(),
            job: crate::context::Status::Success,
            place: None,
        };
        if let Some(Value::Object(runner)) = windlass_workflow::expr::Scope::context(&scope, "runner") {
            for (name, value) in runner.iter() {
                env.insert(format!("RUNNER_{}", name.to_ascii_uppercase()), value.to_text().to_string());
            }
        }
        env.insert("RUNNER_TRACKING_ID".into(), format!("github_{}", self.assignment.job));
    }
}
