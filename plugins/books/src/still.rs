//! Reading many instruments while somebody trades them: each counts only as it was read
//! between two equal reads of its meta hash.

use baton_plugin::{Fault, Host};

/// How often an instrument is read by itself because it was traded meanwhile.
const READS_MAX: u32 = 50;

/// What is read of instruments, and what becomes of it.
pub trait Still {
    /// What comes of one instrument that stood still.
    type Item;

    /// What one instrument weighs in a batch.
    fn weight(&self, index: usize) -> usize;

    /// Reads a batch once; none of those that moved meanwhile.
    ///
    /// # Errors
    /// The node does not answer, or not this.
    fn read<H: Host>(
        &mut self,
        batch: &[usize],
        host: &mut H,
    ) -> Result<Vec<Option<Self::Item>>, Fault>;

    /// Takes what was read of one.
    fn done<H: Host>(&mut self, index: usize, item: Self::Item, host: &mut H);
}

/// How much is read between two looks at the meta hashes. More is faster where nobody
/// trades, and in vain where somebody does.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Instruments.
    pub instruments: usize,
    /// What they weigh together.
    pub weight: usize,
}

/// Reads all of `wanted`; those that move by themselves until they do not. Gives those
/// that never stood still.
///
/// # Errors
/// The node does not answer, or not this.
pub fn read_all<S: Still, H: Host>(
    what: &mut S,
    wanted: &[usize],
    largest: Batch,
    host: &mut H,
) -> Result<Vec<usize>, Fault> {
    let mut pending = Vec::new();
    let mut rest = wanted;
    let mut size = largest;
    while !rest.is_empty() {
        let (batch, behind) = rest.split_at(fitting(what, rest, size));
        rest = behind;
        let before = pending.len();
        for (index, item) in batch.iter().zip(what.read(batch, host)?) {
            match item {
                Some(item) => what.done(*index, item, host),
                None => pending.push(*index),
            }
        }
        // Half of them in vain: a smaller batch is read in less time.
        let in_vain = (pending.len() - before) * 2 > batch.len();
        size.instruments = if in_vain {
            (batch.len() / 2).max(1)
        } else {
            (size.instruments * 2).min(largest.instruments)
        };
    }
    let mut never = Vec::new();
    'instruments: for index in pending {
        for _ in 0..READS_MAX {
            if let Some(item) = what.read(&[index], host)?.pop().flatten() {
                what.done(index, item, host);
                continue 'instruments;
            }
        }
        never.push(index);
    }
    Ok(never)
}

/// How many of the next fit a batch; at least one.
fn fitting<S: Still>(what: &S, rest: &[usize], size: Batch) -> usize {
    let mut weight = 0;
    let fits = |index: &&usize| {
        weight += what.weight(**index);
        weight <= size.weight
    };
    rest.iter().take(size.instruments).take_while(fits).count().max(1)
}
