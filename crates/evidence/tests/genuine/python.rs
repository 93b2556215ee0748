//! Packages of PyPI in a folder of cargo's, fetched once.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A Python that has these packages; why there is none, otherwise.
pub(crate) fn with(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{name}"));
    fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let lock = fs::File::create(folder.join("lock")).map_err(|e| e.to_string())?;
    lock.lock().map_err(|e| e.to_string())?;
    let python = folder.join("venv/bin/python");
    let stamp = folder.join("whole");
    let whole = packages.join(" ");
    if fs::read_to_string(&stamp).is_ok_and(|text| text == whole) {
        return Ok(python);
    }
    let run = |program: &Path, arguments: &[&str]| {
        let done = Command::new(program).args(arguments).current_dir(&folder).stdin(Stdio::null()).output();
        let done = done.map_err(|e| format!("{}: {e}", program.display()))?;
        if done.status.success() { Ok(()) } else { Err(format!("python cannot get {whole}")) }
    };
    run(Path::new("python3"), &["-m", "venv", "venv"])?;
    let mut arguments = vec!["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    arguments.extend(packages);
    run(&python, &arguments)?;
    fs::write(stamp, whole.as_bytes()).map_err(|e| e.to_string())?;
    Ok(python)
}

/// What a script prints that gets this text.
pub(crate) fn ask(python: &Path, script: &str, input: &str) -> String {
    let mut child = Command::new(python)
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python starts");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("python ends");
    writer.join().expect("no panic").expect("it reads all");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
