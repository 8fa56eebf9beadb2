//! `rollback-plan`: what going back to an earlier master would take. Shown, never done.
//!
//! Read-only. It looks where the old master stands on its way back (gone, alone, fenced,
//! copying, behind, ready), says what is in the way, the commands in their order, and
//! what writes would feel.

mod standing;

use baton_plugin::redis::Info;
use baton_plugin::redis::{Command, Request};
use baton_plugin::{About, Cluster, Fault, Host, JsonSchema, Plugin, Table};
use baton_topology::{Look, Node, Scope, look, same_address};
use serde::{Deserialize, Serialize};
use standing::{Standing, standing};

/// Longest wait for a member, ms, connecting included.
const TIMEOUT_MS: u32 = 1000;
/// Between two looks at the master's offset, ms: how fast it is written to.
const RATE_MS: u32 = 500;

/// Whither.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// Who was master and may be again, `host:port`.
    pub old_master: String,
    /// Why a switchover to it would be refused now, if it would (`switchover-plan`).
    pub refusal: Option<String>,
}

/// The plan.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `ready`, `blocked`, or `not needed`: it is the master.
    pub verdict: String,
    /// In one sentence.
    pub reason: String,
    /// The master now; none if there is not exactly one.
    pub master: Option<String>,
    /// The old one.
    pub old_master: String,
    /// It follows the master, and the link is up.
    pub attached: bool,
    /// It is on the master's history.
    pub same_history: bool,
    /// How far it is behind, bytes; none where it is of another history or silent.
    pub lag_bytes: Option<i64>,
    /// Bytes a second of the master's stream.
    pub bytes_per_s: i64,
    /// What is in the way.
    pub blocks: Vec<String>,
    /// What to type, in this order.
    pub commands: Vec<String>,
    /// What writes would feel.
    pub expected_gap: String,
    /// The same for people.
    pub table: Table,
}

/// The plugin.
pub struct RollbackPlan;

impl Plugin for RollbackPlan {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "rollback-plan",
            version: env!("CARGO_PKG_VERSION"),
            summary: "What going back to an earlier master would take",
            redis_commands: &[
                "PING",
                "INFO",
                "CONFIG|GET",
                "SENTINEL|MASTER",
                "SENTINEL|GET-MASTER-ADDR-BY-NAME",
                "SENTINEL|SENTINELS",
                "SENTINEL|MYID",
            ],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let cluster = host
            .describe_cluster(&input.cluster)
            .map_err(|error| Fault::from_redis("cannot look up the cluster", &error))?;
        let seen = look(&cluster, Scope::Whole, TIMEOUT_MS, host)?;
        if seen.node(&input.old_master).is_none() {
            let what = format!("baton.toml lists no node {}", input.old_master);
            return Err(Fault::permanent("no-such-node", what));
        }
        // How fast the master is written to matters where something can be handed over.
        let near = seen.node(&input.old_master).is_some_and(Node::is_replica);
        let bytes_per_s = if near { rate(&cluster, &seen, host)? } else { 0 };
        Ok(plan(&cluster.name, &seen, &input, bytes_per_s))
    }
}

/// Asks the master once more, a moment later.
fn rate<H: Host>(cluster: &Cluster, seen: &Look, host: &mut H) -> Result<i64, Fault> {
    let Some(master) = seen.masters().next() else { return Ok(0) };
    let begun_ms = host.now_ms();
    host.sleep(RATE_MS);
    let request = Request::new(master.address.clone(), vec![Command::line("INFO replication")]);
    let answers = host
        .call(&cluster.name, &[request], TIMEOUT_MS)
        .map_err(|error| Fault::from_redis("cannot ask the master", &error))?;
    let info = answers.first().and_then(|it| Info::from_value(it.as_ref().ok()?.first()?));
    let now = info.and_then(|it| it.int("master_repl_offset"));
    let grown = now.zip(master.offset).map_or(0, |(now, was)| now - was);
    let took_ms = i64::try_from(host.now_ms().saturating_sub(begun_ms)).unwrap_or(0).max(1);
    Ok(grown.max(0).saturating_mul(1000) / took_ms)
}

/// Pure: what was seen in, the plan out.
fn plan(cluster: &str, seen: &Look, input: &Input, bytes_per_s: i64) -> Output {
    let old = &input.old_master;
    let masters: Vec<&str> = seen.masters().map(|it| it.address.as_str()).collect();
    let master = if let [one] = masters[..] { Some(one.to_owned()) } else { None };
    let at = standing(seen, old, master.as_deref());
    let node = seen.node(old);
    let head = master.as_deref().and_then(|it| seen.node(it));
    let same_history = head
        .zip(node)
        .is_some_and(|(head, node)| node.replid.is_some() && node.replid == head.replid);
    let lag_bytes = head
        .zip(node)
        .filter(|_| same_history)
        .and_then(|(head, node)| Some((head.offset? - node.offset?).max(0)));
    let attached = head
        .zip(node)
        .is_some_and(|(head, node)| node.follows(&head.address) && node.link_up == Some(true));
    let mut blocks: Vec<String> = at.block(old).into_iter().collect();
    // A refusal for the same reason says it in other words.
    let refused = input.refusal.as_ref().filter(|_| matches!(at, Standing::Ready));
    blocks.extend(refused.map(|why| format!("a switchover would be refused: {why}")));
    let verdict = match (&at, blocks.is_empty()) {
        (Standing::Master, _) => "not needed",
        (_, true) => "ready",
        (_, false) => "blocked",
    };
    let commands = at.commands(cluster, old);
    let reason = match blocks.first() {
        Some(block) => format!("not now: {block}"),
        None if verdict == "ready" => format!("{old} could be master again at once"),
        None => format!("{old} is the master"),
    };
    let expected_gap = gap(&at, lag_bytes, bytes_per_s);
    let mut output = Output {
        verdict: verdict.into(),
        reason,
        master,
        old_master: old.clone(),
        attached,
        same_history,
        lag_bytes,
        bytes_per_s,
        blocks,
        commands,
        expected_gap,
        table: Table::new(["going back", ""]),
    };
    output.table.rows = rows(&output);
    output
}

/// The figures are measurements (Redis 7.0, loopback): the server hands over by itself in
/// some ten milliseconds; where no write was on its way it takes up to half a second.
fn gap(at: &Standing, lag_bytes: Option<i64>, bytes_per_s: i64) -> String {
    if matches!(at, Standing::Master) {
        return "none".into();
    }
    let lag = match lag_bytes {
        Some(lag) => format!("it is {lag} bytes behind, at {bytes_per_s} bytes a second"),
        None => "how far it will be behind is not known yet".into(),
    };
    format!(
        "writes stop for some 10 ms, at most about half a second; {lag}; nothing is lost, or the handover is called off"
    )
}

fn rows(plan: &Output) -> Vec<Vec<String>> {
    let row = |name: &str, text: String| vec![name.to_owned(), text];
    let mut rows = vec![
        row("verdict", plan.verdict.clone()),
        row("master now", plan.master.clone().unwrap_or_else(|| "not exactly one".into())),
        row("attached", if plan.attached { "yes" } else { "no" }.into()),
        row("same history", if plan.same_history { "yes" } else { "no" }.into()),
    ];
    rows.extend(plan.blocks.iter().map(|it| row("in the way", it.clone())));
    let numbered = plan.commands.iter().zip(1..);
    rows.extend(numbered.map(|(command, number)| row(&format!("step {number}"), command.clone())));
    rows.push(row("expected gap", plan.expected_gap.clone()));
    rows
}

/// Whether two addresses mean one node, for the tests beside.
pub(crate) fn same(one: &str, other: &str) -> bool {
    same_address(one, other)
}

baton_plugin::export!(RollbackPlan);

#[cfg(test)]
mod tests;
