//! `redis.compare`, `compare-keys`, `absent`, `inventory`: what nodes hold under their
//! keys, compared by the host. The values never cross the wall: a guest that held them
//! would need minutes for what takes seconds here. What follows from a difference is the
//! guest's to say.
//!
//! ```text
//!  left:  SCAN, TYPE, PEXPIRETIME of page n+1 ──┐   at the same time
//!  left and right: values of page n ────────────┴─► same answers? the same
//!                                                   otherwise read again, whole, as digests
//! ```
//! `kind` (how each type is read piece by piece), `digest` (canonical form), `lane`
//! (connections of our own, for a call at a time), `pair` (the comparison itself).

mod digest;
mod kind;
mod lane;
mod pair;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::grant::Asker;
use super::{Known, View};
use crate::guest::wit::redis::{
    Compared, Error, ErrorKind, Held, Holdings, MemberKind, Page, Unread,
};
use crate::limits;
use crate::tape::Asked;
pub(crate) use lane::Lane;
use pair::Found;

/// Keys of one step of SCAN, and of one pipeline.
const STEP: usize = 1_000;
/// Keys of one page, at most: a call should end while people wait for news of it.
const PAGE_MAX: u32 = 100_000;
/// What is sent, besides SCAN.
const COMMANDS: &[&str] = &[
    "TYPE",
    "PEXPIRETIME",
    "GETRANGE",
    "LRANGE",
    "SSCAN",
    "HSCAN",
    "ZRANGE",
    "XRANGE",
    "XINFO|STREAM",
    "XINFO|GROUPS",
    "EXISTS",
];

/// What is wanted of a page.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// What is under each key.
    Content,
    /// Only whether the other node has it.
    Presence,
}

impl Depth {
    /// The function that goes so deep.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Content => "redis.compare",
            Self::Presence => "redis.absent",
        }
    }
}

/// All of the question, for the tape.
pub(super) fn asked(function: &'static str, nodes: &[&str], page: &Page, timeout_ms: u32) -> Asked {
    let asking = nodes.iter().fold(Asked::of(function), |asking, node| asking.text(node));
    asking
        .number(page.database.into())
        .number(page.cursor)
        .text(&page.pattern)
        .number(page.count.into())
        .number(timeout_ms.into())
        .word(&format!("{} from {}", page.pattern, page.cursor))
}

/// The same where keys are named.
pub(super) fn asked_of_keys(
    nodes: &[&str],
    database: u32,
    keys: &[Vec<u8>],
    timeout_ms: u32,
) -> Asked {
    let asking =
        nodes.iter().fold(Asked::of("redis.compare-keys"), |asking, node| asking.text(node));
    let asking = asking.number(database.into()).number(keys.len() as u64);
    let asking = keys.iter().fold(asking, |asking, key| asking.bytes(key));
    asking.number(timeout_ms.into()).word(&format!("{} keys", keys.len()))
}

impl View<'_> {
    /// Compares a page of `left`'s keys with `right`.
    pub(super) async fn compare_page(
        &mut self,
        cluster: &str,
        (left, right): (&str, &str),
        page: &Page,
        timeout_ms: u32,
        depth: Depth,
    ) -> Result<Compared, Error> {
        let known = self.readable(cluster, &[left, right], page.pattern.as_bytes())?;
        let until = deadline(timeout_ms);
        let count = bounded(page)?;
        let mut scanner = self.lane(cluster, &known, left, 0, page.database, until).await?;
        let mut ours = self.lane(cluster, &known, left, 1, page.database, until).await?;
        let mut theirs = self.lane(cluster, &known, right, 1, page.database, until).await?;
        let mut so_far = Tally::default();
        let mut step = next(&mut scanner, page, page.cursor, depth, until).await?;
        let mut walked = 0;
        loop {
            walked += step_of(count);
            so_far.keys += step.page.keys.len();
            so_far.slowest = so_far.slowest.max(step.page.took);
            let cursor = step.page.cursor;
            let is_last = cursor == 0 || walked >= count;
            let ahead = async {
                if is_last {
                    return Ok(None);
                }
                next(&mut scanner, page, cursor, depth, until).await.map(Some)
            };
            let keys = &step.page.keys;
            let judged = async {
                match depth {
                    Depth::Content => {
                        pair::compare(&mut ours, &mut theirs, keys, &step.seen, until).await
                    }
                    Depth::Presence => pair::absent(&mut ours, &mut theirs, keys, until).await,
                }
            };
            let (ahead, found) = futures::join!(ahead, judged);
            so_far.found(found?);
            let Some(ahead) = ahead? else {
                self.keep(cluster, [(0, scanner), (1, ours), (1, theirs)]);
                return Ok(so_far.compared(cursor));
            };
            step = ahead;
        }
    }

    /// Compares keys that are named.
    pub(super) async fn compare_named(
        &mut self,
        cluster: &str,
        (left, right): (&str, &str),
        database: u32,
        keys: &[Vec<u8>],
        timeout_ms: u32,
    ) -> Result<Compared, Error> {
        let known = self.known(cluster)?;
        if keys.len() > limits::COMMANDS_MAX {
            let message = format!(
                "{} keys in one call, more than {}: name them in parts",
                keys.len(),
                limits::COMMANDS_MAX
            );
            return Err(Error { kind: ErrorKind::Limit, message });
        }
        for address in [left, right] {
            self.may_read_keys(cluster, &known, address, keys)?;
        }
        let until = deadline(timeout_ms);
        let mut ours = self.lane(cluster, &known, left, 1, database, until).await?;
        let mut theirs = self.lane(cluster, &known, right, 1, database, until).await?;
        let mut so_far = Tally { keys: keys.len(), ..Tally::default() };
        for keys in keys.chunks(STEP) {
            let begun = Instant::now();
            let named: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            let seen = ours.look(&named, until).await?;
            so_far.slowest = so_far.slowest.max(begun.elapsed());
            so_far.found(pair::compare(&mut ours, &mut theirs, keys, &seen, until).await?);
        }
        self.keep(cluster, [(1, ours), (1, theirs)]);
        Ok(so_far.compared(0))
    }

    /// Tells what a page of a node's keys holds.
    pub(super) async fn inventory_page(
        &mut self,
        cluster: &str,
        address: &str,
        page: &Page,
        timeout_ms: u32,
    ) -> Result<Holdings, Error> {
        let known = self.readable(cluster, &[address], page.pattern.as_bytes())?;
        let until = deadline(timeout_ms);
        let count = bounded(page)?;
        let mut lane = self.lane(cluster, &known, address, 1, page.database, until).await?;
        let mut all =
            Holdings { cursor: page.cursor, slowest_us: 0, keys: Vec::new(), unread: Vec::new() };
        let mut walked = 0;
        loop {
            walked += step_of(count);
            let step = lane.scan(all.cursor, &page.pattern, step_of(count), until).await?;
            all.cursor = step.cursor;
            all.slowest_us = all.slowest_us.max(microseconds(step.took));
            let keys: Vec<&[u8]> = step.keys.iter().map(Vec::as_slice).collect();
            for (key, held) in keys.iter().zip(pair::hold(&mut lane, &keys, until).await?) {
                match held {
                    Ok(Some(holding)) => all.keys.push(Held { key: key.to_vec(), holding }),
                    Ok(None) => {}
                    Err(reason) => all.unread.push(Unread { key: key.to_vec(), reason }),
                }
            }
            if all.cursor == 0 || walked >= count {
                self.keep(cluster, [(1, lane)]);
                return Ok(all);
            }
        }
    }

    /// The cluster, if the step may read all keys that match on these nodes.
    fn readable(&self, cluster: &str, nodes: &[&str], pattern: &[u8]) -> Result<Arc<Known>, Error> {
        let known = self.known(cluster)?;
        let grants = self.grants(cluster);
        let asker =
            Asker { step: &self.caller.context.step, cluster: &known.cluster, grants: &grants };
        for address in nodes {
            data_node(address, asker.all_of(address, COMMANDS, pattern)?)?;
        }
        Ok(known)
    }

    fn may_read_keys(
        &self,
        cluster: &str,
        known: &Known,
        address: &str,
        keys: &[Vec<u8>],
    ) -> Result<(), Error> {
        let grants = self.grants(cluster);
        let asker =
            Asker { step: &self.caller.context.step, cluster: &known.cluster, grants: &grants };
        for name in COMMANDS.iter().filter(|name| !name.contains('|')) {
            let (kind, _) = asker.each(address, &[name.as_bytes().to_vec()], keys)?;
            data_node(address, kind)?;
        }
        Ok(())
    }

    /// A connection of this kind to a node, from an earlier call or anew.
    async fn lane(
        &mut self,
        cluster: &str,
        known: &Arc<Known>,
        address: &str,
        number: u8,
        database: u32,
        until: Instant,
    ) -> Result<Lane, Error> {
        let place = (cluster.to_owned(), address.to_owned(), number);
        let mut lane = self.state.lanes.remove(&place);
        if let Some(kept) = &mut lane
            && !kept.is_open().await
        {
            lane = None;
        }
        let mut lane = match lane {
            Some(lane) => lane,
            None => Lane::open(known, address, until).await?,
        };
        lane.select(database, until).await?;
        Ok(lane)
    }

    fn keep<const N: usize>(&mut self, cluster: &str, lanes: [(u8, Lane); N]) {
        for (number, lane) in lanes {
            self.state.lanes.insert((cluster.to_owned(), lane.address.clone(), number), lane);
        }
    }
}

fn data_node(address: &str, kind: MemberKind) -> Result<(), Error> {
    match kind {
        MemberKind::Data => Ok(()),
        MemberKind::Sentinel => Err(Error {
            kind: ErrorKind::NotFound,
            message: format!("{address} is a Sentinel and holds no keys: name a data node"),
        }),
    }
}

/// Keys of one step of SCAN, of a page of so many.
fn step_of(count: usize) -> usize {
    STEP.min(count)
}

/// A page's keys, and what the node that was scanned says of each.
struct Step {
    page: lane::Page,
    seen: Vec<lane::Seen>,
}

async fn next(
    lane: &mut Lane,
    page: &Page,
    cursor: u64,
    depth: Depth,
    until: Instant,
) -> Result<Step, Error> {
    let step = lane.scan(cursor, &page.pattern, step_of(page.count as usize), until).await?;
    let keys: Vec<&[u8]> = step.keys.iter().map(Vec::as_slice).collect();
    let seen = match depth {
        Depth::Content => lane.look(&keys, until).await?,
        Depth::Presence => Vec::new(),
    };
    Ok(Step { page: step, seen })
}

/// What was counted and found so far.
#[derive(Default)]
struct Tally {
    keys: usize,
    slowest: Duration,
    found: Found,
}

impl Tally {
    fn found(&mut self, found: Found) {
        self.found.differences.extend(found.differences);
        self.found.unread.extend(found.unread);
    }

    fn compared(self, cursor: u64) -> Compared {
        let unread = self.found.unread.into_iter();
        Compared {
            cursor,
            keys: u32::try_from(self.keys).unwrap_or(u32::MAX),
            slowest_us: microseconds(self.slowest),
            differences: self.found.differences,
            unread: unread.map(|(key, reason)| Unread { key, reason }).collect(),
        }
    }
}

fn microseconds(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

fn deadline(timeout_ms: u32) -> Instant {
    Instant::now()
        + Duration::from_millis(u64::from(timeout_ms.clamp(1, limits::CALL_TIMEOUT_MS_MAX)))
}

fn bounded(page: &Page) -> Result<usize, Error> {
    if (1..=PAGE_MAX).contains(&page.count) {
        return Ok(page.count as usize);
    }
    let message = format!("a page of {} keys: ask for 1 to {PAGE_MAX}", page.count);
    Err(Error { kind: ErrorKind::Limit, message })
}
