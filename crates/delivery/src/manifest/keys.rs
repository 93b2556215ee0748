//! The manifest's keys: one table that the reader (unknown keys), the JSON Schema and a test of the
//! reference page share.

/// A key of a mapping.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
    pub(super) shape: Shape,
}

/// What stands behind a key.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// An integer within bounds.
    Integer(u32, u32),
    /// A number above 0, such as 0.5.
    Cpu,
    /// `30s`, `500ms`, `5m`, `1h`.
    Duration,
    /// `256MiB`.
    Size,
    /// Any text.
    Text,
    /// A URL path.
    UrlPath,
    /// An absolute path of a file system.
    FilePath,
    /// A DNS label.
    Label,
    /// One of these.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A list of texts.
    Texts,
    /// A list of texts, or one text.
    TextOrTexts,
    /// Variables: names and text values.
    Variables,
    /// A URL path, or `true` or `false`.
    PathOrFlag,
    /// `false`, or a mapping.
    FalseOr(&'static [Key]),
    /// A URL path, or a mapping.
    PathOr(&'static [Key]),
    /// A mapping.
    Map(&'static [Key]),
    /// A list of mappings, all of whose keys are required.
    ListOf(&'static [Key]),
    /// A list of these words, and of mappings of one of these keys.
    WordsOr(&'static [&'static str], &'static [Key]),
    /// Names, each with a mapping; those keys are required.
    Named(&'static [Key], &'static [&'static str]),
}

const fn key(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key { name, doc, shape }
}

pub(super) const STRATEGIES: &[&str] = &["rolling", "blue-green"];

pub(super) const TOP: &[Key] = &[
    key("services", Shape::Named(SERVICE, &["port"]), "What is kept running, by name. At least one."),
    key(
        "environments",
        Shape::Named(ENVIRONMENT, &[]),
        "Where it is kept running, and the rules there, by name.",
    ),
];

pub(super) const SERVICE: &[Key] = &[
    key(
        "port",
        Shape::Integer(1, 65535),
        "What the program listens on. Windlass picks the real port and gives it as PORT. Required.",
    ),
    key(
        "health",
        Shape::PathOr(HEALTH),
        "How Windlass finds out whether an instance is well. Without it: the port accepts connections.",
    ),
    key("replicas", Shape::Integer(1, 100), "Instances wanted. Default 1."),
    key("strategy", Shape::Choice(STRATEGIES), "How a new version takes over. Default rolling."),
    key(
        "drain",
        Shape::Duration,
        "How long requests in flight may take before an instance is stopped. Default 10s.",
    ),
    key("limits", Shape::Map(LIMITS), "What an instance may use. Default: no limits."),
    key("volumes", Shape::ListOf(VOLUME), "Folders that outlive instances. Default none."),
    key("env", Shape::Variables, "Environment variables. Values are texts, read as they are written."),
    key(
        "secrets",
        Shape::Texts,
        "Names of secrets given as environment variables: the environment's, or else the project's.",
    ),
    key("route", Shape::FalseOr(ROUTE), "Where it is reached through the gateway; false: not at all."),
    key(
        "metrics",
        Shape::PathOrFlag,
        "Where its metrics are. Default /metrics, if it answers there; false: it has none.",
    ),
    key("command", Shape::Texts, "Program and arguments, instead of the image's own."),
];

pub(super) const HEALTH: &[Key] = &[
    key(
        "path",
        Shape::UrlPath,
        "What is asked with GET; 200 to 399 is well. Default: only a connection is made.",
    ),
    key("interval", Shape::Duration, "Time between two checks. Default 2s."),
    key("timeout", Shape::Duration, "How long one check may take. Default 1s."),
    key("healthy_after", Shape::Integer(1, 100), "Good answers in a row that make it healthy. Default 1."),
    key("unhealthy_after", Shape::Integer(1, 100), "Bad answers in a row that make it unhealthy. Default 3."),
    key("deadline", Shape::Duration, "A new instance that is not healthy by then has failed. Default 30s."),
];

pub(super) const LIMITS: &[Key] = &[
    key("cpu", Shape::Cpu, "Cores, such as 0.5."),
    key("memory", Shape::Size, "Memory, such as 256MiB."),
    key("processes", Shape::Integer(1, 100_000), "Processes and threads."),
];

pub(super) const VOLUME: &[Key] = &[
    key("name", Shape::Label, "Its name: one folder per environment and name."),
    key("path", Shape::FilePath, "Where instances see it."),
];

pub(super) const ROUTE: &[Key] = &[
    key(
        "host",
        Shape::Text,
        "The host; may hold {environment}, {service}, {project}. Default {service}.{environment}.localhost.",
    ),
    key("path", Shape::UrlPath, "The path's beginning. Default /."),
];

pub(super) const ENVIRONMENT: &[Key] = &[
    key("after", Shape::Label, "The environment in which exactly the same images must have succeeded first."),
    key(
        "reviewers",
        Shape::TextOrTexts,
        "Who may approve: names, or `anyone`. Without it no approval is asked for.",
    ),
    key("approvals", Shape::Integer(1, 20), "How many of them must approve. Default 1."),
    key("self_approval", Shape::Flag, "Whether the pusher's own approval counts. Default false."),
    key("branches", Shape::TextOrTexts, "The branches that may deploy; * and ** as on GitHub. Default all."),
    key(
        "wait",
        Shape::Duration,
        "How long a job waits before it may go on, up to 30 days (720h). Default 0s.",
    ),
    key(
        "require",
        Shape::WordsOr(REQUIRED_WORDS, REQUIRE),
        "What evidence each image must have. Default none.",
    ),
    key("services", Shape::Named(OVERRIDE, &[]), "What differs from the services above, by their name."),
];

/// Evidence that needs no particulars.
pub(super) const REQUIRED_WORDS: &[&str] = &["tests", "sbom", "secrets", "provenance", "load"];

pub(super) const REQUIRE: &[Key] = &[
    key("provenance", Shape::Map(PROVENANCE), "A run of this platform made it."),
    key("vulns", Shape::Map(VULNS), "It has no worse vulnerabilities than these."),
    key("load", Shape::Map(LOAD), "Load tests of the run that made it went well."),
];

pub(super) const LOAD: &[Key] = &[
    key(
        "errors",
        Shape::Integer(0, 100),
        "The most requests of a hundred that may have failed. Default any.",
    ),
    key("p95", Shape::Duration, "Within which time 95 of a hundred were answered. Default any."),
    key("p99", Shape::Duration, "Within which time 99 of a hundred were answered. Default any."),
];

pub(super) const PROVENANCE: &[Key] = &[
    key("builder", Shape::Choice(&["this"]), "Who built it: this platform. Default this."),
    key("branch", Shape::TextOrTexts, "The branches that it may come from; * and **. Default any."),
];

pub(super) const VULNS: &[Key] = &[
    key(
        "max",
        Shape::Choice(&crate::requirements::Level::WORDS),
        "The worst severity that is let through. Required.",
    ),
    key("except", Shape::ListOf(EXCEPTION), "Vulnerabilities that do not count, for a time. Default none."),
];

pub(super) const EXCEPTION: &[Key] = &[
    key("id", Shape::Text, "The vulnerability, by any of its names."),
    key("reason", Shape::Text, "Why it does no harm here."),
    key("expires", Shape::Text, "The last day on which it does not count, such as 2027-01-31."),
];

pub(super) const OVERRIDE: &[Key] = &[
    key("replicas", Shape::Integer(1, 100), "Instead of the service's."),
    key("strategy", Shape::Choice(STRATEGIES), "Instead of the service's."),
    key("env", Shape::Variables, "Added to the service's; a variable of the same name is replaced."),
    key("limits", Shape::Map(LIMITS), "Instead of the service's, limit by limit."),
];

/// What people write who come from other tools: the key, and what to say.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "image",
        "the image is named by the step that deploys (`uses: windlass/deploy@v1`), so that it is a digest",
    ),
    ("build", "images are built in a workflow (`uses: windlass/build@v1`)"),
    ("ports", "write `port: 8080`"),
    ("healthcheck", "write `health: /path`"),
    ("environment", "write `env`"),
    ("deploy", "write `replicas` and `limits` beside `port`"),
    ("resources", "write `limits`"),
    ("instances", "write `replicas`"),
    ("scale", "write `replicas`"),
    ("host", "write `route: { host: … }`"),
    ("needs", "write `after`"),
    ("version", "a manifest has no version"),
];

/// What to say about a key that is not known: what it may have meant.
pub(super) fn hint(unknown: &str, known: &[Key]) -> String {
    if let Some((_, say)) = ELSEWHERE.iter().find(|(name, _)| *name == unknown) {
        return format!("; {say}");
    }
    if let Some(near) = nearest(unknown, known.iter().map(|k| k.name)) {
        return format!("; did you mean `{near}`?");
    }
    let names = known.iter().map(|k| k.name).collect::<Vec<_>>().join(", ");
    format!("; known here: {names}")
}

/// The nearest of some words, if it is near enough to be meant.
pub(super) fn nearest<'a>(word: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).clamp(1, 3);
    among.map(|w| (distance(word, w), w)).filter(|(d, _)| *d <= limit).min().map(|(_, w)| w)
}

/// Edits (insert, remove, replace, swap neighbours) that turn one word into the other. Words longer than any
/// key are not measured: they are far from each.
fn distance(a: &str, b: &str) -> usize {
    let fold =
        |s: &str| s.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect::<Vec<_>>();
    let (a, b) = (fold(a), fold(b));
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}
