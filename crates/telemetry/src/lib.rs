//! Metric store, log store and search.
