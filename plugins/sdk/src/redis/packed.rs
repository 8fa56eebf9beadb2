//! Replies in one piece of memory, read in place: what `Host::read_each` gives. A value
//! costs no allocation, so a million of them are read in a second.

use super::value::Value;
use std::borrow::Cow;

/// Packed replies, in the order of the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replies(Vec<u8>);

/// A value, where it lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum View<'a> {
    /// Nil.
    Null,
    /// RESP3 boolean.
    Bool(bool),
    /// Integer.
    Int(i64),
    /// RESP3 double.
    Double(f64),
    /// Bytes.
    Bulk(&'a [u8]),
    /// A status such as `OK`.
    Simple(&'a [u8]),
    /// An error reply, whole: `WRONGTYPE Operation against …`.
    Error(&'a [u8]),
    /// RESP3 big number.
    Big(&'a [u8]),
    /// An array, set or push.
    List(Items<'a>),
    /// RESP3 map: key, value, key, value.
    Map(Items<'a>),
}

/// The values of a list, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Items<'a> {
    left: u64,
    rest: &'a [u8],
}

/// One value without those in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Head<'a> {
    /// Nil.
    Null,
    /// RESP3 boolean.
    Bool(bool),
    /// Integer.
    Int(i64),
    /// RESP3 double.
    Double(f64),
    /// Bytes of a string, a status or a big number.
    Text(&'a [u8]),
    /// An error reply, whole.
    Error(&'a [u8]),
    /// So many values follow: an array, a set, a push, or a map's keys and values.
    List(u32),
}

/// Values in the order in which they lie, lists before what is in them: for who reads
/// replies of a known form, and each byte once.
#[derive(Clone, Debug)]
pub struct Flat<'a> {
    rest: &'a [u8],
}

impl<'a> Flat<'a> {
    /// The next value; none at the end, and where the bytes are no values.
    #[inline]
    pub fn head(&mut self) -> Option<Head<'a>> {
        let (&tag, rest) = self.rest.split_first()?;
        if tag >= 5 {
            let (count, rest) = rest.split_first_chunk::<4>()?;
            let count = u32::from_le_bytes(*count);
            if tag <= 8 {
                let (text, rest) = rest.split_at_checked(count as usize)?;
                self.rest = rest;
                return Some(if tag == 7 { Head::Error(text) } else { Head::Text(text) });
            }
            self.rest = rest;
            return match tag {
                9 | 11 | 12 => Some(Head::List(count)),
                10 => Some(Head::List(count.checked_mul(2)?)),
                _ => None,
            };
        }
        if tag <= 2 {
            self.rest = rest;
            return Some(if tag == 0 { Head::Null } else { Head::Bool(tag == 2) });
        }
        let (number, rest) = rest.split_first_chunk::<8>()?;
        self.rest = rest;
        Some(match tag {
            3 => Head::Int(i64::from_le_bytes(*number)),
            _ => Head::Double(f64::from_le_bytes(*number)),
        })
    }

    /// The bytes of the next value, which is passed over with all that is in it; none where
    /// it is no text.
    #[inline]
    pub fn text(&mut self) -> Option<&'a [u8]> {
        match self.head()? {
            Head::Text(text) => Some(text),
            Head::List(count) => {
                self.pass(count);
                None
            }
            Head::Null | Head::Bool(_) | Head::Int(_) | Head::Double(_) | Head::Error(_) => None,
        }
    }

    /// Passes over so many values with all that is in them.
    pub fn pass(&mut self, count: u32) {
        let mut missing = u64::from(count);
        while missing > 0 {
            missing -= 1;
            match self.head() {
                Some(Head::List(more)) => missing += u64::from(more),
                Some(_) => {}
                None => return,
            }
        }
    }
}

impl Replies {
    /// Takes what the host gave. What is not packed values reads as if it ended there.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Reply by reply.
    pub fn iter(&self) -> Items<'_> {
        Items { left: u64::MAX, rest: &self.0 }
    }

    /// Value by value, each byte once.
    pub fn flat(&self) -> Flat<'_> {
        Flat { rest: &self.0 }
    }

    /// Packs replies, as the host does.
    pub fn pack(replies: &[Value]) -> Self {
        let mut bytes = Vec::new();
        for reply in replies {
            push(&mut bytes, reply);
        }
        Self(bytes)
    }
}

impl<'a> IntoIterator for &'a Replies {
    type Item = View<'a>;
    type IntoIter = Items<'a>;

    fn into_iter(self) -> Items<'a> {
        self.iter()
    }
}

impl<'a> View<'a> {
    /// The bytes of a string or status; none of anything else.
    pub fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bulk(bytes) | Self::Simple(bytes) | Self::Big(bytes) => Some(bytes),
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Double(_)
            | Self::Error(_)
            | Self::List(_)
            | Self::Map(_) => None,
        }
    }

    /// The same as text; none where it is not UTF-8.
    pub fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// A double, spelled either way (RESP2 sends text).
    pub fn double(self) -> Option<f64> {
        if let Self::Double(number) = self { Some(number) } else { self.text()?.parse().ok() }
    }

    /// The values of a list or map; none for anything else.
    pub fn items(self) -> Items<'a> {
        match self {
            Self::List(items) | Self::Map(items) => items,
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Double(_)
            | Self::Bulk(_)
            | Self::Simple(_)
            | Self::Error(_)
            | Self::Big(_) => Items { left: 0, rest: &[] },
        }
    }

    /// An error reply's text.
    pub fn error(self) -> Option<Cow<'a, str>> {
        if let Self::Error(text) = self { Some(String::from_utf8_lossy(text)) } else { None }
    }
}

#[allow(clippy::copy_iterator, reason = "a place in borrowed bytes: a copy of it is another place")]
impl<'a> Iterator for Items<'a> {
    type Item = View<'a>;

    fn next(&mut self) -> Option<View<'a>> {
        self.left = self.left.checked_sub(1)?;
        let view = head(&mut self.rest);
        if let Some(View::List(items) | View::Map(items)) = &view {
            // The list reads on from its first value; we go on behind its last.
            for _ in 0..items.left {
                skip(&mut self.rest)?;
            }
        }
        view
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(count)?;
    *rest = behind;
    Some(taken)
}

/// One value without what is in it.
fn head<'a>(rest: &mut &'a [u8]) -> Option<View<'a>> {
    let tag = *take(rest, 1)?.first()?;
    Some(match tag {
        0 => View::Null,
        1 | 2 => View::Bool(tag == 2),
        3 => View::Int(i64::from_le_bytes(take(rest, 8)?.try_into().ok()?)),
        4 => View::Double(f64::from_le_bytes(take(rest, 8)?.try_into().ok()?)),
        _ => {
            let count = u32::from_le_bytes(take(rest, 4)?.try_into().ok()?);
            match tag {
                5 => View::Bulk(take(rest, count as usize)?),
                6 => View::Simple(take(rest, count as usize)?),
                7 => View::Error(take(rest, count as usize)?),
                8 => View::Big(take(rest, count as usize)?),
                10 => View::Map(Items { left: u64::from(count) * 2, rest }),
                9 | 11 | 12 => View::List(Items { left: u64::from(count), rest }),
                _ => return None,
            }
        }
    })
}

/// Passes over one value with all that is in it.
fn skip(rest: &mut &[u8]) -> Option<()> {
    let mut missing = 1_u64;
    while missing > 0 {
        missing -= 1;
        if let View::List(items) | View::Map(items) = head(rest)? {
            missing += items.left;
        }
    }
    Some(())
}

fn push(out: &mut Vec<u8>, value: &Value) {
    let mut text = |tag: u8, bytes: &[u8]| {
        out.push(tag);
        out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend(bytes);
    };
    match value {
        Value::Null => out.push(0),
        Value::Bool(it) => out.push(1 + u8::from(*it)),
        Value::Int(it) => {
            out.push(3);
            out.extend(it.to_le_bytes());
        }
        Value::Double(it) => {
            out.push(4);
            out.extend(it.to_le_bytes());
        }
        Value::Bulk(it) => text(5, it),
        Value::Simple(it) => text(6, it.as_bytes()),
        Value::Error(it) => text(7, it.as_bytes()),
        Value::BigNumber(it) => text(8, it.as_bytes()),
        Value::List(items) => {
            out.push(9);
            out.extend(u32::try_from(items.len()).unwrap_or(u32::MAX).to_le_bytes());
            for item in items {
                push(out, item);
            }
        }
        Value::Map(pairs) => {
            out.push(10);
            out.extend(u32::try_from(pairs.len()).unwrap_or(u32::MAX).to_le_bytes());
            for (key, item) in pairs {
                push(out, key);
                push(out, item);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_read_in_place() {
        let pairs = vec![(Value::from("k"), Value::List(vec![Value::Int(-7), Value::Null]))];
        let replies = [
            Value::List(vec![Value::from("a"), Value::Map(pairs), Value::Double(1.5)]),
            Value::Error("WRONGTYPE no".into()),
            Value::Bool(true),
        ];
        let packed = Replies::pack(&replies);
        let mut replies = packed.iter();
        let mut list = replies.next().expect("a list").items();
        assert_eq!(list.next().and_then(View::text), Some("a"));
        let mut map = list.next().expect("a map").items();
        assert_eq!(map.next().and_then(View::text), Some("k"));
        let inner: Vec<View<'_>> = map.next().expect("a list").items().collect();
        assert_eq!(inner, [View::Int(-7), View::Null]);
        assert_eq!(map.next(), None);
        assert_eq!(list.next().and_then(View::double), Some(1.5));
        assert_eq!(list.next(), None);
        assert_eq!(replies.next().and_then(View::error).as_deref(), Some("WRONGTYPE no"));
        assert_eq!(replies.next(), Some(View::Bool(true)));
        assert_eq!(replies.next(), None);
    }

    #[test]
    fn what_is_packed_is_read_value_by_value() {
        let pairs = vec![(Value::from("k"), Value::List(vec![Value::Int(-7), Value::Null]))];
        let replies = [
            Value::List(vec![Value::from("a"), Value::Map(pairs), Value::Double(1.5)]),
            Value::Error("WRONGTYPE no".into()),
            Value::Bool(true),
            Value::from("end"),
        ];
        let packed = Replies::pack(&replies);
        let mut flat = packed.flat();
        let all: Vec<Head<'_>> = std::iter::from_fn(|| flat.head()).collect();
        let (text, error) = (Head::Text, Head::Error(b"WRONGTYPE no"));
        let list = [Head::List(3), text(b"a"), Head::List(2), text(b"k"), Head::List(2)];
        let rest = [Head::Int(-7), Head::Null, Head::Double(1.5), error, Head::Bool(true)];
        assert_eq!(all, [&list[..], &rest, &[text(b"end")]].concat());
        let mut flat = packed.flat();
        assert_eq!(flat.text(), None, "a list is passed over whole");
        flat.pass(2);
        assert_eq!((flat.text(), flat.head()), (Some(&b"end"[..]), None));
        for end in 0..packed.0.len() {
            let cut = Replies(packed.0[..end].to_vec());
            let mut flat = cut.flat();
            flat.pass(u32::MAX);
            let mut flat = cut.flat();
            assert!(std::iter::from_fn(|| flat.head()).count() < all.len(), "{end}");
        }
    }

    #[test]
    fn what_is_cut_off_ends_and_never_panics() {
        let whole = Replies::pack(&[Value::List(vec![Value::from("abc"), Value::Int(1)])]);
        for end in 0..whole.0.len() {
            let cut = Replies(whole.0[..end].to_vec());
            let read: usize = cut.iter().map(|it| it.items().count()).sum();
            assert!(read < 2, "{end}");
        }
        let bytes = (0..=u8::MAX).collect::<Vec<_>>();
        assert!(Replies(bytes).iter().count() < 256);
    }
}
