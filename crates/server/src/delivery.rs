//! Carrying deployments out: facts are gathered, `delivery` plans, and what it says is done, again and again.
//!
//! Nothing here remembers where it was: documents, shims and the gateway are asked each round, so that control may be
//! killed between any two lines and goes on from what is there.

mod act;
mod environment;
mod facts;
mod launch;
mod requests;
mod rounds;
mod routes;
mod views;

pub(crate) use environment::{EnvironmentDoc, environment_id};
pub(crate) use launch::instance_dir;
#[cfg(test)]
pub(crate) use rounds::round;
pub(crate) use rounds::run;
#[cfg(test)]
pub(crate) use routes::refresh;
