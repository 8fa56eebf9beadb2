//! Checks every invariant of the order books in a cluster.
