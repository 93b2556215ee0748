//! Jobs in containers on our own sandbox, against a control in memory.

#[expect(dead_code, reason = "the tests of jobs in general use more of it")]
#[path = "../jobs/fixture.rs"]
mod fixture;
mod images;
mod layered;
