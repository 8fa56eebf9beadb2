//! `redis.read-each`: one read for each of many keys, the replies packed. What a
//! thousand small replies cost as trees is most of what reading them costs.

use std::time::Duration;

use baton_crash::{self as crash, Point};
use tokio::time::{Instant, timeout};

use super::connection::{Connection, silent};
use super::grant::Asker;
use super::packed::{Packed, Value, Walk};
use super::send::{still_open, still_said, wants_log_in};
use super::{View, resp, secret};
use crate::guest::wit::redis::{Command, Error, ErrorKind};
use crate::limits;
use crate::tape::Asked;

/// All of the question, for the tape.
pub(super) fn asked(
    cluster: &str,
    address: &str,
    command: &Command,
    keys: &[Vec<u8>],
    timeout_ms: u32,
) -> Asked {
    let mut asking = Asked::of("redis.read-each").text(cluster).text(address);
    asking = asking.number(timeout_ms.into()).number(command.len() as u64);
    asking = command.iter().fold(asking, |asking, word| asking.bytes(word));
    asking = asking.number(keys.len() as u64);
    asking = keys.iter().fold(asking, |asking, key| asking.bytes(key));
    asking.shown(keys.iter().map(|key| {
        let mut words = command.clone();
        words.insert(words.len().min(1), key.clone());
        secret::show(address, &words)
    }))
}

impl View<'_> {
    /// Sends `command` for each of `keys` to one member.
    pub(super) async fn each(
        &mut self,
        cluster: &str,
        address: &str,
        command: &Command,
        keys: &[Vec<u8>],
        timeout_ms: u32,
    ) -> Result<Vec<u8>, Error> {
        let known = self.known(cluster)?;
        let time =
            Duration::from_millis(u64::from(timeout_ms.clamp(1, limits::CALL_TIMEOUT_MS_MAX)));
        bounded(command, keys)?;
        let grants = self.grants(cluster);
        let asker =
            Asker { step: &self.caller.context.step, cluster: &known.cluster, grants: &grants };
        let (kind, Some(first)) = asker.each(address, command, keys)? else {
            return Ok(Vec::new());
        };
        let bytes = encode(command, keys);
        let slot = self.state.slot(cluster, address);
        let mut slot = slot.lock().await;
        let started = Instant::now();
        let kept = still_open(&mut slot).await;
        let mut connection = if let Some(connection) = kept {
            connection
        } else {
            still_said(address, slot.session.lose())?;
            Connection::open(&known, address, kind, started + time).await?
        };
        let said = std::mem::take(&mut slot.session);
        let mut replies = Packed::default();
        crash::point(Point::ReadBefore);
        let exchange =
            connection.exchange_packed(&bytes, keys.len(), limits::REPLY_BYTES_MAX, &mut replies);
        timeout(time.saturating_sub(started.elapsed()), exchange)
            .await
            .unwrap_or_else(|_| Err(silent(address, &first.name)))?;
        crash::point(Point::ReadAfter);
        if let Some(Value::Error(text)) = Walk(&replies.bytes).next()
            && text.starts_with(b"NOAUTH")
        {
            return Err(wants_log_in(address, &String::from_utf8_lossy(text)));
        }
        slot.connection = Some(connection);
        slot.session = said;
        Ok(replies.bytes)
    }
}

fn bounded(command: &Command, keys: &[Vec<u8>]) -> Result<(), Error> {
    let over = |message: String| Err(Error { kind: ErrorKind::Limit, message });
    if keys.len() > limits::COMMANDS_MAX {
        return over(format!(
            "{} keys in one call, more than {}: ask for them in parts",
            keys.len(),
            limits::COMMANDS_MAX
        ));
    }
    let words: usize = command.iter().map(Vec::len).sum();
    let bytes = keys.iter().map(Vec::len).sum::<usize>() + words.saturating_mul(keys.len());
    if bytes > limits::REQUEST_BYTES_MAX {
        return over(format!(
            "{bytes} bytes in one pipeline, more than {}: ask for them in parts",
            limits::REQUEST_BYTES_MAX
        ));
    }
    Ok(())
}

fn encode(command: &Command, keys: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut words: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
    words.insert(words.len().min(1), b"");
    for key in keys {
        words[1] = key;
        resp::put(&mut bytes, words.iter().copied());
    }
    bytes
}
