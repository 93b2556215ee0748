//! `windlass build --auto` with real small projects, each built by the machine's own toolchain; `windlass lint` and
//! `--print-dockerfile` beside it.

mod fixture;
mod locked;
mod managers;
mod served;
mod written;

use std::fs;
use std::path::Path;
use std::process::Command;

use fixture::{Fixture, has};

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn a_rust_program_is_static_and_alone() {
    let fixture = Fixture::new(&[
        ("Cargo.toml", "[package]\nname = \"hello\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n"),
        ("src/main.rs", "fn main() { println!(\"hello from {}\", file!()); }\n"),
        ("target/left-over", "never copied"),
    ]);
    let told = fixture.told();
    assert_eq!((told["kind"].as_str(), told["machine"].as_bool()), (Some("Rust"), Some(false)));
    if !has("auto_rust", "cargo") {
        return;
    }
    let files = fixture.build();
    let program = files.join("app/hello");
    let output = Command::new(&program).output().expect("the program");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello from src/main.rs\n");
    let bytes = fs::read(&program).expect("the program");
    let linker = b"/lib64/ld-linux";
    assert!(!bytes.windows(linker.len()).any(|window| window == linker), "it needs nothing of a base image");
    let all: Vec<_> =
        fs::read_dir(&files).expect("files").map(|entry| entry.expect("one").file_name()).collect();
    let mut all: Vec<_> = all.into_iter().map(|name| name.to_string_lossy().into_owned()).collect();
    all.sort();
    assert_eq!(all, ["app", "etc", "tmp"], "nothing else is in the image");
    if has("auto_rust_crates", "objcopy") {
        let section = b".dep-v0";
        assert!(bytes.windows(section.len()).any(|window| window == section), "the crates are listed in it");
    }
}

#[test]
fn a_node_program_has_its_dependencies_in_a_layer_of_their_own() {
    let package = r#"{"name": "web", "version": "1.0.0", "scripts": {"start": "node server.js", "build": "node build.js"},
        "dependencies": {"dep": "file:./dep"}}"#;
    let fixture = Fixture::new(&[
        ("package.json", package),
        ("dep/package.json", r#"{"name": "dep", "version": "1.0.0"}"#),
        ("dep/index.js", "module.exports = 'dep';\n"),
        ("server.js", "console.log(require('dep') + require('./built.json').built);\n"),
        ("build.js", "require('fs').writeFileSync('built.json', '{\"built\": 1}');\n"),
        (".env", "SECRET=never copied\n"),
    ]);
    let told = fixture.told();
    assert_eq!(told["layers"][0]["name"], "dependencies");
    assert_eq!(told["layers"][1]["name"], "code");
    if !has("auto_node", "npm") {
        return;
    }
    let files = fixture.build();
    let output = Command::new("node").arg("server.js").current_dir(files.join("app")).output().expect("node");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "dep1\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!files.join("app/.env").exists());
}

#[test]
fn a_python_program_finds_its_packages() {
    let fixture = Fixture::new(&[
        ("main.py", "import six, helper\nprint(six.__name__, helper.NAME)\n"),
        ("helper.py", "NAME = 'own'\n"),
        ("requirements.txt", "six==1.16.0\n"),
    ]);
    let told = fixture.told();
    assert_eq!(told["kind"], "Python");
    if !has("auto_python", "pip") {
        return;
    }
    let reachable = Command::new("pip")
        .args(["download", "--quiet", "--no-deps", "--dest"])
        .arg(fixture.folder.path().join("probe"))
        .arg("six==1.16.0")
        .output();
    if !reachable.is_ok_and(|output| output.status.success()) {
        return windlass_testkit::skip("auto_python", "pip cannot fetch a package");
    }
    let files = fixture.build();
    let output = Command::new("python3")
        .arg("main.py")
        .current_dir(files.join("app"))
        .env("PYTHONPATH", files.join("packages"))
        .output()
        .expect("python3");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "six own\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_java_program_of_source_files_is_compiled() {
    let fixture = Fixture::new(&[(
        "src/org/example/Main.java",
        "package org.example;\npublic class Main { public static void main(String[] a) { System.out.println(\"java\"); } }\n",
    )]);
    assert_eq!(fixture.told()["entrypoint"][3], "org.example.Main");
    if !has("auto_java", "javac") {
        return;
    }
    let files = fixture.build();
    let output =
        Command::new("java").arg("-cp").arg(files.join("app/classes")).arg("org.example.Main").output();
    assert_eq!(String::from_utf8_lossy(&output.expect("java").stdout), "java\n");
}

#[test]
fn a_go_program_is_built_where_go_is() {
    let fixture = Fixture::new(&[
        ("go.mod", "module example.org/hello\n\ngo 1.19\n"),
        ("main.go", "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"go\") }\n"),
    ]);
    assert_eq!(fixture.told()["kind"], "Go");
    let there = Command::new("go").arg("version").output().is_ok_and(|output| output.status.success());
    if !there {
        return windlass_testkit::skip("auto_go", "there is no go");
    }
    let files = fixture.build();
    let output = Command::new(files.join("app/hello")).output().expect("the program");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "go\n");
}

#[test]
fn a_static_site_is_its_files() {
    let fixture = Fixture::new(&[
        ("public/index.html", "<h1>hi</h1>"),
        ("public/a/b.css", "x"),
        ("README", "not in it"),
    ]);
    assert_eq!(fixture.told()["port"], 8080);
    let files = fixture.build();
    assert_eq!(text(&files.join("site/index.html")), "<h1>hi</h1>");
    assert!(files.join("site/a/b.css").is_file() && !files.join("site/README").exists());
}

#[test]
fn the_dockerfile_that_is_printed_has_nothing_to_find_fault_with() {
    let fixture = Fixture::new(&[("app.py", "x"), ("requirements.txt", "flask==3.0\n")]);
    let output = fixture.windlass(&["build", "--auto", "--print-dockerfile"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = fixture.folder.path().join("Dockerfile");
    fs::write(&file, &output.stdout).expect("written");
    let lint = Command::new(env!("CARGO_BIN_EXE_windlass"))
        .args(["lint", "--strict", "--notes"])
        .arg(&file)
        .output();
    let lint = lint.expect("windlass");
    assert!(lint.status.success(), "{}\n{}", String::from_utf8_lossy(&lint.stdout), text(&file));
}

#[test]
fn dockerfiles_are_linted_with_places() {
    let fixture = Fixture::new(&[
        (
            "Dockerfile",
            "# check=experimental=all\nFROM scratch AS Build\nCOPY secret.txt /\nCMD run\nRUNN x\n",
        ),
        ("Dockerfile.good", "FROM scratch\nCOPY a /\n"),
    ]);
    let lint = |name: &str| {
        let path = fixture.project().join(name);
        let output =
            Command::new(env!("CARGO_BIN_EXE_windlass")).arg("lint").arg(path).output().expect("windlass");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, found) = lint("Dockerfile");
    assert_eq!(code, Some(1));
    assert!(found.contains("Dockerfile:5:1") && found.contains("did you mean 'RUN'?"), "{found}");
    assert_eq!(lint("Dockerfile.good").0, Some(0));
}

#[test]
fn what_is_not_known_is_refused_with_what_to_do() {
    let fixture = Fixture::new(&[("README", "x")]);
    let output = fixture.windlass(&["build", "--auto"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("there is no Cargo.toml") && said.contains("write a Dockerfile"), "{said}");
}
