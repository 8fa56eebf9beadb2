//! Addresses as baton.toml and as Redis spell them.

/// Whether two `host:port` mean one node.
///
/// Compared as text: Redis and Sentinel speak in IP addresses, so baton.toml has to
/// as well (or Sentinel must run with `announce-hostnames`). The one alias is
/// `localhost`.
pub fn same_address(one: &str, other: &str) -> bool {
    canonical(one) == canonical(other)
}

fn canonical(address: &str) -> String {
    address
        .strip_prefix("localhost:")
        .map_or_else(|| address.replace(['[', ']'], ""), |port| format!("127.0.0.1:{port}"))
}

/// Host and port as commands want them; an IPv6 host loses its brackets.
pub fn split_address(address: &str) -> Option<(String, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = if host == "localhost" { "127.0.0.1" } else { host };
    Some((host.replace(['[', ']'], ""), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_node_under_two_spellings() {
        assert!(same_address("localhost:7001", "127.0.0.1:7001"));
        assert!(same_address("[::1]:7001", "::1:7001"));
        assert!(!same_address("127.0.0.1:7001", "127.0.0.1:7002"));
    }

    #[test]
    fn an_address_splits_into_what_replicaof_wants() {
        assert_eq!(split_address("[::1]:7001"), Some(("::1".into(), 7001)));
        assert_eq!(split_address("10.0.0.1:x"), None);
    }
}
