//! `verify-trades`: checks that the trades in a cluster are whole and agree with their
//! orders.
//!
//! Read-only, exact, and at work while a trader writes: an instrument's trades are judged
//! on what was read between two equal reads of its meta hash, by pure rules ([`rules`]).
//! Ids are compared over all instruments as digests ([`unique`]); those that are there
//! twice are then read themselves.

pub mod rules;
mod unique;

use baton_books::fingerprint::{self, Since, key_list, stream_infos};
use baton_books::source::KeyList;
use baton_books::still::{Batch, Still, read_all};
use baton_books::{
    Fields, Halt, INSTRUMENTS_MAX, Id, Ids, Keys, Meta, Order, Source, Streams, Tally, Template,
    Violation, fnv,
};
use baton_plugin::{About, Fault, Host, JsonSchema, Plugin};
use rules::{Judged, Tape, Told, judge};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use unique::Digests;

/// Instruments read between two looks at their meta hashes.
const BATCH: Batch = Batch { instruments: 100, weight: usize::MAX };
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
    /// Instruments to check; absent or null: all that have a meta hash.
    pub instruments: Option<Vec<String>>,
    /// An earlier fingerprint of the books, or `redis` for the one that
    /// snapshot-orderbook has stored: no stream may have had more trades then.
    pub since: Option<Since>,
    /// Where the stored fingerprint is.
    #[serde(default = "fingerprint_key")]
    pub fingerprint_key: String,
    /// A loss was declared, as after a failover: trades that the fingerprint knows of and
    /// the streams do not are counted and are no violation.
    #[serde(default)]
    pub declared_loss: bool,
    /// Templates of keys.
    #[serde(default)]
    pub keys: Keys,
    /// Names of fields.
    #[serde(default)]
    pub fields: Fields,
}

fn fingerprint_key() -> String {
    fingerprint::KEY.to_owned()
}

/// An instrument that has fewer trades than it had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Lost {
    /// Which.
    pub instrument: String,
    /// Trades that are missing.
    pub trades: u64,
}

/// The verdict.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `pass`, `pass with declared loss` or `fail`.
    pub verdict: String,
    /// The node that was read.
    pub master: String,
    /// Instruments checked.
    pub instruments: usize,
    /// Trades checked.
    pub trades: usize,
    /// Orders that they name, each counted once an instrument.
    pub orders: usize,
    /// Trades whose ids were not compared with those of other instruments: there are too
    /// many.
    pub ids_left_out: usize,
    /// What does not hold, by key; at most 1000.
    pub violations: Vec<Violation>,
    /// All that does not hold.
    pub violation_count: usize,
    /// There are more violations than listed.
    pub truncated: bool,
    /// How many instruments are safe to trade, as far as trades tell.
    pub safe: usize,
    /// How many must not be traded.
    pub halted: usize,
    /// Which, each with its broken invariants; at most 1000.
    pub halt: Vec<Halt>,
    /// Trades that the fingerprint knows of and the streams do not.
    pub lost_trades: u64,
    /// Of which instruments; at most 1000.
    pub lost: Vec<Lost>,
}

/// The plugin.
pub struct VerifyTrades;

impl Plugin for VerifyTrades {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "verify-trades",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Checks that the trades in a cluster are whole and agree with their orders",
            redis_commands: &["ROLE", "SCAN", "GET", "HMGET", "XINFO|STREAM", "XRANGE"],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let source = Source::find(&input.cluster, input.master.as_deref(), host)?;
        let isins = source.instruments(&input.keys, input.instruments.as_deref(), None, host)?;
        let then = match &input.since {
            Some(since) => Some(fingerprint::find(since, &source, &input.fingerprint_key, host)?),
            None => None,
        };
        let lines = then.iter().flat_map(|it| &it.instruments);
        let before = lines.filter_map(|it| Some((it.isin().to_owned(), it.trades()?))).collect();
        let mut check = Check {
            input: &input,
            source: &source,
            isins: &isins,
            before,
            ids: Ids::default(),
            digests: Digests::default(),
            tally: Tally::default(),
            output: Output {
                verdict: String::new(),
                master: source.address.clone(),
                instruments: isins.len(),
                trades: 0,
                orders: 0,
                ids_left_out: 0,
                violations: Vec::new(),
                violation_count: 0,
                truncated: false,
                safe: 0,
                halted: 0,
                halt: Vec::new(),
                lost_trades: 0,
                lost: Vec::new(),
            },
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
    /// Trades that the fingerprint knows of; what is judged is taken out.
    before: BTreeMap<String, u64>,
    ids: Ids,
    digests: Digests,
    tally: Tally,
    output: Output,
    checked: usize,
}

impl Check<'_> {
    fn run<H: Host>(&mut self, host: &mut H) -> Result<(), Fault> {
        let mut pending: Vec<usize> = (0..self.isins.len()).collect();
        for _ in 0..ROUNDS_MAX {
            if pending.is_empty() {
                break;
            }
            pending = read_all(self, &pending, BATCH, host)?;
        }
        for index in pending {
            let isin = &self.isins[index];
            let key = Keys::fill(&self.input.keys.meta, isin);
            let why = "is traded too fast to be read at one sequence number";
            self.tally.push(Violation::new("sequence", isin, &key, why));
        }
        if self.input.instruments.is_none() {
            self.vanished();
        }
        self.same_ids(host)
    }

    /// Instruments of the fingerprint that are none any more.
    fn vanished(&mut self) {
        for (isin, trades) in std::mem::take(&mut self.before) {
            if trades == 0 || self.isins.binary_search(&isin).is_ok() {
                continue;
            }
            self.lose(&isin, trades);
            if !self.input.declared_loss {
                let key = Keys::fill(&self.input.keys.trades, &isin);
                let why = format!("{trades} trades that there were are missing");
                self.tally.push(Violation::new("loss", &isin, &key, why));
            }
        }
    }

    fn lose(&mut self, isin: &str, trades: u64) {
        self.output.lost_trades += trades;
        if self.output.lost.len() < INSTRUMENTS_MAX {
            self.output.lost.push(Lost { instrument: isin.to_owned(), trades });
        }
    }

    /// Reads the ids whose digests were there twice, and says which really are, of two
    /// instruments: within one they have been found already.
    fn same_ids<H: Host>(&mut self, host: &mut H) -> Result<(), Fault> {
        let digests = std::mem::take(&mut self.digests);
        self.output.ids_left_out = digests.left_out;
        let suspects = digests.twice();
        if suspects.is_empty() {
            return Ok(());
        }
        let mut owners: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        let fields = &self.input.fields;
        for (number, batch) in self.isins.chunks(BATCH.instruments).enumerate() {
            let keys = key_list(&self.input.keys.trades, batch);
            let streams = Streams::read(self.source, &keys, host)?;
            for (at, trades) in
                streams.trades(self.source, fields, &mut self.ids)?.into_iter().enumerate()
            {
                let index = number * BATCH.instruments + at;
                let own = trades.iter().flatten().filter_map(|it| Some((it, it.id?)));
                for (trade, id) in own.filter(|(_, id)| suspects.binary_search(&fnv(id)).is_ok()) {
                    let owner = *owners.entry(id.to_vec()).or_insert(index);
                    if owner != index {
                        let isin = &self.isins[index];
                        let why = format!(
                            "trade {} is {}, as one of {}",
                            trade.shown(),
                            baton_books::shown(Some(id)),
                            self.isins[owner]
                        );
                        let key = Keys::fill(&self.input.keys.trades, isin);
                        self.tally.push(Violation::new("trade-id", isin, &key, why));
                    }
                }
            }
        }
        Ok(())
    }

    fn close(mut self) -> Output {
        self.output.safe = self.isins.iter().filter(|it| !self.tally.is_halted(it)).count();
        let sum = self.tally.close();
        self.output.verdict = match (sum.violation_count, self.output.lost_trades) {
            (0, 0) => "pass".into(),
            (0, _) => "pass with declared loss".into(),
            _ => "fail".into(),
        };
        Output {
            truncated: sum.violation_count > sum.violations.len(),
            violations: sum.violations,
            violation_count: sum.violation_count,
            halted: sum.halted,
            halt: sum.halt,
            ..self.output
        }
    }
}

impl Still for Check<'_> {
    type Item = (Judged, Vec<u64>);

    fn weight(&self, _index: usize) -> usize {
        0
    }

    fn read<H: Host>(
        &mut self,
        batch: &[usize],
        host: &mut H,
    ) -> Result<Vec<Option<Self::Item>>, Fault> {
        let Input { keys, fields, declared_loss, .. } = self.input;
        let source = self.source;
        let isins: Vec<&str> = batch.iter().map(|it| self.isins[*it].as_str()).collect();
        let metas = key_list(&keys.meta, &isins);
        let stream_keys = key_list(&keys.trades, &isins);
        let command = Meta::command(fields);
        let before = source.each(&command, &metas, host)?;
        let infos = stream_infos(source, &stream_keys, host)?;
        let streams = Streams::read(source, &stream_keys, host)?;
        let trades = streams.trades(source, fields, &mut self.ids)?;
        let named: Vec<Vec<Id>> = trades
            .iter()
            .map(|trades| {
                let parties = trades.iter().flatten().flat_map(|it| [it.bid, it.ask]);
                let mut all: Vec<Id> = parties.flatten().collect();
                all.sort_unstable();
                all.dedup();
                all
            })
            .collect();
        let (template, mut order_keys, mut text) =
            (Template::of(&keys.order), KeyList::default(), Vec::new());
        for id in named.iter().flatten() {
            text.clear();
            self.ids.write(*id, &mut text);
            order_keys.push(|out| template.write(&text, out));
        }
        let orders = source.each(&Order::command(fields), &order_keys, host)?;
        let after = source.each(&command, &metas, host)?;
        let (mut before, mut after) = (before.cursor(), after.cursor());
        let mut replies = orders.cursor();
        let mut all = Vec::with_capacity(batch.len());
        let read = infos.iter().zip(named.into_iter().zip(trades));
        for (isin, (info, (named, trades))) in isins.iter().zip(read) {
            let meta = Meta::read(&mut before, source)?;
            let mut orders = Vec::with_capacity(named.len());
            for id in named {
                orders.push(Order::read(id, &mut replies, source)?);
            }
            if meta != Meta::read(&mut after, source)? {
                all.push(None);
                continue;
            }
            let digests = trades.iter().flatten().filter_map(|it| it.id).map(fnv).collect();
            let tape = Tape {
                isin,
                keys,
                fields,
                ids: &self.ids,
                meta,
                told: Told::of(info),
                trades,
                orders,
                before: self.before.get(*isin).copied(),
                declared_loss: *declared_loss,
            };
            all.push(Some((judge(&tape), digests)));
        }
        Ok(all)
    }

    fn done<H: Host>(&mut self, index: usize, (judged, digests): Self::Item, host: &mut H) {
        let isin = &self.isins[index];
        self.checked += 1;
        if self.checked.is_multiple_of(REPORT_EVERY) {
            let total = Some(self.isins.len() as u64);
            host.report(self.checked as u64, total, &format!("checked {isin}"));
        }
        self.output.trades += judged.trades;
        self.output.orders += judged.orders;
        if judged.lost > 0 {
            self.lose(isin, judged.lost);
        }
        self.digests.extend(&digests);
        self.tally.set(isin, judged.found);
    }
}

baton_plugin::export!(VerifyTrades);

#[cfg(test)]
mod tests;
