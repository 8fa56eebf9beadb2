//! `verify-orderbook`: checks every invariant of the order books in a cluster.
//!
//! Read-only, exact, and at work while a trader writes: an instrument is judged on
//! what was read at one sequence number ([`round`]), by pure rules ([`invariants`]).
//! Which orders there are is listed once ([`listing`]); against an earlier fingerprint
//! only what moved is judged ([`since`]). The layout and the rules are in the README.

pub mod invariants;
mod listing;
mod round;
mod since;

use baton_books::fingerprint::{self, Since, key_list};
use baton_books::source::KeyList;
use baton_books::still::read_all;
use baton_books::{Fields, Halt, INSTRUMENTS_MAX, Id, Keys, Source, Tally, Violation, number};
use baton_plugin::{About, Fault, Host, JsonSchema, Plugin};
use listing::{Listing, Place, Strays};
use round::{BATCH, Round};
use serde::{Deserialize, Serialize};
use since::Compared;
pub use since::{Change, Lost};

/// How often the orders are listed again for instruments that were traded since.
const ROUNDS_MAX: u32 = 10;

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
    /// An earlier fingerprint, or `redis` for the one that snapshot-orderbook has stored:
    /// only what moved since is judged in full. Absent or null: everything is.
    pub since: Option<Since>,
    /// Where the stored fingerprint is.
    #[serde(default = "fingerprint_key")]
    pub fingerprint_key: String,
    /// A loss was declared, as after a failover: events that the fingerprint has and the
    /// books have not are reported and are no violation.
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

/// The verdict.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `pass`, `pass with declared loss` or `fail`.
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
    /// All that does not hold.
    pub violation_count: usize,
    /// There are more violations than listed.
    pub truncated: bool,
    /// How many instruments are safe to trade.
    pub safe: usize,
    /// Their names, where they are at most 1000; else none.
    pub safe_instruments: Vec<String>,
    /// How many must not be traded.
    pub halted: usize,
    /// Which, each with its broken invariants; at most 1000.
    pub halt: Vec<Halt>,
    /// What became of them since the fingerprint that was given.
    pub since: Option<Change>,
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
            redis_commands: &[
                "ROLE",
                "SCAN",
                "EXISTS",
                "GET",
                "HGET",
                "HMGET",
                "ZCARD",
                "ZRANGE",
                "XINFO|STREAM",
                "XRANGE",
            ],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let source = Source::find(&input.cluster, input.master.as_deref(), host)?;
        let wanted = input.instruments.as_deref();
        let isins = source.instruments(&input.keys, wanted, input.pattern.as_deref(), host)?;
        let place = Place::new(&source, &input.keys, &input.fields, &isins);
        let compared = match &input.since {
            None => None,
            Some(since) => {
                let then = fingerprint::find(since, &source, &input.fingerprint_key, host)?;
                Some(since::compare(&place, &then, input.declared_loss, host)?)
            }
        };
        let mut check = Check { place, tally: Tally::default(), counts: Counts::new(isins.len()) };
        match &compared {
            None => check.run((0..isins.len()).collect(), input.instruments.is_none(), host)?,
            Some(it) if it.full.is_empty() => {}
            Some(it) => check.run(it.full.clone(), input.instruments.is_none(), host)?,
        }
        Ok(check.close(compared))
    }
}

/// What was counted of each instrument, so that one that is judged again counts once.
pub(crate) struct Counts(Vec<[u32; 3]>);

impl Counts {
    fn new(instruments: usize) -> Self {
        Self(vec![[0; 3]; instruments])
    }

    pub(crate) fn set(&mut self, index: usize, counts: [usize; 3]) {
        self.0[index] = counts.map(|it| u32::try_from(it).unwrap_or(u32::MAX));
    }

    fn sum(&self, which: usize) -> usize {
        self.0.iter().map(|it| it[which] as usize).sum()
    }
}

struct Check<'a> {
    place: Place<'a>,
    tally: Tally,
    counts: Counts,
}

impl Check<'_> {
    /// Judges `pending`; with a fresh list of orders those whose list was outrun by the
    /// trader, until the last round.
    fn run<H: Host>(
        &mut self,
        mut pending: Vec<usize>,
        is_all: bool,
        host: &mut H,
    ) -> Result<(), Fault> {
        let isins = self.place.isins;
        // Numbers first, then the list: every order placed up to these is in it.
        let mut scanned = vec![0; isins.len()];
        self.number(&pending, &mut scanned, host)?;
        let mut listing = Listing::first(&self.place, host)?;
        for round in 1..=ROUNDS_MAX {
            let is_last = round == ROUNDS_MAX;
            let mut one = Round {
                place: &self.place,
                listing: &mut listing,
                scanned: &scanned,
                is_last,
                tally: &mut self.tally,
                counts: &mut self.counts,
                checked: isins.len() - pending.len(),
                again: Vec::new(),
            };
            let never = read_all(&mut one, &pending, BATCH, host)?;
            pending = one.again;
            if is_last {
                for index in never {
                    self.too_fast(&isins[index]);
                }
                break;
            }
            pending.extend(never);
            pending.sort_unstable();
            pending.dedup();
            if pending.is_empty() {
                break;
            }
            self.number(&pending, &mut scanned, host)?;
            listing.again(&self.place, host)?;
        }
        if is_all {
            self.strays(&listing, host)?;
        }
        Ok(())
    }

    fn too_fast(&mut self, isin: &str) {
        let key = Keys::fill(&self.place.keys.meta, isin);
        let why = "is traded too fast to be read at one sequence number";
        self.tally.push(Violation::new("sequence", isin, &key, why));
    }

    /// Notes the number of the last event of each of these instruments; 0 without one.
    fn number<H: Host>(
        &self,
        of: &[usize],
        scanned: &mut [u64],
        host: &mut H,
    ) -> Result<(), Fault> {
        let isins: Vec<&str> = of.iter().map(|it| self.place.isins[*it].as_str()).collect();
        for (index, seq) in of.iter().zip(self.seqs(&isins, host)?) {
            scanned[*index] = seq.unwrap_or(0);
        }
        Ok(())
    }

    fn seqs<H: Host>(&self, isins: &[&str], host: &mut H) -> Result<Vec<Option<u64>>, Fault> {
        let keys = key_list(&self.place.keys.meta, isins);
        let source = self.place.source;
        let answers = source.each(&["HMGET", &self.place.fields.seq], &keys, host)?;
        let seq = |reply| -> Result<Option<u64>, Fault> {
            let field = source.typed(reply, "HMGET")?.and_then(|mut it| it.next());
            Ok(field.and_then(|it| number(it.bytes())))
        };
        answers.iter().map(seq).collect()
    }

    /// Orders of instruments that have no book. An instrument may have been opened since
    /// the instruments were listed: only one that still has no meta hash counts.
    fn strays<H: Host>(&mut self, listing: &Listing, host: &mut H) -> Result<(), Fault> {
        let names: Vec<&str> = listing.strangers.keys().map(String::as_str).collect();
        let seqs = self.seqs(&names, host)?;
        for ((isin, strays), _) in listing
            .strangers
            .iter()
            .zip(seqs)
            .filter(|((isin, _), seq)| seq.is_none() && !isin.is_empty())
        {
            self.tell(listing, isin, strays, &format!("is of {isin}, which has no meta hash"));
        }
        if let Some(nameless) = listing.strangers.get("") {
            let still = self.existing(listing, nameless, host)?;
            self.tell(listing, "", &still, "has no instrument");
        }
        self.tell(listing, "", &listing.no_hashes, "is no hash");
        if listing.strays_untold > 0 {
            let why = format!("{} more orders have no instrument", listing.strays_untold);
            let key = Keys::pattern(&self.place.keys.order);
            self.tally.push(Violation::new("order-member", "", &key, why));
        }
        Ok(())
    }

    fn tell(&mut self, listing: &Listing, isin: &str, strays: &Strays, why: &str) {
        let invariant = if why == "is no hash" { "schema" } else { "order-member" };
        for id in &strays.ids {
            let key = Keys::fill(&self.place.keys.order, &listing.ids.shown(*id));
            self.tally.push(Violation::new(invariant, isin, &key, why));
        }
        for _ in strays.ids.len()..strays.count {
            let key = Keys::pattern(&self.place.keys.order);
            self.tally.push(Violation::new(invariant, isin, &key, why));
        }
    }

    /// Those that are still there: an order may be removed while orders are listed.
    fn existing<H: Host>(
        &self,
        listing: &Listing,
        strays: &Strays,
        host: &mut H,
    ) -> Result<Strays, Fault> {
        let mut keys = KeyList::default();
        for id in &strays.ids {
            let key = Keys::fill(&self.place.keys.order, &listing.ids.shown(*id));
            keys.push(|out| out.extend_from_slice(key.as_bytes()));
        }
        let answers = self.place.source.each(&["EXISTS"], &keys, host)?;
        let mut ids: Vec<Id> = Vec::new();
        for (id, reply) in strays.ids.iter().zip(answers.iter()) {
            if self.place.source.int(reply, "EXISTS")? > 0 {
                ids.push(*id);
            }
        }
        let gone = strays.ids.len() - ids.len();
        Ok(Strays { count: strays.count - gone, ids })
    }

    fn close(mut self, compared: Option<Compared>) -> Output {
        let since = compared.map(|it| {
            it.violations.into_iter().for_each(|violation| self.tally.push(violation));
            it.change
        });
        let isins = self.place.isins;
        let is_safe = |isin: &&String| !self.tally.is_halted(isin);
        let safe = isins.iter().filter(is_safe).count();
        let named = if safe <= INSTRUMENTS_MAX {
            isins.iter().filter(is_safe).cloned().collect()
        } else {
            Vec::new()
        };
        let sum = self.tally.close();
        let lost = since.as_ref().is_some_and(|it| it.fallen > 0);
        let verdict = match (sum.violation_count, lost) {
            (0, false) => "pass",
            (0, true) => "pass with declared loss",
            _ => "fail",
        };
        Output {
            verdict: verdict.into(),
            master: self.place.source.address.clone(),
            instruments: isins.len(),
            orders: self.counts.sum(0),
            levels: self.counts.sum(1),
            trades: self.counts.sum(2),
            truncated: sum.violation_count > sum.violations.len(),
            violations: sum.violations,
            violation_count: sum.violation_count,
            safe,
            safe_instruments: named,
            halted: sum.halted,
            halt: sum.halt,
            since,
        }
    }
}

baton_plugin::export!(VerifyOrderbook);

#[cfg(test)]
mod tests;
