//! `verify-orderbook`: checks every invariant of the order books in a cluster.
//!
//! Read-only, exact, and at work while a trader writes: an instrument is judged on
//! what was read at one sequence number ([`reader`]), by pure rules
//! ([`invariants`]). The layout and the rules are in the README.

pub mod book;
pub mod decimal;
pub mod invariants;
pub mod layout;
mod reader;

use baton_plugin::redis::{Command, Request, Role};
use baton_plugin::{About, Cluster, Fault, Host, JsonSchema, MemberKind, Plugin};
use invariants::{Violation, judge};
use layout::{Fields, Keys};
use reader::Reader;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Violations listed; more are counted by `truncated`.
const VIOLATIONS_MAX: usize = 1000;

/// How often the orders are listed again for instruments that were traded since.
const ROUNDS_MAX: u32 = 10;

/// Longest wait for a node's ROLE, ms.
const ROLE_TIMEOUT_MS: u32 = 1000;

/// What to check.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// The node to read; absent or null: the one that says it is master.
    pub master: Option<String>,
    /// Instruments to check; absent or null: all that have a meta hash.
    pub instruments: Option<Vec<String>>,
    /// SCAN pattern of meta hashes; from the template of their key if absent.
    pub pattern: Option<String>,
    /// Templates of keys.
    #[serde(default)]
    pub keys: Keys,
    /// Names of fields.
    #[serde(default)]
    pub fields: Fields,
}

/// The verdict.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `pass` or `fail`.
    pub verdict: String,
    /// The node that was read.
    pub master: String,
    /// Instruments checked.
    pub instruments: usize,
    /// Orders checked, closed ones too.
    pub orders: usize,
    /// Different prices with open orders.
    pub levels: usize,
    /// Trades checked.
    pub trades: usize,
    /// What does not hold, by key; at most 1000.
    pub violations: Vec<Violation>,
    /// There are more violations than listed.
    pub truncated: bool,
}

/// The plugin.
pub struct VerifyOrderbook;

impl Plugin for VerifyOrderbook {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "verify-orderbook",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Checks every invariant of the order books in a cluster",
            redis_commands: &["ROLE", "SCAN", "HGET", "HMGET", "ZRANGE", "XRANGE"],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let cluster = host
            .describe_cluster(&input.cluster)
            .map_err(|error| Fault::from_redis("cannot look up the cluster", &error))?;
        let master = match &input.master {
            Some(master) => master.clone(),
            None => find_master(&cluster, host)?,
        };
        let reader = Reader {
            cluster: &cluster.name,
            address: &master,
            keys: &input.keys,
            fields: &input.fields,
        };
        let isins = match &input.instruments {
            Some(isins) => isins.clone(),
            None => instruments(&reader, input.pattern.as_deref(), host)?,
        };
        let mut tally = Tally::new(master.clone());
        let mut pending = isins.clone();
        for round in 1..=ROUNDS_MAX {
            pending = check(&reader, &input, &isins, &pending, round, &mut tally, host)?;
            if pending.is_empty() {
                break;
            }
        }
        Ok(tally.close())
    }
}

/// The one data node that says it is master.
fn find_master<H: Host>(cluster: &Cluster, host: &mut H) -> Result<String, Fault> {
    let nodes = cluster.addresses(MemberKind::Data);
    let requests: Vec<Request> =
        nodes.iter().map(|it| Request::new(it.clone(), vec![Command::line("ROLE")])).collect();
    let results = host
        .call(&cluster.name, &requests, ROLE_TIMEOUT_MS)
        .map_err(|error| Fault::from_redis("cannot look for the master", &error))?;
    let is_master = |result: &Result<Vec<_>, _>| {
        let role = result.as_ref().ok().and_then(|it| Role::from_value(it.first()?));
        matches!(role, Some(Role::Master { .. }))
    };
    let masters: Vec<String> = nodes
        .into_iter()
        .zip(&results)
        .filter(|(_, result)| is_master(result))
        .map(|(address, _)| address)
        .collect();
    match &masters[..] {
        [one] => Ok(one.clone()),
        [] => Err(Fault::retryable("no-master", "no reachable node is master: give `master`")),
        all => {
            let why = format!("{} all are master: give `master`", all.join(" and "));
            Err(Fault::permanent("split-brain", why))
        }
    }
}

fn instruments<H: Host>(
    reader: &Reader<'_>,
    pattern: Option<&str>,
    host: &mut H,
) -> Result<Vec<String>, Fault> {
    let pattern = pattern.map_or_else(|| Keys::pattern(&reader.keys.meta), str::to_owned);
    let keys = reader.scan(&pattern, host)?;
    let isins = keys.iter().filter_map(|key| Keys::value(&reader.keys.meta, key));
    Ok(isins.map(str::to_owned).collect())
}

/// Checks the pending instruments on a fresh list of orders; gives back those whose
/// list was outrun by the trader, until the last round.
fn check<H: Host>(
    reader: &Reader<'_>,
    input: &Input,
    isins: &[String],
    pending: &[String],
    round: u32,
    tally: &mut Tally,
    host: &mut H,
) -> Result<Vec<String>, Fault> {
    // Numbers first, then the list: every order placed up to these is in it.
    let scanned = reader.sequences(pending, host)?;
    let listed = reader.orders_by_isin(host)?;
    if round == 1 && input.instruments.is_none() {
        tally.strays(reader, &listed, isins, host)?;
    }
    let nobody = BTreeSet::new();
    let total = isins.len() as u64;
    let mut again = Vec::new();
    for (done, (isin, seq)) in pending.iter().zip(scanned).enumerate() {
        let left = pending.len() - done;
        host.report(total - left as u64, Some(total), &format!("checking {isin}"));
        let orders = listed.get(isin).unwrap_or(&nobody);
        let Some(it) = reader.instrument(isin, orders, host)? else {
            if round < ROUNDS_MAX {
                again.push(isin.clone());
            } else {
                let why = "is traded too fast to be read at one sequence number";
                tally.add("sequence", isin, &Keys::fill(&reader.keys.meta, isin), why);
            }
            continue;
        };
        let judged = judge(&it, seq.unwrap_or(0));
        if !judged.unlisted.is_empty() && round < ROUNDS_MAX {
            again.push(isin.clone());
            continue;
        }
        if let Some(first) = judged.unlisted.first() {
            let why =
                format!("event {first} is carried by nothing that was found in {round} lists");
            tally.add("sequence", isin, &it.meta_key, &why);
        }
        tally.instruments += 1;
        tally.levels += judged.levels;
        tally.trades += it.trades.len();
        tally.orders += it.orders.iter().filter(|it| it.isin.is_some()).count();
        tally.violations.extend(judged.violations);
    }
    Ok(again)
}

/// What was counted so far.
struct Tally {
    master: String,
    instruments: usize,
    orders: usize,
    levels: usize,
    trades: usize,
    violations: Vec<Violation>,
}

impl Tally {
    fn new(master: String) -> Self {
        Self { master, instruments: 0, orders: 0, levels: 0, trades: 0, violations: Vec::new() }
    }

    fn add(&mut self, invariant: &str, isin: &str, key: &str, message: &str) {
        self.violations.push(Violation {
            invariant: invariant.into(),
            instrument: isin.into(),
            key: key.into(),
            message: message.into(),
        });
    }

    /// Orders of instruments that have no book. An instrument may have been opened
    /// since the instruments were listed: only one that still has no meta hash counts.
    fn strays<H: Host>(
        &mut self,
        reader: &Reader<'_>,
        listed: &BTreeMap<String, BTreeSet<String>>,
        isins: &[String],
        host: &mut H,
    ) -> Result<(), Fault> {
        let unknown: Vec<String> =
            listed.keys().filter(|isin| !isins.contains(isin)).cloned().collect();
        let sequences = reader.sequences(&unknown, host)?;
        for (isin, _) in unknown.iter().zip(sequences).filter(|(_, seq)| seq.is_none()) {
            for id in listed.get(isin).into_iter().flatten() {
                let key = Keys::fill(&reader.keys.order, id);
                let why = if isin.is_empty() {
                    "has no instrument".to_owned()
                } else {
                    format!("is of {isin}, which has no meta hash")
                };
                self.add("order-member", isin, &key, &why);
            }
        }
        Ok(())
    }

    fn close(mut self) -> Output {
        let truncated = self.violations.len() > VIOLATIONS_MAX;
        self.violations.truncate(VIOLATIONS_MAX);
        Output {
            verdict: if self.violations.is_empty() { "pass" } else { "fail" }.into(),
            master: self.master,
            instruments: self.instruments,
            orders: self.orders,
            levels: self.levels,
            trades: self.trades,
            violations: self.violations,
            truncated,
        }
    }
}

baton_plugin::export!(VerifyOrderbook);

#[cfg(test)]
mod tests;
