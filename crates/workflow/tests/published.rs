//! Published workflows: those below the folder that `WINDLASS_WORKFLOWS` names are looked at by every rule. None may be
//! refused that GitHub takes; what is found beside that is printed (`--nocapture`), for whoever looks for false alarms.

use std::fs;
use std::path::{Path, PathBuf};

use windlass_workflow::lint::{self, Options};
use windlass_workflow::{Admit, Severity};

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml") {
            found.push(path);
        }
    }
}

/// What is found in a file, those of its repository beside it; notes left out.
fn findings(path: &Path, text: &str) -> (bool, String) {
    let name = path.display().to_string();
    let root = path.ancestors().find(|folder| folder.join(".github").is_dir()).map(Path::to_owned);
    let read = |file: &str| fs::read_to_string(root.as_ref()?.join(file)).ok();
    let options = Options { admit: Admit::Everything, files: root.is_some().then_some(&read) };
    let found = lint::workflow(&name, text, options);
    let worth: Vec<_> = found.iter().filter(|finding| finding.severity != Severity::Note).collect();
    let shown = worth.iter().map(|finding| format!("[{}] {}", finding.rule, finding.snippet(&name, text)));
    (worth.iter().any(|finding| finding.is_error()), shown.collect())
}

#[test]
fn published_workflows_are_not_refused() {
    let Some(folder) = std::env::var_os("WINDLASS_WORKFLOWS") else {
        // Not a skip: whoever has such a folder may ask; the files of `tests/data` are looked at without it.
        return;
    };
    let mut paths = Vec::new();
    files(Path::new(&folder), &mut paths);
    paths.sort();
    let mut refused = Vec::new();
    for path in &paths {
        let text = fs::read_to_string(path).expect("a text");
        let (errors, shown) = findings(path, &text);
        print!("{shown}");
        if errors {
            refused.push(shown);
        }
    }
    println!("{} files", paths.len());
    assert!(
        refused.is_empty(),
        "{} of {} files are refused\n{}",
        refused.len(),
        paths.len(),
        refused.join("\n")
    );
}
