//! Proves that a cluster replicates as it should.
