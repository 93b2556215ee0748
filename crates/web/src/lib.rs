//! JSON handlers and HTML pages.
