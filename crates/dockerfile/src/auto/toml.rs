//! As much of TOML as is asked for here: tables, strings, and lists of strings.

/// The value of a key in a table: the first string behind it.
pub(super) fn string(text: &str, table: &str, key: &str) -> Option<String> {
    let mut found = None;
    each(text, |inside, name, value| {
        if found.is_none() && inside == table && name == key {
            found = unquoted(value);
        }
    });
    found
}

/// The values of a key in all tables of a list: `[[table]]`.
pub(super) fn in_list(text: &str, table: &str, key: &str) -> Vec<String> {
    let mut all = Vec::new();
    let name = format!("[{table}]");
    each(text, |inside, found, value| {
        if inside == name && found == key {
            all.extend(unquoted(value));
        }
    });
    all
}

/// The strings of a list: `key = ["a", "b"]`, over as many lines as it has.
pub(super) fn strings(text: &str, table: &str, key: &str) -> Option<Vec<String>> {
    let mut found = None;
    each(text, |inside, name, value| {
        if found.is_none() && inside == table && name == key && value.starts_with('[') {
            found = Some(quoted(value));
        }
    });
    found
}

/// Calls with each pair: its table, its key and its value, a list's lines joined.
fn each(text: &str, mut call: impl FnMut(&str, &str, &str)) {
    let mut inside = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = without_comment(line).trim();
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            // `[[bin]]` is kept as `[bin]`, to be told from `[bin]`.
            header.trim().clone_into(&mut inside);
            continue;
        }
        let Some((name, value)) = line.split_once('=') else { continue };
        let mut value = value.trim().to_owned();
        if value.starts_with('[') {
            while !closed(&value) {
                let Some(more) = lines.next() else { break };
                value.push(' ');
                value.push_str(without_comment(more).trim());
            }
        }
        call(&inside, name.trim(), &value);
    }
}

/// A line without its comment: a `#` that stands in no quotes.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') => return &line[..at],
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    line
}

/// Whether a list's brackets are closed, those in quotes not counted.
fn closed(value: &str) -> bool {
    let mut quote = None;
    let mut depth = 0_i64;
    for c in value.chars() {
        match (quote, c) {
            (None, '[') => depth += 1,
            (None, ']') => depth -= 1,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    depth <= 0
}

fn unquoted(value: &str) -> Option<String> {
    quoted(value).into_iter().next()
}

/// The strings in quotes of a text.
fn quoted(value: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut rest = value;
    while let Some(at) = rest.find(['"', '\'']) {
        let quote = rest[at..].chars().next().unwrap_or('"');
        let inner = &rest[at + 1..];
        let Some(end) = inner.find(quote) else { break };
        all.push(inner[..end].to_owned());
        rest = &inner[end + 1..];
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lists_and_tables_are_found() {
        let text = "[package] # x\nname = \"a#b\" # c\n[[bin]]\nname = 'one'\n[[bin]]\nname = \"two\"\n[project]\n\
                    dependencies = [\n  \"flask>=2\", # why\n  'x[extra]==1',\n]\n[project.scripts]\nrun = \"m:main\"\n";
        assert_eq!(string(text, "package", "name").as_deref(), Some("a#b"));
        assert_eq!(string(text, "package", "version"), None);
        assert_eq!(in_list(text, "bin", "name"), ["one", "two"]);
        assert_eq!(strings(text, "project", "dependencies").unwrap(), ["flask>=2", "x[extra]==1"]);
        assert_eq!(strings("[a]\nb = [\"c", "a", "b"), Some(vec![]));
    }
}
