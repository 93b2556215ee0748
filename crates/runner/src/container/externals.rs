//! What of the machine a container sees, whatever image it is of: our program, and Node.js for actions, each with its own
//! loader and libraries, so that it runs where there is another C library or none.

use std::path::{Path, PathBuf};

/// Where ours lies inside, and where the machine's Node.js does.
const FOLDER: &str = "/__e/windlass";
pub(crate) const NODE: &str = "/__e/node";

/// A program, for a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Externals {
    /// Files of the machine, and where they are seen; none may be written to.
    pub(crate) files: Vec<(PathBuf, String)>,
    /// The words by which it is called there.
    pub(crate) argv: Vec<String>,
}

/// Finds out what our program needs.
pub(crate) async fn find(exe: &Path) -> Result<Externals, String> {
    of(exe, FOLDER).await
}

/// Finds out what a program of the machine needs to be run from `folder`.
pub(crate) async fn of(exe: &Path, folder: &str) -> Result<Externals, String> {
    let name = exe.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let loader = loader(exe).map_err(|e| format!("`{}` cannot be read: {e}", exe.display()))?;
    let Some(loader) = loader else {
        // It is a program that needs none.
        let program = format!("{folder}/{name}");
        return Ok(Externals { files: vec![(exe.to_owned(), program.clone())], argv: vec![program] });
    };
    let listed = tokio::process::Command::new(&loader).arg("--list").arg(exe).output().await;
    let listed = listed.map_err(|e| format!("`{}` cannot be run: {e}", loader.display()))?;
    if !listed.status.success() {
        return Err(format!("`{} --list` does not know {}", loader.display(), exe.display()));
    }
    Ok(with_libraries(exe, &loader, &String::from_utf8_lossy(&listed.stdout), folder))
}

/// The loader that a program names (the segment `PT_INTERP` of an ELF file of 64 bits); none if it needs none.
fn loader(exe: &Path) -> std::io::Result<Option<PathBuf>> {
    const INTERPRETER: u32 = 3;
    let mut head = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(std::fs::File::open(exe)?, 64 << 10), &mut head)?;
    let bytes = |at: usize, length: usize| head.get(at..at.checked_add(length)?);
    let number = |at: usize, length: usize| {
        let bytes = bytes(at, length)?.iter().rev();
        usize::try_from(bytes.fold(0_u64, |number, byte| number << 8 | u64::from(*byte))).ok()
    };
    let find = || {
        if !head.starts_with(b"\x7fELF\x02") {
            return None;
        }
        let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        (0..count).find_map(|n| {
            let at = table.checked_add(n.checked_mul(size)?)?;
            let is = number(at, 4)? == INTERPRETER as usize;
            let text = bytes(number(at + 8, 8)?, number(at + 32, 8)?).filter(|_| is)?;
            let text = text.split(|byte| *byte == 0).next()?;
            Some(PathBuf::from(String::from_utf8_lossy(text).into_owned()))
        })
    };
    Ok(find())
}

fn with_libraries(exe: &Path, loader: &Path, listed: &str, folder: &str) -> Externals {
    let inside = |name: &str| format!("{folder}/lib/{name}");
    let program = format!("{folder}/{}", exe.file_name().unwrap_or_default().to_string_lossy());
    let mut files = vec![(exe.to_owned(), program.clone()), (loader.to_owned(), inside("loader"))];
    for line in listed.lines() {
        // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f…)`
        let Some((name, rest)) = line.trim().split_once(" => ") else { continue };
        let path = rest.split(" (").next().unwrap_or_default().trim();
        if path.starts_with('/') && !name.contains('/') {
            files.push((PathBuf::from(path), inside(name)));
        }
    }
    let argv = vec![inside("loader"), "--library-path".to_owned(), format!("{folder}/lib"), program];
    Externals { files, argv }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_taken_along() {
        let listed = "\tlinux-vdso.so.1 (0x00007f)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x00007f)\n\
                      \t/lib64/ld-linux-x86-64.so.2 => /lib/x/ld.so (0x00007f)\n";
        let found = with_libraries(Path::new("/opt/windlass"), Path::new("/lib/ld.so"), listed, FOLDER);
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
        // The loader that started this very process is the one that it names.
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        if maps.contains("/ld-") {
            let named = loader(&exe).unwrap().unwrap().canonicalize().unwrap();
            assert!(maps.contains(&named.display().to_string()), "{}", named.display());
        }
    }
}
