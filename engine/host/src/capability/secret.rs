//! Secrets on the host's side of the wall: never shown, and taken out of what comes back.

use std::fmt;

/// Text that never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    /// The text, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

const BLOT: &[u8] = b"(redacted)";

/// `bytes` with every one of `secrets` taken out: a server may echo what it was sent.
pub(crate) fn blot(bytes: Vec<u8>, secrets: &[Secret]) -> Vec<u8> {
    secrets.iter().fold(bytes, |bytes, secret| without(bytes, secret.expose().as_bytes()))
}

fn without(bytes: Vec<u8>, secret: &[u8]) -> Vec<u8> {
    let found = |bytes: &[u8]| {
        let mut windows = bytes.windows(secret.len().max(1));
        windows.position(|window| window == secret)
    };
    let mut rest = bytes.as_slice();
    let mut clean = Vec::new();
    while let Some(at) = found(rest) {
        clean.extend_from_slice(&rest[..at]);
        clean.extend_from_slice(BLOT);
        rest = &rest[at + secret.len()..];
    }
    if clean.is_empty() && rest.len() == bytes.len() {
        return bytes;
    }
    clean.extend_from_slice(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g9_every_secret_is_taken_out_wherever_it_stands() {
        let secrets = [Secret::new("hunter2"), Secret::new("aHVudGVyMg==")];
        let blotted = |text: &str| String::from_utf8(blot(text.into(), &secrets)).expect("text");
        assert_eq!(blotted("hunter2hunter2 x hunter"), "(redacted)(redacted) x hunter");
        assert_eq!(blotted("Basic aHVudGVyMg=="), "Basic (redacted)");
        assert_eq!(blotted("nothing"), "nothing");
        assert_eq!(blotted(""), "");
        assert_eq!(blot(b"x".to_vec(), &[Secret::new("")]), b"x");
    }
}
