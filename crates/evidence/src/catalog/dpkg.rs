//! dpkg's list of packages (deb822), and the licences that copyright files in the machine-readable form name.

use crate::package::{Kind, Package};

/// How many licences of one package are kept.
const LICENCES: usize = 20;

pub(super) fn packages(text: &str) -> Vec<Package> {
    let stanzas = text.split("\n\n").map(stanza);
    stanzas.flatten().collect()
}

fn stanza(text: &str) -> Option<Package> {
    let (mut name, mut version, mut status, mut arch, mut source) = (None, None, None, None, None);
    for line in text.lines() {
        // A line that goes on is part of a field that is not asked for here.
        if line.starts_with([' ', '\t']) {
            continue;
        }
        let Some((field, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match field {
            "Package" => name = Some(value),
            "Version" => version = Some(value),
            "Status" => status = Some(value),
            "Architecture" => arch = Some(value.to_owned()),
            "Source" => source = Some(value),
            _ => {}
        }
    }
    // Images without dpkg have the lists, but no state: what is listed there is installed.
    let installed = status.is_none_or(|s| s.ends_with(" installed"));
    let (name, version) = (name?, version?);
    if !installed || name.is_empty() || version.is_empty() {
        return None;
    }
    let source = source.and_then(|source| {
        let (of, at) = source.split_once(" (").unwrap_or((source, ""));
        let at = at.trim_end_matches(')');
        let differs = of != name || !(at.is_empty() || at == version);
        differs.then(|| (of.to_owned(), at.to_owned()))
    });
    Some(Package { arch, source, ..Package::new(Kind::Deb, name, version) })
}

/// The `License:` lines of a copyright file (DEP 5), each once, in their order; as SPDX names them where that is known.
pub(super) fn licences(text: &str) -> Vec<String> {
    if !text.trim_start().starts_with("Format:") {
        return Vec::new();
    }
    let mut found: Vec<String> = Vec::new();
    for line in text.lines() {
        let Some(value) = line.strip_prefix("License:").or_else(|| line.strip_prefix("Licence:")) else {
            continue;
        };
        for part in value.split(" and ").flat_map(|p| p.split(',')).flat_map(|p| p.split(" or ")) {
            let name = spdx(part.trim());
            if !name.is_empty() && name.len() <= 80 && !found.contains(&name) && found.len() < LICENCES {
                found.push(name);
            }
        }
    }
    found
}

/// Debian's short names of licences in SPDX's words.
fn spdx(name: &str) -> String {
    let (base, later) = name.strip_suffix('+').map_or((name, false), |base| (base, true));
    let family = ["AGPL-", "LGPL-", "GPL-", "GFDL-"].into_iter().find(|family| base.starts_with(family));
    match (family, base) {
        (Some(family), _) => {
            let number = &base[family.len()..];
            let plain = number.chars().all(|c| c.is_ascii_digit() || c == '.') && !number.is_empty();
            if !plain {
                return name.to_owned();
            }
            let dot = if number.contains('.') { "" } else { ".0" };
            format!("{family}{number}{dot}-{}", if later { "or-later" } else { "only" })
        }
        (None, "Expat") => "MIT".to_owned(),
        (None, "BSD-2-clause") => "BSD-2-Clause".to_owned(),
        (None, "BSD-3-clause") => "BSD-3-Clause".to_owned(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installed_packages_are_listed_with_their_source() {
        let text = "Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nSource: openssl\n\
            Version: 3.0.11-1\nDescription: x\n Package: not-a-package\n\n\
            Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
            Package: bash\nStatus: install ok installed\nVersion: 5.2.15-2+b2\nSource: bash (5.2.15-2)\n\n\
            Package: base-files\nVersion: 12.4\n\nnonsense\n";
        let found = packages(text);
        let names: Vec<_> = found.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["libssl3", "bash", "base-files"]);
        assert_eq!(found[0].source, Some(("openssl".into(), String::new())));
        assert_eq!(found[0].arch.as_deref(), Some("amd64"));
        assert_eq!(found[1].source, Some(("bash".into(), "5.2.15-2".into())));
        assert_eq!(found[2].source, None);
    }

    #[test]
    fn licences_have_the_names_of_spdx() {
        let text = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\n\
            License: GPL-2+\n text\n\nFiles: x\nLicense: Expat and LGPL-2.1\n\nLicense: GPL-2+\n";
        assert_eq!(licences(text), ["GPL-2.0-or-later", "MIT", "LGPL-2.1-only"]);
        assert!(licences("This package was debianized by …\nLicense: GPL\n").is_empty());
    }
}
