//! `verify-risk`: checks that positions and limits in a cluster agree with its trades.
//!
//! Read-only, exact, and at work while a trader writes. Each account is judged by itself
//! on one HGETALL ([`accounts`]); positions are recomputed instrument by instrument
//! ([`positions`]), from what was read between two equal reads of its meta hash. So no
//! moment is needed in which everything stands still.

mod accounts;
mod positions;

use accounts::Accounts;
use baton_books::fingerprint::key_list;
use baton_books::rules::Findings;
use baton_books::source::KeyList;
use baton_books::still::{Batch, Still, read_all};
use baton_books::{
    Decimal, Fields, Found, Halt, INSTRUMENTS_MAX, Id, Ids, Keys, Meta, Order, Source, Streams,
    Tally, Template, Trade, Violation, shown,
};
use baton_plugin::redis::View;
use baton_plugin::{About, Fault, Host, JsonSchema, Plugin};
use positions::{Parties, recompute};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Instruments read between two looks at their meta hashes.
const BATCH: Batch = Batch { instruments: 50, weight: usize::MAX };
/// How often the instruments that never stood still are tried again.
const ROUNDS_MAX: u32 = 5;
/// From one report of progress to the next, in instruments.
const REPORT_EVERY: usize = 100;

/// What to check.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// The node to read; absent or null: the one that says it is master.
    pub master: Option<String>,
    /// Instruments whose positions are recomputed; absent or null: all that have a meta
    /// hash.
    pub instruments: Option<Vec<String>>,
    /// Templates of keys.
    #[serde(default)]
    pub keys: Keys,
    /// Names of fields.
    #[serde(default)]
    pub fields: Fields,
}

/// The verdict.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Output {
    /// `pass` or `fail`.
    pub verdict: String,
    /// The node that was read.
    pub master: String,
    /// Instruments whose positions were recomputed.
    pub instruments: usize,
    /// Accounts that have a risk hash.
    pub accounts: usize,
    /// Positions that are not zero.
    pub positions: usize,
    /// Trades that they were recomputed from.
    pub trades: usize,
    /// Instruments that have a `seq_floor`: trades may be gone, so that positions cannot be
    /// recomputed.
    pub unjudged: usize,
    /// Which; at most 1000.
    pub unjudged_instruments: Vec<String>,
    /// What does not hold, by key; at most 1000.
    pub violations: Vec<Violation>,
    /// All that does not hold.
    pub violation_count: usize,
    /// There are more violations than listed.
    pub truncated: bool,
    /// How many instruments must not be traded: a position in them is wrong.
    pub halted: usize,
    /// Which, each with its broken invariants; at most 1000.
    pub halt: Vec<Halt>,
    /// How many accounts must not trade: their positions or limits are wrong, or they are
    /// beyond a limit.
    pub halted_accounts: usize,
    /// Which; at most 1000.
    pub halt_accounts: Vec<String>,
}

/// The plugin.
pub struct VerifyRisk;

impl Plugin for VerifyRisk {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "verify-risk",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Checks that positions and limits in a cluster agree with its trades",
            redis_commands: &["ROLE", "SCAN", "EXISTS", "HMGET", "HGETALL", "XRANGE"],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        if Parties::are_orders(&input.fields) && input.fields.account.is_empty() {
            let why = "no field says whose a trade is: name `buyer` and `seller`, or `account`";
            return Err(Fault::permanent("no-accounts", why));
        }
        let source = Source::find(&input.cluster, input.master.as_deref(), host)?;
        let isins = source.instruments(&input.keys, input.instruments.as_deref(), None, host)?;
        let accounts = Accounts::list(&source, &input.keys, isins.len(), host)?;
        let mut check = Check {
            input: &input,
            source: &source,
            isins: &isins,
            accounts,
            ids: Ids::default(),
            tally: Tally::default(),
            bad_accounts: BTreeSet::new(),
            output: Output { master: source.address.clone(), ..Output::default() },
            checked: 0,
        };
        check.run(host)?;
        Ok(check.close())
    }
}

struct Check<'a> {
    input: &'a Input,
    source: &'a Source,
    isins: &'a [String],
    accounts: Accounts,
    ids: Ids,
    tally: Tally,
    bad_accounts: BTreeSet<String>,
    output: Output,
    checked: usize,
}

/// One instrument, judged.
#[derive(Debug, Default)]
struct Judged {
    found: Found,
    trades: usize,
    /// Trades may be gone: nothing can be said.
    is_unjudged: bool,
    bad_accounts: Vec<String>,
}

impl Check<'_> {
    fn run<H: Host>(&mut self, host: &mut H) -> Result<(), Fault> {
        let Input { keys, fields, .. } = self.input;
        let violations = self.accounts.read(self.source, keys, fields, self.isins, host)?;
        let template = Template::of(&keys.risk);
        for it in violations {
            let account = template.value(it.key.as_bytes()).unwrap_or_default();
            self.bad_accounts.insert(String::from_utf8_lossy(account).into_owned());
            self.tally.push(it);
        }
        let mut pending: Vec<usize> = (0..self.isins.len()).collect();
        for _ in 0..ROUNDS_MAX {
            if pending.is_empty() {
                break;
            }
            pending = read_all(self, &pending, BATCH, host)?;
        }
        for index in pending {
            let isin = &self.isins[index];
            let key = Keys::fill(&keys.meta, isin);
            let why = "is traded too fast to be read at one sequence number";
            self.tally.push(Violation::new("sequence", isin, &key, why));
        }
        self.strange(host)?;
        self.nameless(host)
    }

    /// Positions in instruments that are none, unless they have been opened meanwhile, or
    /// nobody asked for them.
    fn strange<H: Host>(&mut self, host: &mut H) -> Result<(), Fault> {
        if self.input.instruments.is_some() {
            return Ok(());
        }
        let strange = std::mem::take(&mut self.accounts.strange);
        let names: Vec<&str> = strange.iter().map(|(isin, _)| isin.as_str()).collect();
        let keys = key_list(&self.input.keys.meta, &names);
        let answers = self.source.each(&["EXISTS"], &keys, host)?;
        for ((isin, account), reply) in strange.iter().zip(answers.iter()) {
            if self.source.int(reply, "EXISTS")? == 0 {
                let key = Keys::fill(&self.input.keys.risk, account);
                let why = format!("has a position in {isin}, which has no meta hash");
                self.bad_accounts.insert(account.clone());
                self.tally.push(Violation::new("position", isin, &key, why));
            }
        }
        Ok(())
    }

    /// Accounts that trade and have no hash.
    fn nameless<H: Host>(&mut self, host: &mut H) -> Result<(), Fault> {
        let places: Vec<usize> = self.accounts.unlisted().collect();
        let keys = self.accounts.keys(&self.input.keys, places.iter().copied());
        let answers = self.source.each(&["EXISTS"], &keys, host)?;
        for (place, reply) in places.iter().zip(answers.iter()) {
            if self.source.int(reply, "EXISTS")? == 0 {
                let account = self.accounts.shown(*place);
                let key = Keys::fill(&self.input.keys.risk, &account);
                self.tally.push(Violation::new("account", "", &key, "trades, and is not there"));
                self.bad_accounts.insert(account);
            }
        }
        Ok(())
    }

    fn close(mut self) -> Output {
        self.output.halted_accounts = self.bad_accounts.len();
        self.output.halt_accounts = self.bad_accounts.into_iter().take(INSTRUMENTS_MAX).collect();
        let sum = self.tally.close();
        Output {
            verdict: if sum.violation_count == 0 { "pass" } else { "fail" }.into(),
            instruments: self.isins.len() - self.output.unjudged,
            accounts: self.accounts.listed,
            positions: self.accounts.positions,
            truncated: sum.violation_count > sum.violations.len(),
            violations: sum.violations,
            violation_count: sum.violation_count,
            halted: sum.halted,
            halt: sum.halt,
            ..self.output
        }
    }

    /// The orders of a batch's trades, where those say whose they are.
    fn parties(&self, trades: &[Option<Vec<Trade<'_>>>]) -> Option<(Vec<Vec<Id>>, KeyList)> {
        if !Parties::are_orders(&self.input.fields) {
            return None;
        }
        let template = Template::of(&self.input.keys.order);
        let (mut keys, mut text, mut named) = (KeyList::default(), Vec::new(), Vec::new());
        for trades in trades {
            let parties = trades.iter().flatten().flat_map(|it| [it.bid, it.ask]);
            let mut ids: Vec<Id> = parties.flatten().collect();
            ids.sort_unstable();
            ids.dedup();
            for id in &ids {
                text.clear();
                self.ids.write(*id, &mut text);
                keys.push(|out| template.write(&text, out));
            }
            named.push(ids);
        }
        Some((named, keys))
    }
}

/// One instrument's trades, recomputed.
struct Recomputed<'a> {
    meta: Meta<'a>,
    findings: Findings<'a>,
    /// By the account's place; none: they cannot be told.
    sums: Option<BTreeMap<usize, Decimal>>,
    trades: usize,
}

impl Still for Check<'_> {
    type Item = Judged;

    fn weight(&self, _index: usize) -> usize {
        0
    }

    fn read<H: Host>(
        &mut self,
        batch: &[usize],
        host: &mut H,
    ) -> Result<Vec<Option<Judged>>, Fault> {
        let Input { keys, fields, .. } = self.input;
        let source = self.source;
        let isins: Vec<&str> = batch.iter().map(|it| self.isins[*it].as_str()).collect();
        let metas = key_list(&keys.meta, &isins);
        let command = Meta::command(fields);
        let before = source.each(&command, &metas, host)?;
        let streams = Streams::read(source, &key_list(&keys.trades, &isins), host)?;
        let trades = streams.trades(source, fields, &mut self.ids)?;
        let orders = match self.parties(&trades) {
            None => None,
            Some((named, keys)) => {
                Some((named, source.each(&Order::command(fields), &keys, host)?))
            }
        };
        let mut order_replies = orders.as_ref().map(|(_, answers)| answers.cursor());
        let mut metas_before = before.cursor();
        let mut all: Vec<Recomputed<'_>> = Vec::new();
        let mut asked: BTreeSet<usize> = BTreeSet::new();
        for (at, trades) in trades.iter().enumerate() {
            let meta = Meta::read(&mut metas_before, source)?;
            let parties = match (&orders, &mut order_replies) {
                (Some((named, _)), Some(replies)) => {
                    let ids = named[at].iter();
                    let own = ids.map(|id| Order::read(*id, replies, source));
                    Parties::Orders(own.collect::<Result<_, _>>()?)
                }
                _ => Parties::Trades,
            };
            let mut findings = Findings::new(isins[at], keys, &self.ids);
            if meta.is_other {
                findings.add("schema", &findings.meta_key(), "is no hash");
            }
            if trades.is_none() {
                findings.add("schema", &findings.trades_key(), "is no stream");
            }
            let sums = trades
                .as_ref()
                .and_then(|trades| recompute(trades, &parties, &mut self.accounts, &mut findings));
            asked.extend(self.accounts.holders(batch[at]));
            asked.extend(sums.iter().flat_map(BTreeMap::keys));
            all.push(Recomputed {
                meta,
                findings,
                sums,
                trades: trades.as_ref().map_or(0, Vec::len),
            });
        }
        let names: Vec<String> = isins.iter().map(|it| Keys::fill(&fields.position, it)).collect();
        let words: Vec<&str> =
            ["HMGET"].into_iter().chain(names.iter().map(String::as_str)).collect();
        let asked: Vec<usize> = asked.into_iter().collect();
        let answers =
            source.each(&words, &self.accounts.keys(keys, asked.iter().copied()), host)?;
        let after = source.each(&command, &metas, host)?;
        let mut stored: Vec<Vec<Option<&[u8]>>> = Vec::with_capacity(asked.len());
        for reply in answers.iter() {
            let fields = source.typed(reply, "HMGET")?;
            stored.push(fields.into_iter().flatten().map(View::bytes).collect());
        }
        let mut judged = Vec::with_capacity(batch.len());
        let mut after = after.cursor();
        for (at, it) in all.into_iter().enumerate() {
            let stands = it.meta == Meta::read(&mut after, source)?;
            let own = stored.iter().map(|it| it.get(at).copied().flatten());
            judged.push(stands.then(|| compare(it, &asked, own, &self.accounts, self.input)));
        }
        Ok(judged)
    }

    fn done<H: Host>(&mut self, index: usize, judged: Judged, host: &mut H) {
        let isin = &self.isins[index];
        self.checked += 1;
        if self.checked.is_multiple_of(REPORT_EVERY) {
            let total = Some(self.isins.len() as u64);
            host.report(self.checked as u64, total, &format!("checked {isin}"));
        }
        self.output.trades += judged.trades;
        if judged.is_unjudged {
            self.output.unjudged += 1;
            if self.output.unjudged_instruments.len() < INSTRUMENTS_MAX {
                self.output.unjudged_instruments.push(isin.clone());
            }
        }
        self.bad_accounts.extend(judged.bad_accounts);
        self.tally.add(isin, judged.found);
    }
}

/// Each account's position against the sum of its trades.
fn compare<'s>(
    it: Recomputed<'_>,
    asked: &[usize],
    stored: impl Iterator<Item = Option<&'s [u8]>>,
    accounts: &Accounts,
    input: &Input,
) -> Judged {
    let Recomputed { meta, mut findings, sums, trades } = it;
    let mut judged = Judged { trades, ..Judged::default() };
    if meta.floor() > 0 {
        judged.is_unjudged = true;
        return judged;
    }
    for (place, stored) in asked.iter().zip(stored) {
        let Some(sums) = &sums else { break };
        let sum = sums.get(place).copied().unwrap_or_default();
        let position = stored.map_or(Some(Decimal::ZERO), Decimal::parse);
        // A field that is no decimal has been told of the account.
        if position.is_some_and(|it| it != sum) {
            let account = accounts.shown(*place);
            let key = Keys::fill(&input.keys.risk, &account);
            let message = format!(
                "its position in {} is {}, its trades sum to {sum}",
                findings.isin,
                shown(stored)
            );
            findings.add("position", &key, message);
            judged.bad_accounts.push(account);
        }
    }
    judged.found = findings.found;
    judged
}

baton_plugin::export!(VerifyRisk);

#[cfg(test)]
mod tests;
