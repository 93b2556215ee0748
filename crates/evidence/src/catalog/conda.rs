//! Conda's records of what it installed: one document for each package.

use serde_json::Value;

use crate::package::{Kind, Package};

pub(super) fn package(bytes: &[u8]) -> Option<Package> {
    let json: Value = serde_json::from_slice(bytes).ok()?;
    let text = |key: &str| json[key].as_str().filter(|text| !text.is_empty());
    let licences = text("license").map(str::to_owned).into_iter().collect();
    Some(Package { licences, ..Package::new(Kind::Conda, text("name")?, text("version")?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read() {
        let found =
            package(br#"{"name":"numpy","version":"1.26.4","license":"BSD-3-Clause","build":"py311"}"#);
        let found = found.unwrap();
        assert_eq!((found.name.as_str(), found.version.as_str()), ("numpy", "1.26.4"));
        assert_eq!(found.licences, ["BSD-3-Clause"]);
        assert_eq!(package(b"{}"), None);
    }
}
