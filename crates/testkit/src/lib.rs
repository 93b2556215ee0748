//! Mock clock, in-memory ports, TestPlatform.
