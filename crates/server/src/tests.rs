//! Control as a whole, over a store in memory, real repositories, pretended instances and a pretended gateway.

mod crash;
mod deliveries;
mod permissions;
mod runs;
mod world;
