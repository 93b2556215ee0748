//! Composition root: configuration, wiring, reconcilers, roles.
