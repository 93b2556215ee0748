//! A matrix's combinations, in GitHub's order.

use std::collections::HashSet;

use crate::expr::{Object, Value};

/// The most jobs that a matrix may make.
pub const MAX_LEGS: usize = 256;
/// The most combinations that are looked at before `exclude` has dropped some.
const MAX_PRODUCT: usize = 10_000;
/// The most comparisons of combinations with excludes, where there are more combinations than may be left.
const MAX_COMPARISONS: usize = 500_000;
/// The longest name of a job, in characters.
const MAX_NAME: usize = 100;

/// A matrix, evaluated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MatrixInput {
    /// The vectors, in the file's order.
    pub vectors: Vec<(String, Vec<Value>)>,
    /// The mappings of `include`.
    pub include: Vec<Object>,
    /// The mappings of `exclude`.
    pub exclude: Vec<Object>,
}

/// One combination.
#[derive(Clone, Debug, PartialEq)]
pub struct Leg {
    /// The `matrix` context: an object.
    pub values: Value,
    /// What its name gains: `(linux, 3)`; empty if there is nothing to say.
    pub suffix: String,
}

/// Why there are no combinations.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatrixError {
    /// Neither vectors nor includes.
    #[error("Matrix must define at least one vector")]
    NoVector,
    /// A vector without values.
    #[error("Matrix vector '{0}' does not contain any values")]
    EmptyVector(String),
    /// An exclude that names no vector.
    #[error("Matrix exclude key '{0}' does not match any key within the matrix")]
    UnknownExcludeKey(String),
    /// Too many combinations.
    #[error("Strategy produced {0} configurations, but only {MAX_LEGS} are supported")]
    TooMany(usize),
    /// A value of the wrong kind, as it came from an expression.
    #[error("{0}")]
    Shape(String),
}

impl MatrixInput {
    /// Reads an evaluated `matrix:` mapping.
    pub fn from_value(value: &Value) -> Result<Self, MatrixError> {
        let Value::Object(object) = value else {
            return Err(MatrixError::Shape("the matrix must be a mapping".into()));
        };
        let mut input = Self::default();
        for (key, value) in object.iter() {
            match key.to_ascii_lowercase().as_str() {
                "include" => input.include = mappings("include", value)?,
                "exclude" => input.exclude = mappings("exclude", value)?,
                _ => match value {
                    Value::Array(items) => input.vectors.push((key.to_owned(), items.to_vec())),
                    _ => {
                        return Err(MatrixError::Shape(format!(
                            "the matrix vector '{key}' must be a sequence"
                        )));
                    }
                },
            }
        }
        Ok(input)
    }
}

fn mappings(what: &str, value: &Value) -> Result<Vec<Object>, MatrixError> {
    let wrong = || MatrixError::Shape(format!("'{what}' of a matrix must be a sequence of mappings"));
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => items.iter().map(|item| item.as_object().cloned().ok_or_else(wrong)).collect(),
        _ => Err(wrong()),
    }
}

impl Leg {
    /// The job's name with the suffix, cut at 100 characters.
    pub fn display_name(&self, job: &str) -> String {
        let name = if self.suffix.is_empty() { job.to_owned() } else { format!("{job} {}", self.suffix) };
        cut(&name)
    }
}

/// A job's name, cut at 100 characters with `...` at its end.
pub fn cut(name: &str) -> String {
    if name.chars().count() <= MAX_NAME {
        return name.to_owned();
    }
    name.chars().take(MAX_NAME - 3).chain("...".chars()).collect()
}

/// The combinations: the cross product (the first vector varies slowest), less `exclude`, with `include` merged in or
/// appended. They may be none, when `exclude` drops all.
pub fn expand(input: &MatrixInput) -> Result<Vec<Leg>, MatrixError> {
    check(input)?;
    let vectors: HashSet<String> = input.vectors.iter().map(|(k, _)| k.to_ascii_lowercase()).collect();
    let is_vector = |key: &str| vectors.contains(&key.to_ascii_lowercase());
    let mut combinations = product(&input.vectors)?;
    let comparisons = combinations.len().saturating_mul(input.exclude.len());
    if combinations.len() > MAX_LEGS && comparisons > MAX_COMPARISONS {
        return Err(MatrixError::TooMany(combinations.len()));
    }
    combinations.retain(|c| !input.exclude.iter().any(|e| matches(e.iter(), c)));
    if combinations.len() > MAX_LEGS {
        return Err(MatrixError::TooMany(combinations.len()));
    }
    let mut legs: Vec<(Object, Object)> = combinations.into_iter().map(|c| (c.clone(), c)).collect();
    let mut own = Vec::new();
    for include in &input.include {
        let mut merged = false;
        for (original, values) in &mut legs {
            if matches(include.iter().filter(|(k, _)| is_vector(k)), original) {
                merged = true;
                values.extend(include.iter().filter(|(k, _)| !is_vector(k)).map(|(k, v)| (k, v.clone())));
            }
        }
        if !merged {
            own.push((include.clone(), include.clone()));
        }
    }
    legs.extend(own);
    if legs.len() > MAX_LEGS {
        return Err(MatrixError::TooMany(legs.len()));
    }
    Ok(legs
        .into_iter()
        .map(|(named, values)| Leg { suffix: suffix(&named), values: Value::from(values) })
        .collect())
}

fn check(input: &MatrixInput) -> Result<(), MatrixError> {
    if input.vectors.is_empty() && input.include.is_empty() {
        return Err(MatrixError::NoVector);
    }
    if let Some((name, _)) = input.vectors.iter().find(|(_, values)| values.is_empty()) {
        return Err(MatrixError::EmptyVector(name.clone()));
    }
    let known = |key: &str| input.vectors.iter().any(|(name, _)| name.eq_ignore_ascii_case(key));
    match input.exclude.iter().flat_map(Object::keys).find(|key| !known(key)) {
        Some(key) => Err(MatrixError::UnknownExcludeKey(key.to_owned())),
        None => Ok(()),
    }
}

fn product(vectors: &[(String, Vec<Value>)]) -> Result<Vec<Object>, MatrixError> {
    if vectors.is_empty() {
        return Ok(Vec::new());
    }
    let size = vectors.iter().fold(1usize, |size, (_, values)| size.saturating_mul(values.len()));
    if size > MAX_PRODUCT {
        return Err(MatrixError::TooMany(size));
    }
    let mut combinations = vec![Object::new()];
    for (key, values) in vectors {
        combinations = combinations
            .iter()
            .flat_map(|c| {
                values.iter().map(move |value| {
                    let mut longer = c.clone();
                    longer.insert(key, value.clone());
                    longer
                })
            })
            .collect();
    }
    Ok(combinations)
}

/// Whether `combination` has every entry of `filter`.
fn matches<'a>(mut filter: impl Iterator<Item = (&'a str, &'a Value)>, combination: &Object) -> bool {
    filter.all(|(key, wanted)| combination.get(key).is_some_and(|value| leaf_equal(wanted, value)))
}

/// Every scalar within `wanted` is loosely equal to what stands at the same path of `value`.
fn leaf_equal(wanted: &Value, value: &Value) -> bool {
    match (wanted, value) {
        (Value::Object(wanted), Value::Object(object)) => {
            wanted.iter().all(|(k, w)| object.get(k).is_some_and(|v| leaf_equal(w, v)))
        }
        (Value::Array(wanted), Value::Array(items)) => {
            wanted.len() <= items.len() && wanted.iter().zip(items.iter()).all(|(w, v)| leaf_equal(w, v))
        }
        _ => wanted.is_scalar() && value.is_scalar() && wanted.loose_eq(value),
    }
}

fn suffix(values: &Object) -> String {
    let mut leaves = Vec::new();
    values.values().for_each(|value| collect(value, &mut leaves));
    if leaves.is_empty() { String::new() } else { format!("({})", leaves.join(", ")) }
}

fn collect(value: &Value, leaves: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, leaves)),
        Value::Object(object) => object.values().for_each(|value| collect(value, leaves)),
        scalar => {
            let text = scalar.to_text();
            if !text.is_empty() {
                leaves.push(text.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests;
