//! `toJSON` and `fromJSON`. Reading is as lenient as GitHub's: comments, trailing commas, single quotes and bare keys
//! pass. Only what follows the value does not, which GitHub's reader leaves unread: nothing is ignored here.

use std::sync::Arc;

use super::{EvalError, Object, Value};

/// How deep JSON may nest.
const MAX_DEPTH: usize = 100;

/// Lays `value` out; `None` when it takes more than `limit` bytes.
pub(super) fn write(value: &Value, limit: usize) -> Option<String> {
    let mut out = String::new();
    layout(value, 0, limit, &mut out).then_some(out)
}

fn layout(value: &Value, indent: usize, limit: usize, out: &mut String) -> bool {
    match value {
        Value::Null => out.push_str("null"),
        Value::String(s) => quote(s, out),
        Value::Array(items) if items.is_empty() => out.push_str("[]"),
        Value::Object(object) if object.is_empty() => out.push_str("{}"),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                line(i, indent + 1, out);
                if !layout(item, indent + 1, limit, out) {
                    return false;
                }
            }
            line(0, indent, out);
            out.push(']');
        }
        Value::Object(object) => {
            out.push('{');
            for (i, (key, value)) in object.iter().enumerate() {
                line(i, indent + 1, out);
                quote(key, out);
                out.push_str(": ");
                if !layout(value, indent + 1, limit, out) {
                    return false;
                }
            }
            line(0, indent, out);
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_text()),
    }
    out.len() <= limit
}

fn line(nth: usize, indent: usize, out: &mut String) {
    if nth > 0 {
        out.push(',');
    }
    out.push('\n');
    for _ in 0..indent {
        out.push_str("  ");
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Reads JSON; gives the value and about how many bytes it takes.
pub(super) fn read(text: &str, limit: usize) -> Result<(Value, usize), EvalError> {
    let mut reader = Reader { text, at: 0, size: 0, limit };
    reader.space()?;
    if reader.peek().is_none() {
        return Err(EvalError::new("fromJSON: the text is empty"));
    }
    let value = reader.value(0)?;
    reader.space()?;
    match reader.peek() {
        None => Ok((value, reader.size)),
        Some(c) => Err(reader.error(&format!("`{c}` stands behind the end of the value"))),
    }
}

/// A number of JSON; and what GitHub's reader takes besides: `.5`, `1.`, hexadecimal, octal, and what is none.
fn number(word: &str) -> Option<f64> {
    match word {
        "NaN" => return Some(f64::NAN),
        "Infinity" => return Some(f64::INFINITY),
        "-Infinity" => return Some(f64::NEG_INFINITY),
        _ => {}
    }
    if let Some(digits) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
        return plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten().map(|bits| bits as i64 as f64);
    }
    if word.len() > 1 && word.starts_with('0') && !word[1..].starts_with(['.', 'e', 'E']) {
        return u64::from_str_radix(word, 8).ok().map(|bits| bits as i64 as f64);
    }
    let plain = word.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    (plain && !word.starts_with('+')).then(|| word.parse().ok()).flatten()
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    size: usize,
    limit: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn take_if(&mut self, what: &str) -> bool {
        let found = self.text[self.at..].starts_with(what);
        self.at += if found { what.len() } else { 0 };
        found
    }

    fn error(&self, why: &str) -> EvalError {
        let before = &self.text[..self.at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        EvalError::new(format!("fromJSON: {why} (line {line}, column {column})"))
    }

    fn spend(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.size += bytes;
        if self.size > self.limit { Err(self.error("the value is too large")) } else { Ok(()) }
    }

    fn space(&mut self) -> Result<(), EvalError> {
        loop {
            let rest = &self.text[self.at..];
            self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n', '\u{feff}']).len();
            if self.take_if("//") {
                let rest = &self.text[self.at..];
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if self.take_if("/*") {
                let end =
                    self.text[self.at..].find("*/").ok_or_else(|| self.error("a comment does not end"))?;
                self.at += end + 2;
            } else {
                return Ok(());
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, EvalError> {
        if depth > MAX_DEPTH {
            return Err(self.error("it nests more than 100 deep"));
        }
        self.spend(size_of::<Value>())?;
        match self.peek() {
            None => Err(self.error("the text ends where a value should stand")),
            Some('[') => self.array(depth),
            Some('{') => self.object(depth),
            Some(quote @ ('"' | '\'')) => {
                self.at += 1;
                Ok(Value::from(self.string(quote)?))
            }
            Some(_) => self.word(),
        }
    }

    fn word(&mut self) -> Result<Value, EvalError> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c)).unwrap_or(rest.len());
        let word = &rest[..end];
        let value = match word {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "" => return Err(self.error(&format!("`{}` cannot begin a value", self.peek().unwrap_or(' ')))),
            _ => match number(word) {
                Some(n) => Value::Number(n),
                None => {
                    let shown: String = word.chars().take(40).collect();
                    return Err(self.error(&format!("`{shown}` is no value")));
                }
            },
        };
        self.at += end;
        Ok(value)
    }

    fn array(&mut self, depth: usize) -> Result<Value, EvalError> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.space()?;
            if self.take_if("]") {
                return Ok(Value::Array(Arc::new(items)));
            }
            items.push(self.value(depth + 1)?);
            self.separator(']')?;
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, EvalError> {
        self.at += 1;
        let mut object = Object::new();
        loop {
            self.space()?;
            match self.take() {
                Some('}') => return Ok(Value::from(object)),
                Some(c) if c.is_ascii_alphabetic() || "\"'_$".contains(c) => {
                    let key = self.key(c)?;
                    self.spend(64)?;
                    self.space()?;
                    if !self.take_if(":") {
                        return Err(self.error("`:` should stand behind a key"));
                    }
                    self.space()?;
                    let value = self.value(depth + 1)?;
                    object.insert(key, value);
                    self.separator('}')?;
                }
                Some(c) => return Err(self.error(&format!("`{c}` stands where a key should"))),
                None => return Err(self.error("an object does not end")),
            }
        }
    }

    /// A key, whose first character was taken: in quotes, or a bare name.
    fn key(&mut self, first: char) -> Result<String, EvalError> {
        if first == '"' || first == '\'' {
            return self.string(first);
        }
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_$".contains(c)).unwrap_or(rest.len());
        self.at += end;
        self.spend(end)?;
        Ok(format!("{first}{}", &rest[..end]))
    }

    /// A comma, or `end` ahead.
    fn separator(&mut self, end: char) -> Result<(), EvalError> {
        self.space()?;
        match self.peek() {
            Some(',') => {
                self.at += 1;
                Ok(())
            }
            Some(c) if c == end => Ok(()),
            Some(c) => Err(self.error(&format!("`{c}` stands where `,` or `{end}` should"))),
            None => Err(self.error(&format!("the text ends where `,` or `{end}` should stand"))),
        }
    }

    fn string(&mut self, quote: char) -> Result<String, EvalError> {
        let mut text = String::new();
        loop {
            match self.take() {
                None => return Err(self.error("a string does not end")),
                Some(c) if c == quote => break,
                Some('\\') => text.push(self.escape()?),
                Some(c) => text.push(c),
            }
        }
        self.spend(text.len())?;
        Ok(text)
    }

    fn escape(&mut self) -> Result<char, EvalError> {
        Ok(match self.take() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some(c @ ('"' | '\'' | '\\' | '/')) => c,
            Some('u') => {
                let high = self.hex()?;
                if (0xD800..0xDC00).contains(&high) && self.take_if("\\u") {
                    let low = self.hex()?;
                    let pair = char::decode_utf16([high, low]).next();
                    return Ok(pair.and_then(Result::ok).unwrap_or('\u{fffd}'));
                }
                char::from_u32(u32::from(high)).unwrap_or('\u{fffd}')
            }
            _ => return Err(self.error("there is no such escape")),
        })
    }

    fn hex(&mut self) -> Result<u16, EvalError> {
        let digits = self.text.get(self.at..self.at + 4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let unit = digits.and_then(|d| u16::from_str_radix(d, 16).ok());
        let unit = unit.ok_or_else(|| self.error("`\\u` needs four hexadecimal digits"))?;
        self.at += 4;
        Ok(unit)
    }
}
