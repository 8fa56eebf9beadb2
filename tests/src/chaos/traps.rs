//! Masters that die at a bad time: what their replicas hold is not what it seems.
//!
//! In all of them Sentinels only look on, so that the choice is Baton's. A replica is made
//! stale by ending its link and not letting it copy again (`-psync`, `-sync`).

use super::masters::{self, MASTER};
use super::moves::{Move, Part};
use super::plan::Sentinels;
use super::story::{Asks, Loss, Must, Needs, Story, Verdict};

const FIRST: usize = 1;
const SECOND: usize = 2;
/// Transactions that a stale replica lacks.
const BEHIND: usize = 40;
/// More than any scene writes.
const HIGH: u64 = 100_000_000;

fn trap() -> Story {
    Story {
        needs: Needs { sentinels: Sentinels::LookOn, ..Needs::NOTHING },
        touches: vec![Part::Data(0), Part::Data(1), Part::Data(2)],
        end: vec![Move::Start(MASTER), Move::LetCopy(MASTER)],
        ..masters::kill()
    }
}

fn stale(replicas: &[usize]) -> Vec<Move> {
    let ended = replicas.iter().map(|it| Move::EndLink(MASTER, *it));
    [Move::RefuseCopies(MASTER)].into_iter().chain(ended).chain([Move::WriteOn(BEHIND)]).collect()
}

pub(super) fn both_lagging() -> Story {
    Story { before: stale(&[FIRST, SECOND]), must: Must::QUESTION, ..trap() }
}

/// What is missing was seen on the master, so it is in the declared bytes.
pub(super) fn both_lagging_declared() -> Story {
    Story {
        needs: Needs { loss_ceiling: HIGH, ..trap().needs },
        before: stale(&[FIRST, SECOND]),
        must: Must { loss: Loss::Declared, ..Must::FAILOVER },
        ..trap()
    }
}

pub(super) fn foreign_lineage() -> Story {
    Story {
        before: vec![Move::RefuseCopies(MASTER), Move::Estrange(SECOND, MASTER)],
        must: Must { choice: Some(FIRST), ..Must::FAILOVER },
        ..trap()
    }
}

/// Both may be promoted, so that it is the order that decides.
pub(super) fn priority_trap() -> Story {
    let preferred = Move::Prefer(FIRST);
    Story {
        needs: Needs { loss_ceiling: HIGH, ..trap().needs },
        before: [preferred].into_iter().chain(stale(&[FIRST])).collect(),
        must: Must { choice: Some(SECOND), ..Must::FAILOVER },
        ..trap()
    }
}

pub(super) fn only_stale_alive() -> Story {
    Story {
        before: stale(&[FIRST]),
        begin: vec![Move::Kill(SECOND), Move::Kill(MASTER)],
        end: vec![Move::Start(MASTER), Move::LetCopy(MASTER), Move::Start(SECOND)],
        must: Must { asks: Asks::Surely, verdict: Verdict::True, ..Must::NOTHING },
        ..trap()
    }
}

/// The ceiling would let the stale one through: that a better one was seen must not. One
/// that hangs makes every look slow, so it lasts.
pub(super) fn ahead_unreachable() -> Story {
    Story {
        needs: Needs { loss_ceiling: HIGH, ..trap().needs },
        before: stale(&[FIRST]),
        begin: vec![Move::Stop(SECOND), Move::Kill(MASTER)],
        end: vec![Move::Start(MASTER), Move::LetCopy(MASTER), Move::Continue(SECOND)],
        lasts_ms: 8_000..10_000,
        must: Must::QUESTION,
        ..trap()
    }
}
