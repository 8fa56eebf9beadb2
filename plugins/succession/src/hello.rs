//! The message by which Sentinels tell each other of a configuration.
//!
//! Redis 7.0 sentinel.c, `sentinelPublishCommand` -> `sentinelProcessHelloMessage`:
//! `ip,port,runid,current_epoch,master_name,master_ip,master_port,config_epoch`.
//! A receiver takes the new address if the sender is a peer it *knows* and the
//! configuration's epoch is higher than its own. A sender it does not know becomes a
//! new peer, a phantom voter: so the sender is always one of its own list, verbatim.

use baton_plugin::redis::Command;
use baton_topology::{Watcher, split_address};

/// How far above every epoch seen. A Sentinel's own current epoch cannot be read,
/// and each lost election raises it by one; elections come at most once in twice
/// the failover-timeout, so a hundred is a margin of half an hour of them.
const EPOCH_MARGIN: i64 = 100;

/// The configuration that Sentinels shall adopt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// `host:port` of the master.
    pub master: String,
    /// Its epoch.
    pub epoch: i64,
}

impl Configuration {
    /// The one that is on its way already, if a Sentinel follows it and nobody is
    /// above it, so that a second attempt does not raise the epoch again; else a new
    /// one above all that was ever seen.
    pub fn for_master(master: &str, watchers: &[Watcher], epoch_seen: i64) -> Self {
        let epoch_of = |it: &Watcher| it.config_epoch;
        let ours = watchers.iter().filter(|it| it.names(master)).filter_map(epoch_of).max();
        let theirs = watchers.iter().filter(|it| !it.names(master)).filter_map(epoch_of).max();
        if let Some(epoch) = ours.filter(|it| *it > theirs.unwrap_or(-1)) {
            return Self { master: master.into(), epoch };
        }
        Self::above_all(master, watchers, epoch_seen)
    }

    /// A new one: whatever a Sentinel that is away brings back is below it.
    pub fn above_all(master: &str, watchers: &[Watcher], epoch_seen: i64) -> Self {
        let seen = watchers.iter().filter_map(|it| it.current_epoch);
        let highest = seen.chain([epoch_seen]).max().unwrap_or(0);
        Self { master: master.into(), epoch: highest + EPOCH_MARGIN }
    }

    /// Whether a Sentinel follows it.
    pub fn is_followed_by(&self, watcher: &Watcher) -> bool {
        watcher.names(&self.master) && watcher.config_epoch == Some(self.epoch)
    }

    /// The hello to this Sentinel, in the name of its first known peer; none where
    /// it knows no peer or the address is none.
    pub fn hello(&self, to: &Watcher, master_name: &str) -> Option<Command> {
        let peer = to.known.first()?;
        let (peer_ip, peer_port) = peer.address.rsplit_once(':')?;
        let (ip, port) = split_address(&self.master)?;
        let (epoch, id) = (self.epoch, &peer.run_id);
        let message =
            format!("{peer_ip},{peer_port},{id},{epoch},{master_name},{ip},{port},{epoch}");
        Some(Command::of(["PUBLISH", "__sentinel__:hello", &message]))
    }
}
