//! Repositories, served to and read with the real `git`.

mod reading;
mod serving;
mod world;
