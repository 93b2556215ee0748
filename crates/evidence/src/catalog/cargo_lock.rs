//! Cargo's lock file, where an image carries it beside a program that tells nothing of itself.

use crate::package::{Kind, Package};

/// The packages that come from elsewhere: those of the workspace itself have no source.
pub(super) fn packages(text: &str) -> Vec<Package> {
    text.split("[[package]]").skip(1).filter_map(package).collect()
}

fn package(stanza: &str) -> Option<Package> {
    let field = |name: &str| {
        stanza.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim().trim_matches('"').to_owned())
        })
    };
    let (name, version) = (field("name")?, field("version")?);
    field("source").map(|_| Package::new(Kind::Cargo, name, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_elsewhere_is_listed() {
        let text = "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"serde\",\n]\n\n\
            [[package]]\nname = \"serde\"\nversion = \"1.0.200\"\nsource = \"registry+x\"\nchecksum = \"00\"\n";
        let found = packages(text);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].version.as_str()), ("serde", "1.0.200"));
        assert!(packages("no lock file").is_empty());
    }
}
