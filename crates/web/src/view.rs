//! How values look on a page: times, durations, sizes, states. Everything here gives text, or markup made only of
//! fixed parts and escaped text.

#![expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::ref_option,
    reason = "templates hand every value over by reference"
)]

use std::fmt;
use std::time::Duration;

use askama::filters::HtmlSafe;
use windlass_api::{ChangeView, Conclusion, DeploymentState, JobView, RunSummary, State, StepView};
use windlass_kernel::Timestamp;

/// Markup that is written as it is. Whoever makes one has escaped what came from outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Raw(pub(crate) String);

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Raw {}

/// Escapes text for HTML, in content and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Percent-encodes text as one segment of a path or one value of a query (RFC 3986, section 2.3).
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A moment, relative, with the absolute time as its title.
pub(crate) fn ago(now: &Timestamp, at: &Timestamp) -> Raw {
    let text = relative(*now, *at);
    Raw(format!(
        "<time datetime=\"{at}\" data-t=\"{}\" title=\"{}\">{text}</time>",
        at.as_millis(),
        absolute(at)
    ))
}

/// A moment, absolute: `2026-11-20 11:25:42 UTC`.
pub(crate) fn absolute(at: &Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..19)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => text,
    }
}

/// The time of day: `11:25:42`.
pub(crate) fn clock(at: &Timestamp) -> String {
    at.to_string().get(11..19).unwrap_or_default().to_owned()
}

/// The time of day with milliseconds, for logs.
pub(crate) fn clock_millis(at: &Timestamp) -> String {
    at.to_string().get(11..23).unwrap_or_default().to_owned()
}

fn relative(now: Timestamp, at: Timestamp) -> String {
    let (distance, future) = if at > now { (at.since(now), true) } else { (now.since(at), false) };
    let seconds = distance.as_secs();
    let text = match seconds {
        0..5 if !future => return "just now".into(),
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        86_400..2_592_000 => plural(seconds / 86_400, "day"),
        _ => return absolute(&at).chars().take(10).collect(),
    };
    if future { format!("in {text}") } else { format!("{text} ago") }
}

/// A number with its noun: `1 day`, `2 days`.
pub(crate) fn plural(count: impl fmt::Display, noun: &str) -> String {
    let count = count.to_string();
    let ending = if count == "1" { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

/// A name of the wire as words: `blue_green` is `blue-green`.
pub(crate) fn words(name: &str) -> String {
    name.replace('_', "-")
}

/// A length of time for people: `340 ms`, `12 s`, `1 m 05 s`, `2 h 03 m`.
pub(crate) fn length(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A length of time in milliseconds, for people.
pub(crate) fn millis(millis: &u64) -> String {
    length(Duration::from_millis(*millis))
}

/// How long something took, or has taken up to now; empty if it has not begun.
pub(crate) fn took(now: &Timestamp, start: &Option<Timestamp>, end: &Option<Timestamp>) -> Raw {
    Raw(match (start, end) {
        (Some(start), Some(end)) => length(end.since(*start)),
        (Some(start), None) => {
            format!("<span data-since=\"{}\">{}</span>", start.as_millis(), length(now.since(*start)))
        }
        _ => String::new(),
    })
}

/// A size for people: `1.2 MB` (powers of 1000).
pub(crate) fn bytes(size: &u64) -> String {
    let size = *size;
    if size < 1000 {
        return format!("{size} B");
    }
    let mut value = size as f64 / 1000.0;
    for unit in ["kB", "MB", "GB"] {
        if value < 1000.0 {
            return if value < 10.0 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// A share of a processor: thousandths of a core as `1.4 %`.
pub(crate) fn share(millis: &u64) -> String {
    format!("{}.{} %", millis / 10, millis % 10)
}

/// A share of lines in percent, rounded down so that 100 means all: `87.4 %`.
pub(crate) fn percent<N: Copy + Into<u64>>(covered: &N, total: &N) -> String {
    let (covered, total): (u64, u64) = ((*covered).into(), (*total).into());
    if total == 0 {
        return "–".to_owned();
    }
    let tenths = covered.saturating_mul(1000) / total;
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// A change of shares in points, with its tone: `+0.3`.
pub(crate) fn change<N: Copy + Into<u64>>(before: &N, of: &N, now: &N, total: &N) -> Raw {
    let share = |covered: N, total: N| {
        let (covered, total): (u64, u64) = (covered.into(), total.into());
        if total == 0 { 0.0 } else { covered as f64 * 100.0 / total as f64 }
    };
    let change = share(*now, *total) - share(*before, *of);
    let (class, sign) = if change >= 0.05 {
        ("plus", "+")
    } else if change <= -0.05 {
        ("minus", "−")
    } else {
        return Raw("<span class=\"dim\">±0.0</span>".to_owned());
    };
    Raw(format!("<span class=\"{class} num\">{sign}{:.1}</span>", change.abs()))
}

/// A test's results from run to run as a row of cells; each letter as in `TestHistoryLine::results`.
pub(crate) fn strip(results: &str) -> Raw {
    let class = |letter| match letter {
        'p' => "p",
        'f' => "f",
        's' => "s",
        'x' => "x",
        _ => "n",
    };
    let count = |letter| results.chars().filter(|c| *c == letter).count();
    let words = format!(
        "The last {}: {} passed, {} failed, {} flaky, {} skipped",
        plural(results.chars().filter(|c| *c != '-').count(), "run"),
        count('p'),
        count('f'),
        count('x'),
        count('s')
    );
    let mut cells = String::new();
    for letter in results.chars() {
        cells.push_str(&format!("<i class=\"{}\"></i>", class(letter)));
    }
    Raw(format!("<span class=\"strip\" role=\"img\" aria-label=\"{words}\" title=\"{words}\">{cells}</span>"))
}

/// What a manifest is, in a word or by its type.
pub(crate) fn manifest_kind(manifest: &windlass_api::ManifestView) -> String {
    match &manifest.artifact_type {
        Some(kind) => artifact(kind),
        None if manifest.media_type.contains("index") || manifest.media_type.contains("list") => {
            "images by platform".to_owned()
        }
        None => "image".to_owned(),
    }
}

/// What an artifact of that type is, for those that are known.
pub(crate) fn artifact(kind: &str) -> String {
    let words = match kind {
        "application/vnd.cncf.helm.config.v1+json" => "Helm chart",
        "application/vnd.cncf.helm.chart.content.v1.tar+gzip" => "the chart",
        "application/vnd.dev.sigstore.bundle.v0.3+json" => "signed statement",
        "application/spdx+json" | "text/spdx" => "SBOM (SPDX)",
        "application/vnd.cyclonedx+json" | "application/vnd.cyclonedx+xml" => "SBOM (CycloneDX)",
        "application/vnd.dev.cosign.artifact.sig.v1+json" => "signature (cosign)",
        other => return other.to_owned(),
    };
    words.to_owned()
}

/// Permissions as `chmod` takes them.
pub(crate) fn octal(mode: &u32) -> String {
    format!("{mode:04o}")
}

/// A commit's short id.
pub(crate) fn short(sha: &str) -> String {
    sha.chars().take(8).collect()
}

/// A digest's (or an image's by digest) short form: the first 12 hexadecimal characters.
pub(crate) fn digest(text: &str) -> String {
    let hex = text.rsplit(':').next().unwrap_or(text);
    hex.chars().take(12).collect()
}

/// The end of a long id, enough to tell instances apart.
pub(crate) fn tail(id: &str) -> String {
    let skipped = id.chars().count().saturating_sub(8);
    id.chars().skip(skipped).collect()
}

/// Text with colour codes, as markup.
pub(crate) fn colored(text: &str) -> Raw {
    Raw(crate::log::ansi(text))
}

/// A ref without its prefix: `refs/heads/main` is `main`.
pub(crate) fn branch(reference: &str) -> &str {
    let short = reference.strip_prefix("refs/heads/").or_else(|| reference.strip_prefix("refs/tags/"));
    short.unwrap_or(reference)
}

/// An actor without its kind: `user:ana` is `ana`.
pub(crate) fn person(actor: &str) -> &str {
    actor.strip_prefix("user:").unwrap_or(actor)
}

/// Text in which `names in backticks` are set as code.
pub(crate) fn ticks(text: &str) -> Raw {
    let mut out = String::with_capacity(text.len() + 16);
    let mut parts = text.split('`').peekable();
    let mut code = false;
    while let Some(part) = parts.next() {
        // A last tick without its other half is only a tick.
        match (code, parts.peek().is_some()) {
            (true, true) => out.push_str(&format!("<code>{}</code>", escape(part))),
            (true, false) => out.push_str(&format!("`{}", escape(part))),
            (false, _) => out.push_str(&escape(part)),
        }
        code = !code;
    }
    Raw(out)
}

/// Why something is as it is. What lacks several things is a sentence and a list of them.
pub(crate) fn reason(text: &str) -> Raw {
    let Some((first, list)) = text.split_once("\n- ") else { return ticks(text) };
    let mut out = format!("<span>{}</span><ul class=\"lacks\">", ticks(first));
    for item in list.split("\n- ") {
        out.push_str(&format!("<li>{}</li>", ticks(item)));
    }
    out.push_str("</ul>");
    Raw(out)
}

/// Whether a reason is that evidence is missing.
pub(crate) fn lacks_evidence(text: &str) -> bool {
    text.contains(" requires evidence that is missing")
}

/// An actor in words; a run with a link to it.
pub(crate) fn actor(actor: &str) -> Raw {
    Raw(match actor.split_once(':') {
        Some(("run", id)) => format!("<a href=\"/runs/{}\">a run</a>", encode(id)),
        Some(("runner", name)) => format!("runner {}", escape(name)),
        Some(("user", name)) => escape(name),
        None if actor == "system" => "Windlass".to_owned(),
        _ => escape(actor),
    })
}

/// Whether text is an address that a link may lead to (a service's address comes from a project's files).
pub(crate) fn is_web_address(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// A state as people see it: a tone (colour), an icon, and words, so that colour is never alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// `ok`, `bad`, `run`, `wait`, `off` or `warn`.
    pub(crate) tone: &'static str,
    /// The icon's name.
    pub(crate) icon: &'static str,
    /// The words.
    pub(crate) text: &'static str,
}

const fn look(tone: &'static str, icon: &'static str, text: &'static str) -> Look {
    Look { tone, icon, text }
}

impl Look {
    /// Icon and words.
    pub(crate) fn badge(self) -> Raw {
        Raw(format!("<span class=\"st {}\">{}<span>{}</span></span>", self.tone, icon(self.icon), self.text))
    }

    /// The icon; the words for those who hear the page, and as its title.
    pub(crate) fn mark(self) -> Raw {
        Raw(format!(
            "<span class=\"st mk {}\" title=\"{}\">{}<span class=\"hear\">{}</span></span>",
            self.tone,
            self.text,
            icon(self.icon),
            self.text
        ))
    }
}

/// How a run, job or step looks.
pub(crate) fn progress(state: State, conclusion: Option<Conclusion>) -> Look {
    match (state, conclusion) {
        (_, Some(Conclusion::Success)) => look("ok", "ok", "Succeeded"),
        (_, Some(Conclusion::Failure)) => look("bad", "bad", "Failed"),
        (_, Some(Conclusion::Cancelled)) => look("off", "stop", "Cancelled"),
        (_, Some(Conclusion::Skipped)) => look("off", "skip", "Skipped"),
        (_, Some(Conclusion::StartupFailure)) => look("bad", "warn", "Invalid workflow"),
        (State::Waiting, None) => look("wait", "wait", "Waiting"),
        (State::Queued, None) => look("wait", "queue", "Queued"),
        (State::Running, None) => look("run", "run", "Running"),
        (State::Completed, None) => look("off", "ok", "Completed"),
    }
}

pub(crate) fn run_look(run: &RunSummary) -> Look {
    progress(run.state, run.conclusion)
}

pub(crate) fn job_look(job: &JobView) -> Look {
    progress(job.state, job.conclusion)
}

/// A step that failed but may (`continue-on-error`) is a warning.
pub(crate) fn step_look(step: &StepView) -> Look {
    match (step.outcome, step.conclusion) {
        (Some(Conclusion::Failure), Some(Conclusion::Success)) => look("warn", "warn", "Failed, but may"),
        _ => progress(step.state, step.conclusion),
    }
}

pub(crate) fn deployment_look(state: &DeploymentState) -> Look {
    match state {
        DeploymentState::Queued => look("wait", "queue", "Queued"),
        DeploymentState::Running => look("run", "run", "Deploying"),
        DeploymentState::RollingBack => look("warn", "back", "Rolling back"),
        DeploymentState::Succeeded => look("ok", "ok", "Succeeded"),
        DeploymentState::Failed => look("bad", "bad", "Failed"),
        DeploymentState::RolledBack => look("bad", "back", "Rolled back"),
        DeploymentState::Cancelled => look("off", "stop", "Cancelled"),
    }
}

pub(crate) fn instance_look(state: &str) -> Look {
    match state {
        "healthy" => look("ok", "ok", "Healthy"),
        "unhealthy" => look("bad", "bad", "Unhealthy"),
        "starting" => look("run", "run", "Starting"),
        "draining" => look("wait", "wait", "Draining"),
        "warm" => look("warn", "pause", "Warm"),
        "exited" => look("off", "stop", "Exited"),
        _ => look("off", "queue", "Unknown"),
    }
}

pub(crate) fn service_look(healthy: &u32, wanted: &u32) -> Look {
    match (*healthy, *wanted) {
        (0, 0) => look("off", "stop", "Not running"),
        (0, _) => look("bad", "bad", "Down"),
        (healthy, wanted) if healthy < wanted => look("warn", "warn", "Degraded"),
        _ => look("ok", "ok", "Healthy"),
    }
}

pub(crate) fn approval_look(state: &str) -> Look {
    match state {
        "approved" => look("ok", "ok", "Approved"),
        "rejected" => look("bad", "bad", "Rejected"),
        _ => look("warn", "gate", "Waiting for approval"),
    }
}

pub(crate) fn change_look(change: &ChangeView) -> Look {
    match change.state.as_str() {
        "merged" => look("ok", "ok", "Merged"),
        "closed" => look("off", "skip", "Closed"),
        _ if !change.conflicts.is_empty() => look("bad", "branch", "Conflicts"),
        _ if change.outside && !change.approved => look("warn", "gate", "Waiting for approval"),
        _ => look("run", "branch", "Open"),
    }
}

pub(crate) fn level_look(level: &str) -> Look {
    match level {
        "error" => look("bad", "bad", "Error"),
        "warning" => look("warn", "warn", "Warning"),
        _ => look("run", "note", "Notice"),
    }
}

pub(crate) fn healthy_look(healthy: &bool) -> Look {
    if *healthy { look("ok", "ok", "Answers") } else { look("bad", "bad", "Does not answer") }
}

/// An icon of 16 by 16, drawn in the colour of the text around it.
pub(crate) fn icon(name: &str) -> Raw {
    let ring = "<circle cx=\"8\" cy=\"8\" r=\"6.4\"/>";
    let (class, shape) = match name {
        "ok" => ("", format!("{ring}<path d=\"M5 8.3l2.1 2.1 4-4.5\"/>")),
        "bad" => ("", format!("{ring}<path d=\"M5.7 5.7l4.6 4.6m0-4.6l-4.6 4.6\"/>")),
        "run" => (" spin", "<path d=\"M8 1.6a6.4 6.4 0 1 1-6.4 6.4\"/>".into()),
        "wait" => ("", format!("{ring}<path d=\"M8 4.4V8l2.4 1.5\"/>")),
        "queue" => ("", format!("{ring}<path d=\"M5 8h.01M8 8h.01M11 8h.01\"/>")),
        "skip" => ("", format!("{ring}<path d=\"M4 12L12 4\"/>")),
        "stop" => ("", format!("{ring}<path d=\"M6 6h4v4H6z\"/>")),
        "pause" => ("", format!("{ring}<path d=\"M6.5 5.5v5m3-5v5\"/>")),
        "warn" => ("", "<path d=\"M8 2L1.6 13.4h12.8zM8 6.4v3.2m0 1.8v.01\"/>".into()),
        "note" => ("", format!("{ring}<path d=\"M8 7.4v3.6M8 5v.01\"/>")),
        "back" => ("", "<path d=\"M5.5 3L2.5 6l3 3M2.5 6H10a3.5 3.5 0 0 1 0 7H6\"/>".into()),
        "gate" => ("", "<path d=\"M2.5 14V3M13.5 14V3M2.5 6h11M2.5 10.5h11M8 6v4.5\"/>".into()),
        "folder" => ("", "<path d=\"M1.6 12.6V3.8h4.2l1.6 1.8h7v7z\"/>".into()),
        "file" => ("", "<path d=\"M3.5 1.6h6l3 3v9.8h-9zM9.3 1.8v3h3\"/>".into()),
        "branch" => (
            "",
            "<path d=\"M4.5 5.5v5M11.5 6.5c0 3-7 1.5-7 4\"/><circle cx=\"4.5\" cy=\"3.8\" r=\"1.7\"/><circle cx=\"4.5\" cy=\"12.2\" r=\"1.7\"/><circle cx=\"11.5\" cy=\"4.8\" r=\"1.7\"/>".into(),
        ),
        "tag" => ("", "<path d=\"M2 2h5.5l6.5 6.5L8.5 14 2 7.5zM5 5h.01\"/>".into()),
        "out" => ("", "<path d=\"M6.5 3H3v10h10V9.500M9 2.500h4.500V7M13 3L7.500 8.500\"/>".into()),
        _ => ("", ring.into()),
    };
    Raw(format!("<svg class=\"i{class}\" viewBox=\"0 0 16 16\" aria-hidden=\"true\">{shape}</svg>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_lengths_read_well() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let cases = [
            (0, "just now"),
            (7_000, "7 s ago"),
            (125_000, "2 min ago"),
            (7_300_000, "2 h ago"),
            (90_000_000, "1 day ago"),
            (-90_000, "in 1 min"),
            (3_000_000_000, "2023-10-11"),
        ];
        for (back, expected) in cases {
            let at = Timestamp::from_millis(now.as_millis() - back);
            assert_eq!(relative(now, at), expected, "{back} ms before");
        }
        let lengths = [
            (340, "340 ms"),
            (2_345, "2.3 s"),
            (59_900, "59 s"),
            (65_000, "1 m 05 s"),
            (7_400_000, "2 h 03 m"),
        ];
        for (millis, expected) in lengths {
            assert_eq!(length(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn sizes_use_the_unit_that_fits() {
        for (size, expected) in
            [(999, "999 B"), (1_200, "1.2 kB"), (52_000_000, "52 MB"), (4_000_000_000_000, "4.0 TB")]
        {
            assert_eq!(bytes(&size), expected);
        }
    }

    #[test]
    fn names_are_shortened() {
        assert_eq!(digest("127.0.0.1:7700/tasks@sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(branch("refs/heads/feature/x"), "feature/x");
        assert_eq!(person("user:ana"), "ana");
        assert_eq!(actor("run:run_1").0, "<a href=\"/runs/run_1\">a run</a>");
        assert_eq!(actor("runner:<x>").0, "runner &lt;x&gt;");
        assert_eq!(
            (percent(&999_u32, &1000), percent(&9999_u64, &10_000)),
            ("99.9 %".into(), "99.9 %".into())
        );
        assert_eq!(percent(&0_u32, &0), "–");
        assert!(
            change(&1_u32, &2, &3, &4).0.contains("+25.0") && change(&3_u64, &4, &1, &2).0.contains("−25.0")
        );
        assert!(
            strip("pf-<").0.contains("The last 3 runs: 1 passed, 1 failed") && !strip("<").0.contains("<<")
        );
        assert_eq!(ticks("use `<a>` or ` b").0, "use <code>&lt;a&gt;</code> or ` b");
        assert_eq!(encode("a/b c&é"), "a%2Fb%20c%26%C3%A9");
        assert_eq!(escape("<a href='x'>&\""), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
        assert_eq!(artifact("application/vnd.cncf.helm.config.v1+json"), "Helm chart");
        assert_eq!(artifact("application/x"), "application/x");
        assert_eq!(reason("only `one`").0, "only <code>one</code>");
        let lacks = reason("p requires evidence that is missing:\n- tests (<app>)\n- sbom").0;
        assert!(lacks.contains("<li>tests (&lt;app&gt;)</li><li>sbom</li></ul>"), "{lacks}");
        assert!(!is_web_address("javascript:alert(1)"));
    }
}
