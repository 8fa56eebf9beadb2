//! Every bound of the host, unit last, each with its reason. What an operator
//! sets (memory, fuel, attempts) is in [`crate::Options`].

use std::time::Duration;

/// From one tick of the epoch to the next: how late a looping guest yields.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// Stack of a guest: wasmtime's own default; deep recursion is a fault, not a crash.
pub(crate) const STACK_BYTES_MAX: usize = 512 * 1024;
/// Stack of the fiber that a guest runs on: the guest's, and room for host calls.
pub(crate) const FIBER_STACK_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Elements of one table: Python's interpreter has some 20,000 functions.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 100_000;
/// Tables of one core module and of one component, shims included.
pub(crate) const TABLES_MAX: u32 = 16;
/// Linear memories of one component: one, and room for an adapter's own.
pub(crate) const MEMORIES_MAX: u32 = 4;
/// Core instances of one component: a Python guest brings a dozen libraries.
pub(crate) const CORE_INSTANCES_MAX: u32 = 64;
/// Context of one core instance: grows with the module's functions.
pub(crate) const INSTANCE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A component file larger than this is no plugin; Python's are 18 MB.
pub(crate) const COMPONENT_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// `describe` only builds constant text; even on a machine under load.
pub(crate) const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(5);
/// Fuel of `describe`: an interpreter's start included.
pub(crate) const DESCRIBE_FUEL_MAX: u64 = 2_000_000_000;
/// Each text of `describe`: it is shown, kept in memory, and compared.
pub(crate) const DESCRIBE_BYTES_MAX: usize = 256 * 1024;
/// Redis commands that a plugin may ask for: more is not least privilege.
pub(crate) const ASKED_COMMANDS_MAX: usize = 256;

/// Output of one attempt: it goes into the journal and into later inputs.
pub(crate) const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Message of a guest's fault: a paragraph for a person.
pub(crate) const FAULT_MESSAGE_BYTES_MAX: usize = 8 * 1024;
/// Details of a guest's fault: lists of violations fit, dumps do not.
pub(crate) const FAULT_DETAILS_BYTES_MAX: usize = 256 * 1024;
/// Code of a guest's fault: one kebab-case word or three.
pub(crate) const FAULT_CODE_BYTES_MAX: usize = 64;
/// Frames of a guest's backtrace: the innermost tell what happened.
pub(crate) const BACKTRACE_FRAMES_MAX: usize = 32;

/// Host calls of one attempt. They cost the guest no fuel, so a loop of them
/// would only end with the time-out.
pub(crate) const HOST_CALLS_MAX: u32 = 1_000_000;
/// One sleep: an hour; longer waits are `wait` steps, which survive a crash.
pub(crate) const SLEEP_MS_MAX: u32 = 3_600_000;
/// Log lines of one attempt: the log is for people.
pub(crate) const LOG_LINES_MAX: u32 = 1_000;
/// Log text of one attempt.
pub(crate) const LOG_BYTES_MAX: usize = 256 * 1024;
/// One log line.
pub(crate) const LOG_LINE_BYTES_MAX: usize = 4 * 1024;
/// Message of a progress report: one line of a terminal.
pub(crate) const PROGRESS_BYTES_MAX: usize = 200;

/// Members that one Redis call may name: twice the largest cluster we know of.
pub(crate) const MEMBERS_MAX: usize = 64;
/// Commands of one pipeline: a server answers none of them before it read all.
pub(crate) const COMMANDS_MAX: usize = 10_000;
/// Arguments and names of one pipeline, together.
pub(crate) const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Replies of one pipeline, as they come over the wire.
pub(crate) const REPLY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Values in the replies of one pipeline: each costs the guest 16 bytes and more.
pub(crate) const REPLY_NODES_MAX: usize = 500_000;
/// One line of RESP (a simple string, an error, a number).
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1024;
/// Longest time that one call may wait for a member.
pub(crate) const CALL_TIMEOUT_MS_MAX: u32 = 600_000;
/// Writes that one reading of a replication stream tells: some MiB for the guest.
pub(crate) const STREAM_WRITES_MAX: usize = 5_000;
/// Keys and texts of these writes together.
pub(crate) const STREAM_TOLD_BYTES_MAX: usize = 2 * 1024 * 1024;
/// What is kept of one argument in the stream, and of a key that is told.
pub(crate) const STREAM_ARGUMENT_BYTES_MAX: usize = 1024;
/// Arguments of one write that are kept: its keys are among them, or are said to be cut.
pub(crate) const STREAM_ARGUMENTS_MAX: usize = 2_000;
/// To connect to a Sentinel and log in, for its events.
pub(crate) const HINT_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// From one sign of life to the next, where a Sentinel has no events to tell.
pub(crate) const HINT_PING_EVERY: Duration = Duration::from_secs(2);
/// Without any sign of life a Sentinel's connection is given up: two missed answers.
pub(crate) const HINT_SILENCE_MAX: Duration = Duration::from_secs(5);
/// Before a Sentinel is connected to again, at first.
pub(crate) const HINT_PAUSE_MIN: Duration = Duration::from_millis(250);
/// The same, at last: a Sentinel that is down for a day is knocked at 8,000 times.
pub(crate) const HINT_PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long a watch may go on using one connection: what a new one would meet is met
/// within this time.
pub(crate) const KEPT_AGE_MAX: Duration = Duration::from_secs(30);
/// A request as the journal and people see it.
pub(crate) const REQUEST_TEXT_BYTES_MAX: usize = 200;
/// The questions of one call as a tape shows them: a line a command.
pub(crate) const TAPE_REQUEST_BYTES_MAX: usize = 2 * 1024;
/// An outcome as the journal and people see it.
pub(crate) const OUTCOME_TEXT_BYTES_MAX: usize = 200;

/// Path and query of one HTTP request: what servers take at least (RFC 9110, 4.1).
pub(crate) const HTTP_PATH_BYTES_MAX: usize = 8_000;
/// Headers that a guest may set.
pub(crate) const HTTP_HEADERS_MAX: usize = 32;
/// Names and values of them together.
pub(crate) const HTTP_HEADER_BYTES_MAX: usize = 8 * 1024;
/// Body of one HTTP request: messages and settings, no uploads.
pub(crate) const HTTP_REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// Headers of one answer.
pub(crate) const HTTP_ANSWER_HEADERS_MAX: usize = 100;
/// Head of one answer, and what is read ahead of its body.
pub(crate) const HTTP_HEAD_BYTES_MAX: usize = 64 * 1024;
/// Characters of an idempotency key: 128 bits in hexadecimal, which no receiver finds
/// too long.
pub(crate) const IDEMPOTENCY_KEY_CHARS: usize = 32;

/// An argument of a command that a guest gives: a name, not a document.
pub(crate) const ARGUMENT_BYTES_MAX: usize = 4 * 1024;
/// A pattern of arguments, compiled.
pub(crate) const PATTERN_BYTES_MAX: usize = 1024 * 1024;
/// What is read of a command's output at a time.
pub(crate) const EXEC_PIECE_BYTES: usize = 16 * 1024;
/// For the rest of the output of a command that has ended, while somebody whom it left
/// behind still holds the pipe.
pub(crate) const EXEC_DRAIN: Duration = Duration::from_millis(200);
/// From SIGTERM to SIGKILL for a command whose time is over.
pub(crate) const EXEC_GRACE: Duration = Duration::from_secs(2);
/// Between two looks whether it has ended by then.
pub(crate) const EXEC_LOOK_EVERY: Duration = Duration::from_millis(10);

/// Targets of one look: each is a connection.
pub(crate) const PROBES_MAX: usize = 64;
/// Body of an answer to a probe, and a message of a WebSocket: a status page, no download.
pub(crate) const PROBE_BODY_BYTES_MAX: usize = 256 * 1024;
/// Messages of a feed that are passed over until its pong comes.
pub(crate) const PROBE_MESSAGES_MAX: usize = 1_000;
/// What a probe says of what it saw.
pub(crate) const PROBE_REASON_BYTES_MAX: usize = 300;

/// Stretches kept of one node: a failover makes two, so this is the last few of them.
pub(crate) const LINEAGE_STRETCHES_MAX: usize = 8;
/// From one sample of steady progress on disk to the next: what a crash of the engine
/// may cost.
pub(crate) const LINEAGE_KEEP_EVERY_MS: u64 = 1_000;
/// One file of samples; there are two a cluster. About half an hour of three nodes.
pub(crate) const LINEAGE_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// One sample on disk, at most: an address and three ids.
pub(crate) const LINEAGE_LINE_BYTES_MAX: u64 = 1024;
/// Samples on their way to the disk: a minute of a large cluster.
pub(crate) const LINEAGE_QUEUE_MAX: usize = 4_096;
/// How long the end of the engine waits for samples that are on their way.
pub(crate) const LINEAGE_END_TIMEOUT: Duration = Duration::from_secs(1);
