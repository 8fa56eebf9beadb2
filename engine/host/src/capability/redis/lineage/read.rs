//! From replies to INFO to a sample. Pure; whatever does not look like Redis is none.

use crate::guest::wit::redis::{Node, Sample};

/// Length of a run id and of a replication id (Redis 7.0 server.h,
/// `CONFIG_RUN_ID_SIZE`).
const ID_CHARS: usize = 40;

#[derive(Default)]
struct Said<'t> {
    role: Option<&'t str>,
    run_id: Option<&'t str>,
    replid: Option<&'t str>,
    replid2: Option<&'t str>,
    second_offset: Option<i64>,
    master_offset: Option<i64>,
    replica_offset: Option<i64>,
    is_loading: bool,
    keys: Option<u64>,
}

/// What the replies to the INFO commands of one pipeline say together; none if they
/// do not say all that a sample needs. A node that is loading shows an offset of
/// nothing, so it gives none either.
pub(super) fn sample<'t>(
    address: &str,
    at_ms: u64,
    replies: impl Iterator<Item = &'t [Node]>,
) -> Option<Sample> {
    let mut said = Said::default();
    for reply in replies {
        if let [Node::Bulk(bytes)] = reply {
            said.hear(std::str::from_utf8(bytes).ok()?);
        }
    }
    if said.is_loading {
        return None;
    }
    let (master, offset) = match said.role? {
        "master" => (true, said.master_offset?),
        "slave" => (false, said.replica_offset?),
        _ => return None,
    };
    Some(Sample {
        address: address.to_owned(),
        at_ms,
        run_id: said.run_id?.to_owned(),
        master,
        replid: said.replid?.to_owned(),
        replid2: said.replid2?.to_owned(),
        second_offset: said.second_offset?,
        offset,
        keys: said.keys,
    })
}

impl<'t> Said<'t> {
    fn hear(&mut self, text: &'t str) {
        for line in text.lines() {
            if line == "# Keyspace" {
                self.keys.get_or_insert(0);
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            match name {
                "role" => self.role = Some(value),
                "run_id" => self.run_id = id(value),
                "master_replid" => self.replid = id(value),
                "master_replid2" => self.replid2 = id(value),
                "second_repl_offset" => self.second_offset = value.parse().ok(),
                "master_repl_offset" => self.master_offset = offset(value),
                "slave_repl_offset" => self.replica_offset = offset(value),
                "loading" => self.is_loading = value != "0",
                _ => {
                    if let Some(keys) = database(name, value) {
                        self.keys = Some(self.keys.unwrap_or(0).saturating_add(keys));
                    }
                }
            }
        }
    }
}

fn id(value: &str) -> Option<&str> {
    let is_id = value.len() == ID_CHARS && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(value)
}

fn offset(value: &str) -> Option<i64> {
    value.parse().ok().filter(|offset| *offset >= 0)
}

/// `db0:keys=12,expires=0,avg_ttl=0`.
fn database(name: &str, value: &str) -> Option<u64> {
    name.strip_prefix("db")?.parse::<u32>().ok()?;
    value.strip_prefix("keys=")?.split(',').next()?.parse().ok()
}
