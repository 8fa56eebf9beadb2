//! The doors in the sandbox wall, one folder each: what an attempt holds and how
//! it is linked (`mod`), the rule (`grant`), the functions (`host`), tests.

pub(crate) mod clock;
pub(crate) mod log;
pub(crate) mod progress;
pub mod redis;
