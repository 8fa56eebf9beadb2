//! What is known of settings (Redis 7.0 config.c).

/// Each node has its own: addresses, folders, names, roles.
const OWN: &str = "port tls-port bind bind-source-addr dir pidfile logfile unixsocket replicaof \
    slaveof replica-announce-ip replica-announce-port slave-announce-ip slave-announce-port \
    cluster-announce-ip cluster-announce-port cluster-announce-bus-port cluster-announce-hostname \
    cluster-announce-tls-port cluster-config-file tls-cert-file tls-key-file tls-client-cert-file \
    tls-client-key-file syslog-ident proc-title-template server_cpulist bio_cpulist \
    aof_rewrite_cpulist bgsave_cpulist oom-score-adj-values";

/// Those of a Sentinel that are settings, of all that SENTINEL MASTER tells.
pub(crate) const OF_SENTINELS: [&str; 4] =
    ["quorum", "down-after-milliseconds", "failover-timeout", "parallel-syncs"];

/// Another name of the same setting, which is not told twice.
const ALIASES: [(&str, &str); 14] = [
    ("slave-priority", "replica-priority"),
    ("slave-read-only", "replica-read-only"),
    ("slave-serve-stale-data", "replica-serve-stale-data"),
    ("slave-lazy-flush", "replica-lazy-flush"),
    ("slave-ignore-maxmemory", "replica-ignore-maxmemory"),
    ("slave-announced", "replica-announced"),
    ("repl-ping-slave-period", "repl-ping-replica-period"),
    ("min-slaves-to-write", "min-replicas-to-write"),
    ("min-slaves-max-lag", "min-replicas-max-lag"),
    ("lua-time-limit", "busy-reply-threshold"),
    ("hash-max-ziplist-entries", "hash-max-listpack-entries"),
    ("hash-max-ziplist-value", "hash-max-listpack-value"),
    ("zset-max-ziplist-entries", "zset-max-listpack-entries"),
    ("zset-max-ziplist-value", "zset-max-listpack-value"),
];

/// CONFIG SET refuses them: `IMMUTABLE_CONFIG`, and protected ones.
const AT_START: &str = "always-show-logo appenddirname appendfilename aclfile cluster-enabled \
    cluster-config-file daemonize databases dbfilename disable-thp \
    enable-debug-command enable-module-command enable-protected-configs io-threads \
    io-threads-do-reads rdbchecksum set-proc-title supervised syslog-enabled syslog-facility \
    tcp-backlog unixsocketperm";

fn is_of(list: &str, setting: &str) -> bool {
    list.split_whitespace().any(|it| it == setting)
}

/// Whether every node has its own value of it.
pub(crate) fn is_own(setting: &str) -> bool {
    is_of(OWN, setting)
}

/// Whether another name stands for it.
pub(crate) fn is_alias(setting: &str) -> bool {
    ALIASES.iter().any(|(alias, _)| *alias == setting)
}

/// The name that stands for it.
pub(crate) fn proper(setting: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == setting).map_or(setting, |(_, proper)| proper)
}

/// Whether it can be set while the server runs.
pub(crate) fn is_live(setting: &str) -> bool {
    !is_of(AT_START, setting)
}

/// As CONFIG GET tells it: memory in bytes (Redis 7.0 util.c, memtoull).
pub(crate) fn plain(value: &str) -> String {
    let lower = value.to_ascii_lowercase();
    let units: [(&str, u64); 7] = [
        ("kb", 1024),
        ("mb", 1024 * 1024),
        ("gb", 1024 * 1024 * 1024),
        ("k", 1000),
        ("m", 1_000_000),
        ("g", 1_000_000_000),
        ("b", 1),
    ];
    for (unit, bytes) in units {
        if let Some(number) = lower.strip_suffix(unit).and_then(|it| it.parse::<u64>().ok()) {
            return number.saturating_mul(bytes).to_string();
        }
    }
    value.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_compared_in_bytes_and_other_words_as_they_are() {
        for (said, plain_one) in [
            ("64mb", "67108864"),
            ("64kb", "65536"),
            ("1GB", "1073741824"),
            ("5k", "5000"),
            ("100", "100"),
            ("yes", "yes"),
            ("allkeys-lru", "allkeys-lru"),
            ("", ""),
        ] {
            assert_eq!(plain(said), plain_one);
        }
    }
}
