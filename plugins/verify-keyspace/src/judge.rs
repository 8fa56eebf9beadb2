//! What a difference means. Pure, but for [`Suspects::settle`], which looks again.
//!
//! ```text
//!  same at a later look ────────────────────────────► converged
//!  left unchanged over two barriers, right not it ──► missing, extra, different, expiry
//!  left changes, right has not moved in four ───────► different (nothing arrives there)
//!  one node no longer shows what expires now ───────► expiring: clocks differ, no fault
//!  both changed between all looks ──────────────────► unsettled: nothing is proven
//! ```
//! A barrier: what the left node had written when it was looked at has reached the right
//! one, by its replication offset. That a replica is behind for a while is no difference.

use crate::nodes::{self, Sides};
use crate::sample::corrupt_percent_max;
use crate::{FINDINGS_MAX, Input, Mode, Output, TIMEOUT_MS};
use baton_plugin::redis::{Compared, Difference, Holding};
use baton_plugin::{Fault, Host, JsonSchema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Differing keys that are followed; beyond that the nodes simply do not agree.
const SUSPECTS_MAX: usize = 100_000;
/// Keys that are compared again in one call.
const TOGETHER: usize = 10_000;
/// Few enough to be looked at again at once, without a pause: between two writes of a
/// busy key is little time.
const FEW: usize = 100;
/// Such looks in one round.
const QUICK_LOOKS: u32 = 20;
/// Longest pause between two rounds, ms.
const SETTLE_MS_MAX: u32 = 5_000;
/// A key that expires within this time may be gone on the node whose clock is ahead, ms.
const EXPIRING_MS: u64 = 5_000;
/// Looks at which the right node must have stood still while the left one moved.
const STUCK_LOOKS: u32 = 4;

/// What is wrong with a key.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// On the left, and not on the right.
    Missing,
    /// On the right, and not on the left.
    Extra,
    /// Another type.
    Type,
    /// Another value.
    Value,
    /// Another expiry.
    Expiry,
    /// Nothing can be said of it.
    Unread,
    /// It may have changed since the fingerprint.
    Suspect,
    /// It was written between all looks.
    Unsettled,
    /// It is about to expire: one node no longer shows it.
    Expiring,
}

impl What {
    /// Each kind.
    pub(crate) const ALL: [Self; 9] = [
        Self::Missing,
        Self::Extra,
        Self::Type,
        Self::Value,
        Self::Expiry,
        Self::Unread,
        Self::Suspect,
        Self::Unsettled,
        Self::Expiring,
    ];

    /// As the output spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Type => "type",
            Self::Value => "value",
            Self::Expiry => "expiry",
            Self::Unread => "unread",
            Self::Suspect => "suspect",
            Self::Unsettled => "unsettled",
            Self::Expiring => "expiring",
        }
    }
}

/// A key that is not the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Its database.
    pub database: u32,
    /// The key; bytes that are no text are escaped.
    pub key: String,
    /// What is wrong.
    pub what: What,
    /// What the left node holds, in short.
    pub left: String,
    /// What the right node holds, in short.
    pub right: String,
}

/// What two nodes held at one look.
type Look = (Option<Holding>, Option<Holding>);

/// A key that differed.
#[derive(Debug)]
struct Suspect {
    last: Look,
    /// Barriers since the left, and since the right node last changed.
    left_still: u32,
    right_still: u32,
    reason: Option<String>,
}

/// Barriers over which a key must stand still to be held against a node: after one, it
/// might have been written again with what it held before.
const STILL: u32 = 2;
/// Between two looks at nodes that do not follow each other, ms, at least.
const APART_MS: u32 = 1_000;
/// How long a replica may take to reach what its master had, ms.
const BARRIER_MS: u32 = 5_000;
/// Between two questions how far it is, ms.
const BARRIER_EVERY_MS: u32 = 20;

/// Keys that differed, by database and key.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    all: BTreeMap<(u32, Vec<u8>), Suspect>,
    converged: u64,
    /// When was looked last, Unix ms.
    now_ms: u64,
    /// Bytes that the right node lacked of the last barrier when its time was over.
    behind: u64,
}

impl Suspects {
    /// Takes what a comparison found.
    pub(crate) fn add(&mut self, database: u32, found: Compared) -> Result<(), Fault> {
        for it in found.differences {
            let Difference { key, left, right } = it;
            let suspect =
                Suspect { last: (left, right), left_still: 0, right_still: 0, reason: None };
            self.all.insert((database, key), suspect);
        }
        for it in found.unread {
            let suspect = Suspect {
                last: (None, None),
                left_still: 0,
                right_still: 0,
                reason: Some(it.reason),
            };
            self.all.insert((database, it.key), suspect);
        }
        if self.all.len() > SUSPECTS_MAX {
            let first = self.all.keys().next().map_or(String::new(), |it| shown(&it.1));
            let why = format!(
                "more than {SUSPECTS_MAX} keys differ (the first is {first}): these are not two copies of one data set; check whom `right` follows, then give it a full copy"
            );
            return Err(Fault::permanent("nothing-alike", why));
        }
        Ok(())
    }

    /// Compares again what differed, until all of it is judged or the rounds are over.
    pub(crate) fn settle<H: Host>(
        &mut self,
        input: &Input,
        sides: &Sides,
        right: &str,
        host: &mut H,
    ) -> Result<(), Fault> {
        let left = sides.left.as_str();
        let mut pause = input.settle_ms;
        for round in 1..=input.rounds {
            let open = self.open(input).len();
            if open == 0 {
                break;
            }
            host.report(
                u64::from(round),
                Some(u64::from(input.rounds)),
                &format!("{open} keys differ: compared again"),
            );
            let mark = nodes::offsets(input, left, right, host)?;
            host.sleep(pause);
            self.behind = if let Some((mark, _)) = mark {
                wait_for(mark, input, left, right, host)?
            } else {
                host.sleep(APART_MS.saturating_sub(pause));
                0
            };
            pause = pause.saturating_mul(2).min(SETTLE_MS_MAX);
            self.look(input, left, right, self.behind == 0, host)?;
            for _ in 1..QUICK_LOOKS {
                let open = self.open(input).len();
                if open == 0 || open > FEW {
                    break;
                }
                self.look(input, left, right, false, host)?;
            }
        }
        Ok(())
    }

    /// Keys of which nothing is proven yet.
    fn open(&self, input: &Input) -> Vec<(u32, Vec<u8>)> {
        let open = self.all.iter().filter(|(_, it)| verdict(it, input, self.now_ms).is_none());
        open.map(|(key, _)| key.clone()).collect()
    }

    fn look<H: Host>(
        &mut self,
        input: &Input,
        left: &str,
        right: &str,
        is_behind_barrier: bool,
        host: &mut H,
    ) -> Result<(), Fault> {
        let open = self.open(input);
        self.now_ms = host.now_ms();
        for group in open.chunk_by(|a, b| a.0 == b.0) {
            for some in group.chunks(TOGETHER) {
                let Some((database, _)) = some.first() else { continue };
                let keys: Vec<&[u8]> = some.iter().map(|(_, key)| key.as_slice()).collect();
                let found = host
                    .compare_keys(&input.cluster, left, right, *database, &keys, TIMEOUT_MS)
                    .map_err(|error| Fault::from_redis("cannot compare keys again", &error))?;
                self.heard(some, found, is_behind_barrier);
            }
        }
        Ok(())
    }

    /// What was found of keys that were compared again.
    fn heard(&mut self, asked: &[(u32, Vec<u8>)], found: Compared, counts: bool) {
        let mut looks: BTreeMap<Vec<u8>, Look> =
            found.differences.into_iter().map(|it| (it.key, (it.left, it.right))).collect();
        let mut unread: BTreeMap<Vec<u8>, String> =
            found.unread.into_iter().map(|it| (it.key, it.reason)).collect();
        for place in asked {
            if let Some(reason) = unread.remove(&place.1) {
                if let Some(suspect) = self.all.get_mut(place) {
                    suspect.reason = Some(reason);
                    suspect.left_still += u32::from(counts);
                    suspect.right_still += u32::from(counts);
                }
            } else if let Some(look) = looks.remove(&place.1) {
                if let Some(suspect) = self.all.get_mut(place) {
                    suspect.reason = None;
                    let still =
                        |same: bool, before: u32| if same { before + u32::from(counts) } else { 0 };
                    suspect.left_still = still(look.0 == suspect.last.0, suspect.left_still);
                    suspect.right_still = still(look.1 == suspect.last.1, suspect.right_still);
                    suspect.last = look;
                }
            } else {
                self.all.remove(place);
                self.converged += 1;
            }
        }
    }
}

/// Waits until the right node is as far as `mark`; gives the bytes that it lacks then.
fn wait_for<H: Host>(
    mark: i64,
    input: &Input,
    left: &str,
    right: &str,
    host: &mut H,
) -> Result<u64, Fault> {
    let mut waited = 0;
    loop {
        let Some((_, reached)) = nodes::offsets(input, left, right, host)? else {
            let why = format!("{right} no longer follows {left}: compare again");
            return Err(Fault::retryable("no-replica", why));
        };
        let lacks = u64::try_from(mark.saturating_sub(reached)).unwrap_or_default();
        if lacks == 0 || waited >= BARRIER_MS {
            return Ok(lacks);
        }
        host.sleep(BARRIER_EVERY_MS);
        waited += BARRIER_EVERY_MS;
    }
}

/// What is proven of a suspect, if anything.
fn verdict(it: &Suspect, input: &Input, now_ms: u64) -> Option<Verdict> {
    if it.reason.is_some() {
        // Read again once: a type may have changed under a read.
        return (it.left_still >= 2).then_some(Verdict::Wrong(What::Unread));
    }
    let (left, right) = (it.last.0.as_ref(), it.last.1.as_ref());
    if let (Some(left), Some(right)) = (left, right)
        && (&left.kind, &left.digest) == (&right.kind, &right.digest)
        && near(left.expires_at_ms, right.expires_at_ms, input.expiry_tolerance_ms)
    {
        return Some(Verdict::Same);
    }
    if let (Some(one), None) | (None, Some(one)) = (left, right)
        && one.expires_at_ms.is_some_and(|at| at <= now_ms.saturating_add(EXPIRING_MS))
    {
        // Until then it may go on the other node as well.
        return (it.left_still >= 1).then_some(Verdict::Wrong(What::Expiring));
    }
    let is_still = it.left_still >= STILL && it.right_still >= STILL;
    let is_stuck = it.right_still >= STUCK_LOOKS;
    (is_still || is_stuck).then(|| Verdict::Wrong(wrong(left, right)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Same,
    Wrong(What),
}

fn wrong(left: Option<&Holding>, right: Option<&Holding>) -> What {
    match (left, right) {
        (Some(_), None) => What::Missing,
        (None, _) => What::Extra,
        (Some(left), Some(right)) if left.kind != right.kind => What::Type,
        (Some(left), Some(right)) if left.digest != right.digest => What::Value,
        (Some(_), Some(_)) => What::Expiry,
    }
}

fn near(left: Option<u64>, right: Option<u64>, tolerance_ms: u64) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => left.abs_diff(right) <= tolerance_ms,
        (left, right) => left == right,
    }
}

/// Counts, lists and says what was found.
pub(crate) fn conclude(input: &Input, suspects: Suspects, output: &mut Output) {
    output.converged = suspects.converged;
    let suspects_behind = suspects.behind;
    if input.mode == Mode::Sample {
        output.corrupt_percent_max = corrupt_percent_max(output.keys);
    }
    let mut findings = Vec::new();
    for ((database, key), it) in suspects.all {
        let what = match verdict(&it, input, suspects.now_ms) {
            Some(Verdict::Same) => {
                output.converged += 1;
                continue;
            }
            Some(Verdict::Wrong(what)) => what,
            None if it.reason.is_some() => What::Unread,
            None => What::Unsettled,
        };
        *counted(output, what) += 1;
        let (left, right) = match it.reason {
            Some(reason) => (reason, String::new()),
            None => (in_short(it.last.0.as_ref()), in_short(it.last.1.as_ref())),
        };
        findings.push(Finding { database, key: shown(&key), what, left, right });
    }
    output.findings = findings;
    if output.unsettled > 0 {
        output.behind_bytes = suspects_behind;
    }
    close(output);
}

/// Where findings of this kind are counted.
pub(crate) fn counted(output: &mut Output, what: What) -> &mut u64 {
    match what {
        What::Missing => &mut output.missing,
        What::Extra => &mut output.extra,
        What::Type | What::Value => &mut output.different,
        What::Expiry => &mut output.expiry,
        What::Unread => &mut output.unread,
        What::Unsettled | What::Suspect => &mut output.unsettled,
        What::Expiring => &mut output.expiring,
    }
}

/// Sorts and bounds what was found; says what it means.
pub(crate) fn close(output: &mut Output) {
    let findings = &mut output.findings;
    findings.sort_by(|a, b| (a.what, a.database, &a.key).cmp(&(b.what, b.database, &b.key)));
    output.truncated |= findings.len() > FINDINGS_MAX;
    findings.truncate(FINDINGS_MAX);
    let wrong = output.missing + output.extra + output.different + output.expiry + output.unread;
    output.verdict = if wrong == 0 && output.behind_bytes == 0 { "pass" } else { "fail" }.into();
    output.summary = summary(output);
}

fn summary(output: &Output) -> String {
    let Output { missing, extra, different, expiry, unread, unsettled, keys, .. } = output;
    let right = output.right.as_deref().unwrap_or("the fingerprint");
    let mut text = match output.verdict.as_str() {
        "pass" if output.corrupt_percent_max > 0.0 => format!(
            "{keys} keys drawn, all the same: with 95 % confidence less than {:.2} % of the data differ",
            output.corrupt_percent_max
        ),
        "pass" => format!("{keys} keys, all the same on {} and {right}", output.left),
        _ => format!(
            "{right} differs from {}: {missing} missing, {extra} extra, {different} different, {expiry} with another expiry, {unread} unreadable. Do not promote it; stop it, set its dump and AOF aside, start it as a replica again so that it takes a full copy, and compare again",
            output.left
        ),
    };
    if output.behind_bytes > 0 {
        write!(
            text,
            "; it is {} bytes behind and does not catch up: look at its link and load, then compare again",
            output.behind_bytes
        )
        .expect("text takes it");
    }
    if *unsettled > 0 {
        write!(text, "; {unsettled} are written too often to be judged").expect("text takes it");
    }
    text
}

/// `hash of 5, 3f2a…`.
pub(crate) fn in_short(it: Option<&Holding>) -> String {
    let Some(it) = it else { return "nothing".into() };
    let digest = it.digest.get(..12).unwrap_or(&it.digest);
    let unit = if it.kind == "string" { " bytes" } else { "" };
    let expiry = it.expires_at_ms.map(|at| format!(", expires at {at}")).unwrap_or_default();
    format!("{} of {}{unit}, {digest}{expiry}", it.kind, it.size)
}

/// A key for people.
pub(crate) fn shown(key: &[u8]) -> String {
    key.utf8_chunks().fold(String::new(), |mut text, chunk| {
        for it in chunk.valid().chars() {
            if it.is_control() {
                text.extend(it.escape_default());
            } else {
                text.push(it);
            }
        }
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("text takes it");
        }
        text
    })
}
