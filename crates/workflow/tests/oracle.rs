//! GitHub's own parser (`@actions/workflow-parser` of npm) reads the same files: what it refuses is refused here, and
//! what it takes is taken, but for the differences that are explained. The files are those of `tests/data`, and of
//! the folder that `WINDLASS_WORKFLOWS` names.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use windlass_workflow::{Admit, parse_admitting};

const NAME: &str = "oracle";
const PACKAGE: &str = "@actions/workflow-parser@0.3.61";

/// Files that only one of the two refuses, and why that is right.
const EXPLAINED: &[(&str, &str)] = &[
    (
        "whole/everything.yml",
        "the package knows neither background steps, nor 'cache-mode', nor inserted mappings",
    ),
    (
        "bad/if-with-literal-text.yml",
        "GitHub's server refuses it, the package does not: it would always hold",
    ),
    (
        "bad/matrix-too-many.yml",
        "GitHub's server refuses it when the job starts; what is written out is counted here",
    ),
    ("bad/no-event.yml", "no event would ever start it"),
    ("bad/schedule-name.yml", "a schedule without a time is never due"),
    ("bad/shell.yml", "GitHub's runner refuses it when the step starts"),
    ("bad/tag.yml", "a tag that nothing here has is no text"),
    ("ok/everything.yml", "an input with nothing said about it is a text"),
    ("ok/merge-key.yml", "merge keys are Windlass's own, with a warning that GitHub refuses them"),
    ("ok/merge-key-in-env.yml", "as above; with a text '<<' is a name for both"),
    ("ok/on-null-bodies.yml", "'inputs' with nothing in it is no input"),
];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// All workflow files below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|end| end == "yml" || end == "yaml")
            && !name.starts_with("action")
        {
            found.push(path);
        }
    }
}

/// The folder with the package and the scripts; why not, otherwise.
fn installed() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("workflow-parser");
    fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    for script in ["hooks.mjs", "main.mjs", "check.mjs"] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle").join(script);
        fs::copy(from, folder.join(script)).map_err(|e| e.to_string())?;
    }
    if !folder.join("node_modules/@actions/workflow-parser/package.json").exists() {
        fs::write(folder.join("package.json"), "{\"private\":true}").map_err(|e| e.to_string())?;
        let install = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE])
            .current_dir(&folder)
            .output()
            .map_err(|e| format!("npm: {e}"))?;
        if !install.status.success() {
            return Err(format!("{PACKAGE} cannot be fetched"));
        }
    }
    Ok(folder)
}

/// What the other parser finds in each text.
fn asked(folder: &Path, texts: &BTreeMap<String, String>) -> Result<BTreeMap<String, Vec<String>>, String> {
    let mut child = Command::new("node")
        .arg("main.mjs")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("node: {e}"))?;
    let mut stdin = child.stdin.take().expect("piped");
    let lines: String = texts
        .iter()
        .map(|(name, content)| serde_json::json!({"name": name, "content": content}).to_string() + "\n")
        .collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    writer.join().expect("no panic").map_err(|e| e.to_string())?;
    assert!(output.status.success(), "the oracle failed");
    let mut found = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let answer: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let errors = answer["errors"].as_array().expect("a list").iter();
        let errors = errors.map(|error| error.as_str().unwrap_or_default().to_owned()).collect();
        found.insert(answer["name"].as_str().expect("a name").to_owned(), errors);
    }
    Ok(found)
}

#[test]
fn both_parsers_refuse_the_same_files() {
    let folder = match installed() {
        Ok(folder) => folder,
        Err(why) => return windlass_testkit::skip(NAME, &why),
    };
    let mut paths = Vec::new();
    files(&data(), &mut paths);
    // What is wrong there shows only beside the other files.
    paths.retain(|path| !path.starts_with(data().join("lint")));
    if let Some(more) = std::env::var_os("WINDLASS_WORKFLOWS") {
        files(Path::new(&more), &mut paths);
    }
    let name = |path: &Path| path.strip_prefix(data()).unwrap_or(path).display().to_string();
    let texts: BTreeMap<String, String> =
        paths.iter().filter_map(|path| Some((name(path), fs::read_to_string(path).ok()?))).collect();
    let theirs = match asked(&folder, &texts) {
        Ok(theirs) => theirs,
        Err(why) => return windlass_testkit::skip(NAME, &why),
    };
    assert_eq!(theirs.len(), texts.len(), "an answer for each file");
    let mut wrong = Vec::new();
    for (name, text) in &texts {
        let ours: Vec<String> = parse_admitting(name, text, Admit::Everything)
            .diagnostics
            .iter()
            .filter(|finding| finding.is_error())
            .map(|finding| format!("{}: {}", finding.span.start.line, finding.sentence()))
            .collect();
        let theirs = &theirs[name];
        let explained = EXPLAINED.iter().any(|(file, _)| file == name);
        if ours.is_empty() == theirs.is_empty() {
            if explained {
                wrong.push(format!("{name}: both agree: take it out of EXPLAINED"));
            }
        } else if !explained {
            wrong.push(format!("{name}\n  ours: {ours:#?}\n  theirs: {theirs:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), texts.len(), wrong.join("\n"));
}
