//! Local composite actions: `uses: ./path`, steps of the workspace's own.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use windlass_workflow::action::{ActionMeta, ActionRuns};
use windlass_workflow::expr::Value;
use windlass_workflow::model::Step;

use super::{ActionError, failed};
use crate::context::{CompositeFrame, Frame, Status, StepScope};
use crate::job::{Going, Job, Progress};
use crate::place::PlaceError;

/// How deep composite actions may be nested.
const DEEPEST: u32 = 10;
/// The largest metadata file.
const LARGEST: u64 = 1 << 20;

impl Job {
    /// Runs the steps of the action in a folder of the workspace.
    pub(super) async fn composite(
        &self,
        progress: &mut Progress,
        outer: &mut Frame,
        path: &str,
        given: Vec<(String, String)>,
        going: &mut Going,
    ) -> Result<(), ActionError> {
        let depth = outer.depth() + 1;
        if depth > DEEPEST {
            return Err(failed(format!("`./{path}`: composite actions are nested more than {DEEPEST} deep")));
        }
        let folder = self.place.layout.workspace.join(path);
        let meta = self.metadata(&folder, path)?;
        let steps = steps(&meta, path)?;
        let inputs = self.action_inputs(progress, outer, &meta, given, going)?;
        let mut frame = Frame {
            steps: BTreeMap::new(),
            composite: Some(CompositeFrame {
                inputs,
                path: folder.to_string_lossy().into_owned(),
                env: going.visible.clone(),
                failed: false,
                depth,
            }),
        };
        for step in steps {
            self.inner_step(progress, &mut frame, step, going.voice.clone()).await;
            // What a step sets with GITHUB_ENV is stronger than what the surrounding step began with.
            if let Some(composite) = &mut frame.composite {
                composite.env.extend(progress.env.clone());
            }
        }
        self.action_outputs(progress, &frame, &meta, going)?;
        let why = going.patience.switch.now();
        if why.is_final() || (why.is_stop() && !going.patience.survives_cancel) {
            return Err(PlaceError::Interrupted(crate::place::Interruption::Cancelled));
        }
        match frame.composite {
            Some(composite) if composite.failed => Err(failed(format!("a step of `./{path}` failed"))),
            _ => Ok(()),
        }
    }

    fn metadata(&self, folder: &Path, path: &str) -> Result<ActionMeta, ActionError> {
        for name in ["action.yml", "action.yaml"] {
            match self.place.below.read_text(&folder.join(name), LARGEST) {
                Ok(text) => {
                    let parsed = windlass_workflow::parse_action(&text);
                    let file = format!("{path}/{name}");
                    return parsed.action.ok_or_else(|| {
                        let found: Vec<_> = parsed
                            .diagnostics
                            .iter()
                            .filter(|d| d.is_error())
                            .map(|d| d.one_line(&file))
                            .collect();
                        failed(found.join("\n"))
                    });
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(failed(format!("cannot read `./{path}/{name}`: {e}"))),
            }
        }
        Err(failed(format!(
            "Can't find 'action.yml' or 'action.yaml' under '{}'. Did you forget to run actions/checkout before running your local action?",
            folder.display()
        )))
    }

    fn action_inputs(
        &self,
        progress: &Progress,
        outer: &Frame,
        meta: &ActionMeta,
        given: Vec<(String, String)>,
        going: &Going,
    ) -> Result<Value, ActionError> {
        let scope = self.inner_scope(progress, outer, &going.visible);
        let mut inputs = Vec::new();
        for input in &meta.inputs {
            let value = given.iter().find(|(name, _)| name.eq_ignore_ascii_case(&input.name.value));
            let value = match (value, &input.default) {
                (Some((_, value)), _) => {
                    if let Some(message) = &input.deprecation {
                        going.voice.warn(&format!(
                            "Input '{}' has been deprecated with message: {message}",
                            input.name.value
                        ));
                    }
                    value.clone()
                }
                (None, Some(default)) => scope.text(&default.value).map_err(|e| {
                    failed(format!(
                        "the default of the input `{}` cannot be evaluated: {e}",
                        input.name.value
                    ))
                })?,
                (None, None) => String::new(),
            };
            inputs.push((input.name.value.clone(), Value::from(value)));
        }
        let unknown: Vec<_> = given
            .iter()
            .filter(|(name, _)| meta.input(name).is_none())
            .map(|(name, _)| format!("'{name}'"))
            .collect();
        if !unknown.is_empty() {
            let valid: Vec<_> = meta.inputs.iter().map(|input| format!("'{}'", input.name.value)).collect();
            going.voice.warn(&format!(
                "Unexpected input(s) {}, valid inputs are [{}]",
                unknown.join(", "),
                valid.join(", ")
            ));
        }
        Ok(Value::object(inputs))
    }

    fn action_outputs(
        &self,
        progress: &Progress,
        frame: &Frame,
        meta: &ActionMeta,
        going: &mut Going,
    ) -> Result<(), ActionError> {
        let env = Self::visible_env(progress, frame);
        let scope = self.inner_scope(progress, frame, &env);
        for output in &meta.outputs {
            if let Some(template) = &output.value {
                let value = scope.text(&template.value).map_err(|e| {
                    failed(format!("the output `{}` cannot be evaluated: {e}", output.name.value))
                })?;
                going.effects.outputs.push((output.name.value.clone(), value));
            }
        }
        Ok(())
    }

    fn inner_scope<'a>(
        &'a self,
        progress: &Progress,
        frame: &'a Frame,
        env: &'a BTreeMap<String, String>,
    ) -> StepScope<'a> {
        let job: Status = self.status(progress);
        StepScope { contexts: &self.contexts, frame, env, job, place: None }
    }
}

fn steps<'a>(meta: &'a ActionMeta, path: &str) -> Result<&'a [Step], ActionError> {
    match &meta.runs {
        ActionRuns::Composite { steps } => Ok(steps),
        ActionRuns::Node(node) => Err(failed(format!(
            "`./{path}` is a JavaScript action (`using: {}`), which is not supported yet; composite actions are",
            node.using
        ))),
        ActionRuns::Docker(_) => Err(failed(format!(
            "`./{path}` is a Docker action, which is not supported yet; composite actions are"
        ))),
    }
}
