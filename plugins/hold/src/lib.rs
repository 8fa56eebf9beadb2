//! `hold`: waits for a node that was replaced, and fences it the moment it is back.
//!
//! A restarted master takes writes until somebody demotes it; Sentinel needs ten seconds
//! for that, and every write acknowledged meanwhile is lost. So while its process is gone
//! the fence itself is what knocks, every 50 ms: refused it costs nothing, let in it is
//! done. A master that hangs has the fence waiting in its kernel (once for each time it
//! hangs) and is looked at now and then.
//!
//! ```text
//! a successor is master ─ gone: knock with the fence ── back: fenced, held ─► salvage, rejoin
//!        │                hangs: the fence waits there ┘
//! it is a replica ─► follows                  it is the only master, for long ─► master
//! ```

mod knock;

use baton_plugin::{About, Cluster, Fault, Host, JsonSchema, Mode, Plugin};
use baton_topology::{Look, Node, Scope, gates, is_fence, look, same_address, usual_gate};
use knock::{Knock, knock};
use serde::{Deserialize, Serialize};

/// Longest wait for a member, ms, connecting included.
const TIMEOUT_MS: u32 = 300;

/// How long one attempt waits, ms. Each one leaves a few lines in the journal; but an
/// engine that is restarted five times within one takes it for what kills it, and asks.
const WAIT_MS: u32 = 120_000;

/// Between two knocks at a node whose process is gone, ms.
const KNOCK_MS: u32 = 50;

/// After so long without a sign of it the knocks come less often, ms.
const EAGER_MS: u64 = 60_000;

/// Attempts that begin so eagerly: whoever restarts a node does it in the first minutes.
const EAGER_ATTEMPTS: u32 = 5;

/// Between two knocks then, and between two looks at all, ms.
const PATIENT_MS: u32 = 1000;

/// It has to be the only master for so long before it counts as one that nobody has
/// replaced, ms: a promotion may be under way.
const STAYS_MS: u64 = 3000;

/// Whom to wait for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// The node, `host:port`.
    pub node: String,
    /// Its `min-replicas-to-write` without a fence; absent, null or negative: as the
    /// node or the others say.
    pub prior: Option<i64>,
    /// How long to wait, ms; 120000 if absent.
    pub wait_ms: Option<u32>,
}

/// What became of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is not back yet.
    Waiting,
    /// It is back as a master beside its successor, and fenced.
    Held,
    /// It is a replica.
    Follows,
    /// It is the only master, and stays it.
    Master,
}

/// The node, and what it alone may hold.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// What became of it.
    pub outcome: Outcome,
    /// The node.
    pub node: String,
    /// Its process: another one must be looked at anew.
    pub run_id: Option<String>,
    /// Who took over.
    pub master: Option<String>,
    /// Its gate without the fence, replicas.
    pub prior: i64,
    /// When it was held, Unix ms.
    pub held_at_ms: u64,
    /// Bytes of its history that its successor does not carry on; none where it cannot
    /// be known: a restarted process has a history of its own.
    pub extra_bytes: Option<i64>,
    /// One sentence for a person.
    pub reason: String,
}

/// The plugin.
pub struct Hold;

impl Plugin for Hold {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "hold",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Waits for a node that was replaced, and fences it the moment it is back",
            redis_commands: &[
                "PING",
                "INFO",
                "CONFIG|GET",
                "CONFIG|SET",
                "CONFIG|REWRITE",
                "CLIENT|KILL",
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
        if cluster.mode == Mode::Observe {
            let why = format!("cluster {} is in mode observe: nobody is held", cluster.name);
            return Err(Fault::permanent("observe-mode", why));
        }
        let mut vigil = Vigil::new(&cluster, &input, host)?;
        loop {
            let seen = look(&cluster, Scope::Everyone, TIMEOUT_MS, host)?;
            if let Some(output) = vigil.judge(&seen, host)? {
                return Ok(output);
            }
            if host.now_ms() >= vigil.until_ms {
                return Ok(vigil.output(Outcome::Waiting, None, None, "it is not back yet", host));
            }
            vigil.knock_until_next_look(&seen, host)?;
        }
    }
}

/// One attempt's wait.
struct Vigil<'a> {
    cluster: &'a Cluster,
    node: String,
    stated: Option<i64>,
    /// What the node or the others said.
    learned: Option<i64>,
    until_ms: u64,
    eager_until_ms: u64,
    /// The fence waits in its kernel since it began to hang.
    left: bool,
    /// Since when it is the only master.
    alone_since_ms: Option<u64>,
}

impl<'a> Vigil<'a> {
    fn new<H: Host>(cluster: &'a Cluster, input: &Input, host: &mut H) -> Result<Self, Fault> {
        let addresses = cluster.addresses(baton_plugin::MemberKind::Data);
        let node = addresses.into_iter().find(|it| same_address(it, &input.node));
        let node = node.ok_or_else(|| {
            let why = format!("baton.toml lists no node {} in {}", input.node, cluster.name);
            Fault::permanent("no-such-node", why)
        })?;
        let now_ms = host.now_ms();
        let eager = host.context().attempt <= EAGER_ATTEMPTS;
        Ok(Self {
            cluster,
            node,
            stated: input.prior.filter(|it| *it >= 0),
            learned: None,
            until_ms: now_ms + u64::from(input.wait_ms.unwrap_or(WAIT_MS)),
            eager_until_ms: if eager { now_ms + EAGER_MS } else { now_ms },
            left: false,
            alone_since_ms: None,
        })
    }

    /// Whether the wait is over; a master beside its successor is fenced on the way.
    fn judge<H: Host>(&mut self, seen: &Look, host: &mut H) -> Result<Option<Output>, Fault> {
        let Some(node) = seen.node(&self.node).filter(|it| it.reachable) else {
            self.alone_since_ms = None;
            return Ok(None);
        };
        // It answers: what hangs next hangs anew.
        self.left = false;
        if node.is_replica() {
            self.learn(seen, host)?;
            let whom = node.master_host_port.clone();
            let why = format!("{} follows {}", self.node, whom.as_deref().unwrap_or("nobody"));
            return Ok(Some(self.output(Outcome::Follows, Some(node), whom, &why, host)));
        }
        let Some(successor) = seen.successor_of(&self.node) else {
            return self.alone(seen, node, host);
        };
        self.alone_since_ms = None;
        // Loading, it takes no writes yet; but the fence has to stand before it does.
        if knock(self.cluster, &self.node, &mut self.learned, TIMEOUT_MS, host)? != Knock::Fenced {
            return Ok(None);
        }
        if !node.is_master() {
            return Ok(None);
        }
        self.learn(seen, host)?;
        knock::send_away(self.cluster, &self.node, host)?;
        let extra = extra_bytes(node, successor);
        let why = match extra {
            Some(0) => format!("{} is back and holds nothing of its own", self.node),
            Some(bytes) => format!("{} is back with {bytes} bytes of its own", self.node),
            None => format!(
                "{} is back as another process: what it alone holds cannot be told by offsets",
                self.node
            ),
        };
        let whom = Some(successor.address.clone());
        let held = self.output(Outcome::Held, Some(node), whom, &why, host);
        Ok(Some(Output { extra_bytes: extra, ..held }))
    }

    /// A master without a successor: the promotion is still to come, or will not.
    fn alone<H: Host>(
        &mut self,
        seen: &Look,
        node: &Node,
        host: &mut H,
    ) -> Result<Option<Output>, Fault> {
        let others = seen.masters().any(|it| !same_address(&it.address, &self.node));
        let named = seen.watching().filter(|it| it.names(&self.node)).count();
        let calm = !seen.sentinels.iter().any(|it| it.failover_in_progress);
        if !node.is_master() || others || named * 2 <= seen.watching().count() || !calm {
            self.alone_since_ms = None;
            return Ok(None);
        }
        let now_ms = host.now_ms();
        if now_ms.saturating_sub(*self.alone_since_ms.get_or_insert(now_ms)) < STAYS_MS {
            return Ok(None);
        }
        self.learn(seen, host)?;
        let why = format!("{} stayed master: nobody has taken over from it", self.node);
        Ok(Some(self.output(Outcome::Master, Some(node), Some(self.node.clone()), &why, host)))
    }

    /// Knocks, or lets time pass, until it is time to look at everybody again.
    fn knock_until_next_look<H: Host>(&mut self, seen: &Look, host: &mut H) -> Result<(), Fault> {
        let gone = seen.node(&self.node).is_some_and(|it| !it.reachable);
        if !gone || seen.successor_of(&self.node).is_none() {
            // A promotion takes a second: whoever restarts the node may be as fast.
            let eager = host.now_ms() < self.eager_until_ms;
            host.sleep(if eager { KNOCK_MS } else { PATIENT_MS });
            return Ok(());
        }
        let next_look_ms = host.now_ms() + u64::from(PATIENT_MS);
        while host.now_ms() < next_look_ms && !self.left {
            match knock(self.cluster, &self.node, &mut self.learned, TIMEOUT_MS, host)? {
                Knock::Fenced => return Ok(()),
                Knock::Left => self.left = true,
                Knock::Gone => {
                    let eager = host.now_ms() < self.eager_until_ms;
                    host.sleep(if eager { KNOCK_MS } else { PATIENT_MS });
                }
            }
        }
        if self.left {
            host.sleep(PATIENT_MS);
        }
        host.report(0, None, &format!("waiting for {}", self.node));
        Ok(())
    }

    /// Learns the gate that the node has when nobody fences it.
    fn learn<H: Host>(&mut self, seen: &Look, host: &mut H) -> Result<(), Fault> {
        if self.stated.is_some() || self.learned.is_some() {
            return Ok(());
        }
        let gates = gates(self.cluster, seen.reachable(), TIMEOUT_MS, host)?;
        let own = gates.iter().find(|(address, _)| same_address(address, &self.node));
        let own = own.and_then(|(_, gate)| *gate).filter(|gate| !is_fence(*gate));
        self.learned = own.or_else(|| usual_gate(&gates, &self.node));
        Ok(())
    }

    fn output<H: Host>(
        &self,
        outcome: Outcome,
        node: Option<&Node>,
        master: Option<String>,
        reason: &str,
        host: &mut H,
    ) -> Output {
        Output {
            outcome,
            node: self.node.clone(),
            run_id: node.and_then(|it| it.run_id.clone()),
            master,
            prior: self.stated.or(self.learned).unwrap_or(0),
            held_at_ms: host.now_ms(),
            extra_bytes: Some(0),
            reason: reason.into(),
        }
    }
}

/// What the node has written since its successor left its history.
fn extra_bytes(node: &Node, successor: &Node) -> Option<i64> {
    let same = node.replid.is_some() && node.replid == successor.replid2;
    let parted = successor.second_repl_offset.filter(|_| same)?;
    Some((node.offset? - (parted - 1)).max(0))
}

baton_plugin::export!(Hold);

#[cfg(test)]
mod tests;
