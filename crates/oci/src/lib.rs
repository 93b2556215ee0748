//! Image model, assembled builds, registry routes, blob port.
