//! What a simulated node says to INFO, section by section, as Redis 7.0 writes it.

use super::World;

impl World {
    pub(super) fn info(&self, index: usize, section: &str) -> String {
        let node = &self.nodes[index];
        match section {
            "server" => {
                let uptime = node.uptime_s.map(|it| format!("uptime_in_seconds:{it}\r\n"));
                let (version, run_id) = (&node.version, &node.run_id);
                let uptime = uptime.unwrap_or_default();
                format!("redis_version:{version}\r\nrun_id:{run_id}\r\n{uptime}")
            }
            "persistence" => format!("loading:{}\r\n", u8::from(node.loading)),
            "keyspace" if node.keys > 0 => format!("db0:keys={},expires=0\r\n", node.keys),
            "replication" => {
                let attached = self
                    .nodes
                    .iter()
                    .filter(|it| it.follows.as_ref() == Some(&node.address) && it.down.is_none());
                let head = format!(
                    "connected_slaves:{}\r\nmaster_replid:{}\r\nmaster_replid2:{}\r\nmaster_repl_offset:{}\r\nsecond_repl_offset:{}\r\n",
                    attached.count(),
                    node.replid,
                    node.replid2,
                    node.offset,
                    node.second_offset
                );
                let Some(master) = &node.follows else { return format!("role:master\r\n{head}") };
                let (host, port) = master.split_once(':').expect("host:port");
                let link = if self.link_up(node) {
                    format!(
                        "master_link_status:up\r\nmaster_last_io_seconds_ago:{}",
                        node.last_io_s
                    )
                } else {
                    "master_link_status:down\r\nmaster_last_io_seconds_ago:-1\r\nmaster_link_down_since_seconds:1".into()
                };
                format!(
                    "role:slave\r\nmaster_host:{host}\r\nmaster_port:{port}\r\n{link}\r\nmaster_sync_in_progress:{}\r\nslave_repl_offset:{}\r\nslave_priority:{}\r\n{head}",
                    u8::from(node.syncing),
                    node.offset,
                    node.priority
                )
            }
            _ => String::new(),
        }
    }
}
