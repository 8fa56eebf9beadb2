//! What must hold after every event, computed from the plan, the facts and the states
//! alone: none of the machine's own helpers decide here.

mod ends;
mod fresh;
mod graph;
mod lanes;

use std::fmt::{self, Write as _};

use super::ledger::Ledger;
use crate::id::{Place, Side, StepId};
use crate::run::event::Event;
use crate::run::place::{Item, State};
use crate::run::state::Run;
use crate::workflow::plan::{Plan, Step};

/// A rule of the machine was broken.
#[derive(Debug)]
pub(in crate::run) struct Violation {
    pub invariant: &'static str,
    pub message: String,
}

impl Violation {
    /// The same, with the facts that led to it.
    pub(super) fn after(mut self, journal: &[Event], event: &Event) -> Self {
        for (index, fact) in journal.iter().chain([event]).enumerate() {
            write!(self.message, "\n{index:5} {:6} {fact}", fact.at()).expect("memory");
        }
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.message)
    }
}

pub(super) fn violated<T>(
    invariant: &'static str,
    message: impl Into<String>,
) -> Result<T, Violation> {
    Err(Violation { invariant, message: message.into() })
}

macro_rules! invariants {
    ($($name:ident = $words:literal;)*) => {
        $(pub(super) const $name: &str = $words;)*
        /// Every invariant; each has a planted fault that it caught.
        pub(super) const ALL: &[&str] = &[$($name),*];
    };
}

invariants! {
    REPLAY = "replay gives the live run";
    OWED = "what is remembered as owed is what is outstanding";
    CLOSES = "every run closes";
    LEGAL = "what follows is taken and what does not is refused";
    FINISHED = "what is settled stays so";
    OUTPUTS = "an output once given never changes";
    NUMBERS = "attempts are numbered without a gap or a repeat";
    TRIES = "no more tries than the plan gives";
    BACKOFF = "a retry waits as long as the plan says";
    UNTIL = "a poll succeeds only when its condition holds";
    IN_DOUBT = "an attempt in doubt is not repeated without a yes";
    ASK_FIRST = "an attempt that wants a person to look waits for one";
    POISON = "a place that kills the engine is parked";
    CHILDREN = "a child's attempt ends only with the child";
    LET_GO = "a step that let a run go is over";
    NEEDS = "a step starts after the steps it needs";
    PARALLEL = "no more items at a time than the plan says";
    QUEUED = "a queued run starts nothing";
    JOINED = "joining changes nothing else";
    CAUSE = "a run ends for a reason, and the first one stays";
    CANCELLED = "a run that ends starts nothing new on its way forward";
    STOPS = "a cancelled run tells what runs to stop";
    ALWAYS = "what is always done comes after undo and is never left out";
    PIVOT = "nothing behind a passed pivot is taken back";
    UNDO_ORDER = "undo runs backwards";
    UNDONE = "what must be taken back is";
    SETTLED = "a closed run has nothing unsettled";
    HONEST = "a run says how it ended";
    ASSESSED = "the time of the latest assessment is kept";
    FRESH = "work that can change something starts on fresh evidence";
    FROZEN = "what was acted upon is not gathered again";
    WORN_OUT = "evidence is gathered again at most so often";
}

/// One event, with the run before and after it.
pub(super) struct Look<'a> {
    pub plan: &'a Plan,
    pub before: Option<&'a Run>,
    pub event: &'a Event,
    pub after: &'a Run,
    /// What the facts say, `event` included.
    pub ledger: &'a Ledger,
    /// What they said before it.
    pub earlier: &'a Ledger,
}

/// One place in a [`Look`].
pub(super) struct Spot<'a> {
    pub place: Place,
    pub step: &'a Step,
    pub before: Option<&'a Item>,
    pub after: &'a Item,
}

impl Look<'_> {
    fn spots(&self) -> impl Iterator<Item = Spot<'_>> {
        self.after.places().map(|(place, after)| Spot {
            place,
            step: self.plan.step(place.step),
            before: self.before.and_then(|run| run.item(place)),
            after,
        })
    }

    fn items(&self, step: StepId) -> impl Iterator<Item = (Place, &Item)> {
        self.after.places().filter(move |(place, _)| place.step == step)
    }

    fn is_queued(&self) -> bool {
        !self.ledger.admitted
    }
}

impl Spot<'_> {
    fn was(&self, side: Side) -> &State {
        const NEW: &State = &State::Waiting;
        self.before.map_or(NEW, |item| lane(item, side))
    }
    fn is(&self, side: Side) -> &State {
        lane(self.after, side)
    }
    fn name(&self) -> String {
        format!("{}[{}]", self.step.name, self.place.item)
    }
}

pub(super) fn lane(item: &Item, side: Side) -> &State {
    match side {
        Side::Do => item.work(),
        Side::Undo => item.undo(),
    }
}

/// Neither before its time nor over.
pub(super) fn under_way(state: &State) -> bool {
    match state {
        State::Ready
        | State::Running { .. }
        | State::BackingOff { .. }
        | State::Sleeping { .. }
        | State::Asking { .. } => true,
        State::Waiting
        | State::Succeeded { .. }
        | State::Failed { .. }
        | State::Skipped
        | State::Cancelled => false,
    }
}

pub(super) fn over(state: &State) -> bool {
    !under_way(state) && *state != State::Waiting
}

/// Checks every invariant that one event can break.
pub(super) fn check(look: &Look<'_>) -> Result<(), Violation> {
    lanes::check(look)?;
    fresh::check(look)?;
    ends::cause(look)?;
    graph::check(look)?;
    ends::check(look)
}
