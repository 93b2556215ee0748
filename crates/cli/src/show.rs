//! How answers look: tables for people, JSON for programs, colours only where they are wanted.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;
use comfy_table::{Cell, Color, ContentArrangement, Table, presets};
use console::{Style, Term};
use serde::Serialize;
use windlass_api::{Conclusion, DeploymentState, State};
use windlass_kernel::{Clock as _, SystemClock, Timestamp};

/// What a text's colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing.
    Plain,
    /// It is well.
    Good,
    /// It is not.
    Bad,
    /// It is under way, or asks for attention.
    Busy,
    /// It matters less.
    Dim,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Good => Style::new().green(),
            Self::Bad => Style::new().red(),
            Self::Busy => Style::new().yellow(),
            Self::Dim => Style::new().dim(),
        }
    }

    /// The text in this tone, where standard output shows colours.
    pub(crate) fn paint(self, text: impl std::fmt::Display) -> String {
        self.style().apply_to(text).to_string()
    }
}

/// A table's field.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    text: String,
    tone: Tone,
}

impl Field {
    /// A text in a tone.
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }

    /// A text that matters less.
    pub(crate) fn dim(text: impl Into<String>) -> Self {
        Self::toned(text, Tone::Dim)
    }
}

impl<T: Into<String>> From<T> for Field {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// Prints `--json`'s answer.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

/// Prints a text and a line break; a reader that has gone away (`| head`) is no error.
pub(crate) fn print(text: &str) -> Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => Ok(other?),
    }
}

/// Prints a table, or what to say when there is nothing.
pub(crate) fn table<const N: usize>(headers: [&str; N], rows: Vec<[Field; N]>, nothing: &str) -> Result<()> {
    if rows.is_empty() {
        eprintln!("{nothing}");
        return Ok(());
    }
    print(&render(headers, rows, console::colors_enabled(), width()))
}

/// How wide lines may be; programs that read get them whole.
fn width() -> u16 {
    let term = Term::stdout();
    if term.is_term() { term.size().1.max(40) } else { u16::MAX }
}

fn render<const N: usize>(headers: [&str; N], rows: Vec<[Field; N]>, colours: bool, width: u16) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).force_no_tty();
    if width < u16::MAX {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    if colours {
        table.enforce_styling();
    }
    let head = |text: &str| Cell::new(text.to_uppercase()).fg(Color::DarkGrey);
    table.set_header(headers.map(head).to_vec());
    for row in rows {
        let cells = row.map(|field| {
            let cell = Cell::new(clean(&field.text));
            match field.tone {
                Tone::Plain => cell,
                Tone::Good => cell.fg(Color::Green),
                Tone::Bad => cell.fg(Color::Red),
                Tone::Busy => cell.fg(Color::Yellow),
                Tone::Dim => cell.fg(Color::DarkGrey),
            }
        });
        table.add_row(cells.to_vec());
    }
    let text = table.to_string();
    text.lines()
        .map(|l| l.trim_end().strip_prefix(' ').unwrap_or_else(|| l.trim_end()))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A text from elsewhere without what could steer the terminal.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// A run's, job's or step's standing: a mark, a word, a tone.
pub(crate) fn standing(state: State, conclusion: Option<Conclusion>) -> (&'static str, &'static str, Tone) {
    match (state, conclusion) {
        (State::Waiting, _) => ("○", "waiting", Tone::Dim),
        (State::Queued, _) => ("○", "queued", Tone::Dim),
        (State::Running, _) => ("●", "running", Tone::Busy),
        (State::Completed, Some(Conclusion::Success)) => ("✓", "success", Tone::Good),
        (State::Completed, Some(Conclusion::Failure)) => ("✗", "failure", Tone::Bad),
        (State::Completed, Some(Conclusion::Cancelled)) => ("⊘", "cancelled", Tone::Bad),
        (State::Completed, Some(Conclusion::Skipped)) => ("-", "skipped", Tone::Dim),
        (State::Completed, Some(Conclusion::StartupFailure)) => ("✗", "invalid workflow", Tone::Bad),
        (State::Completed, None) => ("?", "completed", Tone::Plain),
    }
}

/// A deployment's standing.
pub(crate) fn deployment(state: DeploymentState) -> (&'static str, Tone) {
    match state {
        DeploymentState::Queued => ("queued", Tone::Dim),
        DeploymentState::Running => ("running", Tone::Busy),
        DeploymentState::RollingBack => ("rolling back", Tone::Busy),
        DeploymentState::Succeeded => ("live", Tone::Good),
        DeploymentState::Failed => ("failed", Tone::Bad),
        DeploymentState::RolledBack => ("rolled back", Tone::Bad),
        DeploymentState::Cancelled => ("cancelled", Tone::Bad),
    }
}

/// Whether a deployment has come to its end.
pub(crate) fn ended(state: DeploymentState) -> bool {
    !matches!(state, DeploymentState::Queued | DeploymentState::Running | DeploymentState::RollingBack)
}

/// The present.
pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

/// `just now`, `5 min ago`, or the day.
pub(crate) fn ago(at: Timestamp) -> String {
    let seconds = now().since(at).as_secs();
    match seconds {
        0..=9 => "just now".into(),
        10..=59 => format!("{seconds} s ago"),
        60..=3_599 => format!("{} min ago", seconds / 60),
        3_600..=86_399 => format!("{} h ago", seconds / 3_600),
        _ => at.to_string().chars().take(10).collect(),
    }
}

/// How long something took: `850 ms`, `12.3 s`, `4m 05s`, `1h 02m`.
pub(crate) fn lasting(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..=59 => format!("{:.1} s", (time.as_millis() / 100) as f64 / 10.0),
        60..=3_599 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// A commit's short name.
pub(crate) fn short(sha: &str) -> &str {
    sha.get(..7).unwrap_or(sha)
}

/// A digest's short form, as people compare it.
pub(crate) fn short_digest(digest: &str) -> String {
    let hex = digest.rsplit("sha256:").next().unwrap_or(digest);
    format!("sha256:{}", hex.get(..12).unwrap_or(hex))
}

/// A text in red where standard error shows colours.
pub(crate) fn red_on_error(text: &str) -> String {
    Style::new().for_stderr().red().apply_to(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        for (millis, text) in [
            (0, "0 ms"),
            (850, "850 ms"),
            (12_345, "12.3 s"),
            (59_999, "59.9 s"),
            (60_000, "1m 00s"),
            (245_000, "4m 05s"),
            (3_720_000, "1h 02m"),
        ] {
            assert_eq!(lasting(Duration::from_millis(millis)), text, "{millis}");
        }
    }

    #[test]
    fn tables_are_plain_without_colours_and_clean_always() {
        let rows = vec![
            [Field::from("a"), Field::toned("bad\u{1b}[2Jx", Tone::Bad)],
            [Field::dim("long one"), "".into()],
        ];
        let text = render(["name", "state"], rows.clone(), false, u16::MAX);
        assert_eq!(text, "NAME      STATE\na         bad\u{fffd}[2Jx\nlong one");
        assert!(render(["name", "state"], rows, true, u16::MAX).contains("\u{1b}["));
    }

    #[test]
    fn short_names_survive_short_texts() {
        assert_eq!(short("abc"), "abc");
        assert_eq!(short_digest("x"), "sha256:x");
        assert_eq!(short_digest("a/b@sha256:0123456789abcdef"), "sha256:0123456789ab");
    }
}
