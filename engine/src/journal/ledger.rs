//! What batches mean to a store, and what a store's contents mean: the same for every
//! store.

use std::collections::BTreeMap;

use baton_core::id::{Digest, RunId};
use baton_core::run::event::Event;

use super::envelope::{self, Place};
use super::{AppendError, Batch, Closed, Entry, History, RECORD_BYTES_MAX, Short, Unreadable};
use super::{keys, record};

/// A key with its value.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// A key to set, or (without a value) to remove.
pub(super) type Change = (Vec<u8>, Option<Vec<u8>>);

/// Why the store could not do it: a sentence.
pub(super) type Trouble = String;

/// What a store must be able to do.
pub(super) trait Shelf: Send + Sync {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Trouble>;
    /// All pairs whose key begins so, in order.
    fn forward(&self, prefix: &[u8]) -> Result<Vec<Pair>, Trouble>;
    /// Pairs whose key begins so and comes after `after` (from the first if that is
    /// empty), in order, at most `limit`.
    fn after(&self, prefix: &[u8], after: &[u8], limit: usize) -> Result<Vec<Pair>, Trouble>;
    /// Pairs from the last below `below` down to `prefix`, at most `limit`.
    fn backward(&self, prefix: &[u8], below: &[u8], limit: usize) -> Result<Vec<Pair>, Trouble>;
    /// Keeps bytes by digest, durably.
    fn keep(&self, digest: Digest, bytes: &[u8]) -> Result<(), Trouble>;
    /// Bytes kept by digest, checked.
    fn kept(&self, digest: Digest) -> Result<Option<Vec<u8>>, Trouble>;
    /// Records above this many bytes are kept by digest.
    fn inline_bytes_max(&self) -> usize;
}

/// Where a run's records end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// The number of the next record.
    Next(u64),
    Closed,
}

/// Turns batches into changes, and refuses what does not follow.
#[derive(Debug, Default)]
pub(super) struct Scribe {
    /// Runs that it has met: as they will be when all that is staged has been applied.
    heads: BTreeMap<RunId, Head>,
}

impl Scribe {
    /// The changes of a batch. On an error it is as if the batch had never been.
    pub(super) fn stage<S: Shelf>(
        &mut self,
        store: &S,
        batch: &Batch,
    ) -> Result<Vec<Change>, AppendError> {
        let mut before = Vec::new();
        let mut changes = Vec::new();
        for entry in &batch.entries {
            before.push((entry.run.clone(), self.heads.get(&entry.run).copied()));
            if let Err(error) = self.stage_entry(store, entry, &mut changes) {
                self.put_back(before);
                return Err(error);
            }
        }
        Ok(changes)
    }

    /// Nothing of what was staged has been applied: heads are looked up again.
    pub(super) fn forget(&mut self) {
        self.heads.clear();
    }

    /// Everything staged has been applied.
    pub(super) fn applied(&mut self) {
        self.heads.retain(|_, head| *head != Head::Closed);
    }

    fn put_back(&mut self, before: Vec<(RunId, Option<Head>)>) {
        for (run, head) in before.into_iter().rev() {
            match head {
                Some(head) => self.heads.insert(run, head),
                None => self.heads.remove(&run),
            };
        }
    }

    fn stage_entry<S: Shelf>(
        &mut self,
        store: &S,
        entry: &Entry,
        changes: &mut Vec<Change>,
    ) -> Result<(), AppendError> {
        let head = match self.heads.get(&entry.run) {
            Some(head) => *head,
            None => stored_head(store, &entry.run).map_err(|why| unread(&why))?,
        };
        check(entry, head).map_err(|why| refused(entry, why))?;
        write(store, entry, changes)?;
        let next = if entry.closed.is_some() { Head::Closed } else { Head::Next(entry.seq + 1) };
        self.heads.insert(entry.run.clone(), next);
        Ok(())
    }
}

/// The next batch may find the store mended.
fn unread(why: &Trouble) -> AppendError {
    AppendError::Unwritten(format!("the store: {why}"))
}

fn refused(entry: &Entry, why: String) -> AppendError {
    AppendError::Refused { run: entry.run.clone(), seq: entry.seq, why }
}

fn stored_head<S: Shelf>(shelf: &S, run: &RunId) -> Result<Head, Trouble> {
    if shelf.get(&keys::closed_at(run))?.is_some() {
        return Ok(Head::Closed);
    }
    let records = keys::records(run);
    let last = shelf.backward(&records, &keys::part(run, u64::MAX, u16::MAX), 1)?;
    let seq = last.first().and_then(|(key, _)| keys::seq(&records, key));
    Ok(Head::Next(seq.map_or(0, |seq| seq + 1)))
}

fn check(entry: &Entry, head: Head) -> Result<(), String> {
    match head {
        Head::Closed => return Err("the run is closed".to_owned()),
        Head::Next(next) if next != entry.seq => {
            return Err(format!("it does not follow: the next is {next}"));
        }
        Head::Next(_) => {}
    }
    match (&entry.event, entry.seq) {
        (Event::Begun { begun, .. }, 0) if begun.id == entry.run => {}
        (Event::Begun { .. }, 0) => return Err("it begins another run".to_owned()),
        (Event::Begun { .. }, _) => return Err("the run has begun already".to_owned()),
        (_, 0) => return Err("a run begins with `Begun`".to_owned()),
        _ => {}
    }
    match (&entry.event, &entry.closed) {
        (Event::Closed { .. }, Some(closed)) if closed.run == entry.run => Ok(()),
        (Event::Closed { .. }, _) => Err("`Closed` goes with the run's summary".to_owned()),
        (_, Some(_)) => Err("a summary goes with `Closed`".to_owned()),
        (_, None) => Ok(()),
    }
}

fn write<S: Shelf>(shelf: &S, entry: &Entry, changes: &mut Vec<Change>) -> Result<(), AppendError> {
    let Entry { run, seq, event, closed } = entry;
    let body = record::encode(event).map_err(|why| refused(entry, why))?;
    if body.len() > RECORD_BYTES_MAX {
        let why = format!("it has {} bytes, at most {RECORD_BYTES_MAX} are kept", body.len());
        return Err(refused(entry, why));
    }
    let label = record_label(run, *seq);
    let sealed = if body.len() > shelf.inline_bytes_max() {
        let digest = Digest::of(&body);
        shelf.keep(digest, &body).map_err(AppendError::Unwritten)?;
        envelope::seal(&label, Place::Blob, &digest.0)
    } else {
        envelope::seal(&label, Place::Inline, &body)
    };
    for (part, bytes) in (0..).zip(sealed.chunks(keys::PART_BYTES_MAX)) {
        changes.push((keys::part(run, *seq, part), Some(bytes.to_vec())));
    }
    if let Event::Begun { at, .. } = event {
        changes.push((keys::open(run), Some(at.to_be_bytes().to_vec())));
    }
    if let Some(closed) = closed {
        let short = record::encode_closed(closed);
        let sealed = envelope::seal(&summary_label(run), Place::Inline, &short);
        let at = closed.closed_at;
        changes.push((keys::open(run), None));
        changes.push((keys::closed(at, run), Some(sealed)));
        changes.push((keys::closed_at(run), Some(at.to_be_bytes().to_vec())));
    }
    Ok(())
}

/// The open runs and when they began, in that order.
pub(super) fn open_index<S: Shelf>(shelf: &S) -> Result<Vec<(u64, RunId)>, Trouble> {
    let pairs = shelf.forward(&[keys::OPEN])?;
    let known = pairs
        .iter()
        .filter_map(|(key, at)| Some((keys::number(at).unwrap_or(0), keys::open_run(key)?)));
    let mut open: Vec<_> = known.collect();
    open.sort();
    Ok(open)
}

/// See [`super::Journal::open_runs`].
pub(super) fn open_runs<S: Shelf>(shelf: &S) -> Result<Vec<(RunId, History)>, Trouble> {
    let open = open_index(shelf)?.into_iter().map(|(_, run)| {
        let history = history(shelf, &run);
        (run, history)
    });
    Ok(open.collect())
}

/// See [`super::Journal::closed_runs`].
pub(super) fn closed_runs<S: Shelf>(
    shelf: &S,
    before: Option<&RunId>,
    limit: usize,
) -> Result<Vec<Short>, Trouble> {
    let mut below = vec![keys::CLOSED + 1];
    if let Some(run) = before
        && let Some(at) = shelf.get(&keys::closed_at(run))?
    {
        let at = keys::number(&at).ok_or_else(|| format!("when run {run} closed is damaged"))?;
        below = keys::closed(at, run);
    }
    let pairs = shelf.backward(&[keys::CLOSED], &below, limit)?;
    Ok(pairs
        .into_iter()
        .filter_map(|(key, value)| {
            let run = keys::closed_run(&key)?;
            Some(summary(&run, &value).map_err(|why| (run, why)))
        })
        .collect())
}

/// See [`super::Journal::events`].
pub(super) fn events<S: Shelf>(shelf: &S, run: &RunId) -> Result<Option<History>, Trouble> {
    let closed = shelf.get(&keys::closed_at(run))?.is_some();
    if !closed && shelf.get(&keys::open(run))?.is_none() {
        let without_place = !shelf.after(&keys::records(run), &[], 1)?.is_empty();
        let why =
            || format!("the store has records of run {run}, but not that it is open or closed");
        return Ok(without_place.then(|| Err(Unreadable::in_store(why()))));
    }
    let history = history(shelf, run);
    Ok(Some(history.and_then(|events| match events.last() {
        Some(Event::Closed { .. }) => Ok(events),
        _ if closed => Err(missing(run, events.len() as u64)),
        _ => Ok(events),
    })))
}

pub(super) fn summary(run: &RunId, value: &[u8]) -> Result<Closed, Unreadable> {
    let label = summary_label(run);
    let (_, body) = envelope::unseal(&label, value)?;
    record::decode_closed(body).map_err(|what| envelope::newer(&label, &what))
}

fn history<S: Shelf>(shelf: &S, run: &RunId) -> History {
    let unread =
        |trouble| Unreadable::new(format!("the records of run {run} cannot be read: {trouble}"));
    if let Some(why) = shelf.get(&keys::doubt(run)).map_err(unread)? {
        return Err(Unreadable::new(String::from_utf8_lossy(&why).into_owned()));
    }
    let prefix = keys::records(run);
    let pairs = shelf.forward(&prefix).map_err(unread)?;
    let mut sealed: Vec<Vec<u8>> = Vec::new();
    for (key, part) in pairs {
        let next = sealed.len() as u64;
        match (keys::seq(&prefix, &key), sealed.last_mut()) {
            (Some(seq), Some(last)) if seq + 1 == next => last.extend(part),
            (Some(seq), _) if seq == next => sealed.push(part),
            _ => return Err(missing(run, next)),
        }
    }
    if sealed.is_empty() {
        return Err(missing(run, 0));
    }
    (0..).zip(&sealed).map(|(seq, sealed)| event(shelf, run, seq, sealed)).collect()
}

/// How a run began; none if its first record cannot be read.
pub(super) fn beginning<S: Shelf>(shelf: &S, run: &RunId) -> Result<Option<Event>, Trouble> {
    let parts = shelf.forward(&keys::record(run, 0))?;
    let sealed: Vec<u8> = parts.into_iter().flat_map(|(_, part)| part).collect();
    Ok(event(shelf, run, 0, &sealed).ok())
}

fn event<S: Shelf>(shelf: &S, run: &RunId, seq: u64, sealed: &[u8]) -> Result<Event, Unreadable> {
    let label = record_label(run, seq);
    let (place, body) = envelope::unseal(&label, sealed)?;
    let body = match place {
        Place::Inline => body.to_vec(),
        Place::Blob => fetch(shelf, &label, body)?,
    };
    record::decode(&body).map_err(|what| envelope::newer(&label, &what))
}

fn fetch<S: Shelf>(shelf: &S, label: &str, digest: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let lost = |how: String| Unreadable::new(format!("{label} is damaged: {how}"));
    let digest = Digest(digest.try_into().map_err(|_| lost("its digest is cut short".to_owned()))?);
    let found = shelf.kept(digest).map_err(&lost)?;
    found.ok_or_else(|| lost(format!("its content {digest} is missing")))
}

fn missing(run: &RunId, seq: u64) -> Unreadable {
    Unreadable::in_store(format!("record {seq} of run {run} is missing"))
}

fn record_label(run: &RunId, seq: u64) -> String {
    format!("record {seq} of run {run}")
}

fn summary_label(run: &RunId) -> String {
    format!("the summary of run {run}")
}
