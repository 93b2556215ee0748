//! Repositories, served to and read with the real `git`.

mod proposing;
mod reading;
mod serving;
mod world;
