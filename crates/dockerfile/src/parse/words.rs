//! Splitting an instruction's text: by white space, by words with quotes, and its flags.

/// A stretch of the joined text: from, up to.
pub(super) type Stretch = (usize, usize);

/// White space between arguments: a line's end is none.
pub(super) fn blank(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

/// The words that white space separates.
pub(super) fn by_space(text: &str, (start, end): Stretch) -> Vec<Stretch> {
    let mut words = Vec::new();
    let mut begun = None;
    for (at, c) in text[start..end].char_indices() {
        match (blank(c), begun) {
            (true, Some(from)) => {
                words.push((from, start + at));
                begun = None;
            }
            (false, None) => begun = Some(start + at),
            _ => {}
        }
    }
    words.extend(begun.map(|from| (from, end)));
    words
}

/// The words that white space separates where it stands in no quotes. Quotes and escapes stay in the words.
pub(super) fn quoted(text: &str, (start, end): Stretch, escape: char) -> Vec<Stretch> {
    let mut words = Vec::new();
    let mut begun: Option<usize> = None;
    let mut quote: Option<char> = None;
    let mut chars = text[start..end].char_indices().peekable();
    // An escape character at the very end is left out.
    let mut last = end;
    while let Some((at, c)) = chars.next() {
        let at = start + at;
        let Some(from) = begun else {
            if !c.is_whitespace() {
                begun = Some(at);
                (quote, last) = step(c, at, None, escape, &mut chars, end);
            }
            continue;
        };
        if quote.is_none() && c.is_whitespace() {
            words.push((from, at));
            begun = None;
            continue;
        }
        (quote, last) = step(c, at, quote, escape, &mut chars, end);
    }
    words.extend(begun.filter(|from| last > *from).map(|from| (from, last)));
    words
}

/// What one character does to the quotes; with an escape the next one is taken too. Also where the text ends if it
/// ends now.
fn step(
    c: char,
    at: usize,
    quote: Option<char>,
    escape: char,
    chars: &mut std::iter::Peekable<std::str::CharIndices<'_>>,
    end: usize,
) -> (Option<char>, usize) {
    if c == escape && quote != Some('\'') {
        return match chars.next() {
            Some(_) => (quote, end),
            None => (None, at),
        };
    }
    match quote {
        None if c == '\'' || c == '"' => (Some(c), end),
        Some(open) if open == c => (None, end),
        other => (other, end),
    }
}

/// A flag as it stands: its text without quotes and escapes, and its stretch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RawFlag {
    pub(super) text: String,
    pub(super) stretch: Stretch,
}

/// The flags in front of the arguments, and where the arguments begin.
pub(super) fn flags(text: &str, (start, end): Stretch, escape: char) -> (Vec<RawFlag>, usize) {
    let mut flags = Vec::new();
    let mut at = start;
    loop {
        at += text[at..end].len() - text[at..end].trim_start().len();
        if !text[at..end].starts_with("--") {
            return (flags, at);
        }
        let from = at;
        let mut word = String::new();
        let mut quote: Option<char> = None;
        let mut chars = text[from..end].char_indices();
        at = end;
        while let Some((offset, c)) = chars.next() {
            match quote {
                None if c.is_whitespace() => {
                    at = from + offset;
                    break;
                }
                None if c == '\'' || c == '"' => quote = Some(c),
                Some(open) if open == c => quote = None,
                _ if c == escape => word.extend(chars.next().map(|(_, next)| next)),
                _ => word.push(c),
            }
        }
        if word == "--" {
            return (flags, at);
        }
        flags.push(RawFlag { text: word, stretch: (from, at) });
    }
}
