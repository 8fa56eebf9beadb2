//! What a guest hears of the world, kept and played again.
//!
//! ```text
//!             record                                  replay
//!  guest ──► asks ──► live ──► answer          guest ──► asks ──► the tape's answer
//!                               │  kept                     │ until it ends, then live
//!                               ▼                           ▼
//!            ahead of the next change: Wall::intend    another question: Divergence
//! ```
//! A guest is deterministic, so the same answers make it ask the same questions: an
//! attempt that was cut off goes on where it was, and nothing of what it did is done
//! again. Every host call that tells the guest anything goes through [`Tape::hear`] and
//! [`Tape::keep`]; those that tell it nothing (a log line, a sleep) too, so that their
//! order is checked and they cost nothing the second time.
//!
//! Rooms: `asked` (what was asked: digest and words), `answer` (answers as text),
//! `record` (what is kept, and its way to the disk), `play` (the tape, and how a guest
//! leaves it).

mod answer;
mod asked;
mod play;
mod record;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use baton_core::run::Taping;
use baton_core::run::event::{Call, TapeEntry};

use crate::host::{Wall, WallError};
use crate::trap::Stop;
pub(crate) use answer::{Answer, Bytes};
pub(crate) use asked::Asked;
pub use play::Divergence;
use play::{Beyond, Player};
use record::{Need, Recorder};

/// The tape of one attempt.
pub(crate) struct Tape(Option<Box<Reel>>);

struct Reel {
    /// Until the tape ends.
    player: Option<Player>,
    recorder: Recorder,
}

/// What becomes of a host call.
pub(crate) enum Turn<T> {
    /// It was answered before.
    Heard(T),
    /// The world is to be asked; the answer goes to [`Tape::keep`].
    Live(Live),
}

/// A call that the world is asked.
#[derive(Default)]
pub(crate) struct Live {
    /// Nothing of it is kept if there is none.
    asked: Option<(u32, Asked)>,
    /// Changes of this very call whose intents were on disk when the attempt was cut
    /// off, with their outcomes as far as known.
    pub(crate) cut: Vec<Call>,
}

impl Tape {
    pub(crate) fn new(taping: Taping) -> Self {
        let reel = match taping {
            Taping::Off => return Self(None),
            Taping::Note => Reel { player: None, recorder: Recorder::new(&[], Need::Wish) },
            Taping::Record => Reel { player: None, recorder: Recorder::new(&[], Need::Must) },
            Taping::Replay(replay) => Reel {
                recorder: Recorder::new(&replay.entries, Need::Must),
                player: Some(Player::new(replay.entries, replay.calls, Beyond::Live)),
            },
        };
        Self(Some(Box::new(reel)))
    }

    /// A tape with no world behind it: where it ends, so does the guest.
    pub(crate) fn rehearsal(entries: Vec<Arc<TapeEntry>>) -> Self {
        let recorder = Recorder::new(&entries, Need::Wish);
        let player = Some(Player::new(entries, Vec::new(), Beyond::Stop));
        Self(Some(Box::new(Reel { player, recorder })))
    }

    /// Takes a call that has `numbers` numbers from `first` on.
    ///
    /// # Errors
    /// [`Stop::Diverged`] if the tape says that something else was asked.
    pub(crate) fn hear<T: Answer>(
        &mut self,
        first: u32,
        numbers: u32,
        asked: impl FnOnce() -> Asked,
    ) -> wasmtime::Result<Turn<T>> {
        let Some(reel) = &mut self.0 else { return Ok(Turn::Live(Live::default())) };
        let asked = asked();
        let mut cut = Vec::new();
        if let Some(player) = &mut reel.player {
            match player.next(first, numbers, &asked)? {
                play::Next::Heard(entry) => {
                    return answer::read(&entry.answer)
                        .map(Turn::Heard)
                        .map_err(|why| Stop::from(Divergence::unreadable(&entry, &why)).into());
                }
                play::Next::End(calls) => cut = calls,
            }
            reel.player = None;
        }
        Ok(Turn::Live(Live { asked: Some((first, asked)), cut }))
    }

    /// Keeps the answer of a live call.
    pub(crate) fn keep<T: Answer>(&mut self, live: Live, answer: &T) {
        if let (Some(reel), Some((index, asked))) = (&mut self.0, live.asked) {
            reel.recorder.keep(index, asked, || answer::write(answer));
        }
    }

    /// Whether a change may come now.
    ///
    /// # Errors
    /// [`Stop::TapeLimit`] if what was heard before it is too much to be kept.
    pub(crate) fn may_change(&self) -> Result<(), Stop> {
        match &self.0 {
            Some(reel) if reel.recorder.is_in_the_way() => Err(Stop::TapeLimit),
            Some(_) | None => Ok(()),
        }
    }

    /// Puts `calls` on disk, behind all that was heard before them.
    ///
    /// # Errors
    /// If they could not be stored: nothing may be sent.
    pub(crate) async fn intend(&self, wall: &dyn Wall, calls: &[Call]) -> Result<(), WallError> {
        match &self.0 {
            Some(reel) => reel.recorder.intend(wall, calls).await,
            None => wall.intend(calls.to_vec(), Vec::new()).await?.await,
        }
    }

    /// The guest returned, having used `numbers` numbers: whether all of the tape was
    /// played by then.
    ///
    /// # Errors
    /// How it was not.
    pub(crate) fn end(&self, numbers: u32) -> Result<(), Divergence> {
        match self.0.as_ref().and_then(|reel| reel.player.as_ref()) {
            Some(player) => player.end(numbers),
            None => Ok(()),
        }
    }

    /// What was heard and is not on disk.
    pub(crate) fn rest(&mut self) -> Vec<Arc<TapeEntry>> {
        self.0.as_mut().map(|reel| reel.recorder.rest()).unwrap_or_default()
    }
}
