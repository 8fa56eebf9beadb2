//! Replies in one piece of memory, as `redis.read-each` gives them: no allocation a
//! value on either side of the wall.
//!
//! Values stand in pre-order. Each is a tag (1 byte) and what follows it, numbers in
//! little-endian: 0 null, 1 false, 2 true, 3 integer (8 bytes), 4 double (8 bytes), and
//! with a length or count of 4 bytes: 5 bulk, 6 simple, 7 error, 8 big number, 9 array,
//! 10 map (its count is of pairs), 11 set, 12 push. `plugins/sdk/src/redis/packed.rs` is
//! the other side.

use super::head::Head;

const BULK: u8 = 5;
const ERROR: u8 = 7;
const ARRAY: u8 = 9;

/// Packed replies, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub(super) bytes: Vec<u8>,
    /// Where each reply ends.
    pub(super) ends: Vec<usize>,
}

impl Packed {
    /// Reply by reply.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut begin = 0;
        self.ends.iter().map(move |&end| &self.bytes[std::mem::replace(&mut begin, end)..end])
    }
}

/// Appends one value without its children.
pub(super) fn push(out: &mut Vec<u8>, head: Head<'_>) {
    match head {
        Head::Null => out.push(0),
        Head::Boolean(it) => out.push(1 + u8::from(it)),
        Head::Integer(it) => {
            out.push(3);
            out.extend_from_slice(&it.to_le_bytes());
        }
        Head::Double(it) => {
            out.push(4);
            out.extend_from_slice(&it.to_le_bytes());
        }
        Head::Bulk(it) => text(out, BULK, it),
        Head::Simple(it) => text(out, 6, it),
        Head::Error(it) => text(out, ERROR, it),
        Head::BigNumber(it) => text(out, 8, it),
        Head::Array(count) => many(out, ARRAY, count),
        Head::Map(pairs) => many(out, 10, pairs),
        Head::Set(count) => many(out, 11, count),
        Head::Push(count) | Head::Attribute(count) => many(out, 12, count),
    }
}

fn text(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    // A reply's bytes are bounded far below that.
    many(out, tag, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(bytes);
}

fn many(out: &mut Vec<u8>, tag: u8, count: u32) {
    out.push(tag);
    out.extend_from_slice(&count.to_le_bytes());
}

/// A value of what [`push`] wrote, of the kinds that reads in RESP2 are made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Integer(i64),
    /// Bulk, simple and big number alike.
    Text(&'a [u8]),
    Error(&'a [u8]),
    Array(u32),
    /// What RESP2 has no word for.
    Other,
}

/// Walks over packed values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk<'a>(pub(super) &'a [u8]);

impl<'a> Walk<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Leaves out a value and all that is in it.
    pub(super) fn pass(&mut self) -> Option<()> {
        let mut missing = 1_u64;
        while missing > 0 {
            missing -= 1;
            if let Value::Array(count) = self.next()? {
                missing += u64::from(count);
            }
        }
        Some(())
    }

    /// The text that comes next.
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        match self.next()? {
            Value::Text(text) => Some(text),
            Value::Null | Value::Integer(_) | Value::Error(_) | Value::Array(_) | Value::Other => {
                None
            }
        }
    }

    /// How many values the array has that comes next.
    pub(super) fn array(&mut self) -> Option<u32> {
        match self.next()? {
            Value::Array(count) => Some(count),
            Value::Null | Value::Integer(_) | Value::Text(_) | Value::Error(_) | Value::Other => {
                None
            }
        }
    }
}

#[allow(clippy::copy_iterator, reason = "a place in borrowed bytes: a copy of it is another place")]
impl<'a> Iterator for Walk<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let tag = *self.take(1)?.first()?;
        Some(match tag {
            0 => Value::Null,
            3 => Value::Integer(i64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            4 => {
                self.take(8)?;
                Value::Other
            }
            5..=12 => {
                let count = u32::from_le_bytes(self.take(4)?.try_into().ok()?);
                match tag {
                    ERROR => Value::Error(self.take(count as usize)?),
                    BULK | 6 | 8 => Value::Text(self.take(count as usize)?),
                    ARRAY => Value::Array(count),
                    _ => Value::Other,
                }
            }
            _ => Value::Other,
        })
    }
}
