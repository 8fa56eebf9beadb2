//! The faults there are.

use std::fmt;
use std::str::FromStr;

/// One fault. How it is made, ended and judged is its [`Story`](super::story::Story).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The master's process is killed, and started again later.
    KillMaster,
    /// The master hangs for long, and wakes.
    HangMaster,
    /// The master hangs for less than `down_after_ms`.
    Hiccup,
    /// Clients reach the master, nobody else does.
    PartitionMaster,
    /// The same, where masters without near replicas take no writes.
    PartitionGatedMaster,
    /// The master is killed and comes back at once, without its data.
    RestartEmpty,
    /// The master cannot save, and refuses writes and PING by MISCONF.
    DiskFull,
    /// The master runs a script that does not end.
    BusyScript,
    /// The engine reaches no server.
    PartitionEngine,
    /// The engine does not reach the master, and everybody else.
    PartitionEngineFromMaster,
    /// The master and the engine reach each other and clients, and nobody else.
    PartitionWithEngine,
    /// The engine's password is changed under it.
    WrongPassword,
    /// Nobody but clients reaches one replica.
    PartitionReplica,
    /// A replica's process is killed, and started again later.
    KillReplica,
    /// A Sentinel's process is killed, and started again later.
    KillSentinel,
    /// The leader among the Sentinels crashes when it is elected.
    LeaderCrashElection,
    /// The same when it has promoted.
    LeaderCrashPromotion,
    /// A Sentinel is away while the master dies, and returns with an old epoch.
    SentinelReturns,
    /// Both replicas lag when the master dies; no loss is allowed.
    BothLagging,
    /// The same; the loss is within the ceiling.
    BothLaggingDeclared,
    /// A replica carries another history, and more of it.
    ForeignLineage,
    /// The replica that Sentinel would prefer is stale.
    PriorityTrap,
    /// Only a stale replica is left alive.
    OnlyStaleAlive,
    /// The replica that is ahead does not answer.
    AheadUnreachable,
    /// The master dies with an order book that is damaged.
    DamagedBook,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::KillMaster,
        Self::HangMaster,
        Self::Hiccup,
        Self::PartitionMaster,
        Self::PartitionGatedMaster,
        Self::RestartEmpty,
        Self::DiskFull,
        Self::BusyScript,
        Self::PartitionEngine,
        Self::PartitionEngineFromMaster,
        Self::PartitionWithEngine,
        Self::WrongPassword,
        Self::PartitionReplica,
        Self::KillReplica,
        Self::KillSentinel,
        Self::LeaderCrashElection,
        Self::LeaderCrashPromotion,
        Self::SentinelReturns,
        Self::BothLagging,
        Self::BothLaggingDeclared,
        Self::ForeignLineage,
        Self::PriorityTrap,
        Self::OnlyStaleAlive,
        Self::AheadUnreachable,
        Self::DamagedBook,
    ];

    /// Its name in tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::KillMaster => "kill-master",
            Self::HangMaster => "hang-master",
            Self::Hiccup => "hiccup",
            Self::PartitionMaster => "partition-master",
            Self::PartitionGatedMaster => "partition-gated-master",
            Self::RestartEmpty => "restart-empty",
            Self::DiskFull => "disk-full",
            Self::BusyScript => "busy-script",
            Self::PartitionEngine => "partition-engine",
            Self::PartitionEngineFromMaster => "partition-engine-from-master",
            Self::PartitionWithEngine => "partition-with-engine",
            Self::WrongPassword => "wrong-password",
            Self::PartitionReplica => "partition-replica",
            Self::KillReplica => "kill-replica",
            Self::KillSentinel => "kill-sentinel",
            Self::LeaderCrashElection => "leader-crash-election",
            Self::LeaderCrashPromotion => "leader-crash-promotion",
            Self::SentinelReturns => "sentinel-returns",
            Self::BothLagging => "both-lagging",
            Self::BothLaggingDeclared => "both-lagging-declared",
            Self::ForeignLineage => "foreign-lineage",
            Self::PriorityTrap => "priority-trap",
            Self::OnlyStaleAlive => "only-stale-alive",
            Self::AheadUnreachable => "ahead-unreachable",
            Self::DamagedBook => "damaged-book",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|it| it.name() == text);
        found.ok_or_else(|| format!("no fault is called {text:?}; there are {}", all()))
    }
}
