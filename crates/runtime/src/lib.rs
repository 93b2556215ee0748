//! What runs programs: the [`Runtime`] port with its drivers, and the shims that keep services up.
//!
//! - [`Linux`] is the driver over the kernel's own means: namespaces, overlay, control groups. It
//!   takes the strongest [`Level`] that the machine allows, and says which in [`Capabilities`].
//! - [`Host`] is the driver of plain processes without an init, for runs at a person's own terminal.
//! - [`fake`] is the driver for tests of other crates: no process, a script of what programs do.
//! - [`shim`] holds one service instance: a detached process with a sandbox, a log and a status.
//!
//! A sandbox has one small init (our own binary, executed again, see [`init_main`]); programs are
//! sent to it over a socket. What runs in a sandbox dies with it, and a sandbox dies with its owner.
//!
//! Not here: what a step or a service *means* (crate `runner`, crate `server`), images (crate `oci`).

mod cgroup;
mod error;
pub mod fake;
mod fault;
mod flat;
mod host;
mod init;
mod kernel_calls;
mod layout;
mod linux;
mod machine;
mod port;
mod scratch;
pub mod shim;
mod spec;
mod toolchain;
mod wire;

pub use error::RuntimeError;
pub use host::Host;
pub use init::init_main;
pub use linux::{Door, Linux, Resident, RuntimeConfig, measure_start};
pub use port::{Finished, Instances, Output, Process, ProcessControl, Runtime, Sandbox};
pub use scratch::sweep;
pub use shim::{Shims, shim_main};
pub use spec::{
    Bind, Capabilities, ControlGroups, Exec, Exit, InstanceSpec, Laid, Level, Limits, Memory, Observed,
    OpenFile, Root, SandboxSpec, Signal, Stdin, Usage,
};
