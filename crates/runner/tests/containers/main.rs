//! Jobs in containers on our own sandbox, with no engine: from image layers that these tests made, out of a registry of their
//! own, against a control in memory.

mod bounds;
#[expect(dead_code, reason = "the tests of jobs in general use more of it")]
#[path = "../jobs/fixture.rs"]
mod fixture;
mod images;
mod services;
mod steps;
mod world;
