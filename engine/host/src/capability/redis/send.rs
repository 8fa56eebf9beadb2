//! From a granted pipeline to its replies: connect, intend, send, tell.

use std::time::Duration;

use baton_core::run::event::{Call, CallClass};
use baton_crash::{self as crash, Point};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::connection::{Connection, auth_of, silent};
use super::grant::{Command, Pipeline};
use super::kept::leaves_no_trace;
use super::outcome::outcomes;
use super::{Held, Known, resp, secret};
use crate::guest::wit::redis::{Error, ErrorKind, MemberKind, Node};
use crate::host::Wall;
use crate::tape::Tape;

/// A pipeline that may be sent.
pub(super) struct Sending {
    pub(super) pipeline: Pipeline,
    /// The number of its first command among the host calls of the attempt.
    pub(super) first: u32,
    /// Those of its commands that change something, without outcome.
    pub(super) calls: Vec<Call>,
}

/// Sends one pipeline, unless it was on its way when the attempt was `cut` off and must
/// not go twice.
///
/// Connecting comes before the intents, so that a member that is gone leaves no
/// doubt behind; the intents' way to the disk does not count as the member's time.
pub(super) async fn send(
    known: &Known,
    sending: Sending,
    cut: &[Call],
    slot: &Mutex<Held>,
    wall: &dyn Wall,
    tape: &Tape,
    time: Duration,
) -> Result<Vec<Vec<Node>>, Error> {
    let Sending { pipeline, first, calls } = sending;
    let started = Instant::now();
    let known_as = |call: &&Call| cut.iter().find(|known| known.index == call.index);
    let (again, fresh): (Vec<&Call>, Vec<&Call>) =
        calls.iter().partition(|call| known_as(call).is_some());
    in_doubt(again.iter().filter_map(known_as))?;
    let fresh: Vec<Call> = fresh.into_iter().cloned().collect();
    let mut slot = slot.lock().await;
    slot.marked |= !pipeline.commands.iter().all(leaves_no_trace);
    let address = &pipeline.address;
    let kept = still_open(&mut slot).await;
    let ahead = kept.is_none() && only_settings(&pipeline.commands);
    let mut connection = if let Some(connection) = kept {
        connection
    } else {
        still_said(address, slot.session.lose())?;
        if ahead {
            Connection::connect(known, address, started + time).await?
        } else {
            Connection::open(known, address, pipeline.kind, started + time).await?
        }
    };
    let time = time.saturating_sub(started.elapsed());

    crash::point(if calls.is_empty() { Point::ReadBefore } else { Point::ChangeBefore });
    if !fresh.is_empty()
        && let Err(error) = tape.intend(wall, &fresh).await
    {
        slot.connection = (!ahead).then_some(connection);
        return Err(Error {
            kind: ErrorKind::Internal,
            message: format!("nothing was sent: the intent could not be stored ({error})"),
        });
    }

    if !calls.is_empty() {
        crash::point(Point::ChangeIntended);
    }
    let bytes = resp::encode(pipeline.commands.iter().map(|command| command.arguments.as_slice()));
    let mut replies = Vec::new();
    let count = pipeline.commands.len();
    let exchange = async {
        if ahead {
            let auth = auth_of(known, pipeline.kind);
            connection.exchange_ahead(auth, &bytes, count, &mut replies).await
        } else {
            connection.exchange(&bytes, count, &mut replies).await
        }
    };
    let ended = timeout(time, exchange)
        .await
        .unwrap_or_else(|_| Err(silent(address, &named(&pipeline.commands))));
    for (command, reply) in pipeline.commands.iter().zip(&mut replies) {
        secret::blot(&command.name, reply);
    }
    crash::point(if calls.is_empty() { Point::ReadAfter } else { Point::ChangeAfter });
    tell(wall, &pipeline.commands, &replies, first, calls);
    if pipeline.kind == MemberKind::Data {
        known.lineage.hear(address, &pipeline.commands, &replies);
    }
    // Whoever is told that it broke knows that what was said on it is gone.
    let said = std::mem::take(&mut slot.session);
    ended.map_err(|error| doubted(error, &pipeline.commands, replies.len()))?;
    unauthorized(address, &replies)?;
    slot.connection = (!ahead).then_some(connection);
    slot.session = said;
    pipeline.commands.iter().for_each(|command| slot.session.heed(&command.name));
    Ok(replies)
}

/// The connection of a slot, if there is one that can be used.
pub(super) async fn still_open(slot: &mut Held) -> Option<Connection> {
    let mut connection = slot.connection.take()?;
    connection.is_open().await.then_some(connection)
}

/// Whether it is about the server's own settings and nothing else. That leaves together
/// with the log-in, so that a server which hangs finds it first thing when it wakes: a
/// fence stands before the first of the writes that wait beside it. Anything else waits
/// to be let in, so that a member that hangs leaves no doubt behind.
fn only_settings(commands: &[Command]) -> bool {
    commands.iter().all(|command| command.name.starts_with("CONFIG|"))
        && commands.iter().any(|command| command.class != CallClass::Read)
}

/// The calls of a pipeline that change something, without outcome.
pub(super) fn changing(pipeline: &Pipeline, first: u32) -> Vec<Call> {
    pipeline
        .commands
        .iter()
        .zip(first..)
        .filter(|(command, _)| command.class != CallClass::Read)
        .map(|(command, index)| Call {
            index,
            class: command.class,
            request: secret::show(&pipeline.address, &command.arguments),
            outcome: None,
        })
        .collect()
}

/// Refuses what was on its way and must not go again. What only sets something to
/// what it may be already goes again, whole.
fn in_doubt<'a>(cut: impl Iterator<Item = &'a Call>) -> Result<(), Error> {
    let doubted: Vec<&Call> = cut.filter(|call| call.class > CallClass::Idempotent).collect();
    let [first, rest @ ..] = doubted.as_slice() else { return Ok(()) };
    let known = match &first.outcome {
        Some(outcome) => format!("its outcome was: {outcome}"),
        None => "no outcome is known".to_owned(),
    };
    let more = match rest.len() {
        0 => String::new(),
        more => format!(", and {more} more of this request"),
    };
    Err(Error {
        kind: ErrorKind::InDoubt,
        message: format!(
            "the engine was cut off while it sent {} ({known}){more}: it may have been done, and is not sent again",
            first.request
        ),
    })
}

/// Refuses to go on, on a new connection, with what was said on one that is gone.
pub(super) fn still_said(address: &str, lost: Option<&'static str>) -> Result<(), Error> {
    let Some(lost) = lost else { return Ok(()) };
    Err(Error {
        kind: ErrorKind::Closed,
        message: format!(
            "the connection to {address} on which {lost} was said is gone, and nothing of this was sent: begin again with {lost}"
        ),
    })
}

/// Says what came of each changing call, as far as known.
fn tell(
    wall: &dyn Wall,
    commands: &[Command],
    replies: &[Vec<Node>],
    first: u32,
    calls: Vec<Call>,
) {
    if calls.is_empty() {
        return;
    }
    let mut outcomes = outcomes(commands, replies);
    let known = calls.into_iter().filter_map(|call| {
        let at = (call.index - first) as usize;
        let outcome = outcomes.get_mut(at).and_then(Option::take)?;
        Some(Call { outcome: Some(outcome), ..call })
    });
    let known: Vec<Call> = known.collect();
    if !known.is_empty() {
        wall.outcome(known);
    }
}

/// Says in the error which commands may have been done.
fn doubted(error: Error, commands: &[Command], answered: usize) -> Error {
    let doubt: Vec<&str> = commands
        .iter()
        .skip(answered)
        .filter(|command| command.class != CallClass::Read)
        .map(|command| command.name.as_str())
        .collect();
    match doubt.as_slice() {
        [] => error,
        [name] => Error { message: format!("{}; {name} is in doubt", error.message), ..error },
        [name, rest @ ..] => Error {
            message: format!("{}; {name} and {} more are in doubt", error.message, rest.len()),
            ..error
        },
    }
}

/// A server that wants a log-in which the cluster does not have says so to the
/// first command.
fn unauthorized(address: &str, replies: &[Vec<Node>]) -> Result<(), Error> {
    match replies.first().map(Vec::as_slice) {
        Some([Node::Error(text)]) if text.starts_with("NOAUTH") => Err(wants_log_in(address, text)),
        _ => Ok(()),
    }
}

pub(super) fn wants_log_in(address: &str, text: &str) -> Error {
    Error {
        kind: ErrorKind::Unauthorized,
        message: format!(
            "{address} answers, but wants a log-in ({text}): set username and password of the cluster in baton.toml"
        ),
    }
}

fn named(commands: &[Command]) -> String {
    match commands {
        [] => "nothing".to_owned(),
        [one] => one.name.replace('|', " "),
        [first, rest @ ..] => format!("{} and {} more", first.name.replace('|', " "), rest.len()),
    }
}
