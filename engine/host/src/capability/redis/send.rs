//! From a granted pipeline to its replies: connect, intend, send, tell.

use std::time::Duration;

use baton_core::run::event::{Call, CallClass};
use baton_crash::{self as crash, Point};
use futures::future::join_all;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::connection::{Connection, silent};
use super::grant::{Command, Pipeline};
use super::outcome::outcomes;
use super::{Known, resp, secret};
use crate::guest::wit::redis::{Error, ErrorKind, Node};
use crate::host::Wall;

/// Sends one pipeline. `first` is the number of its first command among the
/// host calls of the attempt.
///
/// Connecting comes before the intents, so that a member that is gone leaves no
/// doubt behind; the intents' way to the disk does not count as the member's time.
pub(super) async fn send(
    known: &Known,
    pipeline: Pipeline,
    slot: &Mutex<Option<Connection>>,
    wall: &dyn Wall,
    first: u32,
    time: Duration,
) -> Result<Vec<Vec<Node>>, Error> {
    let started = Instant::now();
    let mut slot = slot.lock().await;
    let address = &pipeline.address;
    let kept = slot.take().and_then(|mut kept| kept.is_open().then_some(kept));
    let mut connection = match kept {
        Some(connection) => connection,
        None => Connection::open(known, address, pipeline.kind, started + time).await?,
    };
    let time = time.saturating_sub(started.elapsed());

    let calls = changing(&pipeline, first);
    crash::point(if calls.is_empty() { Point::ReadBefore } else { Point::ChangeBefore });
    if let Err(error) = intend(wall, &calls).await {
        *slot = Some(connection);
        return Err(error);
    }

    if !calls.is_empty() {
        crash::point(Point::ChangeIntended);
    }
    let bytes = resp::encode(pipeline.commands.iter().map(|command| command.arguments.as_slice()));
    let mut replies = Vec::new();
    let exchange = connection.exchange(&bytes, pipeline.commands.len(), &mut replies);
    let ended = timeout(time, exchange)
        .await
        .unwrap_or_else(|_| Err(silent(address, &named(&pipeline.commands))));
    for (command, reply) in pipeline.commands.iter().zip(&mut replies) {
        secret::blot(&command.name, reply);
    }
    crash::point(if calls.is_empty() { Point::ReadAfter } else { Point::ChangeAfter });
    tell(wall, &pipeline.commands, &replies, first, calls);
    ended.map_err(|error| doubted(error, &pipeline.commands, replies.len()))?;
    unauthorized(address, &replies)?;
    *slot = Some(connection);
    Ok(replies)
}

/// The calls of a pipeline that change something, without outcome.
fn changing(pipeline: &Pipeline, first: u32) -> Vec<Call> {
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

/// Puts all intents on disk, or fails and says of each that it was not sent.
async fn intend(wall: &dyn Wall, calls: &[Call]) -> Result<(), Error> {
    let stored = join_all(calls.iter().map(|call| wall.intend(call.clone()))).await;
    let Some(error) = stored.iter().find_map(|stored| stored.as_ref().err()) else {
        return Ok(());
    };
    for (call, stored) in calls.iter().zip(&stored) {
        if stored.is_ok() {
            let outcome = Some("not sent: another intent could not be stored".to_owned());
            wall.outcome(Call { outcome, ..call.clone() });
        }
    }
    Err(Error {
        kind: ErrorKind::Internal,
        message: format!("nothing was sent: the intent could not be stored ({error})"),
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
    for call in calls {
        let at = (call.index - first) as usize;
        if let Some(outcome) = outcomes.get_mut(at).and_then(Option::take) {
            wall.outcome(Call { outcome: Some(outcome), ..call });
        }
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
        Some([Node::Error(text)]) if text.starts_with("NOAUTH") => Err(Error {
            kind: ErrorKind::Unauthorized,
            message: format!(
                "{address} answers, but wants a log-in ({text}): set username and password of the cluster in baton.toml"
            ),
        }),
        _ => Ok(()),
    }
}

fn named(commands: &[Command]) -> String {
    match commands {
        [] => "nothing".to_owned(),
        [one] => one.name.replace('|', " "),
        [first, rest @ ..] => format!("{} and {} more", first.name.replace('|', " "), rest.len()),
    }
}
