//! Listeners, routes, balancing; fed by route-table snapshots.
