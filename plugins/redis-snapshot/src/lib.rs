//! `redis-snapshot`: a replica saves its data, and what it saved is told.
//!
//! BGSAVE on a replica (never on the master unless told), awaited. Told is what a restore
//! of it must show: history and offset, which stand in the file (Redis 7.0 rdb.c,
//! `repl-id`, `repl-offset`), and how many keys there were before and after.

use baton_plugin::redis::{Command, Info, Request, Value};
use baton_plugin::{About, Cluster, Fault, Host, JsonSchema, Plugin};
use baton_topology::{Look, Node, Scope, look};
use serde::{Deserialize, Serialize};

/// Longest wait for a node, ms, connecting included.
const TIMEOUT_MS: u32 = 2000;
/// Between two looks at a save under way, ms.
const POLL_MS: u32 = 200;
/// Until it is on disk, ms, unless the input says otherwise.
const WITHIN_MS: u32 = 600_000;

/// What is asked before and after.
const SECTIONS: [&str; 4] =
    ["INFO persistence", "INFO replication", "INFO keyspace", "INFO server"];

/// Who saves.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// `host:port`; absent, null or empty: the replica that would be promoted last.
    pub node: Option<String>,
    /// A master may save as well: it forks, and stops for as long.
    #[serde(default)]
    pub allow_master: bool,
    /// Until it is on disk, ms; 600000 if absent.
    pub within_ms: Option<u32>,
}

/// What was saved.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// Who saved.
    pub node: String,
    /// In one sentence.
    pub reason: String,
    /// Where, on its machine.
    pub file: String,
    /// When it was on disk, Unix s, by its own clock.
    pub saved_at_s: i64,
    /// How long it took, ms.
    pub took_ms: u64,
    /// The history that it holds.
    pub replid: String,
    /// Bytes of it before.
    pub offset_before: i64,
    /// Bytes of it after.
    pub offset_after: i64,
    /// Keys over all databases before.
    pub keys_before: i64,
    /// Keys over all databases after.
    pub keys_after: i64,
}

/// The plugin.
pub struct RedisSnapshot;

impl Plugin for RedisSnapshot {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "redis-snapshot",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Has a replica save its data, and waits until it has",
            redis_commands: &["PING", "INFO", "CONFIG|GET", "BGSAVE"],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let cluster = host
            .describe_cluster(&input.cluster)
            .map_err(|error| Fault::from_redis("cannot look up the cluster", &error))?;
        let seen = look(&cluster, Scope::DataNodes, TIMEOUT_MS, host)?;
        let node = choose(&seen, input.node.as_deref(), input.allow_master)?.address.clone();
        let begun_ms = host.now_ms();
        let until_ms = begun_ms.saturating_add(input.within_ms.unwrap_or(WITHIN_MS).into());
        let mut talk = Talk { cluster: &cluster, address: &node, host };
        let file = talk.file()?;
        let [before, after] = talk.begin(until_ms)?;
        let end = talk.end(until_ms)?;
        let took_ms = talk.host.now_ms().saturating_sub(begun_ms);
        told(node, file, took_ms, [&before, &after, &end])
    }
}

fn told(node: String, file: String, took_ms: u64, looks: [&Info; 3]) -> Result<Output, Fault> {
    let [before, after, end] = looks;
    let replid = |info: &Info| info.get("master_replid").map(str::to_owned).unwrap_or_default();
    if replid(before) != replid(end) || before.get("run_id") != end.get("run_id") {
        let what = format!("{node} was restarted, or took another history, while it saved");
        return Err(Fault::retryable("changed-meanwhile", what));
    }
    let saved_at_s = end.int("rdb_last_save_time").unwrap_or(0);
    Ok(Output {
        reason: format!("{node} has saved {} keys to {file} in {took_ms} ms", keys(after)),
        file,
        saved_at_s,
        took_ms,
        replid: replid(end),
        offset_before: offset(before),
        offset_after: offset(after),
        keys_before: keys(before),
        keys_after: keys(after),
        node,
    })
}

fn info(values: &[Value]) -> Info {
    let mut all = Info::default();
    values.iter().filter_map(Info::from_value).for_each(|section| all.extend(section));
    all
}

fn offset(info: &Info) -> i64 {
    info.int("master_repl_offset").unwrap_or(0)
}

/// Over all databases.
fn keys(info: &Info) -> i64 {
    let count = |value: &str| -> Option<i64> {
        value.strip_prefix("keys=")?.split(',').next()?.parse().ok()
    };
    info.iter().filter(|(name, _)| name.starts_with("db")).filter_map(|(_, it)| count(it)).sum()
}

/// Who saves: as was asked, or the sound replica that would be promoted last, so that the
/// others stay ready.
fn choose<'a>(seen: &'a Look, asked: Option<&str>, allow_master: bool) -> Result<&'a Node, Fault> {
    let sound = |node: &&Node| {
        node.is_replica() && node.link_up == Some(true) && !node.syncing && !node.loading
    };
    let Some(asked) = asked.filter(|it| !it.is_empty()) else {
        // 0 is "never promote", and so the best one to work on.
        let rank = |node: &&Node| match node.priority {
            Some(0) | None => i64::MAX,
            Some(priority) => priority,
        };
        return seen.nodes.iter().filter(sound).max_by_key(rank).ok_or_else(|| {
            Fault::retryable("no-replica", "no replica is linked to its master and at rest")
        });
    };
    let node = seen.node(asked).ok_or_else(|| {
        Fault::permanent("no-such-node", format!("baton.toml lists no node {asked}"))
    })?;
    if node.is_master() && !allow_master {
        let what = format!("{asked} is a master: a fork stops it; say `allow_master` if it must");
        return Err(Fault::permanent("is-master", what));
    }
    if !node.is_master() && !sound(&node) {
        let what = format!("{asked} is not linked to its master, or takes a copy: it is not whole");
        return Err(Fault::retryable("not-sound", what));
    }
    Ok(node)
}

/// One node to talk to.
struct Talk<'a, H> {
    cluster: &'a Cluster,
    address: &'a str,
    host: &'a mut H,
}

impl<H: Host> Talk<'_, H> {
    fn ask(&mut self, lines: &[&str]) -> Result<Vec<Value>, Fault> {
        let commands = lines.iter().map(|line| Command::line(line)).collect();
        let what = format!("cannot send {} to {}", lines.join(", "), self.address);
        let mut results = self
            .host
            .call(&self.cluster.name, &[Request::new(self.address, commands)], TIMEOUT_MS)
            .map_err(|error| Fault::from_redis(&what, &error))?;
        match results.pop() {
            Some(Ok(values)) => Ok(values),
            Some(Err(error)) => Err(Fault::from_redis(&what, &error)),
            None => Err(Fault::retryable("internal", format!("{what}: no result"))),
        }
    }

    fn info(&mut self) -> Result<Info, Fault> {
        Ok(info(&self.ask(&SECTIONS)?))
    }

    fn file(&mut self) -> Result<String, Fault> {
        let values = self.ask(&["CONFIG GET dir", "CONFIG GET dbfilename"])?;
        let text = |at: usize, name: &str| values.get(at).and_then(|it| it.field_text(name));
        text(0, "dir")
            .zip(text(1, "dbfilename"))
            .map(|(dir, file)| format!("{dir}/{file}"))
            .ok_or_else(|| {
                let what = format!("{} does not tell its `dir` and `dbfilename`", self.address);
                Fault::permanent("no-file", what)
            })
    }

    /// Before and after: BGSAVE has forked when it answers, so that what it saves lies
    /// between the two. A save that began earlier is not what is wanted: it is waited for.
    fn begin(&mut self, until_ms: u64) -> Result<[Info; 2], Fault> {
        let lines = [&SECTIONS[..], &["BGSAVE"], &SECTIONS].concat();
        loop {
            let values = self.ask(&lines)?;
            let (before, [answer, after @ ..]) = values.split_at(SECTIONS.len().min(values.len()))
            else {
                let what = format!("{} gave fewer replies than it was asked", self.address);
                return Err(Fault::retryable("internal", what));
            };
            let Some(error) = answer.error() else { return Ok([info(before), info(after)]) };
            if !error.contains("in progress") && !error.contains("rewrit") {
                let what = format!("{} refuses BGSAVE: {error}", self.address);
                return Err(Fault::permanent("refused", what));
            }
            self.wait("an earlier save or rewrite", until_ms)?;
        }
    }

    fn end(&mut self, until_ms: u64) -> Result<Info, Fault> {
        loop {
            let info = self.info()?;
            if info.get("rdb_bgsave_in_progress") == Some("0") {
                if info.get("rdb_last_bgsave_status") == Some("ok") {
                    return Ok(info);
                }
                let what = format!("BGSAVE of {} failed: see its log (a full disk?)", self.address);
                return Err(Fault::retryable("not-saved", what));
            }
            self.host.report(0, None, "BGSAVE is under way");
            self.wait("BGSAVE", until_ms)?;
        }
    }

    fn wait(&mut self, what: &str, until_ms: u64) -> Result<(), Fault> {
        if self.host.now_ms() >= until_ms {
            let what = format!("{what} of {} is not over in time: raise `within_ms`", self.address);
            return Err(Fault::retryable("not-saved", what));
        }
        self.host.sleep(POLL_MS);
        Ok(())
    }
}

baton_plugin::export!(RedisSnapshot);

#[cfg(test)]
mod tests;
