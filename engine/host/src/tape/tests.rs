//! The tape by itself: answers as text, what is kept, and how it is left.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

mod answers;
mod digests;
mod play;
mod record;

use std::sync::{Arc, Mutex};

use baton_core::run::event::{Call, CallClass, TapeEntry};
use baton_core::run::{Replay, Taping};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::{Asked, Divergence, Tape, Turn};
use crate::host::{Durable, Wall, WallError};
use crate::trap::Stop;

/// What the disk holds, in order; it may refuse.
#[derive(Default)]
struct Disk {
    appends: Mutex<Vec<String>>,
    entries: Mutex<Vec<Arc<TapeEntry>>>,
    full: Mutex<bool>,
}

impl Disk {
    fn appends(&self) -> Vec<String> {
        std::mem::take(&mut self.appends.lock().unwrap())
    }
}

impl Wall for Disk {
    fn intend(
        &self,
        calls: Vec<Call>,
        heard: Vec<Arc<TapeEntry>>,
    ) -> BoxFuture<'_, Result<Durable, WallError>> {
        let stored = if *self.full.lock().unwrap() {
            Err(WallError("the disk is full".to_owned()))
        } else {
            let heard_at: Vec<u32> = heard.iter().map(|entry| entry.index).collect();
            let calls: Vec<u32> = calls.iter().map(|call| call.index).collect();
            self.appends.lock().unwrap().push(format!("heard {heard_at:?} intend {calls:?}"));
            self.entries.lock().unwrap().extend(heard);
            Ok(())
        };
        let durable: Durable = Box::pin(std::future::ready(stored));
        Box::pin(std::future::ready(Ok(durable)))
    }
    fn outcome(&self, _calls: Vec<Call>) {}
    fn progress(&self, _done: u64, _total: Option<u64>, _message: String) {}
}

fn change(index: u32) -> Call {
    let request = format!("h:1> INCR n{index}");
    Call { index, class: CallClass::Once, request, outcome: None }
}

fn intend(tape: &Tape, disk: &Disk, index: u32) -> Result<(), WallError> {
    tape.intend(disk, &[change(index)]).now_or_never().unwrap()
}

fn question(what: &str) -> Asked {
    Asked::of("clock.sleep").text(what).word(what)
}

/// Asks live and keeps the answer.
fn live(tape: &mut Tape, index: u32, what: &str, answer: u64) {
    let Turn::Live(live) = tape.hear::<u64>(index, 1, || question(what)).unwrap() else {
        panic!("call {index} was on the tape")
    };
    tape.keep(live, &answer);
}

/// The tape's answer.
fn heard(tape: &mut Tape, index: u32, what: &str) -> u64 {
    match tape.hear::<u64>(index, 1, || question(what)).unwrap() {
        Turn::Heard(answer) => answer,
        Turn::Live(_) => panic!("call {index} was not on the tape"),
    }
}

fn left(tape: &mut Tape, index: u32, what: &str) -> Divergence {
    let Err(error) = tape.hear::<u64>(index, 1, || question(what)) else {
        panic!("the tape was not left")
    };
    match error.downcast_ref() {
        Some(Stop::Diverged(how)) => (**how).clone(),
        other => panic!("{other:?}"),
    }
}

/// Three calls, numbered 0 to 2, that gave 10, 11 and 12.
fn recorded() -> Vec<Arc<TapeEntry>> {
    let mut tape = Tape::new(Taping::Record);
    for (index, what) in (0..).zip(["a", "b", "c"]) {
        live(&mut tape, index, what, 10 + u64::from(index));
    }
    tape.rest()
}

fn replaying(entries: Vec<Arc<TapeEntry>>, calls: Vec<Call>) -> Tape {
    Tape::new(Taping::Replay(Replay { entries, calls }))
}
