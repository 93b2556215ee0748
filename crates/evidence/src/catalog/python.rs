//! Python's installed distributions (core metadata specifications, "Recording installed projects").

use crate::package::{Kind, Package};

/// The longest licence that is a name and not a text.
const LONGEST_LICENCE: usize = 100;

pub(super) fn packages(path: &str, text: &str) -> Vec<Package> {
    let Some((name, version, licences)) = headers(text) else { return Vec::new() };
    vec![Package {
        licences,
        // Debian's packages put their modules there and nothing else does: its advisories count for them.
        distribution: path.starts_with("usr/lib/python3/dist-packages/"),
        ..Package::new(Kind::Pypi, name, version)
    }]
}

fn headers(text: &str) -> Option<(String, String, Vec<String>)> {
    let (mut name, mut version) = (None, None);
    let (mut expression, mut licence, mut classified) = (None, None, Vec::new());
    for line in text.lines() {
        if line.is_empty() {
            break;
        }
        let Some((field, value)) = line.split_once(": ") else { continue };
        let value = value.trim();
        match field {
            "Name" => name = Some(value),
            "Version" => version = Some(value),
            "License-Expression" => expression = Some(value),
            "License" => licence = Some(value).filter(|v| !v.is_empty() && v.len() <= LONGEST_LICENCE),
            "Classifier" => {
                if let Some(class) = value.strip_prefix("License :: ") {
                    classified.push(class.rsplit(" :: ").next().unwrap_or(class).to_owned());
                }
            }
            _ => {}
        }
    }
    let known = |l: &&str| !l.eq_ignore_ascii_case("unknown");
    let named = expression.or(licence.filter(known)).map(|l| vec![l.to_owned()]);
    let (name, version) = (name?, version?);
    if name.is_empty() || version.is_empty() {
        return None;
    }
    Some((name.to_owned(), version.to_owned(), named.unwrap_or(classified)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_ends_where_the_description_begins() {
        let text =
            "Metadata-Version: 2.1\nName: requests\nVersion: 2.31.0\nLicense: Apache 2.0\n\nName: other\n";
        let found =
            &packages("usr/local/lib/python3.11/site-packages/requests-2.31.0.dist-info/METADATA", text)[0];
        assert_eq!((found.name.as_str(), found.version.as_str()), ("requests", "2.31.0"));
        assert_eq!(found.licences, ["Apache 2.0"]);
        assert!(!found.distribution);
        assert!(packages("usr/lib/python3/dist-packages/x.egg-info", text)[0].distribution);
        assert!(packages("x", "Name: a\n").is_empty());
    }

    #[test]
    fn licences_come_from_where_they_say_most() {
        let of = |rest: &str| packages("x", &format!("Name: a\nVersion: 1\n{rest}")).remove(0).licences;
        assert_eq!(of("License: MIT\nLicense-Expression: MIT OR Apache-2.0"), ["MIT OR Apache-2.0"]);
        assert_eq!(
            of("License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License"),
            ["MIT License"]
        );
    }
}
