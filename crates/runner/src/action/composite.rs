//! Composite actions: steps of an action's own, over its inputs.

use std::collections::BTreeMap;

use windlass_workflow::action::ActionMeta;
use windlass_workflow::model::Step;

use super::uses::{Found, Inputs, as_context};
use super::{ActionError, failed};
use crate::context::{CompositeFrame, Frame};
use crate::job::{Going, Job, Progress, step_names};
use crate::place::PlaceError;

impl Job {
    /// Runs the steps of an action.
    pub(super) async fn composite(
        &self,
        progress: &mut Progress,
        outer: &Frame,
        found: &Found,
        steps: &[Step],
        inputs: Inputs,
        going: &mut Going,
    ) -> Result<(), ActionError> {
        let mut frame = composite_frame(outer, found, &inputs, going);
        let names = step_names(steps);
        for (index, step) in steps.iter().enumerate() {
            frame.action.clone_from(&names[index]);
            let key = format!("{}.{index}", going.key);
            self.inner_step(progress, &mut frame, step, key, going).await;
            // What a step sets with GITHUB_ENV is stronger than what the surrounding step began with.
            if let Some(composite) = &mut frame.composite {
                composite.env.extend(progress.env.clone());
            }
        }
        self.action_outputs(progress, &frame, &found.meta, going)?;
        if going.patience.deadline.is_some_and(|deadline| deadline <= tokio::time::Instant::now()) {
            return Err(PlaceError::Interrupted(crate::place::Interruption::TimedOut));
        }
        if going.patience.own.now().is_stop() {
            return Err(PlaceError::Interrupted(crate::place::Interruption::Cancelled));
        }
        let why = going.patience.switch.now();
        if why.is_final() || (why.is_stop() && !going.patience.survives_cancel) {
            return Err(PlaceError::Interrupted(crate::place::Interruption::Cancelled));
        }
        match frame.composite {
            Some(composite) if composite.failed => Err(failed(format!("a step of `{}` failed", found.shown))),
            _ => Ok(()),
        }
    }

    fn action_outputs(
        &self,
        progress: &Progress,
        frame: &Frame,
        meta: &ActionMeta,
        going: &mut Going,
    ) -> Result<(), ActionError> {
        let env = Self::visible_env(progress, frame);
        let scope = self.step_scope(progress, frame, &env, None);
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
}

/// What the steps of an action see.
pub(crate) fn composite_frame(outer: &Frame, found: &Found, inputs: &Inputs, going: &Going) -> Frame {
    Frame {
        steps: BTreeMap::new(),
        action: String::new(),
        own: going.patience.own.clone(),
        composite: Some(CompositeFrame {
            inputs: as_context(inputs),
            path: found.folder.to_string_lossy().into_owned(),
            repository: found.repository.clone(),
            git_ref: found.git_ref.clone(),
            root: found.own(),
            env: going.visible.clone(),
            own: going.own.clone(),
            deadline: going.patience.deadline,
            failed: false,
            depth: outer.depth() + 1,
        }),
    }
}
