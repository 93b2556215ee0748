//! One pattern: `*`, `?`, `[…]`, `**`, `\`.

/// A pattern of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`: any character but `/`.
    Any,
    /// `*`: any number of those.
    Star,
    /// `**` at the end: anything.
    Rest,
    /// `**` elsewhere, with the `/` behind it: nothing, or anything up to a `/`.
    Folders,
    /// `[…]`.
    Class {
        not: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut tokens = Vec::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            tokens.push(match c {
                '*' if rest.next_if_eq(&'*').is_some() => {
                    // More than two are two; moby's reads them in pairs, which comes to the same.
                    while rest.next_if_eq(&'*').is_some() {}
                    rest.next_if_eq(&'/');
                    if rest.peek().is_none() { Token::Rest } else { Token::Folders }
                }
                '*' => Token::Star,
                '?' => Token::Any,
                '\\' => Token::Char(rest.next()?),
                '[' => class(&mut rest)?,
                other => Token::Char(other),
            });
        }
        Some(Self { text: text.to_owned(), tokens })
    }

    /// The pattern as it is written, cleaned.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The one path that it is the name of, if it is that.
    pub(super) fn literal(&self) -> Option<String> {
        let chars = self.tokens.iter().map(|token| match token {
            Token::Char(c) => Some(*c),
            _ => None,
        });
        chars.collect()
    }

    /// Whether a path is what the pattern says.
    pub(super) fn is(&self, path: &str) -> bool {
        let chars: Vec<char> = path.chars().collect();
        // `now[i]`: the tokens so far can be the first `i` characters.
        let mut now = vec![false; chars.len() + 1];
        now[0] = true;
        for token in &self.tokens {
            now = token.advance(&now, &chars);
            if !now.contains(&true) {
                return false;
            }
        }
        now[chars.len()]
    }
}

impl Token {
    fn advance(&self, now: &[bool], chars: &[char]) -> Vec<bool> {
        let mut next = vec![false; now.len()];
        match self {
            Self::Star | Self::Rest => {
                let mut open = false;
                for at in 0..now.len() {
                    open = open && (matches!(self, Self::Rest) || chars[at - 1] != '/');
                    open |= now[at];
                    next[at] = open;
                }
            }
            Self::Folders => {
                let mut begun = false;
                for at in 0..now.len() {
                    next[at] = now[at] || (begun && chars[at - 1] == '/');
                    begun |= now[at];
                }
            }
            one => {
                for at in 0..chars.len() {
                    next[at + 1] = now[at] && one.is(chars[at]);
                }
            }
        }
        next
    }

    fn is(&self, c: char) -> bool {
        match self {
            Self::Char(wanted) => *wanted == c,
            Self::Any => c != '/',
            Self::Class { not, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *not
            }
            Self::Star | Self::Rest | Self::Folders => false,
        }
    }
}

fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let not = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let low = match rest.next()? {
            ']' if !ranges.is_empty() => return Some(Token::Class { not, ranges }),
            ']' => return None,
            '\\' => rest.next()?,
            c => c,
        };
        if rest.next_if_eq(&'-').is_none() {
            ranges.push((low, low));
            continue;
        }
        let high = match rest.next()? {
            ']' => return None,
            '\\' => rest.next()?,
            c => c,
        };
        ranges.push((low, high));
    }
}
