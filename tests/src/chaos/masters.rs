//! Faults of the master.

use super::moves::{Move, Part};
use super::story::{Asks, Failover, Loss, Must, Needs, Story, THROUGH_WITHIN_MS, Verdict};
use crate::lab::Network;

/// So long that it is dead to Baton alone: silence takes three seconds to tell from an idle
/// link, and each look waits for who is silent.
pub(super) const SILENT_MS: std::ops::Range<u64> = 11_000..13_000;

/// The master, at the beginning.
pub(super) const MASTER: usize = 0;

/// So long that it is dead to everybody, by a patience of two seconds, and replaced.
const LONG_MS: std::ops::Range<u64> = 5_000..7_500;

pub(super) fn kill() -> Story {
    Story {
        needs: Needs::NOTHING,
        touches: vec![Part::Data(MASTER)],
        before: vec![],
        begin: vec![Move::Kill(MASTER)],
        lasts_ms: LONG_MS,
        end: vec![Move::Start(MASTER)],
        must: Must::FAILOVER,
    }
}

/// What it takes between its waking and its fence is kept, and may be a client's last
/// transactions.
pub(super) fn hang() -> Story {
    Story {
        begin: vec![Move::Stop(MASTER)],
        lasts_ms: SILENT_MS,
        end: vec![Move::Continue(MASTER)],
        must: Must { loss: Loss::Declared, ..Must::FAILOVER },
        ..kill()
    }
}

pub(super) fn hiccup() -> Story {
    Story { lasts_ms: 100..400, must: Must::NOTHING, ..hang() }
}

/// Nobody can fence it. What it takes meanwhile is kept when it is back.
pub(super) fn partition() -> Story {
    let others = vec![
        Part::Data(1),
        Part::Data(2),
        Part::Sentinel(0),
        Part::Sentinel(1),
        Part::Sentinel(2),
        Part::Engine,
    ];
    Story {
        needs: Needs { network: Network::Island, ..Needs::NOTHING },
        begin: vec![Move::Cut(Part::Data(MASTER), others.clone())],
        lasts_ms: SILENT_MS,
        end: vec![Move::Heal(Part::Data(MASTER), others)],
        must: Must {
            loss: Loss::Declared,
            both_ms: SILENT_MS.end + THROUGH_WITHIN_MS,
            ..Must::FAILOVER
        },
        ..kill()
    }
}

/// `min-replicas-max-lag 2` is two to three seconds in practice; it is replaced after one.
pub(super) fn partition_gated() -> Story {
    let story = partition();
    Story {
        needs: Needs { gate: true, ..story.needs },
        must: Must { both_ms: 3_000, ..story.must },
        ..story
    }
}

/// Either it is replaced before it is back, or nothing is done and that is said.
pub(super) fn restart_empty() -> Story {
    Story {
        begin: vec![Move::Kill(MASTER), Move::Empty(MASTER), Move::Start(MASTER)],
        lasts_ms: 1_000..2_000,
        end: vec![Move::Nothing],
        must: Must {
            failover: Failover::Allowed,
            loss: Loss::Emptied,
            verdict: Verdict::True,
            ..Must::FAILOVER
        },
        ..kill()
    }
}

/// Sentinels replace it. What it alone has cannot be kept where nothing can be saved, and
/// whether that is discarded is a person's to decide.
pub(super) fn disk_full() -> Story {
    Story {
        begin: vec![Move::FailSaves(MASTER)],
        end: vec![Move::MendSaves(MASTER)],
        must: Must { asks: Asks::Perhaps, ..Must::NOTHING },
        ..kill()
    }
}

/// Sentinels end it when they take the master for down.
pub(super) fn busy_script() -> Story {
    Story {
        begin: vec![Move::RunScript(MASTER)],
        end: vec![Move::EndScript(MASTER)],
        must: Must::NOTHING,
        ..kill()
    }
}

/// The damage is older than the fault, and everywhere: who verifies has to say so.
pub(super) fn damaged_book() -> Story {
    Story {
        touches: vec![Part::Data(MASTER), Part::Book],
        before: vec![Move::DamageBook(MASTER)],
        must: Must { verdict: Verdict::Bad, ..Must::FAILOVER },
        ..kill()
    }
}
