//! `salvage`: keeps what an old master alone holds before it follows its successor.
//!
//! Redis discards it: a replica that takes a full copy empties itself first. Here all of
//! it goes to a file on the node (BGSAVE), and what differs from the successor is listed,
//! as far as bounds allow. The node must be fenced: it is compared while it stands still.

mod compare;
mod file;

use baton_plugin::{About, Fault, Host, JsonSchema, Mode, Plugin};
use baton_topology::{Scope, look};
use compare::{Comparison, compare};
use file::{Saved, save};
use serde::{Deserialize, Serialize};

/// Longest wait for a member, ms, connecting included.
pub(crate) const TIMEOUT_MS: u32 = 2000;

/// How long the file may take, ms.
const WAIT_MS: u32 = 600_000;

/// Keys looked at, by default: some seconds of two idle nodes.
const KEYS_MAX: u32 = 20_000;

/// Whom to salvage from.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// The old master, `host:port`, fenced.
    pub node: String,
    /// Its process, as `hold` saw it.
    pub run_id: Option<String>,
    /// Its successor, to compare with.
    pub master: String,
    /// How long the file may take, ms; 600000 if absent.
    pub wait_ms: Option<u32>,
    /// Keys to look at, at most; 20000 if absent.
    pub keys_max: Option<u32>,
}

/// What was kept.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The file on the node; none where there was nothing left to keep.
    pub file: Option<String>,
    /// The file has a name of its own. Otherwise the node's next save overwrites it:
    /// copy it away.
    pub named: bool,
    /// What `repl-diskless-load` was before it was changed, so that the copy from the
    /// successor does not overwrite the file; `rejoin` gives it back.
    pub diskless_load: Option<String>,
    /// Keys that the node has and its successor has not, or has otherwise. What was
    /// written to the successor since its promotion is among them.
    pub differences: Vec<Difference>,
    /// Keys that were compared.
    pub compared: u64,
    /// Keys too large to compare.
    pub passed_over: u64,
    /// Every key was looked at.
    pub complete: bool,
    /// One sentence for a person.
    pub reason: String,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Difference {
    /// Its name; bytes that are no text are replaced.
    pub key: String,
    /// Its type.
    pub kind: String,
    /// `only here` or `differs`.
    pub what: String,
}

/// The plugin.
pub struct Salvage;

impl Plugin for Salvage {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "salvage",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Keeps what an old master alone holds before it follows its successor",
            redis_commands: &[
                "PING",
                "INFO",
                "CONFIG|GET",
                "CONFIG|SET",
                "BGSAVE",
                "SCAN",
                "TYPE",
                "STRLEN",
                "GET",
                "HLEN",
                "HGETALL",
                "LLEN",
                "LRANGE",
                "SCARD",
                "SMEMBERS",
                "ZCARD",
                "ZRANGE",
                "XLEN",
                "XRANGE",
            ],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let cluster = host
            .describe_cluster(&input.cluster)
            .map_err(|error| Fault::from_redis("cannot look up the cluster", &error))?;
        if cluster.mode == Mode::Observe {
            let why = format!("cluster {} is in mode observe: nothing is saved", cluster.name);
            return Err(Fault::permanent("observe-mode", why));
        }
        let seen = look(&cluster, Scope::DataNodes, TIMEOUT_MS, host)?;
        let node = seen.node(&input.node).filter(|it| it.reachable).cloned().ok_or_else(|| {
            let why = format!("{} does not answer: wait until it is back", input.node);
            Fault::retryable("gone-again", why)
        })?;
        if node.is_replica() {
            let why = format!("{} follows already: what it alone had is gone", node.address);
            return Ok(nothing(why));
        }
        if input.run_id.is_some() && node.run_id != input.run_id {
            let why = format!("{} was restarted since it was held: hold it again", node.address);
            return Err(Fault::permanent("restarted", why));
        }
        let wait_ms = input.wait_ms.unwrap_or(WAIT_MS);
        let Saved { file, named, diskless_load } = save(&cluster, &node.address, wait_ms, host)?;
        let keys_max = u64::from(input.keys_max.unwrap_or(KEYS_MAX));
        let Comparison { differences, compared, passed_over, complete, trouble } =
            compare(&cluster, &node.address, &input.master, keys_max, host)?;
        let listed = match (&trouble, complete) {
            (Some(why), _) => format!("; the comparison was cut short: {why}"),
            (None, false) => format!("; only the first {compared} keys were compared"),
            (None, true) => String::new(),
        };
        let reason = format!(
            "all that {} held is in {file} on it; {} keys differ from {}{listed}",
            node.address,
            differences.len(),
            input.master
        );
        Ok(Output {
            file: Some(file),
            named,
            diskless_load,
            differences,
            compared,
            passed_over,
            complete,
            reason,
        })
    }
}

fn nothing(reason: String) -> Output {
    Output {
        file: None,
        named: false,
        diskless_load: None,
        differences: Vec::new(),
        compared: 0,
        passed_over: 0,
        complete: false,
        reason,
    }
}

baton_plugin::export!(Salvage);

#[cfg(test)]
mod tests;
