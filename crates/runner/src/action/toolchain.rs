//! The `setup-*` family: finds the toolchain of the wanted version among those of the machine, and puts it first.
//! Nothing is downloaded. Another minor version is a warning; another major version, or none, is a failure.

mod python;
mod version;

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::{Action, ActionError, ActionRun, failed};
use crate::tool::{Request, Searching};

pub(super) use version::{Fit, Version, Wanted};

/// One member of the family.
pub(super) struct Setup {
    /// What people call it.
    name: &'static str,
    /// The program, and the arguments that make it tell its version.
    program: &'static str,
    ask: &'static [&'static str],
    inputs: &'static [(&'static str, &'static str)],
    /// The input that names the version, and the one that names a file with it.
    version: &'static str,
    file: &'static str,
    /// Folders of installations; those of a variable begin with `$NAME/`. `bin` in each holds the program.
    folders: &'static [&'static str],
    /// The variable that names the chosen installation.
    home: Option<&'static str>,
}

pub(super) static NODE: Setup = Setup {
    name: "Node.js",
    program: "node",
    ask: &["--version"],
    inputs: &[
        ("node-version", ""),
        ("node-version-file", ""),
        ("check-latest", "false"),
        ("architecture", ""),
        ("registry-url", ""),
        ("scope", ""),
        ("always-auth", "false"),
        ("token", ""),
        ("cache", ""),
        ("cache-dependency-path", ""),
        ("package-manager-cache", ""),
    ],
    version: "node-version",
    file: "node-version-file",
    folders: &[
        "$NVM_DIR/versions/node",
        "~/.nvm/versions/node",
        "~/.volta/tools/image/node",
        "~/.local/share/fnm/node-versions",
        "/opt/node",
        "/usr/local/node",
    ],
    home: None,
};

pub(super) static PYTHON: Setup = Setup {
    name: "Python",
    program: "python",
    ask: &["--version"],
    inputs: &[
        ("python-version", ""),
        ("python-version-file", ""),
        ("check-latest", "false"),
        ("architecture", ""),
        ("allow-prereleases", "false"),
        ("freethreaded", "false"),
        ("update-environment", "true"),
        ("token", ""),
        ("cache", ""),
        ("cache-dependency-path", ""),
        ("pip-version", ""),
        ("pip-install", ""),
    ],
    version: "python-version",
    file: "python-version-file",
    folders: &["$PYENV_ROOT/versions", "~/.pyenv/versions", "~/.local/share/uv/python", "/opt/python"],
    home: Some("pythonLocation"),
};

pub(super) static GO: Setup = Setup {
    name: "Go",
    program: "go",
    ask: &["version"],
    inputs: &[
        ("go-version", ""),
        ("go-version-file", ""),
        ("check-latest", "false"),
        ("architecture", ""),
        ("token", ""),
        ("cache", ""),
        ("cache-dependency-path", ""),
    ],
    version: "go-version",
    file: "go-version-file",
    folders: &["$GOROOT/..", "/usr/local", "/usr/lib", "~/sdk", "~/.go", "/opt/go"],
    home: None,
};

pub(super) static JAVA: Setup = Setup {
    name: "Java",
    program: "java",
    ask: &["-version"],
    inputs: &[
        ("java-version", ""),
        ("java-version-file", ""),
        ("distribution", ""),
        ("java-package", "jdk"),
        ("architecture", ""),
        ("check-latest", "false"),
        ("token", ""),
        ("cache", ""),
        ("cache-dependency-path", ""),
        ("overwrite-settings", "true"),
    ],
    version: "java-version",
    file: "java-version-file",
    folders: &["$JAVA_HOME/..", "/usr/lib/jvm", "~/.sdkman/candidates/java", "/opt/java"],
    home: Some("JAVA_HOME"),
};

pub(super) static DOTNET: Setup = Setup {
    name: ".NET",
    program: "dotnet",
    ask: &["--version"],
    inputs: &[
        ("dotnet-version", ""),
        ("global-json-file", ""),
        ("dotnet-quality", ""),
        ("cache", ""),
        ("cache-dependency-path", ""),
    ],
    version: "dotnet-version",
    file: "global-json-file",
    folders: &["$DOTNET_ROOT/..", "/usr/share", "/usr/lib", "~/.dotnet"],
    home: None,
};

/// An installation of the machine.
#[derive(Clone, Debug)]
struct Found {
    version: Version,
    program: PathBuf,
}

#[async_trait]
impl Action for Setup {
    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        self.inputs
    }

    async fn run(&self, run: &mut ActionRun<'_>) -> Result<(), ActionError> {
        for input in ["cache", "registry-url", "pip-install"] {
            if self.inputs.iter().any(|(name, _)| *name == input)
                && !["", "false"].contains(&run.input(input))
            {
                run.voice.warn(&format!("`{input}` is not supported here yet and does nothing: use `actions/cache`, or a `run` step"));
            }
        }
        let text = self.wanted(run)?;
        let wanted = Wanted::parse(&text).map_err(|why| failed(format!("`{}`: {why}", self.version)))?;
        let all = self.search(run).await?;
        let Some((best, fit)) = choose(&wanted, &all) else {
            return Err(failed(self.missing(&text, &all)));
        };
        if fit == Fit::Minor {
            run.voice.warn(&format!(
                "{} {text} is not on this machine; {} is used instead ({})",
                self.name,
                best.version,
                best.program.display()
            ));
        }
        run.voice.say(&format!("{} {} at {}", self.name, best.version, best.program.display()));
        self.settle(run, best).await
    }
}

/// The best of what fits, and how well it does.
fn choose<'a>(wanted: &Wanted, all: &'a [Found]) -> Option<(&'a Found, Fit)> {
    all.iter()
        .enumerate()
        .filter_map(|(order, found)| Some((found, wanted.fit(&found.version)?, order)))
        // Among equals, the newest; among the same version, the one that is found first.
        .max_by(|(a, fit_a, at_a), (b, fit_b, at_b)| {
            (fit_a, &a.version).cmp(&(fit_b, &b.version)).then(at_b.cmp(at_a))
        })
        .map(|(found, fit, _)| (found, fit))
}

impl Setup {
    fn wanted(&self, run: &ActionRun<'_>) -> Result<String, ActionError> {
        let text = run.lines(self.version).into_iter().next().unwrap_or_default();
        if !text.is_empty() || run.input(self.file).is_empty() {
            return Ok(text);
        }
        let path = run.workspace().join(run.input(self.file));
        let shown = run.input(self.file).to_owned();
        let content = run.job.place.below.read_text(&path, 1 << 20);
        let content = content.map_err(|e| failed(format!("cannot read `{}: {shown}`: {e}", self.file)))?;
        version::in_file(&shown, &content)
            .ok_or_else(|| failed(format!("`{shown}` names no version of {}", self.name)))
    }

    fn missing(&self, wanted: &str, all: &[Found]) -> String {
        let wanted = if wanted.is_empty() { String::new() } else { format!(" {wanted}") };
        if all.is_empty() {
            return format!(
                "{}{wanted} is not on this machine, nor is any other version: install it, for the whole machine or in the runner's home",
                self.name
            );
        }
        let there: Vec<_> =
            all.iter().map(|found| format!("{} ({})", found.version, found.program.display())).collect();
        format!(
            "{}{wanted} is not on this machine; there is {}: install it, or change `{}`",
            self.name,
            there.join(", "),
            self.version
        )
    }

    /// All installations, those that `PATH` finds first.
    async fn search(&self, run: &ActionRun<'_>) -> Result<Vec<Found>, ActionError> {
        let path = run.env.get("PATH").cloned().unwrap_or_default();
        // Shims choose a version of their own each time: what is behind them is found below.
        let folders = path.split(':').filter(|folder| !folder.is_empty() && !folder.ends_with("/shims"));
        let names: &[&str] = match self.program {
            "python" => &["python", "python3", "python3.[0-9]", "python3.[0-9][0-9]"],
            _ => &[self.program],
        };
        let searching = Searching {
            folders: folders.map(PathBuf::from).collect(),
            installations: self.folders.iter().filter_map(|folder| expand(run, folder)).collect(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        let programs = run.tool(Request::Search(searching), None).await?.names;
        let mut found: Vec<Found> = Vec::new();
        for name in programs {
            let mut argv = vec![name.as_str()];
            argv.extend(self.ask);
            let said = run.read(&argv, &run.workspace()).await?.unwrap_or_default();
            if let Some(version) = Version::in_text(&said) {
                found.push(Found { version, program: PathBuf::from(name) });
            }
        }
        Ok(found)
    }

    async fn settle(&self, run: &mut ActionRun<'_>, found: &Found) -> Result<(), ActionError> {
        let found = match self.program {
            "python" => &python::prepare(run, found).await?,
            _ => found,
        };
        let bin = found.program.parent().unwrap_or(Path::new("/")).to_owned();
        let version = found.version.to_string();
        if self.program == "python" && !found.program.ends_with("python") {
            // A workflow says `python`: it must mean the one that was chosen.
            let folder = run.job.place.layout.tool_cache.join(format!("Python/{version}/bin"));
            let (target, link) =
                (found.program.to_string_lossy().into_owned(), folder.to_string_lossy().into_owned());
            run.must(&["mkdir", "-p", &link], &run.workspace()).await?;
            for name in ["python", "python3"] {
                run.must(&["ln", "-sfn", &target, &format!("{link}/{name}")], &run.workspace()).await?;
            }
            run.add_path(&bin);
            run.add_path(&folder);
        } else {
            run.add_path(&bin);
        }
        let root = bin.parent().unwrap_or(&bin).to_string_lossy().into_owned();
        if let Some(variable) = self.home {
            run.export(variable, root.clone());
        }
        match self.program {
            "python" => {
                run.output("python-version", version);
                run.output("python-path", found.program.to_string_lossy());
            }
            "java" => {
                run.output("version", version);
                run.output("path", root);
                let distribution = run.input("distribution").to_owned();
                run.output("distribution", distribution);
            }
            _ => run.output(self.version, version),
        }
        run.output("cache-hit", "false");
        Ok(())
    }
}

fn expand(run: &ActionRun<'_>, folder: &str) -> Option<PathBuf> {
    if let Some(rest) = folder.strip_prefix("~/") {
        return Some(run.job.place.home().join(rest));
    }
    let Some(rest) = folder.strip_prefix('$') else { return Some(PathBuf::from(folder)) };
    let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let value = run.env.get(name).filter(|value| !value.is_empty())?;
    let base = PathBuf::from(value);
    Some(if rest == ".." { base.parent()?.to_owned() } else { base.join(rest) })
}
