//! Shells of `run` steps: their command lines, and how a script is handed to them (workflow contract, section 9).

/// A shell, ready to take a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shell {
    /// What stands in the log.
    pub(crate) shown: String,
    words: Vec<String>,
    extension: &'static str,
    dialect: Dialect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Plain,
    PowerShell,
}

/// Why a shell cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ShellError {
    #[error(
        "Invalid shell option. Shell must be a valid built-in (bash, sh, pwsh, python) or a format string containing '{{0}}': '{0}'"
    )]
    NoPlace(String),
    #[error("the shell `{0}` exists on Windows only; this job runs on Linux: use bash, sh, pwsh or python")]
    WindowsOnly(String),
    #[error("the shell `{0}` has a quotation mark that is not closed")]
    Unclosed(String),
}

impl Shell {
    /// The shell that a step asks for; `None` is the default, which depends on whether there is a bash.
    pub(crate) fn parse(asked: Option<&str>, has_bash: bool) -> Result<Self, ShellError> {
        let (line, extension, dialect) = match asked.map(str::trim).filter(|shell| !shell.is_empty()) {
            None if has_bash => ("bash -e {0}", ".sh", Dialect::Plain),
            None => ("sh -e {0}", ".sh", Dialect::Plain),
            Some("bash") => ("bash --noprofile --norc -e -o pipefail {0}", ".sh", Dialect::Plain),
            Some("sh") => ("sh -e {0}", ".sh", Dialect::Plain),
            Some("python") => ("python {0}", ".py", Dialect::Plain),
            Some("pwsh") => ("pwsh -command \". '{0}'\"", ".ps1", Dialect::PowerShell),
            Some(other @ ("cmd" | "powershell")) => return Err(ShellError::WindowsOnly(other.to_owned())),
            Some(custom) if custom.contains("{0}") => {
                let (extension, dialect) = of_program(custom.split_whitespace().next().unwrap_or_default());
                (custom, extension, dialect)
            }
            Some(custom) => return Err(ShellError::NoPlace(custom.to_owned())),
        };
        let words = split(line).ok_or_else(|| ShellError::Unclosed(line.to_owned()))?;
        Ok(Self { shown: line.to_owned(), words, extension, dialect })
    }

    /// The name of the script's file, for a name without extension.
    pub(crate) fn file_name(&self, stem: &str) -> String {
        format!("{stem}{}", self.extension)
    }

    /// The program and its arguments, for a script at `path`.
    pub(crate) fn argv(&self, path: &str) -> Vec<String> {
        self.words.iter().map(|word| word.replace("{0}", path)).collect()
    }

    /// The script's file: what the step says, and what the shell needs around it.
    pub(crate) fn script(&self, text: &str) -> String {
        let text = text.replace("\r\n", "\n");
        match self.dialect {
            Dialect::Plain => text,
            Dialect::PowerShell => format!(
                "$ErrorActionPreference = 'stop'\n{text}\nif ((Test-Path -LiteralPath variable:\\LASTEXITCODE)) {{ exit $LASTEXITCODE }}"
            ),
        }
    }
}

/// How the file of a script is called, and what goes around it, by the program that reads it.
fn of_program(program: &str) -> (&'static str, Dialect) {
    match program {
        "bash" | "sh" => (".sh", Dialect::Plain),
        "python" => (".py", Dialect::Plain),
        "pwsh" => (".ps1", Dialect::PowerShell),
        _ => ("", Dialect::Plain),
    }
}

/// Words, as a command line has them: spaces divide, quotation marks hold together. No shell reads this.
fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    (quote.is_none() && !words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_have_their_exact_command_lines() {
        let cases: &[(Option<&str>, bool, &str, &[&str])] = &[
            (None, true, "s.sh", &["bash", "-e", "/t/s.sh"]),
            (None, false, "s.sh", &["sh", "-e", "/t/s.sh"]),
            (
                Some("bash"),
                true,
                "s.sh",
                &["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "/t/s.sh"],
            ),
            (Some("sh"), true, "s.sh", &["sh", "-e", "/t/s.sh"]),
            (Some("python"), true, "s.py", &["python", "/t/s.py"]),
            (Some("pwsh"), true, "s.ps1", &["pwsh", "-command", ". '/t/s.ps1'"]),
            (Some("perl {0}"), true, "s", &["perl", "/t/s"]),
            (Some("bash -x {0}"), true, "s.sh", &["bash", "-x", "/t/s.sh"]),
            (Some("python -u {0} --flag"), true, "s.py", &["python", "-u", "/t/s.py", "--flag"]),
            (
                Some("pwsh -NoProfile -Command \". '{0}'\""),
                true,
                "s.ps1",
                &["pwsh", "-NoProfile", "-Command", ". '/t/s.ps1'"],
            ),
            (Some("node -e \"run a\" {0}"), true, "s", &["node", "-e", "run a", "/t/s"]),
        ];
        for (asked, has_bash, file, argv) in cases {
            let shell = Shell::parse(*asked, *has_bash).unwrap();
            assert_eq!(shell.file_name("s"), *file);
            assert_eq!(shell.argv(&format!("/t/{file}")), *argv, "{asked:?}");
        }
        for bad in ["perl", "cmd", "powershell", "perl \"{0}"] {
            assert!(Shell::parse(Some(bad), true).is_err(), "{bad}");
        }
    }

    #[test]
    fn power_shell_scripts_fail_on_errors() {
        let script = Shell::parse(Some("pwsh"), true).unwrap().script("Get-Item x");
        assert!(script.starts_with("$ErrorActionPreference = 'stop'\nGet-Item x\n"));
        assert!(script.ends_with("exit $LASTEXITCODE }"));
        assert_eq!(Shell::parse(None, true).unwrap().script("a\r\nb"), "a\nb");
    }
}
