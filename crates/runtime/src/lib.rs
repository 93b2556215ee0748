//! The Runtime port and its drivers: sandbox, process, fake; shims.
