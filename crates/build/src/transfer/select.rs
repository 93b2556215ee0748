//! What a source names: a path, or a pattern as Go's `filepath.Match` has it, with `**` where folders are kept.

use std::path::{Path, PathBuf};

use super::{Selected, TransferError, at};
use crate::tree::{Node, Tree, follow, relative, walk};

/// Selects what `source` names in `tree`. A path that is not there is an error; a pattern that fits nothing is not.
pub(crate) fn select(tree: &dyn Tree, source: &str, parents: bool) -> Result<Vec<Selected>, TransferError> {
    let (pivot, rest) = match source.split_once("/./").filter(|_| parents) {
        Some((pivot, rest)) => (pivot, rest),
        None if parents => ("", source),
        None => ("", source),
    };
    let clean = relative(Path::new(rest));
    let pivot = relative(Path::new(pivot));
    let full = pivot.join(&clean);
    let matched =
        if is_pattern(&full.to_string_lossy()) { matches(tree, &full, parents)? } else { vec![full.clone()] };
    let mut selected = Vec::new();
    for named in matched {
        let real = follow(tree, &named).map_err(at(&named))?;
        if tree.node(&real).map_err(at(&real))?.is_none() {
            return Err(TransferError::Missing(named.display().to_string()));
        }
        let kept = if parents {
            let below = named.strip_prefix(&pivot).unwrap_or(&named);
            below.parent().unwrap_or(Path::new("")).to_owned()
        } else {
            PathBuf::new()
        };
        selected.push(Selected { named, real, kept });
    }
    Ok(selected)
}

/// Whether a path is a pattern.
pub(crate) fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '[', '\\'])
}

fn matches(tree: &dyn Tree, pattern: &Path, deep: bool) -> Result<Vec<PathBuf>, TransferError> {
    let parts: Vec<String> =
        pattern.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    let fixed = parts.iter().take_while(|part| !is_pattern(part)).count();
    let start: PathBuf = parts[..fixed].iter().collect();
    let real = follow(tree, &start).map_err(at(&start))?;
    let rest = &parts[fixed..];
    let mut found = Vec::new();
    let mut look = |path: &Path, _: &Node| {
        let inner: Vec<String> = path
            .strip_prefix(&real)
            .unwrap_or(path)
            .components()
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        if !inner.is_empty() && fits(rest, &inner, deep) {
            found.push(start.join(path.strip_prefix(&real).unwrap_or(path)));
            // All that is in a folder that fits is copied with it.
            return Ok(false);
        }
        Ok(deep || inner.len() < rest.len())
    };
    walk(tree, &real, &mut look).map_err(at(&real))?;
    Ok(found)
}

/// Whether the components of a path fit those of a pattern.
fn fits(pattern: &[String], path: &[String], deep: bool) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if deep && first == "**" => {
            (0..=path.len()).any(|skipped| fits(rest, &path[skipped..], deep))
        }
        (Some((first, rest)), Some((name, below))) => fits_name(first, name) && fits(rest, below, deep),
        _ => false,
    }
}

/// Go's `filepath.Match` for one name.
pub(super) fn fits_name(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    // Where to go on after the last star: only that one is ever gone back to.
    let (mut p, mut n, mut star) = (0, 0, None);
    loop {
        if n == name.len() && pattern[p..].iter().all(|c| *c == '*') {
            return true;
        }
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some(_) if n < name.len() => one(&pattern[p..], name[n]),
            _ => None,
        };
        match (step, star) {
            (Some(used), _) => {
                p += used;
                n += 1;
            }
            (None, Some((at, from))) if from < name.len() => {
                star = Some((at, from + 1));
                (p, n) = (at + 1, from + 1);
            }
            _ => return false,
        }
    }
}

/// How much of a pattern stands for this one character, if it does.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern[0] {
        '?' => Some(1),
        '\\' => (pattern.get(1) == Some(&c)).then_some(2),
        '[' => {
            let mut at = 1;
            let negated = pattern.get(at) == Some(&'^');
            at += usize::from(negated);
            let (first, mut inside) = (at, false);
            loop {
                let mut low = *pattern.get(at)?;
                if low == ']' && at > first {
                    return (inside != negated).then_some(at + 1);
                }
                let escaped = |at: usize| {
                    let c = *pattern.get(at)?;
                    if c == '\\' { Some((*pattern.get(at + 1)?, at + 2)) } else { Some((c, at + 1)) }
                };
                (low, at) = escaped(at).filter(|_| low != ']')?;
                let mut high = low;
                if pattern.get(at) == Some(&'-') {
                    (high, at) = escaped(at + 1)?;
                }
                inside |= low <= c && c <= high;
            }
        }
        literal => (literal == c).then_some(1),
    }
}

/// `--exclude`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Excludes {
    patterns: Vec<(bool, Vec<String>)>,
}

impl Excludes {
    pub(crate) fn new(patterns: &[String]) -> Self {
        let read = |pattern: &String| {
            let (negated, pattern) = match pattern.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, pattern.as_str()),
            };
            let clean = relative(Path::new(pattern));
            (negated, clean.components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect())
        };
        Self { patterns: patterns.iter().map(read).collect() }
    }

    /// Whether something is copied; `inner` is its path below what was selected, empty for that itself.
    pub(crate) fn takes(&self, inner: &Path, named: &Path, node: &Node) -> bool {
        if self.patterns.is_empty() {
            return true;
        }
        if inner.as_os_str().is_empty() {
            // A file that was selected itself goes by its name; a folder's name says nothing of what is in it.
            let name = Path::new(named.file_name().unwrap_or_default());
            return node.is_folder() || !self.excluded(name);
        }
        !self.excluded(inner)
    }

    /// Whether something below a folder that is left out may be copied after all.
    pub(crate) fn may_have_below(&self) -> bool {
        self.patterns.iter().any(|(negated, _)| *negated)
    }

    fn excluded(&self, path: &Path) -> bool {
        let parts: Vec<String> =
            path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        let mut excluded = false;
        for (negated, pattern) in &self.patterns {
            if *negated != excluded {
                continue;
            }
            if (1..=parts.len()).any(|length| fits(pattern, &parts[..length], true)) {
                excluded = !negated;
            }
        }
        excluded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_as_go_has_it() {
        for (pattern, name, fit) in [
            ("*", "abc", true),
            ("a*", "abc", true),
            ("a*c", "abbc", true),
            ("a*d", "abc", false),
            ("?bc", "abc", true),
            ("?", "", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[\\]a]", "]", true),
            ("[]a]", "]", false),
            ("[a", "a", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("*.t[xg]t", "a.b.txt", true),
            ("*a*b*c*", "xxaxxbxxcxx", true),
            ("*a*b*c*", "xxaxxcxxbxx", false),
            ("é*", "été", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(fits_name(pattern, name), fit, "{pattern} {name}");
        }
    }

    #[test]
    fn excludes_go_by_the_last_word_and_cover_what_is_below() {
        let list =
            |patterns: &[&str]| Excludes::new(&patterns.iter().map(ToString::to_string).collect::<Vec<_>>());
        let file = Node { kind: crate::tree::Kind::File, ..Node::folder() };
        for (patterns, path, taken) in [
            (&["*.txt"][..], "a.txt", false),
            (&["*.txt"], "d/a.txt", true),
            (&["**/*.txt"], "d/e/a.txt", false),
            (&["**/*.txt"], "a.txt", false),
            (&["d"], "d/e/f", false),
            (&["d", "!d/e"], "d/e/f", true),
            (&["!d", "d"], "d/x", false),
            (&["/d/"], "d/x", false),
        ] {
            assert_eq!(
                list(patterns).takes(Path::new(path), Path::new("src"), &file),
                taken,
                "{patterns:?} {path}"
            );
        }
        assert!(!list(&["*.txt"]).takes(Path::new(""), Path::new("src/a.txt"), &file));
        assert!(list(&["src"]).takes(Path::new(""), Path::new("src"), &Node::folder()));
    }
}
