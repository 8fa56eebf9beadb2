//! Two nodes, key by key: what is the same at first sight, and what is not and is read
//! again, whole.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::super::packed::{Value, Walk};
use super::digest::{Digester, Unread};
use super::kind::{At, Kind, elements, first_look, is_nothing, is_whole};
use super::lane::{Expiry, Lane, Seen, Sort, put};
use crate::guest::wit::redis::{Difference, Error, ErrorKind, Holding};

/// Keys whose values are read whole at a time: so many pieces are in memory at once.
const TOGETHER: usize = 32;
/// Elements that are asked for of a key whose answers are too large.
const ELEMENTS_FEW: usize = 8;

/// What a comparison of some keys found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) differences: Vec<Difference>,
    pub(super) unread: Vec<(Vec<u8>, String)>,
}

/// What a node holds under a key, or why that cannot be told.
pub(super) type Held = Result<Option<Holding>, String>;

/// Compares `keys`, of which `left` said `seen`. Both nodes work at the same time.
pub(super) async fn compare(
    left: &mut Lane,
    right: &mut Lane,
    keys: &[Vec<u8>],
    seen: &[Seen],
    deadline: Instant,
) -> Result<Found, Error> {
    let suspects = match at_first_sight(left, right, keys, seen, deadline).await {
        // The answers are too large together; one by one they may not be.
        Err(error) if error.kind == ErrorKind::Limit => {
            left.reopen(deadline).await?;
            right.reopen(deadline).await?;
            (0..keys.len()).collect()
        }
        other => other?,
    };
    let suspects: Vec<&[u8]> = suspects.into_iter().map(|at| keys[at].as_slice()).collect();
    closely(left, right, &suspects, deadline).await
}

/// The places of those keys that do not look the same.
async fn at_first_sight(
    left: &mut Lane,
    right: &mut Lane,
    keys: &[Vec<u8>],
    seen: &[Seen],
    deadline: Instant,
) -> Result<Vec<usize>, Error> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut asked, mut suspects) = (0, Vec::new());
    let mut looked: Vec<(usize, Kind, Option<u64>, usize)> = Vec::with_capacity(keys.len());
    for (at, (key, seen)) in keys.iter().zip(seen).enumerate() {
        let Some((Sort::Known(kind), expiry)) = seen else {
            suspects.push(at);
            continue;
        };
        put(&mut theirs, &[b"PEXPIRETIME", key]);
        let begun = ours.len();
        let count = first_look(*kind, key, &mut ours);
        theirs.extend_from_slice(&ours[begun..]);
        asked += count;
        looked.push((at, *kind, *expiry, count));
    }
    let both = futures::join!(
        left.ask(&ours, asked, deadline),
        right.ask(&theirs, asked + looked.len(), deadline)
    );
    let (ours, theirs) = (both.0?, both.1?);
    let (mut ours, mut theirs) = (ours.iter(), theirs.iter());
    for (at, kind, expiry, count) in looked {
        let odd = || left.odd("a read");
        let their_expiry = right.expiry(theirs.next().ok_or_else(odd)?)?;
        let mut same = their_expiry == Some(Expiry(expiry));
        for place in 0..count {
            let (our, their) = (ours.next().ok_or_else(odd)?, theirs.next().ok_or_else(odd)?);
            same &= alike(kind, our, their);
            same &= place > 0 || (is_whole(kind, our) && !is_nothing(kind, our));
        }
        if !same {
            suspects.push(at);
        }
    }
    suspects.sort_unstable();
    Ok(suspects)
}

/// Whether two answers to the same first look say the same. Not alike is no proof.
fn alike(kind: Kind, our: &[u8], their: &[u8]) -> bool {
    if matches!(Walk(our).next(), Some(Value::Error(_))) {
        return false;
    }
    our == their
        || match kind {
            Kind::Set => sorted(our, 1).is_some_and(|it| Some(it) == sorted(their, 1)),
            Kind::Hash => sorted(our, 2).is_some_and(|it| Some(it) == sorted(their, 2)),
            Kind::String | Kind::List | Kind::SortedSet | Kind::Stream => false,
        }
}

/// The elements of a whole answer of SSCAN or HSCAN, in an order.
fn sorted(reply: &[u8], words: u32) -> Option<Vec<(&[u8], &[u8])>> {
    let mut walk = Walk(reply);
    walk.array().filter(|parts| *parts == 2)?;
    walk.text().filter(|cursor| *cursor == b"0")?;
    let count = walk.array()? / words;
    let mut element = || {
        let first = walk.text()?;
        Some((first, if words == 2 { walk.text()? } else { b"" }))
    };
    let mut all = (0..count).map(|_| element()).collect::<Option<Vec<_>>>()?;
    all.sort_unstable();
    Some(all)
}

/// Reads keys whole on both nodes; tells those that differ then.
pub(super) async fn closely(
    left: &mut Lane,
    right: &mut Lane,
    keys: &[&[u8]],
    deadline: Instant,
) -> Result<Found, Error> {
    let mut found = Found::default();
    for keys in keys.chunks(TOGETHER) {
        let both = futures::join!(hold(left, keys, deadline), hold(right, keys, deadline));
        for ((key, left), right) in keys.iter().zip(both.0?).zip(both.1?) {
            match (left, right) {
                (Ok(left), Ok(right)) if left != right => {
                    found.differences.push(Difference { key: key.to_vec(), left, right });
                }
                (Ok(_), Ok(_)) => {}
                (Err(why), _) | (_, Err(why)) => found.unread.push((key.to_vec(), why)),
            }
        }
    }
    Ok(found)
}

/// Keys of `left` that `right` has not, when asked twice.
pub(super) async fn absent(
    left: &mut Lane,
    right: &mut Lane,
    keys: &[Vec<u8>],
    deadline: Instant,
) -> Result<Found, Error> {
    let all: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    if exist(right, &[&all], deadline).await? == [all.len()] {
        return Ok(Found::default());
    }
    let single: Vec<&[&[u8]]> = all.chunks(1).collect();
    let there = exist(right, &single, deadline).await?;
    let gone = all.iter().zip(there).filter(|(_, there)| *there == 0).map(|(key, _)| *key);
    // SCAN may give a key twice.
    let gone: BTreeSet<&[u8]> = gone.collect();
    closely(left, right, &gone.into_iter().collect::<Vec<_>>(), deadline).await
}

/// Of each group, how many keys there are.
async fn exist(
    lane: &mut Lane,
    groups: &[&[&[u8]]],
    deadline: Instant,
) -> Result<Vec<usize>, Error> {
    let mut bytes = Vec::new();
    let groups = groups.iter().filter(|group| !group.is_empty());
    let mut count = 0;
    for group in groups {
        put(&mut bytes, &[&[b"EXISTS".as_slice()], *group].concat());
        count += 1;
    }
    let replies = lane.ask(&bytes, count, deadline).await?;
    let number = |reply: &[u8]| match Walk(reply).next() {
        Some(Value::Integer(number)) => Ok(usize::try_from(number).unwrap_or_default()),
        Some(Value::Error(text)) => Err(lane.refused("EXISTS", text)),
        _ => Err(lane.odd("EXISTS")),
    };
    replies.iter().map(number).collect()
}

/// What a node holds under each of some keys, read whole, piece by piece.
pub(super) async fn hold(
    lane: &mut Lane,
    keys: &[&[u8]],
    deadline: Instant,
) -> Result<Vec<Held>, Error> {
    let seen = lane.look(keys, deadline).await?;
    match digests(lane, keys, &seen, elements(), deadline).await {
        Err(error) if error.kind == ErrorKind::Limit => {}
        other => return other,
    }
    // One by one, and less at a time.
    let mut all = Vec::with_capacity(keys.len());
    for (key, seen) in keys.iter().zip(seen) {
        lane.reopen(deadline).await?;
        match digests(lane, &[key], &[seen], ELEMENTS_FEW, deadline).await {
            Ok(held) => all.extend(held),
            Err(error) if error.kind == ErrorKind::Limit => all.push(Err(error.message)),
            Err(error) => return Err(error),
        }
    }
    lane.reopen(deadline).await?;
    Ok(all)
}

async fn digests(
    lane: &mut Lane,
    keys: &[&[u8]],
    seen: &[Seen],
    elements: usize,
    deadline: Instant,
) -> Result<Vec<Held>, Error> {
    let mut held: Vec<Held> = vec![Ok(None); keys.len()];
    let mut open: Vec<(usize, Option<u64>, Digester)> = Vec::new();
    for (at, seen) in seen.iter().enumerate() {
        match seen {
            None => {}
            Some((Sort::Known(kind), expiry)) => {
                open.push((at, *expiry, Digester::new(*kind, elements)));
            }
            Some((Sort::Other(name), _)) => {
                held[at] = Err(format!("nothing is known of type {name}"));
            }
        }
    }
    // Values are begun all at once, and read on a few at a time: their pieces are larger.
    let mut together = open.len();
    while !open.is_empty() {
        let rest = open.split_off(open.len().min(together));
        let mut bytes = Vec::new();
        for (at, _, value) in &open {
            value.at.ask(value.kind, keys[*at], value.elements, &mut bytes);
        }
        let replies = lane.ask(&bytes, open.len(), deadline).await?;
        let mut unfinished = Vec::new();
        for ((at, expiry, mut value), reply) in open.into_iter().zip(replies.iter()) {
            match value.feed(reply) {
                Ok(()) if value.at != At::End => unfinished.push((at, expiry, value)),
                Ok(()) => held[at] = Ok(value.end(expiry)),
                Err(Unread::Changed) => {
                    held[at] = Err("its type changed while it was read".to_owned());
                }
                Err(Unread::Because(why)) => held[at] = Err(why),
            }
        }
        unfinished.extend(rest);
        open = unfinished;
        together = TOGETHER;
    }
    Ok(held)
}
