//! Everything that needs more than one crate, in one binary.

mod flaws;
