//! What Redis 7.0 and its Sentinel say of their commands, as data.
//!
//! `commands.tsv` is the output of `COMMAND`; a test writes it, and holds it to the
//! servers of this machine. What is not in it is unknown, and the unknown
//! is treated as the worst: see `class` and `keys`.

use std::collections::HashMap;
use std::sync::LazyLock;

/// One command, or one subcommand (`CONFIG|GET`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    flags: &'static str,
    /// Index of the first key; 0: no key by position.
    pub(super) first: usize,
    /// Index of the last key; negative: counted from the end, -1 is the last.
    pub(super) last: isize,
    /// Distance from one key to the next.
    pub(super) step: usize,
}

impl Spec {
    /// Whether the server marks it so.
    pub(super) fn has(&self, flag: &str) -> bool {
        self.flags.split(',').any(|known| known == flag)
    }
}

static TABLE: LazyLock<HashMap<&'static str, Spec>> = LazyLock::new(|| {
    include_str!("commands.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| parse(line).expect("commands.tsv is well formed"))
        .collect()
});

fn parse(line: &'static str) -> Option<(&'static str, Spec)> {
    let mut fields = line.split('\t');
    let (name, flags, _arity) = (fields.next()?, fields.next()?, fields.next()?);
    let (first, last, step) = (fields.next()?, fields.next()?, fields.next()?);
    Some((
        name,
        Spec {
            flags,
            first: first.parse().ok()?,
            last: last.parse().ok()?,
            step: step.parse().ok()?,
        },
    ))
}

/// The entry of `name` (upper case), if Redis 7.0 or its Sentinel knows it.
pub(super) fn find(name: &str) -> Option<&'static Spec> {
    TABLE.get(name)
}

/// Every name, sorted.
#[cfg(test)]
pub(super) fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = TABLE.keys().copied().collect();
    names.sort_unstable();
    names
}

/// The name by which a command is granted: `GET`, `CONFIG|GET`. Upper case.
pub(super) fn name_of(command: &[Vec<u8>]) -> String {
    let word =
        |index: usize| command.get(index).map(|raw| String::from_utf8_lossy(raw).to_uppercase());
    let name = word(0).unwrap_or_default();
    let is_container = CONTAINERS.contains(&name.as_str());
    match word(1) {
        Some(sub) if is_container => format!("{name}|{sub}"),
        _ => name,
    }
}

/// Commands whose first argument is a subcommand.
const CONTAINERS: &[&str] = &[
    "ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "FUNCTION", "LATENCY", "MEMORY", "MODULE",
    "OBJECT", "PUBSUB", "SCRIPT", "SENTINEL", "SLOWLOG", "XGROUP", "XINFO",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> Vec<Vec<u8>> {
        text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn names_carry_the_subcommand_in_upper_case() {
        assert_eq!(name_of(&command("get x")), "GET");
        assert_eq!(name_of(&command("config get maxmemory")), "CONFIG|GET");
        assert_eq!(name_of(&command("sentinel masters")), "SENTINEL|MASTERS");
        assert_eq!(name_of(&command("command")), "COMMAND");
        assert_eq!(name_of(&[]), "");
    }

    #[test]
    fn every_container_of_the_table_is_known() {
        for name in names() {
            if let Some((container, _)) = name.split_once('|') {
                assert!(CONTAINERS.contains(&container), "{container}");
            }
        }
    }
}
