//! The books against what they were: an earlier fingerprint.

use baton_books::fingerprint::{Line, take};
use baton_books::{Fingerprint, INSTRUMENTS_MAX, Keys, Violation};
use baton_plugin::{Fault, Host, JsonSchema};
use serde::Serialize;
use std::collections::BTreeMap;

use crate::listing::Place;

/// An instrument that has fewer events than it had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Lost {
    /// Which.
    pub instrument: String,
    /// Events that are missing.
    pub events: u64,
}

/// What became of the books since the fingerprint.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Change {
    /// When the fingerprint was taken, Unix ms.
    pub taken_at_ms: u64,
    /// Of which node.
    pub master: String,
    /// Instruments that had it then and have it now at the same sequence number: compared,
    /// not judged in full.
    pub same: usize,
    /// Instruments judged in full: those that moved, are new, or never stood still.
    pub moved: usize,
    /// Instruments that fell behind.
    pub fallen: usize,
    /// Events that they lack, in all.
    pub lost_events: u64,
    /// The first thousand of them.
    pub lost: Vec<Lost>,
}

/// All instruments against what they were.
pub(crate) struct Compared {
    pub(crate) change: Change,
    /// The places of those that are to be judged in full.
    pub(crate) full: Vec<usize>,
    pub(crate) violations: Vec<Violation>,
}

/// Compares all instruments with what they were.
///
/// # Errors
/// The node does not answer, or not this.
pub(crate) fn compare<H: Host>(
    place: &Place<'_>,
    then: &Fingerprint,
    declared_loss: bool,
    host: &mut H,
) -> Result<Compared, Fault> {
    let now = take(place.source, place.keys, place.fields, place.isins, host)?.lines;
    let before: BTreeMap<&str, &Line> =
        then.instruments.iter().map(|line| (line.isin(), line)).collect();
    let mut change =
        Change { taken_at_ms: then.taken_at_ms, master: then.master.clone(), ..Change::default() };
    let (mut full, mut violations) = (Vec::new(), Vec::new());
    for (index, isin) in place.isins.iter().enumerate() {
        let (Some(now), Some(before)) = (now.get(isin), before.get(isin.as_str())) else {
            full.push(index);
            continue;
        };
        if now.seq() != before.seq() {
            full.push(index);
        } else if let Some(what) = now.differs(before) {
            let key = Keys::fill(&place.keys.meta, isin);
            let message = format!("at event {} {what}", now.seq());
            violations.push(Violation::new("fingerprint", isin, &key, message));
            full.push(index);
        } else {
            change.same += 1;
        }
    }
    for (isin, before) in before {
        // What has no meta hash any more has lost all that it had.
        let seq = match now.get(isin) {
            Some(line) => line.seq(),
            None if place.index(isin.as_bytes()).is_some() => continue,
            None => 0,
        };
        let Some(events) = before.seq().checked_sub(seq).filter(|it| *it > 0) else { continue };
        change.fallen += 1;
        change.lost_events += events;
        if change.lost.len() < INSTRUMENTS_MAX {
            change.lost.push(Lost { instrument: isin.to_owned(), events });
        }
        if !declared_loss {
            let message = format!("{events} events that there were are missing");
            let key = Keys::fill(&place.keys.meta, isin);
            violations.push(Violation::new("loss", isin, &key, message));
        }
    }
    change.moved = full.len();
    Ok(Compared { change, full, violations })
}
