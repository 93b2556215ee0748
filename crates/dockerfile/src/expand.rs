//! Words: quotes, escapes and variables, as the shell has them and as BuildKit reads them.
//!
//! `$name`, `${name}`, `${name:-word}`, `-`, `:+`, `+`, `:?`, `?`, `#`, `##`, `%`, `%%`, `/` and `//`; single quotes,
//! double quotes, the escape character. No command substitution, no arithmetic, no globbing.

mod pattern;
mod variables;

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

pub use variables::Variables;

/// The longest text that expanding a word may give, in bytes.
pub const LONGEST: usize = 1 << 20;
/// How deep `${a:-${b:-…}}` may be nested.
pub const DEEPEST: usize = 64;

/// What a word became.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expansion {
    /// The whole text.
    pub text: String,
    /// The text as separate words: unquoted white space separates them, also that which a variable brought.
    pub words: Vec<String>,
    /// The variables that were found.
    pub used: BTreeSet<String>,
    /// The variables that were not.
    pub missing: BTreeSet<String>,
}

/// Why a word cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// `${a`.
    #[error("a '}}' is missing at the end of a substitution")]
    MissingBrace,
    /// `${}`, `${:x}`.
    #[error("bad substitution: '${{' needs a variable's name")]
    NoName,
    /// `'a`.
    #[error("a single quote (') is not closed")]
    SingleQuote,
    /// `"a`.
    #[error("a double quote (\") is not closed")]
    DoubleQuote,
    /// `${a:=b}`.
    #[error("'{0}' is no modifier of a substitution: there are - + ? with or without ':', # ## % %% / //")]
    Modifier(String),
    /// `${a/b}`.
    #[error("a '/' is missing in a replacement: it is written ${{name/pattern/text}}")]
    MissingSlash,
    /// `${a#\x}`.
    #[error("'\\{0}' is no escape in a pattern: only *, ?, \\, / and }} are escaped")]
    Escape(String),
    /// `${a:?}` and `a` is not set, or empty.
    #[error("{name}: {message}")]
    Required {
        /// The variable.
        name: String,
        /// What the file says of it.
        message: String,
    },
    /// The text would be longer than [`LONGEST`].
    #[error("the expanded text is longer than {LONGEST} bytes")]
    TooLong,
    /// Deeper than [`DEEPEST`].
    #[error("substitutions are nested deeper than {DEEPEST}")]
    TooDeep,
}

/// How words are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lexer {
    /// The escape character.
    pub escape: char,
    /// Quotes stay in the text.
    pub raw_quotes: bool,
    /// Escape characters stay in the text.
    pub raw_escapes: bool,
    /// Quotes are nothing special: here-documents.
    pub ignore_quotes: bool,
    /// What names an unknown variable stays as it is.
    pub keep_unset: bool,
}

impl Lexer {
    /// The lexer of a file with this escape character.
    pub const fn new(escape: char) -> Self {
        Self { escape, raw_quotes: false, raw_escapes: false, ignore_quotes: false, keep_unset: false }
    }

    /// The lexer of a here-document's text.
    pub const fn heredoc() -> Self {
        Self { ignore_quotes: true, ..Self::new('\\') }
    }

    /// Expands a word.
    pub fn expand(&self, word: &str, variables: &Variables) -> Result<Expansion, ExpandError> {
        let mut walk = Walk {
            lexer: *self,
            rest: word.chars().peekable(),
            variables,
            raw_escapes: self.raw_escapes,
            depth: 0,
            used: BTreeSet::new(),
            missing: BTreeSet::new(),
        };
        let (text, words) = walk.until(None, self.raw_escapes)?;
        Ok(Expansion { text, words, used: walk.used, missing: walk.missing })
    }
}

/// The words of a text, being collected.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    current: String,
    inside: bool,
}

impl Words {
    /// A character that separates words if it is white space.
    fn add(&mut self, c: char) {
        if !c.is_whitespace() {
            self.add_raw(c);
        } else if self.inside && !self.current.is_empty() {
            self.done.push(std::mem::take(&mut self.current));
            self.inside = false;
        }
    }

    fn add_raw(&mut self, c: char) {
        self.current.push(c);
        self.inside = true;
    }

    fn finish(mut self) -> Vec<String> {
        if !self.current.is_empty() {
            self.done.push(self.current);
        }
        self.done
    }
}

/// A walk over a word.
struct Walk<'a> {
    lexer: Lexer,
    rest: Peekable<Chars<'a>>,
    variables: &'a Variables,
    raw_escapes: bool,
    depth: usize,
    used: BTreeSet<String>,
    missing: BTreeSet<String>,
}

impl Walk<'_> {
    /// Everything up to a character, which is taken too, or to the end.
    fn until(&mut self, stop: Option<char>, raw_escapes: bool) -> Result<(String, Vec<String>), ExpandError> {
        if self.depth >= DEEPEST {
            return Err(ExpandError::TooDeep);
        }
        self.depth += 1;
        let before = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        let found = self.pieces(stop);
        self.raw_escapes = before;
        self.depth -= 1;
        found
    }

    fn pieces(&mut self, stop: Option<char>) -> Result<(String, Vec<String>), ExpandError> {
        let mut text = String::new();
        let mut words = Words::default();
        while let Some(&c) = self.rest.peek() {
            if Some(c) == stop {
                self.rest.next();
                return Ok((text, words.finish()));
            }
            let quotes = !self.lexer.ignore_quotes;
            let piece = match c {
                '$' => self.dollar()?,
                '<' => self.angles(),
                '\'' if quotes => self.single_quoted()?,
                '"' if quotes => self.double_quoted()?,
                _ => {
                    self.rest.next();
                    self.plain(c, &mut text, &mut words);
                    continue;
                }
            };
            text.push_str(&piece);
            if text.len() > LONGEST {
                return Err(ExpandError::TooLong);
            }
            for each in piece.chars() {
                if c == '$' { words.add(each) } else { words.add_raw(each) }
            }
            // `""` is a word too, as soon as something else joins it.
            words.inside |= c != '$';
        }
        match stop {
            None => Ok((text, words.finish())),
            Some('/') => Err(ExpandError::MissingSlash),
            Some(_) => Err(ExpandError::MissingBrace),
        }
    }

    /// A character that is nothing special, or the escape character and what follows it.
    fn plain(&mut self, c: char, text: &mut String, words: &mut Words) {
        if c != self.lexer.escape {
            text.push(c);
            words.add(c);
            return;
        }
        if self.raw_escapes {
            text.push(c);
            words.add_raw(c);
        }
        if let Some(escaped) = self.rest.next() {
            text.push(escaped);
            words.add_raw(escaped);
        }
    }

    fn single_quoted(&mut self) -> Result<String, ExpandError> {
        let mut text = String::new();
        let quote = self.rest.next();
        text.extend(quote.filter(|_| self.lexer.raw_quotes));
        loop {
            match self.rest.next() {
                None => return Err(ExpandError::SingleQuote),
                Some('\'') => break,
                Some(c) => text.push(c),
            }
        }
        text.extend(quote.filter(|_| self.lexer.raw_quotes));
        Ok(text)
    }

    fn double_quoted(&mut self) -> Result<String, ExpandError> {
        let mut text = String::new();
        let quote = self.rest.next();
        text.extend(quote.filter(|_| self.lexer.raw_quotes));
        loop {
            match self.rest.peek().copied() {
                None => return Err(ExpandError::DoubleQuote),
                Some('"') => {
                    self.rest.next();
                    break;
                }
                Some('$') => text.push_str(&self.dollar()?),
                Some(c) => {
                    self.rest.next();
                    self.quoted(c, &mut text);
                }
            }
            if text.len() > LONGEST {
                return Err(ExpandError::TooLong);
            }
        }
        text.extend(quote.filter(|_| self.lexer.raw_quotes));
        Ok(text)
    }

    /// Within double quotes the escape character is only special before `"`, `$` and itself.
    fn quoted(&mut self, c: char, text: &mut String) {
        if c != self.lexer.escape {
            text.push(c);
            return;
        }
        if self.raw_escapes {
            text.push(c);
        }
        match self.rest.peek().copied() {
            None => {}
            Some(next) if next == '"' || next == '$' || next == self.lexer.escape => {
                self.rest.next();
                text.push(next);
            }
            Some(_) => text.push(c),
        }
    }

    /// `<`, or `<<` and the white space after it: that belongs to a here-document's name.
    fn angles(&mut self) -> String {
        self.rest.next();
        if self.rest.next_if_eq(&'<').is_none() {
            return "<".to_owned();
        }
        let mut text = "<<".to_owned();
        while let Some(space) = self.rest.next_if(|c| matches!(c, '\t' | '\r' | ' ')) {
            text.push(space);
        }
        text
    }

    fn dollar(&mut self) -> Result<String, ExpandError> {
        self.rest.next();
        if self.rest.next_if_eq(&'{').is_some() {
            return self.braced();
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        match self.look_up(&name) {
            Some(value) => Ok(value),
            None if self.lexer.keep_unset => Ok(format!("${name}")),
            None => Ok(String::new()),
        }
    }

    fn braced(&mut self) -> Result<String, ExpandError> {
        match self.rest.peek() {
            None => return Err(ExpandError::MissingBrace),
            Some('{' | '}' | ':') => return Err(ExpandError::NoName),
            Some(_) => {}
        }
        let name = self.name();
        match self.rest.next() {
            None => Err(ExpandError::MissingBrace),
            Some('}') => match self.look_up(&name) {
                Some(value) => Ok(value),
                None if self.lexer.keep_unset => Ok(format!("${{{name}}}")),
                None => Ok(String::new()),
            },
            Some(':') => match self.rest.next() {
                Some(c @ ('-' | '+' | '?')) => self.choice(&name, c, true),
                Some(c) => Err(ExpandError::Modifier(format!(":{c}"))),
                None => Err(ExpandError::MissingBrace),
            },
            Some(c @ ('-' | '+' | '?')) => self.choice(&name, c, false),
            Some(c @ ('#' | '%')) => self.trim(&name, c),
            Some('/') => self.replace(&name),
            Some(c) => Err(ExpandError::Modifier(c.to_string())),
        }
    }

    /// `-`, `+` and `?`; after a colon an empty variable counts as one that is not set.
    fn choice(&mut self, name: &str, modifier: char, colon: bool) -> Result<String, ExpandError> {
        let (word, _) = self.until(Some('}'), false).map_err(|error| self.unclosed(error))?;
        let value = self.look_up(name);
        if value.is_none() && self.lexer.keep_unset {
            let colon = if colon { ":" } else { "" };
            return Ok(format!("${{{name}{colon}{modifier}{word}}}"));
        }
        let set = value.is_some();
        let value = value.filter(|value| !(colon && value.is_empty()));
        match (modifier, value) {
            ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, Some(value)) => Ok(value),
            ('-', None) => Ok(word),
            (_, None) => {
                let usual = if set { "is not allowed to be empty" } else { "is not allowed to be unset" };
                let message = if word.is_empty() { usual.to_owned() } else { word };
                Err(ExpandError::Required { name: name.to_owned(), message })
            }
        }
    }

    /// `#`, `##`, `%` and `%%`.
    fn trim(&mut self, name: &str, modifier: char) -> Result<String, ExpandError> {
        let (word, _) = self.until(Some('}'), true).map_err(|error| self.unclosed(error))?;
        let Some(value) = self.look_up(name) else {
            let kept = self.lexer.keep_unset.then(|| format!("${{{name}{modifier}{word}}}"));
            return Ok(kept.unwrap_or_default());
        };
        let (longest, word) = match word.strip_prefix(modifier) {
            Some(rest) => (true, rest),
            None => (false, word.as_str()),
        };
        pattern::Pattern::parse(word)?.trim(&value, modifier == '%', longest)
    }

    /// `/` and `//`.
    fn replace(&mut self, name: &str) -> Result<String, ExpandError> {
        let all = self.rest.next_if_eq(&'/').is_some();
        let (word, _) = self.until(Some('/'), true)?;
        let (text, _) = self.until(Some('}'), true).map_err(|error| self.unclosed(error))?;
        let Some(value) = self.look_up(name) else {
            let slash = if all { "/" } else { "" };
            let kept = self.lexer.keep_unset.then(|| format!("${{{name}/{slash}{word}/{text}}}"));
            return Ok(kept.unwrap_or_default());
        };
        pattern::Pattern::parse(&word)?.replace(&value, &text, all)
    }

    /// What is open at the text's end within `${`, is that.
    fn unclosed(&mut self, error: ExpandError) -> ExpandError {
        let own = matches!(error, ExpandError::TooDeep | ExpandError::TooLong);
        if !own && self.rest.peek().is_none() { ExpandError::MissingBrace } else { error }
    }

    /// A variable's name: digits, or one of the shell's special characters, or letters, digits and underscores.
    fn name(&mut self) -> String {
        let mut name = String::new();
        if let Some(special) = self.rest.next_if(|c| "@*#?-$!".contains(*c)) {
            name.push(special);
            return name;
        }
        let number = self.rest.peek().is_some_and(char::is_ascii_digit);
        while let Some(c) =
            self.rest.next_if(|c| if number { c.is_ascii_digit() } else { c.is_alphanumeric() || *c == '_' })
        {
            name.push(c);
        }
        name
    }

    fn look_up(&mut self, name: &str) -> Option<String> {
        let value = self.variables.get(name);
        let seen = if value.is_some() { &mut self.used } else { &mut self.missing };
        if !name.is_empty() && !seen.contains(name) {
            seen.insert(name.to_owned());
        }
        value.map(str::to_owned)
    }
}

#[cfg(test)]
mod tests;
