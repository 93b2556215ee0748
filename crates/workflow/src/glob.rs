//! The patterns of branch, tag and path filters. A pattern is matched in time proportional to its length and the
//! text's, by following all the ways through it at once: none can be made to backtrack.

/// One pattern: `*` any but `/`; `**` anything; `**/` also no folder; `?` zero or one and `+` one or more of the
/// character before; `[a-z]` one of; `\` takes the next as it is; `!` in front excludes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    negative: bool,
    program: Vec<Step>,
}

/// Patterns in order, of which the last that matches decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    patterns: Vec<Pattern>,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pattern '{pattern}' is not valid: {why}")]
pub struct GlobError {
    /// The pattern.
    pub pattern: String,
    /// Where: bytes from its beginning.
    pub offset: usize,
    /// What is wrong.
    pub why: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Matcher {
    Exactly(char),
    NotSlash,
    Anything,
    OneOf(Vec<(char, char)>),
    /// `**/`: nothing, or anything up to and with a slash.
    Folders,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    matcher: Matcher,
    optional: bool,
    repeated: bool,
}

impl Pattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, GlobError> {
        let error = |offset, why| Err(GlobError { pattern: text.to_owned(), offset, why });
        let negative = text.starts_with('!');
        let body = &text[usize::from(negative)..];
        let lead = text.len() - body.len();
        if body.is_empty() {
            return error(0, "it is empty");
        }
        let mut program: Vec<Step> = Vec::new();
        let mut chars = body.char_indices().peekable();
        let mut folder_begins = true;
        while let Some((at, c)) = chars.next() {
            let offset = lead + at;
            let mut wild = false;
            let matcher = match c {
                '?' | '+' => {
                    let Some(last) = program.last_mut() else {
                        return error(offset, "`?` and `+` need a character before them");
                    };
                    if c == '?' {
                        last.optional = true;
                    } else {
                        last.repeated = true;
                    }
                    folder_begins = false;
                    continue;
                }
                '*' if chars.next_if(|(_, c)| *c == '*').is_some() => {
                    if folder_begins && chars.next_if(|(_, c)| *c == '/').is_some() {
                        program.push(Step { matcher: Matcher::Folders, optional: true, repeated: false });
                        continue;
                    }
                    wild = true;
                    Matcher::Anything
                }
                '*' => {
                    wild = true;
                    Matcher::NotSlash
                }
                '[' => match set(&mut chars) {
                    Ok(ranges) => Matcher::OneOf(ranges),
                    Err(why) => return error(offset, why),
                },
                '\\' => match chars.next() {
                    Some((_, escaped)) => Matcher::Exactly(escaped),
                    None => return error(offset, "`\\` needs a character behind it"),
                },
                c => Matcher::Exactly(c),
            };
            folder_begins = matcher == Matcher::Exactly('/');
            program.push(Step { matcher, optional: wild, repeated: wild });
        }
        Ok(Self { text: text.to_owned(), negative, program })
    }

    /// Its text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it excludes what it matches (`!` in front).
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// Whether it matches the whole of `text`, heeding case. The `!` in front has no part in this.
    pub fn matches(&self, text: &str) -> bool {
        let mut now = vec![false; self.program.len() + 1];
        let mut inside = vec![false; self.program.len() + 1];
        now[0] = true;
        self.skip_optional(&mut now);
        for c in text.chars() {
            let mut next = vec![false; now.len()];
            let mut next_inside = vec![false; now.len()];
            for (i, step) in self.program.iter().enumerate().filter(|(i, _)| now[*i] || inside[*i]) {
                if step.matcher == Matcher::Folders {
                    next_inside[i] = true;
                    next[i + 1] |= c == '/';
                } else if step.matcher.takes(c) {
                    next[i + 1] = true;
                    next_inside[i] |= step.repeated;
                }
            }
            self.skip_optional(&mut next);
            (now, inside) = (next, next_inside);
        }
        now[self.program.len()]
    }

    fn skip_optional(&self, states: &mut [bool]) {
        for (i, step) in self.program.iter().enumerate() {
            states[i + 1] |= states[i] && step.optional;
        }
    }
}

impl Matcher {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Exactly(own) => *own == c,
            Self::NotSlash => c != '/',
            Self::Anything | Self::Folders => true,
            Self::OneOf(ranges) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)),
        }
    }
}

/// Reads `a-z0-9]`.
fn set(
    chars: &mut std::iter::Peekable<std::str::CharIndices<'_>>,
) -> Result<Vec<(char, char)>, &'static str> {
    let mut ranges = Vec::new();
    loop {
        let (_, c) = chars.next().ok_or("`[` is not closed")?;
        let from = match c {
            ']' if ranges.is_empty() => return Err("`[]` has nothing in it"),
            ']' => return Ok(ranges),
            '\\' => chars.next().ok_or("`[` is not closed")?.1,
            c => c,
        };
        let mut to = from;
        if chars.peek().is_some_and(|(_, c)| *c == '-') {
            chars.next();
            match chars.peek() {
                // A hyphen at the end stands for itself.
                Some((_, ']')) => {
                    ranges.push(('-', '-'));
                }
                Some((_, end)) => {
                    to = *end;
                    chars.next();
                }
                None => return Err("`[` is not closed"),
            }
        }
        if to < from {
            return Err("a range runs backwards");
        }
        ranges.push((from, to));
    }
}

impl Filter {
    /// A filter of these patterns.
    pub fn new(patterns: Vec<Pattern>) -> Self {
        Self { patterns }
    }

    /// Reads the patterns in order.
    pub fn parse<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Result<Self, GlobError> {
        patterns.into_iter().map(|p| Pattern::parse(p.as_ref())).collect::<Result<_, _>>().map(Self::new)
    }

    /// Its patterns.
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether some pattern is positive: without one, nothing can match.
    pub fn has_positive(&self) -> bool {
        self.patterns.iter().any(|p| !p.negative)
    }

    /// Whether the last pattern that matches `text` is a positive one.
    pub fn matches(&self, text: &str) -> bool {
        self.patterns.iter().rev().find(|p| p.matches(text)).is_some_and(|p| !p.negative)
    }
}

#[cfg(test)]
mod tests;
