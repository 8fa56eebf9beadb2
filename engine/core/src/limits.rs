//! Every bound of the core, unit last, each with its reason.

/// A workflow file larger than this is a mistake, not a workflow.
pub const WORKFLOW_BYTES_MAX: usize = 256 * 1024;
/// More steps than a person can follow in a graph; also bounds every walk over a plan.
pub const STEPS_MAX: usize = 256;
/// Items of one `for_each`: each is a place with a state of its own.
pub const ITEMS_MAX: usize = 1_000;
/// Names of workflows, steps and params: they stand in file names, metrics and URLs.
pub const NAME_CHARS_MAX: usize = 64;
/// An expression longer than this overflows the stack of minijinja's parser
/// (chains of unary operators are not counted by its recursion limit).
pub const EXPRESSION_CHARS_MAX: usize = 1_000;
/// Fuel of one expression: instructions of minijinja's machine. Far above any
/// honest condition, far below a visible pause.
pub const EXPRESSION_FUEL_MAX: u64 = 50_000;
/// A rendered `with` value: it is copied into the guest and into the journal's reach.
pub const INPUT_BYTES_MAX: usize = 1024 * 1024;
/// Tries of one step; more hides a fault instead of riding it out.
pub const ATTEMPTS_MAX: u32 = 100;
/// Interruptions of one place without progress before it is parked for a person:
/// a step that kills the engine must not keep it in a crash loop.
pub const INTERRUPTIONS_MAX: u32 = 5;
/// Depth of child workflows.
pub const CHILD_DEPTH_MAX: usize = 4;
/// Longest wait that a workflow may ask for (timeouts, back-off, `every`): 7 days.
pub const WAIT_MS_MAX: u64 = 7 * 24 * 3600 * 1000;
/// Deliveries remembered as joined to one run; later ones only move the newest time.
pub const JOINED_MAX: usize = 64;
/// Calls remembered of one place for `context.done` and for the report.
pub const CALLS_MAX: usize = 1_000;
/// Attempts whose start and end a place remembers (the newest are kept).
pub const HISTORY_MAX: usize = 32;
/// How often work may send its evidence back before it gives up: what is stale each
/// time will be stale the next.
pub const REFRESHES_MAX: u32 = 2;
/// Tape of one attempt, in bytes: what a run keeps in memory and on disk to be able to
/// hear it again. Long reads belong into steps that only read.
pub const TAPE_BYTES_MAX: usize = 8 * 1024 * 1024;
