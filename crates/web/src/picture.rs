//! What is known of an image, arranged for its page: the lines that made it, packages with their vulnerabilities beside,
//! how bad those are.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use windlass_api::{CareView, ImageDetail, LayerView, PackageList, PackageView, VulnerabilityView};

use crate::view::Look;

/// How many packages a page lists.
pub(crate) const PACKAGES: u64 = 25;

/// A line of how an image came about.
#[derive(Debug)]
pub(crate) struct Line {
    /// The layer's number from the bottom, the first being 1; none for a line that made none.
    pub(crate) number: Option<usize>,
    /// The layer.
    pub(crate) layer: Option<LayerView>,
    /// What was done.
    pub(crate) text: String,
}

/// Which packages somebody wants to see.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    /// Name, version, licence or path hold this.
    pub(crate) q: String,
    /// Of this kind only.
    pub(crate) kind: String,
    /// Only those with vulnerabilities.
    pub(crate) vulnerable: String,
    /// The place from which on they are shown.
    pub(crate) from: u64,
}

/// Packages of an image.
#[derive(Debug, Default)]
pub(crate) struct Packages {
    pub(crate) rows: Vec<PackageRow>,
    /// The kinds that there are, with how many of each.
    pub(crate) kinds: Vec<(String, u64)>,
    /// How many there are.
    pub(crate) all: u64,
    /// How many of them fit.
    pub(crate) found: u64,
    /// What was wanted.
    pub(crate) wanted: Wanted,
}

/// A package with its vulnerabilities.
#[derive(Debug)]
pub(crate) struct PackageRow {
    pub(crate) package: PackageView,
    pub(crate) vulnerabilities: Vec<VulnerabilityView>,
}

impl Wanted {
    /// Whether anything is left out.
    pub(crate) fn any(&self) -> bool {
        !self.q.trim().is_empty() || !self.kind.is_empty() || !self.vulnerable.is_empty()
    }

    fn fits(&self, row: &PackageRow) -> bool {
        let wanted = self.q.trim().to_lowercase();
        let package = &row.package;
        let holds = |text: &str| text.to_lowercase().contains(&wanted);
        let texts = [&package.name, &package.version, &package.path, &package.purl];
        (wanted.is_empty()
            || texts.into_iter().any(|text| holds(text))
            || package.licences.iter().any(|l| holds(l))
            || row.vulnerabilities.iter().any(|v| holds(&v.id)))
            && (self.kind.is_empty() || self.kind == package.kind)
            && (self.vulnerable.is_empty() || !row.vulnerabilities.is_empty())
    }
}

impl Packages {
    /// The packages that are wanted, with their vulnerabilities.
    pub(crate) fn of(list: PackageList, vulnerabilities: &[VulnerabilityView], wanted: Wanted) -> Self {
        let mut by_purl: HashMap<&str, Vec<&VulnerabilityView>> = HashMap::new();
        for vulnerability in vulnerabilities {
            by_purl.entry(&vulnerability.purl).or_default().push(vulnerability);
        }
        let all = list.packages.len() as u64;
        let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
        let mut rows: Vec<PackageRow> = Vec::new();
        for package in list.packages {
            *kinds.entry(package.kind.clone()).or_default() += 1;
            let found = by_purl.get(package.purl.as_str());
            let vulnerabilities = found.into_iter().flatten().map(|v| (*v).clone()).collect();
            rows.push(PackageRow { package, vulnerabilities });
        }
        rows.retain(|row| wanted.fits(row));
        // What there is something to do about comes first; the rest stays in its order.
        rows.sort_by_key(|row| row.vulnerabilities.is_empty());
        let found = rows.len() as u64;
        let from = usize::try_from(wanted.from).unwrap_or(usize::MAX);
        let rows = rows.into_iter().skip(from).take(PACKAGES as usize).collect();
        Self { rows, kinds: kinds.into_iter().collect(), all, found, wanted }
    }
}

/// How an image came about, oldest line first, with the layers that the lines made.
pub(crate) fn lines(image: &ImageDetail) -> Vec<Line> {
    let made = image.history.iter().filter(|line| !line.empty).count();
    let numbered = |(at, layer): (usize, &LayerView), text: String| Line {
        number: Some(at + 1),
        layer: Some(layer.clone()),
        text,
    };
    // A history that does not fit the layers says nothing of which line made which.
    if made != image.layers.len() {
        let text = |layer: &LayerView| {
            let title = layer.title.clone().filter(|title| !title.is_empty());
            let made = Some(instruction(&layer.created_by)).filter(|made| !made.is_empty());
            title.or(made).unwrap_or_else(|| crate::view::artifact(&layer.media_type))
        };
        return image.layers.iter().enumerate().map(|(at, l)| numbered((at, l), text(l))).collect();
    }
    let mut layers = image.layers.iter().enumerate();
    let line = |history: &windlass_api::HistoryView| {
        let text = instruction(&history.created_by);
        let layer = if history.empty { None } else { layers.next() };
        match layer {
            Some(layer) => numbered(layer, text),
            None => Line { number: None, layer: None, text },
        }
    };
    image.history.iter().map(line).collect()
}

/// An instruction as a Dockerfile has it, without what builders put around it.
pub(crate) fn instruction(created_by: &str) -> String {
    let text = created_by.trim();
    let text = text.strip_suffix("# buildkit").unwrap_or(text).trim_end();
    if let Some(said) = text.strip_prefix("/bin/sh -c #(nop)") {
        return said.trim_start().to_owned();
    }
    if let Some(run) = text.strip_prefix("RUN /bin/sh -c ") {
        return format!("RUN {run}");
    }
    match text.strip_prefix("/bin/sh -c ") {
        Some(run) => format!("RUN {run}"),
        None => text.to_owned(),
    }
}

/// By how many bytes something is larger or smaller, in words.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand every value over by reference")]
pub(crate) fn growth(bytes: &i64) -> String {
    let size = crate::view::bytes(&bytes.unsigned_abs());
    if *bytes < 0 { format!("{size} less") } else { format!("{size} more") }
}

/// Licences, as many as a row holds, and how many more there are.
pub(crate) fn licences(all: &[String]) -> (String, usize) {
    const SHOWN: usize = 3;
    (all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", "), all.len().saturating_sub(SHOWN))
}

/// The project in whose pages a repository's images are.
pub(crate) fn project_of(repository: &str) -> &str {
    repository.split('/').next().unwrap_or(repository)
}

/// How a collection or a scrub looks.
pub(crate) fn care(care: &CareView) -> Look {
    let (tone, icon, text) = match care.kind.as_str() {
        "registry.scrubbed" if care.rotten.is_empty() => ("ok", "ok", "Scrub"),
        "registry.scrubbed" => ("bad", "bad", "Scrub"),
        "registry.disk_pressure" => ("warn", "warn", "Collection, as the disk filled"),
        _ => ("ok", "ok", "Collection"),
    };
    Look { tone, icon, text }
}

/// How bad a vulnerability is.
pub(crate) fn severity(word: Option<&str>) -> Look {
    let (tone, icon, text) = match word {
        Some("critical") => ("bad", "bad", "Critical"),
        Some("high") => ("bad", "warn", "High"),
        Some("medium") => ("warn", "warn", "Medium"),
        Some("low") => ("off", "note", "Low"),
        Some("none") => ("off", "note", "None"),
        _ => ("wait", "note", "Unrated"),
    };
    Look { tone, icon, text }
}

/// How many vulnerabilities are how bad, the worst first; those that are not there left out.
pub(crate) fn severities(found: &[VulnerabilityView]) -> Vec<(Look, usize)> {
    let words = [Some("critical"), Some("high"), None, Some("medium"), Some("low"), Some("none")];
    let counted = words.map(|word| {
        let look = severity(word);
        (look, found.iter().filter(|v| severity(v.severity.as_deref()) == look).count())
    });
    counted.into_iter().filter(|(_, count)| *count > 0).collect()
}

#[cfg(test)]
mod tests {
    use windlass_api::{HistoryView, ManifestView};

    use super::*;

    fn vulnerability(id: &str, purl: &str, severity: Option<&str>) -> VulnerabilityView {
        VulnerabilityView {
            id: id.into(),
            aliases: Vec::new(),
            severity: severity.map(str::to_owned),
            score: None,
            summary: String::new(),
            package: String::new(),
            version: String::new(),
            fixed: None,
            purl: purl.into(),
            layer: 0,
        }
    }

    fn list() -> PackageList {
        let package = |kind: &str, name: &str, licence: &str| PackageView {
            kind: kind.into(),
            name: name.into(),
            version: "1.0".into(),
            licences: vec![licence.into()],
            layer: 0,
            path: format!("where/{name}"),
            purl: format!("pkg:{kind}/{name}@1.0"),
        };
        let packages = vec![
            package("deb", "bash", "GPL-3.0"),
            package("deb", "openssl", "Apache-2.0"),
            package("pypi", "flask", "BSD-3-Clause"),
        ];
        PackageList { packages, ..PackageList::default() }
    }

    fn found(wanted: Wanted) -> Vec<String> {
        let known = [vulnerability("CVE-1", "pkg:pypi/flask@1.0", Some("high"))];
        Packages::of(list(), &known, wanted).rows.into_iter().map(|row| row.package.name).collect()
    }

    #[test]
    fn packages_are_found_by_anything_that_is_said_of_them() {
        let by = |q: &str| Wanted { q: q.into(), ..Wanted::default() };
        for (q, names) in [
            ("", vec!["flask", "bash", "openssl"]),
            ("FLA", vec!["flask"]),
            ("gpl", vec!["bash"]),
            ("where/openssl", vec!["openssl"]),
            ("cve-1", vec!["flask"]),
            ("pkg:deb", vec!["bash", "openssl"]),
            ("nothing", vec![]),
        ] {
            assert_eq!(found(by(q)), names, "{q}");
        }
        assert_eq!(found(Wanted { kind: "deb".into(), ..Wanted::default() }), ["bash", "openssl"]);
        assert_eq!(found(Wanted { vulnerable: "1".into(), ..Wanted::default() }), ["flask"]);
        assert_eq!(found(Wanted { from: 2, ..Wanted::default() }), ["openssl"]);
        assert_eq!(found(Wanted { from: u64::MAX, ..Wanted::default() }), Vec::<String>::new());
        let packages = Packages::of(list(), &[], by("bash"));
        assert_eq!((packages.all, packages.found), (3, 1));
        assert_eq!(packages.kinds, [("deb".to_owned(), 2), ("pypi".to_owned(), 1)]);
    }

    #[test]
    fn instructions_read_as_they_were_written() {
        for (by, text) in [
            ("RUN /bin/sh -c make install # buildkit", "RUN make install"),
            ("COPY . /app # buildkit", "COPY . /app"),
            ("/bin/sh -c #(nop)  CMD [\"bash\"]", "CMD [\"bash\"]"),
            ("/bin/sh -c apt-get update", "RUN apt-get update"),
            ("debootstrap", "debootstrap"),
            ("", ""),
        ] {
            assert_eq!(instruction(by), text);
        }
    }

    fn image(history: &[(&str, bool)], layers: &[&str]) -> ImageDetail {
        let layer = |digest: &&str| LayerView {
            digest: (*digest).to_owned(),
            media_type: String::new(),
            size: 1,
            created_by: format!("made {digest}"),
            in_production: None,
            title: None,
            missing: false,
        };
        let line =
            |(text, empty): &(&str, bool)| HistoryView { created_by: (*text).to_owned(), empty: *empty };
        ImageDetail {
            repository: "shop".into(),
            manifest: ManifestView {
                digest: String::new(),
                tags: Vec::new(),
                media_type: String::new(),
                artifact_type: None,
                subject: None,
                size: 0,
                pushed_at: windlass_kernel::Timestamp::default(),
                pushed_by: String::new(),
                runs_in: Vec::new(),
            },
            address: String::new(),
            platforms: Vec::new(),
            layers: layers.iter().map(layer).collect(),
            history: history.iter().map(line).collect(),
            config: Vec::new(),
            referrers: Vec::new(),
            change: None,
            runs: Vec::new(),
            origin: None,
            annotations: Vec::new(),
            immutable: Vec::new(),
            problem: None,
        }
    }

    #[test]
    fn lines_have_their_layers_only_where_the_history_fits() {
        let told = |image: &ImageDetail| -> Vec<(Option<usize>, String)> {
            lines(image).into_iter().map(|line| (line.number, line.text)).collect()
        };
        let whole = image(&[("FROM x", false), ("ENV A=1", true), ("COPY a", false)], &["one", "two"]);
        assert_eq!(
            told(&whole),
            [(Some(1), "FROM x".into()), (None, "ENV A=1".into()), (Some(2), "COPY a".into())]
        );
        let odd = image(&[("FROM x", false)], &["one", "two"]);
        assert_eq!(told(&odd), [(Some(1), "made one".into()), (Some(2), "made two".into())]);
    }

    #[test]
    fn what_grows_and_shrinks_is_said() {
        assert_eq!((growth(&2_000), growth(&-3)), ("2.0 kB more".to_owned(), "3 B less".to_owned()));
    }

    #[test]
    fn licences_are_as_many_as_fit() {
        let of = |names: &[&str]| licences(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&[]), (String::new(), 0));
        assert_eq!(of(&["A", "B", "C", "D", "E"]), ("A, B, C".to_owned(), 2));
    }

    #[test]
    fn severities_are_counted_the_worst_first() {
        let found = [Some("low"), Some("critical"), None, Some("low"), Some("odd")]
            .map(|word| vulnerability("x", "", word));
        let told: Vec<(&str, usize)> = severities(&found).iter().map(|(look, n)| (look.text, *n)).collect();
        assert_eq!(told, [("Critical", 1), ("Unrated", 2), ("Low", 2)]);
    }
}
