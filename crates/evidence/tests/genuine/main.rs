//! What is written here is read by others, and what is ordered here is ordered so by the programs whose versions they
//! are: `dpkg`, Python's `packaging`, npm's `semver`, CycloneDX' and SPDX' own checkers, sigstore's verifier.

mod documents;
mod image;
mod orders;
mod python;
mod signatures;
mod syft;
