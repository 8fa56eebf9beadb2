//! Streams of trades, read in bounded pieces.

use crate::source::{Answers, Cursor, KeyList};
use crate::{Fields, Ids, Source, Trade};
use baton_plugin::redis::Head;
use baton_plugin::{Fault, Host};

/// Entries of a stream in one go.
const ENTRIES_MAX: u32 = 1000;
const COUNT: &str = "1000";

/// Streams as they were read: what trades borrow from.
#[derive(Debug, Default)]
pub struct Streams {
    /// How many.
    count: usize,
    first: Answers,
    /// Further pieces of long streams, by the index of the stream.
    more: Vec<(usize, Answers)>,
}

impl Streams {
    /// Reads each stream to its end.
    ///
    /// # Errors
    /// The node does not answer, or not this.
    pub fn read<H: Host>(source: &Source, keys: &KeyList, host: &mut H) -> Result<Self, Fault> {
        let first = source.each(&["XRANGE", "-", "+", "COUNT", COUNT], keys, host)?;
        let mut full: Vec<(usize, Vec<u8>)> = Vec::new();
        let mut replies = first.cursor();
        for index in 0..keys.len() {
            full.extend(last_of_full(&mut replies, source)?.map(|last| (index, last)));
        }
        let mut more = Vec::new();
        for (index, last) in full {
            let mut last = Some(last);
            let mut key = KeyList::default();
            key.push(|out| out.extend_from_slice(keys.iter().nth(index).unwrap_or_default()));
            while let Some(after) = last {
                let start = format!("({}", String::from_utf8_lossy(&after));
                let piece = source.each(&["XRANGE", &start, "+", "COUNT", COUNT], &key, host)?;
                last = last_of_full(&mut piece.cursor(), source)?;
                more.push((index, piece));
            }
        }
        Ok(Self { count: keys.len(), first, more })
    }

    /// The trades of each stream, in order; none where its key holds another type. An
    /// entry that is none is left out.
    ///
    /// # Errors
    /// The node refused.
    pub fn trades<'a>(
        &'a self,
        source: &Source,
        names: &Fields,
        ids: &mut Ids,
    ) -> Result<Vec<Option<Vec<Trade<'a>>>>, Fault> {
        let mut all = Vec::with_capacity(self.count);
        let mut replies = self.first.cursor();
        for _ in 0..self.count {
            let Some(entries) = replies.open(source, "XRANGE")? else {
                all.push(None);
                continue;
            };
            let mut trades = Vec::with_capacity(usize::try_from(entries).unwrap_or(0).min(1000));
            trades.extend((0..entries).filter_map(|_| Trade::read(&mut replies, names, ids)));
            all.push(Some(trades));
        }
        for (index, piece) in &self.more {
            let Some(Some(trades)) = all.get_mut(*index) else { continue };
            let mut replies = piece.cursor();
            let entries = replies.open(source, "XRANGE")?.unwrap_or(0);
            trades.extend((0..entries).filter_map(|_| Trade::read(&mut replies, names, ids)));
        }
        Ok(all)
    }
}

/// The id of the last entry of the next piece, if that is full: there may be more.
fn last_of_full(replies: &mut Cursor<'_>, source: &Source) -> Result<Option<Vec<u8>>, Fault> {
    let entries = replies.open(source, "XRANGE")?.unwrap_or(0);
    if entries < ENTRIES_MAX {
        replies.pass(entries);
        return Ok(None);
    }
    replies.pass(entries - 1);
    let Some(Head::List(parts)) = replies.head() else { return Ok(None) };
    let last = replies.text().map(<[u8]>::to_vec);
    replies.pass(parts.saturating_sub(1));
    Ok(last)
}
