//! `web::Platform` and `web::RunnerPlatform`, implemented: each call goes to the part of control that knows.

mod code;
mod evidence;
mod images;
mod people;
mod registry;
mod runners;

pub(crate) use runners::{Runners, assembly};

use std::sync::Arc;

use crate::context::Context;

/// Control as the pages and the API see it.
#[derive(Clone, Debug)]
pub(crate) struct Control(pub(crate) Arc<Context>);
