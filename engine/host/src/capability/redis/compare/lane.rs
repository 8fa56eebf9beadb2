//! A connection of our own to one data node, in RESP2 (one spelling of each answer), on
//! one database.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::super::connection::{Connection, silent};
use super::super::packed::{Packed, Value, Walk};
use super::super::{Known, resp};
use super::kind::Kind;
use crate::guest::wit::redis::{Error, ErrorKind, MemberKind};

/// Replies of one pipeline: what fits into memory a few times.
const REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(crate) struct Lane {
    pub(super) address: String,
    known: Arc<Known>,
    connection: Connection,
    database: u32,
}

/// Keys of one page, with what the scanned node says of each.
pub(super) struct Page {
    pub(super) cursor: u64,
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) took: Duration,
}

/// What TYPE and PEXPIRETIME say of a key. None: there is no such key.
pub(super) type Seen = Option<(Sort, Option<u64>)>;

/// When a key expires, Unix ms; none: never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expiry(pub(super) Option<u64>);

/// A type that we can read, or the name of one that we cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Known(Kind),
    Other(String),
}

impl Lane {
    pub(super) async fn open(
        known: &Arc<Known>,
        address: &str,
        deadline: Instant,
    ) -> Result<Self, Error> {
        let connection = Connection::open_as(known, address, MemberKind::Data, 2, deadline).await?;
        Ok(Self { address: address.to_owned(), known: Arc::clone(known), connection, database: 0 })
    }

    /// Another connection instead of one on which answers are left that nobody reads.
    pub(super) async fn reopen(&mut self, deadline: Instant) -> Result<(), Error> {
        let database = self.database;
        *self = Self::open(&self.known, &self.address, deadline).await?;
        self.select(database, deadline).await
    }

    pub(super) async fn is_open(&mut self) -> bool {
        self.connection.is_open().await
    }

    pub(super) async fn select(&mut self, database: u32, deadline: Instant) -> Result<(), Error> {
        if self.database == database {
            return Ok(());
        }
        let mut bytes = Vec::new();
        put(&mut bytes, &[b"SELECT", database.to_string().as_bytes()]);
        let reply = self.ask(&bytes, 1, deadline).await?;
        if let Some(Value::Error(text)) = Walk(&reply.bytes).next() {
            return Err(self.refused("SELECT", text));
        }
        self.database = database;
        Ok(())
    }

    /// Sends `count` commands and gives their replies.
    pub(super) async fn ask(
        &mut self,
        bytes: &[u8],
        count: usize,
        deadline: Instant,
    ) -> Result<Packed, Error> {
        let mut replies = Packed::default();
        if count > 0 {
            let exchange =
                self.connection.exchange_packed(bytes, count, REPLY_BYTES_MAX, &mut replies);
            timeout_at(deadline, exchange)
                .await
                .unwrap_or_else(|_| Err(silent(&self.address, "a comparison of keys")))?;
        }
        Ok(replies)
    }

    /// One step of SCAN.
    pub(super) async fn scan(
        &mut self,
        cursor: u64,
        pattern: &str,
        count: usize,
        deadline: Instant,
    ) -> Result<Page, Error> {
        let (cursor, count) = (cursor.to_string(), count.to_string());
        let mut words: Vec<&[u8]> = vec![b"SCAN", cursor.as_bytes(), b"COUNT", count.as_bytes()];
        if pattern != "*" {
            words.extend([b"MATCH".as_slice(), pattern.as_bytes()]);
        }
        let mut bytes = Vec::new();
        put(&mut bytes, &words);
        let begun = Instant::now();
        let reply = self.ask(&bytes, 1, deadline).await?;
        let took = begun.elapsed();
        let mut walk = Walk(&reply.bytes);
        if let Some(Value::Error(text)) = Walk(&reply.bytes).next() {
            return Err(self.refused("SCAN", text));
        }
        let page = (|| {
            walk.array().filter(|parts| *parts == 2)?;
            let cursor = std::str::from_utf8(walk.text()?).ok()?.parse().ok()?;
            let count = walk.array()?;
            let keys =
                (0..count).map(|_| walk.text().map(<[u8]>::to_vec)).collect::<Option<_>>()?;
            Some(Page { cursor, keys, took })
        })();
        page.ok_or_else(|| self.odd("SCAN"))
    }

    /// TYPE and PEXPIRETIME of each key.
    pub(super) async fn look(
        &mut self,
        keys: &[&[u8]],
        deadline: Instant,
    ) -> Result<Vec<Seen>, Error> {
        let mut bytes = Vec::new();
        for key in keys {
            put(&mut bytes, &[b"TYPE", key]);
            put(&mut bytes, &[b"PEXPIRETIME", key]);
        }
        let replies = self.ask(&bytes, keys.len() * 2, deadline).await?;
        let mut replies = replies.iter();
        let mut all = Vec::with_capacity(keys.len());
        while let (Some(kind), Some(expiry)) = (replies.next(), replies.next()) {
            let word = match Walk(kind).next() {
                Some(Value::Text(word)) => word,
                Some(Value::Error(text)) => return Err(self.refused("TYPE", text)),
                _ => return Err(self.odd("TYPE")),
            };
            let sort = match Kind::of(word) {
                Some(kind) => Sort::Known(kind),
                None if word == b"none" => {
                    all.push(None);
                    continue;
                }
                None => Sort::Other(String::from_utf8_lossy(word).into_owned()),
            };
            all.push(self.expiry(expiry)?.map(|Expiry(at)| (sort, at)));
        }
        Ok(all)
    }

    /// What PEXPIRETIME says. None: there is no such key.
    pub(super) fn expiry(&self, reply: &[u8]) -> Result<Option<Expiry>, Error> {
        match Walk(reply).next() {
            Some(Value::Integer(-2)) => Ok(None),
            Some(Value::Integer(-1)) => Ok(Some(Expiry(None))),
            Some(Value::Integer(at)) => Ok(Some(Expiry(u64::try_from(at).ok()))),
            Some(Value::Error(text)) => Err(self.refused("PEXPIRETIME (Redis 7.0 has it)", text)),
            _ => Err(self.odd("PEXPIRETIME")),
        }
    }

    /// A server that will not read: it loads, is busy, or does not let us.
    pub(super) fn refused(&self, what: &str, text: &[u8]) -> Error {
        let text = String::from_utf8_lossy(text);
        let is_lasting = ["NOPERM", "NOAUTH"].iter().any(|word| text.starts_with(word));
        let kind = if is_lasting { ErrorKind::Unauthorized } else { ErrorKind::Protocol };
        Error { kind, message: format!("{} refused {what}: {text}", self.address) }
    }

    pub(super) fn odd(&self, what: &str) -> Error {
        let message = format!("{} answers {what} in no form that is known", self.address);
        Error { kind: ErrorKind::Protocol, message }
    }
}

pub(super) fn put(bytes: &mut Vec<u8>, words: &[&[u8]]) {
    resp::put(bytes, words.iter().copied());
}
