//! What people have told the engine that outlives any run: pauses, maintenance windows,
//! acknowledgements. On disk before it is answered (`file.rs`).
//!
//! | switch | holds back |
//! |---|---|
//! | pause | every step that may change something, of every run |
//! | maintenance of a cluster | such steps that reach the cluster, of runs that nobody began by hand |
//!
//! What is held back is not lost: its run stays open, looks again when the switch is off
//! (what it had seen is past its shelf life by then) and finds that there is still
//! something to do, or nothing any more. An attempt that runs already is not cut off.
//!
//! An acknowledgement says that somebody has seen a run. Given to a run that is over and
//! has acted, it ends the cool-down that follows it.

mod file;

use baton_core::Millis;
use baton_core::id::RunId;
use serde::{Deserialize, Serialize};

pub(super) use file::Shelf;

/// Pauses and windows at the same time, and windows announced.
const BRAKES_MAX: usize = 64;
/// Of what is over, so much is kept for those who ask what happened.
const PAST_MAX: usize = 200;
/// Acknowledgements kept, the newest. A cool-down that outlives as many would come back.
const ACKNOWLEDGED_MAX: usize = 1_000;
/// A window is for work that somebody is doing. For longer a cluster is set to `observe`.
const WINDOW_MS_MAX: Millis = 7 * 24 * 3_600_000;
/// How far ahead a window may be announced.
const AHEAD_MS_MAX: Millis = 365 * 24 * 3_600_000;

/// Who, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// A person, or a program.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// Something that holds back changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brake {
    /// For `baton maintenance end`; it grows from one to the next.
    pub id: u64,
    /// The cluster of a maintenance window; none: everything is paused.
    pub cluster: Option<String>,
    /// Whose it is.
    #[serde(flatten)]
    pub by: By,
    /// From when it holds, Unix ms.
    pub from: Millis,
    /// Until when, Unix ms; none: until somebody ends it.
    pub until: Option<Millis>,
}

/// A brake that is off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// What it was.
    pub brake: Brake,
    /// When it ended, Unix ms.
    pub ended_at: Millis,
    /// Who ended it; none: its time had come.
    pub ended_by: Option<By>,
}

/// Somebody has seen a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Which.
    pub run: String,
    /// When, Unix ms.
    pub at: Millis,
    /// Who, and what they say.
    #[serde(flatten)]
    pub by: By,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switches {
    /// On now, or announced, in the order they were said.
    pub brakes: Vec<Brake>,
    /// Off, newest last.
    pub past: Vec<Past>,
    /// Newest last.
    pub acknowledged: Vec<Acknowledged>,
    /// The last id that was given.
    pub last_id: u64,
}

/// What a person may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing is changed any more.
    Pause {
        /// For so many milliseconds; none: until somebody resumes.
        for_ms: Option<Millis>,
    },
    /// Every pause is over.
    Resume,
    /// A maintenance window.
    Maintain {
        /// Of which cluster.
        cluster: String,
        /// From when, Unix ms; none: from now on.
        from: Option<Millis>,
        /// Until when, Unix ms.
        until: Millis,
    },
    /// Windows are over, announced ones too.
    Finish {
        /// Which.
        which: Which,
    },
    /// A run has been seen.
    Acknowledge {
        /// Which.
        run: RunId,
    },
}

/// Which windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// One.
    Id(u64),
    /// All of a cluster.
    Cluster(String),
}

impl Brake {
    /// Whether it holds at this time.
    pub fn is_on(&self, now: Millis) -> bool {
        self.from <= now && !self.is_over(now)
    }

    fn is_over(&self, now: Millis) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// `paused by anna: Redis is being moved`.
    pub(super) fn said(&self) -> String {
        let By { who, reason } = &self.by;
        match &self.cluster {
            None => format!("paused by {who}: {reason}"),
            Some(cluster) => format!("maintenance of {cluster} by {who}: {reason}"),
        }
    }
}

impl Switches {
    /// What is so after the order; or, in words, why it cannot be.
    pub(super) fn after(&self, order: &Order, by: By, now: Millis) -> Result<Self, String> {
        let mut next = self.clone();
        next.tidy(now);
        match order {
            Order::Pause { for_ms } => {
                let until = for_ms.map(|for_ms| now.saturating_add(for_ms));
                next.set(None, by, now, until)?;
            }
            Order::Resume => {
                let is_pause = |brake: &Brake| brake.cluster.is_none();
                next.end(is_pause, &by, now).ok_or("nothing is paused")?;
            }
            Order::Maintain { cluster, from, until } => {
                let from = from.unwrap_or(now).max(now);
                if *until <= from {
                    return Err("the window would end before it begins".to_owned());
                }
                if until - from > WINDOW_MS_MAX {
                    let days = WINDOW_MS_MAX / 86_400_000;
                    return Err(format!(
                        "a window lasts {days} days at most; for longer set the cluster to mode `observe` in baton.toml"
                    ));
                }
                if from - now > AHEAD_MS_MAX {
                    return Err("a window is announced a year ahead at most".to_owned());
                }
                next.set(Some(cluster.clone()), by, from, Some(*until))?;
            }
            Order::Finish { which: Which::Id(id) } => {
                let is_it = |brake: &Brake| brake.id == *id && brake.cluster.is_some();
                next.end(is_it, &by, now)
                    .ok_or_else(|| format!("there is no maintenance window {id} any more"))?;
            }
            Order::Finish { which: Which::Cluster(cluster) } => {
                let is_its = |brake: &Brake| brake.cluster.as_ref() == Some(cluster);
                next.end(is_its, &by, now)
                    .ok_or_else(|| format!("cluster `{cluster}` is not in maintenance"))?;
            }
            Order::Acknowledge { run } => {
                next.acknowledged.push(Acknowledged { run: run.to_string(), at: now, by });
                cut(&mut next.acknowledged, ACKNOWLEDGED_MAX);
            }
        }
        Ok(next)
    }

    /// What holds back, at `now`, a step that may change something and reaches these
    /// clusters. Of several the one that holds longest.
    pub(super) fn holding(
        &self,
        clusters: &[String],
        by_hand: ByHand,
        now: Millis,
    ) -> Option<&Brake> {
        let holds = |brake: &&Brake| {
            brake.is_on(now)
                && match &brake.cluster {
                    None => true,
                    Some(cluster) => by_hand == ByHand::No && clusters.contains(cluster),
                }
        };
        self.brakes.iter().filter(holds).max_by_key(|brake| brake.until.unwrap_or(Millis::MAX))
    }

    /// Who saw this run first.
    pub(super) fn seen(&self, run: &RunId) -> Option<&Acknowledged> {
        self.acknowledged.iter().find(|seen| seen.run == run.as_str())
    }

    /// Whether somebody has seen the run since it was over.
    pub(super) fn seen_since(&self, run: &RunId, closed_at: Millis) -> bool {
        let seen = self.acknowledged.iter().filter(|seen| seen.run == run.as_str());
        seen.into_iter().any(|seen| seen.at >= closed_at)
    }

    /// Those that are on, and those to come.
    pub(super) fn current(&self, now: Millis) -> impl Iterator<Item = &Brake> {
        self.brakes.iter().filter(move |brake| !brake.is_over(now))
    }

    fn set(
        &mut self,
        cluster: Option<String>,
        by: By,
        from: Millis,
        until: Option<Millis>,
    ) -> Result<(), String> {
        if self.brakes.len() >= BRAKES_MAX {
            return Err(format!("there are {BRAKES_MAX} pauses and windows already: end some"));
        }
        self.last_id += 1;
        self.brakes.push(Brake { id: self.last_id, cluster, by, from, until });
        Ok(())
    }

    /// Ends those; none if there are no such.
    fn end(&mut self, ends: impl Fn(&Brake) -> bool, by: &By, now: Millis) -> Option<()> {
        let (over, on): (Vec<_>, Vec<_>) = self.brakes.drain(..).partition(&ends);
        self.brakes = on;
        let some = (!over.is_empty()).then_some(());
        self.file(over, now, Some(by));
        some
    }

    /// Files what has ended by itself.
    fn tidy(&mut self, now: Millis) {
        let (over, on): (Vec<_>, Vec<_>) =
            self.brakes.drain(..).partition(|brake| brake.is_over(now));
        self.brakes = on;
        self.file(over, now, None);
    }

    fn file(&mut self, over: Vec<Brake>, now: Millis, by: Option<&By>) {
        let past = |brake: Brake| Past {
            ended_at: brake.until.filter(|_| by.is_none()).unwrap_or(now),
            ended_by: by.cloned(),
            brake,
        };
        self.past.extend(over.into_iter().map(past));
        cut(&mut self.past, PAST_MAX);
    }
}

/// Whether a person began the run that a step belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByHand {
    Yes,
    No,
}

/// Keeps the newest, which are last.
fn cut<T>(list: &mut Vec<T>, most: usize) {
    let excess = list.len().saturating_sub(most);
    list.drain(..excess);
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_000_000;
    const HOUR: Millis = 3_600_000;

    fn by(who: &str) -> By {
        By { who: who.to_owned(), reason: "a test".to_owned() }
    }

    fn window(from: Option<Millis>, until: Millis) -> Order {
        Order::Maintain { cluster: "bondx".to_owned(), from, until }
    }

    fn after(orders: &[Order]) -> Switches {
        let given = |switches: Switches, order: &Order| switches.after(order, by("ann"), NOW);
        orders.iter().try_fold(Switches::default(), given).unwrap()
    }

    fn holds(switches: &Switches, cluster: &str, by_hand: ByHand, now: Millis) -> bool {
        switches.holding(&[cluster.to_owned()], by_hand, now).is_some()
    }

    #[test]
    fn a_pause_holds_everything_until_its_time_or_until_somebody_resumes() {
        let paused = after(&[Order::Pause { for_ms: Some(HOUR) }]);
        assert!(holds(&paused, "x", ByHand::Yes, NOW));
        assert!(paused.holding(&[], ByHand::No, NOW + HOUR - 1).is_some());
        assert!(!holds(&paused, "x", ByHand::No, NOW + HOUR));
        let paused = after(&[Order::Pause { for_ms: None }, Order::Pause { for_ms: Some(HOUR) }]);
        assert!(holds(&paused, "x", ByHand::No, NOW + 1_000 * HOUR));
        let resumed = paused.after(&Order::Resume, by("bob"), NOW + 1).unwrap();
        assert!(!holds(&resumed, "x", ByHand::No, NOW + 1));
        let who: Vec<_> = resumed.past.iter().map(|past| past.ended_by.clone()).collect();
        assert_eq!(who, [Some(by("bob")), Some(by("bob"))]);
        let again = resumed.after(&Order::Resume, by("bob"), NOW + 2);
        assert_eq!(again, Err("nothing is paused".to_owned()));
    }

    #[test]
    fn a_window_holds_what_comes_by_itself_and_reaches_its_cluster() {
        let held = after(&[window(Some(NOW + HOUR), NOW + 2 * HOUR)]);
        assert!(!holds(&held, "bondx", ByHand::No, NOW));
        assert!(holds(&held, "bondx", ByHand::No, NOW + HOUR));
        assert!(!holds(&held, "bondx", ByHand::Yes, NOW + HOUR));
        assert!(!holds(&held, "other", ByHand::No, NOW + HOUR));
        assert!(!holds(&held, "bondx", ByHand::No, NOW + 2 * HOUR));
        let ended = held.after(&Order::Finish { which: Which::Id(1) }, by("bob"), NOW).unwrap();
        assert!(!holds(&ended, "bondx", ByHand::No, NOW + HOUR));
        let cluster = || Which::Cluster("bondx".to_owned());
        let ended = held.after(&Order::Finish { which: cluster() }, by("bob"), NOW).unwrap();
        assert!(ended.brakes.is_empty());
        assert!(ended.after(&Order::Finish { which: cluster() }, by("bob"), NOW).is_err());
    }

    #[test]
    fn a_window_that_makes_no_sense_is_refused() {
        let none = Switches::default();
        for order in [
            window(None, NOW),
            window(Some(NOW + 5), NOW + 5),
            window(None, NOW + WINDOW_MS_MAX + 1),
            window(Some(NOW + AHEAD_MS_MAX + 1), NOW + AHEAD_MS_MAX + 2),
        ] {
            assert!(none.after(&order, by("ann"), NOW).is_err(), "{order:?}");
        }
        // One that began in the past begins now.
        let begun = none.after(&window(Some(5), NOW + 5), by("ann"), NOW).unwrap();
        assert_eq!(begun.brakes[0].from, NOW);
    }

    #[test]
    fn what_ended_by_itself_is_filed_with_its_own_time_and_lists_stay_short() {
        let paused = after(&[Order::Pause { for_ms: Some(10) }]);
        let run: RunId = "r".parse().unwrap();
        let seen = |switches: Switches, at: Millis| {
            switches.after(&Order::Acknowledge { run: run.clone() }, by("ann"), at)
        };
        let mut later = seen(paused, NOW + 100).unwrap();
        assert_eq!((later.past[0].ended_at, &later.past[0].ended_by), (NOW + 10, &None));
        for at in 0..ACKNOWLEDGED_MAX as u64 {
            later = seen(later, NOW + 101 + at).unwrap();
        }
        assert_eq!(later.acknowledged.len(), ACKNOWLEDGED_MAX);
        assert!(later.seen_since(&run, NOW + 500) && !later.seen_since(&run, NOW + 5_000));
        let full = (0..BRAKES_MAX).fold(Switches::default(), |all, _| {
            all.after(&Order::Pause { for_ms: None }, by("ann"), NOW).unwrap()
        });
        assert!(full.after(&Order::Pause { for_ms: None }, by("ann"), NOW).is_err());
    }
}
