//! What a guest asked: a digest of all of it, and words for people.
//!
//! The digest is SHA-256 over fields, each its length (8 bytes, big-endian) and then
//! its bytes: the function's name first, its arguments in order; a number as decimal
//! text, a list as its length and then its elements, nothing as an empty field. The SDK
//! computes the same over what a plugin asks in a test; `digests.txt` in
//! `plugins/sdk/src/testing` holds both to it.

use std::fmt::Write as _;

use baton_core::id::Digest;

use crate::limits;
use crate::text::tame;

/// One question.
pub(crate) struct Asked {
    pub(super) function: &'static str,
    pub(super) digest: Digest,
    /// A line a command: redacted, bounded.
    pub(super) request: String,
}

/// A question in the making.
pub(crate) struct Asking {
    function: &'static str,
    fields: Vec<u8>,
}

impl Asked {
    pub(crate) fn of(function: &'static str) -> Asking {
        Asking { function, fields: Vec::new() }.text(function)
    }
}

impl Asking {
    pub(crate) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn number(self, number: u64) -> Self {
        self.text(&number.to_string())
    }

    pub(crate) fn maybe(self, number: Option<u64>) -> Self {
        match number {
            Some(number) => self.number(number),
            None => self.text(""),
        }
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.fields.extend(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.fields.extend(bytes);
        self
    }

    /// `lines` must hold no secret; they are cut where they are too many.
    pub(crate) fn shown(self, lines: impl Iterator<Item = String>) -> Asked {
        let mut request = String::new();
        let mut left_out = 0_usize;
        for line in lines {
            if left_out > 0 || request.len() + line.len() > limits::TAPE_REQUEST_BYTES_MAX {
                left_out += 1;
                continue;
            }
            if !request.is_empty() {
                request.push('\n');
            }
            request.push_str(&line);
        }
        if left_out > 0 {
            write!(request, "\n… ({left_out} more)").expect("memory");
        }
        Asked { function: self.function, digest: Digest::of(&self.fields), request }
    }

    /// A question that one text shows.
    pub(crate) fn word(self, word: &str) -> Asked {
        self.shown([tame(word, limits::REQUEST_TEXT_BYTES_MAX)].into_iter())
    }
}
