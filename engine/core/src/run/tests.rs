//! The machine, feature by feature: a script of facts, and what the run makes of it.
//! The simulator looks for what nobody thought of; these say what was.

mod ends;
mod graph;
mod invocation;
mod lanes;
mod script;
