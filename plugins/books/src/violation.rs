//! What does not hold, and how much of it is kept.

use baton_plugin::JsonSchema;
use serde::Serialize;

/// Bytes of a stranger's text that people are shown.
const SHOWN_BYTES_MAX: usize = 120;

/// One thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Violation {
    /// Which invariant: see the README.
    pub invariant: String,
    /// Of which instrument; of verify-risk perhaps none.
    pub instrument: String,
    /// Where it shows.
    pub key: String,
    /// What was found and what was expected.
    pub message: String,
}

impl Violation {
    /// Of `invariant`, at `key`.
    pub fn new(invariant: &str, instrument: &str, key: &str, message: impl Into<String>) -> Self {
        Self {
            invariant: invariant.into(),
            instrument: instrument.into(),
            key: key.into(),
            message: message.into(),
        }
    }
}

/// A field's text as people are shown it.
pub fn shown(text: Option<&[u8]>) -> String {
    let Some(text) = text else { return "(missing)".into() };
    if text.len() <= SHOWN_BYTES_MAX {
        return format!("`{}`", String::from_utf8_lossy(text));
    }
    let start = String::from_utf8_lossy(&text[..SHOWN_BYTES_MAX]).into_owned();
    format!("`{start}…` ({} bytes)", text.len())
}

/// Whether two texts are the same: eight bytes at a time, where a guest's own comparison
/// takes them one by one.
#[inline]
pub fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let (words, rest) = one.as_chunks::<8>();
    let (other_words, other_rest) = other.as_chunks::<8>();
    let number = |it: &[u8; 8]| u64::from_le_bytes(*it);
    words.iter().zip(other_words).all(|(a, b)| number(a) == number(b))
        && rest.iter().zip(other_rest).all(|(a, b)| a == b)
}

/// Digits of a number: all that fit 64 bits, and that one may be added to.
const DIGITS_MAX: usize = 18;

/// Whole numbers from 0 on, plainly spelled, of at most 18 digits.
pub fn number(text: Option<&[u8]>) -> Option<u64> {
    let digits = text.filter(|it| !it.is_empty() && it.len() <= DIGITS_MAX)?;
    digits.iter().try_fold(0_u64, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_same_or_not_wherever_they_differ() {
        let text: Vec<u8> = (0..40).collect();
        for length in 0..text.len() {
            let one = &text[..length];
            assert!(same(one, &text[..length]));
            assert!(!same(one, &text[..=length]));
            for at in 0..length {
                let mut other = one.to_vec();
                other[at] ^= 1;
                assert!(!same(one, &other));
            }
        }
    }

    #[test]
    fn long_texts_are_cut_and_numbers_plain() {
        assert_eq!(shown(None), "(missing)");
        assert_eq!(shown(Some(b"a")), "`a`");
        assert!(shown(Some(&[b'x'; 5000])).ends_with("…` (5000 bytes)"));
        assert_eq!(number(Some(b"12")), Some(12));
        for bad in [&b""[..], b"-1", b"+1", b"1.0", b"99999999999999999999999"] {
            assert_eq!(number(Some(bad)), None);
        }
    }
}
