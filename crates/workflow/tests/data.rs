//! Files of the language and what is found in them. `tests/data/ok` holds files that can be used, `tests/data/bad`
//! those that cannot; beside each stands what is printed about it. `UPDATE_EXPECT=1` writes those files anew. They are read as
//! the whole language, so that what Windlass runs does not change them.

use std::fs;
use std::path::{Path, PathBuf};

use windlass_workflow::{Admit, Diagnostic, parse_action, parse_admitting};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .collect();
    files.sort();
    files
}

/// What is found in a file; those whose names begin with `action` are actions' metadata.
fn findings(path: &Path) -> (bool, String) {
    let text = fs::read_to_string(path).expect("a text");
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    let (usable, found): (bool, Vec<Diagnostic>) = if name.starts_with("action") {
        let parsed = parse_action(&text);
        (parsed.action.is_some(), parsed.diagnostics)
    } else {
        let parsed = parse_admitting(&name, &text, Admit::Everything);
        (parsed.workflow.is_some(), parsed.diagnostics)
    };
    let errors = found.iter().any(Diagnostic::is_error);
    assert_eq!(usable, !errors, "{name}: usable exactly when there is no error: {found:#?}");
    (usable, found.iter().map(|finding| finding.snippet(&name, &text)).collect())
}

fn check(folder: &str, usable: bool, least: usize) {
    let files = files(folder);
    assert!(files.len() >= least, "{} files in {folder}", files.len());
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    for path in files {
        let (found_usable, found) = findings(&path);
        let beside = path.with_extension("txt");
        if update {
            fs::write(&beside, &found).expect("written");
        }
        let expected = fs::read_to_string(&beside).unwrap_or_default();
        if found_usable != usable {
            wrong.push(format!("{}: usable: {found_usable}\n{found}", path.display()));
        } else if found != expected {
            wrong.push(format!("{}\n--- expected\n{expected}--- found\n{found}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn usable_files() {
    check("ok", true, 15);
}

#[test]
fn refused_files() {
    check("bad", false, 50);
}
