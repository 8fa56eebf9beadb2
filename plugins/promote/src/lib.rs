//! Makes a replica the master and everyone follow it.
