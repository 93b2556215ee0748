//! Runs, jobs, matrix, concurrency, scheduling: pure machines.
