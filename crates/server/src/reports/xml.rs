//! XML as tests and coverage tools write it, read as it comes, in constant memory: names, attributes and text are cut at
//! their limits, entities are the five of XML and character references, and a document type that declares anything of its
//! own is refused. (Extensible Markup Language 1.0, fifth edition.)

use std::io::{self, BufRead};

/// The longest name, attribute and piece of text, in bytes: what goes beyond is dropped.
const NAME: usize = 200;
const VALUE: usize = 16 << 10;
const PIECE: usize = 16 << 10;
/// The most attributes of an element that are kept.
const ATTRIBUTES: usize = 40;
/// How deep elements may nest.
const DEPTH: usize = 200;

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// An element begins. One that is empty ends at once: its [`Close`](Token::Close) follows.
    Open(String, Vec<(String, String)>),
    /// The element ends that began last.
    Close,
    /// Text, in pieces.
    Text(String),
}

/// Why it cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum XmlError {
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error("it is not XML: {0}")]
    Syntax(&'static str),
    #[error("it nests deeper than {DEPTH} elements")]
    Depth,
    #[error("it declares a document type of its own, which is not read")]
    Declares,
}

/// A reader of tokens.
pub(super) struct Xml<R> {
    from: R,
    depth: usize,
    /// The element that began last was empty.
    empty: bool,
}

/// The value of an attribute, without regard to a namespace's prefix.
pub(super) fn attribute<'a>(attributes: &'a [(String, String)], name: &str) -> Option<&'a str> {
    attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

impl<R: BufRead> Xml<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, depth: 0, empty: false }
    }

    /// The next token; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token>, XmlError> {
        if std::mem::take(&mut self.empty) {
            self.depth -= 1;
            return Ok(Some(Token::Close));
        }
        loop {
            match self.peek()? {
                None if self.depth > 0 => return Err(XmlError::Syntax("it ends within an element")),
                None => return Ok(None),
                Some(b'<') => {
                    self.byte()?;
                    if let Some(token) = self.markup()? {
                        return Ok(Some(token));
                    }
                }
                Some(_) => {
                    let text = self.text()?;
                    if self.depth > 0 {
                        return Ok(Some(Token::Text(text)));
                    }
                }
            }
        }
    }

    fn markup(&mut self) -> Result<Option<Token>, XmlError> {
        match self.peek()? {
            Some(b'?') => self.skip(b"?>").map(|()| None),
            Some(b'!') => {
                self.byte()?;
                self.declaration()
            }
            Some(b'/') => {
                self.skip(b">")?;
                self.depth =
                    self.depth.checked_sub(1).ok_or(XmlError::Syntax("an end without a beginning"))?;
                Ok(Some(Token::Close))
            }
            _ => self.element().map(Some),
        }
    }

    /// Behind `<!`: a comment, character data, or a document type.
    fn declaration(&mut self) -> Result<Option<Token>, XmlError> {
        match self.peek()? {
            Some(b'-') => {
                self.byte()?;
                self.byte()?;
                self.skip(b"-->").map(|()| None)
            }
            Some(b'[') => {
                for expected in b"[CDATA[" {
                    if self.byte()? != Some(*expected) {
                        return Err(XmlError::Syntax("an unknown section"));
                    }
                }
                let mut text = Vec::new();
                self.until(b"]]>", |byte| {
                    if text.len() < PIECE {
                        text.push(byte);
                    }
                })?;
                text.truncate(text.len().min(PIECE));
                Ok(Some(Token::Text(String::from_utf8_lossy(&text).into_owned())))
            }
            _ => loop {
                match self.byte()? {
                    Some(b'[') => return Err(XmlError::Declares),
                    Some(b'>') => return Ok(None),
                    Some(_) => {}
                    None => return Err(XmlError::Syntax("it ends within a declaration")),
                }
            },
        }
    }

    fn element(&mut self) -> Result<Token, XmlError> {
        let name = self.name()?;
        if name.is_empty() {
            return Err(XmlError::Syntax("an element without a name"));
        }
        let mut attributes = Vec::new();
        loop {
            self.space()?;
            match self.peek()? {
                Some(b'>') => {
                    self.byte()?;
                    break;
                }
                Some(b'/') => {
                    self.byte()?;
                    if self.byte()? != Some(b'>') {
                        return Err(XmlError::Syntax("a `/` within an element"));
                    }
                    self.empty = true;
                    break;
                }
                None => return Err(XmlError::Syntax("it ends within an element")),
                Some(_) => {
                    let attribute = self.attribute()?;
                    if attributes.len() < ATTRIBUTES {
                        attributes.push(attribute);
                    }
                }
            }
        }
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(XmlError::Depth);
        }
        Ok(Token::Open(local(name), attributes))
    }

    fn attribute(&mut self) -> Result<(String, String), XmlError> {
        let name = self.name()?;
        self.space()?;
        if name.is_empty() || self.byte()? != Some(b'=') {
            return Err(XmlError::Syntax("an attribute without a value"));
        }
        self.space()?;
        let quote = self.byte()?.filter(|b| b"\"'".contains(b));
        let quote = quote.ok_or(XmlError::Syntax("an attribute's value without quotes"))?;
        let mut value = Vec::new();
        loop {
            match self.byte()? {
                None => return Err(XmlError::Syntax("it ends within an attribute")),
                Some(byte) if byte == quote => break,
                Some(b'&') => self.reference(&mut value, VALUE)?,
                Some(byte) if value.len() < VALUE => value.push(byte),
                Some(_) => {}
            }
        }
        Ok((local(name), String::from_utf8_lossy(&value).into_owned()))
    }

    fn text(&mut self) -> Result<String, XmlError> {
        let mut text = Vec::new();
        while text.len() < PIECE {
            match self.peek()? {
                None | Some(b'<') => break,
                Some(b'&') => {
                    self.byte()?;
                    self.reference(&mut text, usize::MAX)?;
                }
                Some(_) => {
                    let bytes = self.from.fill_buf()?;
                    let near = &bytes[..bytes.len().min(PIECE)];
                    let length = memchr::memchr2(b'<', b'&', near).unwrap_or(near.len());
                    text.extend_from_slice(&near[..length]);
                    self.from.consume(length);
                }
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Behind `&`. What is no reference that is known stays as it was written.
    fn reference(&mut self, out: &mut Vec<u8>, most: usize) -> Result<(), XmlError> {
        let mut name = Vec::new();
        while name.len() < 12 {
            match self.peek()? {
                Some(b';') => {
                    self.byte()?;
                    if let Some(c) = character(&name) {
                        if out.len() < most {
                            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                        }
                        return Ok(());
                    }
                    name.push(b';');
                    break;
                }
                Some(byte) if byte.is_ascii_alphanumeric() || byte == b'#' => {
                    self.byte()?;
                    name.push(byte);
                }
                _ => break,
            }
        }
        if out.len() < most {
            out.push(b'&');
            out.extend_from_slice(&name);
        }
        Ok(())
    }

    fn name(&mut self) -> Result<String, XmlError> {
        let mut name = Vec::new();
        while let Some(byte) = self.peek()? {
            if byte.is_ascii_whitespace() || b"=/><\"'".contains(&byte) {
                break;
            }
            self.byte()?;
            if name.len() < NAME {
                name.push(byte);
            }
        }
        Ok(String::from_utf8_lossy(&name).into_owned())
    }

    fn space(&mut self) -> Result<(), XmlError> {
        while self.peek()?.is_some_and(|b| b.is_ascii_whitespace()) {
            self.byte()?;
        }
        Ok(())
    }

    fn skip(&mut self, end: &[u8]) -> Result<(), XmlError> {
        self.until(end, |_| {})
    }

    /// Tells every byte before `end`, and takes `end` too.
    fn until(&mut self, end: &[u8], mut tell: impl FnMut(u8)) -> Result<(), XmlError> {
        let mut last = std::collections::VecDeque::with_capacity(end.len());
        loop {
            let byte = self.byte()?.ok_or(XmlError::Syntax("it ends within a section"))?;
            last.push_back(byte);
            if last.len() == end.len() {
                if last.iter().eq(end.iter()) {
                    return Ok(());
                }
                last.pop_front().into_iter().for_each(&mut tell);
            }
        }
    }

    fn peek(&mut self) -> Result<Option<u8>, XmlError> {
        loop {
            match self.from.fill_buf() {
                Ok(bytes) => return Ok(bytes.first().copied()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn byte(&mut self) -> Result<Option<u8>, XmlError> {
        let byte = self.peek()?;
        if byte.is_some() {
            self.from.consume(1);
        }
        Ok(byte)
    }
}

/// A name without its namespace's prefix.
fn local(name: String) -> String {
    match name.rsplit_once(':') {
        Some((_, local)) => local.to_owned(),
        None => name,
    }
}

fn character(name: &[u8]) -> Option<char> {
    let code = match name {
        b"lt" => return Some('<'),
        b"gt" => return Some('>'),
        b"amp" => return Some('&'),
        b"quot" => return Some('"'),
        b"apos" => return Some('\''),
        [b'#', b'x' | b'X', digits @ ..] => u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16),
        [b'#', digits @ ..] => std::str::from_utf8(digits).ok()?.parse(),
        _ => return None,
    };
    char::from_u32(code.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Token>, XmlError> {
        let mut xml = Xml::new(text.as_bytes());
        let mut tokens = Vec::new();
        while let Some(token) = xml.next()? {
            tokens.push(token);
        }
        Ok(tokens)
    }

    fn open(name: &str, attributes: &[(&str, &str)]) -> Token {
        let attributes = attributes.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Token::Open(name.into(), attributes)
    }

    #[test]
    fn what_tools_write_is_read() {
        let text = "<?xml version='1.0'?>\n<!DOCTYPE coverage SYSTEM 'x.dtd'><!-- <no> -->\n<a x='1 &lt; 2' ns:y=\"&#65;&#x42;\"><b/>t &amp; u<![CDATA[<raw>]]]></a>\n";
        let expected = [
            open("a", &[("x", "1 < 2"), ("y", "AB")]),
            open("b", &[]),
            Token::Close,
            Token::Text("t & u".into()),
            Token::Text("<raw>]".into()),
            Token::Close,
        ];
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn hostile_texts_neither_grow_nor_pass() {
        let bomb = "<!DOCTYPE a [<!ENTITY b \"x\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>";
        assert!(matches!(read(bomb), Err(XmlError::Declares)));
        assert_eq!(read("<a>&unknown;&</a>").unwrap()[1], Token::Text("&unknown;&".into()));
        assert!(matches!(read(&"<a>".repeat(1000)), Err(XmlError::Depth)));
        for bad in ["<a", "<a x>", "<a x=1>", "</a>", "<a", "<a><![CDATA[", "<!--", "< a>", "<a/ >"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let long = format!("<a x=\"{}\">{}</a>", "y".repeat(1 << 20), "z".repeat(1 << 20));
        let tokens = read(&long).unwrap();
        assert!(matches!(&tokens[0], Token::Open(_, a) if a[0].1.len() == VALUE));
        assert!(
            tokens[1..tokens.len() - 1].iter().all(|t| matches!(t, Token::Text(t) if t.len() <= 2 * PIECE))
        );
    }
}
