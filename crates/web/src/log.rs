//! A job's log as lines of a page: times, colours (ECMA-48 "select graphic rendition"), the marks of groups and
//! annotations. Every line stands for itself, so that any window of a long log can be shown.

use crate::view::escape;

/// A line, ready for the page.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Line {
    /// What kind of line it is: `bad`, `warn`, `run`, `dim`, `cmd`, `grp` (a group's title), `end` (a group's end), or
    /// nothing special.
    pub(crate) class: &'static str,
    /// The time of day, with milliseconds.
    pub(crate) time: String,
    /// The text as markup.
    pub(crate) html: String,
}

/// A line of a log as it was written.
pub(crate) fn line(raw: &str) -> Line {
    let (time, text) = split_time(raw.trim_end_matches('\r'));
    // What a carriage return leads back over is not seen on a terminal either.
    let text = text.rsplit('\r').next().unwrap_or(text);
    let (kind, text) = command(text);
    Line { class: kind.class(), time: time.unwrap_or_default().to_owned(), html: ansi(text) }
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
            Self::Error => "bad",
            Self::Warning => "warn",
            Self::Notice => "run",
            Self::Debug => "dim",
            Self::Command => "cmd",
            Self::Group => "grp",
            Self::EndGroup => "end",
            Self::Plain => "",
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
    use super::*;

    #[test]
    fn a_line_has_its_kind_its_time_and_inert_text() {
        let cases = [
            (
                "2026-11-20T11:25:42.1234567Z <script>x</script>",
                "",
                "11:25:42.123",
                "&lt;script&gt;x&lt;/script&gt;",
            ),
            ("plain", "", "", "plain"),
            ("2026-11-20T11:25:42Z ##[error]no", "bad", "11:25:42", "no"),
            ("##[group]Run x", "grp", "", "Run x"),
            ("##[endgroup]", "end", "", ""),
            ("[command]git fetch", "cmd", "", "git fetch"),
            ("10 %\r20 %\r", "", "", "20 %"),
            ("2026-11-20T11:25:42.1234567Z", "", "11:25:42.123", ""),
        ];
        for (raw, class, time, html) in cases {
            let expected = Line { class, time: time.into(), html: html.into() };
            assert_eq!(line(raw), expected, "{raw}");
        }
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
}
