//! What to do where a check fails: nobody does it by himself.

use crate::Check;
use baton_plugin::Table;

/// A line for each check that failed, in their order.
pub(crate) fn next(checks: &[Check], master: &str) -> Vec<String> {
    checks.iter().filter(|it| !it.ok).map(|it| line(&it.name, master)).collect()
}

fn line(check: &str, master: &str) -> String {
    match check {
        "one-writable-master" => format!(
            "Do not fail over again. See who takes writes (INFO replication on every node). Where another node than {master} does: `baton run workflows/redis-rejoin.toml --param node=THAT-NODE` fences it and keeps what it holds. Where {master} takes none, `seen` says what stops it: space, memory, or min-replicas-to-write."
        ),
        "sentinels-agree" => format!(
            "Ask the Sentinels named here (SENTINEL MASTER, then their log). One that was away follows by itself within seconds of being back; one that stays elsewhere is told SENTINEL REMOVE and SENTINEL MONITOR with {master}. Until then clients may be sent to the wrong node."
        ),
        "replicas-attached" => format!(
            "On each node named here: INFO replication and its log. REPLICAOF {} makes it follow; `baton run workflows/redis-rejoin.toml --param node=THAT-NODE` does so after keeping what it alone holds.",
            master.replace(':', " ")
        ),
        "lag" => "Let the replica catch up and run verify-redis again; if it does not, look at its disk and network. Promoted as it is, it would lose what it lacks.".into(),
        "lineage" => format!(
            "{master} does not carry on the data that was to live on. Stop the writers first: each write makes it harder to go back. Copy the files of every node away, then let the database administrator decide whose data lives on; workflow redis-rollback-plan lists what going back takes."
        ),
        "canary" => format!(
            "Write a key on {master} by hand: the error says what stops it (space, memory, min-replicas-to-write). Where only WAIT falls short, a replica is attached and does not keep up."
        ),
        _ => "See what was seen, then run verify-redis again.".into(),
    }
}

/// The checks, for people.
pub(crate) fn table(checks: &[Check]) -> Table {
    let mut table = Table::new(["Check", "Verdict", "Seen"]);
    for it in checks {
        let verdict = if it.ok { "pass" } else { "FAIL" };
        table.rows.push(vec![it.name.clone(), verdict.into(), it.message.clone()]);
    }
    table
}
