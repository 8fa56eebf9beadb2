//! Which keys a command touches: by position from the server's own table, by
//! rule where keys move, and `All` where nobody can tell.

use super::table;

/// The keys of one command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Keys<'a> {
    /// These, or none.
    These(Vec<&'a [u8]>),
    /// Every key that matches.
    Matching(&'a [u8]),
    /// Any key at all; the text says why.
    All(&'static str),
}

use Keys::{All, Matching, These};

const UNKNOWN: &str = "which keys it touches cannot be told from its arguments";
const SCRIPT: &str = "a script or function may touch keys that it does not name";
const WHOLE: &str = "it touches the whole key space";

/// The keys of `command`, whose name is `name`.
pub(super) fn keys<'a>(name: &str, command: &'a [Vec<u8>]) -> Keys<'a> {
    let found = match name {
        "EVAL" | "EVALSHA" | "EVAL_RO" | "EVALSHA_RO" | "FCALL" | "FCALL_RO" => {
            return All(SCRIPT);
        }
        "FLUSHALL" | "FLUSHDB" | "SWAPDB" | "RANDOMKEY" | "DEBUG" | "CLUSTER|GETKEYSINSLOT" => {
            return All(WHOLE);
        }
        "KEYS" => return command.get(1).map_or(All(UNKNOWN), |pattern| Matching(pattern)),
        "SCAN" => return scan(command),
        "ZUNION" | "ZINTER" | "ZDIFF" | "ZINTERCARD" | "SINTERCARD" | "LMPOP" | "ZMPOP" => {
            counted(command, 1)
        }
        "BLMPOP" | "BZMPOP" => counted(command, 2),
        "ZUNIONSTORE" | "ZINTERSTORE" | "ZDIFFSTORE" => counted(command, 2).and_then(|mut keys| {
            keys.push(command.get(1)?);
            Some(keys)
        }),
        "XREAD" | "XREADGROUP" => streams(command),
        "SORT" | "SORT_RO" => sort(command),
        "GEORADIUS" => stored(command, 6),
        "GEORADIUSBYMEMBER" => stored(command, 5),
        "MIGRATE" => migrate(command),
        _ => by_position(name, command),
    };
    found.map_or(All(UNKNOWN), These)
}

/// As the table says. None: the command is unknown, or its keys move.
fn by_position<'a>(name: &str, command: &'a [Vec<u8>]) -> Option<Vec<&'a [u8]>> {
    let spec = table::find(name)?;
    if spec.has("movablekeys") {
        return None;
    }
    if spec.first == 0 || spec.first >= command.len() {
        return Some(Vec::new());
    }
    let last = match usize::try_from(spec.last) {
        Ok(last) => last.min(command.len() - 1),
        Err(_) => command.len().checked_add_signed(spec.last)?,
    };
    let keys = command.get(spec.first..=last).unwrap_or_default();
    Some(keys.iter().step_by(spec.step.max(1)).map(Vec::as_slice).collect())
}

/// A count at `at`, then so many keys.
fn counted(command: &[Vec<u8>], at: usize) -> Option<Vec<&[u8]>> {
    let count: usize = std::str::from_utf8(command.get(at)?).ok()?.parse().ok()?;
    let keys = command.get(at + 1..(at + 1).checked_add(count)?)?;
    Some(keys.iter().map(Vec::as_slice).collect())
}

/// `SCAN cursor [MATCH pattern] …`: the last MATCH counts.
fn scan(command: &[Vec<u8>]) -> Keys<'_> {
    let mut found = All("SCAN without MATCH walks the whole key space");
    for pair in command.get(2..).unwrap_or_default().chunks(2) {
        if let [option, pattern] = pair
            && is(option, "MATCH")
        {
            found = Matching(pattern);
        }
    }
    found
}

/// `… STREAMS key… id…`: half of what follows are keys.
fn streams(command: &[Vec<u8>]) -> Option<Vec<&[u8]>> {
    let mut at = 1;
    loop {
        let option = command.get(at)?;
        at += match () {
            () if is(option, "STREAMS") => break,
            () if is(option, "COUNT") || is(option, "BLOCK") => 2,
            () if is(option, "GROUP") => 3,
            () if is(option, "NOACK") => 1,
            () => return None,
        };
    }
    let rest = command.get(at + 1..)?;
    rest.len().is_multiple_of(2).then(|| rest[..rest.len() / 2].iter().map(Vec::as_slice).collect())
}

/// `SORT key [BY p] [GET p]… [STORE key]`: BY and GET reach other keys.
fn sort(command: &[Vec<u8>]) -> Option<Vec<&[u8]>> {
    let mut keys = vec![command.get(1)?.as_slice()];
    let mut at = 2;
    while let Some(option) = command.get(at) {
        at += match () {
            () if is(option, "STORE") => {
                keys.push(command.get(at + 1)?);
                2
            }
            // Patterns without `*` name no other key.
            () if is(option, "BY") && !command.get(at + 1)?.contains(&b'*') => 2,
            () if is(option, "GET") && command.get(at + 1)? == b"#" => 2,
            () if is(option, "LIMIT") => 3,
            () if is(option, "ASC") || is(option, "DESC") || is(option, "ALPHA") => 1,
            () => return None,
        };
    }
    Some(keys)
}

/// The first argument is a key, and the one after STORE or STOREDIST, options
/// beginning at `from`.
fn stored(command: &[Vec<u8>], from: usize) -> Option<Vec<&[u8]>> {
    let mut keys = vec![command.get(1)?.as_slice()];
    let options = command.get(from..).unwrap_or_default();
    for (at, option) in options.iter().enumerate() {
        if is(option, "STORE") || is(option, "STOREDIST") {
            keys.push(options.get(at + 1)?);
        }
    }
    Some(keys)
}

/// `MIGRATE host port key|"" db timeout … [KEYS key…]`.
fn migrate(command: &[Vec<u8>]) -> Option<Vec<&[u8]>> {
    let single = command.get(3)?.as_slice();
    let mut keys = if single.is_empty() { Vec::new() } else { vec![single] };
    let mut at = 6;
    while let Some(option) = command.get(at) {
        at += match () {
            () if is(option, "COPY") || is(option, "REPLACE") => 1,
            () if is(option, "AUTH") => 2,
            () if is(option, "AUTH2") => 3,
            () if is(option, "KEYS") => {
                keys.extend(command[at + 1..].iter().map(Vec::as_slice));
                break;
            }
            () => return None,
        };
    }
    Some(keys)
}

fn is(argument: &[u8], word: &str) -> bool {
    argument.eq_ignore_ascii_case(word.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys_of(text: &str) -> String {
        let command: Vec<Vec<u8>> =
            text.split(' ').map(|word| word.trim_matches('"').as_bytes().to_vec()).collect();
        let text = |key: &&[u8]| String::from_utf8_lossy(key).into_owned();
        match keys(&table::name_of(&command), &command) {
            These(keys) => keys.iter().map(text).collect::<Vec<_>>().join(" "),
            Matching(pattern) => format!("matching {}", text(&pattern)),
            All(_) => "all".to_owned(),
        }
    }

    #[test]
    fn keys_stand_where_each_command_has_them() {
        let expected = [
            ("GET a", "a"),
            ("PING", ""),
            ("DEL a b c", "a b c"),
            ("MSET a 1 b 2", "a b"),
            ("BLPOP a b 0", "a b"),
            ("BITOP AND d a b", "d a b"),
            ("OBJECT ENCODING a", "a"),
            ("COPY a b DB 1", "a b"),
            ("CONFIG GET maxmemory", ""),
            ("SCAN 0", "all"),
            ("SCAN 0 COUNT 5 MATCH book:*", "matching book:*"),
            ("SCAN 0 MATCH a MATCH b", "matching b"),
            ("SCAN 0 COUNT MATCH", "all"),
            ("KEYS *", "matching *"),
            ("ZUNION 2 a b WEIGHTS 1 2", "a b"),
            ("ZUNION 3 a b", "all"),
            ("ZUNIONSTORE d 2 a b", "a b d"),
            ("BZMPOP 0 1 a MIN", "a"),
            ("XREAD COUNT 5 STREAMS a b 0 0", "a b"),
            ("XREADGROUP GROUP STREAMS me STREAMS a >", "a"),
            ("XREAD STREAMS a b 0", "all"),
            ("SORT a BY nosort GET # STORE d", "a d"),
            ("SORT a GET w_*", "all"),
            ("SORT_RO a LIMIT 0 5 DESC", "a"),
            ("GEORADIUS a 1 2 3 km STORE d", "a d"),
            ("GEORADIUSBYMEMBER STORE m 3 km STOREDIST d", "STORE d"),
            ("MIGRATE h 1 a 0 5", "a"),
            ("MIGRATE h 1 \"\" 0 5 AUTH KEYS KEYS a b", "a b"),
            ("EVAL return 1 a", "all"),
            ("FLUSHALL", "all"),
            ("VADD vectors 1", "all"),
            ("GET", ""),
        ];
        for (command, keys) in expected {
            assert_eq!(keys_of(command), keys, "{command}");
        }
    }

    #[test]
    fn no_command_whose_keys_move_is_read_by_position() {
        for name in table::names() {
            if table::find(name).is_some_and(|spec| spec.has("movablekeys")) {
                let command: Vec<Vec<u8>> = vec![name.as_bytes().to_vec()];
                assert!(matches!(keys(name, &command), All(_)), "{name}");
            }
        }
    }
}
