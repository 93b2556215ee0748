//! SPDX 2.3, as JSON.

use serde_json::{Value, json};

use super::Subject;
use super::licence::{Known, known};
use crate::package::Package;

/// The list as an SPDX document.
pub fn spdx(subject: &Subject<'_>) -> Value {
    let image = json!({
        "SPDXID": "SPDXRef-image",
        "name": subject.name,
        "versionInfo": subject.digest.to_string(),
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "CONTAINER",
        "externalRefs": [reference(&subject.purl())],
    });
    let mut packages = vec![image];
    let mut relationships = vec![related("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image")];
    for (number, package) in subject.contents.packages.iter().enumerate() {
        let id = format!("SPDXRef-package-{number}");
        packages.push(one(subject, &id, package));
        relationships.push(related("SPDXRef-image", "CONTAINS", &id));
    }
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": subject.name,
        "documentNamespace": format!("urn:uuid:{}", subject.uuid()),
        "creationInfo": {
            "created": subject.time(),
            "creators": [format!("Tool: windlass-{}", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": relationships,
    });
    if !subject.contents.notes.is_empty() {
        document["comment"] = json!(subject.contents.notes.join("\n"));
    }
    document
}

fn one(subject: &Subject<'_>, id: &str, package: &Package) -> Value {
    let known_only = !package.licences.is_empty() && package.licences.iter().all(|l| known(l) != Known::No);
    let declared = match &package.licences[..] {
        [only] if known_only => only.clone(),
        several if known_only => {
            let part = |l: &String| match known(l) {
                Known::Expression => format!("({l})"),
                _ => l.clone(),
            };
            several.iter().map(part).collect::<Vec<_>>().join(" AND ")
        }
        _ => "NOASSERTION".to_owned(),
    };
    let mut found = json!({
        "SPDXID": id,
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": declared,
        "copyrightText": "NOASSERTION",
        "externalRefs": [reference(&package.purl(subject.contents.os.as_ref()))],
    });
    let mut source = format!("layer {}", package.layer);
    if !package.path.is_empty() {
        source = format!("/{} in {source}", package.path);
    }
    found["sourceInfo"] = json!(format!("found in {source}"));
    if !package.licences.is_empty() && !known_only {
        found["licenseComments"] = json!(format!("it names: {}", package.licences.join(", ")));
    }
    found
}

fn reference(purl: &str) -> Value {
    json!({ "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl })
}

fn related(one: &str, how: &str, other: &str) -> Value {
    json!({ "spdxElementId": one, "relationshipType": how, "relatedSpdxElement": other })
}
