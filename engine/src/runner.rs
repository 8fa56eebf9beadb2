//! The only loop: takes inputs, checks them against the machine, appends, and
//! performs what is owed.
//!
//! ```text
//! inputs that wait ─► stage (check with the machine) ─► append, flush ─► install ─► perform
//! ```
//! Everything that waits in the inbox becomes one batch, so that one flush serves
//! all of it. While a batch is on its way to disk nothing else is staged: an input
//! is always checked against all that came before it.
//!
//! **Invariant:** nobody else touches the journal, and nothing is performed or
//! answered before its batch is durable.

mod admit;
mod attempt;
mod detached;
mod ephemeral;
mod handle;
mod index;
mod obey;
mod owe;
mod question;
mod recover;
pub mod rehearse;
mod render;
mod reply;
mod report;
pub mod schedule;
mod stage;
pub mod switches;
pub mod table;
pub mod tape;
mod tell;
#[cfg(test)]
mod tests;
mod timers;
mod tries;
mod verdict;
mod versions;
pub mod view;
pub mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use baton_core::Millis;
use baton_core::id::{AttemptId, Digest, RunId};
use baton_core::run::Run;
use baton_core::run::event::{Answer, Call, Cause, TapeEntry};
use baton_core::workflow::plan::Plan;
use baton_core::{Json, id::Place};
use baton_host::{End, Host, Plugin, WallError};
use tokio::sync::{mpsc, oneshot, watch as signal};
use tokio::task::AbortHandle;

use crate::journal::{Closed, Journal, JournalError};

pub use ephemeral::look;
pub use handle::{Admission, Begin, BeginError, CommandError, Filter, Handle, Stats};
use index::Index;
pub use render::archive;
use switches::{By, Order, Shelf, Switches};
use tape::{TapeError, TapeView};
use timers::Timers;
pub use versions::Versions;
use view::{ProgressView, RunView, Summary};

/// Inputs that wait for the loop. Senders wait when it is full.
const INBOX_INPUTS_MAX: usize = 4_096;
/// Inputs staged into one batch; more only delays the answers to the first ones.
const BATCH_INPUTS_MAX: usize = 512;
/// Closed runs remembered for lists, dedup and cool-down.
const CLOSED_RUNS_MAX: usize = 10_000;

/// Everything that can reach the loop.
#[derive(Debug)]
pub(crate) enum Input {
    /// A trigger.
    Begin {
        /// The wish.
        begin: Begin,
        /// Answered after the flush.
        reply: oneshot::Sender<Result<Admission, BeginError>>,
    },
    /// End a run.
    Cancel {
        /// Which.
        run: RunId,
        /// Who and why.
        by: Cause,
        /// Answered after the flush.
        reply: oneshot::Sender<Result<(), CommandError>>,
    },
    /// Answer a question.
    Answer {
        /// Of which run.
        run: RunId,
        /// Of which step, by name.
        step: String,
        /// Of which item; none: of a step without `for_each`.
        item: Option<u32>,
        /// The answer.
        answer: Answer,
        /// Answered after the flush.
        reply: oneshot::Sender<Result<(), CommandError>>,
    },
    /// A word to the engine as a whole.
    Order {
        /// What.
        order: Order,
        /// Who and why.
        by: By,
        /// Answered when it is on disk and in force.
        reply: oneshot::Sender<Result<(), CommandError>>,
    },
    /// Changing calls wait for their intents to be on disk.
    Intend {
        /// Whose.
        of: Doing,
        /// What was heard before; goes to disk with them.
        told: Told,
        /// The calls, without outcome.
        calls: Vec<Call>,
        /// Answered after the flush.
        reply: oneshot::Sender<Result<(), WallError>>,
    },
    /// What came of calls; rides with the next append.
    Outcome {
        /// Whose.
        of: Doing,
        /// The calls, with outcome.
        calls: Vec<Call>,
    },
    /// How far an attempt is.
    Progress {
        /// Whose.
        of: Doing,
        /// How far.
        progress: ProgressView,
    },
    /// An attempt ended.
    Ended {
        /// Which.
        of: Doing,
        /// What it heard since its last change.
        told: Told,
        /// How.
        end: End,
    },
    /// List runs.
    List {
        /// Which.
        filter: Filter,
        /// Newest first.
        reply: oneshot::Sender<Vec<Summary>>,
    },
    /// Show a run.
    Show {
        /// Which.
        run: RunId,
        /// None: unknown.
        reply: oneshot::Sender<Option<RunView>>,
    },
    /// The tape of an attempt.
    Tape {
        /// Of which run.
        run: RunId,
        /// Which attempt.
        wanted: tape::Wanted,
        /// As a document.
        reply: oneshot::Sender<Result<TapeView, TapeError>>,
    },
    /// A build that runs began with.
    Build {
        /// Its digest.
        digest: Digest,
        /// Its bytes, if it is kept; or why it cannot be read.
        reply: oneshot::Sender<Result<Option<Vec<u8>>, String>>,
    },
    /// Pauses, windows, acknowledgements.
    Switches {
        /// As they are now.
        reply: oneshot::Sender<Switches>,
    },
    /// Figures.
    Stats {
        /// Figures.
        reply: oneshot::Sender<Stats>,
    },
    /// Drain and stop.
    Stop {
        /// How long running attempts may take, in milliseconds.
        grace_ms: Millis,
        /// Answered when the loop ends.
        reply: oneshot::Sender<()>,
    },
}

/// An attempt of a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Doing {
    pub run: RunId,
    pub attempt: AttemptId,
}

/// What an attempt has to tell before anything else is staged for it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// The input that it was given: the head of its tape.
    pub input: Arc<Json>,
    /// Outcomes that found no place in the inbox when they came.
    pub outcomes: Vec<Call>,
    /// What it heard since the last time.
    pub heard: Vec<Arc<TapeEntry>>,
}

/// What the engine runs: loaded, checked, compiled.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Plans by workflow name.
    pub plans: BTreeMap<String, Arc<Plan>>,
    /// Plugins by name.
    pub plugins: BTreeMap<String, Plugin>,
}

/// Bounds an operator may set.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Attempts at the same time.
    pub attempts_max: usize,
    /// Open runs; more triggers are refused until some close.
    pub open_runs_max: usize,
}

/// An open run in memory.
struct Live {
    plan: Arc<Plan>,
    run: Run,
    /// Number of its next record.
    seq: u64,
    /// Outcomes of calls that ride with the next append.
    outcomes: Vec<(AttemptId, Call)>,
    progress: BTreeMap<Place, ProgressView>,
}

/// The loop's state.
struct Runner {
    journal: Arc<dyn Journal>,
    host: Host,
    loaded: Loaded,
    bounds: Bounds,
    runs: BTreeMap<RunId, Live>,
    unreadable: BTreeMap<RunId, String>,
    /// Of what is loaded.
    versions: Arc<Versions>,
    /// Newest last.
    closed: VecDeque<Closed>,
    index: Index,
    timers: Timers,
    tasks: BTreeMap<Doing, AbortHandle>,
    /// Attempts that wait for a free slot.
    backlog: VecDeque<Doing>,
    switches: Switches,
    /// Where they are kept.
    shelf: Shelf,
    /// Attempts that they hold back: those of whom that has been said.
    held: BTreeSet<Doing>,
    /// Plugins by digest: those loaded and those that resumed runs began with.
    builds: BTreeMap<Digest, Plugin>,
    inbox: mpsc::Receiver<Input>,
    outbox: mpsc::WeakSender<Input>,
    changes: signal::Sender<u64>,
    stats: Stats,
    clock: Clock,
    draining: Option<Draining>,
    /// The journal has stopped; so must the engine.
    halted: bool,
}

struct Draining {
    until: Millis,
    replies: Vec<oneshot::Sender<()>>,
}

/// Wall time that neither runs backwards nor stands still, in milliseconds since the
/// Unix epoch: when somebody sets the machine's clock back, timers still come.
#[derive(Debug, Default)]
struct Clock {
    latest: Millis,
    /// When `latest` was read.
    read: Option<std::time::Instant>,
}

impl Clock {
    fn now(&mut self) -> Millis {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        self.advance(since.map_or(0, millis), std::time::Instant::now())
    }

    fn advance(&mut self, wall: Millis, at: std::time::Instant) -> Millis {
        let passed = self.read.map_or(0, |read| millis(at.saturating_duration_since(read)));
        let steady = self.latest.saturating_add(passed);
        // Less than a millisecond is left to the next reading, or it would never add up.
        if wall.max(steady) > self.latest {
            self.latest = wall.max(steady);
            self.read = Some(at);
        }
        self.latest
    }
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

/// Resumes every unfinished run of `journal` and starts the loop; says how many
/// runs were unfinished. Pauses and maintenance windows are kept in the file `switches`
/// (none: for as long as the process lives).
///
/// # Errors
/// If the journal cannot be read.
pub async fn start(
    journal: Arc<dyn Journal>,
    host: Host,
    loaded: Loaded,
    bounds: Bounds,
    switches: Option<PathBuf>,
) -> Result<(Handle, usize), JournalError> {
    let (outbox, inbox) = mpsc::channel(INBOX_INPUTS_MAX);
    let (changes, seen) = signal::channel(0);
    let builds =
        loaded.plugins.values().map(|plugin| (plugin.info().digest, plugin.clone())).collect();
    let versions = Arc::new(Versions::loaded(&loaded));
    let (shelf, mut clock) = (Shelf::new(switches), Clock::default());
    let switches = shelf.load(clock.now());
    let mut runner = Runner {
        journal,
        host,
        loaded,
        bounds,
        runs: BTreeMap::new(),
        unreadable: BTreeMap::new(),
        versions,
        closed: VecDeque::new(),
        index: Index::default(),
        timers: Timers::default(),
        tasks: BTreeMap::new(),
        backlog: VecDeque::new(),
        switches,
        shelf,
        held: BTreeSet::new(),
        builds,
        inbox,
        outbox: outbox.downgrade(),
        changes,
        stats: Stats::default(),
        clock,
        draining: None,
        halted: false,
    };
    let resumed = runner.recover().await?;
    tokio::spawn(runner.turn());
    Ok((Handle { inbox: outbox, changes: seen }, resumed))
}

impl Runner {
    async fn turn(mut self) {
        loop {
            if self.is_drained() {
                break;
            }
            let mut inputs = Vec::new();
            tokio::select! {
                biased;
                count = self.inbox.recv_many(&mut inputs, BATCH_INPUTS_MAX) => {
                    // Every handle is gone: nobody can ask for anything any more.
                    if count == 0 { break }
                }
                () = self.timers.due(self.clock.latest) => {}
            }
            self.batch(inputs).await;
        }
        // Nobody is left to start anything for.
        self.draining.get_or_insert(Draining { until: 0, replies: Vec::new() });
        for task in std::mem::take(&mut self.tasks).into_values() {
            task.abort();
        }
        if !self.halted {
            self.last_words().await;
        }
        for reply in self.draining.map(|draining| draining.replies).unwrap_or_default() {
            let _ = reply.send(());
        }
    }

    fn is_drained(&mut self) -> bool {
        let now = self.clock.now();
        let drained = |draining: &Draining| self.tasks.is_empty() || now >= draining.until;
        self.halted || self.draining.as_ref().is_some_and(drained)
    }

    /// What attempts have told until now and is not on disk yet: an outcome that is
    /// lost here would be in doubt at the next start.
    async fn last_words(&mut self) {
        self.inbox.close();
        let mut told = Vec::new();
        while let Ok(input) = self.inbox.try_recv() {
            if matches!(input, Input::Outcome { .. } | Input::Ended { .. }) {
                told.push(input);
            }
        }
        let mut stage = self.stage();
        for input in told {
            self.take(&mut stage, input, &mut Vec::new());
        }
        let ids: Vec<RunId> = self.runs.keys().cloned().collect();
        for id in &ids {
            self.flush_outcomes(&mut stage, id);
        }
        self.settle(&mut stage);
        // There is nobody left to tell if it fails.
        let _ = self.commit(stage).await;
    }

    fn drain(&mut self, grace_ms: Millis, reply: oneshot::Sender<()>) {
        let until = self.clock.now() + grace_ms;
        self.timers.wake_at(until);
        match &mut self.draining {
            Some(draining) => {
                draining.until = draining.until.min(until);
                draining.replies.push(reply);
            }
            None => self.draining = Some(Draining { until, replies: vec![reply] }),
        }
    }

    /// Only the loop itself may keep it from ending: attempts hold weak senders.
    fn sender(&self) -> Option<mpsc::Sender<Input>> {
        self.outbox.upgrade()
    }
}

/// How long an input waits before it is tried again after the journal refused it.
const RETRY_AFTER: Duration = Duration::from_millis(500);
