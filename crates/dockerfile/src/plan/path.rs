//! Paths in an image: always with `/`, always from the root.

/// A path without `.`, `..` and doubled slashes, from the root. `..` never leads above it.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            other => parts.push(other),
        }
    }
    format!("/{}", parts.join("/"))
}

/// A path as seen from a folder.
pub(super) fn join(folder: &str, path: &str) -> String {
    if path.starts_with('/') { clean(path) } else { clean(&format!("{folder}/{path}")) }
}

/// Where files are copied to: as [`join`], with a `/` at its end where the path says that it is a folder.
pub(super) fn destination(folder: &str, path: &str) -> String {
    let mut found = join(folder, path);
    let is_folder = path.is_empty() || path == "." || path.ends_with('/') || path.ends_with("/.");
    if is_folder && found != "/" {
        found.push('/');
    }
    found
}

/// A path of a context, relative to its root; `.` for all of it.
pub(super) fn relative(path: &str) -> String {
    match clean(path).strip_prefix('/') {
        None | Some("") => ".".to_owned(),
        Some(rest) => rest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_never_leave_the_root() {
        for (folder, path, wanted) in [
            ("/", "a", "/a"),
            ("/app", "a/../b", "/app/b"),
            ("/app", "/x//y/.", "/x/y"),
            ("/app", "../../../etc", "/etc"),
            ("", "", "/"),
            ("/app", ".", "/app"),
        ] {
            assert_eq!(join(folder, path), wanted, "{folder} {path}");
        }
    }

    #[test]
    fn a_destination_keeps_what_says_that_it_is_a_folder() {
        for (path, wanted) in [
            ("x", "/app/x"),
            ("x/", "/app/x/"),
            ("x/.", "/app/x/"),
            (".", "/app/"),
            ("", "/app/"),
            ("./", "/app/"),
            ("/", "/"),
            ("/y/", "/y/"),
            ("..", "/"),
        ] {
            assert_eq!(destination("/app", path), wanted, "{path}");
        }
    }

    #[test]
    fn a_source_is_relative() {
        for (path, wanted) in [("/", "."), (".", "."), ("./a/", "a"), ("../a", "a"), ("a/*.c", "a/*.c")] {
            assert_eq!(relative(path), wanted, "{path}");
        }
    }
}
