//! The queue and its thread, with a store that fails when told.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use super::sample::{PATIENCE, begun};
use crate::journal::ledger::Change;
use crate::journal::writer::{Store, Writer};
use crate::journal::{AppendError, Batch, QUEUE_BATCHES_MAX};

type Ends = mpsc::Receiver<(u64, Result<(), AppendError>)>;

/// Each commit tells how many batches it took and waits to be told how to end.
struct Told {
    took: mpsc::Sender<usize>,
    orders: mpsc::Receiver<Order>,
    refuse_at: Option<u64>,
    full: Arc<AtomicBool>,
    tended: Arc<AtomicU64>,
    /// What follows a commit waits for this.
    gate: Option<mpsc::Receiver<()>>,
}

#[derive(Clone, Copy)]
enum Order {
    Succeed,
    Fail,
    Panic,
}

impl Store for Told {
    fn stage(&mut self, batch: &Batch) -> Result<Vec<Change>, AppendError> {
        if self.refuse_at.is_some_and(|number| batch.entries == [begun("a", number)]) {
            return Err(AppendError::Unwritten("told so".to_owned()));
        }
        Ok(vec![(vec![1], None)])
    }

    fn ready(&mut self) -> Result<(), AppendError> {
        self.full
            .load(Ordering::Relaxed)
            .then_some(())
            .map_or(Ok(()), |()| Err(AppendError::Full("told so".to_owned())))
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<(), AppendError> {
        self.took.send(changes.len()).expect("the test listens");
        match self.orders.recv().expect("the test orders") {
            Order::Succeed => Ok(()),
            Order::Fail => Err(AppendError::Unwritten("the disk is ill".to_owned())),
            Order::Panic => panic!("told to"),
        }
    }

    fn follow(&mut self) {
        if let Some(gate) = &self.gate {
            gate.recv().expect("the test opens it");
        }
    }

    fn tend(&mut self) -> Duration {
        self.tended.fetch_add(1, Ordering::Relaxed);
        Duration::from_millis(1)
    }
}

struct Stage {
    writer: Arc<Writer>,
    took: mpsc::Receiver<usize>,
    orders: mpsc::Sender<Order>,
    ended: mpsc::Sender<(u64, Result<(), AppendError>)>,
    ends: Ends,
    full: Arc<AtomicBool>,
    tended: Arc<AtomicU64>,
}

fn stage(refuse_at: Option<u64>) -> Stage {
    gated(refuse_at, None)
}

fn gated(refuse_at: Option<u64>, gate: Option<mpsc::Receiver<()>>) -> Stage {
    let (took_by, took) = mpsc::channel();
    let (orders, orders_of) = mpsc::channel();
    let (ended, ends) = mpsc::channel();
    let (full, tended) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let told = Told {
        took: took_by,
        orders: orders_of,
        refuse_at,
        full: Arc::clone(&full),
        tended: Arc::clone(&tended),
        gate,
    };
    let writer = Arc::new(Writer::start(told).expect("a thread"));
    Stage { writer, took, orders, ended, ends, full, tended }
}

impl Stage {
    fn append(&self, number: u64) {
        let ended = self.ended.clone();
        let done = Box::new(move |end| drop(ended.send((number, end))));
        self.writer.append(Batch { entries: vec![begun("a", number)] }, done);
    }

    /// Appends one and waits until it is being committed, alone.
    fn occupy(&self) {
        self.append(0);
        assert_eq!(self.took.recv_timeout(PATIENCE), Ok(1));
    }

    fn end(&self) -> (u64, Result<(), AppendError>) {
        self.ends.recv_timeout(PATIENCE).expect("an answer")
    }
}

#[test]
fn all_that_waits_is_committed_at_once_and_answered_in_order() {
    let stage = stage(None);
    stage.occupy();
    (1..=100).for_each(|number| stage.append(number));
    stage.orders.send(Order::Succeed).expect("it listens");
    assert_eq!(stage.took.recv_timeout(PATIENCE), Ok(100));
    stage.orders.send(Order::Succeed).expect("it listens");
    for number in 0..=100 {
        assert_eq!(stage.end(), (number, Ok(())));
    }
}

#[test]
fn an_answer_does_not_wait_for_what_follows_and_the_next_commit_does() {
    let (open, gate) = mpsc::channel();
    let stage = gated(None, Some(gate));
    stage.occupy();
    stage.orders.send(Order::Succeed).expect("it listens");
    assert_eq!(stage.end(), (0, Ok(())), "answered, though the gate is shut");
    stage.append(1);
    assert!(stage.took.try_recv().is_err(), "the second waits for what follows the first");
    open.send(()).expect("it listens");
    assert_eq!(stage.took.recv_timeout(PATIENCE), Ok(1));
    stage.orders.send(Order::Succeed).expect("it listens");
    assert_eq!(stage.end(), (1, Ok(())));
    open.send(()).expect("it listens");
}

#[test]
fn nothing_is_answered_before_the_commit() {
    let stage = stage(None);
    stage.occupy();
    assert!(stage.ends.try_recv().is_err());
    stage.orders.send(Order::Succeed).expect("it listens");
    assert_eq!(stage.end(), (0, Ok(())));
}

#[test]
fn a_refused_batch_does_not_hold_up_the_others() {
    let stage = stage(Some(2));
    stage.occupy();
    (1..=3).for_each(|number| stage.append(number));
    stage.orders.send(Order::Succeed).expect("it listens");
    stage.orders.send(Order::Succeed).expect("it listens");
    assert_eq!(stage.end(), (0, Ok(())));
    assert_eq!(stage.end(), (2, Err(AppendError::Unwritten("told so".to_owned()))));
    assert_eq!(stage.end(), (1, Ok(())));
    assert_eq!(stage.end(), (3, Ok(())));
}

#[test]
fn after_a_failed_commit_the_next_is_tried() {
    let stage = stage(None);
    stage.occupy();
    (1..=3).for_each(|number| stage.append(number));
    stage.orders.send(Order::Fail).expect("it listens");
    stage.orders.send(Order::Fail).expect("it listens");
    let ill = AppendError::Unwritten("the disk is ill".to_owned());
    (0..=3).for_each(|number| assert_eq!(stage.end(), (number, Err(ill.clone()))));
    assert_eq!(stage.writer.stopped(), None);
    assert_eq!(stage.writer.stalled(), Some(ill.to_string()));
    stage.append(4);
    stage.orders.send(Order::Succeed).expect("it listens");
    assert_eq!(stage.end(), (4, Ok(())));
    assert_eq!(stage.writer.stalled(), None);
}

#[test]
fn while_the_store_is_not_ready_it_is_not_written_and_asked_until_it_is() {
    let stage = stage(None);
    stage.full.store(true, Ordering::Relaxed);
    stage.append(0);
    let full = AppendError::Full("told so".to_owned());
    assert_eq!(stage.end(), (0, Err(full.clone())));
    assert!(stage.took.try_recv().is_err());
    assert_eq!(stage.writer.stalled(), Some(full.to_string()));
    stage.full.store(false, Ordering::Relaxed);
    until("it asks by itself", || stage.writer.stalled().is_none());
}

#[test]
fn while_nothing_waits_the_store_is_tended() {
    let stage = stage(None);
    until("tended", || stage.tended.load(Ordering::Relaxed) > 3);
}

fn until(what: &str, is: impl Fn() -> bool) {
    let ends = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < ends, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_panic_in_the_store_is_answered_and_ends_it() {
    let stage = stage(None);
    stage.occupy();
    (1..=3).for_each(|number| stage.append(number));
    stage.orders.send(Order::Panic).expect("it listens");
    for number in 0..=3 {
        let (of, end) = stage.end();
        assert_eq!(of, number);
        assert!(
            matches!(&end, Err(AppendError::Stopped(why)) if why.contains("told to")),
            "{end:?}"
        );
    }
    stage.append(4);
    let (_, end) = stage.end();
    assert!(matches!(&end, Err(AppendError::Stopped(text)) if text.contains("Start Baton again")));
    assert!(stage.writer.stopped().is_some());
}

#[test]
fn a_full_queue_says_so_at_once() {
    let stage = stage(None);
    stage.occupy();
    let max = QUEUE_BATCHES_MAX as u64;
    (1..=max).for_each(|number| stage.append(number));
    assert!(stage.ends.try_recv().is_err());
    stage.append(max + 1);
    assert_eq!(stage.end(), (max + 1, Err(AppendError::Busy)));
    stage.orders.send(Order::Succeed).expect("it listens");
    stage.orders.send(Order::Succeed).expect("it listens");
    (0..=max).for_each(|number| assert_eq!(stage.end(), (number, Ok(()))));
}

#[test]
fn an_answer_that_panics_costs_no_other() {
    let stage = stage(None);
    stage.occupy();
    stage.writer.append(Batch { entries: vec![begun("a", 1)] }, Box::new(|_| panic!("told to")));
    stage.append(2);
    stage.orders.send(Order::Succeed).expect("it listens");
    stage.orders.send(Order::Succeed).expect("it listens");
    assert_eq!(stage.end(), (0, Ok(())));
    assert_eq!(stage.end(), (2, Ok(())));
}

#[test]
fn dropping_it_writes_what_waits() {
    let stage = stage(None);
    stage.occupy();
    stage.append(1);
    stage.orders.send(Order::Succeed).expect("it listens");
    stage.orders.send(Order::Succeed).expect("it listens");
    drop(stage.writer);
    assert_eq!(stage.ends.try_iter().count(), 2);
}

#[test]
fn the_last_reference_may_be_dropped_by_an_answer() {
    let stage = stage(None);
    let (gone, is_gone) = mpsc::channel();
    let own = Arc::new(Mutex::new(Some(Arc::clone(&stage.writer))));
    let done = Box::new(move |_| {
        drop(own.lock().expect("not poisoned").take());
        gone.send(()).expect("the test waits");
    });
    stage.writer.append(Batch { entries: vec![begun("a", 0)] }, done);
    drop(stage.writer);
    stage.orders.send(Order::Succeed).expect("it listens");
    is_gone.recv_timeout(PATIENCE).expect("it does not wait for itself");
}
