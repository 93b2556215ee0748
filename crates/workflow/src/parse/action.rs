//! `action.yml`.

use super::reader::{Field, Fields, Reader};
use crate::action::{ActionInput, ActionMeta, ActionOutput, ActionRuns, DockerRuns, NodeRuns};
use crate::diagnostic::Diagnostic;
use crate::keys::Place;
use crate::model::Spanned;
use crate::template::Condition;
use crate::yaml::{Key, Node, Pair, Value};

/// The JavaScript runtimes of the language.
const NODES: [&str; 4] = ["node12", "node16", "node20", "node24"];

impl Reader<'_> {
    pub(super) fn action_meta(&mut self, root: &Node) -> Option<ActionMeta> {
        let fields = self.fields(root, Place::Action)?;
        let name = self.plain(&fields, "name");
        let description = self.plain(&fields, "description");
        let runs = fields.get("runs").and_then(|field| self.runs(field));
        let inputs = self.each(fields.get("inputs"), Reader::action_input);
        let composite = matches!(runs, Some(ActionRuns::Composite { .. }));
        let outputs =
            self.each(fields.get("outputs"), |reader, key, node| reader.action_output(key, node, composite));
        Some(ActionMeta { name, description, inputs, outputs, runs: runs? })
    }

    fn plain(&mut self, fields: &Fields<'_>, name: &str) -> Option<String> {
        fields.get(name).and_then(|field| self.literal(field.node)).map(|text| text.value)
    }

    fn each<T>(
        &mut self,
        field: Option<Field<'_>>,
        read: impl Fn(&mut Self, &Key, &Node) -> Option<T>,
    ) -> Vec<T> {
        let Some(field) = field.filter(|field| !field.node.is_null()) else { return Vec::new() };
        let pairs = self.pairs(field.node).unwrap_or(&[]);
        pairs.iter().filter_map(|Pair { key, value }| read(self, key, value)).collect()
    }

    fn action_input(&mut self, key: &Key, node: &Node) -> Option<ActionInput> {
        let empty = Node { value: Value::Mapping(Vec::new()), span: key.span };
        let fields = self.fields(if node.is_null() { &empty } else { node }, Place::ActionInput)?;
        // Published actions write `required: 'true'` too; nothing is enforced, so nothing is refused.
        let required = fields.get("required").and_then(|field| field.node.as_scalar());
        Some(ActionInput {
            name: Spanned { value: key.text.clone(), span: key.span },
            description: self.plain(&fields, "description"),
            required: required.is_some_and(|scalar| scalar.text.eq_ignore_ascii_case("true")),
            default: fields.get("default").and_then(|field| self.template(field.row, field.node)),
            deprecation: self.plain(&fields, "deprecationMessage"),
        })
    }

    fn action_output(&mut self, key: &Key, node: &Node, composite: bool) -> Option<ActionOutput> {
        let empty = Node { value: Value::Mapping(Vec::new()), span: key.span };
        let fields = self.fields(if node.is_null() { &empty } else { node }, Place::ActionOutput)?;
        let value = fields.get("value").and_then(|field| self.template(field.row, field.node));
        if composite && !fields.written("value") {
            self.error(key.span, "Required property is missing: value");
        }
        Some(ActionOutput {
            name: Spanned { value: key.text.clone(), span: key.span },
            description: self.plain(&fields, "description"),
            value,
        })
    }

    fn runs(&mut self, field: Field<'_>) -> Option<ActionRuns> {
        let Some(using) = field.node.get("using") else {
            self.error(field.key.span, "Required property is missing: using");
            return None;
        };
        let name = self.literal(using)?;
        match name.to_ascii_lowercase().as_str() {
            "composite" => {
                let fields = self.fields(field.node, Place::CompositeRuns)?;
                let steps = fields.get("steps").and_then(|field| self.steps_at(field, Place::CompositeStep));
                Some(ActionRuns::Composite { steps: steps? })
            }
            "docker" => self.docker_runs(field.node).map(ActionRuns::Docker),
            node if NODES.contains(&node) => self.node_runs(field.node, node).map(ActionRuns::Node),
            other => {
                let known = NODES.into_iter().chain(["composite", "docker"]);
                let finding = Diagnostic::error(using.span, format!("Unexpected value '{other}'"));
                self.report(finding.with_suggestion(other, known));
                None
            }
        }
    }

    fn node_runs(&mut self, node: &Node, using: &str) -> Option<NodeRuns> {
        let fields = self.fields(node, Place::NodeRuns)?;
        Some(NodeRuns {
            using: using.to_owned(),
            main: self.plain(&fields, "main")?,
            pre: self.stage(&fields, "pre", "pre-if"),
            post: self.stage(&fields, "post", "post-if"),
        })
    }

    fn docker_runs(&mut self, node: &Node) -> Option<DockerRuns> {
        let fields = self.fields(node, Place::DockerRuns)?;
        let mut args = Vec::new();
        if let Some(field) = fields.get("args") {
            for item in self.items(field.node)? {
                args.extend(self.template(field.row, item));
            }
        }
        Some(DockerRuns {
            image: self.plain(&fields, "image")?,
            entrypoint: self.plain(&fields, "entrypoint"),
            args,
            env: fields.get("env").and_then(|field| self.map(field)).unwrap_or_default(),
            pre: self.stage(&fields, "pre-entrypoint", "pre-if"),
            post: self.stage(&fields, "post-entrypoint", "post-if"),
        })
    }

    /// What is run before or after the job, and when: always, unless it says otherwise.
    fn stage(&mut self, fields: &Fields<'_>, what: &str, when: &str) -> Option<(String, Condition)> {
        let what = self.plain(fields, what);
        let field = fields.get(when);
        let text = field.and_then(|field| field.node.as_scalar()).map_or("", |scalar| scalar.as_text());
        match (Condition::plain(text, "always()"), field) {
            (Ok(condition), _) => Some((what?, condition)),
            (Err(error), Some(field)) => {
                self.template_error(field.row.availability, field.node, &error);
                None
            }
            (Err(_), None) => None,
        }
    }
}
