//! What a fault is: how it is made and ended, and what must follow. And two at once.

use std::ops::Range;

use super::fault::Fault;
use super::moves::{Move, Part};
use super::plan::Sentinels;
use super::{masters, others, traps};
use crate::lab::Network;

/// One fault, told.
#[derive(Clone, Debug)]
pub(super) struct Story {
    /// What it needs of the scene.
    pub(super) needs: Needs,
    /// Whom it touches: two faults at once touch nobody together.
    pub(super) touches: Vec<Part>,
    /// Before its moment: what it finds.
    pub(super) before: Vec<Move>,
    /// At its moment.
    pub(super) begin: Vec<Move>,
    /// How long it lasts, ms: one is drawn.
    pub(super) lasts_ms: Range<u64>,
    /// At its end.
    pub(super) end: Vec<Move>,
    /// What must follow.
    pub(super) must: Must,
}

/// What a scene must be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Needs {
    /// Links that can be cut, or not.
    pub(super) network: Network,
    /// Where they look on, what follows is Baton's.
    pub(super) sentinels: Sentinels,
    /// `max_lost_bytes`.
    pub(super) loss_ceiling: u64,
    /// A user of Baton's own on the data nodes.
    pub(super) login: bool,
    /// `min-replicas-to-write 1`, `min-replicas-max-lag 2` on every data node.
    pub(super) gate: bool,
}

/// Whether Baton, if it leads, promotes somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failover {
    /// There must be another master at the end.
    Expected,
    /// It may be.
    Allowed,
    /// Baton must not begin to promote anybody.
    Forbidden,
}

/// Acknowledged writes that may be missing at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// None.
    Nothing,
    /// Those that Baton has declared or kept.
    Declared,
    /// All of them, if the master came back empty and that is said.
    Emptied,
}

/// What a run that promoted says at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// That all is well, with a declared loss if there is one.
    Good,
    /// That it is not.
    Bad,
    /// Either, as long as it is true.
    True,
}

/// What must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Must {
    pub(super) failover: Failover,
    /// The only data node that may be promoted.
    pub(super) choice: Option<usize>,
    pub(super) loss: Loss,
    /// How long two nodes may acknowledge writes beside each other, ms, if Baton acted.
    pub(super) both_ms: u64,
    pub(super) verdict: Verdict,
    /// A person is asked.
    pub(super) asks: Asks,
}

/// Whether a person is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// They must not be.
    Never,
    /// They may be.
    Perhaps,
    /// They must be.
    Surely,
}

/// Between a fence that stands and its last acknowledged write, a busy machine included, ms.
pub(super) const FENCED_WITHIN_MS: u64 = 500;
/// From the end of a partition until a fence is through: what is on its way is tried again
/// later and later, ms.
pub(super) const THROUGH_WITHIN_MS: u64 = 1_500;

impl Must {
    /// A failover, and nothing lost.
    pub(super) const FAILOVER: Self = Self {
        failover: Failover::Expected,
        choice: None,
        loss: Loss::Nothing,
        both_ms: FENCED_WITHIN_MS,
        verdict: Verdict::Good,
        asks: Asks::Never,
    };
    /// Baton keeps out of it.
    pub(super) const NOTHING: Self =
        Self { failover: Failover::Forbidden, verdict: Verdict::True, ..Self::FAILOVER };
    /// Baton asks, and keeps out of it.
    pub(super) const QUESTION: Self = Self { asks: Asks::Surely, ..Self::NOTHING };

    /// What must follow two faults at once: what one forbids the other may bring, and who
    /// sees less may ask.
    fn and(self, other: Self) -> Self {
        // Where a person must be asked the master is dead.
        let alive = |it: Self| it.failover == Failover::Forbidden && it.asks != Asks::Surely;
        let calm = alive(self) && alive(other);
        let silent = calm && self.asks == Asks::Never && other.asks == Asks::Never;
        let loss = match (self.loss, other.loss) {
            (Loss::Emptied, _) | (_, Loss::Emptied) => Loss::Emptied,
            (Loss::Declared, _) | (_, Loss::Declared) => Loss::Declared,
            (Loss::Nothing, Loss::Nothing) => Loss::Nothing,
        };
        Self {
            failover: if calm { Failover::Forbidden } else { Failover::Allowed },
            choice: self.choice.or(other.choice),
            loss,
            both_ms: self.both_ms + other.both_ms,
            verdict: Verdict::True,
            asks: if silent { Asks::Never } else { Asks::Perhaps },
        }
    }
}

impl Needs {
    /// Nothing in particular.
    pub(super) const NOTHING: Self = Self {
        network: Network::Loopback,
        sentinels: Sentinels::Act,
        loss_ceiling: 0,
        login: false,
        gate: false,
    };

    fn and(self, other: Self) -> Self {
        let island = [self.network, other.network].contains(&Network::Island);
        let look_on = [self.sentinels, other.sentinels].contains(&Sentinels::LookOn);
        Self {
            network: if island { Network::Island } else { Network::Loopback },
            sentinels: if look_on { Sentinels::LookOn } else { Sentinels::Act },
            loss_ceiling: self.loss_ceiling.max(other.loss_ceiling),
            login: self.login || other.login,
            gate: self.gate || other.gate,
        }
    }
}

/// The story of a fault.
pub(super) fn story(fault: Fault) -> Story {
    match fault {
        Fault::KillMaster => masters::kill(),
        Fault::HangMaster => masters::hang(),
        Fault::Hiccup => masters::hiccup(),
        Fault::PartitionMaster => masters::partition(),
        Fault::PartitionGatedMaster => masters::partition_gated(),
        Fault::RestartEmpty => masters::restart_empty(),
        Fault::DiskFull => masters::disk_full(),
        Fault::BusyScript => masters::busy_script(),
        Fault::DamagedBook => masters::damaged_book(),
        Fault::PartitionEngine => others::partition_engine(),
        Fault::PartitionEngineFromMaster => others::partition_engine_from_master(),
        Fault::PartitionWithEngine => others::partition_with_engine(),
        Fault::WrongPassword => others::wrong_password(),
        Fault::PartitionReplica => others::partition_replica(),
        Fault::KillReplica => others::kill_replica(),
        Fault::KillSentinel => others::kill_sentinel(),
        Fault::LeaderCrashElection => others::leader_crash("crash-after-election"),
        Fault::LeaderCrashPromotion => others::leader_crash("crash-after-promotion"),
        Fault::SentinelReturns => others::sentinel_returns(),
        Fault::BothLagging => traps::both_lagging(),
        Fault::BothLaggingDeclared => traps::both_lagging_declared(),
        Fault::ForeignLineage => traps::foreign_lineage(),
        Fault::PriorityTrap => traps::priority_trap(),
        Fault::OnlyStaleAlive => traps::only_stale_alive(),
        Fault::AheadUnreachable => traps::ahead_unreachable(),
    }
}

/// Whether two faults can come at once: they touch nobody together.
pub(super) fn go_together(one: Fault, other: Fault) -> bool {
    let (one, other) = (story(one), story(other));
    !one.touches.iter().any(|it| other.touches.contains(it))
}

/// What all of these need.
pub(super) fn needs(faults: &[Fault]) -> Needs {
    faults.iter().map(|it| story(*it).needs).fold(Needs::NOTHING, Needs::and)
}

/// What must follow all of these.
pub(super) fn must(faults: &[Fault]) -> Must {
    let all = faults.iter().map(|it| story(*it).must);
    all.reduce(Must::and).unwrap_or(Must::NOTHING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_name_of_its_own_and_is_found_by_it() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse::<Fault>(), Ok(fault));
        }
        assert!("nonsense".parse::<Fault>().unwrap_err().contains("kill-master"));
    }

    #[test]
    fn faults_that_touch_the_same_do_not_come_together() {
        assert!(!go_together(Fault::KillMaster, Fault::HangMaster));
        assert!(!go_together(Fault::BothLagging, Fault::PartitionReplica));
        assert!(go_together(Fault::KillMaster, Fault::PartitionReplica));
        for fault in Fault::ALL {
            assert!(!go_together(fault, fault), "{fault}");
        }
    }

    #[test]
    fn two_that_call_for_nothing_call_for_nothing_together() {
        let calm = must(&[Fault::KillReplica, Fault::Hiccup]);
        assert_eq!((calm.failover, calm.asks), (Failover::Forbidden, Asks::Never));
        let full = must(&[Fault::KillReplica, Fault::DiskFull]);
        assert_eq!((full.failover, full.asks), (Failover::Forbidden, Asks::Perhaps));
        let asked = must(&[Fault::BothLagging, Fault::KillSentinel]);
        assert_eq!((asked.failover, asked.asks), (Failover::Allowed, Asks::Perhaps));
        let both = must(&[Fault::KillMaster, Fault::KillReplica]);
        assert_eq!((both.failover, both.asks), (Failover::Allowed, Asks::Perhaps));
        assert_eq!(both.loss, Loss::Nothing);
    }

    #[test]
    fn a_node_that_is_made_to_fail_is_mended_at_the_end() {
        for fault in Fault::ALL {
            let story = story(fault);
            assert!(!story.begin.is_empty() && !story.end.is_empty(), "{fault}");
            assert!(story.lasts_ms.start < story.lasts_ms.end, "{fault}");
        }
    }
}
