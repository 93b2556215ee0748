//! The workflow language: text to typed workflow and diagnostics; expressions; pure and total.
