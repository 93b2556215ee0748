//! `on.workflow_call`: what a called workflow takes and gives.

use std::collections::BTreeMap;

use crate::diagnostic::{Span, suggest};
use crate::expr::{Scope, Value};
use crate::model::{Spanned, Tree};
use crate::template::Template;

/// `on.workflow_call`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Called {
    /// `inputs`, in the file's order.
    pub inputs: Vec<CallInput>,
    /// `outputs`, in the file's order.
    pub outputs: Vec<CallOutput>,
    /// `secrets`, in the file's order.
    pub secrets: Vec<CallSecret>,
    /// Where it stands.
    pub span: Span,
}

/// An input of a called workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct CallInput {
    /// Its name, as written; it ignores case.
    pub name: Spanned<String>,
    /// `description`
    pub description: Option<String>,
    /// `type`
    pub kind: CallInputKind,
    /// `required`
    pub required: bool,
    /// `default`: a literal of its kind, or an expression over `github`, `inputs` and `vars`.
    pub default: Option<Tree>,
}

/// What an input of a called workflow may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallInputKind {
    /// A text.
    String,
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
}

/// An output of a called workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct CallOutput {
    /// Its name, as written.
    pub name: Spanned<String>,
    /// `description`
    pub description: Option<String>,
    /// `value`, over `github`, `inputs`, `vars` and `jobs`.
    pub value: Spanned<Template>,
}

/// A secret that a called workflow takes.
#[derive(Clone, Debug, PartialEq)]
pub struct CallSecret {
    /// Its name, as written; it ignores case.
    pub name: Spanned<String>,
    /// `description`
    pub description: Option<String>,
    /// `required`
    pub required: bool,
}

impl CallInputKind {
    /// As it stands behind `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Boolean => "boolean",
            Self::Number => "number",
        }
    }

    /// What it is when it is neither given nor has a default.
    pub fn absent(self) -> Value {
        match self {
            Self::String => Value::from(String::new()),
            Self::Boolean => Value::Bool(false),
            Self::Number => Value::Number(0.0),
        }
    }

    /// A value as this kind: a text takes any scalar; the others take their own kind only.
    pub fn accepts(self, value: &Value) -> Option<Value> {
        match (self, value) {
            (Self::String, value) if value.is_scalar() => Some(Value::from(value.to_text().to_string())),
            (Self::Boolean, Value::Bool(_)) | (Self::Number, Value::Number(_)) => Some(value.clone()),
            _ => None,
        }
    }
}

impl Called {
    /// What is wrong with the names that a caller gives, in the language's own words.
    pub fn check_names<'a>(
        &self,
        inputs: impl IntoIterator<Item = &'a str>,
        secrets: Option<Vec<&'a str>>,
    ) -> Vec<String> {
        let inputs: Vec<&str> = inputs.into_iter().collect();
        let own: Vec<(&str, bool)> =
            self.inputs.iter().map(|input| (input.name.as_str(), input.required)).collect();
        let mut wrong = compare("input", "Input", &inputs, &own);
        if let Some(secrets) = secrets {
            let own: Vec<(&str, bool)> =
                self.secrets.iter().map(|secret| (secret.name.as_str(), secret.required)).collect();
            wrong.extend(compare("secret", "Secret", &secrets, &own));
        }
        wrong
    }

    /// The `inputs` context of the called workflow: every input, typed, by its name as the file writes it. `given` is
    /// the caller's `with`, evaluated; `scope` is what defaults may read.
    ///
    /// # Errors
    /// A sentence for each input that is unknown, missing or of the wrong kind.
    pub fn inputs(
        &self,
        given: &[(String, Value)],
        scope: &dyn Scope,
    ) -> Result<BTreeMap<String, Value>, Vec<String>> {
        let mut wrong = self.check_names(given.iter().map(|(name, _)| name.as_str()), None);
        let mut values = BTreeMap::new();
        for input in &self.inputs {
            let name = &input.name.value;
            let found = given.iter().rev().find(|(given, _)| given.eq_ignore_ascii_case(name));
            let value = match (found, &input.default) {
                (Some((_, value)), _) => value.clone(),
                (None, Some(default)) => match default.render(scope) {
                    Ok(value) => value,
                    Err(error) => {
                        wrong.push(format!("the default of the input {name} has no value: {error}"));
                        continue;
                    }
                },
                (None, None) => input.kind.absent(),
            };
            match input.kind.accepts(&value) {
                Some(value) => _ = values.insert(name.clone(), value),
                None => {
                    let shown = value.to_text();
                    wrong.push(format!("the input {name} must be a {}, not '{shown}'", input.kind.as_str()));
                }
            }
        }
        if wrong.is_empty() { Ok(values) } else { Err(wrong) }
    }
}

fn compare(what: &str, upper: &str, given: &[&str], own: &[(&str, bool)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for name in given {
        if !own.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            let near = suggest(name, own.iter().map(|(known, _)| *known));
            let help = near.map(|near| format!(" Did you mean '{near}'?")).unwrap_or_default();
            wrong.push(format!("Invalid {what}, {name} is not defined in the referenced workflow.{help}"));
        }
    }
    for (name, required) in own {
        if *required && !given.iter().any(|given| given.eq_ignore_ascii_case(name)) {
            wrong.push(format!("{upper} {name} is required, but not provided while calling."));
        }
    }
    wrong
}
