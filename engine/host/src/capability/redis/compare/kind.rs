//! What a key can hold, and how its value is read piece by piece.

use super::super::packed::{Value, Walk};
use super::super::resp;

/// Elements that are read at a time; a set's or hash's encoding may give more.
const ELEMENTS: usize = 256;
/// Bytes of a string that are read first: most are shorter.
const BEGINNING_BYTES: usize = 4 * 1024;
/// Bytes of a string that are read at a time behind that.
const PIECE_BYTES: usize = 256 * 1024;

/// A type of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    String,
    List,
    Set,
    Hash,
    SortedSet,
    Stream,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::String, Self::List, Self::Set, Self::Hash, Self::SortedSet, Self::Stream];

    /// As TYPE spells it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::Hash => "hash",
            Self::SortedSet => "zset",
            Self::Stream => "stream",
        }
    }

    pub(super) fn of(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word().as_bytes() == word)
    }
}

/// How far a value has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// So many bytes or elements in order.
    Place(usize),
    /// Where SSCAN or HSCAN goes on.
    Cursor(Vec<u8>),
    /// Behind this entry of a stream.
    Entry(Vec<u8>),
    /// A stream's entries are read; what XINFO says of it is not.
    Info,
    /// So are its groups.
    Groups,
    End,
}

impl At {
    pub(super) fn beginning(kind: Kind) -> Self {
        match kind {
            Kind::String | Kind::List | Kind::SortedSet => Self::Place(0),
            Kind::Set | Kind::Hash => Self::Cursor(b"0".to_vec()),
            Kind::Stream => Self::Entry(Vec::new()),
        }
    }

    /// Appends the command that reads on, with so many elements at a time at most;
    /// false: there is none.
    pub(super) fn ask(&self, kind: Kind, key: &[u8], elements: usize, out: &mut Vec<u8>) -> bool {
        let mut put = |words: &[&[u8]]| resp::put(out, words.iter().copied());
        let count = elements.to_string();
        match (self, kind) {
            (Self::Place(from), Kind::String) => {
                let end = (from + piece(*from) - 1).to_string();
                put(&[b"GETRANGE", key, from.to_string().as_bytes(), end.as_bytes()]);
            }
            (Self::Place(from), Kind::List) => {
                let end = (from + elements - 1).to_string();
                put(&[b"LRANGE", key, from.to_string().as_bytes(), end.as_bytes()]);
            }
            (Self::Place(from), _) => {
                let (from, end) = (from.to_string(), (from + elements - 1).to_string());
                put(&[b"ZRANGE", key, from.as_bytes(), end.as_bytes(), b"WITHSCORES"]);
            }
            (Self::Cursor(cursor), kind) => {
                let name: &[u8] = if kind == Kind::Set { b"SSCAN" } else { b"HSCAN" };
                put(&[name, key, cursor, b"COUNT", count.as_bytes()]);
            }
            (Self::Entry(last), _) => {
                let from =
                    if last.is_empty() { b"-".to_vec() } else { [b"(", last.as_slice()].concat() };
                put(&[b"XRANGE", key, &from, b"+", b"COUNT", count.as_bytes()]);
            }
            (Self::Info, _) => put(&[b"XINFO", b"STREAM", key]),
            (Self::Groups, _) => put(&[b"XINFO", b"GROUPS", key]),
            (Self::End, _) => return false,
        }
        true
    }
}

/// How many bytes of a string are read from `from` on.
pub(super) fn piece(from: usize) -> usize {
    if from == 0 { BEGINNING_BYTES } else { PIECE_BYTES }
}

/// What is asked of a key first. Streams: entries, and what XINFO says.
pub(super) fn first_look(kind: Kind, key: &[u8], out: &mut Vec<u8>) -> usize {
    let asked = At::beginning(kind).ask(kind, key, ELEMENTS, out);
    if kind != Kind::Stream {
        return usize::from(asked);
    }
    At::Info.ask(kind, key, ELEMENTS, out);
    At::Groups.ask(kind, key, ELEMENTS, out);
    3
}

/// Elements that [`first_look`] asks for at most.
pub(super) fn elements() -> usize {
    ELEMENTS
}

/// Whether the answer to a first look is all of the value.
pub(super) fn is_whole(kind: Kind, reply: &[u8]) -> bool {
    let mut walk = Walk(reply);
    match (kind, walk.next()) {
        (Kind::String, Some(Value::Text(text))) => text.len() < BEGINNING_BYTES,
        (Kind::List | Kind::Stream, Some(Value::Array(count))) => (count as usize) < ELEMENTS,
        (Kind::SortedSet, Some(Value::Array(count))) => (count as usize) < 2 * ELEMENTS,
        (Kind::Set | Kind::Hash, Some(Value::Array(2))) => walk.text() == Some(b"0"),
        _ => false,
    }
}

/// Whether the answer to a first look says that there is no such key.
pub(super) fn is_nothing(kind: Kind, reply: &[u8]) -> bool {
    let mut walk = Walk(reply);
    match (kind, walk.next()) {
        (Kind::String, Some(Value::Text(text))) => text.is_empty(),
        (Kind::List | Kind::Stream | Kind::SortedSet, Some(Value::Array(0))) => true,
        (Kind::Set | Kind::Hash, Some(Value::Array(2))) => {
            walk.text() == Some(b"0") && walk.array() == Some(0)
        }
        _ => false,
    }
}
