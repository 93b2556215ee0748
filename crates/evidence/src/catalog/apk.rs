//! apk's list of installed packages: a letter, a colon, a value.

use crate::package::{Kind, Package};

pub(super) fn packages(text: &str) -> Vec<Package> {
    text.split("\n\n").filter_map(stanza).collect()
}

fn stanza(text: &str) -> Option<Package> {
    let field = |letter: &str| {
        text.lines().find_map(|line| line.strip_prefix(letter)?.strip_prefix(':')).map(str::trim)
    };
    let (name, version) = (field("P")?, field("V")?);
    let origin = field("o").filter(|origin| *origin != name && !origin.is_empty());
    Some(Package {
        arch: field("A").map(str::to_owned),
        source: origin.map(|origin| (origin.to_owned(), String::new())),
        licences: field("L").filter(|l| !l.is_empty()).map(str::to_owned).into_iter().collect(),
        ..Package::new(Kind::Apk, name, version)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_listed_with_their_origin() {
        let text = "C:Q1x=\nP:libcrypto3\nV:3.1.4-r1\nA:x86_64\nL:Apache-2.0\no:openssl\nF:lib\nR:libcrypto.so.3\n\n\
            P:musl\nV:1.2.4-r2\no:musl\n\nP:\n";
        let found = packages(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].source, Some(("openssl".into(), String::new())));
        assert_eq!(found[0].licences, ["Apache-2.0"]);
        assert_eq!((found[1].name.as_str(), found[1].version.as_str()), ("musl", "1.2.4-r2"));
        assert_eq!(found[1].source, None);
    }
}
