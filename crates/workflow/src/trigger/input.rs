//! Inputs of a start by hand, typed.

use std::collections::BTreeMap;

use super::Triggers;
use crate::expr::Value;
use crate::model::Spanned;

/// The most inputs that a workflow may have.
pub const MAX_INPUTS: usize = 25;
/// The longest payload of all inputs together, in characters.
const MAX_PAYLOAD: usize = 65_535;

/// An input.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Its name, as written.
    pub name: Spanned<String>,
    /// What it is for.
    pub description: Option<String>,
    /// What it may be.
    pub kind: InputKind,
    /// Whether it must be given (one with a default need not be).
    pub required: bool,
    /// What it is when it is not given; it fits the kind.
    pub default: Option<Value>,
}

/// What an input may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// A text.
    String,
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
    /// One of these.
    Choice(Vec<String>),
    /// The name of an environment.
    Environment,
}

impl InputKind {
    /// As it stands behind `type`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Boolean => "boolean",
            Self::Number => "number",
            Self::Choice(_) => "choice",
            Self::Environment => "environment",
        }
    }

    /// What it is when it is neither given nor has a default.
    fn absent(&self) -> Value {
        match self {
            Self::Boolean => Value::Bool(false),
            Self::Number => Value::Number(0.0),
            // The form on a page always sends one: the first.
            Self::Choice(options) => Value::from(options.first().cloned().unwrap_or_default()),
            Self::String | Self::Environment => Value::from(String::new()),
        }
    }

    fn typed(&self, given: &serde_json::Value) -> Result<Value, String> {
        use serde_json::Value as Json;
        let text = match given {
            Json::String(text) => text.clone(),
            Json::Bool(value) => value.to_string(),
            Json::Number(value) => value.to_string(),
            Json::Null => String::new(),
            Json::Array(_) | Json::Object(_) => {
                return Err("must be a text, a number or a boolean".to_owned());
            }
        };
        self.from_text(&text)
    }

    /// A value from its text: what a form or a command line has.
    ///
    /// # Errors
    /// What it must be, without the input's name.
    pub fn from_text(&self, text: &str) -> Result<Value, String> {
        match self {
            Self::String | Self::Environment => Ok(Value::from(text.to_owned())),
            Self::Boolean => match text.trim().to_ascii_lowercase().as_str() {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err(format!("must be true or false, not '{text}'")),
            },
            Self::Number => match text.trim().parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Value::Number(number)),
                _ => Err(format!("must be a number, not '{text}'")),
            },
            Self::Choice(options) if options.iter().any(|option| option == text) => {
                Ok(Value::from(text.to_owned()))
            }
            Self::Choice(options) => Err(format!("must be one of {}, not '{text}'", options.join(", "))),
        }
    }
}

impl Triggers {
    /// What the `inputs` context of a start by hand holds: every input, typed, by its name as the file writes it.
    ///
    /// # Errors
    /// A sentence for each input that is unknown, missing or of the wrong kind.
    pub fn check_inputs(
        &self,
        given: &BTreeMap<String, serde_json::Value>,
    ) -> Result<BTreeMap<String, Value>, Vec<String>> {
        let Some(inputs) = self.dispatch_inputs() else {
            return Err(vec![
                "the workflow cannot be started by hand: it has no 'workflow_dispatch'".to_owned(),
            ]);
        };
        let mut wrong = Vec::new();
        for name in given.keys() {
            if !inputs.iter().any(|input| input.name.eq_ignore_ascii_case(name)) {
                let near = crate::diagnostic::suggest(name, inputs.iter().map(|input| input.name.as_str()));
                let help = near.map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
                wrong.push(format!("the workflow has no input '{name}'{help}"));
            }
        }
        let size: usize = given.values().map(|value| value.to_string().chars().count()).sum();
        if size > MAX_PAYLOAD {
            wrong.push(format!("the inputs are longer than {MAX_PAYLOAD} characters"));
        }
        let mut values = BTreeMap::new();
        for input in inputs {
            let found = given.iter().find(|(name, _)| input.name.eq_ignore_ascii_case(name));
            match input.value(found.map(|(_, value)| value)) {
                Ok(value) => _ = values.insert(input.name.value.clone(), value),
                Err(why) => wrong.push(format!("the input '{}' {why}", input.name.value)),
            }
        }
        if wrong.is_empty() { Ok(values) } else { Err(wrong) }
    }
}

impl Input {
    fn value(&self, given: Option<&serde_json::Value>) -> Result<Value, String> {
        let nothing = |value: &serde_json::Value| value.is_null() || value.as_str() == Some("");
        match given.filter(|value| !nothing(value)) {
            Some(value) => self.kind.typed(value),
            None => match &self.default {
                Some(default) => Ok(default.clone()),
                None if self.required => Err("is required".to_owned()),
                None => Ok(self.kind.absent()),
            },
        }
    }
}
