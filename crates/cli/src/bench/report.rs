//! A measurement's table, and its place in `docs/benchmarks.md`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// One measurement's text.
#[derive(Debug)]
pub(crate) struct Section {
    name: &'static str,
    title: &'static str,
    how: String,
    headers: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

/// Values that were measured again and again.
#[derive(Clone, Debug)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    /// At least one value.
    pub(crate) fn new(mut values: Vec<Duration>) -> Self {
        values.sort_unstable();
        Self(values)
    }

    /// The value in the middle.
    pub(crate) fn median(&self) -> Duration {
        self.0.get(self.0.len() / 2).copied().unwrap_or_default()
    }

    /// `lowest – highest`.
    pub(crate) fn spread(&self) -> String {
        let end = |value: Option<&Duration>| value.map_or_else(String::new, |v| millis(*v));
        format!("{} – {}", end(self.0.first()), end(self.0.last()))
    }
}

/// A duration in milliseconds, as tables show it.
pub(crate) fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    if millis < 10.0 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") }
}

impl Section {
    /// A section without rows.
    pub(crate) fn new(
        name: &'static str,
        title: &'static str,
        how: impl Into<String>,
        headers: &[&'static str],
    ) -> Self {
        Self { name, title, how: how.into(), headers: headers.to_vec(), rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, fields: [String; N]) {
        self.rows.push(fields.to_vec());
    }

    /// Adds a row of samples beside those that they are compared with.
    pub(crate) fn compared(&mut self, what: &str, samples: &Samples, base: &Samples) {
        let ratio = samples.median().as_secs_f64() / base.median().as_secs_f64().max(f64::MIN_POSITIVE);
        self.row([what.to_owned(), millis(samples.median()), samples.spread(), format!("{ratio:.2}")]);
    }

    /// The same with two fields more.
    pub(crate) fn compared_more(&mut self, what: &str, samples: &Samples, base: &Samples, more: [String; 2]) {
        self.compared(what, samples, base);
        if let Some(row) = self.rows.last_mut() {
            row.extend(more);
        }
    }

    /// Adds a field to the last row.
    pub(crate) fn end_row(&mut self, field: String) {
        if let Some(row) = self.rows.last_mut() {
            row.push(field);
        }
    }

    /// Adds a sentence below the table.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// The section in Markdown.
    pub(crate) fn text(&self) -> String {
        let line = |fields: &[String]| format!("| {} |\n", fields.join(" | "));
        let mut out = format!("## {}\n\n{}\n\nMachine: {}.\n\n", self.title, self.how, machine());
        out += &line(&self.headers.iter().map(ToString::to_string).collect::<Vec<_>>());
        out += &line(&self.headers.iter().map(|_| "---".to_owned()).collect::<Vec<_>>());
        for row in &self.rows {
            out += &line(row);
        }
        for note in &self.notes {
            out += &format!("\n- {note}");
        }
        out + "\n"
    }

    /// Puts the section into `docs/benchmarks.md`, in place of the one that stood there.
    pub(crate) fn write(&self) -> Result<()> {
        let root = std::env::var_os("WINDLASS_REPOSITORY").map_or_else(|| PathBuf::from("."), PathBuf::from);
        let path = root.join("docs/benchmarks.md");
        let old = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => HEAD.to_owned(),
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
        };
        let new = placed(&old, self.name, &self.text());
        std::fs::write(&path, new).with_context(|| format!("cannot write {}", path.display()))
    }
}

const HEAD: &str = "# Benchmarks\n\nMade by `cargo xtask bench NAME --write`: each table in one run, on one machine, ours and the peer by turns.\n";

fn placed(old: &str, name: &str, section: &str) -> String {
    let (begin, end) = (format!("<!-- bench {name} -->\n"), format!("<!-- end {name} -->\n"));
    let block = format!("{begin}{section}{end}");
    match (old.find(&begin), old.find(&end)) {
        (Some(from), Some(to)) if from < to => format!("{}{block}{}", &old[..from], &old[to + end.len()..]),
        _ => format!("{}\n{block}", old.trim_end_matches('\n').to_owned() + "\n"),
    }
}

/// The machine, in words.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|l| l.strip_prefix("model name")).and_then(|l| l.split(':').nth(1));
    let kernel = read("/proc/sys/kernel/osrelease");
    let build =
        if cfg!(debug_assertions) { "a debug build of Windlass" } else { "a release build of Windlass" };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{} × {}, Linux {}, {build}", cores, model.unwrap_or("unknown processor").trim(), kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_takes_the_place_of_its_predecessor() {
        let once = placed(HEAD, "a", "first text\n");
        let twice = placed(&placed(&once, "b", "two\n"), "a", "three\n");
        assert!(!twice.contains("first text") && twice.contains("two"));
        assert!(twice.find("three") < twice.find("two"), "{twice}");
        assert_eq!(placed(&twice, "a", "three\n"), twice);
    }

    #[test]
    fn the_middle_is_not_moved_by_one_that_was_slow() {
        let samples = Samples::new([5, 1, 900, 3, 4].map(Duration::from_millis).to_vec());
        assert_eq!(samples.median(), Duration::from_millis(4));
        assert_eq!(samples.spread(), "1.0 ms – 900 ms");
    }
}
