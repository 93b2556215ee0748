//! Projects without a Dockerfile: what they are, by their files, and how an image is made of them.
//!
//! [`recognise`] takes the names of a project's files, the texts of those in [`WANTED`], and the programs of the machine;
//! it reads and runs nothing itself. A [`Project`] says what was found and why, how the machine's own toolchain builds it,
//! and which files make which layer: dependencies apart from code, so that a change of code is a small new layer.
//! [`Project::assembly`] is the Dockerfile that puts them together, [`Project::dockerfile`] one that does all of it
//! anywhere, with images that have the toolchain. Both are written from the same steps and layers.

mod audit;
mod framework;
mod go;
mod gradle;
mod java;
mod manager;
mod node;
mod python;
mod requirements;
mod rust;
mod site;
mod texts;
mod uv;
mod workspace;
mod write;

use std::collections::{BTreeMap, BTreeSet};

pub use audit::audited;

/// The files whose texts are asked for, wherever they stand: by what their names end with.
pub const WANTED: [&str; 26] = [
    "Cargo.toml",
    "go.mod",
    "package.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    "vite.config.js",
    "vite.config.ts",
    "pyproject.toml",
    "requirements.txt",
    "poetry.lock",
    "uv.lock",
    "Pipfile",
    "Pipfile.lock",
    "Procfile",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "settings.gradle",
    "settings.gradle.kts",
    ".java",
    ".go",
    ".py",
    ".rs",
    ".nvmrc",
    ".python-version",
];

/// The programs that are asked for. `busybox-static` is a busybox that needs no library, `rust-musl` a toolchain for
/// programs with musl: the target's standard library, and `musl-gcc`.
pub const TOOLS: [&str; 14] = [
    "cargo",
    "rust-musl",
    "go",
    "node",
    "npm",
    "yarn",
    "pnpm",
    "python3",
    "javac",
    "mvn",
    "gradle",
    "hugo",
    "busybox",
    "busybox-static",
];

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

/// Who the programs of such an image run as: nobody who owns a file, by the number that others use for it too.
pub const USER: &str = "65532:65532";

/// A project's files, as far as they have to be known, and what was said of it.
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
    /// Which program, where a project has several.
    pub program: Option<String>,
    /// What the image is to stand on; none for what is usual.
    pub base: Option<Ground>,
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

    /// The texts of files whose names end so, with their paths.
    fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let all = self.texts.iter().filter(move |(path, _)| path.ends_with(end));
        all.map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The one of several programs that was asked for, by name.
    fn chosen<'a>(&self, kind: Kind, names: &[&'a str]) -> Result<&'a str, Unrecognised> {
        let listed = || names.join(", ");
        match (&self.program, names) {
            (Some(wanted), _) => {
                let found = names.iter().copied().find(|name| name == wanted);
                found.ok_or_else(|| {
                    let why = format!("it has no program '{wanted}'");
                    Unrecognised::unclear(kind, why, format!("there is: {}", listed()))
                })
            }
            (None, [one]) => Ok(one),
            (None, many) => {
                let why = format!("it has {} programs: {}", many.len(), listed());
                Err(Unrecognised::unclear(kind, why, "say which with --program NAME"))
            }
        }
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ground {
    /// Nothing: the program needs nothing else.
    Scratch,
    /// The machine's own root (`base: machine`): it has the interpreter.
    Machine,
    /// An image, by its name.
    Image(String),
}

/// Something that was found, and what says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

/// Where a step is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// By the machine, and in the Dockerfile that builds anywhere.
    Anywhere,
    /// By the machine only.
    Here,
    /// In the Dockerfile that builds anywhere only.
    There,
}

/// A program that is run. In its arguments and variables `{src}` is a copy of the project, in which it runs, `{out}` the
/// folder that layers are taken from, and `{arch}` the machine as Rust names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The argument vector.
    pub argv: Vec<String>,
    /// Variables over those of the caller.
    pub env: Vec<(String, String)>,
    /// Where.
    pub place: Where,
    /// Whether it needs no more than the files that say what the project needs: [`Project::manifests`].
    pub early: bool,
}

/// How a layer's files are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copying {
    /// With modes that everybody can read, whatever the umask was of who wrote them.
    Readable,
    /// That, with the folders on the way: what is behind `/./` of the path, which may be a pattern.
    WithFolders,
    /// As they are.
    AsTheyAre,
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
    /// How.
    pub copying: Copying,
    /// The image, and the path in it, that has the same, in the Dockerfile that builds anywhere.
    there: Option<(&'static str, &'static str)>,
}

/// A project that was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its version, where a file says one.
    pub version: Option<String>,
    /// What its manifest calls it, where that is not its name.
    pub package: String,
    /// What was found, and why.
    pub found: Vec<Finding>,
    /// The programs that the machine needs for it.
    pub tools: Vec<&'static str>,
    /// Files below `{out}` that the steps and layers need, and their texts.
    pub texts: Vec<(String, String)>,
    /// The files that say what the project needs.
    pub manifests: Vec<String>,
    /// What is run, in order.
    pub steps: Vec<Step>,
    /// The layers, in order: what changes least first.
    pub layers: Vec<Layer>,
    /// What the image stands on.
    pub ground: Ground,
    /// Whether an image on nothing has to have certificates of authorities.
    pub certificates: bool,
    /// The working directory.
    pub folder: String,
    /// Variables of the image.
    pub env: Vec<(String, String)>,
    /// The port that it most likely listens on.
    pub port: Option<u16>,
    /// The signal that ends it, where it is not the usual one.
    pub stop: Option<&'static str>,
    /// The program and its arguments.
    pub entrypoint: Vec<String>,
    /// The image that has the toolchain, and the one that has the interpreter, in the Dockerfile that builds anywhere.
    images: (String, String),
    /// Folders that are kept from one build to the next there.
    caches: Vec<&'static str>,
}

/// Why nothing could be made of a project.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrecognised {
    /// Nothing that is known.
    #[error(
        "nothing here is known: there is no Cargo.toml, go.mod, package.json, pyproject.toml, requirements.txt, Pipfile, \
         app.py, main.py, manage.py, pom.xml, build.gradle, *.java with a main, hugo.toml or index.html (add what the \
         project is built from, or write a Dockerfile)"
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
            return found.and_then(|project| project.on(files));
        }
    }
    Err(Unrecognised::Unknown)
}

type Read = Option<Result<Project, Unrecognised>>;

impl Project {
    fn new(kind: Kind, name: &str) -> Self {
        Self {
            kind,
            name: texts::image_name(name),
            version: None,
            package: name.to_owned(),
            found: Vec::new(),
            tools: Vec::new(),
            texts: Vec::new(),
            manifests: Vec::new(),
            steps: Vec::new(),
            layers: Vec::new(),
            ground: Ground::Machine,
            certificates: false,
            folder: "/app".to_owned(),
            env: Vec::new(),
            port: None,
            stop: None,
            entrypoint: Vec::new(),
            images: (String::new(), "scratch".to_owned()),
            caches: Vec::new(),
        }
    }

    /// What was said of the base, and what an image on nothing has to have.
    fn on(mut self, files: &Files) -> Result<Self, Unrecognised> {
        if let Some(base) = &files.base {
            if *base == Ground::Scratch && self.ground != Ground::Scratch {
                let help = "name a base that has its interpreter";
                return Err(Unrecognised::unclear(self.kind, "it does not run on nothing", help));
            }
            self.ground = base.clone();
        }
        if self.ground == Ground::Scratch {
            self.texts.extend([
                ("ground/etc/passwd".to_owned(), texts::PASSWD.to_owned()),
                ("ground/etc/group".to_owned(), texts::GROUP.to_owned()),
            ]);
            let ground = Layer {
                name: "ground",
                from: "ground".to_owned(),
                to: "/".to_owned(),
                exclude: Vec::new(),
                copying: Copying::AsTheyAre,
                there: None,
            };
            self.layers.insert(0, ground);
        }
        // Nobody's home is nowhere; some libraries write there, and /tmp is what everybody may write to.
        self.env.push(("HOME".to_owned(), "/tmp".to_owned()));
        Ok(self)
    }

    fn found(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.found.push(Finding { what: what.into(), why: why.into() });
    }

    /// A step that is run everywhere, with the whole project.
    fn step(&mut self, argv: &[&str], env: &[(&str, &str)]) -> &mut Step {
        let step =
            Step { argv: texts::owned(argv), env: texts::pairs(env), place: Where::Anywhere, early: false };
        self.steps.push(step);
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }

    fn layer(&mut self, name: &'static str, from: &str, to: &str, exclude: &[&str]) -> &mut Layer {
        let layer = Layer {
            name,
            from: from.to_owned(),
            to: to.to_owned(),
            exclude: texts::owned(exclude),
            copying: Copying::Readable,
            there: None,
        };
        self.layers.push(layer);
        let last = self.layers.len() - 1;
        &mut self.layers[last]
    }

    /// It listens on what `PORT` says, and on this port when nobody says anything.
    fn listens(&mut self, port: u16) {
        self.port = Some(port);
        self.env.push(("PORT".to_owned(), port.to_string()));
    }

    /// Starts by way of a shell, which takes `$PORT`.
    fn starts_by_shell(&mut self, line: &str) {
        self.entrypoint = texts::owned(&["/bin/sh", "-c", line]);
    }
}

#[cfg(test)]
mod tests;
