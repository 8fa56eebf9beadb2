//! Opening what a crash, a power loss or a bad disk left behind.
//!
//! Log and store hold the same. Whichever is damaged is made again from the other:
//! - the **store** is believed if it opens, has what was flushed, and either the machine
//!   has not gone down since or it was closed in order; else it is built from the log;
//! - the **log** is whole if no batch number is missing; else it is written anew from
//!   the store.
//!
//! What both lack is lost: batches that were acknowledged less than about a second
//! before a kill, and whose bytes in the log were damaged after it; or damage to both. No
//! run may go on with a silently shorter history, so each run that may be concerned is
//! marked [doubtful](super::keys::doubt) and becomes unreadable: the runs named by the
//! damaged frame, or, where it does not even say that, every open run that nothing was
//! appended to since.

mod replay;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use baton_core::id::RunId;

use super::blobs::Blobs;
use super::disk::{Count, Delta, Disk};
use super::folder::{Folder, OpenError, create_durably, sync_folder};
use super::ledger::{Shelf as _, Trouble};
use super::log::Log;
use super::mark::{self, Mark, Said, UNREADABLE};
use super::room::Room;
use super::sled::{Keep, Refusal, SledShelf};
use super::sums::Sums;
use super::{AppendError, keys};
use replay::{Survey, replay};

/// Bytes of pairs that one frame carries when the log is written anew.
const CARRY_BYTES: usize = 1024 * 1024;
/// Runs named in what is said of an opening; each says of itself that it is unreadable.
const NAMED_MAX: usize = 20;
/// Pairs read at a time.
const PAIRS_MAX: usize = 1_024;

/// Opens the journal in `path`, or makes one. Also says what had to be mended.
pub(super) fn open(path: &Path, segment_bytes: u64) -> Result<(Disk, Vec<String>), OpenError> {
    let folder = Folder::take(path)?;
    let failed = |error| OpenError::of(path, error);
    let said = Mark::read(path);
    let mut log = Log::open(path.join("log"), segment_bytes).map_err(failed)?;
    let first = said.map_or(0, |said| said.first);
    // Cleaned away, and then the machine went down before the names were gone.
    for old in log.firsts().into_iter().filter(|old| *old < first) {
        log.remove(old).map_err(failed)?;
    }
    let blobs = Blobs::open(path.join("blobs")).map_err(failed)?;
    let shelf = SledShelf::shut(folder, blobs);
    let mut notes = Vec::new();
    let (count, distrust) = match load(&shelf) {
        Ok(count) => (count, distrust(&shelf, &log, said, count)),
        Err(Refusal::Open(error)) => return Err(error),
        Err(Refusal::Damaged(why)) => (Count::default(), Some((why, Keep::ForAPerson))),
    };
    if log.firsts().is_empty() {
        refuse_loss(path, said, count, distrust.as_ref().map(|(why, _)| why))?;
    }
    let oldest = log.firsts().first().copied();
    let start = Said {
        acknowledged: said.map_or(0, |said| said.acknowledged),
        flushed: if distrust.is_some() { 0 } else { count.batches },
        first: if first > 0 { first } else { oldest.unwrap_or(1) },
        rested: None,
        boot: mark::boot(),
    };
    let mark = Arc::new(Mark::take(path, start).map_err(failed)?);
    let room = Room::of(path);
    let (shelf, sums) = (Arc::new(shelf), Sums::default());
    let mut disk = Disk { shelf, log, mark, count, room, sums, ahead: Vec::new(), tried: None };
    let damaged = |why| OpenError::Damaged { path: path.to_owned(), why };
    let survey = match distrust {
        None => catch_up(&mut disk).map_err(damaged)?,
        Some(_) if disk.log.firsts().is_empty() => catch_up(&mut disk).map_err(damaged)?,
        Some((why, keep)) => {
            notes.push(format!("the store is built again from the log, because {why}"));
            rebuild(&mut disk, keep).map_err(damaged)?
        }
    };
    disk.sums = Sums::read(&*disk.shelf).map_err(damaged)?;
    disk.count.sum = disk.sums.total();
    settle(&mut disk, survey, start.acknowledged, &mut notes)
        .map_err(|error| damaged(error.to_string()))?;
    Ok((disk, notes))
}

fn load(shelf: &SledShelf) -> Result<Count, Refusal> {
    shelf.open()?;
    Count::of(shelf).map_err(Refusal::Damaged)
}

/// Why the store cannot be believed, if so.
fn distrust(
    shelf: &SledShelf,
    log: &Log,
    said: Option<Said>,
    count: Count,
) -> Option<(String, Keep)> {
    let oldest = log.firsts().first().copied()?;
    let Some(said) = said else {
        return Some(("the file `stored` is missing or damaged".to_owned(), Keep::Nothing));
    };
    if said.flushed == UNREADABLE {
        return Some(("a part of it could not be read".to_owned(), Keep::ForAPerson));
    }
    if count.batches < said.flushed {
        let why = format!("it ends at batch {}, and had {}", count.batches, said.flushed);
        return Some((why, Keep::ForAPerson));
    }
    if count.batches + 1 < oldest {
        return Some(("it is older than the log".to_owned(), Keep::ForAPerson));
    }
    let (boot, rested) = (mark::boot(), said.rested == Some(count.batches));
    if !rested && (boot == 0 || said.boot != boot) {
        let why = "the machine went down, or changed, while the journal was open";
        return Some((why.to_owned(), Keep::Nothing));
    }
    let lacks = || "it does not hold of the open runs what it was given".to_owned();
    let sound = Sums::read(shelf)
        .and_then(|sums| if sums.total() == count.sum { Ok(()) } else { Err(lacks()) });
    sound.err().map(|why| (why, Keep::ForAPerson))
}

/// Without a log there is only the store; if that is gone as well, so is everything.
fn refuse_loss(
    path: &Path,
    said: Option<Said>,
    count: Count,
    damage: Option<&Trouble>,
) -> Result<(), OpenError> {
    if let Some(why) = damage {
        return Err(OpenError::Damaged { path: path.to_owned(), why: why.clone() });
    }
    let acknowledged = said.map_or(0, |said| said.acknowledged);
    if count.batches == 0 && acknowledged > 0 {
        let mark = path.join("stored");
        return Err(OpenError::Lost { path: path.to_owned(), mark, acknowledged });
    }
    Ok(())
}

/// Brings a store that is believed up to the log's end.
fn catch_up(disk: &mut Disk) -> Result<Survey, Trouble> {
    let shelf = Arc::clone(&disk.shelf);
    let survey = replay(&disk.log, disk.count.batches, |changes| shelf.apply(changes))?;
    disk.count = Count::of(&disk.shelf)?;
    Ok(survey)
}

/// Builds the store from the log.
fn rebuild(disk: &mut Disk, keep: Keep) -> Result<Survey, Trouble> {
    let failed = |error: std::io::Error| error.to_string();
    disk.mark.change_durably(|said| said.flushed = 0).map_err(failed)?;
    disk.shelf.set_aside(keep).map_err(failed)?;
    disk.shelf.open().map_err(|refusal| match refusal {
        Refusal::Open(error) => error.to_string(),
        Refusal::Damaged(why) => why,
    })?;
    let shelf = Arc::clone(&disk.shelf);
    let before = disk.mark.said().first.saturating_sub(1);
    let survey = replay(&disk.log, before, |changes| shelf.apply(changes))?;
    disk.count = Count::of(&disk.shelf)?;
    disk.shelf.flush()?;
    Ok(survey)
}

/// Says what is lost, and makes the log whole again.
fn settle(
    disk: &mut Disk,
    mut survey: Survey,
    acknowledged: u64,
    notes: &mut Vec<String>,
) -> Result<(), AppendError> {
    let unread = AppendError::Unwritten;
    survey.end(disk.count.batches, acknowledged);
    // Numbers that were given are not given again.
    disk.count.batches = disk.count.batches.max(survey.last).max(acknowledged);
    let doubtful = survey.doubtful(&*disk.shelf).map_err(unread)?;
    if survey.is_whole() && doubtful.is_empty() {
        return Ok(());
    }
    if !doubtful.is_empty() {
        let mut changes = Vec::new();
        let named: Vec<&str> = doubtful.keys().take(NAMED_MAX).map(RunId::as_str).collect();
        let more = if doubtful.len() > NAMED_MAX { ", …" } else { "" };
        notes.push(format!(
            "{} runs may lack their end and are unreadable: {}{more}",
            doubtful.len(),
            named.join(", ")
        ));
        for (run, why) in &doubtful {
            changes.push((keys::doubt(run), Some(why.clone().into_bytes())));
            let known = [keys::open(run), keys::closed_at(run)];
            let known = known.iter().map(|key| disk.shelf.get(key));
            if known.collect::<Result<Vec<_>, _>>().map_err(unread)?.iter().all(Option::is_none) {
                changes.push((keys::open(run), Some(0_u64.to_be_bytes().to_vec())));
            }
        }
        disk.write(changes, Vec::new(), Delta::default())?;
        // A run that had no place among the open ones may have had records.
        disk.sums = Sums::read(&*disk.shelf).map_err(unread)?;
    }
    notes.push(format!("the log is written anew from the store, because {}", survey.why()));
    relog(disk, Keep::ForAPerson)
}

/// Writes the log anew from the store.
pub(super) fn relog(disk: &mut Disk, keep: Keep) -> Result<(), AppendError> {
    let failed = |error: std::io::Error| AppendError::Unwritten(error.to_string());
    disk.log.seal();
    let old = disk.log.firsts();
    let first = disk.count.batches + 1;
    let (mut after, mut held, mut bytes) = (Vec::new(), Vec::new(), 0);
    // Counted anew, as what was lost had been counted too.
    let (mut all, mut closed) = (0, 0);
    loop {
        let pairs = disk.shelf.after(&[], &after, PAIRS_MAX).map_err(AppendError::Unwritten)?;
        let Some((last, _)) = pairs.last() else { break };
        after.clone_from(last);
        for (key, value) in pairs.into_iter().filter(|(key, _)| key != keys::COUNT) {
            bytes += key.len() + value.len();
            all += (key.len() + value.len()) as u64;
            closed += u64::from(key.first() == Some(&keys::CLOSED));
            held.push((key, Some(value)));
        }
        if bytes >= CARRY_BYTES {
            disk.write(Vec::new(), std::mem::take(&mut held), Delta::default())?;
            bytes = 0;
        }
    }
    (disk.count.bytes, disk.count.closed) = (all, closed);
    disk.write(Vec::new(), held, Delta::default())?;
    disk.mark.change_durably(|said| said.first = first).map_err(failed)?;
    let aside = disk.shelf.folder().join("log.damaged");
    for old in old.into_iter().filter(|old| *old < first) {
        if keep == Keep::ForAPerson {
            create_durably(&aside).map_err(failed)?;
            let name = disk.log.path(old);
            if let Some(file) = name.file_name().filter(|_| name.exists()) {
                fs::rename(&name, aside.join(file)).map_err(failed)?;
            }
        }
        disk.log.remove(old).map_err(failed)?;
    }
    sync_folder(disk.log.folder()).map_err(failed)
}

/// Builds a store that failed in use again. What was acknowledged is in the log. It is not
/// opened again as it is: after a failed write sled keeps its file, lock and all.
pub(super) fn mend(disk: &mut Disk) -> Result<(), Trouble> {
    let batches = disk.count.batches;
    let rebuilt = rebuild(disk, Keep::Nothing);
    let found = std::mem::replace(&mut disk.count.batches, batches);
    rebuilt?;
    if found == batches {
        return Ok(());
    }
    Err(format!("the log ends at batch {found} of {batches}: start Baton again"))
}

/// Builds the store anew: smaller, and without what sled left behind.
pub(super) fn renew(disk: &mut Disk) -> Result<(), Trouble> {
    rebuild(disk, Keep::Nothing).map(drop)
}
