//! What a node held at one time, in a few kilobytes: keys fall into buckets, and each
//! bucket is a count and a sum over its keys' digests, whatever their order. Held against
//! it later, a node shows in which buckets something changed, and the keys that are in
//! them now. A key that was lost can only be counted: its name is not kept.
//!
//! Keys that expire are left out: they are meant to change.

use crate::judge::{Finding, What, in_short, shown};
use crate::nodes::Sides;
use crate::pace::Pace;
use crate::walk::at;
use crate::{FINDINGS_MAX, Input, Output, TIMEOUT_MS};
use baton_plugin::redis::Held;
use baton_plugin::{Fault, Host, JsonSchema};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt::Write as _;

/// Buckets: a thousandth of the keys is looked at again for one that changed.
const BUCKETS: usize = 1024;
/// SCAN may give a key twice; who was counted is kept, 8 bytes a key.
const KEYS_MAX: usize = 4_000_000;
/// FNV-1a, 64 bits: the first value and the prime.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;
/// Another first value, so that sum and bucket are independent.
const OTHER_BASIS: u64 = 0x9e37_79b9_7f4a_7c15;

/// A fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// Which node.
    pub node: String,
    /// When it was begun, Unix ms.
    pub at_ms: u64,
    /// Which keys.
    pub pattern: String,
    /// Which databases.
    pub databases: Vec<u32>,
    /// Keys in it.
    pub keys: u64,
    /// Keys that expire, and are not in it.
    pub expiring: u64,
    /// Keys by bucket.
    pub counts: Vec<u32>,
    /// Sums by bucket, 16 hexadecimal digits each.
    pub sums: String,
}

/// Takes the fingerprint of the left node.
pub(crate) fn take<H: Host>(
    input: &Input,
    sides: &Sides,
    host: &mut H,
) -> Result<Fingerprint, Fault> {
    let at_ms = host.now_ms();
    let mut buckets = Buckets::default();
    each(input, sides, host, |database, held| buckets.add(database, held))?;
    Ok(Fingerprint {
        node: sides.left.clone(),
        at_ms,
        pattern: input.pattern.clone(),
        databases: sides.databases.clone(),
        keys: buckets.seen.len() as u64,
        expiring: buckets.expiring.len() as u64,
        counts: buckets.counts.to_vec(),
        sums: buckets.sums.iter().fold(String::new(), |mut text, sum| {
            write!(text, "{sum:016x}").expect("text takes it");
            text
        }),
    })
}

/// Holds the left node against `before`.
pub(crate) fn compare<H: Host>(
    input: &Input,
    sides: &Sides,
    before: &Fingerprint,
    output: &mut Output,
    host: &mut H,
) -> Result<(), Fault> {
    if before.pattern != input.pattern || before.counts.len() != BUCKETS {
        let why = format!(
            "the fingerprint is of keys {} in {} buckets: compare the same pattern ({}), and one that this plugin took",
            before.pattern,
            before.counts.len(),
            input.pattern
        );
        return Err(Fault::permanent("bad-input", why));
    }
    let sides = &Sides { databases: before.databases.clone(), ..sides.clone() };
    output.databases.clone_from(&sides.databases);
    let now = take(input, sides, host)?;
    output.keys = now.keys + now.expiring;
    let sum = |it: &Fingerprint, at: usize| it.sums.get(at * 16..at * 16 + 16).map(str::to_owned);
    let changed: HashSet<usize> = (0..BUCKETS)
        .filter(|&at| (before.counts[at], sum(before, at)) != (now.counts[at], sum(&now, at)))
        .collect();
    for at in &changed {
        let (then, now) = (u64::from(before.counts[*at]), u64::from(now.counts[*at]));
        output.missing += then.saturating_sub(now);
        output.extra += now.saturating_sub(then);
        output.different += u64::from(then == now);
    }
    if changed.is_empty() {
        output.verdict = "pass".into();
        output.summary = format!("{} keys, all as they were at {}", now.keys, before.at_ms);
        return Ok(());
    }
    let mut held_now = 0_u64;
    each(input, sides, host, |database, held| {
        if held.holding.expires_at_ms.is_none() && changed.contains(&bucket(database, &held.key)) {
            held_now += 1;
            if output.findings.len() < FINDINGS_MAX {
                output.findings.push(Finding {
                    database,
                    key: shown(&held.key),
                    what: What::Suspect,
                    left: in_short(Some(&held.holding)),
                    right: "in a bucket that changed".into(),
                });
            }
        }
        Ok(())
    })?;
    output.truncated = held_now > FINDINGS_MAX as u64;
    output.verdict = "fail".into();
    output.summary = format!(
        "{} of {BUCKETS} buckets are not as they were at {}: at least {} keys are gone, {} are new; {held_now} keys are in these buckets now, and one or more of each bucket changed. Writes since then change it as well: compare only what stood still",
        changed.len(),
        before.at_ms,
        output.missing,
        output.extra
    );
    Ok(())
}

fn each<H: Host>(
    input: &Input,
    sides: &Sides,
    host: &mut H,
    mut take: impl FnMut(u32, &Held) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut speed = Pace::new(input, sides.total(), host);
    for &database in &sides.databases {
        let mut page = at(input, database, speed.page());
        loop {
            let some = host
                .inventory(&input.cluster, &sides.left, &page, TIMEOUT_MS)
                .map_err(|error| Fault::from_redis("cannot read keys", &error))?;
            if let Some(it) = some.unread.first() {
                let why = format!("key {} cannot be read: {}", shown(&it.key), it.reason);
                return Err(Fault::retryable("unread", why));
            }
            for held in &some.keys {
                take(database, held)?;
            }
            page.cursor = some.cursor;
            speed.went(some.keys.len() as u64, some.slowest_us, "read", host);
            if page.cursor == 0 {
                break;
            }
        }
    }
    Ok(())
}

struct Buckets {
    counts: [u32; BUCKETS],
    sums: [u64; BUCKETS],
    seen: HashSet<u64>,
    expiring: HashSet<u64>,
}

impl Default for Buckets {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            sums: [0; BUCKETS],
            seen: HashSet::new(),
            expiring: HashSet::new(),
        }
    }
}

impl Buckets {
    fn add(&mut self, database: u32, held: &Held) -> Result<(), Fault> {
        let name = hash(BASIS, database, &[&held.key]);
        if held.holding.expires_at_ms.is_some() {
            self.expiring.insert(name);
        } else if self.seen.insert(name) {
            let at = bucket(database, &held.key);
            let (kind, digest) = (held.holding.kind.as_bytes(), held.holding.digest.as_bytes());
            let sum = hash(OTHER_BASIS, database, &[&held.key, kind, digest]);
            self.counts[at] += 1;
            self.sums[at] = self.sums[at].wrapping_add(sum);
        }
        if self.seen.len() + self.expiring.len() > KEYS_MAX {
            let why =
                format!("more than {KEYS_MAX} keys: take fingerprints of parts, by `pattern`");
            return Err(Fault::permanent("too-many-keys", why));
        }
        Ok(())
    }
}

fn bucket(database: u32, key: &[u8]) -> usize {
    let hash = hash(BASIS, database, &[key]);
    usize::try_from((hash ^ (hash >> 32)) % BUCKETS as u64).unwrap_or_default()
}

/// Each part behind its length.
fn hash(basis: u64, database: u32, parts: &[&[u8]]) -> u64 {
    let mut hash = basis;
    let mut mix = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    };
    mix(&database.to_le_bytes());
    for part in parts {
        mix(&(part.len() as u64).to_le_bytes());
        mix(part);
    }
    hash
}
