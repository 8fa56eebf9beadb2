//! CLIENT LIST in a few lines: who is connected, and whose buffers grow. Pure.

use crate::tame;
use baton_plugin::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// Groups and buffers that are shown.
const SHOWN_MAX: usize = 5;
/// A client's name, characters.
const NAME_CHARS_MAX: usize = 40;

/// Clients of one name, or of one address where they have none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Count {
    /// A name, else an IP address.
    pub who: String,
    /// How many.
    pub clients: usize,
}

/// A client whose answers wait in its node's memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Buffer {
    /// `ip:port`.
    pub address: String,
    /// Its name, if it has one.
    pub name: String,
    /// Its user.
    pub user: String,
    /// Bytes that wait for it.
    pub bytes: u64,
}

/// Who is connected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Clients {
    /// All of them.
    pub connected: usize,
    /// Those that wait in BLPOP, WAIT and the like.
    pub blocked: usize,
    /// Replicas and MONITORs.
    pub replicas: usize,
    /// The largest groups.
    pub groups: Vec<Count>,
    /// The largest output buffers that are not empty.
    pub buffers: Vec<Buffer>,
}

/// Reads the list; rubbish is passed over.
pub(crate) fn read(list: &str) -> Clients {
    let mut groups: BTreeMap<String, usize> = BTreeMap::new();
    let mut clients = Clients::default();
    for line in list.lines() {
        let fields: BTreeMap<&str, &str> =
            line.split(' ').filter_map(|it| it.split_once('=')).collect();
        let field = |name: &str| fields.get(name).copied().unwrap_or_default();
        let address = field("addr");
        if address.is_empty() {
            continue;
        }
        clients.connected += 1;
        clients.blocked += usize::from(field("flags").contains('b'));
        clients.replicas += usize::from(field("flags").contains(['S', 'O']));
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let who = if field("name").is_empty() { host } else { field("name") };
        *groups.entry(tame(who, NAME_CHARS_MAX)).or_default() += 1;
        let bytes = field("omem").parse().unwrap_or(0);
        if bytes > 0 {
            clients.buffers.push(Buffer {
                address: tame(address, NAME_CHARS_MAX),
                name: tame(field("name"), NAME_CHARS_MAX),
                user: tame(field("user"), NAME_CHARS_MAX),
                bytes,
            });
        }
    }
    clients.buffers.sort_by_key(|it| std::cmp::Reverse(it.bytes));
    clients.buffers.truncate(SHOWN_MAX);
    clients.groups = groups.into_iter().map(|(who, clients)| Count { who, clients }).collect();
    clients.groups.sort_by_key(|it| std::cmp::Reverse(it.clients));
    clients.groups.truncate(SHOWN_MAX);
    clients
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_counted_by_name_else_by_address() {
        let line = |rest: &str| format!("id=3 {rest} age=1 idle=0 db=0 qbuf=0 events=r\n");
        let list = [
            line("addr=10.0.0.9:4001 name=api flags=N omem=0 user=default"),
            line("addr=10.0.0.9:4002 name=api flags=b omem=20504 user=app"),
            line("addr=10.0.0.8:4003 name= flags=N omem=7 user=app"),
            line("addr=10.0.0.2:6379 name= flags=S omem=900000 user=default"),
            "rubbish\n".to_owned(),
        ];
        let clients = read(&list.concat());
        assert_eq!((clients.connected, clients.blocked, clients.replicas), (4, 1, 1));
        assert_eq!(clients.groups[0], Count { who: "api".into(), clients: 2 });
        assert_eq!(clients.groups.len(), 3);
        let sizes: Vec<u64> = clients.buffers.iter().map(|it| it.bytes).collect();
        assert_eq!(sizes, [900_000, 20_504, 7]);
        assert_eq!(clients.buffers[1].user, "app");
    }

    #[test]
    fn of_many_groups_the_largest_are_shown() {
        let line = |at| format!("addr=10.0.0.{at}:1 name= flags=N omem=1\n");
        let clients = read(&(0..200).map(line).collect::<Vec<_>>().concat());
        assert_eq!((clients.connected, clients.groups.len(), clients.buffers.len()), (200, 5, 5));
    }
}
