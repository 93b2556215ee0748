//! Control as a whole, over a store in memory, real repositories, pretended instances and a pretended gateway.

mod compatible;
mod crash;
mod deliveries;
mod evidence;
mod genuine;
mod logs;
mod permissions;
mod registry;
mod reports;
mod runs;
mod scheduling;
mod services;
mod trust;
mod world;
