//! Progress on a terminal: what is done stays, what runs is drawn anew below, with its last lines.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use console::{Style, Term, truncate_str};
use windlass_build::{Event, Progress, Vertex};

/// How many last lines of a step are shown.
const LINES: usize = 6;
/// How often times are drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// Draws on standard error.
pub(super) struct Tty {
    term: Term,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: BTreeMap<Vertex, Running>,
    /// How many lines are drawn that will be drawn over.
    drawn: usize,
    began: u32,
    ended: u32,
    closed: bool,
}

struct Running {
    name: String,
    began: tokio::time::Instant,
    lines: Vec<String>,
}

impl Tty {
    pub(super) fn new() -> Arc<Self> {
        let tty = Arc::new(Self { term: Term::stderr(), state: Mutex::default() });
        let ticking = Arc::downgrade(&tty);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(TICK).await;
                let Some(tty) = ticking.upgrade() else { return };
                let mut state = tty.state.lock().unwrap_or_else(PoisonError::into_inner);
                if state.closed {
                    return;
                }
                tty.draw(&mut state, "");
            }
        });
        tty
    }

    /// Leaves what is done, and draws no more.
    pub(super) fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running.clear();
        self.draw(&mut state, "");
        let _ = self.term.clear_last_lines(state.drawn);
        state.drawn = 0;
        state.closed = true;
    }

    fn width(&self) -> usize {
        usize::from(self.term.size().1).max(20)
    }

    /// Draws `done` above what runs, in one write.
    fn draw(&self, state: &mut State, done: &str) {
        if state.closed {
            return;
        }
        let width = self.width();
        let mut text = String::new();
        if state.drawn > 0 {
            let _ = write!(text, "\x1b[{}A\x1b[J", state.drawn);
        }
        text.push_str(done);
        let mut lines = vec![format!("[+] Building ({}/{})", state.ended, state.began)];
        for running in state.running.values() {
            let seconds = running.began.elapsed().as_secs_f64();
            lines.push(row(&format!(" => {}", running.name), seconds, width));
            lines.extend(
                running
                    .lines
                    .iter()
                    .map(|line| Style::new().dim().apply_to(format!(" => => # {line}")).to_string()),
            );
        }
        state.drawn = lines.len();
        for line in lines {
            let _ = writeln!(text, "{}", truncate_str(&line, width - 1, "…"));
        }
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

/// A line with its time at the right edge, however long its name is.
fn row(name: &str, seconds: f64, width: usize) -> String {
    let time = format!("{seconds:.1}s");
    let room = width.saturating_sub(time.len() + 2);
    let name = truncate_str(name, room, "…");
    let gap = room.saturating_sub(console::measure_text_width(&name)) + 1;
    format!("{name}{}{time}", " ".repeat(gap))
}

/// A line without what would move the cursor.
fn tame(text: &str) -> String {
    console::strip_ansi_codes(text).chars().filter(|c| !c.is_control() || *c == '\t').collect()
}

impl Progress for Tty {
    fn event(&self, event: Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut done = String::new();
        match event {
            Event::Started { vertex, name } => {
                state.began += 1;
                let began = tokio::time::Instant::now();
                state.running.insert(vertex, Running { name: tame(&name), began, lines: Vec::new() });
            }
            Event::Cached { name, .. } => {
                state.began += 1;
                state.ended += 1;
                let _ = writeln!(done, " => {} {}", Style::new().blue().apply_to("CACHED"), tame(&name));
            }
            Event::Line { vertex, text, .. } => {
                if let Some(running) = state.running.get_mut(&vertex) {
                    if running.lines.len() >= LINES {
                        running.lines.remove(0);
                    }
                    running.lines.push(tame(&text));
                }
                // The next tick draws it: a step may write thousands of lines a second.
                return;
            }
            Event::Done { vertex, took } => {
                state.ended += 1;
                if let Some(running) = state.running.remove(&vertex) {
                    let line = row(&format!(" => {}", running.name), took.as_secs_f64(), self.width());
                    let _ = writeln!(done, "{line}");
                }
            }
            Event::Failed { vertex, took, message } => {
                state.ended += 1;
                if let Some(running) = state.running.remove(&vertex) {
                    let word = Style::new().red().apply_to("ERROR");
                    let line = row(&format!(" => {word} {}", running.name), took.as_secs_f64(), self.width());
                    let _ = writeln!(done, "{line}");
                    let _ = writeln!(done, " => => {}", tame(message.lines().next().unwrap_or_default()));
                }
            }
            Event::Warning { message } => {
                let _ = writeln!(done, "{} {}", Style::new().yellow().apply_to("WARNING:"), tame(&message));
            }
        }
        self.draw(&mut state, &done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_seen_however_long_the_name_is() {
        for name in [" => short", " => a name that is much too long", " => ünï"] {
            let line = row(name, 1.5, 20);
            assert_eq!(console::measure_text_width(&line), 19, "{line}");
            assert!(line.ends_with(" 1.5s") && line.starts_with(&name[..4]), "{line}");
        }
    }
}
