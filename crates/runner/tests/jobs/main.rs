//! Whole jobs, against a control in memory, mostly over plain processes.

mod actions;
mod background;
mod built_in;
mod contract;
mod docker;
mod dockerfiles;
mod fixture;
mod git_server;
mod javascript;
mod steps;
mod stops;
