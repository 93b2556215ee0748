//! A log by lines: its outline, a window, a search. Everything here reads a bounded part of the file.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use windlass_api::{LogGroup, LogHit, LogHits, LogOutline, LogStep, LogWindow};
use windlass_pipeline::Job;

use super::index::{Indexed, Kind};
use super::lines::{each, unstamped};

/// The most lines and bytes of a window.
const MOST_LINES: usize = 2000;
const MOST_BYTES: usize = 2 << 20;
/// A line is cut here in a window, in bytes.
const SHOWN: usize = 16 << 10;
/// The most groups that are told.
const MOST_GROUPS: usize = 10_000;
/// The most hits of a search, and the most bytes that one call looks at.
const MOST_HITS: usize = 500;
const SEARCHED: u64 = 256 << 20;
/// The longest text that is looked for, in characters.
pub(super) const LONGEST_SEARCH: usize = 200;
/// A hit's text is cut here, in characters.
const EXCERPT: usize = 400;

pub(super) fn outline(log: &Path, job: &Job) -> io::Result<LogOutline> {
    let ended = job.is_completed();
    let Some(open) = Indexed::open(log)? else { return Ok(LogOutline { ended, ..LogOutline::default() }) };
    // What stands behind the last line end is a line only once nothing can follow.
    let rest = u64::from(ended && open.end.offset < open.size);
    let lines = open.end.line + rest;
    let mut steps = Vec::new();
    for step in &job.steps {
        if step.started_at.is_none() {
            continue;
        }
        let first = open.line_at(step.log_start)? + 1;
        let last = match step.log_end {
            Some(end) if end < open.size => open.line_at(end)?,
            _ => lines,
        };
        steps.push(LogStep { number: step.number, first, last });
    }
    // A step that is still open ends where the next one begins.
    for i in 1..steps.len() {
        let before = steps[i].first.saturating_sub(1);
        steps[i - 1].last = steps[i - 1].last.min(before);
    }
    let groups = groups(&open, lines, &steps);
    Ok(LogOutline { lines, bytes: open.size, ended, steps, groups })
}

/// Groups do not nest: the next one ends the one before, and so does its step's end.
fn groups(open: &Indexed, lines: u64, steps: &[LogStep]) -> Vec<LogGroup> {
    let mut groups: Vec<LogGroup> = Vec::new();
    let step_end = |line: u64| {
        let i = steps.partition_point(|s| s.first <= line);
        i.checked_sub(1).map(|i| steps[i].last).filter(|last| *last >= line).unwrap_or(lines)
    };
    let mut going: Option<u64> = None;
    for mark in open.folds() {
        let line = mark.at.line + 1;
        if let Some(first) = going.take() {
            let marked = mark.kind == Kind::EndGroup;
            let wanted = if marked { line } else { line - 1 };
            let last = wanted.min(step_end(first));
            groups.push(LogGroup { first, last, marked: marked && last == wanted });
        }
        if groups.len() >= MOST_GROUPS {
            return groups;
        }
        if mark.kind == Kind::Group {
            going = Some(line);
        }
    }
    if let Some(first) = going {
        groups.push(LogGroup { first, last: lines.min(step_end(first)).max(first), marked: false });
    }
    groups
}

pub(super) fn window(log: &Path, from: u64, count: usize, ended: bool) -> io::Result<LogWindow> {
    let first = from.max(1);
    let mut window = LogWindow { first, lines: Vec::new() };
    let Some(open) = Indexed::open(log)? else { return Ok(window) };
    let (wanted, mut bytes) = (count.clamp(1, MOST_LINES), 0);
    each(&open.file, open.before_line(first - 1), open.size, ended, |at, line| {
        if at.line + 1 >= first {
            let text = String::from_utf8_lossy(&line[..line.len().min(SHOWN)]).into_owned();
            bytes += text.len();
            window.lines.push(text);
        }
        if window.lines.len() >= wanted || bytes >= MOST_BYTES {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(window)
}

pub(super) fn search(log: &Path, text: &str, from: u64, limit: usize, ended: bool) -> io::Result<LogHits> {
    let mut found = LogHits::default();
    let Some(open) = Indexed::open(log)? else { return Ok(found) };
    let pattern = regex::bytes::RegexBuilder::new(&regex::escape(text))
        .case_insensitive(true)
        .build()
        .map_err(io::Error::other)?;
    let (first, limit) = (from.max(1), limit.clamp(1, MOST_HITS));
    let start = open.before_line(first - 1);
    let stop = open.size.min(start.offset.saturating_add(SEARCHED));
    let mut plain = Vec::new();
    let end = each(&open.file, start, open.size, ended, |at, line| {
        if at.line + 1 < first {
            return ControlFlow::Continue(());
        }
        let text = uncoloured(unstamped(line), &mut plain);
        if pattern.is_match(text) {
            let excerpt = String::from_utf8_lossy(&text[..text.len().min(EXCERPT * 4)]);
            found.hits.push(LogHit { line: at.line + 1, text: excerpt.chars().take(EXCERPT).collect() });
        }
        if found.hits.len() >= limit || at.offset >= stop {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    found.next = (end.offset < open.end.offset).then_some(end.line + 1);
    Ok(found)
}

/// A line without its control sequences (ECMA-48).
fn uncoloured<'a>(line: &'a [u8], plain: &'a mut Vec<u8>) -> &'a [u8] {
    if memchr::memchr(0x1b, line).is_none() {
        return line;
    }
    plain.clear();
    let mut rest = line;
    while let Some(start) = memchr::memchr(0x1b, rest) {
        plain.extend_from_slice(&rest[..start]);
        rest = &rest[start + 1..];
        if let Some(sequence) = rest.strip_prefix(b"[") {
            let end = sequence.iter().position(|b| (b'@'..=b'~').contains(b));
            rest = end.map_or(&[][..], |end| &sequence[end + 1..]);
        } else {
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    plain.extend_from_slice(rest);
    plain
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("a.log");
        std::fs::write(&log, text).unwrap();
        (dir, log)
    }

    #[test]
    fn a_window_has_the_lines_asked_for() {
        let mut text = String::new();
        for n in 1..=5000 {
            writeln!(text, "line {n}").unwrap();
        }
        let (_dir, log) = file(&(text + "the rest"));
        let lines = |from, count, ended| window(&log, from, count, ended).unwrap().lines;
        assert_eq!(lines(1, 2, false), ["line 1", "line 2"]);
        assert_eq!(lines(4999, 10, false), ["line 4999", "line 5000"]);
        assert_eq!(lines(4999, 10, true), ["line 4999", "line 5000", "the rest"]);
        assert_eq!(lines(0, 1, false), ["line 1"]);
        assert_eq!(lines(9999, 1, true), [""; 0]);
        assert_eq!(lines(1, 1_000_000, false).len(), MOST_LINES);
    }

    #[test]
    fn a_search_goes_on_where_it_stopped_and_ignores_case_stamps_and_colours() {
        let mut text = String::new();
        for n in 1..=1000 {
            writeln!(text, "2026-11-20T11:25:42.1234567Z \x1b[31mNee\x1b[0mdle {n} in 2026").unwrap();
        }
        let (_dir, log) = file(&text);
        let first = search(&log, "needle", 1, 10, true).unwrap();
        assert_eq!((first.hits.len(), first.next), (10, Some(11)));
        assert_eq!(first.hits[0], LogHit { line: 1, text: "Needle 1 in 2026".into() });
        let second = search(&log, "NEEDLE", 11, 10, true).unwrap();
        assert_eq!(second.hits[0].line, 11);
        assert_eq!(search(&log, "2026-11-20T", 1, 10, true).unwrap(), LogHits::default());
        assert_eq!(search(&log, "needle 1000 ", 1, 10, true).unwrap().hits.len(), 1);
        assert_eq!(search(&log, ".*", 1, 10, true).unwrap().hits.len(), 0);
    }

    #[test]
    fn groups_end_with_the_next_one_with_their_mark_or_with_their_step() {
        let text = "a\n##[group]G\nb\n##[endgroup]\n##[group]H\nc\n##[group]I\nd\ne\n";
        let (_dir, log) = file(text);
        let open = Indexed::open(&log).unwrap().unwrap();
        let steps = [LogStep { number: 1, first: 1, last: 8 }, LogStep { number: 2, first: 9, last: 9 }];
        let group = |first, last, marked| LogGroup { first, last, marked };
        assert_eq!(groups(&open, 9, &steps), [group(2, 4, true), group(5, 6, false), group(7, 8, false)]);
    }
}
