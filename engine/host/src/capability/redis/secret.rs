//! Keeps secrets from guests, the journal and the log (design §6.8): asking for
//! one is refused; where one stands among other things it is blotted out.

use super::glob;
use super::table::name_of;
use crate::guest::wit::redis::Node;
use crate::limits;
use crate::text::{tame, tame_bytes};

/// Settings of Redis and Sentinel whose value is a secret.
const SETTINGS: &[&str] = &[
    "auth-pass",
    "masterauth",
    "requirepass",
    "sentinel-pass",
    "tls-client-key-file-pass",
    "tls-key-file-pass",
];
/// Words whose next argument is a secret.
const WORDS: &[&str] = &["AUTH", "AUTH2", "SETAUTH"];
const BLOT: &str = "(redacted)";

/// Why a command must not be sent for what it would show, if so.
pub(super) fn asks_for(name: &str, command: &[Vec<u8>]) -> Option<String> {
    let asked = match name {
        "ACL|GETUSER" | "ACL|LIST" => return Some("it shows password hashes".to_owned()),
        "CONFIG|GET" => command.get(2..),
        "SENTINEL|CONFIG" => command.get(3..),
        _ => None,
    }?;
    asked.iter().find(|pattern| is_setting(pattern)).map(|pattern| {
        format!("{} is a secret", tame_bytes(pattern, limits::REQUEST_TEXT_BYTES_MAX))
    })
}

/// A pattern that names a secret setting and nothing else.
fn is_setting(pattern: &[u8]) -> bool {
    let lower = pattern.to_ascii_lowercase();
    let is_glob = pattern.iter().any(|byte| b"*?[\\".contains(byte));
    // A glob is answered with the values blotted out, unless it is a spelling of
    // the name alone.
    SETTINGS.iter().any(|name| {
        lower == name.as_bytes()
            || (is_glob && !pattern.contains(&b'*') && glob::matches(&lower, name.as_bytes()))
    })
}

/// Blots secrets out of a reply.
pub(super) fn blot(name: &str, reply: &mut [Node]) {
    if name != "CONFIG|GET" && !name.starts_with("SENTINEL|") {
        return;
    }
    let mut is_next = false;
    for node in reply {
        let text = match node {
            Node::Bulk(text) => text.as_slice(),
            Node::Simple(text) => text.as_bytes(),
            _ => b"",
        };
        // An empty value says that there is no secret, which is worth knowing.
        if is_next && !text.is_empty() {
            *node = Node::Bulk(BLOT.as_bytes().to_vec());
            is_next = false;
            continue;
        }
        is_next = SETTINGS.iter().any(|name| text.eq_ignore_ascii_case(name.as_bytes()));
    }
}

/// A command as people and the journal see it: `127.0.0.1:7001> REPLICAOF NO ONE`.
pub(super) fn show(address: &str, command: &[Vec<u8>]) -> String {
    let mut text = format!("{address}>");
    let is_acl = name_of(command) == "ACL|SETUSER";
    let mut is_next = false;
    for (at, argument) in command.iter().enumerate() {
        text.push(' ');
        if is_next || (is_acl && at > 2) {
            text.push_str(BLOT);
        } else {
            text.push_str(&tame_bytes(argument, limits::REQUEST_TEXT_BYTES_MAX));
        }
        let is = |word: &&str| argument.eq_ignore_ascii_case(word.as_bytes());
        // AUTH2 is followed by a user and a password; both are blotted.
        is_next = (is_next && at > 0 && command[at - 1].eq_ignore_ascii_case(b"AUTH2"))
            || SETTINGS.iter().any(|word| is(&word))
            || WORDS.iter().any(|word| is(&word));
        if text.len() > limits::REQUEST_TEXT_BYTES_MAX {
            break;
        }
    }
    tame(&text, limits::REQUEST_TEXT_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> Vec<Vec<u8>> {
        text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn secrets_are_not_to_be_asked_for() {
        for text in [
            "CONFIG GET requirepass",
            "config get maxmemory MASTERAUTH",
            "CONFIG GET require[p]ass",
            "CONFIG GET mastera?th",
            "SENTINEL CONFIG GET sentinel-pass",
            "ACL GETUSER default",
            "ACL LIST",
        ] {
            let command = command(text);
            assert!(asks_for(&name_of(&command), &command).is_some(), "{text}");
        }
        for text in ["CONFIG GET *", "CONFIG GET maxmemory", "ACL WHOAMI", "GET requirepass"] {
            let command = command(text);
            assert_eq!(asks_for(&name_of(&command), &command), None, "{text}");
        }
    }

    #[test]
    fn secrets_are_blotted_out_of_replies_and_requests() {
        let bulk = |text: &str| Node::Bulk(text.as_bytes().to_vec());
        let mut reply = vec![
            Node::Array(6),
            bulk("port"),
            bulk("6379"),
            bulk("requirepass"),
            bulk("hunter2"),
            bulk("masterauth"),
            bulk(""),
        ];
        blot("CONFIG|GET", &mut reply);
        assert_eq!(reply[4], bulk("(redacted)"));
        assert_eq!(reply[6], bulk(""));
        assert_eq!(reply[2], bulk("6379"));

        let shown = |text: &str| show("h:1", &command(text));
        assert_eq!(shown("CONFIG SET requirepass hunter2"), "h:1> CONFIG SET requirepass (redacted)");
        assert_eq!(
            shown("SENTINEL SET m auth-pass hunter2 quorum 2"),
            "h:1> SENTINEL SET m auth-pass (redacted) quorum 2"
        );
        assert_eq!(
            shown("MIGRATE h 1 k 0 5 AUTH2 me hunter2 KEYS"),
            "h:1> MIGRATE h 1 k 0 5 AUTH2 (redacted) (redacted) KEYS"
        );
        assert_eq!(shown("ACL SETUSER u on >hunter2"), "h:1> ACL SETUSER u (redacted) (redacted)");
        assert_eq!(show("h:1", &[b"SET".to_vec(), b"a\r\nb".to_vec()]), "h:1> SET a\\r\\nb");
        assert!(shown(&format!("SET a {}", "x".repeat(10_000))).len() < 250);
    }
}
