//! Actions' metadata, typed: `action.yml`.

use crate::diagnostic::Diagnostic;
use crate::model::{Map, Spanned, Step};
use crate::template::{Condition, Template};

/// What came of reading a metadata file.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedAction {
    /// The action; absent when there is an error among the findings.
    pub action: Option<ActionMeta>,
    /// All that was found, in the file's order.
    pub diagnostics: Vec<Diagnostic>,
}

/// An action.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionMeta {
    /// `name`
    pub name: Option<String>,
    /// `description`
    pub description: Option<String>,
    /// `inputs`, in the file's order.
    pub inputs: Vec<ActionInput>,
    /// `outputs`, in the file's order.
    pub outputs: Vec<ActionOutput>,
    /// `runs`
    pub runs: ActionRuns,
}

/// An input of an action.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionInput {
    /// Its name, as written; it ignores case.
    pub name: Spanned<String>,
    /// `description`
    pub description: Option<String>,
    /// `required`; as on GitHub, nothing enforces it.
    pub required: bool,
    /// `default`; absent means an empty text.
    pub default: Option<Spanned<Template>>,
    /// `deprecationMessage`: said when the input is given.
    pub deprecation: Option<String>,
}

/// An output of an action.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionOutput {
    /// Its name.
    pub name: Spanned<String>,
    /// `description`
    pub description: Option<String>,
    /// `value`; composite actions only, and always there for them.
    pub value: Option<Spanned<Template>>,
}

/// What an action does.
#[derive(Clone, Debug, PartialEq)]
pub enum ActionRuns {
    /// Steps.
    Composite {
        /// The steps, in order.
        steps: Vec<Step>,
    },
    /// A JavaScript program.
    Node(NodeRuns),
    /// A container.
    Docker(DockerRuns),
}

/// `runs` of a JavaScript action. Paths are relative to the action's folder.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeRuns {
    /// `using`, such as `node20`.
    pub using: String,
    /// What is run.
    pub main: String,
    /// What is run before the job's first step, and when.
    pub pre: Option<(String, Condition)>,
    /// What is run after the job's last step, and when.
    pub post: Option<(String, Condition)>,
}

/// `runs` of a Docker action.
#[derive(Clone, Debug, PartialEq)]
pub struct DockerRuns {
    /// A `Dockerfile` of the action's folder, or `docker://image`.
    pub image: String,
    /// Instead of the image's entry point.
    pub entrypoint: Option<String>,
    /// Its arguments; they may read the action's inputs.
    pub args: Vec<Spanned<Template>>,
    /// Its environment; it may read the action's inputs.
    pub env: Map,
    /// The entry point before the job's first step, and when.
    pub pre: Option<(String, Condition)>,
    /// The entry point after the job's last step, and when.
    pub post: Option<(String, Condition)>,
}

impl ActionMeta {
    /// An input by its name, ignoring case.
    pub fn input(&self, name: &str) -> Option<&ActionInput> {
        self.inputs.iter().find(|input| input.name.eq_ignore_ascii_case(name))
    }
}
