//! The failover laboratory: a cluster under a client that counts, an engine that leads or
//! looks on, faults at drawn moments, and what must be true of it afterwards.
//!
//! ```text
//! seed ──► plan: faults, moments, engine kills, mode
//!   plan ──► scene: servers, trader, probes, `baton serve`
//!     scene ──► moves of the faults, kills of the engine, a person who answers
//!       until all is calm ──► observed ──► check (pure) ──► violations, a row of the table
//! ```
//! | file | what |
//! |---|---|
//! | fault | the faults there are |
//! | story | how one is made and ended, and what must follow; two at once |
//! | masters, others, traps | the stories |
//! | moves | what a story is made of, done to real servers |
//! | plan | what one seed decides; the matrix |
//! | scene | servers, clients and engine of one round |
//! | round | one round played |
//! | observed, collect | what was seen of it |
//! | check | what of that is a violation |
//! | table | rows and totals |

mod check;
mod collect;
mod fault;
mod masters;
mod moves;
mod observed;
mod others;
mod plan;
mod round;
mod scene;
mod story;
mod table;
mod traps;

pub use fault::Fault;
pub use plan::{EngineKill, Mode, Plan, Sentinels, matrix};
pub use round::{Outcome, Site, play, play_all};
pub use table::{head, row, totals};
