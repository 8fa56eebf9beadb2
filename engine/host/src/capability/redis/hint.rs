//! Sentinels' events as hints: one of them makes whoever watches look at once.
//!
//! An event is a hint and never evidence: it is sent once, to whoever listens then, and
//! says what one Sentinel thought. That none comes means nothing.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::Known;
use super::connection::Connection;
use crate::guest::wit::redis::{MemberKind, Node};
use crate::limits;

/// What is worth a look: somebody is down or back, and every step of a failover.
const CHANNELS: [&str; 7] =
    ["+sdown", "-sdown", "+odown", "-odown", "+switch-master", "+try-failover", "failover-*"];

/// Ears at every Sentinel of a cluster; deaf once dropped.
pub struct Hints {
    heard: Arc<Notify>,
    _listeners: JoinSet<()>,
}

impl Hints {
    pub(super) fn of(known: &Arc<Known>) -> Self {
        let heard = Arc::new(Notify::new());
        let mut listeners = JoinSet::new();
        for address in &known.cluster.sentinels {
            let (known, heard) = (Arc::clone(known), Arc::clone(&heard));
            listeners.spawn(listen(known, address.clone(), heard));
        }
        Self { heard, _listeners: listeners }
    }

    /// Ends when something was heard since the last time; many events are one.
    pub async fn heard(&self) {
        self.heard.notified().await;
    }
}

/// Listens to one Sentinel for ever, and connects again, ever more slowly, where that
/// ends.
async fn listen(known: Arc<Known>, address: String, heard: Arc<Notify>) {
    let mut pause = limits::HINT_PAUSE_MIN;
    let mut trouble = None;
    loop {
        let within = Instant::now() + limits::HINT_CONNECT_TIMEOUT;
        // The older protocol: what a subscriber hears is then a reply like any other.
        let opened = Connection::open_as(&known, &address, MemberKind::Sentinel, 2, within).await;
        let error = match opened {
            Ok(connection) => {
                let master = known.cluster.master_name.as_str();
                let told = |message: &[Node]| {
                    let begun = is_subscribed(message);
                    if begun && trouble.take().is_some() {
                        tracing::info!(sentinel = address, "its events are heard again");
                    }
                    if begun {
                        pause = limits::HINT_PAUSE_MIN;
                    }
                    // What came while nobody listened is made up for by a look.
                    if begun || is_about(message, master) {
                        heard.notify_one();
                    }
                };
                connection.listen(&CHANNELS, told).await
            }
            Err(error) => error,
        };
        let said = error.message;
        if trouble.as_ref() != Some(&said) {
            tracing::warn!(
                sentinel = address,
                said,
                "its events are not heard: watches go on looking by the clock"
            );
            trouble = Some(said);
        }
        sleep(pause).await;
        pause = (pause * 2).min(limits::HINT_PAUSE_MAX);
    }
}

/// The answer to the last PSUBSCRIBE pattern: from now on everything is heard.
fn is_subscribed(message: &[Node]) -> bool {
    matches!(message, [Node::Array(3), Node::Bulk(kind), _, Node::Integer(count)]
        if kind == b"psubscribe" && usize::try_from(*count) == Ok(CHANNELS.len()))
}

/// `master bondx-master 127.0.0.1 6379`, `slave … @ bondx-master …`, `bondx-master …`
/// (Redis 7.0 sentinel.c, sentinelEvent).
fn is_about(message: &[Node], master: &str) -> bool {
    let [Node::Array(4), Node::Bulk(kind), _, _, Node::Bulk(text)] = message else { return false };
    kind == b"pmessage"
        && String::from_utf8_lossy(text).split_whitespace().any(|word| word == master)
}
