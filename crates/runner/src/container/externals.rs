//! What of ours a container sees, whatever image it is of: this program with its own loader and libraries, so that it
//! runs where there is another C library or none.

use std::path::{Path, PathBuf};

/// Where it lies inside.
const FOLDER: &str = "/__e/windlass";

/// Our program, for a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Externals {
    /// Files of the machine, and where they are seen; none may be written to.
    pub(crate) files: Vec<(PathBuf, String)>,
    /// The words by which it is called there.
    pub(crate) argv: Vec<String>,
}

/// Finds out what `exe` needs.
pub(crate) async fn find(exe: &Path) -> Result<Externals, String> {
    let program = format!("{FOLDER}/windlass");
    let Some(loader) = loader() else {
        // Without a loader in this process it is a program that needs none.
        return Ok(Externals { files: vec![(exe.to_owned(), program.clone())], argv: vec![program] });
    };
    let listed = tokio::process::Command::new(&loader).arg("--list").arg(exe).output().await;
    let listed = listed.map_err(|e| format!("`{}` cannot be run: {e}", loader.display()))?;
    if !listed.status.success() {
        return Err(format!("`{} --list` does not know the program", loader.display()));
    }
    Ok(with_libraries(exe, &loader, &String::from_utf8_lossy(&listed.stdout)))
}

/// The loader that this process was started by.
fn loader() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let files = maps.lines().filter_map(|line| line.find('/').map(|at| Path::new(&line[at..])));
    let mut loaders = files.filter(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("ld-") && name.contains(".so")
    });
    loaders.next().map(Path::to_owned)
}

fn with_libraries(exe: &Path, loader: &Path, listed: &str) -> Externals {
    let inside = |name: &str| format!("{FOLDER}/lib/{name}");
    let mut files =
        vec![(exe.to_owned(), format!("{FOLDER}/windlass")), (loader.to_owned(), inside("loader"))];
    for line in listed.lines() {
        // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f…)`
        let Some((name, rest)) = line.trim().split_once(" => ") else { continue };
        let path = rest.split(" (").next().unwrap_or_default().trim();
        if path.starts_with('/') && !name.contains('/') {
            files.push((PathBuf::from(path), inside(name)));
        }
    }
    let argv = vec![
        inside("loader"),
        "--library-path".to_owned(),
        format!("{FOLDER}/lib"),
        format!("{FOLDER}/windlass"),
    ];
    Externals { files, argv }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_taken_along() {
        let listed = "\tlinux-vdso.so.1 (0x00007f)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x00007f)\n\
                      \t/lib64/ld-linux-x86-64.so.2 => /lib/x/ld.so (0x00007f)\n";
        let found = with_libraries(Path::new("/opt/windlass"), Path::new("/lib/ld.so"), listed);
        let seen: Vec<_> = found.files.iter().map(|(_, inside)| inside.as_str()).collect();
        assert_eq!(
            seen,
            ["/__e/windlass/windlass", "/__e/windlass/lib/loader", "/__e/windlass/lib/libc.so.6"]
        );
        assert_eq!(found.argv[0], "/__e/windlass/lib/loader");
    }

    #[tokio::test]
    async fn this_very_program_can_be_called_so() {
        let exe = std::env::current_exe().unwrap();
        let found = find(&exe).await.unwrap();
        for (file, _) in &found.files {
            assert!(file.is_file(), "{}", file.display());
        }
    }
}
