//! What is to be done in a stage: everything is expanded, every path resolved against the working directory.

use super::Mount;
use crate::Span;
use crate::ast::{NetworkMode, SecurityMode};

/// One instruction of a stage, ready to be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it stands; `None` for one that the base image's `ONBUILD` brought.
    pub span: Option<Span>,
    /// Its text, with continued lines joined, as progress shows it.
    pub source: String,
    /// What the image's history says of it, as BuildKit writes it: `RUN /bin/sh -c make # buildkit`.
    pub created_by: String,
    /// What is to be done.
    pub action: Action,
}

/// What a step does. The image's configuration has been changed already where that is all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Runs a program.
    Run(Box<RunStep>),
    /// Copies files: `COPY`, and `ADD` with what only that can.
    Transfer(Box<TransferStep>),
    /// Sees to it that a folder is there: `WORKDIR`. Absolute and clean. A layer, unless the folder was there.
    Folder(String),
    /// Only the configuration changed, or (`ARG`) what follows sees something new: no layer, but history has it.
    Config,
    /// Nothing is to be done and history has nothing of it: `ONBUILD`.
    Nothing,
}

/// A `RUN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunStep {
    /// The argument vector, with the shell in front where the shell form was used.
    pub argv: Vec<String>,
    /// The whole environment of the program, in order, later names going before earlier ones being impossible: each
    /// name is there once. `PATH` is there, with the usual value where nothing sets it.
    pub env: Vec<(String, String)>,
    /// The names in `env` that are no part of the cache's key: the proxy arguments that no `ARG` declares.
    pub uncached: Vec<String>,
    /// The working directory: absolute and clean.
    pub working_dir: String,
    /// The user, `USER` as it is said; empty for root.
    pub user: String,
    /// `--mount`.
    pub mounts: Vec<Mount>,
    /// `--network`.
    pub network: NetworkMode,
    /// `--security`.
    pub security: SecurityMode,
    /// A script that has to be at this path while the program runs, read-only and executable (mode 755): a
    /// here-document that begins with `#!`. Not part of the layer.
    pub script: Option<InlineFile>,
}

/// A `COPY` or an `ADD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferStep {
    /// Whether it is an `ADD`: archives from the context are unpacked (see `unpack`), URLs and Git are fetched.
    pub add: bool,
    /// From where paths are taken.
    pub origin: Origin,
    /// What is copied, in order.
    pub sources: Vec<Source>,
    /// Where to: absolute and clean, with a `/` at its end if it has to be a folder.
    pub destination: String,
    /// `--chown`, as it is said: names or numbers, `user[:group]`.
    pub owner: Option<String>,
    /// `--chmod`.
    pub mode: Option<Mode>,
    /// `--link`: a layer of its own, that does not look at what was there before.
    pub link: bool,
    /// `--parents`: the sources' folders are kept below the destination.
    pub parents: bool,
    /// `--exclude`: patterns, relative to each source's root.
    pub exclude: Vec<String>,
    /// `--keep-git-dir`.
    pub keep_git_dir: bool,
    /// `--checksum` of the one URL or Git source.
    pub checksum: Option<Checksum>,
    /// `--unpack`, when it is said. `ADD` unpacks local archives and leaves fetched ones unless it is said.
    pub unpack: Option<bool>,
}

/// From where `COPY --from` or a mount takes its files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The build's context.
    Context,
    /// An earlier stage, by its number.
    Stage(usize),
    /// An image, as its name is written.
    Image(String),
    /// A named context of [`super::Options::contexts`].
    Named(String),
    /// Nothing: an empty tree (`scratch`).
    Scratch,
}

/// One thing that is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A path of the origin, with wildcards; relative to its root, clean, `.` for all of it. With `--parents` it keeps
    /// the `/./` that says from where on folders are kept.
    Path(String),
    /// A file in the Dockerfile itself.
    Inline(InlineFile),
    /// A file behind `http://` or `https://` (`ADD`).
    Url(String),
    /// A Git repository (`ADD`).
    Git(GitSource),
}

/// A file that the Dockerfile has the text of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineFile {
    /// Its name; for a script its absolute path.
    pub name: String,
    /// What is in it.
    pub data: String,
}

/// A Git repository: `https://host/path.git#ref:folder` and its relatives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitSource {
    /// The address, without what follows `#`.
    pub remote: String,
    /// The branch, tag or commit; the default branch when it is not said.
    pub reference: Option<String>,
    /// The folder in it; all of it when it is not said.
    pub folder: Option<String>,
}

/// `--chmod`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Permission bits, at most `0o7777`.
    Octal(u32),
    /// The symbolic form, as `chmod` has it: `u=rwX,go=rX`.
    Symbolic(String),
}

/// `--checksum`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// The digest of a fetched file.
    Digest(windlass_kernel::Digest),
    /// The commit that a Git source has to be at: 40 or 64 hexadecimal digits, or at least 7 of them.
    Commit(String),
}
