//! `redis-ping`: does each member answer, and how fast?
//!
//! The smallest plugin of the house, and the one to copy from.

use baton_plugin::redis::{Command, Request};
use baton_plugin::{About, Fault, Host, JsonSchema, Plugin};
use serde::{Deserialize, Serialize};

/// Longest wait for a member, ms, connecting included.
const TIMEOUT_MS: u32 = 1000;

/// What to ping.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// One member only; absent: all of them.
    pub address: Option<String>,
}

/// Who answered.
#[derive(Debug, Serialize, JsonSchema, PartialEq)]
pub struct Output {
    /// In the order of baton.toml.
    pub members: Vec<Pinged>,
}

/// One member's answer.
#[derive(Debug, Serialize, JsonSchema, PartialEq)]
pub struct Pinged {
    /// `host:port`.
    pub address: String,
    /// It answered PONG.
    pub ok: bool,
    /// Until the answer, ms; whole milliseconds are all that a guest's clock shows.
    pub latency_ms: Option<u64>,
    /// What it answered or failed with instead.
    pub error: Option<String>,
}

/// The plugin.
pub struct RedisPing;

impl Plugin for RedisPing {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "redis-ping",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Pings the members of a cluster",
            redis_commands: &["PING"],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let cluster = host
            .describe_cluster(&input.cluster)
            .map_err(|error| Fault::from_redis("cannot look up the cluster", &error))?;
        let addresses = match input.address {
            Some(address) => vec![address],
            None => cluster.members.into_iter().map(|member| member.address).collect(),
        };
        let members = addresses
            .into_iter()
            .map(|address| ping(&input.cluster, address, host))
            .collect::<Result<_, _>>()?;
        Ok(Output { members })
    }
}

/// One member at a time, so that each latency is its own.
fn ping<H: Host>(cluster: &str, address: String, host: &mut H) -> Result<Pinged, Fault> {
    let begun_ms = host.now_ms();
    let request = Request::new(address.clone(), vec![Command::line("PING")]);
    let result = host
        .call(cluster, &[request], TIMEOUT_MS)
        .map_err(|error| Fault::from_redis("cannot ping", &error))?
        .pop();
    let latency_ms = Some(host.now_ms().saturating_sub(begun_ms));
    let failed = |error| Pinged { address: address.clone(), ok: false, latency_ms: None, error };
    Ok(match result {
        Some(Ok(replies)) => match replies.first() {
            Some(reply) if reply.text().as_deref() == Some("PONG") => {
                Pinged { address, ok: true, latency_ms, error: None }
            }
            Some(reply) => failed(Some(reply.error().unwrap_or("no PONG").to_owned())),
            None => failed(Some("no reply".to_owned())),
        },
        Some(Err(error)) => failed(Some(error.to_string())),
        None => failed(Some("no reply".to_owned())),
    })
}

baton_plugin::export!(RedisPing);

#[cfg(test)]
mod tests {
    use super::*;
    use baton_plugin::redis::{ErrorKind, Value};
    use baton_plugin::testing::FakeCluster;

    #[test]
    fn each_member_is_told_apart() {
        let mut fake = FakeCluster::new("bondx", &["n:1", "n:2"], &["s:1"])
            .on("n:1", "PING", vec![Value::Simple("PONG".into())])
            .on("s:1", "PING", vec![Value::Error("LOADING Redis is loading".into())])
            .down("n:2", ErrorKind::Refused);
        let input = Input { cluster: "bondx".into(), address: None };
        let members = RedisPing::run(input, &mut fake).unwrap().members;
        assert_eq!(members.iter().map(|it| it.ok).collect::<Vec<_>>(), [true, false, false]);
        assert!(members[1].error.as_ref().unwrap().starts_with("refused"));
        assert!(members[2].error.as_ref().unwrap().starts_with("LOADING"));
    }

    #[test]
    fn one_member_only_where_asked() {
        let mut fake = FakeCluster::new("bondx", &["n:1", "n:2"], &[]).on(
            "n:2",
            "PING",
            vec![Value::Simple("PONG".into())],
        );
        let input = Input { cluster: "bondx".into(), address: Some("n:2".into()) };
        assert_eq!(RedisPing::run(input, &mut fake).unwrap().members.len(), 1);
        assert_eq!(fake.sent, ["n:2 PING"]);
    }

    #[test]
    fn an_unknown_cluster_is_a_permanent_fault() {
        let mut fake = FakeCluster::new("bondx", &[], &[]);
        let input = Input { cluster: "other".into(), address: None };
        assert_eq!(RedisPing::run(input, &mut fake).unwrap_err().code, "not-found");
    }
}
