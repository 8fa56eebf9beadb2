//! Order books, trades and risk in Redis: how they lie there ([`layout`]), how they are
//! read ([`source`], [`streams`], [`record`]), and what all that judge them share.
//!
//! Shared by the plugins that verify them. Nothing is copied on the way: a million orders
//! are read in a guest's memory of 64 MiB.

mod decimal;
pub mod fingerprint;
pub mod gate;
mod ids;
pub mod layout;
mod record;
pub mod rules;
pub mod source;
pub mod still;
mod streams;
mod tally;
#[cfg(feature = "testing")]
pub mod testing;
mod violation;

pub use decimal::Decimal;
pub use fingerprint::Fingerprint;
pub use ids::{FNV_BASIS, Id, Ids, fnv, fnv_on};
pub use layout::{Fields, Keys, Template};
pub use record::{Member, Meta, Order, Side, Trade, members};
pub use source::Source;
pub use streams::Streams;
pub use tally::{Found, Halt, INSTRUMENTS_MAX, Reason, Sum, Tally, VIOLATIONS_MAX};
pub use violation::{Violation, number, same, shown};
