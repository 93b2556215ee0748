//! The patterns of `#`, `%` and `/`: `*`, `?` and characters; neither wildcard is a line's end.

use super::{ExpandError, LONGEST};

/// The most (token, place) pairs that one search may try.
const MOST_STEPS: usize = 1 << 24;

/// A pattern, read.
pub(super) struct Pattern {
    tokens: Vec<Token>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Char(char),
    Any,
    Star,
}

impl Pattern {
    /// Reads a pattern. The escape is `\` whatever the file's escape character is.
    pub(super) fn parse(text: &str) -> Result<Self, ExpandError> {
        let mut tokens = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            tokens.push(match c {
                '*' => Token::Star,
                '?' => Token::Any,
                '\\' => match rest.next() {
                    Some(escaped @ ('*' | '?' | '\\' | '/' | '}')) => Token::Char(escaped),
                    other => return Err(ExpandError::Escape(other.map(String::from).unwrap_or_default())),
                },
                other => Token::Char(other),
            });
        }
        // Stars side by side say what one says.
        tokens.dedup_by(|a, b| *a == Token::Star && *b == Token::Star);
        Ok(Self { tokens })
    }

    /// The value without what the pattern is of its beginning, or of its end.
    pub(super) fn trim(mut self, value: &str, end: bool, longest: bool) -> Result<String, ExpandError> {
        let mut chars: Vec<char> = value.chars().collect();
        if end {
            chars.reverse();
            self.tokens.reverse();
        }
        let cut = Search::new(&self.tokens, &chars, longest)?.at(0).unwrap_or(0);
        let kept = &chars[cut..];
        Ok(if end { kept.iter().rev().collect() } else { kept.iter().collect() })
    }

    /// The value with the first stretch that the pattern is, or all of them, replaced.
    pub(super) fn replace(self, value: &str, text: &str, all: bool) -> Result<String, ExpandError> {
        let chars: Vec<char> = value.chars().collect();
        let mut search = Search::new(&self.tokens, &chars, true)?;
        let mut out = String::new();
        let (mut copied, mut from, mut last) = (0, 0, None);
        while from <= chars.len() {
            let Some((start, end)) = (from..=chars.len()).find_map(|at| Some((at, search.at(at)?))) else {
                break;
            };
            // An empty stretch directly behind another one is none.
            if end > start || last != Some(start) {
                out.extend(&chars[copied..start]);
                if all {
                    fill(text, &chars[start..end], &mut out);
                } else {
                    out.push_str(text);
                }
                copied = end;
            }
            if out.len() > LONGEST {
                return Err(ExpandError::TooLong);
            }
            if !all {
                break;
            }
            last = Some(end);
            from = if end > start { end } else { start + 1 };
        }
        out.extend(&chars[copied..]);
        Ok(out)
    }
}

/// The text of `//` may name what was found: `$0`. Other names are nothing, `$$` is a dollar.
fn fill(text: &str, found: &[char], out: &mut String) {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(more) = after.strip_prefix('$') {
            out.push('$');
            rest = more;
            continue;
        }
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let (name, more) = match braced {
            Some((name, more)) => (name, more),
            None => after.split_at(after.find(|c| !word(c)).unwrap_or(after.len())),
        };
        if name.is_empty() || !name.chars().all(word) {
            out.push('$');
            continue;
        }
        if name == "0" {
            out.extend(found);
        }
        rest = more;
    }
    out.push_str(rest);
}

/// A search that remembers what did not fit: each (token, place) is tried once.
struct Search<'a> {
    tokens: &'a [Token],
    chars: &'a [char],
    longest: bool,
    failed: Vec<bool>,
}

impl<'a> Search<'a> {
    fn new(tokens: &'a [Token], chars: &'a [char], longest: bool) -> Result<Self, ExpandError> {
        let size = (tokens.len() + 1).saturating_mul(chars.len() + 1);
        if size > MOST_STEPS {
            return Err(ExpandError::TooLong);
        }
        Ok(Self { tokens, chars, longest, failed: vec![false; size] })
    }

    /// Where the stretch that begins at a place ends, if there is one.
    fn at(&mut self, start: usize) -> Option<usize> {
        // Each open choice: the token after its star, where the star begins, and how far it may still go.
        let mut stack = vec![(0, start)];
        while let Some((token, place)) = stack.pop() {
            let slot = token * (self.chars.len() + 1) + place;
            if self.failed[slot] {
                continue;
            }
            self.failed[slot] = true;
            let next = self.chars.get(place).copied();
            match self.tokens.get(token) {
                None => {
                    // What fits does not count as tried: another search may end here too.
                    self.failed[slot] = false;
                    return Some(place);
                }
                Some(Token::Char(c)) if next == Some(*c) => stack.push((token + 1, place + 1)),
                Some(Token::Any) if next.is_some_and(|c| c != '\n') => stack.push((token + 1, place + 1)),
                Some(Token::Star) => {
                    let more = next.is_some_and(|c| c != '\n').then_some((token, place + 1));
                    let done = (token + 1, place);
                    if self.longest {
                        stack.push(done);
                        stack.extend(more);
                    } else {
                        stack.extend(more);
                        stack.push(done);
                    }
                }
                Some(_) => {}
            }
        }
        None
    }
}
