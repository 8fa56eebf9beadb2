//! Questions to one server, each over a fresh connection with a bound.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use redis::{Client, Connection, ConnectionAddr, FromRedisValue, IntoConnectionInfo};

use crate::node::Node;

/// A server on loopback that answers at all answers within this.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// Connects to `address`.
///
/// # Errors
/// When nobody answers in time, or the password is refused.
pub fn connect(address: &str, password: Option<&str>) -> Result<Connection> {
    let (host, port) = address.rsplit_once(':').context("an address is host:port")?;
    let place = ConnectionAddr::Tcp(host.to_owned(), port.parse()?);
    let mut info = place.into_connection_info()?;
    if let Some(password) = password {
        let login = info.redis_settings().clone().set_password(password);
        info = info.set_redis_settings(login);
    }
    let connection = Client::open(info)?.get_connection_with_timeout(ANSWER_WITHIN)?;
    connection.set_read_timeout(Some(ANSWER_WITHIN))?;
    connection.set_write_timeout(Some(ANSWER_WITHIN))?;
    Ok(connection)
}

/// Sends one command to `node` and reads its answer.
///
/// # Errors
/// When it does not answer, or answers with an error.
pub fn ask<T: FromRedisValue>(node: &Node, words: &[&str]) -> Result<T> {
    let mut connection = connect(&node.address(), node.password())?;
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(*word);
    }
    let answer = command.query(&mut connection);
    answer.with_context(|| format!("{} to {}", words.join(" "), node.name()))
}

/// The fields of `INFO <section>`; empty when the node does not answer.
pub fn info(node: &Node, section: &str) -> BTreeMap<String, String> {
    let text: String = ask(node, &["INFO", section]).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim_end().to_owned()))
        .collect()
}

/// What a node says it is: `master` or `slave`; none when it does not answer.
pub fn role(node: &Node) -> Option<String> {
    info(node, "replication").remove("role")
}

/// Whether a replica's link to its master is up and it is not loading data.
pub fn in_sync(node: &Node) -> bool {
    let fields = info(node, "replication");
    let is = |name: &str, value: &str| fields.get(name).is_some_and(|found| found == value);
    is("role", "slave") && is("master_link_status", "up") && is("master_sync_in_progress", "0")
}

/// What `SENTINEL MASTER <name>` says; empty when it does not answer.
pub fn sentinel_master(sentinel: &Node, master: &str) -> BTreeMap<String, String> {
    ask(sentinel, &["SENTINEL", "MASTER", master]).unwrap_or_default()
}

/// What `SENTINEL REPLICAS <name>` says; empty when it does not answer.
pub fn sentinel_replicas(sentinel: &Node, master: &str) -> Vec<BTreeMap<String, String>> {
    ask(sentinel, &["SENTINEL", "REPLICAS", master]).unwrap_or_default()
}

/// `host:port` of the master by one Sentinel; none when it does not answer.
pub fn master_by(sentinel: &Node, master: &str) -> Option<String> {
    let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", master];
    let (host, port): (String, String) = ask(sentinel, &words).ok()?;
    Some(format!("{host}:{port}"))
}
