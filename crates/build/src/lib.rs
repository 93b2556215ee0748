//! Images built from Dockerfiles without a daemon: sources, steps in sandboxes, layers, a cache by content.
//!
//! [`Builder::build`] takes a [`BuildRequest`] and tells a [`Progress`] what it does; the [`Outcome`] says what it made.
//! The way of a build:
//!
//! 1. `windlass-dockerfile` makes a plan of the text: which stages are needed, and each one's steps, expanded.
//! 2. Each stage is a task (`exec/stage.rs`). A step has a key (`key.rs`): that of what was before it, what it says, and
//!    what the files that it reads hash to. The store (`store.rs`) knows which layer a key left; then nothing is done, and
//!    nothing is laid out either.
//! 3. Otherwise `COPY` and `ADD` write a new layer's folder (`transfer.rs`, `writer.rs`) over the layers below, which are
//!    seen without a mount (`tree/stack.rs`); `RUN` runs in a sandbox whose upper folder is kept (`exec/run.rs`).
//! 4. What a layer's tar hashes to is reckoned out while the next step runs (`pack.rs`); blobs are made of layers only
//!    where an output needs them (`assemble.rs`, `output.rs`).
//!
//! Not here: what a Dockerfile means (`windlass-dockerfile`), registries and unpacking (`windlass-oci`), sandboxes
//! (`windlass-runtime`).

mod agent;
mod assemble;
mod bring;
mod builder;
mod cache;
mod context;
mod error;
mod exec;
mod git;
mod image;
mod key;
mod output;
mod pack;
mod passwd;
mod platforms;
mod progress;
mod request;
mod sources;
mod store;
mod taken;
mod transfer;
mod tree;
mod writer;

pub use builder::{Builder, BuilderConfig, metadata};
pub use error::{BuildError, FailedStep, Refused};
pub use pack::Compression;
pub use progress::{Event, Plain, Progress, Quiet, Vertex};
pub use request::{
    BuildRequest, CacheFrom, CacheTo, Context, Destination, DockerfileSource, NamedContext, Network, Outcome,
    Output, StepLimits,
};
pub use store::{Evicted, LocalImage, LocalLayer, Store};
pub use taken::Taken;
pub use windlass_oci::{ImageName, Keyring, Login};

/// Whether a text names a Git repository rather than a folder, as a context.
pub fn is_git(text: &str) -> bool {
    git::Repository::is_one(text)
}

/// Whether a text names something that has to be fetched before it is a context: a Git repository, or an address.
pub fn is_remote(text: &str) -> bool {
    is_git(text) || text.starts_with("https://") || text.starts_with("http://")
}
