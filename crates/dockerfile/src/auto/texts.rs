//! Words and small texts: what of a project's files can stand in a Dockerfile, and the files of an image on nothing.

/// `/etc/passwd` of an image on nothing.
pub(super) const PASSWD: &str =
    "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n";
/// `/etc/group` of an image on nothing.
pub(super) const GROUP: &str = "root:x:0:\nnonroot:x:65532:\n";

pub(super) fn owned(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

pub(super) fn pairs(items: &[(&str, &str)]) -> Vec<(String, String)> {
    items.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(super) fn json<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> =
        items.into_iter().map(|item| serde_json::Value::from(item).to_string()).collect();
    format!("[{}]", quoted.join(", "))
}

/// A value of `ENV` in which nothing is expanded but what is written with `$` on purpose.
pub(super) fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A word of a shell's line.
pub(super) fn shell(word: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "._-/@:+=,%".contains(c);
    if !word.is_empty() && word.chars().all(safe) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A name as images have them.
pub(super) fn image_name(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let kept: String = last.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let trimmed = kept.trim_matches('-').to_owned();
    if trimmed.is_empty() { "app".to_owned() } else { trimmed }
}

/// Whether a word from a project's file can stand in a Dockerfile and an argument as it is.
pub(super) fn plain(word: &str) -> bool {
    !word.is_empty()
        && word.len() <= 200
        && !word.starts_with('-')
        && word.chars().all(|c| c.is_ascii_alphanumeric() || "._-/@:+".contains(c))
}

/// Whether a path from a project's file can stand there, and leads to nothing outside of the project.
pub(super) fn inside(path: &str) -> bool {
    plain(path) && !path.starts_with('/') && path.split('/').all(|part| part != "..")
}

/// A version's first numbers, wherever they stand in a text such as `>=18.2 <21`.
pub(super) fn version(text: &str, parts: usize) -> Option<String> {
    let from = text.find(|c: char| c.is_ascii_digit())?;
    let end = text[from..].find(|c: char| !c.is_ascii_digit() && c != '.').map_or(text.len(), |at| from + at);
    let kept: Vec<&str> = text[from..end].split('.').filter(|part| !part.is_empty()).take(parts).collect();
    (!kept.is_empty() && kept.iter().all(|part| part.len() <= 4)).then(|| kept.join("."))
}

/// The value in a TOML table behind these keys.
pub(super) fn at<'t>(table: &'t toml::Table, keys: &[&str]) -> Option<&'t toml::Value> {
    let (first, rest) = keys.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(key))
}

/// The string in a TOML table behind these keys.
pub(super) fn string(table: &toml::Table, keys: &[&str]) -> Option<String> {
    at(table, keys)?.as_str().map(str::to_owned)
}

/// The strings of a list.
pub(super) fn strings(value: Option<&toml::Value>) -> Vec<String> {
    let items = value.and_then(toml::Value::as_array).into_iter().flatten();
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_shells() {
        for (word, expected) in [
            ("-o", "-o"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(x)", "'$(x)'"),
            ("--x=a,b", "--x=a,b"),
        ] {
            assert_eq!(shell(word), expected);
        }
    }

    #[test]
    fn paths_stay_inside() {
        for path in ["a", "a/b.js", "./a"] {
            assert!(inside(path), "{path}");
        }
        for path in ["/a", "../a", "a/../../b", "-a", "a b", "a\nb", ""] {
            assert!(!inside(path), "{path}");
        }
    }

    #[test]
    fn versions_are_found_in_texts() {
        for (text, parts, expected) in [
            (">=18.2 <21", 1, Some("18")),
            ("^3.11.4", 2, Some("3.11")),
            ("v20", 2, Some("20")),
            ("lts/*", 1, None),
            ("20260101", 1, None),
        ] {
            assert_eq!(version(text, parts).as_deref(), expected, "{text}");
        }
    }
}
