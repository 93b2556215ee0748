//! The JSON form of arguments: `["a", "b"]`.

/// What a text is, taken as a list.
pub(super) enum List {
    /// A list of strings.
    Strings(Vec<String>),
    /// A list, but not of strings alone: an error.
    Other,
    /// No list: the other form of arguments.
    None,
}

/// Reads a text as a JSON list.
pub(super) fn list(text: &str) -> List {
    let text = text.trim();
    if !text.starts_with('[') {
        return List::None;
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else { return List::None };
    let strings: Option<Vec<String>> = values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
    strings.map_or(List::Other, List::Strings)
}
