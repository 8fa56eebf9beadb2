//! `min-replicas-to-write`: the gate before a master's writes, and the fence made of it.
//!
//! A master that asks for more replicas than any cluster has refuses every write with
//! NOREPLICAS, at once, for clients that stay connected too, and after a restart if its
//! config file was written (Redis 7.0, `checkGoodReplicasStatus` in server.c). It goes on answering reads, and Sentinel takes
//! it for alive.

use baton_plugin::redis::{Command, Request, Value};
use baton_plugin::{Cluster, Fault, Host};

/// The gate of a fenced node: more replicas than any cluster of ours has.
pub const FENCE_REPLICAS: i64 = 100;

const SETTING: &str = "min-replicas-to-write";

/// Asks for a node's gate.
pub fn gate_question() -> Command {
    Command::of(["CONFIG", "GET", SETTING])
}

/// Sets a node's gate, now and in its config file. Both only set what is to be: they may
/// be sent again, and are left with a node that hangs.
pub fn gate_commands(replicas: i64) -> Vec<Command> {
    let set = Command::of(["CONFIG", "SET", SETTING, &replicas.to_string()]);
    vec![set, Command::line("CONFIG REWRITE")]
}

/// The answer to [`gate_question`], replicas; none where it is an error.
pub fn read_gate(answer: &Value) -> Option<i64> {
    answer.field(SETTING)?.int()
}

/// Whether a gate is a fence rather than somebody's policy.
pub fn is_fence(gate: i64) -> bool {
    gate >= FENCE_REPLICAS
}

/// The gate of each of these nodes, in their order; none where it did not say.
///
/// # Errors
/// A [`Fault`] where the step may not ask at all.
pub fn gates<H: Host>(
    cluster: &Cluster,
    addresses: Vec<String>,
    timeout_ms: u32,
    host: &mut H,
) -> Result<Vec<(String, Option<i64>)>, Fault> {
    let requests: Vec<Request> =
        addresses.iter().map(|it| Request::new(it.clone(), vec![gate_question()])).collect();
    let answers = host
        .call(&cluster.name, &requests, timeout_ms)
        .map_err(|error| Fault::from_redis("cannot ask for min-replicas-to-write", &error))?;
    let gate = |answer: Result<Vec<Value>, _>| read_gate(answer.ok()?.first()?);
    Ok(addresses.into_iter().zip(answers.into_iter().map(gate)).collect())
}

/// The gate that `node` has when nobody fences it: what the other nodes have, since the
/// nodes of a cluster are set up alike; none where no other one says.
pub fn usual_gate(gates: &[(String, Option<i64>)], node: &str) -> Option<i64> {
    let others = gates.iter().filter(|(address, _)| !crate::same_address(address, node));
    others.filter_map(|(_, gate)| *gate).filter(|gate| !is_fence(*gate)).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_gate_is_that_of_the_others_and_never_a_fence() {
        let gate = |address: &str, gate| (address.to_owned(), gate);
        let gates = [gate("a:1", Some(7)), gate("b:1", Some(1)), gate("c:1", Some(100))];
        assert_eq!(usual_gate(&gates, "a:1"), Some(1));
        assert_eq!(usual_gate(&gates, "b:1"), Some(7));
        assert_eq!(usual_gate(&gates[2..], "a:1"), None);
    }

    #[test]
    fn an_error_is_no_gate() {
        assert_eq!(read_gate(&Value::Error("NOPERM".into())), None);
        let pair = Value::List(vec![SETTING.into(), "100".into()]);
        assert_eq!(read_gate(&pair).map(is_fence), Some(true));
    }
}
