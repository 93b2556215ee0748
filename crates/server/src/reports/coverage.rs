//! Coverage of lines: LCOV's trace files (geninfo(1), "FILES") and Cobertura's XML.

use std::collections::BTreeMap;
use std::io::{BufRead, Read as _};

use super::junit::cut;
use super::xml::{Token, Xml, XmlError, attribute};

/// The most files, and the most lines of all files together.
pub(super) const MOST_FILES: usize = 5000;
const MOST_LINES: usize = 2_000_000;
/// The longest path, in characters, and the longest line of a trace file, in bytes.
const PATH: usize = 400;
const LONGEST: u64 = 8 << 10;

/// Which lines of which files were run, of one or more reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    files: BTreeMap<String, BTreeMap<u32, bool>>,
    noted: usize,
    /// Something did not fit.
    pub(super) cut: bool,
}

impl Lines {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// For each file how many of its lines were run, and how many could have been.
    pub(super) fn sums(&self) -> BTreeMap<String, (u32, u32)> {
        let sum = |lines: &BTreeMap<u32, bool>| {
            (lines.values().filter(|hit| **hit).count() as u32, lines.len() as u32)
        };
        self.files.iter().map(|(path, lines)| (path.clone(), sum(lines))).collect()
    }

    fn note(&mut self, path: &str, line: u32, hit: bool) {
        if !self.files.contains_key(path) && self.files.len() >= MOST_FILES || self.noted >= MOST_LINES {
            self.cut = true;
            return;
        }
        let lines = self.files.entry(path.to_owned()).or_default();
        let known = lines.len();
        *lines.entry(line).or_default() |= hit;
        self.noted += lines.len() - known;
    }

    /// Reads a trace file of LCOV.
    pub(super) fn lcov(&mut self, mut from: impl BufRead) -> Result<(), XmlError> {
        let mut file = String::new();
        let mut line = Vec::new();
        loop {
            line.clear();
            if from.by_ref().take(LONGEST).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim();
            if let Some(path) = text.strip_prefix("SF:") {
                file = plain(path);
            } else if let Some(data) = text.strip_prefix("DA:") {
                let mut parts = data.split(',');
                let number = parts.next().and_then(|n| n.parse().ok());
                let hits = parts.next().and_then(|n| n.parse::<f64>().ok());
                if let (Some(number), Some(hits), false) = (number, hits, file.is_empty()) {
                    self.note(&file, number, hits > 0.0);
                }
            } else if text == "end_of_record" {
                file.clear();
            }
        }
    }

    /// Reads Cobertura's XML.
    pub(super) fn cobertura(&mut self, from: impl BufRead) -> Result<(), XmlError> {
        let mut xml = Xml::new(from);
        let mut open: Vec<String> = Vec::new();
        let mut file = String::new();
        while let Some(token) = xml.next()? {
            match token {
                Token::Open(name, attributes) => {
                    if name == "class" {
                        file = plain(attribute(&attributes, "filename").unwrap_or_default());
                    } else if name == "line" && !file.is_empty() {
                        let get = |name| attribute(&attributes, name).and_then(|v| v.parse::<u64>().ok());
                        if let (Some(number), Some(hits)) = (get("number"), get("hits")) {
                            self.note(&file, u32::try_from(number).unwrap_or(u32::MAX), hits > 0);
                        }
                    }
                    open.push(name);
                }
                Token::Close => {
                    if open.pop().as_deref() == Some("class") {
                        file.clear();
                    }
                }
                Token::Text(_) => {}
            }
        }
        Ok(())
    }
}

/// A path as the repository has it, as far as that can be told.
fn plain(path: &str) -> String {
    let path = path.trim().replace('\\', "/");
    cut(path.trim_start_matches("./"), PATH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let mut lcov = Lines::default();
        let text = "TN:\nSF:./src/a.rs\nFN:1,main\nDA:1,5\nDA:2,0\nDA:3,1,checksum\nLF:3\nLH:2\nend_of_record\nSF:src\\b.rs\nDA:9,0\nend_of_record\nDA:7,1\n";
        lcov.lcov(text.as_bytes()).unwrap();
        let mut cobertura = Lines::default();
        let text = r#"<!DOCTYPE coverage SYSTEM "http://example.invalid/coverage-04.dtd"><coverage line-rate="0.5"><packages><package><classes>
            <class filename="src/a.rs"><methods><method><lines><line number="1" hits="5"/></lines></method></methods><lines><line number="1" hits="5"/><line number="2" hits="0"/><line number="3" hits="1"/></lines></class>
            <class filename="src/b.rs"><lines><line number="9" hits="0"/></lines></class></classes></package></packages></coverage>"#;
        cobertura.cobertura(text.as_bytes()).unwrap();
        assert_eq!(lcov, cobertura);
        let expected = [("src/a.rs".to_owned(), (2, 3)), ("src/b.rs".to_owned(), (0, 1))];
        assert_eq!(lcov.sums().into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_line_that_one_report_has_run_was_run() {
        let mut lines = Lines::default();
        lines.lcov("SF:a\nDA:1,0\nDA:2,0\nend_of_record\n".as_bytes()).unwrap();
        lines.lcov("SF:a\nDA:1,1\nend_of_record\n".as_bytes()).unwrap();
        assert_eq!(lines.sums()["a"], (1, 2));
    }

    #[test]
    fn too_many_files_are_cut_and_said() {
        let mut lines = Lines::default();
        let mut text = String::new();
        for n in 0..MOST_FILES + 10 {
            text.push_str(&format!("SF:{n}\nDA:1,1\nend_of_record\n"));
        }
        lines.lcov(text.as_bytes()).unwrap();
        assert_eq!((lines.sums().len(), lines.cut), (MOST_FILES, true));
        lines.lcov(&vec![b'x'; 1 << 20][..]).unwrap();
    }
}
