//! Faults of replicas, Sentinels and the engine.

use super::masters::{self, MASTER};
use super::moves::{Move, Part};
use super::story::{Asks, Failover, Loss, Must, Needs, Story, THROUGH_WITHIN_MS, Verdict};
use crate::lab::Network;

/// The replica, and the Sentinel, that something happens to.
const REPLICA: usize = 2;
const SENTINEL: usize = 2;

const DATA: [Part; 3] = [Part::Data(0), Part::Data(1), Part::Data(2)];
const SENTINELS: [Part; 3] = [Part::Sentinel(0), Part::Sentinel(1), Part::Sentinel(2)];

/// One that it is not for Baton to act upon.
fn bystander() -> Story {
    Story { touches: vec![], begin: vec![], end: vec![], must: Must::NOTHING, ..masters::kill() }
}

/// One that keeps the engine from fencing anybody while it lasts.
fn blindness() -> Must {
    let both_ms = bystander().lasts_ms.end + THROUGH_WITHIN_MS;
    Must { both_ms, loss: Loss::Declared, ..Must::NOTHING }
}

fn all() -> Vec<Part> {
    DATA.into_iter().chain(SENTINELS).collect()
}

pub(super) fn partition_engine() -> Story {
    Story {
        needs: Needs { network: Network::Island, ..Needs::NOTHING },
        touches: vec![Part::Engine],
        begin: vec![Move::Cut(Part::Engine, all())],
        end: vec![Move::Heal(Part::Engine, all())],
        must: blindness(),
        ..bystander()
    }
}

/// Its replicas hear it: it is we who are cut off.
pub(super) fn partition_engine_from_master() -> Story {
    Story {
        needs: Needs { network: Network::Island, ..Needs::NOTHING },
        touches: vec![Part::Data(MASTER), Part::Engine],
        begin: vec![Move::Cut(Part::Engine, vec![Part::Data(MASTER)])],
        lasts_ms: masters::SILENT_MS,
        end: vec![Move::Heal(Part::Engine, vec![Part::Data(MASTER)])],
        must: Must::NOTHING,
        ..bystander()
    }
}

/// The engine sees a master that answers, and must not think that it is alone. Sentinels
/// on the other side replace it, if they act. What the old one takes meanwhile is theirs.
pub(super) fn partition_with_engine() -> Story {
    let beyond: Vec<Part> = [Part::Data(1), Part::Data(2)].into_iter().chain(SENTINELS).collect();
    let both = [Part::Data(MASTER), Part::Engine];
    let each = |make: fn(Part, Vec<Part>) -> Move| both.map(|it| make(it, beyond.clone())).to_vec();
    Story {
        needs: Needs { network: Network::Island, ..Needs::NOTHING },
        touches: vec![Part::Data(MASTER), Part::Engine],
        begin: each(Move::Cut),
        end: each(Move::Heal),
        must: blindness(),
        ..bystander()
    }
}

pub(super) fn wrong_password() -> Story {
    Story {
        needs: Needs { login: true, ..Needs::NOTHING },
        touches: vec![Part::Engine],
        begin: vec![Move::BarEngine],
        end: vec![Move::AdmitEngine],
        must: blindness(),
        ..bystander()
    }
}

pub(super) fn partition_replica() -> Story {
    let beyond: Vec<Part> =
        [Part::Data(0), Part::Data(1), Part::Engine].into_iter().chain(SENTINELS).collect();
    Story {
        needs: Needs { network: Network::Island, ..Needs::NOTHING },
        touches: vec![Part::Data(REPLICA)],
        begin: vec![Move::Cut(Part::Data(REPLICA), beyond.clone())],
        end: vec![Move::Heal(Part::Data(REPLICA), beyond)],
        // By then it may have become the master.
        must: blindness(),
        ..bystander()
    }
}

pub(super) fn kill_replica() -> Story {
    Story {
        touches: vec![Part::Data(REPLICA)],
        begin: vec![Move::Kill(REPLICA)],
        end: vec![Move::Start(REPLICA)],
        ..bystander()
    }
}

pub(super) fn kill_sentinel() -> Story {
    Story {
        touches: vec![Part::Sentinel(SENTINEL)],
        begin: vec![Move::KillSentinel(SENTINEL)],
        end: vec![Move::StartSentinels],
        ..bystander()
    }
}

/// Whoever leads crashes; where Baton was first nobody does. So long that in mode `assist`
/// Baton's patience with Sentinel (8 s) ends.
pub(super) fn leader_crash(how: &'static str) -> Story {
    Story {
        touches: [Part::Data(MASTER)].into_iter().chain(SENTINELS).collect(),
        before: vec![Move::TellSentinels(how)],
        begin: vec![Move::Kill(MASTER)],
        // No flag of that name: it clears the others.
        end: vec![Move::TellSentinels("help"), Move::StartSentinels, Move::Start(MASTER)],
        lasts_ms: 10_000..12_000,
        must: Must { failover: Failover::Allowed, asks: Asks::Never, ..Must::FAILOVER },
        ..masters::kill()
    }
}

pub(super) fn sentinel_returns() -> Story {
    Story {
        touches: vec![Part::Data(MASTER), Part::Sentinel(SENTINEL)],
        before: vec![Move::KillSentinel(SENTINEL)],
        end: vec![Move::StartSentinels, Move::Start(MASTER)],
        must: Must { verdict: Verdict::Good, ..Must::FAILOVER },
        ..masters::kill()
    }
}
