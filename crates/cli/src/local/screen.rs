//! What a local run looks like: a line per line of a job, or one JSON object per line. Written in large pieces, because
//! a job may say hundreds of thousands of lines a second.

use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use serde::Serialize;
use windlass_api::{Conclusion, JobView, RunDetail, State, StepView};
use windlass_server::local::{AfterFailure, Audience, FailedStep};

use super::debug;
use crate::show::{self, Tone};

/// How much is gathered before it is written.
const FULL: usize = 64 << 10;

/// Standard output, as lines.
#[derive(Debug)]
pub(super) struct Screen {
    json: bool,
    verbose: bool,
    page: Mutex<Page>,
}

#[derive(Debug, Default)]
struct Page {
    /// What was not written yet.
    text: Vec<u8>,
    /// Whether it is held back until somebody takes it.
    held: bool,
    /// Jobs that are within the group at the head of a step, which repeats what is known.
    in_head: Vec<String>,
}

/// A line of `--json`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Told<'a> {
    Log {
        job: &'a str,
        step: &'a str,
        line: &'a str,
    },
    Step {
        job: &'a str,
        step: &'a str,
        number: u32,
        state: State,
        outcome: Option<Conclusion>,
        conclusion: Option<Conclusion>,
    },
    Job {
        workflow: &'a str,
        job: &'a str,
        id: &'a str,
        key: &'a str,
        state: State,
        conclusion: Option<Conclusion>,
        reason: Option<&'a str>,
    },
    Run {
        run: &'a str,
        workflow: &'a str,
        file: &'a str,
        event: &'a str,
        state: State,
        conclusion: Option<Conclusion>,
    },
    Note {
        text: &'a str,
    },
}

impl Screen {
    pub(super) fn new(json: bool, verbose: bool) -> Self {
        Self { json, verbose, page: Mutex::default() }
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing is written until it is taken.
    pub(super) fn hold(&self) {
        self.page().held = true;
    }

    /// What was said since it was taken last.
    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.page().text)
    }

    fn tell(&self, told: &Told<'_>) {
        let mut page = self.page();
        // Texts and numbers: there is nothing that could not be written.
        if serde_json::to_writer(&mut page.text, told).is_ok() {
            page.text.push(b'\n');
        }
        page.write_if_full();
    }

    fn say(&self, text: &str) {
        let mut page = self.page();
        page.text.extend_from_slice(text.as_bytes());
        page.text.push(b'\n');
        page.write_if_full();
    }

    /// The runs are over: what is left is written, and what went wrong is told once more.
    pub(super) fn end(&self, runs: &[RunDetail]) -> Result<()> {
        let mut page = self.page();
        page.held = false;
        page.write();
        drop(page);
        if self.json {
            return Ok(());
        }
        for run in runs {
            for finding in run.diagnostics.iter().filter(|finding| finding.severity == "error") {
                let place = format!("{}:{}:{}", finding.file, finding.line, finding.column);
                show::print(&Tone::Bad.paint(format!("{place}: {}", show::clean(&finding.message))))?;
            }
        }
        Ok(())
    }
}

impl Page {
    fn write_if_full(&mut self) {
        if self.text.len() >= FULL && !self.held {
            self.write();
        }
    }

    fn write(&mut self) {
        if self.text.is_empty() {
            return;
        }
        let done = {
            let mut out = io::stdout().lock();
            out.write_all(&self.text).and_then(|()| out.flush())
        };
        self.text.clear();
        if done.is_err_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
            std::process::exit(0);
        }
    }
}

#[async_trait::async_trait]
impl Audience for Screen {
    fn line(&self, job: &str, step: &str, line: &[u8]) {
        if self.json {
            return self.tell(&Told::Log { job, step, line: &String::from_utf8_lossy(line) });
        }
        let mut page = self.page();
        if line.starts_with(b"##[") || !page.in_head.is_empty() {
            let Some(shown) = page.marked(job, step, line, self.verbose) else { return };
            put(&mut page.text, job, &shown);
        } else if self.verbose || !is_frame(step) {
            put(&mut page.text, job, line);
        }
        page.write_if_full();
    }

    fn pause(&self) {
        let mut page = self.page();
        if !page.held {
            page.write();
        }
    }

    fn step(&self, job: &str, step: &StepView) {
        let (state, name, conclusion) = (step.state, step.name.as_str(), step.conclusion);
        if self.json {
            if state == State::Running || state == State::Completed {
                let outcome = step.outcome;
                self.tell(&Told::Step { job, step: name, number: step.number, state, outcome, conclusion });
            }
            return;
        }
        if is_frame(name) && !self.verbose && conclusion != Some(Conclusion::Failure) {
            return;
        }
        let shown = show::clean(name);
        match state {
            State::Running => {
                self.page().in_head.push(job.to_owned());
                self.say(&format!("{job} │ {}", Tone::Dim.paint(format!("▸ {shown}"))));
            }
            State::Completed => {
                self.page().in_head.retain(|known| known != job);
                let (mark, word, tone) = show::standing(state, conclusion);
                let time = step.started_at.zip(step.finished_at);
                let time = time.map(|(from, to)| format!("  {}", show::lasting(to.since(from))));
                let note = match conclusion {
                    Some(Conclusion::Success) => time.unwrap_or_default(),
                    _ => format!("  {word}{}", time.unwrap_or_default()),
                };
                self.say(&format!("{job} │ {} {shown}{}", tone.paint(mark), Tone::Dim.paint(note)));
            }
            _ => {}
        }
    }

    fn job(&self, workflow: &str, job: &JobView) {
        let (state, conclusion, name) = (job.state, job.conclusion, job.name.as_str());
        if self.json {
            let (id, key, reason) = (&job.id, &job.key, job.reason.as_deref());
            return self.tell(&Told::Job { workflow, job: name, id, key, state, conclusion, reason });
        }
        if state == State::Completed {
            let (mark, word, tone) = show::standing(state, conclusion);
            let time = job.started_at.zip(job.finished_at);
            let time =
                time.map(|(from, to)| format!("  {}", show::lasting(to.since(from)))).unwrap_or_default();
            let reason = job.reason.as_ref().filter(|_| conclusion != Some(Conclusion::Success));
            let reason = reason.map(|reason| format!(": {}", show::clean(reason))).unwrap_or_default();
            let text = format!("{} {}  {word}{time}{reason}", tone.paint(mark), show::clean(name));
            self.say(&text);
        }
    }

    fn run(&self, run: &RunDetail) {
        let s = &run.summary;
        if self.json {
            let (state, conclusion) = (s.state, s.conclusion);
            let (workflow, file, event) = (&s.workflow, &s.workflow_file, &s.event);
            self.tell(&Told::Run { run: &s.id, workflow, file, event, state, conclusion });
        } else if s.state == State::Completed {
            let (mark, word, tone) = show::standing(s.state, s.conclusion);
            self.say(&tone.paint(format!("{mark} {}: {word}", show::clean(&s.workflow))));
        }
    }

    fn note(&self, text: &str) {
        if self.json {
            self.tell(&Told::Note { text });
        }
        eprintln!("windlass: {text}");
    }

    async fn failed(&self, job: &str, step: FailedStep) -> AfterFailure {
        self.page().write();
        debug::ask(job, step).await
    }
}

impl Page {
    /// A line with a marker, or of the head of a step, as it is shown; none if it is not.
    fn marked(&mut self, job: &str, step: &str, line: &[u8], verbose: bool) -> Option<Vec<u8>> {
        let Some(at) = self.in_head.iter().position(|known| known == job) else {
            return (verbose || !is_frame(step) || is_loud(line)).then(|| shown(line));
        };
        if line == b"##[endgroup]" {
            self.in_head.swap_remove(at);
        }
        if is_loud(line) || line.starts_with(b"##[command]") {
            return Some(shown(line));
        }
        // The script, its shell and its environment: the author knows them.
        verbose.then(|| shown(line))
    }
}

/// Whether a line is one that nobody should miss.
fn is_loud(line: &[u8]) -> bool {
    line.starts_with(b"##[error]") || line.starts_with(b"##[warning]")
}

/// Steps that are the runner's own.
fn is_frame(step: &str) -> bool {
    step == "Set up job" || step == "Complete job"
}

/// Markers as people read them.
fn shown(line: &[u8]) -> Vec<u8> {
    let marks: [(&[u8], &str); 6] = [
        (b"##[group]", "▸ "),
        (b"##[endgroup]", ""),
        (b"##[error]", "error: "),
        (b"##[warning]", "warning: "),
        (b"##[notice]", "notice: "),
        (b"##[command]", "$ "),
    ];
    for (mark, text) in marks {
        if let Some(rest) = line.strip_prefix(mark) {
            return [text.as_bytes(), rest].concat();
        }
    }
    line.to_vec()
}

/// Writes `job │ line`, without what could steer the terminal; colours pass.
fn put(out: &mut Vec<u8>, job: &str, line: &[u8]) {
    out.extend_from_slice(job.as_bytes());
    out.extend_from_slice(" │ ".as_bytes());
    let steers = |byte: &u8| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f || *byte >= 0x80;
    if line.iter().any(steers) {
        out.extend_from_slice(harmless(&String::from_utf8_lossy(line)).as_bytes());
    } else {
        out.extend_from_slice(line);
    }
    out.push(b'\n');
}

/// A text of which only colours can change how a terminal shows it.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        out.push_str(&show::clean(&rest[..at]));
        let after = &rest[at + 1..];
        let colour = after.strip_prefix('[').and_then(|codes| {
            let end = codes.find(|c: char| !(c.is_ascii_digit() || c == ';' || c == ':'))?;
            codes[end..].starts_with('m').then_some(end + 2)
        });
        match colour {
            Some(length) => {
                if console::colors_enabled() {
                    out.push_str(&rest[at..at + 1 + length]);
                }
                rest = &after[length..];
            }
            None => {
                out.push('\u{fffd}');
                rest = after;
            }
        }
    }
    out.push_str(&show::clean(rest));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_cannot_steer_the_terminal() {
        for (line, wanted) in [
            ("plain\tline", "plain\tline"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}[2Jgone", "\u{fffd}[2Jgone"),
            ("title\u{1b}]0;x\u{7}", "title\u{fffd}]0;x\u{fffd}"),
            ("\u{9b}2J é", "\u{fffd}2J é"),
            ("\u{1b}", "\u{fffd}"),
            ("\u{1b}[1;3", "\u{fffd}[1;3"),
        ] {
            console::set_colors_enabled(false);
            let mut out = Vec::new();
            put(&mut out, "a", line.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), format!("a │ {wanted}\n"), "{line:?}");
        }
    }

    #[test]
    fn the_head_of_a_step_is_left_out_and_what_is_loud_is_not() {
        let mut page = Page { in_head: vec!["a".into()], ..Page::default() };
        let mut see = |line: &str| page.marked("a", "Run x", line.as_bytes(), false);
        assert_eq!(see("##[group]Run x"), None);
        assert_eq!(see("shell: bash"), None);
        assert_eq!(see("##[warning]careful"), Some(b"warning: careful".to_vec()));
        assert_eq!(see("##[endgroup]"), None);
        assert_eq!(see("##[group]mine"), Some("▸ mine".as_bytes().to_vec()));
        assert_eq!(see("plain"), Some(b"plain".to_vec()));
        assert_eq!(page.marked("a", "Set up job", b"x", false), None);
        assert!(page.marked("a", "Set up job", b"##[error]x", false).is_some());
    }
}
