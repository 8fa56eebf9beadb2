//! Accounts, each as one HGETALL gave it: what holds within it, and which instruments it
//! says it has a position in.

use baton_books::source::KeyList;
use baton_books::{Decimal, Fields, Keys, Source, Template, Violation, shown};
use baton_plugin::redis::View;
use baton_plugin::{Fault, Host};
use std::collections::BTreeMap;

/// Accounts read at a time.
const BATCH: usize = 100;
/// Accounts times instruments: a bit each, 32 MiB of a guest's memory.
const BITS_MAX: usize = 32 * 1024 * 1024 * 8;
/// Positions in instruments that nobody knows which are looked at more closely.
const STRANGE_MAX: usize = 1000;

/// All accounts, by name.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    /// Each with its place; those that only trades name come last.
    pub(crate) places: BTreeMap<Vec<u8>, usize>,
    names: Vec<Vec<u8>>,
    /// Those that have a hash.
    pub(crate) listed: usize,
    /// Of each listed account and instrument, whether it has a position there.
    held: Vec<u64>,
    /// Positions in instruments that are none: instrument, account.
    pub(crate) strange: Vec<(String, String)>,
    /// Positions that are not zero.
    pub(crate) positions: usize,
}

/// What one account's hash says.
struct Hash<'a> {
    account: String,
    key: String,
    used: Option<&'a [u8]>,
    limit: Option<&'a [u8]>,
    /// The sum of all positions without their signs; none where one is no decimal, or it
    /// does not fit.
    sum: Option<Decimal>,
    violations: Vec<Violation>,
}

impl Accounts {
    /// Finds all accounts that have a hash.
    pub(crate) fn list<H: Host>(
        source: &Source,
        keys: &Keys,
        instruments: usize,
        host: &mut H,
    ) -> Result<Self, Fault> {
        let template = Template::of(&keys.risk);
        let mut all = Self::default();
        source.scan(&Keys::pattern(&keys.risk), host, |key| {
            if let Some(account) = template.value(key) {
                all.place(account);
            }
        })?;
        all.listed = all.names.len();
        let bits = all.listed.saturating_mul(instruments);
        if bits > BITS_MAX {
            let why = format!(
                "{} accounts and {instruments} instruments are too many at once: give `instruments`",
                all.listed
            );
            return Err(Fault::permanent("too-many-accounts", why));
        }
        all.held = vec![0; bits.div_ceil(64)];
        Ok(all)
    }

    /// The place of an account, a new one if it is new.
    pub(crate) fn place(&mut self, account: &[u8]) -> usize {
        if let Some(place) = self.places.get(account) {
            return *place;
        }
        let place = self.names.len();
        self.names.push(account.to_vec());
        self.places.insert(account.to_vec(), place);
        place
    }

    pub(crate) fn name(&self, place: usize) -> &[u8] {
        self.names.get(place).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn shown(&self, place: usize) -> String {
        String::from_utf8_lossy(self.name(place)).into_owned()
    }

    /// Accounts that only trades name.
    pub(crate) fn unlisted(&self) -> impl Iterator<Item = usize> {
        self.listed..self.names.len()
    }

    fn hold(&mut self, instrument: usize, account: usize) {
        let bit = instrument * self.listed + account;
        if let Some(word) = self.held.get_mut(bit / 64) {
            *word |= 1 << (bit % 64);
        }
    }

    /// Those that say they have a position in an instrument.
    pub(crate) fn holders(&self, instrument: usize) -> impl Iterator<Item = usize> {
        (0..self.listed).filter(move |account| {
            let bit = instrument * self.listed + account;
            self.held.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
        })
    }

    /// Keys of the hashes of these.
    pub(crate) fn keys(&self, keys: &Keys, of: impl Iterator<Item = usize>) -> KeyList {
        let template = Template::of(&keys.risk);
        let mut list = KeyList::default();
        for place in of {
            list.push(|out| template.write(self.name(place), out));
        }
        list
    }

    /// Reads each hash, judges it by itself, and notes what it has positions in.
    pub(crate) fn read<H: Host>(
        &mut self,
        source: &Source,
        keys: &Keys,
        fields: &Fields,
        isins: &[String],
        host: &mut H,
    ) -> Result<Vec<Violation>, Fault> {
        let mut violations = Vec::new();
        let places: Vec<usize> = (0..self.listed).collect();
        for batch in places.chunks(BATCH) {
            let answers =
                source.each(&["HGETALL"], &self.keys(keys, batch.iter().copied()), host)?;
            for (place, reply) in batch.iter().zip(answers.iter()) {
                let account = self.shown(*place);
                let key = Keys::fill(&keys.risk, &account);
                let mut hash = Hash {
                    account,
                    key,
                    used: None,
                    limit: None,
                    sum: Some(Decimal::ZERO),
                    violations: Vec::new(),
                };
                self.take(&mut hash, *place, reply, source, fields, isins)?;
                violations.append(&mut hash.violations);
            }
        }
        Ok(violations)
    }

    fn take<'a>(
        &mut self,
        hash: &mut Hash<'a>,
        place: usize,
        reply: View<'a>,
        source: &Source,
        names: &Fields,
        isins: &[String],
    ) -> Result<(), Fault> {
        let Some(mut all) = source.typed(reply, "HGETALL")? else {
            hash.add("schema", "is no hash");
            return Ok(());
        };
        let template = Template::of(&names.position);
        while let (Some(name), Some(value)) = (all.next(), all.next()) {
            let (Some(name), value) = (name.bytes(), value.bytes()) else { continue };
            let is = |it: &str| !it.is_empty() && name == it.as_bytes();
            if is(&names.used) {
                hash.used = value;
            } else if is(&names.limit) {
                hash.limit = value;
            } else if let Some(isin) = template.value(name) {
                let position = value.and_then(Decimal::parse);
                if position.is_none() {
                    let name = shown(Some(name));
                    hash.add("schema", format!("field {name} is {}, no decimal", shown(value)));
                }
                hash.sum = hash.sum.zip(position).and_then(|(sum, it)| sum.plus(it.abs()));
                if position == Some(Decimal::ZERO) {
                    continue;
                }
                self.positions += 1;
                match isins.binary_search_by(|it| it.as_bytes().cmp(isin)) {
                    Ok(index) => self.hold(index, place),
                    Err(_) if self.strange.len() < STRANGE_MAX => {
                        let isin = String::from_utf8_lossy(isin).into_owned();
                        self.strange.push((isin, hash.account.clone()));
                    }
                    Err(_) => {}
                }
            }
        }
        hash.limits(names);
        Ok(())
    }
}

impl Hash<'_> {
    fn add(&mut self, invariant: &str, message: impl Into<String>) {
        self.violations.push(Violation::new(invariant, "", &self.key, message));
    }

    fn decimal(&mut self, name: &str, text: Option<&[u8]>) -> Option<Decimal> {
        let value = text.and_then(Decimal::parse);
        if value.is_none() {
            self.add("schema", format!("{name} {} is no decimal", shown(text)));
        }
        value
    }

    /// What is used is the sum of the positions, and within the limit.
    fn limits(&mut self, names: &Fields) {
        let Some(sum) = self.sum else { return };
        if !names.used.is_empty()
            && let Some(used) = self.decimal(&names.used, self.used)
            && used != sum
        {
            self.add("used", format!("{} is {used}, its positions sum to {sum}", names.used));
        }
        if !names.limit.is_empty()
            && let Some(limit) = self.decimal(&names.limit, self.limit)
            && sum > limit
        {
            self.add("limit", format!("its positions sum to {sum}, its limit is {limit}"));
        }
    }
}
