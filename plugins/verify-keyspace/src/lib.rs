//! `verify-keyspace`: compares what two nodes hold, key by key, in both directions, while
//! clients write.
//!
//! The host reads and compares ([`baton_plugin::Host::compare`]); what follows from a
//! difference is decided here: what replication is still bringing over, what is being
//! written too fast to be judged, what is about to expire, and what has truly diverged
//! ([`judge`]). A node can also be held against a fingerprint taken earlier
//! ([`fingerprint`]).

mod fingerprint;
mod judge;
mod merge;
mod nodes;
mod pace;
mod sample;
mod walk;

use baton_plugin::{About, Fault, Host, JsonSchema, Plugin, Table};
use fingerprint::Fingerprint;
use judge::Finding;
use serde::{Deserialize, Serialize};

/// Longest wait for one page, ms.
const TIMEOUT_MS: u32 = 60_000;

/// Findings listed; more are counted.
const FINDINGS_MAX: usize = 100;

/// What to compare.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// The node that is right; absent or null: the one that says it is master.
    pub left: Option<String>,
    /// The node that should be the same; absent or null: a replica of it that is attached.
    pub right: Option<String>,
    /// Keys, as SCAN's MATCH takes it.
    #[serde(default = "all")]
    pub pattern: String,
    /// Databases; absent or null: those that have keys on either node.
    pub databases: Option<Vec<u32>>,
    /// How much of it.
    #[serde(default)]
    pub mode: Mode,
    /// Keys to draw in mode `sample`; 300 clean ones mean less than 1 % corrupt, with 95 %
    /// confidence.
    #[serde(default = "sample_keys")]
    pub sample_keys: u32,
    /// Keys compared per second, at most; 0: as fast as the nodes answer.
    #[serde(default = "keys_per_second")]
    pub keys_per_second: u32,
    /// A node that takes longer to answer one step of SCAN gets a pause, ms.
    #[serde(default = "latency_max_ms")]
    pub latency_max_ms: u32,
    /// Expiries that differ by no more are the same, ms.
    #[serde(default)]
    pub expiry_tolerance_ms: u64,
    /// How often keys that differ are compared again.
    #[serde(default = "rounds")]
    pub rounds: u32,
    /// Between two rounds, ms, at first; it doubles.
    #[serde(default = "settle_ms")]
    pub settle_ms: u32,
    /// The key space in so many slices, a power of two, 1024 at most: each can be compared
    /// by an attempt of its own, so that a crash costs the slice that was under way.
    #[serde(default = "one")]
    pub slices: u32,
    /// Which of them, from 0.
    #[serde(default)]
    pub slice: u32,
    /// In mode `merge`: what the slices gave.
    #[serde(default)]
    pub parts: Vec<Output>,
    /// A fingerprint that `mode = "fingerprint"` gave earlier: `left` is held against it
    /// instead of against another node.
    pub against: Option<Fingerprint>,
}

/// How much is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Every key, in both directions.
    #[default]
    Full,
    /// Keys of database 0 drawn at random, half of them from each node.
    Sample,
    /// Nothing: a fingerprint of `left` is taken.
    Fingerprint,
    /// Nothing: the outputs of all slices become one.
    Merge,
}

fn one() -> u32 {
    1
}

fn all() -> String {
    "*".into()
}

fn sample_keys() -> u32 {
    300
}

fn keys_per_second() -> u32 {
    20_000
}

fn latency_max_ms() -> u32 {
    50
}

fn rounds() -> u32 {
    8
}

fn settle_ms() -> u32 {
    100
}

/// The verdict.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Output {
    /// `pass` or `fail`.
    pub verdict: String,
    /// What that means, in a sentence.
    pub summary: String,
    /// The node that is right.
    pub left: String,
    /// The node it was compared with; null: a fingerprint.
    pub right: Option<String>,
    /// Databases that were compared.
    pub databases: Vec<u32>,
    /// Keys looked at.
    pub keys: u64,
    /// Wall time of the comparison, s.
    pub seconds: f64,
    /// Keys that differ for good, by what is wrong.
    pub missing: u64,
    /// On the right, and not on the left.
    pub extra: u64,
    /// Of another type or value.
    pub different: u64,
    /// Same value, other expiry.
    pub expiry: u64,
    /// Differed at every look, and were written between all of them: nothing is proven.
    pub unsettled: u64,
    /// Bytes of replication that `right` still lacked when keys were last looked at; not 0 is
    /// a `fail`.
    pub behind_bytes: u64,
    /// Gone on one node, and due to expire within seconds: no fault.
    pub expiring: u64,
    /// Could not be read; a `fail`.
    pub unread: u64,
    /// Keys that differed at first and were the same later.
    pub converged: u64,
    /// The first of them, at most 100, the worst first.
    pub findings: Vec<Finding>,
    /// There are more than listed.
    pub truncated: bool,
    /// In mode `sample`: how much of the data may be wrong at most, in hundredths, with
    /// 95 % confidence. In mode `full` 0.
    pub corrupt_percent_max: f64,
    /// In mode `fingerprint`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<Table>,
}

/// The plugin.
pub struct VerifyKeyspace;

impl Plugin for VerifyKeyspace {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "verify-keyspace",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Compares what two nodes hold, key by key",
            redis_commands: &[
                "ROLE",
                "INFO",
                "RANDOMKEY",
                "SCAN",
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
            ],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        if input.mode == Mode::Merge {
            return merge::merge(input.parts);
        }
        let begun = host.now_ms();
        let sides = nodes::find(&input, host)?;
        let mut output = Output {
            left: sides.left.clone(),
            databases: sides.databases.clone(),
            ..Output::default()
        };
        if input.mode == Mode::Fingerprint {
            let taken = fingerprint::take(&input, &sides, host)?;
            output.keys = taken.keys + taken.expiring;
            output.verdict = "pass".into();
            output.summary = format!("fingerprint of {} keys taken", taken.keys);
            output.fingerprint = Some(taken);
        } else if let Some(before) = &input.against {
            fingerprint::compare(&input, &sides, before, &mut output, host)?;
        } else {
            let right = sides.right()?;
            let mut suspects = judge::Suspects::default();
            output.keys = match input.mode {
                Mode::Sample => sample::compare(&input, &sides, right, &mut suspects, host)?,
                Mode::Full | Mode::Fingerprint | Mode::Merge => {
                    walk::compare(&input, &sides, right, &mut suspects, host)?
                }
            };
            suspects.settle(&input, &sides, right, host)?;
            output.right = Some(right.to_owned());
            judge::conclude(&input, suspects, &mut output);
        }
        output.seconds = seconds(host.now_ms().saturating_sub(begun));
        output.table = table(&output.findings);
        Ok(output)
    }
}

fn seconds(milliseconds: u64) -> f64 {
    // Far below 2^52.
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of a run")]
    let milliseconds = milliseconds as f64;
    milliseconds / 1000.0
}

fn table(findings: &[Finding]) -> Option<Table> {
    if findings.is_empty() {
        return None;
    }
    let mut table = Table::new(["key", "what", "left", "right"]);
    let shown = |it: &Finding| {
        let key =
            if it.database == 0 { it.key.clone() } else { format!("{}: {}", it.database, it.key) };
        vec![key, it.what.word().to_owned(), it.left.clone(), it.right.clone()]
    };
    table.rows = findings.iter().take(20).map(shown).collect();
    Some(table)
}

baton_plugin::export!(VerifyKeyspace);

#[cfg(test)]
mod tests;
