//! The doors in the sandbox wall, one folder each.

pub mod redis;
