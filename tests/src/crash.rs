//! The crash laboratory: an engine that is killed at every place where that can hurt,
//! started again, and held to its promises.
//!
//! ```text
//! play once, uncrashed ──► count every passing of every point ──► for each of them:
//!     start, run, die there by SIGKILL ──► start again (and die again) ──► run to the end
//!     ──► look at Redis and at the run: once is once, the outputs are the uncrashed ones
//! ```
//! | file | what |
//! |---|---|
//! | blow | what kills an engine, and when |
//! | engine | `baton serve`, started again whenever it has died |
//! | bench | one Redis server and homes for engines that use it |
//! | torture | a workflow of steps of every kind, and what must be true after it |
//! | failover | the real workflow on real clusters, and what must be true after it |
//! | boundary | every passing of every point |
//! | random | rounds of many runs at once, from one seed |
//! | deliveries | senders that do not give up |

mod bench;
mod blow;
pub mod boundary;
pub mod deliveries;
mod engine;
pub mod failover;
pub mod random;
pub mod torture;

pub use baton_crash::{Passing, Point};
pub use bench::Bench;
pub use blow::Blow;
pub use engine::{API_TOKEN, Answered, Engine, Question};
