//! `redis.divergence`: what a master wrote that nobody else got, read from its backlog.
//!
//! A connection becomes a replica's (PSYNC), hears the stream up to the offset that INFO
//! named before, and hangs up. It acknowledges nothing, so that no WAIT counts it.
//!
//! **Invariant:** PSYNC is sent only for an offset that INFO has shown to be in the
//! backlog, on the history that INFO has shown: anything else would have the node save a
//! full copy for us.

use std::time::Duration;

use baton_crash::{self as crash, Point};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use super::Known;
use super::connection::{Connection, Stream, broken, silent};
use super::keys::{Keys, keys};
use super::resp::{Broken, encode};
use super::secret;
use super::table::name_of;
use crate::guest::wit::redis::{
    Error, ErrorKind, MemberKind, Node, StreamPlace, StreamReading, Streamed, Stretch, Unreadable,
};
use crate::limits;
use crate::tape::Asked;
use crate::text::tame;

/// What passes in a stream and writes nothing. A message is no data, and Sentinels send
/// some through every master.
const IDLE: &[&str] = &["PING", "PUBLISH", "REPLCONF", "SPUBLISH"];

/// All of a call, for the tape.
pub(super) fn asked(
    cluster: &str,
    address: &str,
    replid: &str,
    place: StreamPlace,
    timeout_ms: u32,
) -> Asked {
    let maybe = |number: Option<i64>| number.map(|it| it.to_string()).unwrap_or_default();
    Asked::of("redis.divergence")
        .text(cluster)
        .text(address)
        .text(replid)
        .text(&place.offset.to_string())
        .text(&maybe(place.database.map(i64::from)))
        .text(&maybe(place.transaction))
        .number(timeout_ms.into())
        .shown(std::iter::once(format!("{address}> the stream from {}", place.offset)))
}

/// Reads it, within `time`.
pub(super) async fn read(
    known: &Known,
    address: &str,
    replid: &str,
    place: StreamPlace,
    time: Duration,
) -> Result<StreamReading, Error> {
    let deadline = Instant::now() + time;
    crash::point(Point::ReadBefore);
    // In RESP2: what follows PSYNC is in neither.
    let mut connection = Connection::open_as(known, address, MemberKind::Data, 2, deadline).await?;
    let reply = timeout_at(deadline, connection.ask(&["INFO", "replication"]))
        .await
        .unwrap_or_else(|_| Err(silent(address, "INFO replication")))?;
    let standing = match Standing::of(&reply) {
        Ok(standing) => standing,
        Err(text) => return refused(address, "INFO replication", &text, "info"),
    };
    if let Some((why, found)) = standing.lacks(address, replid, place.offset) {
        return Ok(StreamReading::Unreadable((why, found)));
    }
    let end = standing.offset;
    if place.offset > end {
        let nothing = Stretch { end, writes: Vec::new(), idle_bytes: 0, next: None };
        return Ok(StreamReading::Read(nothing));
    }
    let (stream, buffer) = connection.into_stream();
    let mut source = Source { stream, buffer, at: 0, taken: 0 };
    let reading = async {
        let answer = source.begin(replid, place.offset).await?;
        if !follows(&answer) {
            return Ok::<_, Broken>(Err(answer));
        }
        Ok(Ok(source.stretch(address, place, end).await?))
    };
    let read = timeout_at(deadline, reading)
        .await
        .map_err(|_| silent(address, "PSYNC, or its stream stopped short,"))?
        .map_err(|why| broken(address, &why))?;
    // Before anything else is done the node has its replica no more.
    drop(source);
    crash::point(Point::ReadAfter);
    match read {
        Ok(stretch) => Ok(StreamReading::Read(stretch)),
        Err(answer) => refused(address, "PSYNC", &answer, "psync"),
    }
}

/// Whether the node goes on from where it was asked to.
fn follows(answer: &str) -> bool {
    answer.split(' ').next() == Some("+CONTINUE")
}

/// The answer to a command that should have done.
fn refused(address: &str, what: &str, answer: &str, word: &str) -> Result<StreamReading, Error> {
    let shown = tame(answer, limits::OUTCOME_TEXT_BYTES_MAX);
    if ["-NOAUTH", "-NOPERM"].iter().any(|refusal| answer.starts_with(refusal)) {
        return Err(Error {
            kind: ErrorKind::Unauthorized,
            message: format!(
                "{address} answers, but refuses {what} ({shown}): give the user of the cluster in baton.toml `+{word}`"
            ),
        });
    }
    let full = answer.starts_with("+FULLRESYNC");
    let more = if full {
        ": the connection was dropped at once; a copy that it may have begun to save for it is of no use to anybody"
    } else {
        ""
    };
    let found = format!("{address} answers {what} with {shown}{more}");
    Ok(StreamReading::Unreadable((Unreadable::Refused, found)))
}

/// What a node says of its stream.
#[derive(Debug, PartialEq, Eq)]
struct Standing {
    master: bool,
    replid: String,
    /// Of its last byte.
    offset: i64,
    /// First byte of its backlog and how many there are; none: it has none.
    backlog: Option<(i64, i64)>,
}

impl Standing {
    /// # Errors
    /// What was answered instead.
    fn of(reply: &Node) -> Result<Self, String> {
        let text = match reply {
            Node::Bulk(text) => String::from_utf8_lossy(text),
            Node::Error(text) => return Err(format!("-{text}")),
            Node::Null
            | Node::Boolean(_)
            | Node::Integer(_)
            | Node::Double(_)
            | Node::Simple(_)
            | Node::BigNumber(_)
            | Node::Array(_)
            | Node::Map(_)
            | Node::Set(_)
            | Node::Push(_) => return Err("no text".to_owned()),
        };
        let field = |name: &str| {
            let values = text.lines().filter_map(|line| line.trim_end().split_once(':'));
            values.filter(|(key, _)| *key == name).map(|(_, value)| value).next()
        };
        let number = |name: &str| field(name).and_then(|value| value.parse::<i64>().ok());
        let of = || {
            let active = number("repl_backlog_active")? == 1;
            let backlog =
                (number("repl_backlog_first_byte_offset")?, number("repl_backlog_histlen")?);
            Some(Self {
                master: field("role")? == "master",
                replid: field("master_replid")?.to_owned(),
                offset: number("master_repl_offset")?,
                backlog: active.then_some(backlog),
            })
        };
        of().ok_or_else(|| "no field of a node that replicates".to_owned())
    }

    /// Why it could not go on from `offset` of `replid`, if so.
    fn lacks(&self, address: &str, replid: &str, offset: i64) -> Option<(Unreadable, String)> {
        let replid = tame(replid, limits::OUTCOME_TEXT_BYTES_MAX);
        if !self.master {
            let found = format!("{address} follows somebody: its stream is no longer its own");
            return Some((Unreadable::AnotherHistory, found));
        }
        if self.replid != replid {
            let own = tame(&self.replid, limits::OUTCOME_TEXT_BYTES_MAX);
            let found = format!(
                "{address} is on the history {own}, not on {replid}: a process that was restarted has lost its backlog"
            );
            return Some((Unreadable::AnotherHistory, found));
        }
        if offset < 1 || offset.checked_sub(1).is_none_or(|before| before > self.offset) {
            let found = format!("{address} is at {}, and was asked for {offset}", self.offset);
            return Some((Unreadable::AnotherHistory, found));
        }
        if offset > self.offset {
            return None;
        }
        let Some((first, length)) = self.backlog else {
            return Some((Unreadable::Overwritten, format!("{address} keeps no backlog")));
        };
        let after = first.saturating_add(length);
        (offset < first || offset >= after).then(|| {
            let found = format!(
                "the backlog of {address} begins at {first} and holds {length} bytes: {offset} is not in it (raise repl-backlog-size)"
            );
            (Unreadable::Overwritten, found)
        })
    }
}

/// One command of a stream.
struct Passing {
    words: Vec<Vec<u8>>,
    /// Arguments that were passed over.
    dropped: usize,
    size: u64,
}

/// A connection behind PSYNC.
struct Source {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    /// What was read of the buffer.
    at: usize,
    /// What was read in all, bytes.
    taken: u64,
}

/// What is read at a time.
const CHUNK: usize = 64 * 1024;

impl Source {
    /// Asks, and gives the answer's line.
    async fn begin(&mut self, replid: &str, offset: i64) -> Result<String, Broken> {
        let words = ["PSYNC", replid, &offset.to_string()];
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        self.stream.write_all(&encode(std::iter::once(words.as_slice()))).await?;
        self.stream.flush().await?;
        let line = self.line().await?;
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// The stream from `place` to the byte `end`, or as much of it as one answer holds.
    async fn stretch(
        &mut self,
        address: &str,
        place: StreamPlace,
        end: i64,
    ) -> Result<Stretch, Broken> {
        let mut here = place;
        let (mut writes, mut told, mut idle_bytes) = (Vec::new(), 0, 0);
        while here.offset <= end {
            if writes.len() >= limits::STREAM_WRITES_MAX || told >= limits::STREAM_TOLD_BYTES_MAX {
                return Ok(Stretch { end, writes, idle_bytes, next: Some(here) });
            }
            let command = self.command().await?;
            let name = name_of(&command.words);
            let mut is_idle = true;
            match name.as_str() {
                "SELECT" => here.database = command.words.get(1).and_then(|it| number(it)),
                "MULTI" => here.transaction = Some(here.offset),
                "EXEC" => here.transaction = None,
                idle if IDLE.contains(&idle) => {}
                _ => {
                    let write = streamed(address, here, &name, &command);
                    told +=
                        write.text.len() + write.keys.iter().flatten().map(Vec::len).sum::<usize>();
                    writes.push(write);
                    is_idle = false;
                }
            }
            if is_idle {
                idle_bytes += command.size;
            }
            let size = i64::try_from(command.size).unwrap_or(i64::MAX);
            here.offset = here.offset.saturating_add(size);
        }
        if here.offset != end + 1 {
            return Err(Broken::Protocol(format!(
                "the stream has no command that ends at {end}, where INFO said it would"
            )));
        }
        Ok(Stretch { end, writes, idle_bytes, next: None })
    }

    /// The next command, its arguments cut to what is kept of them.
    async fn command(&mut self) -> Result<Passing, Broken> {
        let before = self.taken;
        let count = self.count(b'*').await?;
        if count == 0 {
            return Err(Broken::Protocol("a command without a name".to_owned()));
        }
        let mut words = Vec::new();
        for at in 0..count {
            let length = self.count(b'$').await?;
            let is_kept = at < limits::STREAM_ARGUMENTS_MAX;
            let keep = if is_kept { limits::STREAM_ARGUMENT_BYTES_MAX } else { 0 };
            let argument = self.argument(length, keep).await?;
            if is_kept {
                words.push(argument);
            }
        }
        let dropped = count - words.len();
        Ok(Passing { words, dropped, size: self.taken - before })
    }

    /// The number behind `kind` on a line of its own.
    async fn count(&mut self, kind: u8) -> Result<usize, Broken> {
        let line = self.line().await?;
        let count = line.split_first().filter(|(first, _)| **first == kind);
        count.and_then(|(_, digits)| number(digits)).ok_or_else(|| {
            let shown = String::from_utf8_lossy(&line[..line.len().min(40)]).into_owned();
            Broken::Protocol(format!("the stream holds {shown:?} where a command should go on"))
        })
    }

    /// The next line, its end left out.
    async fn line(&mut self) -> Result<Vec<u8>, Broken> {
        let mut searched = 0;
        loop {
            let rest = &self.buffer[self.at..];
            let from = usize::saturating_sub(searched, 1);
            if let Some(end) = rest[from..].windows(2).position(|pair| pair == b"\r\n") {
                let line = rest[..from + end].to_vec();
                self.take(line.len() + 2);
                return Ok(line);
            }
            if rest.len() > limits::LINE_BYTES_MAX {
                let bound = limits::LINE_BYTES_MAX;
                return Err(Broken::Protocol(format!("a line of more than {bound} bytes")));
            }
            searched = rest.len();
            self.fill().await?;
        }
    }

    /// The next `length` bytes and their end; the first `keep` of them.
    async fn argument(&mut self, length: usize, keep: usize) -> Result<Vec<u8>, Broken> {
        let mut kept = Vec::new();
        let mut left = length;
        while left > 0 {
            if self.at == self.buffer.len() {
                self.fill().await?;
            }
            let here = &self.buffer[self.at..][..left.min(self.buffer.len() - self.at)];
            kept.extend_from_slice(&here[..here.len().min(keep - kept.len())]);
            let read = here.len();
            left -= read;
            self.take(read);
        }
        while self.buffer.len() - self.at < 2 {
            self.fill().await?;
        }
        if &self.buffer[self.at..self.at + 2] != b"\r\n" {
            return Err(Broken::Protocol("an argument does not end where it should".to_owned()));
        }
        self.take(2);
        Ok(kept)
    }

    fn take(&mut self, count: usize) {
        self.at += count;
        self.taken += count as u64;
    }

    async fn fill(&mut self) -> Result<(), Broken> {
        self.buffer.drain(..std::mem::take(&mut self.at));
        self.buffer.reserve(CHUNK);
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(Broken::Closed);
        }
        Ok(())
    }
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// A write as it is told.
fn streamed(address: &str, here: StreamPlace, name: &str, command: &Passing) -> Streamed {
    let named = match keys(name, &command.words) {
        Keys::These(keys) => Some(keys.into_iter().map(<[u8]>::to_vec).collect::<Vec<_>>()),
        Keys::Matching(_) | Keys::All(_) => None,
    };
    let is_cut = |key: &Vec<u8>| key.len() >= limits::STREAM_ARGUMENT_BYTES_MAX;
    let whole = command.dropped == 0 && named.as_ref().is_some_and(|keys| !keys.iter().any(is_cut));
    let text = secret::show(address, &command.words);
    let text = text.split_once("> ").map_or(text.as_str(), |(_, shown)| shown).to_owned();
    Streamed {
        offset: here.offset,
        size: command.size,
        database: here.database,
        transaction: here.transaction,
        name: tame(name, limits::REQUEST_TEXT_BYTES_MAX),
        keys: named,
        whole,
        text,
    }
}
