//! What is around a record: checksum and version, so that damage and novelty are told
//! apart.
//!
//! ```text
//! <crc32, 4 bytes little-endian> <version, 1 byte> <place, 1 byte> <body>
//! ```
//! The checksum covers a label (whose record, which number) and all that follows it, so
//! that a record found under another's key is damage too. **Every version keeps the
//! checksum where it is**: a reader checks it first, and only then believes the version.

use super::Unreadable;

/// Version of the records that this Baton writes, and the newest it reads.
pub(super) const VERSION: u8 = 1;
const HEAD_BYTES: usize = 6;

/// Where a record's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Here.
    Inline,
    /// In a file of its own; here is its digest.
    Blob,
}

/// Wraps a body.
pub(super) fn seal(label: &str, place: Place, body: &[u8]) -> Vec<u8> {
    seal_as(VERSION, label, place, body)
}

/// Wraps a body as another version would; tests write the future with it.
pub(super) fn seal_as(version: u8, label: &str, place: Place, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + body.len());
    bytes.extend([0; 4]);
    bytes.push(version);
    bytes.push(match place {
        Place::Inline => 0,
        Place::Blob => 1,
    });
    bytes.extend(body);
    let crc = checksum(label, &bytes[4..]);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Checks and unwraps.
pub(super) fn unseal<'a>(label: &str, bytes: &'a [u8]) -> Result<(Place, &'a [u8]), Unreadable> {
    let damaged = |how: &str| Unreadable::in_store(format!("{label} is damaged: {how}"));
    let Some((head, body)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Err(damaged("it was cut short"));
    };
    let (stored, rest) = head.split_first_chunk::<4>().expect("the head has 6 bytes");
    if u32::from_le_bytes(*stored) != checksum(label, &bytes[4..]) {
        return Err(damaged("its checksum does not match"));
    }
    if rest[0] != VERSION {
        return Err(newer(label, &format!("version {} of records", rest[0])));
    }
    match rest[1] {
        0 => Ok((Place::Inline, body)),
        1 => Ok((Place::Blob, body)),
        other => Err(newer(label, &format!("place {other} of records"))),
    }
}

/// The digest that a sealed record may refer to, its checksum not looked at.
pub(super) fn referred(bytes: &[u8]) -> Option<[u8; 32]> {
    let (head, body) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    body.try_into().ok().filter(|_| head[5] == 1)
}

/// A record that is whole, but of a kind that this Baton does not know.
pub(super) fn newer(label: &str, what: &str) -> Unreadable {
    Unreadable::new(format!(
        "{label} was written by a newer Baton ({what}; this one knows version {VERSION}): \
             start that one again, or a newer one"
    ))
}

fn checksum(label: &str, bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(label.as_bytes());
    crc.update(&[0]);
    crc.update(bytes);
    crc.finalize()
}
