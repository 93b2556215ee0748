//! Git repositories as sources of `ADD`.

use super::GitSource;

/// What a source says of a Git repository.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Remote {
    pub(super) source: Option<GitSource>,
    pub(super) checksum: Option<String>,
    pub(super) keep_git_dir: Option<bool>,
}

/// Reads a source that may be a Git repository: `https://….git`, `git://`, `ssh://`, `git@host:path`.
pub(super) fn remote(text: &str) -> Result<Option<Remote>, String> {
    let (address, fragment) = match text.split_once('#') {
        Some((address, fragment)) => (address, Some(fragment)),
        None => (text, None),
    };
    let (address, query) = match address.split_once('?') {
        Some((address, query)) => (address, Some(query)),
        None => (address, None),
    };
    let web = address.starts_with("http://") || address.starts_with("https://");
    let own = address.starts_with("git://") || address.starts_with("ssh://") || copied_form(address);
    // An ordinary address is one of a repository only when it says so.
    let named = address.strip_suffix('/').unwrap_or(address).strip_suffix(".git").is_some();
    if !(own || web && named) {
        return Ok(None);
    }
    let (reference, folder) = fragment.map_or((None, None), split_fragment);
    let mut remote = Remote::default();
    let mut source = GitSource { remote: address.to_owned(), reference, folder };
    for (name, value) in query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
    {
        match name {
            "ref" | "branch" | "tag" if source.reference.is_none() => source.reference = filled(value),
            "subdir" if source.folder.is_none() => source.folder = filled(value),
            "checksum" | "commit" => remote.checksum = filled(value),
            "keep-git-dir" if value.is_empty() => remote.keep_git_dir = Some(true),
            "keep-git-dir" => remote.keep_git_dir = crate::parse::boolean(value),
            other => {
                return Err(format!("the Git source has a setting '{other}' that is not supported here"));
            }
        }
    }
    remote.source = Some(source);
    Ok(Some(remote))
}

/// `user@host:path`.
fn copied_form(address: &str) -> bool {
    let word =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    let Some((user, rest)) = address.split_once('@') else { return false };
    rest.split_once(':').is_some_and(|(host, path)| word(user) && word(host) && !path.is_empty())
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// `reference:folder`.
fn split_fragment(fragment: &str) -> (Option<String>, Option<String>) {
    let (reference, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
    (filled(reference), filled(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_sources_are_told_from_files_and_addresses() {
        for text in ["a/b", "https://host/x.tar.gz", "http://host/repo", "a@b", "./git@x/y"] {
            assert_eq!(remote(text), Ok(None), "{text}");
        }
        for (text, address, reference, folder) in [
            ("https://host/a.git", "https://host/a.git", None, None),
            ("https://host/a.git#main", "https://host/a.git", Some("main"), None),
            ("https://host/a.git#v1:sub/x", "https://host/a.git", Some("v1"), Some("sub/x")),
            ("https://host/a.git#:sub", "https://host/a.git", None, Some("sub")),
            ("git@host:a/b.git#x", "git@host:a/b.git", Some("x"), None),
            ("git://host/a", "git://host/a", None, None),
            ("ssh://git@host/a?ref=v2&subdir=d", "ssh://git@host/a", Some("v2"), Some("d")),
        ] {
            let found = remote(text).unwrap().unwrap().source.unwrap();
            assert_eq!(found.remote, address, "{text}");
            assert_eq!(found.reference.as_deref(), reference, "{text}");
            assert_eq!(found.folder.as_deref(), folder, "{text}");
        }
        assert!(remote("https://host/a.git?depth=1").is_err());
    }
}
