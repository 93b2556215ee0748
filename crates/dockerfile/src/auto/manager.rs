//! Which of Node's package managers a project is written for, and how each is asked for the same: everything, or only what
//! is needed where the program runs.

use serde_json::Value;

use super::texts::{owned, pairs, plain};
use super::{Files, Project, Step, Where};

/// A package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Npm,
    /// Yarn 1.
    Classic,
    /// Yarn 2 and what came later.
    Berry,
    Pnpm,
}

/// A package manager, as this project has it.
#[derive(Clone, Debug)]
pub(super) struct Manager {
    name: Name,
    /// The file that fixes the versions.
    pub(super) lock: Option<&'static str>,
    /// How it is started by the machine, and in an image that has Node alone.
    here: Vec<String>,
    there: Vec<String>,
}

/// What is to be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// What building needs too.
    All,
    /// What running needs.
    Running,
    /// What running needs, of what is installed.
    Pruned,
}

impl Manager {
    /// By the lock file, and by `packageManager` of `package.json`.
    pub(super) fn of(files: &Files, package: &Value) -> Self {
        let said = package["packageManager"].as_str().and_then(|text| text.split_once('@'));
        let said = said.map(|(name, version)| (name, version.split('+').next().unwrap_or(version)));
        let lock = files.first(&["package-lock.json", "npm-shrinkwrap.json"]);
        let (name, lock) = if files.has("pnpm-lock.yaml") {
            (Name::Pnpm, Some("pnpm-lock.yaml"))
        } else if let Some(text) = files.text("yarn.lock") {
            (if text.contains("__metadata:") { Name::Berry } else { Name::Classic }, Some("yarn.lock"))
        } else {
            let name = match said {
                Some(("pnpm", _)) => Name::Pnpm,
                Some(("yarn", version)) if version.starts_with("1.") => Name::Classic,
                Some(("yarn", _)) => Name::Berry,
                _ => Name::Npm,
            };
            (name, lock)
        };
        let (program, usual) = match name {
            Name::Npm => ("npm", ""),
            Name::Classic => ("yarn", "yarn@1.22.22"),
            Name::Berry => ("yarn", "@yarnpkg/cli-dist@4"),
            Name::Pnpm => ("pnpm", if pnpm_is_old(files) { "pnpm@8" } else { "pnpm@9" }),
        };
        // Which version reads a lock file is a matter of the lock file: one that is said comes first.
        let version = said.filter(|(name, version)| *name == program && plain(version));
        let package = match (name, version) {
            (Name::Berry, Some((_, version))) => format!("@yarnpkg/cli-dist@{version}"),
            (_, Some((name, version))) => format!("{name}@{version}"),
            (_, None) => usual.to_owned(),
        };
        let released = files.paths.iter().find(|path| {
            path.starts_with(".yarn/releases/") && path.strip_suffix(".cjs").is_some() && plain(path)
        });
        let fetched = owned(&["npm", "exec", "--yes", &format!("--package={package}"), "--", program]);
        let (here, there) = match (name, released) {
            (Name::Npm, _) => (owned(&["npm"]), owned(&["npm"])),
            (Name::Berry, Some(path)) => (owned(&["node", path]), owned(&["node", path])),
            // Both Yarns are called yarn: the machine's may be the other one.
            (Name::Pnpm, None) if version.is_none() && files.tools.contains("pnpm") => {
                (owned(&["pnpm"]), fetched)
            }
            _ => (fetched.clone(), fetched),
        };
        Self { name, lock, here, there }
    }

    /// Its name, for a person.
    pub(super) const fn called(&self) -> &'static str {
        match self.name {
            Name::Npm => "npm",
            Name::Classic => "Yarn 1",
            Name::Berry => "Yarn",
            Name::Pnpm => "pnpm",
        }
    }

    /// The files that it reads before it installs, below the root.
    pub(super) fn manifests(&self, files: &Files) -> Vec<String> {
        let also = ["package.json", ".npmrc", ".yarnrc", ".yarnrc.yml", "pnpm-workspace.yaml"];
        let mut all: Vec<String> =
            also.into_iter().chain(self.lock).filter(|path| files.has(path)).map(str::to_owned).collect();
        all.extend(files.paths.iter().filter(|path| path.starts_with(".yarn/") && plain(path)).cloned());
        all
    }

    /// Adds the step that installs.
    pub(super) fn install(&self, project: &mut Project, what: What, early: bool) {
        let fixed = self.lock.is_some();
        let arguments: Vec<&str> = match (self.name, what) {
            (Name::Npm, What::Pruned) => vec!["prune", "--omit=dev", "--no-audit", "--no-fund"],
            (Name::Npm, _) => {
                let mut all = vec![if fixed { "ci" } else { "install" }];
                all.extend((what == What::Running).then_some("--omit=dev"));
                all.extend(["--no-audit", "--no-fund"]);
                all
            }
            (Name::Classic, _) => {
                let mut all = vec!["install", "--non-interactive"];
                all.extend(fixed.then_some("--frozen-lockfile"));
                all.push(if what == What::All { "--production=false" } else { "--production=true" });
                // What is there already was built already.
                all.extend((what == What::Pruned).then_some("--ignore-scripts"));
                all
            }
            (Name::Berry, What::All) => vec!["install", "--immutable"],
            (Name::Berry, _) => vec!["workspaces", "focus", "--all", "--production"],
            (Name::Pnpm, _) => {
                // Programs that know the folder of this build would make each build another one.
                let mut all = vec!["install", "--config.extend-node-path=false"];
                all.extend(fixed.then_some("--frozen-lockfile"));
                all.extend((what != What::All).then_some("--prod"));
                all.extend((what == What::Pruned).then_some("--ignore-scripts"));
                all
            }
        };
        self.step(project, &arguments, &[], early);
    }

    /// Adds the step that runs a script, of the root or of a folder.
    pub(super) fn run(&self, project: &mut Project, script: &str, folder: &str) {
        let env = [("NODE_ENV", "production")];
        if folder.is_empty() {
            self.step(project, &["run", script], &env, false);
        } else {
            project.step(&["npm", "--prefix", folder, "run", script], &env);
        }
    }

    fn step(&self, project: &mut Project, arguments: &[&str], env: &[(&str, &str)], early: bool) {
        let own: &[(&str, &str)] = match self.name {
            Name::Npm | Name::Classic => &[],
            // What Node itself finds, without a loader.
            Name::Berry => &[("YARN_NODE_LINKER", "node-modules"), ("YARN_ENABLE_TELEMETRY", "0")],
            // Nobody can be asked.
            Name::Pnpm => &[("CI", "true")],
        };
        let env = [own, env].concat();
        let mut add = |start: &[String], place| {
            let mut argv = start.to_vec();
            argv.extend(owned(arguments));
            project.steps.push(Step { argv, env: pairs(&env), place, early });
        };
        if self.here == self.there {
            add(&self.here, Where::Anywhere);
        } else {
            add(&self.here, Where::Here);
            add(&self.there, Where::There);
        }
    }
}

/// Whether a lock file is from before pnpm 9.
fn pnpm_is_old(files: &Files) -> bool {
    let text = files.text("pnpm-lock.yaml").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("lockfileVersion:"));
    line.is_some_and(|version| version.trim().trim_matches(['\'', '"']).starts_with(['5', '6']))
}

/// What package managers note beside the packages: with the time, or with the folder of this build.
pub(super) const NOTES: [&str; 5] = [
    "**/.modules.yaml",
    "**/.yarn-integrity",
    "**/.yarn-state.yml",
    "**/.pnpm-workspace-state*.json",
    "**/node_modules/.cache",
];
