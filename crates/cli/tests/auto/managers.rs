//! Projects of Yarn and pnpm, with lock files that those wrote themselves.

use std::path::Path;
use std::process::Command;

use super::fixture::{Fixture, has};

/// A project with one package from a registry, one for building only, and a build.
fn project(name: &str, package: &str, program: &str, lock: &[&str]) -> Option<Fixture> {
    if !has(name, "npm") {
        return None;
    }
    let fixture = Fixture::new(&[
        (
            "package.json",
            r#"{"name": "web", "version": "1.0.0", "scripts": {"start": "node built.js", "build": "node build.js"},
               "dependencies": {"ms": "2.1.3"}, "devDependencies": {"isarray": "2.0.5"}}"#,
        ),
        ("build.js", "require('isarray'); require('fs').copyFileSync('server.js', 'built.js');\n"),
        (
            "server.js",
            "console.log(require('ms')('2s'), require('fs').existsSync('node_modules/isarray'));\n",
        ),
    ]);
    if program == "yarn" {
        // It is its own project, whatever is above.
        fixture.write("yarn.lock", "");
    }
    let locked = Command::new("npm")
        .args(["exec", "--yes", &format!("--package={package}"), "--", program])
        .args(lock)
        .current_dir(fixture.project())
        .env("YARN_NODE_LINKER", "node-modules")
        .output()
        .expect("npm");
    if !locked.status.success() {
        windlass_testkit::skip(name, &format!("{package} cannot be fetched, or fetches nothing"));
        return None;
    }
    for left in ["node_modules", ".yarn"] {
        _ = std::fs::remove_dir_all(fixture.project().join(left));
    }
    Some(fixture)
}

fn runs(files: &Path) {
    let output = Command::new("node").arg("built.js").current_dir(files.join("app")).output().expect("node");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "2000 false\n", "{said}");
}

fn check(name: &str, package: &str, program: &str, lock: &[&str], file: &str) {
    let Some(fixture) = project(name, package, program, lock) else { return };
    let told = fixture.told();
    let found = told["found"].as_array().expect("a list").iter().any(|found| found["why"] == file);
    assert!(found, "{told}");
    let image = fixture.build_and_change("server.js", "'2s'", "'3s'");
    assert_eq!(image.layers.len(), 2, "dependencies and code");
    runs(&fixture.build());
}

#[test]
fn yarn_1() {
    check("auto_yarn_1", "yarn@1.22.22", "yarn", &["install", "--ignore-scripts"], "yarn.lock");
}

#[test]
fn yarn_4() {
    check("auto_yarn_4", "@yarnpkg/cli-dist@4", "yarn", &["install", "--mode=skip-build"], "yarn.lock");
}

#[test]
fn pnpm() {
    check("auto_pnpm", "pnpm@9", "pnpm", &["install", "--lockfile-only"], "pnpm-lock.yaml");
}
