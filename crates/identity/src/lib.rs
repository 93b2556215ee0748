//! Principals, tokens, roles, authorize: the only place a permission is decided.
