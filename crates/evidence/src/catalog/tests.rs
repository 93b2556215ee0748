use proptest::prelude::*;

use super::*;
use crate::layers::tests::InMemory;

#[test]
fn packages_name_the_layer_that_brought_them_and_removed_ones_are_not_listed() {
    let status = "Package: libc6\nStatus: install ok installed\nVersion: 2.36-9\n\n";
    let later = format!("{status}Package: curl\nStatus: install ok installed\nVersion: 7.88\n\n");
    let copyright = b"Format: x\n\nFiles: *\nLicense: LGPL-2.1+\n";
    let program = elf::tests::auditable(r#"{"packages":[{"name":"serde","version":"1.0.0"}]}"#);
    let contents = scan(
        &InMemory::of(&[
            &[
                ("etc/os-release", b"ID=debian\nVERSION_ID=12\n"),
                ("var/lib/dpkg/status", status.as_bytes()),
                ("usr/share/doc/libc6/copyright", copyright),
                ("app/old-1.0.dist-info/METADATA", b"Name: old\nVersion: 1.0\n"),
                ("padding", &[b' '; 9000]),
            ],
            &[
                ("var/lib/dpkg/status", later.as_bytes()),
                ("app/.wh.old-1.0.dist-info", b""),
                ("srv/node_modules/a/package.json", br#"{"name":"a","version":"1.0.0"}"#),
                ("srv/package-lock.json", br#"{"packages":{"node_modules/a":{"version":"1.0.0"}}}"#),
                ("usr/bin/tool", &[program, vec![0; 5000]].concat()),
            ],
        ]),
        Limits::default(),
    )
    .unwrap();
    let found: Vec<String> = contents
        .packages
        .iter()
        .map(|p| format!("{}@{} {}", p.purl(contents.os.as_ref()), p.layer, p.path))
        .collect();
    assert_eq!(
        found,
        [
            "pkg:deb/debian/curl@7.88?distro=debian-12@1 var/lib/dpkg/status",
            "pkg:deb/debian/libc6@2.36-9?distro=debian-12@0 var/lib/dpkg/status",
            "pkg:npm/a@1.0.0@1 srv/node_modules/a/package.json",
            "pkg:cargo/serde@1.0.0@1 usr/bin/tool",
        ]
    );
    assert_eq!(contents.packages[1].licences, ["LGPL-2.1-or-later"]);
    assert!(contents.notes.is_empty(), "{:?}", contents.notes);
}

#[test]
fn what_is_not_looked_into_is_named() {
    let layers =
        InMemory::of(&[&[("var/lib/rpm/rpmdb.sqlite", b"x"), ("app.jar", b"no zip archive at all")]]);
    let contents = scan(&layers, Limits::default()).unwrap();
    assert_eq!(contents.notes.len(), 2, "{:?}", contents.notes);
}

/// Paths that some reader asks for.
const PATHS: [&str; 11] = [
    "etc/os-release",
    "var/lib/dpkg/status",
    "lib/apk/db/installed",
    "usr/share/doc/x/copyright",
    "a/x-1.dist-info/METADATA",
    "a/node_modules/x/package.json",
    "package-lock.json",
    "Cargo.lock",
    "gems/specifications/x-1.gemspec",
    "x.jar",
    "usr/bin/x",
];

proptest! {
    #[test]
    fn whatever_a_file_holds_is_survived(index in 0..PATHS.len(), bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let layers = InMemory::of(&[&[(PATHS[index], &bytes)]]);
        prop_assert!(scan(&layers, Limits::default()).is_ok());
    }

    /// Texts made of what such files hold come further than noise does.
    #[test]
    fn whatever_such_texts_say_is_survived(
        index in 0..PATHS.len(),
        words in prop::collection::vec(
            prop::sample::select(vec![
                "Package: a", "Version: 1", "Status: install ok installed", "Source: b (2)", "P:a", "V:1", "\n", "\n\n",
                "Name: a", "License: MIT", "Format: x", "[[package]]", "name = \"a\"", "version = \"1\"", "source = \"x\"",
                "{", "}", "[", "]", "\"name\":", "\"version\":", "\"1\"", ",", "ID=x", "s.name = \"a\"", "\"packages\":",
                "\"dependencies\":", "\u{7f}ELF", "é",
            ]),
            0..40,
        ),
    ) {
        let text = words.join("");
        let layers = InMemory::of(&[&[(PATHS[index], text.as_bytes())]]);
        prop_assert!(scan(&layers, Limits::default()).is_ok());
    }
}
