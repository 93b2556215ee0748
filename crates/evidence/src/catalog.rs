//! What packages an image holds, by the files that package managers and compilers leave. Each file is read once, while
//! the layers stream by; what is too large to be held is named, not passed over.

mod apk;
mod cargo_lock;
mod conda;
mod dpkg;
mod elf;
mod gem;
mod jar;
mod node;
mod os_release;
mod python;
mod rpm;
mod sqlite;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read as _};

use serde::{Deserialize, Serialize};

use crate::layers::{File, Layers, Limits, walk};
use crate::leaks::{Finder, Leak};
use crate::package::{Kind, Os, Package};
use crate::{Layer, ScanError};

/// The largest list of packages as text and as a database, the largest small file, the largest archive or program that is read, in bytes.
const LARGEST_LIST: u64 = 48 << 20;
const LARGEST_DATABASE: u64 = 96 << 20;
const LARGEST_TEXT: u64 = 4 << 20;
const LARGEST_BINARY: u64 = 64 << 20;
/// How many packages are listed.
const MOST: usize = 200_000;
/// How many notes are kept.
const NOTES: usize = 100;

/// What was found in an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The distribution, if there is one.
    pub os: Option<Os>,
    /// The packages, sorted.
    pub packages: Vec<Package>,
    /// Secrets that lie in its layers, sorted.
    pub leaks: Vec<Leak>,
    /// What could not be looked into, and why.
    pub notes: Vec<String>,
    /// The digests of the layers, bottom first.
    pub layers: Vec<String>,
}

/// Reads an image's layers.
pub fn scan(layers: &dyn Layers, limits: Limits) -> Result<Contents, ScanError> {
    let mut catalog = Catalog::default();
    walk(layers, limits, &mut |file| catalog.look(file))?;
    Ok(catalog.finish(layers.layers()))
}

/// What a file is, by its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interest {
    OsRelease,
    Dpkg,
    Apk,
    Rpm,
    RpmJournal,
    Copyright,
    Python,
    Node,
    NodeLock,
    CargoLock,
    Gem,
    Jar,
    Conda,
}

#[derive(Default)]
struct Catalog {
    /// `os-release` below `etc` wins over that below `usr/lib`.
    os: BTreeMap<String, Os>,
    packages: Vec<Package>,
    licences: HashMap<String, Vec<String>>,
    /// The lowest layer in which a distribution's package was listed.
    earliest: HashMap<(Kind, String, String), usize>,
    notes: BTreeSet<String>,
    leaks: Finder,
    buffer: Vec<u8>,
}

fn interest(path: &str) -> Option<Interest> {
    let name = path.rsplit('/').next().unwrap_or(path);
    Some(match path {
        "etc/os-release" | "usr/lib/os-release" => Interest::OsRelease,
        "var/lib/dpkg/status" => Interest::Dpkg,
        "lib/apk/db/installed" | "usr/lib/apk/db/installed" => Interest::Apk,
        _ if path.starts_with("var/lib/dpkg/status.d/") && !name.ends_with(".md5sums") => Interest::Dpkg,
        _ if matches!(name, "rpmdb.sqlite" | "Packages" | "Packages.db") && path.contains("/rpm/") => {
            Interest::Rpm
        }
        _ if name == "rpmdb.sqlite-wal" && path.contains("/rpm/") => Interest::RpmJournal,
        _ if name == "copyright" && path.starts_with("usr/share/doc/") => Interest::Copyright,
        _ if [".dist-info/METADATA", ".egg-info/PKG-INFO", "/EGG-INFO/PKG-INFO"]
            .iter()
            .any(|end| path.ends_with(end)) =>
        {
            Interest::Python
        }
        _ if path.contains("conda-meta/") && name.strip_suffix(".json").is_some() => Interest::Conda,
        _ if name.ends_with(".egg-info") => Interest::Python,
        _ if name == "package.json" && node::installed(path) => Interest::Node,
        _ if name == "package-lock.json" && !path.contains("node_modules/") => Interest::NodeLock,
        _ if name == "Cargo.lock" && !path.contains("registry/src/") => Interest::CargoLock,
        _ if name.ends_with(".gemspec") && path.contains("/specifications/") => Interest::Gem,
        _ if jar::is_archive(name) => Interest::Jar,
        _ => return None,
    })
}

impl Catalog {
    fn look(&mut self, file: &mut File<'_>) -> io::Result<()> {
        let wanted = interest(file.path);
        // Lists of packages count in lower layers too: they say which layer brought what.
        if file.hidden && !matches!(wanted, Some(Interest::Dpkg | Interest::Apk | Interest::Rpm)) {
            return self.look_for_leaks(file);
        }
        let limit = match wanted {
            Some(Interest::RpmJournal) => {
                if file.size > 0 && !file.hidden {
                    self.note(format!(
                        "/{} holds changes to the list of RPM packages that are not read: packages may be missing, or named that are gone",
                        file.path
                    ));
                }
                return Ok(());
            }
            Some(Interest::Dpkg | Interest::Apk) => LARGEST_LIST,
            Some(Interest::Rpm) => LARGEST_DATABASE,
            Some(Interest::Jar) => LARGEST_BINARY,
            Some(_) => LARGEST_TEXT,
            None => return self.look_at_unnamed(file),
        };
        if file.size > limit {
            self.too_large(file);
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.clear();
        file.body.take(limit).read_to_end(&mut bytes)?;
        if let Some(wanted) = wanted {
            self.take(wanted, file, &bytes);
        }
        if wanted != Some(Interest::Rpm) {
            self.leaks.look(file.path, file.layer, file.hidden, &bytes);
        }
        self.give_back(bytes);
        Ok(())
    }

    /// What a large file took is given back.
    fn give_back(&mut self, bytes: Vec<u8>) {
        self.buffer = if bytes.capacity() > LARGEST_BINARY as usize { Vec::new() } else { bytes };
    }

    /// A file of which the path says nothing: a program, or a text that may hold a secret.
    fn look_at_unnamed(&mut self, file: &mut File<'_>) -> io::Result<()> {
        if file.size < 16 {
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.clear();
        file.body.take(4096).read_to_end(&mut bytes)?;
        let program = bytes.starts_with(b"\x7fELF");
        let limit = if program { LARGEST_BINARY } else { LARGEST_TEXT };
        let text = !program && memchr::memchr(0, &bytes).is_none();
        if program && file.size > limit {
            self.too_large(file);
        } else if (program && file.size > 4096) || (text && file.size <= limit) {
            file.body.take(limit).read_to_end(&mut bytes)?;
            if program {
                for found in elf::packages(&bytes) {
                    self.keep(found, file);
                }
            } else {
                self.leaks.look(file.path, file.layer, file.hidden, &bytes);
            }
        }
        self.give_back(bytes);
        Ok(())
    }

    fn look_for_leaks(&mut self, file: &mut File<'_>) -> io::Result<()> {
        if file.size < 16 || file.size > LARGEST_TEXT {
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.clear();
        file.body.take(4096).read_to_end(&mut bytes)?;
        if memchr::memchr(0, &bytes).is_none() {
            file.body.take(LARGEST_TEXT).read_to_end(&mut bytes)?;
            self.leaks.look(file.path, file.layer, true, &bytes);
        }
        self.buffer = bytes;
        Ok(())
    }

    fn take(&mut self, wanted: Interest, file: &File<'_>, bytes: &[u8]) {
        // A database is no text, and large.
        let text = match wanted {
            Interest::Rpm | Interest::Jar => "".into(),
            _ => String::from_utf8_lossy(bytes),
        };
        let found = match wanted {
            Interest::OsRelease => {
                self.os.insert(file.path.to_owned(), os_release::read(&text));
                return;
            }
            Interest::Copyright => {
                if let Some(package) = file.path.split('/').nth(3) {
                    let licences = dpkg::licences(&text);
                    if !licences.is_empty() {
                        self.licences.insert(package.to_owned(), licences);
                    }
                }
                return;
            }
            Interest::Dpkg => dpkg::packages(&text),
            Interest::Apk => apk::packages(&text),
            Interest::Python => python::packages(file.path, &text),
            Interest::Conda => conda::package(bytes).into_iter().collect(),
            Interest::Node => node::package(bytes).into_iter().collect(),
            Interest::NodeLock => node::locked(bytes),
            Interest::CargoLock => cargo_lock::packages(&text),
            Interest::Gem => gem::package(file.path, &text).into_iter().collect(),
            Interest::Jar => match jar::packages(file.path, bytes) {
                Ok(found) => found,
                Err(why) => {
                    self.note(format!("/{} is not looked into: {why}", file.path));
                    return;
                }
            },
            Interest::Rpm => match rpm::packages(file.path, bytes) {
                Ok((found, odd)) => {
                    if odd > 0 && !file.hidden {
                        self.note(format!("{odd} packages of /{} cannot be read", file.path));
                    }
                    found
                }
                Err(why) => {
                    if !file.hidden {
                        self.note(format!(
                            "the list of RPM packages /{} is not read, its packages are not in this SBOM: {why}",
                            file.path
                        ));
                    }
                    return;
                }
            },
            Interest::RpmJournal => return,
        };
        for package in found {
            self.keep(package, file);
        }
    }

    fn keep(&mut self, mut package: Package, file: &File<'_>) {
        if package.kind.of_distribution() {
            let key = (package.kind, package.name.clone(), package.version.clone());
            let lowest = self.earliest.entry(key).or_insert(file.layer);
            *lowest = (*lowest).min(file.layer);
        }
        if file.hidden {
            return;
        }
        if self.packages.len() >= MOST {
            self.note(format!("only the first {MOST} packages are listed"));
            return;
        }
        package.layer = file.layer;
        if package.path.is_empty() {
            file.path.clone_into(&mut package.path);
        }
        self.packages.push(package);
    }

    fn too_large(&mut self, file: &File<'_>) {
        self.note(format!("/{} is not looked into: it has {} MiB", file.path, file.size >> 20));
    }

    fn note(&mut self, note: String) {
        if self.notes.len() < NOTES {
            self.notes.insert(note);
        }
    }

    fn finish(mut self, layers: &[Layer]) -> Contents {
        for package in &mut self.packages {
            if package.kind.of_distribution() {
                let key = (package.kind, package.name.clone(), package.version.clone());
                if let Some(lowest) = self.earliest.get(&key) {
                    package.layer = *lowest;
                }
            }
            if package.kind == Kind::Deb
                && let Some(licences) = self.licences.get(&package.name)
            {
                package.licences.clone_from(licences);
            }
        }
        let os = self.os.into_values().next();
        // Where packages are installed, their lock file says nothing more: it also has those of other machines.
        let installed: BTreeSet<String> = self
            .packages
            .iter()
            .filter_map(|p| p.path.split_once("node_modules/").filter(|_| p.kind == Kind::Npm))
            .map(|(folder, _)| format!("{folder}package-lock.json"))
            .collect();
        self.packages.retain(|p| !installed.contains(&p.path));
        // What is installed says more than what a lock file asks for.
        let lists = |p: &Package| p.path.ends_with("package-lock.json") || p.path.ends_with("Cargo.lock");
        self.packages.sort_by(|a, b| {
            let key = |p: &Package| (p.kind, p.name.clone(), p.version.clone(), p.arch.clone(), lists(p));
            key(a).cmp(&key(b)).then_with(|| a.path.cmp(&b.path))
        });
        self.packages.dedup_by(|b, a| {
            (a.kind, &a.name, &a.version, &a.arch) == (b.kind, &b.name, &b.version, &b.arch)
        });
        Contents {
            os,
            packages: self.packages,
            leaks: self.leaks.finish(),
            notes: self.notes.into_iter().collect(),
            layers: layers.iter().map(|l| l.digest.to_string()).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
