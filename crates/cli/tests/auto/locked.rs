//! Lock files of Python, beside what their own tools say of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::fixture::{Fixture, has, pip_reaches};

/// A tool from an index, in a folder that is kept.
fn tool(name: &str, package: &str) -> Option<PathBuf> {
    if !has(name, "/usr/bin/python3") {
        return None;
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("auto").join(package.replace("==", "-"));
    let program = folder.join("bin").join(package.split("==").next().unwrap_or_default());
    if program.is_file() {
        return Some(program);
    }
    let fetched = Command::new("/usr/bin/python3")
        .args(["-m", "pip", "install", "--quiet", "--target"])
        .args([folder.as_os_str(), package.as_ref()])
        .output();
    if !fetched.is_ok_and(|output| output.status.success()) {
        windlass_testkit::skip(name, &format!("pip cannot fetch {package}"));
        return None;
    }
    Some(program)
}

/// The packages of a list with their versions.
fn pinned(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| line.contains("==") && !line.starts_with(' '));
    lines.map(|line| line.split([' ', ';', '\\']).next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn uv_says_the_same_of_its_lock_file() {
    let Some(uv) = tool("auto_uv", "uv") else { return };
    let fixture = Fixture::new(&[
        (
            "pyproject.toml",
            "[project]\nname = \"shop\"\nversion = \"1.0\"\nrequires-python = \">=3.9\"\n\
             dependencies = [\"uvicorn[standard]>=0.30\", \"requests\", \"colorama; sys_platform == 'win32'\"]\n\
             [dependency-groups]\ndev = [\"pytest\"]\n",
        ),
        ("main.py", "import requests, uvicorn\n\nprint(requests.__name__, uvicorn.__name__)\n"),
    ]);
    let run = |arguments: &[&str]| {
        Command::new(&uv).args(arguments).current_dir(fixture.project()).output().expect("uv")
    };
    if !run(&["lock", "--quiet"]).status.success() {
        return windlass_testkit::skip("auto_uv", "uv cannot ask an index");
    }
    let said = run(&[
        "export",
        "--frozen",
        "--no-dev",
        "--no-emit-project",
        "--no-hashes",
        "--no-annotate",
        "--no-header",
    ]);
    let said = pinned(&String::from_utf8_lossy(&said.stdout));
    assert!(said.len() > 8, "{said:?}");
    let files = fixture.build();
    let store = fixture.folder.path().join("store.auto");
    let entry = fs::read_dir(store).expect("a folder").next().expect("one").expect("one");
    let ours = fs::read_to_string(entry.path().join("requirements.locked")).expect("a list");
    assert_eq!(pinned(&ours), said);
    assert!(ours.contains("--hash=sha256:"), "{ours}");
    let output = Command::new("/usr/bin/python3")
        .arg("main.py")
        .current_dir(files.join("app"))
        .env("PYTHONPATH", files.join("packages"))
        .output()
        .expect("python3");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "requests uvicorn\n", "{error}");
}

#[test]
fn a_package_that_is_not_what_was_locked_is_refused() {
    if !has("auto_locked", "/usr/bin/python3") || !pip_reaches("auto_locked", "six==1.16.0") {
        return;
    }
    let zeros = "0".repeat(64);
    let lock = format!(
        "[[package]]\nname = \"six\"\nversion = \"1.16.0\"\noptional = false\ngroups = [\"main\"]\n\
         files = [{{file = \"six.whl\", hash = \"sha256:{zeros}\"}}]\n"
    );
    let fixture = Fixture::new(&[
        ("pyproject.toml", "[tool.poetry]\nname = \"x\"\n[tool.poetry.dependencies]\nsix = \"*\"\n"),
        ("poetry.lock", &lock),
        ("main.py", "import six\n"),
    ]);
    let output = fixture.windlass(&["build", "--auto"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("HASHES"), "{said}");
}
