//! The Dockerfile that is written makes what `--auto` makes, on the same base.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::fixture::Fixture;

/// Every path of a folder, with its mode and what is in it.
fn tree(root: &Path) -> Vec<(String, u32, Vec<u8>)> {
    let mut all = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let metadata = path.symlink_metadata().expect("metadata");
            let content = if metadata.is_file() { fs::read(&path).expect("read") } else { Vec::new() };
            let name = path.strip_prefix(root).expect("below").display().to_string();
            all.push((name, metadata.permissions().mode(), content));
            if metadata.is_dir() {
                waiting.push(path);
            }
        }
    }
    all.sort();
    all
}

/// Makes an image of a folder's files, under a name that the written Dockerfile has.
fn base(fixture: &Fixture, name: &str, files: &[(&str, &Path)]) {
    let folder = fixture.folder.path().join("base");
    for (path, from) in files {
        let to = folder.join(path);
        fs::create_dir_all(to.parent().expect("a parent")).expect("made");
        fs::copy(from, to).expect("copied");
    }
    fs::write(folder.join("Dockerfile"), "FROM scratch\nCOPY --exclude=Dockerfile . /\n").expect("written");
    let output = fixture.windlass_in(&folder, &["build", "--quiet", "-t", name]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Builds both, and compares them.
#[track_caller]
fn the_same(fixture: &Fixture, arguments: &[&str]) {
    let out = |name: &str| format!("type=local,dest={}", fixture.folder.path().join(name).display());
    let mut all = vec!["--auto"];
    all.extend(arguments);
    let (first, second) = (out("first"), out("second"));
    let one = fixture.image(&fixture.project(), &[&all[..], &["-o", &first]].concat());
    let mut write = vec!["build", "--write-dockerfile"];
    write.extend(&all);
    let wrote = fixture.windlass(&write);
    assert!(wrote.status.success(), "{}", String::from_utf8_lossy(&wrote.stderr));
    let again = fixture.windlass(&write);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && said.contains("is there already"), "{said}");
    let other = fixture.image(&fixture.project(), &["--build-arg", "SOURCE_DATE_EPOCH=0", "-o", &second]);
    assert_eq!(one.config, other.config);
    let at = |name: &str| tree(&fixture.folder.path().join(name));
    let (one, other) = (at("first"), at("second"));
    let named = |tree: &[(String, u32, Vec<u8>)]| -> Vec<String> {
        tree.iter().map(|(name, mode, _)| format!("{mode:o} {name}")).collect()
    };
    assert_eq!(named(&one), named(&other));
    assert!(one == other, "files of one name have one content");
}

#[test]
fn of_a_site() {
    let busybox = Path::new("/bin/busybox");
    let fixture = Fixture::new(&[("index.html", "<h1>hi</h1>"), ("a/b.css", "x"), (".env", "no")]);
    if fixture.told()["base"] != "scratch" || !busybox.is_file() {
        return windlass_testkit::skip("auto_written_site", "there is no busybox that needs no library");
    }
    let programs = ["bin/busybox", "bin/sh", "bin/mkdir"].map(|path| (path, busybox));
    base(&fixture, "busybox:stable-musl", &programs);
    the_same(&fixture, &[]);
}

#[test]
fn of_a_python_program_on_a_base() {
    let fixture = Fixture::new(&[("main.py", "print(1)\n"), ("package/x.py", ""), (".venv/x", "no")]);
    let list = fixture.folder.path().join("list");
    fs::write(&list, "x").expect("written");
    base(&fixture, "shared/python:3", &[("etc/list", &list)]);
    the_same(&fixture, &["--base", "shared/python:3"]);
    let said = fixture.windlass(&["build", "--auto", "--base", "scratch"]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("does not run on nothing (name a base that has its interpreter)"), "{said}");
}

#[test]
fn of_a_node_program_on_a_base() {
    let fixture = Fixture::new(&[("package.json", r#"{"name": "x", "main": "s.js"}"#), ("s.js", "1\n")]);
    base(&fixture, "shared/node", &[("etc/list", &fixture.project().join("s.js"))]);
    the_same(&fixture, &["--base", "shared/node"]);
}
