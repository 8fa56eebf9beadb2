//! Lost writes, counted by key.

use crate::{Evidence, LostKey, LostWrite, Output};
use baton_plugin::Table;
use baton_plugin::redis::{Streamed, Stretch};
use std::collections::BTreeMap;

/// Keys that are told apart: more do not fit beside each other.
const KEYS_MAX: usize = 50_000;

/// Keys, and writes, in the output: it goes into the journal.
const LISTED_BYTES_MAX: usize = 250_000;

/// Writes that are shown one by one.
const COMMANDS_MAX: usize = 100;

/// Rows of the table: a person reads it.
const ROWS_MAX: usize = 50;

/// What is known of one key.
struct Entry {
    writes: u64,
    last: String,
}

/// Writes, as they are read.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) writes: u64,
    write_bytes: u64,
    idle_bytes: u64,
    keys: BTreeMap<(Option<u32>, Vec<u8>), Entry>,
    commands: Vec<LostWrite>,
    unnamed: Vec<LostWrite>,
    /// Keys that found no room.
    untold: u64,
    /// Offset of the last byte of the node's history.
    pub(crate) end: i64,
    /// Where the reading was ended by a bound.
    pub(crate) stopped_at: Option<i64>,
}

impl Tally {
    pub(crate) fn take(&mut self, stretch: &Stretch) {
        self.end = stretch.end;
        self.idle_bytes += stretch.idle_bytes;
        for write in &stretch.writes {
            self.writes += 1;
            self.write_bytes += write.size;
            if self.commands.len() < COMMANDS_MAX {
                self.commands.push(shown(write));
            }
            if !write.whole && self.unnamed.len() < COMMANDS_MAX {
                self.unnamed.push(shown(write));
            }
            for key in write.keys.iter().flatten() {
                self.note(write, key);
            }
        }
    }

    fn note(&mut self, write: &Streamed, key: &[u8]) {
        let place = (write.database, key.to_vec());
        if self.keys.len() >= KEYS_MAX && !self.keys.contains_key(&place) {
            self.untold += 1;
            return;
        }
        let entry = self.keys.entry(place).or_insert(Entry { writes: 0, last: String::new() });
        entry.writes += 1;
        entry.last.clone_from(&write.text);
    }

    /// Nothing was read; `least` is the loss in bytes and whether that is exact.
    pub(crate) fn gone(self, least: Option<(i64, bool)>, why: &str) -> Output {
        let reason = format!(
            "{why}. What differs is in the comparison of `salvage`, which may lack keys and holds what was written since"
        );
        let output = self.output(least, None, reason);
        let declared = match least {
            Some((bytes, true)) => format!("{bytes} bytes; which writes is no longer known"),
            Some((bytes, false)) => {
                format!("at least {bytes} bytes; which writes is no longer known")
            }
            None => "how much is not known".into(),
        };
        Output { evidence: Evidence::Gone, declared, ..output }
    }

    /// What was read; `only` is the one database with keys, for writes of which the stream
    /// does not say where they went.
    pub(crate) fn output(
        mut self,
        lost: Option<(i64, bool)>,
        only: Option<u32>,
        reason: String,
    ) -> Output {
        for write in self.commands.iter_mut().chain(&mut self.unnamed) {
            write.database = write.database.or(only);
        }
        let mut merged: BTreeMap<(Option<u32>, Vec<u8>), Entry> = BTreeMap::new();
        for ((database, key), entry) in self.keys {
            // What came before the first SELECT stands first.
            let place = merged.entry((database.or(only), key));
            let known = place.or_insert(Entry { writes: 0, last: String::new() });
            known.writes += entry.writes;
            known.last = entry.last;
        }
        let keys_total = merged.len() as u64;
        let mut room = LISTED_BYTES_MAX;
        let listed = merged.into_iter().map_while(|((database, key), entry)| {
            let key = readable(&key);
            room = room.checked_sub(key.len() + entry.last.len() + 80)?;
            Some(LostKey { key, database, writes: entry.writes, last: entry.last })
        });
        let keys: Vec<LostKey> = listed.collect();
        let is_whole = self.stopped_at.is_none() && self.untold == 0;
        let evidence = if is_whole { Evidence::Complete } else { Evidence::Partial };
        let (lost_bytes, exact) = lost.map_or((None, false), |(bytes, exact)| (Some(bytes), exact));
        let more = if is_whole { "" } else { "at least " };
        let declared = match lost_bytes {
            Some(0) => "nothing".to_owned(),
            Some(bytes) if is_whole && self.writes == 0 => {
                format!("nothing: {bytes} bytes of heartbeats and messages")
            }
            _ => format!(
                "{} bytes, {more}{} of them writes: {more}{} to {more}{}",
                lost_bytes.unwrap_or(0),
                self.write_bytes,
                counted(self.writes, "write"),
                counted(keys_total, "key"),
            ),
        };
        let table = table(&keys, keys_total, &self.unnamed);
        Output {
            evidence,
            lost_bytes,
            exact,
            write_bytes: self.write_bytes,
            idle_bytes: self.idle_bytes,
            writes: self.writes,
            keys_total,
            keys,
            commands: self.commands,
            unnamed: self.unnamed,
            declared,
            reason,
            table,
        }
    }
}

fn shown(write: &Streamed) -> LostWrite {
    LostWrite {
        offset: write.offset,
        database: write.database,
        transaction: write.transaction,
        command: write.text.clone(),
    }
}

fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn readable(key: &[u8]) -> String {
    std::str::from_utf8(key).map_or_else(|_| key.escape_ascii().to_string(), str::to_owned)
}

fn table(keys: &[LostKey], keys_total: u64, unnamed: &[LostWrite]) -> Table {
    let mut table = Table::new(["Database", "Key", "Lost writes", "The last of them"]);
    let database = |it: Option<u32>| it.map_or_else(|| "?".into(), |it| it.to_string());
    for it in keys.iter().take(ROWS_MAX) {
        let row = [database(it.database), it.key.clone(), it.writes.to_string(), it.last.clone()];
        table.rows.push(row.into());
    }
    for it in unnamed.iter().take(ROWS_MAX) {
        let row = [database(it.database), "not told by it".into(), "1".into(), it.command.clone()];
        table.rows.push(row.into());
    }
    let left = keys_total.saturating_sub(keys.len().min(ROWS_MAX) as u64);
    if left > 0 {
        let more = counted(left, "more key");
        table.rows.push(vec![String::new(), more, String::new(), String::new()]);
    }
    table
}
