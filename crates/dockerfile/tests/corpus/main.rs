//! Dockerfiles of all kinds and what becomes of them. Beside each `NAME.dockerfile` of `tests/corpus/data` stands
//! `NAME.txt`: what is found in it and, if it can be built, its stages, steps and configuration. A last line
//! `# build: target=… arg=NAME=VALUE platform=… context=NAME ignore=PATTERN` says how it is built.
//! `UPDATE_EXPECT=1` writes the files beside anew.

mod buildkit;
mod parser;
mod shown;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/data");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("the corpus")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "dockerfile"))
        .collect();
    files.sort();
    files
}

#[test]
fn dockerfiles_of_all_kinds() {
    let files = files();
    assert!(files.len() >= 40, "{} files", files.len());
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).expect("a text");
        let found = shown::build(&text);
        let beside = path.with_extension("txt");
        if update {
            fs::write(&beside, &found).expect("written");
        }
        let expected = fs::read_to_string(&beside).unwrap_or_default();
        if found != expected {
            wrong.push(format!("{}\n--- expected\n{expected}--- found\n{found}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
