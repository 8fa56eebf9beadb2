//! Redis and Sentinel, as far as granted.

mod class;
mod cluster;
mod table;

pub use class::is_read;
pub use cluster::{Auth, Cluster, Mode, Secret, Tls};
