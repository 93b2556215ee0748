//! The Dockerfile language, as BuildKit reads it: text to stages and instructions, or findings with spans. Pure and total.
