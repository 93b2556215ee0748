//! A job's log as lines of a page: numbers to link to, times, colours (ECMA-48 "select graphic rendition"), groups that
//! fold. It is made piece by piece, so that a long log is never held whole, and every piece is well-formed.

use windlass_api::StepView;

use crate::view::escape;

/// Where a log's rendering stands between two pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Position {
    /// The next byte to read.
    pub(crate) offset: u64,
    /// The number of the next line, from 1.
    pub(crate) line: u64,
    /// Whether the next line stands in a group.
    pub(crate) inside: bool,
}

/// Lines of one step, ready for the page.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Piece {
    /// The step's number; 0 for lines before the first step.
    pub(crate) step: u32,
    /// Whether these lines go on in the group that the piece before left open.
    pub(crate) inside: bool,
    /// The markup.
    pub(crate) html: String,
}

/// The longest line that is shown whole, in bytes.
const LONGEST: usize = 16 << 10;

impl Position {
    /// The beginning of a log.
    pub(crate) const START: Self = Self { offset: 0, line: 1, inside: false };
}

/// Renders the whole lines at the beginning of `text` (and the rest too if `ended`), and says where to go on.
pub(crate) fn render(text: &[u8], from: Position, steps: &[StepView], ended: bool) -> (Vec<Piece>, Position) {
    let mut writer = Writer { pieces: Vec::new(), at: from, step: None };
    let mut rest = text;
    while !rest.is_empty() {
        let (line, length) = match memchr(rest) {
            Some(end) => (&rest[..end], end + 1),
            None if ended || rest.len() > LONGEST * 4 => (rest, rest.len()),
            None => break,
        };
        let step = step_at(steps, writer.at.offset);
        writer.line(&String::from_utf8_lossy(&line[..line.len().min(LONGEST)]), line.len() > LONGEST, step);
        writer.at.offset += length as u64;
        rest = &rest[length..];
    }
    writer.close();
    (writer.pieces, writer.at)
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|b| *b == b'\n')
}

/// The step whose part of the log holds a byte: the last one that had begun to write by then.
fn step_at(steps: &[StepView], offset: u64) -> u32 {
    let mut begun = steps.iter().filter(|s| s.started_at.is_some() && s.log_start <= offset);
    begun.next_back().map_or(0, |s| s.number)
}

struct Writer {
    pieces: Vec<Piece>,
    at: Position,
    step: Option<u32>,
}

impl Writer {
    fn line(&mut self, line: &str, cut: bool, step: u32) {
        if self.step != Some(step) {
            if self.step.is_some() {
                self.close();
                self.at.inside = false;
            }
            self.pieces.push(Piece { step, inside: self.at.inside, html: String::new() });
            self.step = Some(step);
        }
        let number = self.at.line;
        self.at.line += 1;
        let (time, text) = split_time(line.trim_end_matches('\r'));
        let text = text.rsplit('\r').next().unwrap_or(text);
        let (kind, text) = command(text);
        if self.at.inside && matches!(kind, Kind::Group | Kind::EndGroup) {
            self.leave_group(step);
        }
        if kind == Kind::EndGroup {
            return;
        }
        let Some(piece) = self.pieces.last_mut() else { return };
        let time = time.map(|t| format!("<time>{}</time>", escape(t))).unwrap_or_default();
        let more = if cut { "<em> … the line is longer: see the raw log</em>" } else { "" };
        let row = format!(
            "<div class=\"l{}\" id=\"L{number}\"><a href=\"#L{number}\">{number}</a>{time}<span>{}{more}</span></div>",
            kind.class(),
            ansi(text)
        );
        if kind == Kind::Group {
            piece.html.push_str("<details class=\"grp\"><summary>");
            piece.html.push_str(&row);
            piece.html.push_str("</summary>");
            self.at.inside = true;
        } else {
            piece.html.push_str(&row);
        }
    }

    /// Ends the group that is open; lines behind it need a piece of their own if the group began in an earlier one.
    fn leave_group(&mut self, step: u32) {
        self.at.inside = false;
        let Some(piece) = self.pieces.last_mut() else { return };
        if piece.inside {
            self.pieces.push(Piece { step, inside: false, html: String::new() });
        } else {
            piece.html.push_str("</details>");
        }
    }

    /// Closes what the last piece left open, so that it is well-formed by itself.
    fn close(&mut self) {
        if let Some(piece) = self.pieces.last_mut()
            && self.at.inside
            && !piece.inside
        {
            piece.html.push_str("</details>");
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Group,
    EndGroup,
    Error,
    Warning,
    Notice,
    Debug,
    Command,
}

impl Kind {
    fn class(self) -> &'static str {
        match self {
            Self::Error => " bad",
            Self::Warning => " warn",
            Self::Notice => " run",
            Self::Debug => " dim",
            Self::Command => " cmd",
            Self::Plain | Self::Group | Self::EndGroup => "",
        }
    }
}

/// Tells the marks at the beginning of a line, as GitHub writes them.
fn command(text: &str) -> (Kind, &str) {
    let Some(rest) = text.strip_prefix("##[") else {
        return match text.strip_prefix("[command]") {
            Some(rest) => (Kind::Command, rest),
            None => (Kind::Plain, text),
        };
    };
    let kinds = [
        ("group]", Kind::Group),
        ("endgroup]", Kind::EndGroup),
        ("error]", Kind::Error),
        ("warning]", Kind::Warning),
        ("notice]", Kind::Notice),
        ("debug]", Kind::Debug),
        ("command]", Kind::Command),
    ];
    let found = kinds.into_iter().find_map(|(mark, kind)| Some((kind, rest.strip_prefix(mark)?)));
    found.unwrap_or((Kind::Plain, text))
}

/// Splits the stamp from a line: `2026-11-20T11:25:42.1234567Z text` gives `11:25:42.123` and `text`.
fn split_time(line: &str) -> (Option<&str>, &str) {
    let Some((stamp, rest)) = line.split_once(' ') else { return split_bare(line) };
    match time_of(stamp) {
        Some(time) => (Some(time), rest),
        None => (None, line),
    }
}

fn split_bare(line: &str) -> (Option<&str>, &str) {
    match time_of(line) {
        Some(time) => (Some(time), ""),
        None => (None, line),
    }
}

fn time_of(stamp: &str) -> Option<&str> {
    let bytes = stamp.as_bytes();
    let shape = bytes.len() >= 20
        && bytes[4] == b'-'
        && bytes[10] == b'T'
        && bytes[13] == b':'
        && bytes.ends_with(b"Z");
    let rest = if shape { stamp.get(11..stamp.len() - 1)? } else { return None };
    rest.get(..12).or(Some(rest))
}

/// Text with colour codes as spans; every other control sequence is left out.
pub(crate) fn ansi(text: &str) -> String {
    if !text.contains('\u{1b}') {
        return escape(text);
    }
    let mut out = String::with_capacity(text.len() * 2);
    let mut style = Style::default();
    let mut rest = text;
    while let Some(start) = rest.find('\u{1b}') {
        style.write(&mut out, &rest[..start]);
        rest = &rest[start + 1..];
        if let Some(sequence) = rest.strip_prefix('[') {
            let end = sequence.find(|c: char| ('@'..='~').contains(&c)).unwrap_or(sequence.len());
            if sequence[end..].starts_with('m') {
                style.apply(&sequence[..end]);
            }
            rest = sequence.get(end + 1..).unwrap_or("");
        } else if let Some(sequence) = rest.strip_prefix(']') {
            // An operating system command ends with BEL or ESC \.
            let end = sequence.find(['\u{7}', '\u{1b}']).unwrap_or(sequence.len());
            rest = sequence[end..].trim_start_matches('\u{7}');
            rest = rest.strip_prefix("\u{1b}\\").unwrap_or(rest);
        } else {
            rest = rest.char_indices().nth(1).map_or("", |(i, _)| &rest[i..]);
        }
    }
    style.write(&mut out, rest);
    out
}

#[derive(Default)]
struct Style {
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
    front: Option<u8>,
    back: Option<u8>,
}

impl Style {
    fn write(&self, out: &mut String, text: &str) {
        if text.is_empty() {
            return;
        }
        let mut classes = Vec::new();
        for (set, class) in [(self.bold, "b"), (self.dim, "dim"), (self.italic, "it"), (self.underline, "u")]
        {
            if set {
                classes.push(class.to_owned());
            }
        }
        classes.extend(self.front.map(|c| format!("f{c}")));
        classes.extend(self.back.map(|c| format!("k{c}")));
        if classes.is_empty() {
            out.push_str(&escape(text));
        } else {
            out.push_str(&format!("<span class=\"{}\">{}</span>", classes.join(" "), escape(text)));
        }
    }

    fn apply(&mut self, codes: &str) {
        let numbers: Vec<u16> = codes.split([';', ':']).map(|n| n.parse().unwrap_or(0)).collect();
        let mut i = 0;
        while i < numbers.len() {
            match numbers[i] {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                3 => self.italic = true,
                4 => self.underline = true,
                22 => (self.bold, self.dim) = (false, false),
                23 => self.italic = false,
                24 => self.underline = false,
                n @ 30..=37 => self.front = Some((n - 30) as u8),
                n @ 90..=97 => self.front = Some((n - 82) as u8),
                39 => self.front = None,
                n @ 40..=47 => self.back = Some((n - 40) as u8),
                n @ 100..=107 => self.back = Some((n - 92) as u8),
                49 => self.back = None,
                n @ (38 | 48) => {
                    let (color, used) = extended(&numbers[i + 1..]);
                    if n == 38 {
                        self.front = color;
                    } else {
                        self.back = color;
                    }
                    i += used;
                }
                _ => {}
            }
            i += 1;
        }
    }
}

/// A colour of 256 or of 16 million, as the nearest of the sixteen; and how many numbers it took.
fn extended(numbers: &[u16]) -> (Option<u8>, usize) {
    match numbers {
        [5, n, ..] => {
            let n = *n;
            let color = match n {
                0..16 => n as u8,
                16..232 => nearest([(n - 16) / 36 * 51, (n - 16) / 6 % 6 * 51, (n - 16) % 6 * 51]),
                _ => nearest([(n.min(255) - 232) * 10 + 8; 3]),
            };
            (Some(color), 2)
        }
        [2, r, g, b, ..] => (Some(nearest([*r, *g, *b])), 4),
        _ => (None, numbers.len()),
    }
}

fn nearest(rgb: [u16; 3]) -> u8 {
    let [r, g, b] = rgb;
    let strongest = r.max(g).max(b);
    if strongest < 48 {
        return 0;
    }
    if strongest - r.min(g).min(b) < 32 {
        return if strongest > 200 {
            15
        } else if strongest > 110 {
            7
        } else {
            8
        };
    }
    let half = strongest / 2 + strongest / 8;
    let color = u8::from(r > half) | u8::from(g > half) << 1 | u8::from(b > half) << 2;
    if strongest > 200 { color + 8 } else { color }
}

#[cfg(test)]
mod tests {
    use windlass_api::State;
    use windlass_kernel::Timestamp;

    use super::*;

    fn step(number: u32, log_start: u64) -> StepView {
        StepView {
            number,
            name: String::new(),
            state: State::Running,
            outcome: None,
            conclusion: None,
            started_at: Some(Timestamp::default()),
            finished_at: None,
            log_start,
            log_end: None,
        }
    }

    fn whole(text: &str) -> String {
        render(text.as_bytes(), Position::START, &[step(1, 0)], true).0.into_iter().map(|p| p.html).collect()
    }

    #[test]
    fn a_line_has_its_number_its_time_and_inert_text() {
        let html = whole("2026-11-20T11:25:42.1234567Z <script>x</script>\nplain\n");
        assert!(html.contains("id=\"L1\"") && html.contains("<time>11:25:42.123</time>"), "{html}");
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script"), "{html}");
        assert!(html.contains("<a href=\"#L2\">2</a><span>plain</span>"), "{html}");
    }

    #[test]
    fn colours_become_classes_and_other_sequences_go() {
        let cases = [
            ("\x1b[31mred\x1b[0m x", "<span class=\"f1\">red</span> x"),
            ("\x1b[1;92mok\x1b[m", "<span class=\"b f10\">ok</span>"),
            ("\x1b[38;5;196mx\x1b[39my", "<span class=\"f9\">x</span>y"),
            ("\x1b[48;2;0;0;200mx", "<span class=\"k4\">x</span>"),
            ("a\x1b[2Kb\x1b]8;;http://x\x07c", "abc"),
            ("a\x1b[", "a"),
            ("a\x1b", "a"),
            ("\x1b[31m<b>", "<span class=\"f1\">&lt;b&gt;</span>"),
        ];
        for (text, expected) in cases {
            assert_eq!(ansi(text), expected, "{text:?}");
        }
    }

    #[test]
    fn groups_fold_and_pieces_are_well_formed_wherever_they_are_cut() {
        let text = "a\n##[group]G\nb\nc\n##[endgroup]\nd\n##[error]e\n";
        let html = whole(text);
        assert_eq!(html.matches("<details").count(), 1);
        assert_eq!(html.matches("</details>").count(), 1);
        assert!(html.find("</details>").unwrap() < html.find(">d<").unwrap());
        assert!(html.contains("class=\"l bad\""));
        let lines = whole(text).matches("class=\"l").count();
        for cut in 0..=text.len() {
            let (first, at) = render(&text.as_bytes()[..cut], Position::START, &[step(1, 0)], false);
            let (second, end) = render(&text.as_bytes()[at.offset as usize..], at, &[step(1, 0)], true);
            assert_eq!(end.offset, text.len() as u64);
            let mut count = 0;
            for piece in first.iter().chain(&second) {
                assert_eq!(
                    piece.html.matches("<details").count(),
                    piece.html.matches("</details>").count(),
                    "cut {cut}"
                );
                count += piece.html.matches("class=\"l").count();
            }
            assert_eq!(count, lines, "cut {cut}");
            assert_eq!(second.first().is_some_and(|p| p.inside), at.inside, "cut {cut}");
        }
    }

    #[test]
    fn lines_go_to_the_step_that_wrote_them() {
        let (pieces, at) =
            render(b"one\ntwo\nthree\nfou", Position::START, &[step(1, 0), step(2, 4), step(3, 8)], false);
        assert_eq!(pieces.iter().map(|p| p.step).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(at, Position { offset: 14, line: 4, inside: false });
    }
}
