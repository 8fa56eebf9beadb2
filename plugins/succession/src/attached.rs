//! Replicas as their master sees them.

use baton_plugin::redis::Info;

/// One line `slave0:ip=…,port=…,state=online,offset=…,lag=…` of INFO replication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// `ip:port`, as the replica announces itself.
    pub address: String,
    /// `online`, `wait_bgsave`, `send_bulk`.
    pub state: String,
    /// What it has acknowledged, bytes of the master's history. Replicas acknowledge once
    /// a second (Redis 7.0, `replicationCron`).
    pub acknowledged: i64,
    /// Since its last acknowledgement, s.
    pub lag_s: i64,
}

/// Every replica that a master's INFO replication lists; rubbish is passed over.
pub fn attached(info: &Info) -> Vec<Attached> {
    let is_line = |name: &str| {
        let number = name.strip_prefix("slave");
        number.is_some_and(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit()))
    };
    info.iter().filter(|(name, _)| is_line(name)).filter_map(|(_, line)| read(line)).collect()
}

fn read(line: &str) -> Option<Attached> {
    let field = |wanted: &str| {
        line.split(',').filter_map(|it| it.split_once('=')).find(|it| it.0 == wanted).map(|it| it.1)
    };
    Some(Attached {
        address: format!("{}:{}", field("ip")?, field("port")?),
        state: field("state")?.to_owned(),
        acknowledged: field("offset")?.parse().ok()?,
        lag_s: field("lag")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_replicas_are_read_and_rubbish_is_not() {
        let info = Info::parse(
            "role:master\r\nconnected_slaves:1\r\nslave0:ip=10.0.0.2,port=6379,state=online,offset=42,lag=1\r\nslave1:nonsense\r\nslave_priority:100\r\n",
        );
        let expected = Attached {
            address: "10.0.0.2:6379".into(),
            state: "online".into(),
            acknowledged: 42,
            lag_s: 1,
        };
        assert_eq!(attached(&info), [expected]);
    }
}
