//! The next value of a RESP stream without its children, straight from the buffer.

use super::resp::Broken;
use crate::limits;

/// One value without its children.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Head<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Double(f64),
    Bulk(&'a [u8]),
    Simple(&'a [u8]),
    Error(&'a [u8]),
    BigNumber(&'a [u8]),
    /// So many values follow.
    Array(u32),
    /// So many pairs follow.
    Map(u32),
    Set(u32),
    Push(u32),
    /// So many pairs follow; they stand before the value that they describe.
    Attribute(u32),
}

impl Head<'_> {
    /// How many values follow as parts of this one.
    pub(super) fn children(self) -> usize {
        match self {
            Self::Array(count) | Self::Set(count) | Self::Push(count) => count as usize,
            Self::Map(pairs) | Self::Attribute(pairs) => (pairs as usize).saturating_mul(2),
            Self::Null
            | Self::Boolean(_)
            | Self::Integer(_)
            | Self::Double(_)
            | Self::Bulk(_)
            | Self::Simple(_)
            | Self::Error(_)
            | Self::BigNumber(_) => 0,
        }
    }
}

/// What stands at the beginning of a buffer.
#[derive(Debug, PartialEq)]
pub(super) enum Next<'a> {
    /// A head, and the bytes that it takes.
    Whole(Head<'a>, usize),
    /// The beginning of one that takes at least so many bytes.
    Part(usize),
}

/// Reads the head at the beginning of `bytes`.
///
/// # Errors
/// If it cannot be RESP, whatever follows.
pub(super) fn head(bytes: &[u8]) -> Result<Next<'_>, Broken> {
    let Some(end) = line_end(bytes)? else { return Ok(Next::Part(bytes.len() + 1)) };
    let line = &bytes[..end];
    let taken = end + 2;
    let Some((kind, rest)) = line.split_first() else {
        return Err(Broken::Protocol("an empty line".to_owned()));
    };
    let head = match kind {
        b'+' => Head::Simple(rest),
        b'-' => Head::Error(rest),
        b':' => Head::Integer(number(rest)?),
        b'_' => Head::Null,
        b'#' => Head::Boolean(boolean(rest)?),
        b',' => Head::Double(double(rest)?),
        b'(' => Head::BigNumber(big_number(rest)?),
        b'$' | b'!' | b'=' => return blob(*kind, rest, bytes, taken),
        b'*' => length(rest)?.map_or(Ok(Head::Null), |n| count(n).map(Head::Array))?,
        b'%' => Head::Map(count(number(rest)?)?),
        b'~' => Head::Set(count(number(rest)?)?),
        b'>' => Head::Push(count(number(rest)?)?),
        b'|' => Head::Attribute(count(number(rest)?)?),
        _ => return Err(Broken::Protocol(format!("a line begins with {:?}", shown(line)))),
    };
    Ok(Next::Whole(head, taken))
}

/// Where the first line ends, its CR LF left out.
fn line_end(bytes: &[u8]) -> Result<Option<usize>, Broken> {
    let mut from = 0;
    while let Some(at) = memchr::memchr(b'\r', &bytes[from..]) {
        let end = from + at;
        match bytes.get(end + 1) {
            Some(b'\n') => return Ok(Some(end)),
            Some(_) => from = end + 1,
            None => break,
        }
    }
    if bytes.len() > limits::LINE_BYTES_MAX {
        return Err(Broken::Protocol(format!(
            "a line of more than {} bytes, beginning {:?}",
            limits::LINE_BYTES_MAX,
            shown(bytes)
        )));
    }
    Ok(None)
}

/// A value whose length its line gives, behind that line.
fn blob<'a>(kind: u8, rest: &[u8], bytes: &'a [u8], taken: usize) -> Result<Next<'a>, Broken> {
    let Some(length) = length(rest)? else { return Ok(Next::Whole(Head::Null, taken)) };
    let length =
        usize::try_from(length).map_err(|_| Broken::Protocol("a negative length".to_owned()))?;
    let end = taken.saturating_add(length);
    let whole = end.saturating_add(2);
    if bytes.len() < whole {
        return Ok(Next::Part(whole));
    }
    if &bytes[end..whole] != b"\r\n" {
        return Err(Broken::Protocol("a bulk string does not end where it should".to_owned()));
    }
    let body = &bytes[taken..end];
    let head = match kind {
        b'!' => Head::Error(body),
        // A verbatim string begins with `txt:` or `mkd:`.
        b'=' if body.get(3) == Some(&b':') => Head::Bulk(&body[4..]),
        _ => Head::Bulk(body),
    };
    Ok(Next::Whole(head, whole))
}

fn ascii<'a>(text: &'a [u8], what: &str) -> Result<&'a str, Broken> {
    std::str::from_utf8(text)
        .map_err(|_| Broken::Protocol(format!("{:?} is no {what}", shown(text))))
}

fn number(text: &[u8]) -> Result<i64, Broken> {
    // Most are lengths of a few digits.
    if text.len() <= 9 && !text.is_empty() && text.iter().all(u8::is_ascii_digit) {
        return Ok(text.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')));
    }
    ascii(text, "number")?
        .parse()
        .map_err(|_| Broken::Protocol(format!("{:?} is no number", shown(text))))
}

/// None: -1, which means null.
fn length(text: &[u8]) -> Result<Option<i64>, Broken> {
    Ok(Some(number(text)?).filter(|length| *length != -1))
}

fn count(number: i64) -> Result<u32, Broken> {
    u32::try_from(number).map_err(|_| match number {
        ..0 => Broken::Protocol("a negative length".to_owned()),
        _ => Broken::Limit(format!("{} values", limits::REPLY_NODES_MAX)),
    })
}

fn boolean(text: &[u8]) -> Result<bool, Broken> {
    match text {
        b"t" => Ok(true),
        b"f" => Ok(false),
        _ => Err(Broken::Protocol(format!("{:?} is no boolean", shown(text)))),
    }
}

fn double(text: &[u8]) -> Result<f64, Broken> {
    ascii(text, "number")?
        .parse()
        .map_err(|_| Broken::Protocol(format!("{:?} is no number", shown(text))))
}

fn big_number(text: &[u8]) -> Result<&[u8], Broken> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Broken::Protocol(format!("{:?} is no number", shown(text))));
    }
    Ok(text)
}

/// The beginning of what was received instead.
fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(40)];
    String::from_utf8_lossy(cut).into_owned()
}
