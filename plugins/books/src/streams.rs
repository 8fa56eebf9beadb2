//! Streams of trades, read in bounded pieces.

use crate::source::{Answers, KeyList};
use crate::{Fields, Ids, Source, Trade};
use baton_plugin::redis::View;
use baton_plugin::{Fault, Host};

/// Entries of a stream in one go.
const ENTRIES_MAX: usize = 1000;
const COUNT: &str = "1000";

/// Streams as they were read: what trades borrow from.
#[derive(Debug, Default)]
pub struct Streams {
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
        for (index, reply) in first.iter().enumerate() {
            full.extend(last_of_full(source, reply)?.map(|last| (index, last)));
        }
        let mut more = Vec::new();
        for (index, last) in full {
            let mut last = Some(last);
            let mut key = KeyList::default();
            key.push(|out| out.extend_from_slice(keys.iter().nth(index).unwrap_or_default()));
            while let Some(after) = last {
                let start = format!("({}", String::from_utf8_lossy(&after));
                let piece = source.each(&["XRANGE", &start, "+", "COUNT", COUNT], &key, host)?;
                last = match piece.iter().next() {
                    Some(reply) => last_of_full(source, reply)?,
                    None => None,
                };
                more.push((index, piece));
            }
        }
        Ok(Self { first, more })
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
        let mut all = Vec::new();
        for reply in self.first.iter() {
            let entries = source.typed(reply, "XRANGE")?;
            all.push(entries.map(|it| {
                it.filter_map(|entry| Trade::read(entry, names, ids)).collect::<Vec<_>>()
            }));
        }
        for (index, piece) in &self.more {
            let Some(Some(trades)) = all.get_mut(*index) else { continue };
            for reply in piece.iter() {
                let entries = source.list(reply, "XRANGE")?;
                trades.extend(entries.filter_map(|entry| Trade::read(entry, names, ids)));
            }
        }
        Ok(all)
    }
}

/// The id of the last entry of a piece that is full: there may be more.
fn last_of_full(source: &Source, reply: View<'_>) -> Result<Option<Vec<u8>>, Fault> {
    let Some(entries) = source.typed(reply, "XRANGE")? else { return Ok(None) };
    let (mut count, mut last) = (0, None);
    for entry in entries {
        count += 1;
        last = Some(entry);
    }
    let id = last.filter(|_| count >= ENTRIES_MAX).and_then(|it| it.items().next());
    Ok(id.and_then(View::bytes).map(<[u8]>::to_vec))
}
