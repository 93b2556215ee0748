//! `RUN --mount`, checked and expanded.

use super::Origin;

/// A mount that is there while a `RUN` runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted.
    pub kind: MountKind,
    /// Where: absolute and clean. For a secret that is only in the environment: `None`.
    pub target: Option<String>,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// `type=bind`: files of a context, stage or image.
    Bind {
        /// From where.
        from: Origin,
        /// The path in it: absolute, as seen from its root.
        source: String,
        /// Whether it may be written; what is written is thrown away afterwards.
        writable: bool,
    },
    /// `type=cache`: a folder that is kept between builds.
    Cache {
        /// Which one; the target when it is not said.
        id: String,
        /// Who may have it at once.
        sharing: Sharing,
        /// Whether it may only be read.
        read_only: bool,
        /// What it begins with, when it is new.
        from: Option<Origin>,
        /// The path in that; `/` when it is not said.
        source: String,
        /// The folder's mode when it is made; `0o755` when it is not said.
        mode: u32,
        /// The folder's user when it is made.
        uid: u32,
        /// The folder's group when it is made.
        gid: u32,
    },
    /// `type=tmpfs`: memory.
    Tmpfs {
        /// Its size in bytes; 0 when it is not said.
        size: u64,
    },
    /// `type=secret`: a secret of the build, as a file, as a variable, or both.
    Secret {
        /// Which one.
        id: String,
        /// Whether the build fails without it.
        required: bool,
        /// The variable that has it.
        env: Option<String>,
        /// The file's mode; `0o400` when it is not said.
        mode: u32,
        /// The file's user.
        uid: u32,
        /// The file's group.
        gid: u32,
    },
    /// `type=ssh`: a socket of an SSH agent. The first such mount's target is the value of `SSH_AUTH_SOCK`.
    Ssh {
        /// Which one; `default` when it is not said.
        id: String,
        /// Whether the build fails without it.
        required: bool,
        /// The socket's mode; `0o600` when it is not said.
        mode: u32,
        /// The socket's user.
        uid: u32,
        /// The socket's group.
        gid: u32,
    },
}

/// Who may have a cache at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// Everybody.
    #[default]
    Shared,
    /// Each its own, when several want it.
    Private,
    /// One after the other.
    Locked,
}
