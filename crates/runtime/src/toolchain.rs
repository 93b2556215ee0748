//! Toolchains that live below a home folder: which folders a job may see, and the variables and search path
//! that make programs find them. A folder that is not listed is not seen: keys and tokens never are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders below a home that hold tools, or what tools fetched from public places. None holds credentials.
const FOLDERS: &[&str] = &[
    ".rustup",
    ".cargo/bin",
    ".cargo/registry",
    ".cargo/git",
    ".pyenv",
    ".nvm",
    ".local/bin",
    ".local/lib",
    ".local/share/uv",
    ".local/share/mise",
    ".local/share/pnpm",
    ".local/share/fnm",
    ".volta",
    ".asdf",
    ".rbenv",
    ".sdkman",
    ".bun",
    ".deno",
    ".dotnet",
    ".go",
    "go",
    ".npm/_cacache",
    ".m2/repository",
    ".m2/wrapper",
    ".gradle/caches",
    ".gradle/wrapper",
    ".cache/pip",
    ".cache/uv",
    ".cache/go-build",
    ".cache/yarn",
    ".cache/ms-playwright",
];

/// Files that are copied, if they hold nothing that looks like a credential.
const FILES: &[&str] = &[".cargo/env", ".cargo/config.toml", ".cargo/config", ".cargo/.crates.toml"];

/// A toolchain folder of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Folder {
    /// Where it really is.
    pub(crate) host: PathBuf,
    /// Where it is seen.
    pub(crate) at: PathBuf,
}

/// What of a home's toolchains is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Toolchains {
    /// Folders, to be shown with writes thrown away.
    pub(crate) folders: Vec<Folder>,
    /// Small files, with their text.
    pub(crate) files: Vec<(PathBuf, String)>,
}

/// Looks below `home`. Links that lead to a place that is not a toolchain folder of this home are not followed.
pub(crate) fn find(home: &Path) -> Toolchains {
    let folders = FOLDERS
        .iter()
        .filter_map(|name| {
            let at = home.join(name);
            let host =
                fs::canonicalize(&at).ok().filter(|host| host.is_dir() && !holds_credentials(home, host))?;
            Some(Folder { host, at })
        })
        .collect();
    let files = FILES
        .iter()
        .filter_map(|name| {
            let at = home.join(name);
            let small = fs::metadata(&at).ok().is_some_and(|meta| meta.is_file() && meta.len() < 64 * 1024);
            let text = small.then(|| fs::read_to_string(&at).ok()).flatten()?;
            (!looks_secret(&text)).then_some((at, text))
        })
        .collect();
    Toolchains { folders, files }
}

/// A link must not make the home itself, or a folder above it, visible.
fn holds_credentials(home: &Path, host: &Path) -> bool {
    let home = fs::canonicalize(home).unwrap_or_else(|_| home.to_owned());
    let Ok(below) = host.strip_prefix(&home) else { return home.starts_with(host) };
    !FOLDERS.iter().any(|folder| below.starts_with(folder))
}

fn looks_secret(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["token", "password", "secret", "authorization", "credential"].iter().any(|word| text.contains(word))
}

/// The search path of programs: toolchains of `home` that are there, then the system's folders and those of
/// `machine` (the path that Windlass itself was started with) that lie outside of home folders.
pub(crate) fn search_path(home: &Path, machine: &str) -> String {
    const TOOLS: &[&str] = &[
        ".cargo/bin",
        ".pyenv/shims",
        ".pyenv/bin",
        ".local/bin",
        ".volta/bin",
        ".asdf/shims",
        ".rbenv/shims",
        ".rbenv/bin",
        ".bun/bin",
        ".deno/bin",
        ".dotnet",
        "go/bin",
        ".local/share/mise/shims",
        ".local/share/pnpm",
    ];
    const SYSTEM: &[&str] =
        &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/go/bin"];
    let mut path: Vec<String> = Vec::new();
    let mut add = |folder: String| {
        if !folder.is_empty() && !folder.contains(':') && !path.contains(&folder) {
            path.push(folder);
        }
    };
    TOOLS
        .iter()
        .map(|tool| home.join(tool))
        .filter(|tool| tool.is_dir())
        .for_each(|t| add(t.display().to_string()));
    if let Some(folder) = newest_node(home) {
        add(folder.display().to_string());
    }
    for folder in machine.split(':').filter(|folder| folder.starts_with('/')) {
        let below_home = Path::new(folder).starts_with(home);
        if !below_home || FOLDERS.iter().any(|tool| Path::new(folder).starts_with(home.join(tool))) {
            add(folder.to_owned());
        }
    }
    SYSTEM.iter().filter(|folder| Path::new(folder).is_dir()).for_each(|folder| add((*folder).to_owned()));
    path.join(":")
}

/// A search path with the folders of `home` before it to which package managers install programs (`pip`, `cargo`): they need
/// not be there yet.
pub(crate) fn own_first(home: &Path, path: &str) -> String {
    let own = [".local/bin", ".cargo/bin"].map(|folder| home.join(folder).display().to_string());
    let mut all: Vec<&str> = own.iter().map(String::as_str).filter(|folder| !folder.contains(':')).collect();
    all.extend(path.split(':').filter(|folder| !own.iter().any(|own| own == folder)));
    all.join(":")
}

/// nvm keeps versions side by side and chooses in a shell's start-up file; without one, the newest is taken.
fn newest_node(home: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(home.join(".nvm/versions/node")).ok()?;
    versions
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let numbers: Vec<u32> =
                name.trim_start_matches('v').split('.').map_while(|n| n.parse().ok()).collect();
            Some((numbers, entry.path().join("bin")))
        })
        .max()
        .map(|(_, path)| path)
}

/// Variables by which tools find their home when `HOME` is another folder (level `process`).
pub(crate) fn variables(home: &Path) -> BTreeMap<String, String> {
    [("RUSTUP_HOME", ".rustup"), ("PYENV_ROOT", ".pyenv"), ("NVM_DIR", ".nvm"), ("VOLTA_HOME", ".volta")]
        .into_iter()
        .map(|(name, folder)| (name, home.join(folder)))
        .filter(|(_, folder)| folder.is_dir())
        .map(|(name, folder)| (name.to_owned(), folder.display().to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home_with(names: &[&str]) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        for name in names {
            fs::create_dir_all(home.path().join(name)).unwrap();
        }
        home
    }

    #[test]
    fn only_listed_folders_are_seen() {
        let home = home_with(&[".rustup", ".cargo/bin", ".ssh", ".aws", ".config/gh", ".docker", ".gnupg"]);
        fs::write(home.path().join(".cargo/credentials.toml"), "token = 'x'").unwrap();
        let seen: Vec<_> = find(home.path()).folders.into_iter().map(|folder| folder.at).collect();
        assert_eq!(seen, [home.path().join(".rustup"), home.path().join(".cargo/bin")]);
    }

    #[test]
    fn a_link_does_not_open_the_home_or_its_keys() {
        let home = home_with(&[".ssh", ".config", ".rustup"]);
        for (link, target) in [("go", ""), (".go", ".ssh"), (".nvm", ".config"), (".volta", ".rustup")] {
            std::os::unix::fs::symlink(home.path().join(target), home.path().join(link)).unwrap();
        }
        std::os::unix::fs::symlink("/", home.path().join(".asdf")).unwrap();
        let seen: Vec<_> = find(home.path()).folders.into_iter().map(|folder| folder.at).collect();
        assert_eq!(seen, [home.path().join(".rustup"), home.path().join(".volta")]);
    }

    #[test]
    fn a_configuration_with_a_token_is_left_out() {
        let home = home_with(&[".cargo"]);
        fs::write(home.path().join(".cargo/config.toml"), "[registries.x]\nToken = 'abc'").unwrap();
        fs::write(home.path().join(".cargo/env"), "export PATH").unwrap();
        let files = find(home.path()).files;
        assert_eq!(files, [(home.path().join(".cargo/env"), "export PATH".to_owned())]);
    }

    #[test]
    fn programs_that_a_job_installs_are_found() {
        let path = own_first(Path::new("/home/ann"), "/usr/bin:/home/ann/.cargo/bin:/bin");
        assert_eq!(path, "/home/ann/.local/bin:/home/ann/.cargo/bin:/usr/bin:/bin");
    }

    #[test]
    fn the_search_path_has_tools_first_and_nothing_private() {
        let home =
            home_with(&[".cargo/bin", ".nvm/versions/node/v9.1.0/bin", ".nvm/versions/node/v20.1.0/bin"]);
        let root = home.path().display();
        let path = search_path(home.path(), &format!("/usr/bin:{root}/secret/bin:relative:/opt/x/bin"));
        let parts: Vec<_> = path.split(':').collect();
        assert_eq!(parts[0], format!("{root}/.cargo/bin"));
        assert_eq!(parts[1], format!("{root}/.nvm/versions/node/v20.1.0/bin"));
        assert!(parts.contains(&"/opt/x/bin") && parts.contains(&"/bin"));
        assert!(!path.contains("secret") && !path.contains("relative"));
        assert_eq!(parts.iter().filter(|part| **part == "/usr/bin").count(), 1);
    }
}
