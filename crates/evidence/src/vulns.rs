//! Which advisories concern the packages of an image. What could not be checked is said; nothing is called clean because
//! nobody looked.

mod sarif;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use windlass_kernel::Timestamp;

use crate::catalog::Contents;
use crate::package::{Kind, Os, Package, normal_pypi};
use crate::version::compare;
use crate::vulndb::{Advisory, Database, Event, State};

pub use sarif::sarif;

/// How bad a vulnerability is (CVSS, "Qualitative Severity Rating Scale").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Below 4, or of no consequence.
    Low,
    /// Below 7.
    Medium,
    /// Below 9.
    High,
    /// The rest.
    Critical,
}

/// What was checked, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VulnReport {
    /// The advisories that packages were compared with.
    pub checked: Vec<State>,
    /// Packages that could not be checked, and why.
    pub not_checked: Vec<NotChecked>,
    /// What was found: the worst first.
    pub found: Vec<Finding>,
}

/// Packages that could not be checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotChecked {
    /// Their ecosystem; empty where none was recognised.
    pub ecosystem: String,
    /// How many they are.
    pub packages: u64,
    /// Why.
    pub why: String,
}

/// A vulnerability of a package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Its id: the CVE, where there is one.
    pub id: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// How bad it is, if anybody has rated it.
    pub severity: Option<Severity>,
    /// The score of its CVSS vector.
    pub score: Option<f64>,
    /// What it is about.
    pub summary: String,
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The first version without it, if there is one.
    pub fixed: Option<String>,
    /// The package's URL.
    pub purl: String,
    /// The place of the layer that brought the package.
    pub layer: usize,
    /// The file that tells of the package.
    pub path: String,
}

impl Severity {
    /// Of a CVSS score.
    pub fn of_score(score: f64) -> Self {
        match score {
            s if s < 4.0 => Self::Low,
            s if s < 7.0 => Self::Medium,
            s if s < 9.0 => Self::High,
            _ => Self::Critical,
        }
    }

    /// Of the words that advisories use.
    pub fn of_word(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().trim_end_matches('*') {
            "low" | "negligible" | "unimportant" | "minor" => Self::Low,
            "moderate" | "medium" => Self::Medium,
            "high" | "important" => Self::High,
            "critical" => Self::Critical,
            _ => return None,
        })
    }

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl VulnReport {
    /// Why it does not say everything, if it does not.
    pub fn incomplete(&self) -> Option<String> {
        let why: Vec<String> = self.not_checked.iter().map(|n| n.why.clone()).collect();
        (!why.is_empty()).then(|| why.join("; "))
    }
}

/// The ecosystem whose advisories are about a package: its name, and with the distribution's release.
fn ecosystem(package: &Package, os: Option<&Os>) -> Result<(&'static str, String), String> {
    let plain = |name: &'static str| Ok((name, name.to_owned()));
    let release = |parts: usize| {
        os.map(|os| os.version.split('.').take(parts).collect::<Vec<_>>().join(".")).unwrap_or_default()
    };
    match package.kind {
        Kind::Pypi => plain("PyPI"),
        Kind::Npm => plain("npm"),
        Kind::Cargo => plain("crates.io"),
        Kind::Golang => plain("Go"),
        Kind::Maven => plain("Maven"),
        Kind::Gem => plain("RubyGems"),
        Kind::Conda => Err("there are no advisories for conda's packages".to_owned()),
        Kind::Deb | Kind::Apk | Kind::Rpm => {
            let id = os.map_or("", |os| os.id.as_str());
            let (name, release) = match id {
                "debian" => ("Debian", release(1)),
                "ubuntu" => ("Ubuntu", release(2)),
                "alpine" => ("Alpine", format!("v{}", release(2))),
                "rocky" => ("Rocky Linux", release(1)),
                "almalinux" => ("AlmaLinux", release(1)),
                "" => return Err("the image does not say which distribution it is".to_owned()),
                other => return Err(format!("no advisories are known for the distribution {other}")),
            };
            if matches!(release.as_str(), "" | "v") {
                return Err(format!("the image does not say which release of {name} it is"));
            }
            Ok((name, format!("{name}:{release}")))
        }
    }
}

/// Compares an image's packages with the advisories.
pub fn check(contents: &Contents, database: &Database, now: Timestamp) -> VulnReport {
    let os = contents.os.as_ref();
    let mut report = VulnReport::default();
    let mut groups: BTreeMap<(&'static str, String), Vec<&Package>> = BTreeMap::new();
    let mut unknown: BTreeMap<String, u64> = BTreeMap::new();
    for package in contents.packages.iter().filter(|p| !p.distribution) {
        match ecosystem(package, os) {
            Ok(of) => groups.entry(of).or_default().push(package),
            Err(why) => *unknown.entry(why).or_default() += 1,
        }
    }
    let mut not = |ecosystem: &str, packages: u64, why: String| {
        report.not_checked.push(NotChecked { ecosystem: ecosystem.to_owned(), packages, why });
    };
    for (why, packages) in unknown {
        not("", packages, why);
    }
    if contents.packages.is_empty() {
        not("", 0, "no package was recognised in the image".to_owned());
    }
    for note in &contents.notes {
        not("", 0, note.clone());
    }
    for ((base, release), packages) in groups {
        let table = match database.table(base, now) {
            Ok(table) => table,
            Err(why) => {
                not(base, packages.len() as u64, why);
                continue;
            }
        };
        let mut odd = 0;
        for package in packages {
            let mut matches = Matches::new(package, os);
            for (name, version) in compared(package) {
                let advisories = match table.advisories(&name) {
                    Ok(advisories) => advisories,
                    Err(e) => {
                        not(base, 1, format!("the advisories for {base} cannot be read: {e}"));
                        continue;
                    }
                };
                for advisory in advisories.iter().filter(|a| a.is_of(base, &release)) {
                    match affects(advisory, package.kind, &version) {
                        Some(fixed) => matches.add(advisory, fixed),
                        None if unreadable(advisory, package.kind, &version) => odd += 1,
                        None => {}
                    }
                }
            }
            report.found.extend(matches.finish());
        }
        if odd > 0 {
            not(base, odd, format!("versions of {odd} packages of {base} cannot be compared"));
        }
        report.checked.push(table.state.clone());
    }
    report.found.sort_by(|a, b| {
        b.severity
            .cmp(&a.severity)
            .then_with(|| (&a.package, &a.id, &a.path).cmp(&(&b.package, &b.id, &b.path)))
    });
    report
}

/// The names and versions that advisories are about: the source package's, for distributions. Advisories for RPM's
/// distributions name one or the other: both are asked for.
fn compared(package: &Package) -> Vec<(String, String)> {
    let own = || (package.name.clone(), package.version.clone());
    match (package.kind, &package.source) {
        (Kind::Rpm, Some((name, _))) if *name == package.name => vec![own()],
        (Kind::Rpm, Some(source)) => vec![own(), source.clone()],
        (Kind::Deb | Kind::Apk, Some((name, version))) => {
            let version = if version.is_empty() { &package.version } else { version };
            vec![(name.clone(), version.clone())]
        }
        (Kind::Pypi, _) => vec![(normal_pypi(&package.name), package.version.clone())],
        _ => vec![own()],
    }
}

impl Advisory {
    /// Whether it is of this release of the ecosystem, or of all.
    fn is_of(&self, base: &str, release: &str) -> bool {
        let suffixed = || self.ecosystem.strip_prefix(release).is_some_and(|rest| rest.starts_with(':'));
        self.ecosystem == base
            || self.ecosystem == release
            || (suffixed() && !self.ecosystem.contains(":Pro"))
    }
}

/// If the advisory is about this version: the first version without it.
#[expect(clippy::option_option, reason = "whether it is affected, and if so whether there is a fix")]
fn affects(advisory: &Advisory, kind: Kind, version: &str) -> Option<Option<String>> {
    let mut fixed: Option<String> = None;
    let mut affected = advisory.versions.iter().any(|v| v == version);
    for range in &advisory.ranges {
        let mut events: Vec<&Event> = range.iter().collect();
        events.sort_by(|a, b| order(kind, a.version(), b.version()).unwrap_or(Ordering::Equal));
        let mut within = false;
        for event in events {
            let Some(place) = order(kind, version, event.version()) else { continue };
            match event {
                Event::Introduced(_) if place.is_ge() => within = true,
                Event::Fixed(_) if place.is_ge() => within = false,
                Event::LastAffected(_) if place.is_gt() => within = false,
                Event::Fixed(first) if within && place.is_lt() => {
                    fixed.get_or_insert_with(|| first.clone());
                }
                _ => {}
            }
        }
        affected |= within;
    }
    affected.then_some(fixed)
}

/// Whether nothing can be said, because the version is of no known form.
fn unreadable(advisory: &Advisory, kind: Kind, version: &str) -> bool {
    !advisory.ranges.is_empty() && compare(kind, version, version).is_none()
}

/// As [`compare`], with `0` before everything.
fn order(kind: Kind, one: &str, other: &str) -> Option<Ordering> {
    match (one, other) {
        ("0", "0") => Some(Ordering::Equal),
        ("0", _) => Some(Ordering::Less),
        (_, "0") => compare(kind, one, one).map(|_| Ordering::Greater),
        _ => compare(kind, one, other),
    }
}

impl Event {
    fn version(&self) -> &str {
        match self {
            Self::Introduced(v) | Self::Fixed(v) | Self::LastAffected(v) => v,
        }
    }
}

/// The advisories about one package, those that are the same vulnerability put together.
struct Matches<'a> {
    package: &'a Package,
    purl: String,
    found: Vec<(BTreeSet<String>, Finding)>,
    /// Advisories that sum up several others.
    sums: Vec<(Vec<String>, Finding)>,
}

impl<'a> Matches<'a> {
    fn new(package: &'a Package, os: Option<&Os>) -> Self {
        Self { package, purl: package.purl(os), found: Vec::new(), sums: Vec::new() }
    }

    fn add(&mut self, advisory: &Advisory, fixed: Option<String>) {
        let finding = Finding {
            id: advisory.id.clone(),
            aliases: Vec::new(),
            severity: advisory.severity,
            score: advisory.score,
            summary: advisory.summary.clone(),
            package: self.package.name.clone(),
            version: self.package.version.clone(),
            fixed,
            purl: self.purl.clone(),
            layer: self.package.layer,
            path: self.package.path.clone(),
        };
        if advisory.upstream.len() > 1 {
            self.sums.push((advisory.upstream.clone(), finding));
            return;
        }
        let names =
            advisory.aliases.iter().chain(&advisory.upstream).chain([&advisory.id]).cloned().collect();
        self.join(names, finding);
    }

    fn join(&mut self, mut names: BTreeSet<String>, mut finding: Finding) {
        let mut index = 0;
        while index < self.found.len() {
            if self.found[index].0.is_disjoint(&names) {
                index += 1;
                continue;
            }
            let (others, other) = self.found.swap_remove(index);
            names.extend(others);
            finding.severity = finding.severity.max(other.severity);
            finding.score = [finding.score, other.score].into_iter().flatten().reduce(f64::max);
            finding.fixed = finding.fixed.or(other.fixed);
            if finding.summary.is_empty() {
                finding.summary = other.summary;
            }
        }
        self.found.push((names, finding));
    }

    fn finish(mut self) -> Vec<Finding> {
        // One that sums up others says nothing new where all of them are here.
        for (parts, finding) in std::mem::take(&mut self.sums) {
            let known = |part: &String| self.found.iter().any(|(names, _)| names.contains(part));
            if !parts.iter().all(known) {
                let names = std::iter::once(finding.id.clone()).collect();
                self.found.push((names, Finding { aliases: parts, ..finding }));
            }
        }
        let named = |(names, mut finding): (BTreeSet<String>, Finding)| {
            let rank = |name: &&String| match name.as_str() {
                n if n.starts_with("CVE-") => 0,
                n if n.starts_with("GHSA-") => 1,
                _ => 2,
            };
            if let Some(best) = names.iter().min_by_key(|name| (rank(name), name.len())) {
                finding.id.clone_from(best);
            }
            finding.aliases.extend(names.into_iter().filter(|name| *name != finding.id));
            finding
        };
        self.found.into_iter().map(named).collect()
    }
}

#[cfg(test)]
mod tests;
