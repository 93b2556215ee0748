//! What a run uploaded, searched for reports: a zip archive's files, or the file itself. Archives come from jobs: nothing
//! in them is believed, neither sizes nor names, and no more is read than the limits below.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek as _};
use std::path::Path;

use super::coverage::Lines;
use super::junit::Results;
use super::load::{self, Load};
use super::sarif::{self, Finding};

/// The most files of an archive that are looked at.
const MOST_FILES: usize = 2000;
/// The largest file and the most of all files, unpacked, in bytes. SARIF is held as a whole, so it may be less large.
const LARGEST: u64 = 100 << 20;
const LARGEST_SARIF: u64 = 32 << 20;
const MOST: u64 = 300 << 20;
/// How many results of load tests of one upload are kept.
const MOST_LOADS: usize = 20;
/// How many problems are told.
const PROBLEMS: usize = 20;

/// Everything that was found in an upload.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) tests: Results,
    pub(super) coverage: Lines,
    pub(super) findings: Option<Vec<Finding>>,
    pub(super) load: Vec<Load>,
    /// What could not be read, and why.
    pub(super) problems: Vec<String>,
    taken: u64,
    /// By its name it is the upload of a load test.
    of_load: bool,
}

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Junit,
    Cobertura,
    Lcov,
    Sarif,
    Load,
}

/// Whether an upload of this name may hold results of load tests.
fn may_hold_load(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words = ["load-test", "load_test", "loadtest", "load-result", "load_result", "k6", "vegeta", "oha"];
    name == "load" || words.iter().any(|word| name.contains(word))
}

/// Whether an upload of this name may hold a report.
pub(super) fn may_hold(name: &str) -> bool {
    if may_hold_load(name) {
        return true;
    }
    let name = name.to_ascii_lowercase();
    let words =
        ["junit", "test-result", "test_result", "testresult", "test-report", "coverage", "lcov", "sarif"];
    words.iter().any(|word| name.contains(word))
}

impl Contents {
    /// Reads an upload from the disk.
    pub(super) fn read(path: &Path, name: &str) -> std::io::Result<Self> {
        let mut contents = Self { of_load: may_hold_load(name), ..Self::default() };
        let mut file = File::open(path)?;
        let mut begin = [0; 4];
        let length = file.read(&mut begin)?;
        file.rewind()?;
        if begin[..length] == *b"PK\x03\x04" || begin[..length] == *b"PK\x05\x06" {
            contents.archive(file);
        } else {
            contents.file(name, file);
        }
        Ok(contents)
    }

    fn archive(&mut self, file: File) {
        let mut archive = match zip::ZipArchive::new(BufReader::new(file)) {
            Ok(archive) => archive,
            Err(e) => return self.problem("the archive", &e),
        };
        let all = archive.len();
        if all > MOST_FILES {
            self.problems.push(format!("only the first {MOST_FILES} of {all} files were looked at"));
        }
        for i in 0..all.min(MOST_FILES) {
            if self.taken >= MOST {
                return self.problems.push(format!("what is beyond {} MiB was left out", MOST >> 20));
            }
            match archive.by_index(i) {
                Ok(entry) if entry.is_file() => {
                    let name = entry.name().map_or_else(|_| format!("file {}", i + 1), |n| n.into_owned());
                    self.file(&name, entry);
                }
                Ok(_) => {}
                Err(e) => self.problem(&format!("file {}", i + 1), &e),
            }
        }
    }

    fn file(&mut self, name: &str, from: impl Read) {
        let lower = name.to_ascii_lowercase();
        let wanted = [".xml", ".info", ".lcov", ".sarif", ".json"].iter().any(|end| lower.ends_with(end));
        if !wanted && lower.contains('.') {
            return;
        }
        let mut from =
            BufReader::with_capacity(64 << 10, Counted { from, left: LARGEST, taken: 0, over: false });
        let form = match from.fill_buf() {
            Ok(begin) => form(&lower, begin, self.of_load),
            Err(e) => return self.problem(name, &e),
        };
        let outcome = match form {
            None => return,
            Some(Form::Junit) => self.tests.read(&mut from).map_err(|e| e.to_string()),
            Some(Form::Cobertura) => self.coverage.cobertura(&mut from).map_err(|e| e.to_string()),
            Some(Form::Lcov) => self.coverage.lcov(&mut from).map_err(|e| e.to_string()),
            Some(Form::Load) => load::read((&mut from).take(load::LARGEST)).map(|load| {
                if self.load.len() < MOST_LOADS {
                    self.load.push(load);
                }
            }),
            Some(Form::Sarif) => sarif::read((&mut from).take(LARGEST_SARIF))
                .map_err(|e| format!("it is not SARIF: {e}"))
                .map(|all| {
                    let findings = self.findings.get_or_insert_default();
                    findings.extend(all);
                    findings.truncate(sarif::MOST);
                }),
        };
        let counted = from.into_inner();
        self.taken += counted.taken;
        match outcome {
            _ if counted.over => self.problem(name, &format!("it is larger than {} MiB", LARGEST >> 20)),
            Err(why) => self.problem(name, &why),
            Ok(()) => {}
        }
    }

    fn problem(&mut self, what: &str, why: &dyn std::fmt::Display) {
        if self.problems.len() < PROBLEMS {
            self.problems.push(format!("{}: {why}", super::junit::cut(what, 200)));
        }
    }

    /// Whether there is anything to keep.
    pub(super) fn is_empty(&self) -> bool {
        self.tests.cases.is_empty()
            && self.coverage.is_empty()
            && self.findings.is_none()
            && self.load.is_empty()
            && self.problems.is_empty()
    }
}

/// Tells what a file is by its beginning; its name only helps where that says little.
fn form(name: &str, begin: &[u8], of_load: bool) -> Option<Form> {
    let text = String::from_utf8_lossy(&begin[..begin.len().min(16 << 10)]);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with('<') {
        // The first element that is not a declaration or a comment.
        let root = text.split('<').find(|t| t.starts_with(|c: char| c.is_ascii_alphabetic()))?;
        let root = root.split(|c: char| !c.is_ascii_alphanumeric()).next()?;
        return match root {
            "testsuites" | "testsuite" => Some(Form::Junit),
            "coverage" => Some(Form::Cobertura),
            _ => None,
        };
    }
    if text.starts_with("TN:") || text.starts_with("SF:") {
        return Some(Form::Lcov);
    }
    let json = text.starts_with('{');
    let named = [".sarif", ".sarif.json"].iter().any(|end| name.ends_with(end));
    if json && (named || text.contains("sarif")) {
        return Some(Form::Sarif);
    }
    (json && of_load && load::looks_like(text)).then_some(Form::Load)
}

/// A reader that ends at a limit, and knows whether there was more.
struct Counted<R> {
    from: R,
    left: u64,
    taken: u64,
    over: bool,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            self.over |= self.from.read(&mut [0])? > 0;
            return Ok(0);
        }
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.from.read(&mut buffer[..most])?;
        self.left -= read as u64;
        self.taken += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    pub(crate) const JUNIT: &str = "<testsuite name='s'><testcase name='a'/><testcase name='b'><failure message='no'/></testcase></testsuite>";

    fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, bytes) in files {
            zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn read(name: &str, bytes: &[u8]) -> Contents {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        Contents::read(file.path(), name).unwrap()
    }

    #[test]
    fn reports_are_found_by_what_they_are() {
        let files: &[(&str, &[u8])] = &[
            ("deep/results.xml", JUNIT.as_bytes()),
            ("cov.info", b"TN:\nSF:a\nDA:1,1\nend_of_record\n"),
            ("cobertura.xml", b"<?xml version='1.0'?><!-- x --><coverage><class filename='b'><line number='1' hits='0'/></class></coverage>"),
            ("out.sarif", b"{\"runs\":[{\"tool\":{\"driver\":{\"name\":\"t\"}},\"results\":[{\"message\":{\"text\":\"m\"}}]}]}"),
            ("other.xml", b"<html/>"),
            ("package.json", b"{\"name\":\"x\"}"),
            ("picture.png", b"<testsuite"),
        ];
        let contents = read("junit", &zipped(files));
        assert_eq!(contents.problems, [""; 0]);
        assert_eq!((contents.tests.cases.len(), contents.coverage.sums().len()), (2, 2));
        assert_eq!(contents.findings.unwrap().len(), 1);
        let load = br#"{"metrics":{"http_reqs":{"count":9,"rate":3},"http_req_failed":{"passes":1}}}"#;
        let loads = |name| read(name, &zipped(&[("summary.json", load), ("package.json", b"{}")]));
        assert_eq!((loads("k6-summary").load[0].requests, loads("k6-summary").problems.len()), (9, 0));
        assert!(loads("junit").is_empty(), "only where the upload says so");
        let alone = read("junit.xml", JUNIT.as_bytes());
        assert_eq!(alone.tests.cases.len(), 2);
    }

    #[test]
    fn what_is_broken_is_said_and_the_rest_is_read() {
        let files: &[(&str, &[u8])] =
            &[("a.xml", b"<testsuite><testcase name='x'>"), ("b.xml", JUNIT.as_bytes())];
        let contents = read("junit", &zipped(files));
        assert_eq!(contents.problems, ["a.xml: it is not XML: it ends within an element"]);
        assert_eq!(contents.tests.cases.len(), 2);
        assert_eq!(read("junit", b"PK\x03\x04 and then nothing").problems.len(), 1);
        assert!(read("junit", b"").is_empty());
    }

    #[test]
    fn a_zip_bomb_is_read_to_its_limit_only() {
        let bomb = vec![b' '; (LARGEST + (1 << 20)) as usize];
        let mut text = b"<testsuite>".to_vec();
        text.extend_from_slice(&bomb);
        let packed = zipped(&[("bomb.xml", &text), ("b.xml", JUNIT.as_bytes())]);
        assert!(packed.len() < 1 << 20);
        let contents = read("junit", &packed);
        assert_eq!(contents.problems, ["bomb.xml: it is larger than 100 MiB"]);
        assert_eq!(contents.tests.cases.len(), 2);
    }

    #[test]
    fn only_uploads_that_say_so_are_opened() {
        for name in
            ["junit", "my-test-results-linux", "Coverage", "sarif-x", "lcov.info", "load-test", "load"]
        {
            assert!(may_hold(name), "{name}");
        }
        for name in ["image", "dist", "logs", "download", "payload"] {
            assert!(!may_hold(name), "{name}");
        }
    }
}
