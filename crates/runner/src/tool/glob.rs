//! Path patterns as GitHub's own actions read them: `*`, `?`, `[…]`, `**`, `!` to leave out, `#` for remarks. A folder
//! that matches stands for all that is in it.

use std::path::{Component, Path, PathBuf};

/// Patterns, in order: the last that matches a file decides.
#[derive(Clone, Debug)]
pub(super) struct Patterns {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    negative: bool,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Name(String),
    Wild(Vec<Piece>),
    Any,
}

/// A piece of a name with wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Star,
    One,
    Exactly(char),
    /// `[…]`: the ranges of its members, and whether it is they that do not fit.
    Set(Vec<(char, char)>, bool),
}

/// Whether a single name fits a pattern.
pub(crate) fn name_fits(pattern: &str, name: &str) -> bool {
    Segment::parse(pattern).fits(name)
}

/// How the tree is walked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    /// Whether names that begin with a dot are seen.
    pub(super) hidden: bool,
    /// Whether links to folders are entered.
    pub(super) follow: bool,
}

/// The deepest folder that is entered: a tree of links has no end.
const DEEPEST: usize = 128;

impl Patterns {
    /// Reads patterns, one per line; relative ones are below `root`, `~` is `home`.
    pub(super) fn parse(lines: &[String], root: &Path, home: Option<&Path>) -> Self {
        let lines = lines.iter().flat_map(|text| text.lines()).map(str::trim);
        let patterns = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| Pattern::parse(line, root, home))
            .collect();
        Self { patterns }
    }

    /// Where the positive patterns begin to look, and whether each names one path without wildcards.
    pub(super) fn roots(&self) -> Vec<(PathBuf, bool)> {
        self.patterns.iter().filter(|pattern| !pattern.negative).map(Pattern::root).collect()
    }

    /// Whether a path is meant.
    pub(super) fn takes(&self, path: &Path) -> bool {
        let names = names(path);
        let last = self.patterns.iter().rev().find(|pattern| pattern.covers(&names));
        last.is_some_and(|pattern| !pattern.negative)
    }

    /// All files (and links, where they are not followed) that are meant, sorted, each once.
    pub(super) fn files(&self, walk: Walk) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for (root, _) in self.roots() {
            self.descend(&root, walk, 0, &mut found);
        }
        found.sort();
        found.dedup();
        found
    }

    fn descend(&self, path: &Path, walk: Walk, depth: usize, found: &mut Vec<PathBuf>) {
        let Ok(link) = std::fs::symlink_metadata(path) else { return };
        let enters = link.is_symlink() && (walk.follow || depth == 0);
        let Ok(seen) = (if enters { std::fs::metadata(path) } else { Ok(link) }) else { return };
        if !seen.is_dir() {
            if self.takes(path) {
                found.push(path.to_owned());
            }
            return;
        }
        if depth >= DEEPEST || (depth > 0 && enters && loops(path)) {
            return;
        }
        let mut entries: Vec<_> = std::fs::read_dir(path).into_iter().flatten().flatten().collect();
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            if walk.hidden || !entry.file_name().as_encoded_bytes().starts_with(b".") {
                self.descend(&entry.path(), walk, depth + 1, found);
            }
        }
    }
}

/// Whether a link leads to a folder above itself.
fn loops(path: &Path) -> bool {
    match (path.canonicalize(), path.parent().map(Path::canonicalize)) {
        (Ok(target), Some(Ok(parent))) => parent.starts_with(target),
        _ => true,
    }
}

impl Pattern {
    fn parse(line: &str, root: &Path, home: Option<&Path>) -> Self {
        let negations = line.bytes().take_while(|b| *b == b'!').count();
        let line = line[negations..].trim();
        let path = match (line.strip_prefix('~'), home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                home.join(rest.trim_start_matches('/'))
            }
            _ => root.join(line),
        };
        let segments = names(&path).into_iter().map(Segment::parse).collect();
        Self { negative: negations % 2 == 1, segments }
    }

    fn root(&self) -> (PathBuf, bool) {
        let mut path = PathBuf::from("/");
        for segment in &self.segments {
            match segment {
                Segment::Name(name) => path.push(name),
                _ => return (path, false),
            }
        }
        (path, true)
    }

    /// Whether the path matches, or lies in a folder that does.
    fn covers(&self, names: &[&str]) -> bool {
        matches(&self.segments, names)
    }
}

/// The names of a path, `.` and `..` worked out.
fn names(path: &Path) -> Vec<&str> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_str().unwrap_or("\u{fffd}")),
            Component::ParentDir => {
                names.pop();
            }
            _ => {}
        }
    }
    names
}

/// Whether the segments take a path, or a folder that it lies in. Only the last `**` is gone back to: what lies before it
/// was found as early as it can be.
fn matches(segments: &[Segment], names: &[&str]) -> bool {
    let (mut s, mut n) = (0, 0);
    let mut any: Option<(usize, usize)> = None;
    while let Some(segment) = segments.get(s) {
        if *segment == Segment::Any {
            any = Some((s, n));
            s += 1;
            continue;
        }
        let Some(name) = names.get(n) else { return false };
        if segment.fits(name) {
            s += 1;
            n += 1;
        } else if let Some((at, from)) = any {
            s = at + 1;
            n = from + 1;
            any = Some((at, n));
        } else {
            return false;
        }
    }
    true
}

impl Segment {
    fn parse(text: &str) -> Self {
        if text == "**" {
            Self::Any
        } else if text.contains(['*', '?', '[']) {
            Self::Wild(pieces(&text.chars().collect::<Vec<_>>()))
        } else {
            Self::Name(text.to_owned())
        }
    }

    fn fits(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Wild(pattern) => wild(pattern, &name.chars().collect::<Vec<_>>()),
            Self::Any => true,
        }
    }
}

/// The pieces of a name with wildcards: `*`, `?`, `[…]`. A `[` that nothing closes stands for itself.
fn pieces(text: &[char]) -> Vec<Piece> {
    let last = text.iter().rposition(|c| *c == ']').unwrap_or(0);
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(c) = text.get(at) {
        at += 1;
        pieces.push(match c {
            '*' => Piece::Star,
            '?' => Piece::One,
            '[' if at < last => match set(&text[at..]) {
                Some((members, negated, length)) => {
                    at += length;
                    Piece::Set(members, negated)
                }
                None => Piece::Exactly('['),
            },
            own => Piece::Exactly(*own),
        });
    }
    pieces
}

/// Whether the pieces are a name, without going back further than to the last star.
fn wild(pattern: &[Piece], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(Piece::Star) => {
                star = Some((p, n));
                p += 1;
            }
            Some(piece) if piece.takes(name[n]) => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    p = at + 1;
                    n = from + 1;
                    star = Some((at, n));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|piece| *piece == Piece::Star)
}

impl Piece {
    /// Whether it takes this character; a star takes none here.
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Star => false,
            Self::One => true,
            Self::Exactly(own) => *own == c,
            Self::Set(members, negated) => {
                members.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }
}

/// The members of a set, whether it is negated, and how long it is with its `]`.
type Set = (Vec<(char, char)>, bool, usize);

fn set(text: &[char]) -> Option<Set> {
    let negated = matches!(text.first(), Some('!' | '^'));
    let start = usize::from(negated);
    let end = start + 1 + text.get(start + 1..)?.iter().position(|c| *c == ']')?;
    let inner = &text[start..end];
    let mut members = Vec::new();
    let mut i = 0;
    while i < inner.len() {
        if i + 2 < inner.len() && inner[i + 1] == '-' {
            members.push((inner[i], inner[i + 2]));
            i += 3;
        } else {
            members.push((inner[i], inner[i]));
            i += 1;
        }
    }
    Some((members, negated, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in
            ["a.txt", "b.rs", "src/c.rs", "src/deep/d.rs", "src/deep/.hidden", ".git/config", "x[1].txt"]
        {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        std::os::unix::fs::symlink("..", dir.path().join("src/loop")).unwrap();
        dir
    }

    #[test]
    fn patterns_find_files() {
        let dir = tree();
        let cases: &[(&[&str], bool, &[&str])] = &[
            (&["*.txt"], true, &["a.txt", "x[1].txt"]),
            (&["**/*.rs"], true, &["b.rs", "src/c.rs", "src/deep/d.rs"]),
            (&["src"], false, &["src/c.rs", "src/deep/d.rs"]),
            (&["src/"], true, &["src/c.rs", "src/deep/.hidden", "src/deep/d.rs"]),
            (&["**", "!src", "src/c.rs"], false, &["a.txt", "b.rs", "src/c.rs", "x[1].txt"]),
            (&["src/**/?.rs\n!**/d.*"], true, &["src/c.rs"]),
            (&["# remark", "[ab].*"], true, &["a.txt", "b.rs"]),
            (&["[!a].*"], true, &["b.rs"]),
            (&["./src/../a.txt"], true, &["a.txt"]),
            (&["~/a.txt"], true, &["a.txt"]),
            (&["none*", "missing/file"], true, &[]),
        ];
        for (lines, hidden, wanted) in cases {
            let lines: Vec<_> = lines.iter().map(|l| (*l).to_owned()).collect();
            for follow in [false, true] {
                let found = Patterns::parse(&lines, dir.path(), Some(dir.path()))
                    .files(Walk { hidden: *hidden, follow });
                let found: Vec<_> = found
                    .iter()
                    .map(|path| path.strip_prefix(dir.path()).unwrap().to_str().unwrap())
                    .filter(|path| !path.starts_with("src/loop"))
                    .collect();
                assert_eq!(found, *wanted, "{lines:?}");
            }
        }
    }

    #[test]
    fn names_fit_patterns() {
        for (pattern, fitting, others) in [
            ("a*c", "ac abc abcc a*c", "ab bac"),
            ("[a-c]?", "ax b] c[", "d1 a"),
            ("[!a-c]*", "x x1 ]", "a b1"),
            ("[^x]", "y", "x"),
            ("[]a]", "] a", "b"),
            ("[a-]", "a -", "b"),
            ("[ab", "[ab", "a b"),
            ("*[", "[ x[", "x"),
            ("[[]x", "[x", "x"),
            ("a[]", "a[]", "a"),
            ("**x", "x ax", "a"),
        ] {
            for name in fitting.split(' ') {
                assert!(name_fits(pattern, name), "{pattern} {name}");
            }
            for name in others.split(' ') {
                assert!(!name_fits(pattern, name), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn brackets_are_read_once() {
        let name = "[".repeat(4_000);
        assert!(!name_fits(&("*".to_owned() + &"[".repeat(2_000) + "*x"), &name));
        assert!(!name_fits(&("*".to_owned() + &"[[a-".repeat(2_000) + "]*x"), &name));
    }

    #[test]
    fn many_wildcards_are_no_search_without_end() {
        let path = format!("/w/{}b", "a/".repeat(120));
        for (pattern, taken) in [
            ("**/a/".repeat(40) + "c", false),
            ("**/a/".repeat(40) + "b", true),
            ("**/**/a/**/**".into(), true),
        ] {
            let patterns = Patterns::parse(std::slice::from_ref(&pattern), Path::new("/w"), None);
            assert_eq!(patterns.takes(Path::new(&path)), taken, "{pattern}");
        }
    }
}
