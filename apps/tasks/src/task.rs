//! Tasks, and what a client may ask for: parsed once, with a message for each mistake.

use serde_json::{Map, Value, json};

/// What a task's status may be; the first is a new task's.
pub const STATUSES: [&str; 3] = ["pending", "in_progress", "completed"];

const LONGEST_TITLE: usize = 200;
const LONGEST_DESCRIPTION: usize = 10_000;
const DEFAULT_LIMIT: u32 = 100;
const LARGEST_LIMIT: u32 = 1000;

/// A task as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its number, never used again.
    pub id: i64,
    /// What is to be done.
    pub title: String,
    /// More about it; may be empty.
    pub description: String,
    /// One of [`STATUSES`].
    pub status: String,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it was last changed, RFC 3339.
    pub updated_at: String,
}

/// A task to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// What is to be done.
    pub title: String,
    /// More about it.
    pub description: String,
    /// One of [`STATUSES`].
    pub status: &'static str,
}

/// What to change of a task; `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The new title.
    pub title: Option<String>,
    /// The new description.
    pub description: Option<String>,
    /// The new status.
    pub status: Option<&'static str>,
}

/// Which tasks to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Only those with this status.
    pub status: Option<&'static str>,
    /// At most so many.
    pub limit: u32,
    /// How many to pass over.
    pub offset: u32,
}

impl Task {
    /// As the API shows it.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "title": self.title,
            "description": self.description,
            "status": self.status,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        })
    }
}

impl NewTask {
    /// Reads a request's body.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let body = object(body)?;
        let title = title(&body)?.ok_or("`title` is missing")?;
        let description = description(&body)?.unwrap_or_default();
        Ok(Self { title, description, status: status(&body)?.unwrap_or(STATUSES[0]) })
    }
}

impl Change {
    /// Reads a request's body.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let body = object(body)?;
        let change = Self { title: title(&body)?, description: description(&body)?, status: status(&body)? };
        if change == Self::default() {
            return Err("nothing to change: give `title`, `description` or `status`".to_owned());
        }
        Ok(change)
    }
}

impl Filter {
    /// Reads a request's query; parameters that it does not know are passed over.
    pub fn parse(query: &[(String, String)]) -> Result<Self, String> {
        let find =
            |name: &str| query.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let number = |name: &str, least: u32, most: u32, default: u32| match find(name) {
            None => Ok(default),
            Some(text) => text
                .parse::<u32>()
                .ok()
                .filter(|n| (least..=most).contains(n))
                .ok_or_else(|| format!("`{name}` must be a number from {least} to {most}")),
        };
        let status = find("status").map(known_status).transpose()?;
        let limit = number("limit", 1, LARGEST_LIMIT, DEFAULT_LIMIT)?;
        Ok(Self { status, limit, offset: number("offset", 0, i32::MAX as u32, 0)? })
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(format!("the body must be a JSON object, not {}", kind(&other))),
        Err(e) => Err(format!("the body is not valid JSON: {e}")),
    }
}

fn title(body: &Map<String, Value>) -> Result<Option<String>, String> {
    let Some(title) = text(body, "title")? else { return Ok(None) };
    let title = title.trim();
    if title.is_empty() {
        return Err("`title` must not be empty".to_owned());
    }
    fits("title", title, LONGEST_TITLE)?;
    if title.chars().any(char::is_control) {
        return Err("`title` must not contain control characters".to_owned());
    }
    Ok(Some(title.to_owned()))
}

/// `null` stands for an empty description.
fn description(body: &Map<String, Value>) -> Result<Option<String>, String> {
    if body.get("description") == Some(&Value::Null) {
        return Ok(Some(String::new()));
    }
    let Some(description) = text(body, "description")? else { return Ok(None) };
    fits("description", description, LONGEST_DESCRIPTION)?;
    if description.contains('\0') {
        return Err("`description` must not contain the zero character".to_owned());
    }
    Ok(Some(description.to_owned()))
}

fn status(body: &Map<String, Value>) -> Result<Option<&'static str>, String> {
    text(body, "status")?.map(known_status).transpose()
}

fn known_status(text: &str) -> Result<&'static str, String> {
    let found = STATUSES.into_iter().find(|status| *status == text);
    found.ok_or_else(|| format!("`status` must be one of {}", STATUSES.join(", ")))
}

fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match body.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!("`{name}` must be a string, not {}", kind(other))),
    }
}

fn fits(name: &str, text: &str, most: usize) -> Result<(), String> {
    match text.chars().count() {
        n if n > most => Err(format!("`{name}` has {n} characters; at most {most} are allowed")),
        _ => Ok(()),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_task_says_why() {
        let cases = [
            (String::new(), "not valid JSON"),
            ("{".into(), "not valid JSON"),
            ("[]".into(), "a JSON object, not an array"),
            ("null".into(), "a JSON object, not null"),
            ("{}".into(), "`title` is missing"),
            (r#"{"title":null}"#.into(), "`title` must be a string, not null"),
            (r#"{"title":7}"#.into(), "`title` must be a string, not a number"),
            (r#"{"title":" \t "}"#.into(), "`title` must not be empty"),
            (r#"{"title":"a\u0000b"}"#.into(), "control characters"),
            (format!(r#"{{"title":"{}"}}"#, "ä".repeat(201)), "has 201 characters"),
            (r#"{"title":"a","description":{}}"#.into(), "`description` must be a string, not an object"),
            (r#"{"title":"a","description":"\u0000"}"#.into(), "zero character"),
            (format!(r#"{{"title":"a","description":"{}"}}"#, "x".repeat(10_001)), "at most 10000"),
            (r#"{"title":"a","status":"done"}"#.into(), "one of pending, in_progress, completed"),
            (r#"{"title":"a","status":true}"#.into(), "`status` must be a string, not a boolean"),
            ("[".repeat(10_000), "not valid JSON"),
        ];
        for (body, why) in cases {
            let error = NewTask::parse(body.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{body:.80}: {error}");
        }
        assert!(NewTask::parse(b"{\"title\":\"\xff\"}").unwrap_err().contains("not valid JSON"));
    }

    #[test]
    fn a_task_has_its_defaults_and_keeps_every_letter() {
        let task = NewTask::parse(" {\"title\":\" Füße 🦶 \",\"other\":1} ".as_bytes()).unwrap();
        assert_eq!(task, NewTask { title: "Füße 🦶".into(), description: String::new(), status: "pending" });
    }

    #[test]
    fn a_change_names_something() {
        let change = Change::parse(br#"{"status":"completed","description":null}"#).unwrap();
        let expected = Change { title: None, description: Some(String::new()), status: Some("completed") };
        assert_eq!(change, expected);
        assert!(Change::parse(b"{}").unwrap_err().contains("nothing to change"));
        assert!(Change::parse(br#"{"title":""}"#).is_err());
    }

    #[test]
    fn filters_are_bounded() {
        let parse = |query: &[(&str, &str)]| {
            let query: Vec<_> = query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            Filter::parse(&query)
        };
        assert_eq!(parse(&[("x", "y")]), Ok(Filter { status: None, limit: 100, offset: 0 }));
        let all = parse(&[("status", "pending"), ("limit", "1000"), ("offset", "7")]);
        assert_eq!(all, Ok(Filter { status: Some("pending"), limit: 1000, offset: 7 }));
        for bad in [
            ("limit", "0"),
            ("limit", "1001"),
            ("limit", "-1"),
            ("offset", "x"),
            ("offset", ""),
            ("status", ""),
        ] {
            assert!(parse(&[bad]).unwrap_err().contains(bad.0), "{bad:?}");
        }
    }
}
