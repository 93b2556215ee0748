//! The rules by which `docker/metadata-action` makes tags: text and facts in, tags out.

use regex::Regex;

use super::super::toolchain::Version;

/// What the run is about.
#[derive(Clone, Debug, Default)]
pub(super) struct About {
    pub(super) event: String,
    pub(super) reference: String,
    pub(super) sha: String,
    pub(super) base_ref: String,
    pub(super) default_branch: String,
    /// As RFC 3339.
    pub(super) now: String,
    pub(super) committed: String,
}

/// What all tags have in common.
#[derive(Clone, Debug, Default)]
pub(super) struct Flavor {
    /// `auto` if it is not said.
    latest: Option<bool>,
    prefix: String,
    suffix: String,
    prefix_latest: bool,
    suffix_latest: bool,
}

/// The tags of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tags {
    /// The first of them.
    pub(super) version: Option<String>,
    others: Vec<String>,
    latest: bool,
}

/// A line of the input `tags`.
#[derive(Clone, Debug)]
struct Rule {
    kind: String,
    attributes: Vec<(String, String)>,
    priority: i64,
}

/// What holds when the input `tags` is empty.
const DEFAULTS: [&str; 4] =
    ["type=schedule", "type=ref,event=branch", "type=ref,event=tag", "type=ref,event=pr"];
/// The kinds, with the priority of each.
const KINDS: [(&str, i64); 8] = [
    ("schedule", 1000),
    ("semver", 900),
    ("pep440", 900),
    ("match", 800),
    ("edge", 700),
    ("ref", 600),
    ("raw", 200),
    ("sha", 100),
];

impl Flavor {
    pub(super) fn parse(lines: &[String]) -> Result<Self, String> {
        let mut flavor = Self::default();
        for line in lines {
            let mut last = "";
            for (key, value) in fields(line) {
                match key {
                    "latest" => {
                        flavor.latest = match value {
                            "auto" => None,
                            other => Some(flag("latest", other)?),
                        };
                    }
                    "prefix" => value.clone_into(&mut flavor.prefix),
                    "suffix" => value.clone_into(&mut flavor.suffix),
                    "onlatest" if last == "prefix" => flavor.prefix_latest = flag(key, value)?,
                    "onlatest" if last == "suffix" => flavor.suffix_latest = flag(key, value)?,
                    other => return Err(format!("Unknown flavor entry: {other}")),
                }
                last = if key == "onlatest" { last } else { key };
            }
        }
        Ok(flavor)
    }
}

fn flag(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(format!("Invalid value for {name} attribute: {other}")),
    }
}

fn fields(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.split(',').filter_map(|part| part.split_once('=')).map(|(key, value)| (key.trim(), value.trim()))
}

impl Rule {
    fn parse(line: &str) -> Result<Self, String> {
        let mut attributes: Vec<(String, String)> =
            fields(line).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let kind = match attributes.iter().position(|(key, _)| key == "type") {
            Some(at) => attributes.remove(at).1,
            None => "raw".to_owned(),
        };
        if attributes.is_empty() && kind == "raw" && !line.contains('=') {
            attributes.push(("value".to_owned(), line.trim().to_owned()));
        }
        let known = KINDS.iter().find(|(name, _)| *name == kind);
        let (_, priority) = known.ok_or_else(|| format!("Unknown tag type attribute: {kind}"))?;
        let mut rule = Self { kind, attributes, priority: *priority };
        if let Some(own) = rule.get("priority") {
            rule.priority =
                own.parse().map_err(|_| format!("Invalid value for priority attribute: {own}"))?;
        }
        match rule.kind.as_str() {
            "semver" | "pep440" | "match" if rule.get("pattern").is_none() => {
                Err(format!("Missing pattern attribute for {line}"))
            }
            "ref" if !matches!(rule.get("event"), Some("branch" | "tag" | "pr")) => {
                Err(format!("Missing or invalid event attribute for {line}"))
            }
            "raw" if rule.get("value").is_none() => Err(format!("Missing value attribute for {line}")),
            _ => Ok(rule),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The tag, and whether it asks for `latest`; none if the rule has nothing to say of this run.
    fn value(&self, about: &About, notes: &mut Vec<String>) -> Result<Option<(String, bool)>, String> {
        let reference = about.reference.as_str();
        let tag = reference.strip_prefix("refs/tags/");
        let found = match self.kind.as_str() {
            "schedule" if about.event == "schedule" => {
                Some((about.expand(self.get("pattern").unwrap_or("nightly")), false))
            }
            "semver" | "pep440" => {
                let given = self.get("value").map(|value| about.expand(value));
                match given.or_else(|| tag.map(str::to_owned)) {
                    Some(raw) => self.versioned(&raw, notes),
                    None => None,
                }
            }
            "match" => {
                let given = self.get("value").map(|value| about.expand(value));
                match given.or_else(|| tag.map(str::to_owned)) {
                    Some(raw) => self.matched(&raw, notes)?,
                    None => None,
                }
            }
            "edge" => {
                let branch = self.get("branch").unwrap_or(&about.default_branch);
                (reference.strip_prefix("refs/heads/") == Some(branch)).then(|| ("edge".to_owned(), false))
            }
            "ref" => match self.get("event") {
                Some("branch") => reference.strip_prefix("refs/heads/").map(|name| (name.to_owned(), false)),
                Some("tag") => tag.map(|name| (name.to_owned(), true)),
                _ => reference
                    .strip_prefix("refs/pull/")
                    .map(|rest| (rest.split('/').next().unwrap_or_default().to_owned(), false)),
            },
            "raw" => self.get("value").map(|value| (about.expand(value), false)),
            "sha" => {
                let length = if self.get("format") == Some("long") { about.sha.len() } else { 7 };
                Some((about.sha.chars().take(length).collect(), false))
            }
            _ => None,
        };
        Ok(found)
    }

    fn versioned(&self, raw: &str, notes: &mut Vec<String>) -> Option<(String, bool)> {
        let plain = raw.trim_start_matches(['v', 'V']);
        let core = plain.split(['-', '+']).next().unwrap_or(plain);
        let numbers: Option<Vec<u64>> = core.split('.').map(|part| part.parse().ok()).collect();
        let is_whole = if self.kind == "semver" {
            core.split('.').count() == 3
        } else {
            Version::in_text(plain).is_some()
        };
        let Some(numbers) = numbers.filter(|_| is_whole) else {
            notes.push(format!("{raw} is not a valid {}. More info: https://semver.org/", self.kind));
            return None;
        };
        let without_build = plain.split('+').next().unwrap_or(plain);
        let pattern = self.get("pattern").unwrap_or_default();
        let prerelease = without_build.contains('-');
        let pattern = if prerelease && !pattern.contains("{{raw}}") { "{{version}}" } else { pattern };
        let number = |at: usize| numbers.get(at).copied().unwrap_or(0).to_string();
        let value = pattern
            .replace("{{raw}}", raw)
            .replace("{{version}}", without_build)
            .replace("{{major}}", &number(0))
            .replace("{{minor}}", &number(1))
            .replace("{{patch}}", &number(2));
        Some((value, !prerelease))
    }

    fn matched(&self, raw: &str, notes: &mut Vec<String>) -> Result<Option<(String, bool)>, String> {
        let pattern = self.get("pattern").unwrap_or_default();
        let pattern = pattern.strip_prefix('/').and_then(|p| p.strip_suffix('/')).unwrap_or(pattern);
        let regex =
            Regex::new(pattern).map_err(|e| format!("the pattern `{pattern}` cannot be used: {e}"))?;
        let group = self.get("group").unwrap_or("0");
        let group: usize = group.parse().map_err(|_| format!("Invalid match group for {pattern}"))?;
        let found =
            regex.captures(raw).and_then(|captures| captures.get(group).map(|m| m.as_str().to_owned()));
        if found.is_none() {
            notes.push(format!("{pattern} does not match {raw}."));
        }
        Ok(found.map(|value| (value, true)))
    }

    /// Prefix and suffix: the rule's own, else those of the flavor; some kinds have one of their own.
    fn dressed(&self, value: &str, flavor: &Flavor, about: &About) -> String {
        let own = match (self.kind.as_str(), self.get("event")) {
            ("sha", _) => Some("sha-"),
            ("ref", Some("pr")) => Some("pr-"),
            _ => None,
        };
        let prefix = self.get("prefix").or(own).unwrap_or(&flavor.prefix);
        let suffix = self.get("suffix").unwrap_or(&flavor.suffix);
        format!("{}{value}{}", about.expand(prefix), about.expand(suffix))
    }
}

impl Tags {
    /// The tags of a run, and what is worth knowing.
    pub(super) fn of(
        lines: &[String],
        flavor: &Flavor,
        about: &About,
    ) -> Result<(Self, Vec<String>), String> {
        let lines: Vec<&str> =
            if lines.is_empty() { DEFAULTS.to_vec() } else { lines.iter().map(String::as_str).collect() };
        let mut rules = lines.into_iter().map(Rule::parse).collect::<Result<Vec<_>, _>>()?;
        rules.sort_by_key(|rule| -rule.priority);
        let (mut tags, mut notes, mut latest) = (Self::default(), Vec::new(), None);
        for rule in rules {
            if !flag("enable", &about.expand(rule.get("enable").unwrap_or("true")))? {
                continue;
            }
            let Some((value, wants_latest)) = rule.value(about, &mut notes)? else { continue };
            let value = plain(&rule.dressed(&value, flavor, about));
            if value.is_empty() {
                continue;
            }
            match &tags.version {
                None => tags.version = Some(value),
                Some(first) if *first != value && !tags.others.contains(&value) => tags.others.push(value),
                Some(_) => {}
            }
            latest.get_or_insert(flavor.latest.unwrap_or(wants_latest));
        }
        tags.latest = latest.unwrap_or(false);
        Ok((tags, notes))
    }

    /// `IMAGE:TAG` for each image, or the tags alone if there is none.
    pub(super) fn names(&self, images: &[String], flavor: &Flavor) -> Vec<String> {
        let Some(version) = &self.version else { return Vec::new() };
        let mut all: Vec<String> = std::iter::once(version).chain(&self.others).cloned().collect();
        if self.latest {
            let prefix = if flavor.prefix_latest { flavor.prefix.as_str() } else { "" };
            let suffix = if flavor.suffix_latest { flavor.suffix.as_str() } else { "" };
            all.push(format!("{prefix}latest{suffix}"));
        }
        if images.is_empty() {
            return all;
        }
        images.iter().flat_map(|image| all.iter().map(move |tag| format!("{image}:{tag}"))).collect()
    }
}

/// What may stand in a tag.
fn plain(value: &str) -> String {
    let mut tag = String::new();
    for c in value.chars() {
        match c {
            c if c.is_ascii_alphanumeric() || "._-".contains(c) => tag.push(c),
            _ if tag.ends_with('-') => {}
            _ => tag.push('-'),
        }
    }
    tag
}

impl About {
    /// A text with `{{branch}}` and its like written out.
    pub(super) fn expand(&self, text: &str) -> String {
        if !text.contains("{{") {
            return text.to_owned();
        }
        let branch = self.reference.strip_prefix("refs/heads/").unwrap_or_default();
        let tag = self.reference.strip_prefix("refs/tags/").unwrap_or_default();
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, inner)) = rest.split_once("{{") {
            expanded.push_str(before);
            let Some((inner, after)) = inner.split_once("}}") else {
                expanded.push_str("{{");
                rest = inner;
                continue;
            };
            let inner = inner.trim();
            let (name, format) = inner.split_once(' ').unwrap_or((inner, ""));
            let format = format.split(['\'', '"']).nth(1).unwrap_or("YYYY-MM-DDTHH:mm:ss");
            match name {
                "branch" => expanded.push_str(branch),
                "tag" => expanded.push_str(tag),
                "sha" => expanded.extend(self.sha.chars().take(7)),
                "base_ref" => expanded.push_str(&self.base_ref),
                "is_default_branch" => {
                    let is_default = !branch.is_empty() && branch == self.default_branch;
                    expanded.push_str(if is_default { "true" } else { "false" });
                }
                "is_not_default_branch" => {
                    expanded.push_str(if branch == self.default_branch { "false" } else { "true" });
                }
                "date" => expanded.push_str(&date(&self.now, format)),
                "commit_date" => expanded.push_str(&date(&self.committed, format)),
                other => expanded.push_str(&format!("{{{{{other}}}}}")),
            }
            rest = after;
        }
        expanded + rest
    }
}

/// A time of RFC 3339 in the letters of a format.
fn date(at: &str, format: &str) -> String {
    let part = |from: usize, to: usize| at.get(from..to).unwrap_or_default().to_owned();
    let letters = [
        ("YYYY", part(0, 4)),
        ("YY", part(2, 4)),
        ("MM", part(5, 7)),
        ("DD", part(8, 10)),
        ("HH", part(11, 13)),
        ("mm", part(14, 16)),
        ("ss", part(17, 19)),
    ];
    let mut written = String::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        match letters.iter().find(|(name, _)| rest.starts_with(name)) {
            Some((name, value)) => {
                written.push_str(value);
                rest = &rest[name.len()..];
            }
            None => {
                written.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    written
}

#[cfg(test)]
mod tests;
