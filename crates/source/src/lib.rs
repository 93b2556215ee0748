//! Repositories, receive policy, smart HTTP, reading.
