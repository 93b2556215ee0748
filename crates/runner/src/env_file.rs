//! The environment files (`GITHUB_ENV`, `GITHUB_OUTPUT`, `GITHUB_STATE`, `GITHUB_PATH`): text to pairs.
//! Pairs are `NAME=VALUE`, or `NAME<<DELIMITER`, lines, `DELIMITER`. Nothing is trimmed.

/// What is wrong with an environment file. The texts are those that users of the format know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvFileError {
    #[error("Invalid format '{0}'")]
    Format(String),
    #[error("Invalid format '{0}'. Name must not be empty")]
    EmptyName(String),
    #[error("Invalid format '{0}'. Name must not be empty and delimiter must not be empty")]
    EmptyDelimiter(String),
    #[error("Invalid value. Matching delimiter not found '{0}'")]
    Unclosed(String),
    #[error("Invalid format '{0}'. No variable can hold a zero byte")]
    Zero(String),
}

/// Reads pairs, in order.
pub(crate) fn pairs(text: &str) -> Result<Vec<(String, String)>, EnvFileError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.split_inclusive('\n');
    let mut found = Vec::new();
    while let Some(raw) = lines.next() {
        let line = raw.strip_suffix('\n').unwrap_or(raw);
        if line.is_empty() {
            continue;
        }
        match (line.find('='), line.find("<<")) {
            (Some(equals), heredoc) if heredoc.is_none_or(|h| equals < h) => {
                let (name, value) = (&line[..equals], &line[equals + 1..]);
                if name.is_empty() {
                    return Err(EnvFileError::EmptyName(shown(line)));
                }
                found.push((name.to_owned(), value.to_owned()));
            }
            (_, Some(heredoc)) => {
                let (name, delimiter) = (&line[..heredoc], &line[heredoc + 2..]);
                if name.is_empty() || delimiter.is_empty() {
                    return Err(EnvFileError::EmptyDelimiter(shown(line)));
                }
                found.push((name.to_owned(), until(&mut lines, delimiter)?));
            }
            _ => return Err(EnvFileError::Format(shown(line))),
        }
    }
    Ok(found)
}

/// Reads `GITHUB_PATH`: one folder per line, empty lines dropped.
pub(crate) fn paths(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Says which variable, or folder of the search path, no program could be given.
pub(crate) fn usable<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(), EnvFileError> {
    match texts.into_iter().find(|(name, value)| name.contains('\0') || value.contains('\0')) {
        Some((name, _)) => Err(EnvFileError::Zero(shown(&name.replace('\0', "\\0")))),
        None => Ok(()),
    }
}

/// Whether a name from `GITHUB_ENV` may take effect: the runner's own variables keep their values.
pub(crate) fn may_set(name: &str) -> bool {
    !(name.starts_with("GITHUB_") || name.starts_with("RUNNER_"))
}

fn until<'a>(lines: &mut impl Iterator<Item = &'a str>, delimiter: &str) -> Result<String, EnvFileError> {
    let mut value = String::new();
    for raw in lines {
        let line = raw.strip_suffix('\n').unwrap_or(raw);
        if line == delimiter {
            if value.ends_with('\n') {
                value.pop();
            }
            return Ok(value);
        }
        value.push_str(raw);
    }
    Err(EnvFileError::Unclosed(shown(delimiter)))
}

/// Enough of a line to find it again.
fn shown(line: &str) -> String {
    line.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_written() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("", &[]),
            ("\n\n", &[]),
            ("A=1\nB=2", &[("A", "1"), ("B", "2")]),
            ("A= 1 \n B=x\r\n", &[("A", " 1 "), (" B", "x\r")]),
            ("A=b=c<<d\n", &[("A", "b=c<<d")]),
            ("A<<EOF\none\ntwo\nEOF\nB=3\n", &[("A", "one\ntwo"), ("B", "3")]),
            ("A<<EOF\nEOF\n", &[("A", "")]),
            ("A<<EOF\n\nEOF", &[("A", "")]),
            ("A<<EOF\nx=1\n EOF\nEOF", &[("A", "x=1\n EOF")]),
            ("A<<E=F\nv\nE=F", &[("A", "v")]),
            ("A=\n", &[("A", "")]),
            ("\u{feff}A=1", &[("A", "1")]),
        ];
        for (text, wanted) in cases {
            let wanted: Vec<_> = wanted.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            assert_eq!(pairs(text), Ok(wanted), "{text:?}");
        }
    }

    #[test]
    fn a_bad_file_says_which_line() {
        let cases = [
            ("nothing", "Invalid format 'nothing'"),
            ("=x", "Invalid format '=x'. Name must not be empty"),
            ("<<EOF\nEOF", "Invalid format '<<EOF'. Name must not be empty and delimiter must not be empty"),
            ("A<<\nx\n", "Invalid format 'A<<'. Name must not be empty and delimiter must not be empty"),
            ("A<<EOF\nx\n", "Invalid value. Matching delimiter not found 'EOF'"),
        ];
        for (text, wanted) in cases {
            assert_eq!(pairs(text).unwrap_err().to_string(), wanted, "{text:?}");
        }
    }

    #[test]
    fn the_runners_own_names_are_guarded() {
        for (name, may) in [("CI", true), ("GITHUB_SHA", false), ("RUNNER_OS", false), ("MY_GITHUB_X", true)]
        {
            assert_eq!(may_set(name), may, "{name}");
        }
        assert_eq!(paths("/a\n\n/b c\n"), ["/a", "/b c"]);
        assert!(usable([("A", "x"), ("B", "y")]).is_ok());
        for bad in [("A\0B", "x"), ("A", "\0")] {
            assert!(usable([("C", ""), bad]).unwrap_err().to_string().contains("zero byte"), "{bad:?}");
        }
    }
}
