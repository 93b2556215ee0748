//! Sandboxes as they are used and as they are attacked, at every level that the machine permits.
//! Started by root, tests of level `user` run themselves again as an ordinary user.

mod world;

mod attacks_files;
mod attacks_machine;
mod attacks_processes;
mod contract;
mod resident;
mod shims;
mod toolchains;
