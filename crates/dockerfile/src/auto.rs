//! Projects without a Dockerfile: what they are, by their files, and how an image is made of them.
//!
//! [`recognise`] takes the names of a project's files, the texts of those in [`WANTED`], and the programs of the machine;
//! it reads and runs nothing itself. A [`Project`] says what was found and why, how the machine's own toolchain builds it,
//! and which files make which layer: dependencies apart from code, so that a change of code is a small new layer.
//! [`Project::assembly`] is the Dockerfile that puts them together, [`Project::dockerfile`] one that does all of it
//! anywhere, with images that have the toolchain.

mod go;
mod java;
mod node;
mod python;
mod rust;
mod site;
mod toml;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The files whose texts are asked for, wherever they stand: by name, or by what the name ends with.
pub const WANTED: [&str; 11] = [
    "Cargo.toml",
    "go.mod",
    "package.json",
    "pyproject.toml",
    "requirements.txt",
    "Procfile",
    "pom.xml",
    "manage.py",
    ".java",
    ".nvmrc",
    ".python-version",
];

/// The programs that are asked for.
pub const TOOLS: [&str; 8] = ["cargo", "go", "node", "npm", "python3", "javac", "mvn", "busybox"];

/// What is never copied, besides what `.dockerignore` says.
pub const NEVER: [&str; 12] = [
    ".git",
    "**/node_modules",
    "target",
    "**/__pycache__",
    ".venv",
    "venv",
    "**/.env",
    "**/.DS_Store",
    "Dockerfile",
    ".dockerignore",
    ".github",
    "**/*.pyc",
];

/// A project's files, as far as they have to be known.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// All paths, relative to the project's folder, with `/`; without those of [`NEVER`].
    pub paths: BTreeSet<String>,
    /// The texts of the wanted ones.
    pub texts: BTreeMap<String, String>,
    /// Those of [`TOOLS`] that the machine has.
    pub tools: BTreeSet<String>,
    /// The folder's own name: the image's, when nothing else says one.
    pub folder: String,
}

impl Files {
    fn has(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// The first of some paths that is there.
    fn first<'a>(&self, paths: &[&'a str]) -> Option<&'a str> {
        paths.iter().copied().find(|path| self.has(path))
    }
}

/// What a project is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A program in Rust.
    Rust,
    /// A program in Go.
    Go,
    /// A program for Node.
    Node,
    /// A program in Python.
    Python,
    /// A program for the Java virtual machine.
    Java,
    /// Files that a browser asks for.
    Site,
}

impl Kind {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Go => "Go",
            Self::Node => "Node",
            Self::Python => "Python",
            Self::Java => "Java",
            Self::Site => "static site",
        }
    }
}

/// What an image stands on when the machine's own toolchain builds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// Nothing: the program needs nothing else.
    Scratch,
    /// The machine's own root (`base: machine`): it has the interpreter.
    Machine,
}

/// Something that was found, and what says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

/// A program that the machine runs. In its arguments and variables `{src}` is a copy of the project, in which it runs,
/// `{out}` the folder that layers are taken from, and `{arch}` the machine as Rust names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostStep {
    /// The argument vector.
    pub argv: Vec<String>,
    /// Variables over those of the caller.
    pub env: Vec<(String, String)>,
}

/// Files of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What it has.
    pub name: &'static str,
    /// A path below `{out}`; the copy of the project is its `src`.
    pub from: String,
    /// Where it is in the image.
    pub to: String,
    /// What of it is left out: patterns.
    pub exclude: Vec<String>,
}

/// A project that was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What was found, and why.
    pub found: Vec<Finding>,
    /// The programs that the machine needs for it.
    pub tools: Vec<&'static str>,
    /// What is run, in order.
    pub steps: Vec<HostStep>,
    /// The layers, in order: what changes least first.
    pub layers: Vec<Layer>,
    /// What the image stands on.
    pub ground: Ground,
    /// The working directory.
    pub folder: String,
    /// Variables of the image.
    pub env: Vec<(String, String)>,
    /// The port that it most likely listens on.
    pub port: Option<u16>,
    /// The program and its arguments.
    pub entrypoint: Vec<String>,
    /// The stages of the Dockerfile that builds it anywhere, up to and with the last one's files.
    stages: String,
}

/// Why nothing could be made of a project.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrecognised {
    /// Nothing that is known.
    #[error(
        "nothing here is known: there is no Cargo.toml, go.mod, package.json, pyproject.toml, requirements.txt, *.py, \
         pom.xml, *.java or index.html (write a Dockerfile)"
    )]
    Unknown,
    /// Known, but it does not say enough.
    #[error("this is a {} project, but {why} ({help})", kind.name())]
    Unclear {
        /// What it is.
        kind: Kind,
        /// What is not clear.
        why: String,
        /// What would make it clear.
        help: String,
    },
}

impl Unrecognised {
    fn unclear(kind: Kind, why: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Unclear { kind, why: why.into(), help: help.into() }
    }
}

/// Finds out what a project is.
pub fn recognise(files: &Files) -> Result<Project, Unrecognised> {
    // The more a file says of what a project is, the earlier it is asked: many have a package.json for their tools.
    for reader in [rust::read, go::read, java::read, python::read, node::read, site::read] {
        if let Some(found) = reader(files) {
            return found;
        }
    }
    Err(Unrecognised::Unknown)
}

type Read = Option<Result<Project, Unrecognised>>;

impl Project {
    fn new(kind: Kind, name: &str) -> Self {
        Self {
            kind,
            name: image_name(name),
            found: Vec::new(),
            tools: Vec::new(),
            steps: Vec::new(),
            layers: Vec::new(),
            ground: Ground::Machine,
            folder: "/app".to_owned(),
            env: Vec::new(),
            port: None,
            entrypoint: Vec::new(),
            stages: String::new(),
        }
    }

    fn found(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.found.push(Finding { what: what.into(), why: why.into() });
    }

    fn step(&mut self, argv: &[&str], env: &[(&str, &str)]) {
        self.steps.push(HostStep { argv: owned(argv), env: pairs(env) });
    }

    fn layer(&mut self, name: &'static str, from: &str, to: &str, exclude: &[&str]) {
        self.layers.push(Layer { name, from: from.to_owned(), to: to.to_owned(), exclude: owned(exclude) });
    }

    /// The Dockerfile that puts the layers together, with `{out}` as its context.
    pub fn assembly(&self) -> String {
        let mut text = String::from("FROM scratch\n");
        if self.ground == Ground::Machine {
            text.push_str("LABEL dev.windlass.base=machine\n");
        }
        for layer in &self.layers {
            text.push_str("COPY ");
            for pattern in &layer.exclude {
                _ = write!(text, "--exclude={pattern} ");
            }
            _ = writeln!(text, "{}", json(&[layer.from.clone(), layer.to.clone()]));
        }
        self.end(&mut text);
        text
    }

    /// A Dockerfile that builds the project anywhere.
    pub fn dockerfile(&self) -> String {
        let mut text = format!(
            "# syntax=docker/dockerfile:1\n# Written by windlass build --auto for a {} project.\n\n{}",
            self.kind.name(),
            self.stages
        );
        self.end(&mut text);
        text
    }

    fn end(&self, text: &mut String) {
        for (name, value) in &self.env {
            _ = writeln!(text, "ENV {name}={}", quoted(value));
        }
        _ = writeln!(text, "WORKDIR {}", self.folder);
        if let Some(port) = self.port {
            _ = writeln!(text, "EXPOSE {port}");
        }
        _ = writeln!(text, "ENTRYPOINT {}", json(&self.entrypoint));
    }

    /// What was found, as lines for a person.
    pub fn report(&self) -> String {
        let mut text = format!("{} project '{}'\n", self.kind.name(), self.name);
        for finding in &self.found {
            _ = writeln!(text, "  {:<28} {}", finding.what, finding.why);
        }
        for step in &self.steps {
            _ = writeln!(text, "  runs    {}", step.argv.join(" "));
        }
        for layer in &self.layers {
            _ = writeln!(text, "  layer   {} in {}", layer.name, layer.to);
        }
        let ground = match self.ground {
            Ground::Scratch => "nothing: the program needs nothing else",
            Ground::Machine => "the machine's own root, which has the interpreter",
        };
        _ = writeln!(text, "  base    {ground}");
        _ = writeln!(text, "  starts  {}", self.entrypoint.join(" "));
        if let Some(port) = self.port {
            _ = writeln!(text, "  port    {port}");
        }
        text
    }
}

fn owned(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn pairs(items: &[(&str, &str)]) -> Vec<(String, String)> {
    items.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn json(items: &[String]) -> String {
    let quoted: Vec<String> =
        items.iter().map(|item| serde_json::Value::from(item.as_str()).to_string()).collect();
    format!("[{}]", quoted.join(", "))
}

/// A value of `ENV` in which nothing is expanded but what is written with `$` on purpose.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A name as images have them.
fn image_name(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let kept: String = last.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let trimmed = kept.trim_matches('-').to_owned();
    if trimmed.is_empty() { "app".to_owned() } else { trimmed }
}

/// Whether a word from a project's file can stand in a Dockerfile and an argument as it is.
fn plain(word: &str) -> bool {
    !word.is_empty()
        && word.len() <= 200
        && !word.starts_with('-')
        && word.chars().all(|c| c.is_ascii_alphanumeric() || "._-/@:+".contains(c))
}

/// A version's first two numbers, wherever they stand in a text such as `>=18.2 <21`.
fn version(text: &str, parts: usize) -> Option<String> {
    let from = text.find(|c: char| c.is_ascii_digit())?;
    let end = text[from..].find(|c: char| !c.is_ascii_digit() && c != '.').map_or(text.len(), |at| from + at);
    let kept: Vec<&str> = text[from..end].split('.').filter(|part| !part.is_empty()).take(parts).collect();
    (!kept.is_empty() && kept.iter().all(|part| part.len() <= 4)).then(|| kept.join("."))
}

#[cfg(test)]
mod tests;
