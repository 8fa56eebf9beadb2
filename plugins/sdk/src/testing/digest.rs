//! The digest under which a tape keeps a question: SHA-256 over fields, each its length
//! (8 bytes, big-endian) and its bytes. `digests.txt` holds the host to the same.

use crate::http;
use crate::redis::{Page, Request, StreamPlace};
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

/// Of `redis.divergence`.
pub(super) fn divergence(
    cluster: &str,
    address: &str,
    replid: &str,
    place: StreamPlace,
    timeout_ms: u32,
) -> String {
    let maybe = |number: Option<i64>| number.map(|it| it.to_string()).unwrap_or_default();
    Asking::of("redis.divergence")
        .text(cluster)
        .text(address)
        .text(replid)
        .number(&place.offset)
        .text(&maybe(place.database.map(i64::from)))
        .text(&maybe(place.transaction))
        .number(&timeout_ms)
        .digest()
}

/// Of `redis.read-each`.
pub(super) fn each(
    cluster: &str,
    address: &str,
    command: &[&str],
    keys: &[&[u8]],
    timeout_ms: u32,
) -> String {
    let asking = Asking::of("redis.read-each").text(cluster).text(address);
    let asking = asking.number(&timeout_ms).number(&command.len());
    let asking = command.iter().fold(asking, |asking, word| asking.text(word));
    keys.iter().fold(asking.number(&keys.len()), |asking, key| asking.field(key)).digest()
}

/// Of what walks over a page of keys.
pub(super) fn page(function: &str, nodes: &[&str], page: &Page, timeout_ms: u32) -> String {
    let asking = nodes.iter().fold(Asking::of(function), |asking, node| asking.text(node));
    let asking = asking.number(&page.database).number(&page.cursor).text(&page.pattern);
    asking.number(&page.count).number(&timeout_ms).digest()
}

/// Of `redis.compare-keys`.
pub(super) fn keys(nodes: &[&str], database: u32, keys: &[&[u8]], timeout_ms: u32) -> String {
    let asking = Asking::of("redis.compare-keys");
    let asking = nodes.iter().fold(asking, |asking, node| asking.text(node));
    let asking = asking.number(&database).number(&keys.len());
    keys.iter().fold(asking, |asking, key| asking.field(key)).number(&timeout_ms).digest()
}

/// Of `http.send`.
pub(super) fn http(endpoint: &str, request: &http::Request, timeout_ms: u32) -> String {
    let asking = Asking::of("http.send").text(endpoint).text(request.method.word());
    let asking = asking.text(&request.path).number(&request.headers.len());
    let headers = request.headers.iter();
    let asking = headers.fold(asking, |asking, (name, value)| asking.text(name).text(value));
    asking.field(&request.body).number(&timeout_ms).digest()
}

/// Of `exec.run`.
pub(super) fn exec(command: &str, arguments: &[&str], timeout_ms: u32) -> String {
    let asking = Asking::of("exec.run").text(command).number(&arguments.len());
    let asking = arguments.iter().fold(asking, |asking, argument| asking.text(argument));
    asking.number(&timeout_ms).digest()
}

/// Of `probe.look`.
pub(super) fn probe(targets: &[&str], timeout_ms: u32) -> String {
    let asking = Asking::of("probe.look").number(&targets.len());
    let asking = targets.iter().fold(asking, |asking, target| asking.text(target));
    asking.number(&timeout_ms).digest()
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

    #[test]
    fn a_reading_of_a_stream_is_spelt_as_in_the_list() {
        let place = StreamPlace { offset: 2885, database: Some(3), transaction: None };
        let digest = divergence("bondx", "127.0.0.1:7001", &"a".repeat(40), place, 1000);
        assert!(include_str!("digests.txt").contains(&digest), "{digest}");
    }

    #[test]
    fn reads_of_many_keys_are_spelt_as_in_the_list() {
        let at = Page { database: 1, cursor: 7, pattern: "book:*".into(), count: 1000 };
        let (nodes, named) = (["bondx", "h:1", "h:2"], [b"a".as_slice(), b"b"]);
        for digest in [
            each("bondx", "h:1", &["HMGET", "isin"], &named, 1000),
            page("redis.compare", &nodes, &at, 1000),
            keys(&nodes, 0, &named, 1000),
        ] {
            assert!(include_str!("digests.txt").contains(&digest), "{digest}");
        }
    }

    #[test]
    fn calls_of_the_other_doors_are_spelt_as_in_the_list() {
        let request = http::Request {
            body: b"{}".to_vec(),
            ..http::Request::new(http::Method::Post, "/a?b=c").header("accept", "text/plain")
        };
        for digest in [
            http("prometheus", &request, 1000),
            exec("restart-api", &["api-1"], 1000),
            probe(&["api", "feed"], 1000),
        ] {
            assert!(include_str!("digests.txt").contains(&digest), "{digest}");
        }
    }
}
