//! Reads books through the host: pipelined, in bounded pieces.

use crate::book::{Instrument, Member, Meta, Order, Trade};
use crate::layout::{Fields, Keys};
use baton_plugin::redis::{Command, Request, Value};
use baton_plugin::{Fault, Host};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Longest wait for one pipeline, ms.
const TIMEOUT_MS: u32 = 5000;

/// Commands in one pipeline.
const PIPELINE_MAX: usize = 500;

/// What SCAN is asked to look at in one go.
const SCAN_COUNT: &str = "1000";

/// Entries of a stream in one go.
const ENTRIES_MAX: usize = 1000;

/// How often an instrument is read again because it was traded meanwhile.
const READS_MAX: u32 = 50;

/// Where to read.
pub(crate) struct Reader<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) address: &'a str,
    pub(crate) keys: &'a Keys,
    pub(crate) fields: &'a Fields,
}

impl Reader<'_> {
    fn ask<H: Host>(&self, commands: &[Command], host: &mut H) -> Result<Vec<Value>, Fault> {
        let what = format!("cannot read {}", self.address);
        let mut all = Vec::with_capacity(commands.len());
        for piece in commands.chunks(PIPELINE_MAX) {
            let request = Request::new(self.address, piece.to_vec());
            let replies = host
                .call(self.cluster, &[request], TIMEOUT_MS)
                .map_err(|error| Fault::from_redis(&what, &error))?
                .pop()
                .ok_or_else(|| Fault::retryable("internal", format!("{what}: no result")))?
                .map_err(|error| Fault::from_redis(&what, &error))?;
            for (command, reply) in piece.iter().zip(replies) {
                if let Some(error) = reply.error() {
                    return Err(refused(self.address, command, error));
                }
                all.push(reply);
            }
        }
        Ok(all)
    }

    /// All that SCAN finds of a pattern; each once.
    pub(crate) fn scan<H: Host>(
        &self,
        pattern: &str,
        host: &mut H,
    ) -> Result<BTreeSet<String>, Fault> {
        let mut cursor = "0".to_owned();
        let mut found = BTreeSet::new();
        loop {
            let command = Command::of(["SCAN", &cursor, "MATCH", pattern, "COUNT", SCAN_COUNT]);
            let reply = self.ask(&[command], host)?.pop().unwrap_or(Value::Null);
            let [next, keys] = reply.items() else {
                return Err(Fault::permanent("protocol", "SCAN gave no cursor and keys"));
            };
            found.extend(keys.items().iter().filter_map(text));
            cursor = text(next).unwrap_or_else(|| "0".into());
            if cursor == "0" {
                return Ok(found);
            }
        }
    }

    /// The number of the last event of each instrument; none without a meta hash.
    pub(crate) fn sequences<H: Host>(
        &self,
        isins: &[String],
        host: &mut H,
    ) -> Result<Vec<Option<u64>>, Fault> {
        let commands = isins.iter().map(|isin| {
            Command::of(["HGET", &Keys::fill(&self.keys.meta, isin), &self.fields.seq])
        });
        let replies = self.ask(&commands.collect::<Vec<_>>(), host)?;
        Ok(replies.iter().map(|it| crate::invariants::number(text(it).as_deref())).collect())
    }

    /// Ids of all orders, by instrument.
    pub(crate) fn orders_by_isin<H: Host>(
        &self,
        host: &mut H,
    ) -> Result<BTreeMap<String, BTreeSet<String>>, Fault> {
        let keys = self.scan(&Keys::pattern(&self.keys.order), host)?;
        let ids: Vec<&str> =
            keys.iter().filter_map(|key| Keys::value(&self.keys.order, key)).collect();
        let commands = ids
            .iter()
            .map(|id| Command::of(["HGET", &Keys::fill(&self.keys.order, id), &self.fields.isin]));
        let replies = self.ask(&commands.collect::<Vec<_>>(), host)?;
        let mut grouped: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (id, isin) in ids.into_iter().zip(&replies) {
            // An order without an instrument belongs to the instrument without a name.
            grouped.entry(text(isin).unwrap_or_default()).or_default().insert(id.to_owned());
        }
        Ok(grouped)
    }

    /// One instrument at one sequence number: read again as long as it moves. None
    /// where it never stood still.
    pub(crate) fn instrument<H: Host>(
        &self,
        isin: &str,
        listed: &BTreeSet<String>,
        host: &mut H,
    ) -> Result<Option<Instrument>, Fault> {
        for _ in 0..READS_MAX {
            let mut it = self.book(isin, host)?;
            it.trades = self.trades(&it.trades_key, host)?;
            let named = it.bids.iter().chain(&it.asks).map(|it| it.id.clone());
            let traded = it.trades.iter().flat_map(|it| it.bid.iter().chain(&it.ask)).cloned();
            let ids: BTreeSet<String> = listed.iter().cloned().chain(named).chain(traded).collect();
            it.orders = self.orders(&ids, host)?;
            let after = self.meta(&it.meta_key, host)?;
            if after == it.meta {
                return Ok(Some(it));
            }
        }
        Ok(None)
    }

    fn book<H: Host>(&self, isin: &str, host: &mut H) -> Result<Instrument, Fault> {
        let key = |template: &str| Keys::fill(template, isin);
        let mut it = Instrument {
            isin: isin.into(),
            meta_key: key(&self.keys.meta),
            bids_key: key(&self.keys.bids),
            asks_key: key(&self.keys.asks),
            trades_key: key(&self.keys.trades),
            ..Instrument::default()
        };
        it.meta = self.meta(&it.meta_key, host)?;
        let range = |key: &str| Command::of(["ZRANGE", key, "0", "-1", "WITHSCORES"]);
        let replies = self.ask(&[range(&it.bids_key), range(&it.asks_key)], host)?;
        it.bids = replies.first().map(members).unwrap_or_default();
        it.asks = replies.get(1).map(members).unwrap_or_default();
        Ok(it)
    }

    fn meta<H: Host>(&self, key: &str, host: &mut H) -> Result<Meta, Fault> {
        let names = self.fields;
        let wanted =
            [&names.seq, &names.bid_qty, &names.ask_qty, &names.checksum, &names.seq_floor];
        let words = ["HMGET", key].into_iter().chain(wanted.into_iter().map(String::as_str));
        let reply = self.ask(&[Command::of(words)], host)?.pop().unwrap_or(Value::Null);
        let field = |index: usize| reply.items().get(index).and_then(text);
        Ok(Meta {
            seq: field(0),
            bid_qty: field(1),
            ask_qty: field(2),
            checksum: field(3),
            seq_floor: field(4),
        })
    }

    fn orders<H: Host>(&self, ids: &BTreeSet<String>, host: &mut H) -> Result<Vec<Order>, Fault> {
        let names = self.fields;
        let wanted = [
            &names.isin,
            &names.side,
            &names.price,
            &names.qty,
            &names.remaining,
            &names.status,
            &names.seq,
            &names.cancel_seq,
        ];
        let commands = ids.iter().map(|id| {
            let key = Keys::fill(&self.keys.order, id);
            let words = ["HMGET".to_owned(), key];
            Command::of(words.into_iter().chain(wanted.into_iter().cloned()))
        });
        let replies = self.ask(&commands.collect::<Vec<_>>(), host)?;
        let order = |(id, reply): (&String, &Value)| {
            let field = |index: usize| reply.items().get(index).and_then(text);
            Order {
                id: id.clone(),
                key: Keys::fill(&self.keys.order, id),
                isin: field(0),
                side: field(1),
                price: field(2),
                qty: field(3),
                remaining: field(4),
                status: field(5),
                seq: field(6),
                cancel_seq: field(7),
            }
        };
        Ok(ids.iter().zip(&replies).map(order).collect())
    }

    fn trades<H: Host>(&self, key: &str, host: &mut H) -> Result<Vec<Trade>, Fault> {
        let mut all: Vec<Trade> = Vec::new();
        let count = ENTRIES_MAX.to_string();
        loop {
            let start = all.last().map_or_else(|| "-".to_owned(), |it| format!("({}", it.entry));
            let command = Command::of(["XRANGE", key, &start, "+", "COUNT", &count]);
            let reply = self.ask(&[command], host)?.pop().unwrap_or(Value::Null);
            let entries = reply.items();
            all.extend(entries.iter().filter_map(|entry| self.trade(entry)));
            if entries.len() < ENTRIES_MAX {
                return Ok(all);
            }
        }
    }

    fn trade(&self, entry: &Value) -> Option<Trade> {
        let [id, fields] = entry.items() else { return None };
        let names = self.fields;
        Some(Trade {
            entry: text(id)?,
            bid: fields.field_text(&names.bid),
            ask: fields.field_text(&names.ask),
            price: fields.field_text(&names.price),
            qty: fields.field_text(&names.qty),
            seq: fields.field_text(&names.seq),
        })
    }
}

fn refused(address: &str, command: &Command, error: &str) -> Fault {
    let words = command.texts();
    let shown = words.get(..2).map_or_else(|| words.join(" "), |it| it.join(" "));
    let why = format!("{address} refused {shown}: {error}");
    // LOADING, BUSY and their like pass; WRONGTYPE and NOPERM stay.
    let lasting = ["WRONGTYPE", "NOPERM", "NOAUTH", "ERR"].iter().any(|it| error.starts_with(it));
    if lasting { Fault::permanent("refused", why) } else { Fault::retryable("refused", why) }
}

fn text(value: &Value) -> Option<String> {
    value.text().map(Cow::into_owned)
}

/// RESP3 sends pairs, RESP2 one flat list.
fn members(value: &Value) -> Vec<Member> {
    let items = value.items();
    let member = |id: &Value, score: &Value| Some(Member { id: text(id)?, score: score.double()? });
    if items.first().is_some_and(|it| matches!(it, Value::List(_))) {
        let pairs = items.iter().map(Value::items);
        pairs.filter_map(|it| member(it.first()?, it.get(1)?)).collect()
    } else {
        items.chunks_exact(2).filter_map(|it| member(&it[0], &it[1])).collect()
    }
}
