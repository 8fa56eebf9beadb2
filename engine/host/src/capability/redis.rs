//! Redis and Sentinel, as far as granted.

mod cluster;

pub use cluster::{Auth, Cluster, Mode, Secret, Tls};
