//! Dockerfiles among the files that are checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use windlass_dockerfile::{Ignore, Options, Platform, lint, parse};
use windlass_kernel::diagnostic::{Diagnostic, Span};

/// Whether a file is a Dockerfile by its name: `Dockerfile`, `Dockerfile.NAME`, `NAME.Dockerfile`, and `Containerfile` so.
pub(super) fn is_one(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    ["dockerfile", "containerfile"].iter().any(|word| {
        name == *word || name.starts_with(&format!("{word}.")) || name.ends_with(&format!(".{word}"))
    })
}

/// What is found in one. Base images are not fetched for it.
pub(super) fn findings(path: &Path, text: &str) -> Vec<Diagnostic> {
    let own = Platform::linux(std::env::consts::ARCH);
    let options = Options {
        build_args: BTreeMap::new(),
        target: None,
        platform: own.clone(),
        build_platform: own,
        contexts: BTreeSet::new(),
    };
    let (ignore, wrong) = match ignore(path) {
        Ok(ignore) => (ignore, None),
        Err(message) => (None, Some(Diagnostic::error(Span::default(), message))),
    };
    let mut found = lint(&parse(text), &options, ignore.as_ref());
    found.extend(wrong);
    found
}

/// The patterns beside it: `NAME.dockerignore` goes before `.dockerignore`.
fn ignore(path: &Path) -> Result<Option<Ignore>, String> {
    let mut own = path.as_os_str().to_owned();
    own.push(".dockerignore");
    for file in [own.into(), path.with_file_name(".dockerignore")] {
        let file: std::path::PathBuf = file;
        if let Ok(text) = std::fs::read_to_string(&file) {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Ignore::parse(&text).map(Some).map_err(|error| format!("{name}: {error}"));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockerfiles_are_known_by_their_names() {
        for (name, wanted) in [
            ("Dockerfile", true),
            ("a/Dockerfile.web", true),
            ("web.Dockerfile", true),
            ("Containerfile", true),
            ("dockerfile", true),
            ("Dockerfiles", false),
            ("docker.yml", false),
        ] {
            assert_eq!(is_one(Path::new(name)), wanted, "{name}");
        }
    }
}
