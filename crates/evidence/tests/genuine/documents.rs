//! The lists of what an image holds pass the checkers of their formats.

use serde_json::Value;
use windlass_evidence::{Contents, Kind, Os, Package, Subject, cyclonedx, spdx};
use windlass_kernel::Digest;
use windlass_testkit::skip;

use crate::python;

/// An image with everything that is written in a form of its own.
fn contents() -> Contents {
    let full = |package: Package| Package { path: "var/lib/dpkg/status".into(), ..package };
    let licenced = |name: &str, licences: &[&str]| Package {
        licences: licences.iter().map(|l| (*l).to_owned()).collect(),
        ..Package::new(Kind::Pypi, name, "1.0")
    };
    Contents {
        os: Some(Os {
            id: "debian".into(),
            version: "12".into(),
            name: "Debian GNU/Linux 12 (bookworm)".into(),
        }),
        packages: vec![
            full(Package {
                source: Some(("openssl".into(), "3.0".into())),
                arch: Some("amd64".into()),
                licences: vec!["GPL-2.0-or-later".into(), "public-domain".into()],
                ..Package::new(Kind::Deb, "libssl3", "3.0.11-1~deb12u2+b1")
            }),
            licenced("one", &["MIT"]),
            licenced("two", &["MIT OR Apache-2.0"]),
            licenced("three", &["MIT", "BSD-3-Clause"]),
            licenced("four", &["MIT OR Apache-2.0", "ISC"]),
            licenced("five", &["Licence of our own, \"quoted\""]),
            Package::new(Kind::Npm, "@types/node", "20.0.0"),
            Package { layer: 1, ..Package::new(Kind::Golang, "golang.org/x/net", "v0.1.0") },
            Package::new(Kind::Maven, "org.x:y", "1.0"),
            Package::new(Kind::Gem, "rack", ""),
        ],
        notes: vec!["/opt/large is not looked into: it has 100 MiB".into()],
        layers: vec![Digest::sha256(b"0").to_string(), Digest::sha256(b"1").to_string()],
        ..Contents::default()
    }
}

fn checked(make: fn(&Subject<'_>) -> Value, script: &str, python: &std::path::Path) {
    let digest = Digest::sha256(b"image");
    for (created, contents) in [(Some("2024-05-01T10:00:00.5Z"), contents()), (None, Contents::default())] {
        let subject = Subject { name: "shop/web", digest: &digest, created, contents: &contents };
        let said = python::ask(python, script, &make(&subject).to_string());
        assert_eq!(said.trim(), "[]", "{created:?}");
    }
}

#[test]
fn cyclonedx_documents_pass_the_schema() {
    let python = match python::with("cyclonedx", &["cyclonedx-python-lib[validation]==8.5.0"]) {
        Ok(python) => python,
        Err(why) => return skip("cyclonedx_documents_pass_the_schema", &why),
    };
    let script = "import sys\nfrom cyclonedx.validation.json import JsonStrictValidator\nfrom cyclonedx.schema import SchemaVersion\n\
        error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read())\n\
        print([] if error is None else [error])";
    checked(cyclonedx, script, &python);
}

#[test]
fn spdx_documents_pass_their_own_tool() {
    let python = match python::with("spdx", &["spdx-tools==0.8.3"]) {
        Ok(python) => python,
        Err(why) => return skip("spdx_documents_pass_their_own_tool", &why),
    };
    let script = "import sys, json\nfrom spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser\n\
        from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document\n\
        document = JsonLikeDictParser().parse(json.load(sys.stdin))\n\
        print([m.validation_message for m in validate_full_spdx_document(document)])";
    checked(spdx, script, &python);
}
