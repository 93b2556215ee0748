//! Reading single values out of the tree: each is typed, checked and, when wrong, reported with its place.
//! A wrong value gives `None`, and reading goes on, so that one pass finds every mistake.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use super::keys::{self, Key};
use super::tree::{Node, Place, Value, clip};
use super::{ManifestDiagnostic, Severity};

/// Collects findings.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) findings: Vec<(Place, Severity, String)>,
}

/// The known pairs of a mapping.
pub(super) struct Fields<'a> {
    pub(super) at: Place,
    pairs: Vec<(&'a str, &'a Node)>,
}

impl<'a> Fields<'a> {
    /// The value behind a key; none also if nothing stands there.
    pub(super) fn get(&self, name: &str) -> Option<&'a Node> {
        self.pairs.iter().find(|(key, node)| *key == name && !node.is_null()).map(|(_, node)| *node)
    }
}

impl Reader {
    pub(super) fn error(&mut self, at: Place, message: impl Into<String>) {
        self.findings.push((at, Severity::Error, message.into()));
    }

    pub(super) fn warn(&mut self, at: Place, message: impl Into<String>) {
        self.findings.push((at, Severity::Warning, message.into()));
    }

    /// The findings in the order of the text.
    pub(super) fn into_diagnostics(mut self) -> Vec<ManifestDiagnostic> {
        self.findings.sort_by_key(|(at, ..)| *at);
        let diagnostic = |(at, severity, message): (Place, Severity, String)| ManifestDiagnostic {
            severity,
            line: at.line,
            column: at.column,
            message,
        };
        self.findings.into_iter().map(diagnostic).collect()
    }

    /// A mapping with known keys; each unknown one is an error. Nothing at all is an empty mapping.
    pub(super) fn fields<'a>(&mut self, node: &'a Node, what: &str, known: &[Key]) -> Option<Fields<'a>> {
        let mut pairs = Vec::new();
        for (key, value) in self.pairs(node, what)? {
            if known.iter().any(|k| k.name == key.text) {
                pairs.push((key.text.as_str(), value));
            } else {
                let hint = keys::hint(&key.text, known);
                self.error(key.at, format!("`{}` is not a key of {what}{hint}", clip(&key.text)));
            }
        }
        Some(Fields { at: node.at, pairs })
    }

    /// The pairs of a mapping whose keys are names. Nothing at all is an empty mapping.
    pub(super) fn pairs<'a>(&mut self, node: &'a Node, what: &str) -> Option<&'a [(super::tree::Key, Node)]> {
        match &node.value {
            Value::Map(pairs) => Some(pairs),
            _ if node.is_null() => Some(&[]),
            _ => {
                self.error(
                    node.at,
                    format!("{what} must be a mapping (`key: value` lines), but {} stands here", node.kind()),
                );
                None
            }
        }
    }

    /// The items of a list.
    pub(super) fn items<'a>(&mut self, node: &'a Node, what: &str) -> Option<&'a [Node]> {
        match &node.value {
            Value::List(items) => Some(items),
            _ => {
                self.error(
                    node.at,
                    format!("{what} must be a list (`[a, b]`), but {} stands here", node.kind()),
                );
                None
            }
        }
    }

    /// A text, however it is quoted.
    pub(super) fn text<'a>(&mut self, node: &'a Node, what: &str) -> Option<&'a str> {
        match &node.value {
            Value::Scalar { text, .. } if !node.is_null() => {
                if text.contains('\0') {
                    self.error(node.at, format!("{what} cannot hold a zero character"));
                    return None;
                }
                Some(text)
            }
            _ => {
                self.error(node.at, format!("{what} must be a text, but {} stands here", node.kind()));
                None
            }
        }
    }

    /// A text that a type can be parsed from.
    pub(super) fn parsed<T: FromStr>(&mut self, node: &Node, what: &str) -> Option<T>
    where
        T::Err: Display,
    {
        let text = self.text(node, what)?;
        text.parse().map_err(|e: T::Err| self.error(node.at, e.to_string())).ok()
    }

    /// A list of texts; one text stands for a list of it if `single`.
    pub(super) fn texts<'a>(&mut self, node: &'a Node, what: &str, single: bool) -> Vec<(&'a str, Place)> {
        if single && matches!(node.value, Value::Scalar { .. }) {
            return self.text(node, what).map(|text| (text, node.at)).into_iter().collect();
        }
        let items = self.items(node, what).unwrap_or_default();
        items.iter().filter_map(|item| self.text(item, what).map(|text| (text, item.at))).collect()
    }

    /// `true` or `false`, without quotes.
    pub(super) fn flag(&mut self, node: &Node, what: &str) -> Option<bool> {
        match as_flag(node) {
            Some(flag) => Some(flag),
            None => {
                self.error(node.at, format!("{what} must be true or false"));
                None
            }
        }
    }

    /// An integer within bounds.
    pub(super) fn integer(&mut self, node: &Node, what: &str, least: u32, most: u32) -> Option<u32> {
        let wrong = |text: &str| {
            format!("{what} must be a whole number from {least} to {most}, but `{}` stands here", clip(text))
        };
        let Value::Scalar { text, plain } = &node.value else {
            self.error(node.at, wrong(node.kind()));
            return None;
        };
        let digits = *plain && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let canonical = digits && (text == "0" || !text.starts_with('0'));
        match text.parse::<u32>() {
            Ok(n) if canonical && (least..=most).contains(&n) => Some(n),
            _ if !plain => {
                self.error(node.at, format!("{}; write it without quotes", wrong(&format!("\"{text}\""))));
                None
            }
            _ => {
                self.error(node.at, wrong(text));
                None
            }
        }
    }

    /// A duration with its unit, within bounds.
    pub(super) fn duration(
        &mut self,
        node: &Node,
        what: &str,
        least: Duration,
        most: Duration,
    ) -> Option<Duration> {
        let text = self.text(node, what)?;
        let found = split_unit(text).and_then(|(number, unit)| {
            let millis = match unit {
                "ms" => 1,
                "s" => 1000,
                "m" => 60_000,
                "h" => 3_600_000,
                _ => return None,
            };
            number.checked_mul(millis).map(Duration::from_millis)
        });
        match found {
            Some(d) if (least..=most).contains(&d) => Some(d),
            Some(_) => {
                self.error(node.at, format!("{what} must be between {} and {}", words(least), words(most)));
                None
            }
            None => {
                let text = clip(text);
                self.error(node.at, format!("{what} must be a whole number with a unit (500ms, 10s, 5m, 1h), but `{text}` stands here"));
                None
            }
        }
    }

    /// A size in bytes, with its unit.
    pub(super) fn size(&mut self, node: &Node, what: &str, least: u64, most: u64) -> Option<u64> {
        let text = self.text(node, what)?;
        let found = split_unit(text).and_then(|(number, unit)| {
            let bytes = match unit {
                "KiB" => 1 << 10,
                "MiB" => 1 << 20,
                "GiB" => 1 << 30,
                "KB" => 1_000,
                "MB" => 1_000_000,
                "GB" => 1_000_000_000,
                _ => return None,
            };
            number.checked_mul(bytes)
        });
        match found {
            Some(bytes) if (least..=most).contains(&bytes) => Some(bytes),
            Some(_) => {
                self.error(
                    node.at,
                    format!("{what} must be between {} MiB and {} GiB", least >> 20, most >> 30),
                );
                None
            }
            None => {
                let text = clip(text);
                self.error(node.at, format!("{what} must be a whole number with a unit (KiB, MiB, GiB, KB, MB, GB), such as 256MiB, but `{text}` stands here"));
                None
            }
        }
    }
}

/// `true` or `false`, if it is one, without quotes.
pub(super) fn as_flag(node: &Node) -> Option<bool> {
    match &node.value {
        Value::Scalar { text, plain: true } if text == "true" => Some(true),
        Value::Scalar { text, plain: true } if text == "false" => Some(false),
        _ => None,
    }
}

/// A duration as a person writes it.
pub(crate) fn words(d: Duration) -> String {
    let millis = d.as_millis();
    if millis > 0 && millis.is_multiple_of(3_600_000) {
        format!("{} h", millis / 3_600_000)
    } else if millis > 0 && millis.is_multiple_of(60_000) {
        format!("{} min", millis / 60_000)
    } else if millis.is_multiple_of(1000) {
        format!("{} s", millis / 1000)
    } else {
        format!("{millis} ms")
    }
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start_matches(' ')))
}
