//! Versions as toolchains tell them, and as workflows ask for them.

use std::fmt;

/// A version: numbers, the most important first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::action) struct Version(Vec<u64>);

/// What a workflow asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::action) enum Wanted {
    /// Whatever is there.
    Any,
    /// These numbers to begin with.
    Exact(Vec<u64>),
    /// At least these, within the first number (`^`, `~`) or without a bound (`>=`).
    AtLeast(Vec<u64>, bool),
}

/// How well a version fits, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::action) enum Fit {
    /// The first number is right.
    Minor,
    /// It is what was asked for.
    Full,
}

impl Version {
    /// The first version in a text: `go version go1.22.3 linux/amd64`, `openjdk version "1.8.0_392"`.
    pub(in crate::action) fn in_text(text: &str) -> Option<Self> {
        let start = text.char_indices().find(|(at, c)| {
            c.is_ascii_digit()
                && text[*at..].trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('.')
        });
        let rest =
            &text[start.map_or_else(|| text.find(|c: char| c.is_ascii_digit()), |(at, _)| Some(at))?..];
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let numbers: Vec<u64> = rest[..end].split('.').filter_map(|part| part.parse().ok()).collect();
        // Java 8 and older call themselves 1.8.
        let numbers = if numbers.first() == Some(&1) && text.contains("version \"1.") {
            numbers[1..].to_vec()
        } else {
            numbers
        };
        (!numbers.is_empty()).then_some(Self(numbers))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u64::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}

impl Wanted {
    /// `20`, `20.x`, `v20.1`, `3.11`, `>=3.9`, `^1.21`, `lts/*`, `stable`, `latest`; nothing is anything.
    pub(in crate::action) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let lower = text.to_ascii_lowercase();
        if text.is_empty()
            || ["*", "x", "latest", "current", "node", "stable", "lts", "oldstable"].contains(&lower.as_str())
            || lower.starts_with("lts/")
        {
            return Ok(Self::Any);
        }
        let first = text.split([' ', '|', ',']).next().unwrap_or(text);
        let (operator, rest) = match first.find(|c: char| c.is_ascii_digit()) {
            Some(at) => first.split_at(at),
            None => return Err(format!("`{text}` is no version")),
        };
        let mut numbers = Vec::new();
        for part in rest.split('.') {
            let digits = &part[..part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len())];
            match digits.parse() {
                Ok(number) => numbers.push(number),
                Err(_) => break,
            }
        }
        match operator.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '-') {
            "" | "=" | "==" => Ok(Self::Exact(numbers)),
            "^" | "~" | "~=" | "~>" => Ok(Self::AtLeast(numbers, true)),
            ">=" | ">" => Ok(Self::AtLeast(numbers, false)),
            other => Err(format!("`{text}`: `{other}` is not supported; name a version, such as 20 or 3.12")),
        }
    }

    /// How well a version fits; none if it does not.
    pub(in crate::action) fn fit(&self, version: &Version) -> Option<Fit> {
        match self {
            Self::Any => Some(Fit::Full),
            Self::Exact(numbers) => {
                if version.0.starts_with(numbers) {
                    return Some(Fit::Full);
                }
                (numbers.first() == version.0.first()).then_some(Fit::Minor)
            }
            Self::AtLeast(numbers, bounded) => {
                let same = numbers.first() == version.0.first();
                match (version.0 >= *numbers, same, bounded) {
                    (true, true, _) | (true, _, false) => Some(Fit::Full),
                    (false, true, _) => Some(Fit::Minor),
                    _ => None,
                }
            }
        }
    }
}

/// The version that a file asks for: `.nvmrc`, `.python-version`, `go.mod`, `package.json`, `global.json`, `.tool-versions`.
pub(super) fn in_file(name: &str, text: &str) -> Option<String> {
    let file = name.rsplit('/').next().unwrap_or(name);
    match file {
        "go.mod" | "go.work" => {
            let line = |word: &str| {
                text.lines().find_map(|line| line.trim().strip_prefix(word).map(str::trim).map(str::to_owned))
            };
            line("toolchain go").or_else(|| line("go "))
        }
        "package.json" => {
            let json: serde_json::Value = serde_json::from_str(text).ok()?;
            let found = json.pointer("/volta/node").or_else(|| json.pointer("/engines/node"))?;
            found.as_str().map(str::to_owned)
        }
        "global.json" => {
            let json: serde_json::Value = serde_json::from_str(text).ok()?;
            json.pointer("/sdk/version")?.as_str().map(str::to_owned)
        }
        ".tool-versions" => text.lines().find_map(|line| line.split_whitespace().nth(1).map(str::to_owned)),
        "pyproject.toml" => {
            let line = text.lines().find(|line| line.trim_start().starts_with("requires-python"))?;
            line.split_once('=')
                .map(|(_, value)| value.trim().trim_matches('"').trim_matches('\'').to_owned())
        }
        _ => text
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (text, wanted) in [
            ("v20.11.1\n", "20.11.1"),
            ("Python 3.12.0", "3.12.0"),
            ("go version go1.22.3 linux/amd64", "1.22.3"),
            ("openjdk version \"17.0.9\" 2023-10-17", "17.0.9"),
            ("openjdk version \"1.8.0_392\"", "8.0"),
            ("8.0.100", "8.0.100"),
        ] {
            assert_eq!(Version::in_text(text).unwrap().to_string(), wanted, "{text}");
        }
        assert_eq!(Version::in_text("command not found"), None);
    }

    #[test]
    fn wishes_fit_versions() {
        for (wish, version, fit) in [
            ("", "1.2.3", Some(Fit::Full)),
            ("lts/*", "20.1.0", Some(Fit::Full)),
            ("20", "20.11.1", Some(Fit::Full)),
            ("20.x", "20.11.1", Some(Fit::Full)),
            ("v20.12", "20.11.1", Some(Fit::Minor)),
            ("18", "20.11.1", None),
            ("3.11", "3.12.0", Some(Fit::Minor)),
            (">=3.9", "3.12.0", Some(Fit::Full)),
            (">=3.9 <3.12", "3.11.4", Some(Fit::Full)),
            ("^1.21", "1.22.0", Some(Fit::Full)),
            ("^1.21", "1.20.0", Some(Fit::Minor)),
            (">=18", "20.0.0", Some(Fit::Full)),
            (">=18", "16.0.0", None),
            ("temurin-17", "17.0.9", Some(Fit::Full)),
        ] {
            let found = Wanted::parse(wish).unwrap().fit(&Version::in_text(version).unwrap());
            assert_eq!(found, fit, "{wish} {version}");
        }
        assert!(Wanted::parse("<3").is_err() && Wanted::parse("nonsense").is_err());
    }

    #[test]
    fn files_name_versions() {
        for (file, text, wanted) in [
            (".nvmrc", "v20\n", "v20"),
            ("go.mod", "module x\n\ngo 1.22\n", "1.22"),
            ("a/package.json", r#"{"engines":{"node":">=18"}}"#, ">=18"),
            ("global.json", r#"{"sdk":{"version":"8.0.1"}}"#, "8.0.1"),
            ("pyproject.toml", "[project]\nrequires-python = \">=3.9\"\n", ">=3.9"),
        ] {
            assert_eq!(in_file(file, text).as_deref(), Some(wanted), "{file}");
        }
    }
}
