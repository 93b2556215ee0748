//! Maven's order (`ComparableVersion`), as its page "POM reference, version order specification" tells it.

use std::cmp::Ordering;

use super::digits;

/// What is known of words, in their order; the release itself is the empty one.
const WORDS: [&str; 7] = ["alpha", "beta", "milestone", "rc", "snapshot", "", "sp"];

#[derive(Clone, Debug, PartialEq)]
struct Token {
    /// A dash before it, or a change between digits and letters.
    dash: bool,
    text: String,
}

pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let (a, b) = (tokens(one), tokens(other));
    for index in 0..a.len().max(b.len()) {
        let order = match (a.get(index), b.get(index)) {
            (Some(x), Some(y)) => pair(x, y),
            (Some(x), None) => pair(x, &padding(x)),
            (None, Some(y)) => pair(&padding(y), y),
            (None, None) => Ordering::Equal,
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut word = String::new();
    let mut dash = false;
    let mut end = |word: &mut String, dash: bool, before: Option<char>| {
        let text = std::mem::take(word);
        let text = if text.is_empty() { "0".to_owned() } else { text };
        let text = match (text.as_str(), before) {
            ("a", Some(c)) if c.is_ascii_digit() => "alpha".to_owned(),
            ("b", Some(c)) if c.is_ascii_digit() => "beta".to_owned(),
            ("m", Some(c)) if c.is_ascii_digit() => "milestone".to_owned(),
            ("cr", _) => "rc".to_owned(),
            ("ga" | "final" | "release", _) => String::new(),
            _ => text,
        };
        tokens.push(Token { dash, text });
    };
    for c in text.to_ascii_lowercase().chars() {
        match c {
            '.' | '-' | '_' => {
                end(&mut word, dash, None);
                dash = c != '.';
            }
            c => {
                if word.chars().last().is_some_and(|l| l.is_ascii_digit() != c.is_ascii_digit()) {
                    end(&mut word, dash, Some(c));
                    dash = true;
                }
                word.push(c);
            }
        }
    }
    end(&mut word, dash, None);
    trimmed(tokens)
}

/// Without zeros and empty words at the end, and before each dash.
fn trimmed(tokens: Vec<Token>) -> Vec<Token> {
    let null = |t: &Token| t.text.is_empty() || t.text.bytes().all(|b| b == b'0');
    let mut kept: Vec<Token> = Vec::new();
    for token in tokens {
        if token.dash {
            while kept.len() > 1 && kept.last().is_some_and(null) {
                kept.pop();
            }
        }
        kept.push(token);
    }
    while kept.len() > 1 && kept.last().is_some_and(null) {
        kept.pop();
    }
    kept
}

fn numeric(token: &Token) -> bool {
    token.text.starts_with(|c: char| c.is_ascii_digit())
}

/// What a missing token counts as.
fn padding(token: &Token) -> Token {
    let text = if numeric(token) { "0" } else { "" };
    Token { dash: token.dash, text: text.to_owned() }
}

fn pair(one: &Token, other: &Token) -> Ordering {
    // A word, a dashed number, a number behind a dot.
    let rank = |t: &Token| match (numeric(t), t.dash) {
        (false, _) => 0,
        (true, true) => 1,
        (true, false) => 2,
    };
    rank(one).cmp(&rank(other)).then_with(|| {
        if numeric(one) && numeric(other) {
            return digits(&one.text, &other.text);
        }
        let place = |t: &Token| WORDS.iter().position(|w| *w == t.text).unwrap_or(WORDS.len());
        place(one).cmp(&place(other)).then_with(|| one.text.cmp(&other.text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_in_mavens_order() {
        let cases = [
            ("1", Ordering::Equal, "1.0.0"),
            ("1.0-ga", Ordering::Equal, "1"),
            ("1-alpha-1", Ordering::Less, "1-beta-1"),
            ("1.0-SNAPSHOT", Ordering::Less, "1.0"),
            ("1.0-rc1", Ordering::Less, "1.0-SNAPSHOT"),
            ("1.0-sp1", Ordering::Greater, "1.0"),
            ("1.0.1", Ordering::Greater, "1.0-1"),
            ("1-1", Ordering::Greater, "1"),
            ("2.10", Ordering::Greater, "2.9"),
            ("1a1", Ordering::Equal, "1-alpha-1"),
            ("32.1.2-jre", Ordering::Less, "33.0.0-jre"),
            ("2.0.1.RELEASE", Ordering::Less, "2.0.2"),
        ];
        for (one, expected, other) in cases {
            assert_eq!(compare(one, other), expected, "{one} {other}");
        }
    }
}
