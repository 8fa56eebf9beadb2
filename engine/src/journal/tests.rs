//! Tests of the journal: one suite for every store, and what only a disk can do.

mod crash;
mod damage;
mod opening;
mod round_trip;
mod sample;
mod suite;
mod writer;
