//! Tests of the journal: one suite for every store, and what only a disk can do.

mod copies;
mod crash;
mod damage;
mod disk;
mod keeping;
mod moving;
mod opening;
mod power;
mod round_trip;
mod sample;
mod suite;
mod writer;
