//! Packages of npm that tests compare with: fetched once, and asked over standard input and output.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// A folder below `below` (cargo's folder for the files of tests) that has the package, such as `@actions/expressions@0.3`.
///
/// # Errors
/// Why the package cannot be had, in words: a reason to skip.
pub fn node_package(below: &Path, package: &str) -> Result<PathBuf, String> {
    let name: String = package.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let folder = below.join(format!("node{name}"));
    let said = |e: std::io::Error| format!("{}: {e}", folder.display());
    fs::create_dir_all(&folder).map_err(said)?;
    // One fetches, the others wait.
    let lock = fs::File::create(folder.join("lock")).map_err(said)?;
    lock.lock().map_err(said)?;
    // Written last: an installation that was cut short is made again.
    let stamp = folder.join("whole");
    if fs::read_to_string(&stamp).is_ok_and(|whole| whole == package) {
        return Ok(folder);
    }
    fs::write(folder.join("package.json"), "{\"private\":true}").map_err(said)?;
    let install = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", package])
        .current_dir(&folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("npm cannot be started: {e}"))?;
    if !install.status.success() {
        return Err(format!("npm cannot install {package}"));
    }
    fs::write(stamp, package).map_err(said)?;
    Ok(folder)
}

/// Runs `node ARGUMENTS` in a folder, gives it the questions, a line of JSON each, and gives its answers.
///
/// # Errors
/// That there is no node, in words: a reason to skip.
///
/// # Panics
/// When the program fails or says something that is not JSON.
pub fn ask_node(folder: &Path, arguments: &[&str], questions: &[Value]) -> Result<Vec<Value>, String> {
    let mut child = Command::new("node")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("node cannot be started: {e}"))?;
    let mut input = child.stdin.take().expect("piped");
    let lines: Vec<String> = questions.iter().map(Value::to_string).collect();
    let writer = std::thread::spawn(move || lines.iter().try_for_each(|line| writeln!(input, "{line}")));
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    let written = writer.join().expect("no panic");
    assert!(output.status.success() && written.is_ok(), "node failed: {written:?}");
    let answers = String::from_utf8(output.stdout).expect("text");
    Ok(answers.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}
