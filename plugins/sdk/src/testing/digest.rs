//! The digest under which a tape keeps a question: SHA-256 over fields, each its length
//! (8 bytes, big-endian) and its bytes. `digests.txt` holds the host to the same.

use crate::redis::Request;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// A question in the making.
pub(super) struct Asking(Sha256);

impl Asking {
    pub(super) fn of(function: &str) -> Self {
        Self(Sha256::new()).field(function.as_bytes())
    }

    pub(super) fn field(mut self, bytes: &[u8]) -> Self {
        let length = u64::try_from(bytes.len()).expect("memory is smaller than that");
        self.0.update(length.to_be_bytes());
        self.0.update(bytes);
        self
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.field(text.as_bytes())
    }

    pub(super) fn number(self, number: &impl ToString) -> Self {
        self.text(&number.to_string())
    }

    /// Hexadecimal.
    pub(super) fn digest(self) -> String {
        self.0.finalize().iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("text takes everything");
            text
        })
    }
}

/// Of `redis.call`.
pub(super) fn call(cluster: &str, requests: &[Request], timeout_ms: u32) -> String {
    let asking = Asking::of("redis.call").text(cluster).number(&timeout_ms).number(&requests.len());
    let asking = requests.iter().fold(asking, |asking, request| {
        let asking = asking.text(&request.address).number(&request.commands.len());
        request.commands.iter().fold(asking, |asking, command| {
            let asking = asking.number(&command.words().len());
            command.words().iter().fold(asking, |asking, word| asking.field(word))
        })
    });
    asking.digest()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::Command;

    #[test]
    fn the_sdk_and_the_host_mean_the_same_digest() {
        let mut seen = 0;
        for line in include_str!("digests.txt").lines().filter(|line| !line.starts_with('#')) {
            let mut fields = line.split('\t');
            let (digest, function) =
                (fields.next().expect("a digest"), fields.next().expect("a function"));
            let asking = fields.fold(Asking::of(function), Asking::text);
            assert_eq!(asking.digest(), digest, "{line}");
            seen += 1;
        }
        assert!(seen >= 5);
    }

    #[test]
    fn a_call_is_spelt_as_in_the_list() {
        let requests = [
            Request::new(
                "127.0.0.1:7001",
                vec![Command::line("PING"), Command::line("SET key välue")],
            ),
            Request::new("127.0.0.1:7002", vec![]),
        ];
        let digest = call("bondx", &requests, 1000);
        assert!(include_str!("digests.txt").contains(&digest), "{digest}");
    }
}
