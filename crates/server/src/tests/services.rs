//! The services of the client libraries, call by call.
