//! Dispatcher and job units: steps, actions, shells, files, caches, logs.
