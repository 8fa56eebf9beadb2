//! Sentinels: whether they would agree, on the right master, in time. Pure.

use crate::ask::{Seen, Sentinel};
use crate::{Report, Severity, Words};
use baton_topology::{Watcher, same_address};

/// Sentinels say hello every 2 s (Redis 7.0 sentinel.c, `SENTINEL_PUBLISH_PERIOD`); one
/// that heard nobody for so long is deaf, ms.
const HELLO_MS_MAX: i64 = 10_000;

/// Fewer cannot outvote a wrong one.
const SENTINELS_MIN: usize = 3;

/// Looks at all of them.
pub(crate) fn examine(seen: &Seen, report: &mut Report) {
    let name = &seen.cluster.name;
    let count = seen.look.sentinels.len();
    report.look(
        name,
        (count < SENTINELS_MIN).then(|| {
            words(
                Severity::Warning,
                "few-sentinels",
                format!("Sentinels in baton.toml: {count}"),
                "with fewer than three nobody is left to agree when one machine is gone",
                "run a third on a machine of its own, and list all of them",
            )
        }),
    );
    for watcher in &seen.look.sentinels {
        report.look(&watcher.address, view(seen, watcher));
    }
    epochs(seen, report);
    for sentinel in &seen.sentinels {
        report.look(&sentinel.address, quorum(sentinel));
        report.look(&sentinel.address, hello(seen, sentinel));
        report.look(&sentinel.address, voters(seen, sentinel));
        report.look(&sentinel.address, forgotten(seen, sentinel));
        report.look(&sentinel.address, patience(seen, sentinel));
    }
    alike(seen, report);
}

fn words(
    severity: Severity,
    code: &'static str,
    what: impl Into<String>,
    why: &'static str,
    mend: impl Into<String>,
) -> Words {
    Words { severity, code, what: what.into(), why, mend: mend.into() }
}

/// Whom it names, and whether it is in its right mind.
fn view(seen: &Seen, watcher: &Watcher) -> Option<Words> {
    if !watcher.reachable {
        let error = watcher.error.as_deref().unwrap_or("no answer");
        return Some(words(
            Severity::Error,
            "no-answer",
            format!("it does not answer: {error}"),
            "one vote less; when it comes back with an old epoch it may take others back",
            "start it, or correct its address and login in baton.toml",
        ));
    }
    if watcher.tilt {
        return Some(words(
            Severity::Error,
            "tilt",
            "it is in TILT: its clock or its machine stood still",
            "it takes no part in a failover",
            "look at the load and the clock of its machine; it leaves TILT by itself after 30 s",
        ));
    }
    let master = seen.look.masters().next()?;
    let Some(named) = &watcher.master else {
        return Some(words(
            Severity::Error,
            "no-such-master",
            format!("it knows no master {}", seen.cluster.master_name),
            "it takes no part in a failover",
            format!(
                "SENTINEL MONITOR {} <ip> <port> <quorum>, or correct `master_name` in baton.toml",
                seen.cluster.master_name
            ),
        ));
    };
    (!watcher.names(&master.address)).then(|| {
        words(
            Severity::Error,
            "names-another",
            format!("it names {named} as master, and {} is", master.address),
            "clients that ask it go to the wrong node, and it may bring the old master back",
            "list nodes in baton.toml by the address that Sentinel uses; if it is stale, baton run redis-settle",
        )
    })
}

fn epochs(seen: &Seen, report: &mut Report) {
    let mut epochs: Vec<String> = seen
        .look
        .watching()
        .filter_map(|it| Some(format!("{} {}", it.address, it.config_epoch?)))
        .collect();
    let mut distinct: Vec<&str> =
        epochs.iter().filter_map(|it| it.split_once(' ')).map(|it| it.1).collect();
    distinct.sort_unstable();
    distinct.dedup();
    let differ = distinct.len() > 1;
    epochs.sort();
    report.look(&seen.cluster.name, differ.then(|| {
        words(
            Severity::Error,
            "epochs-differ",
            format!("config epochs differ: {}", epochs.join(", ")),
            "the highest wins when they hear each other, and with it the master that it names",
            "if it lasts longer than ten seconds they do not hear each other: look at the network between them",
        )
    }));
}

fn quorum(sentinel: &Sentinel) -> Option<Words> {
    sentinel.no_quorum.as_ref().map(|error| {
        words(
            Severity::Error,
            "no-quorum",
            error.clone(),
            "Sentinel alone would not fail over",
            "bring the missing Sentinels back, or correct the quorum: SENTINEL SET <master> quorum 2",
        )
    })
}

/// By it Sentinels find each other, and take over a new master; Baton speaks there too.
fn hello(seen: &Seen, sentinel: &Sentinel) -> Option<Words> {
    let alone = seen.look.sentinels.len() < 2;
    let silent = match sentinel.silent_ms {
        Some(ms) if ms <= HELLO_MS_MAX => return None,
        None if alone => return None,
        Some(ms) => format!("it has heard no other Sentinel for {ms} ms"),
        None => "it has heard of no other Sentinel".to_owned(),
    };
    Some(words(
        Severity::Error,
        "hello-silent",
        silent,
        "news of a new master travel by that channel: it would go on naming the old one",
        "check `auth-pass` and ACL (publish, subscribe on __sentinel__:hello) of Sentinels at the data nodes",
    ))
}

/// Sentinels that are no more still count when a majority is needed.
fn voters(seen: &Seen, sentinel: &Sentinel) -> Option<Words> {
    let others: usize = sentinel.master.get("num-other-sentinels")?.parse().ok()?;
    let known = seen.look.sentinels.len().saturating_sub(1);
    (others != known).then(|| {
        words(
            Severity::Warning,
            "other-voters",
            format!("it counts {others} Sentinels beside itself; baton.toml lists {known}"),
            "a majority is counted over all it has ever heard of, the dead ones too",
            "list all in baton.toml; forget dead ones one Sentinel at a time, 30 s apart: SENTINEL RESET <master>",
        )
    })
}

/// Replicas that are no more are still tried.
fn forgotten(seen: &Seen, sentinel: &Sentinel) -> Option<Words> {
    let listed =
        |address: &String| seen.look.nodes.iter().any(|it| same_address(&it.address, address));
    let strange: Vec<&str> =
        sentinel.replicas.iter().filter(|it| !listed(it)).map(String::as_str).collect();
    (!strange.is_empty()).then(|| {
        words(
            Severity::Warning,
            "unknown-replicas",
            format!("it knows replicas that baton.toml does not list: {}", strange.join(", ")),
            "it may promote one of them, and Baton would neither choose nor verify it",
            "list them, or have them forgotten: SENTINEL RESET <master>, one Sentinel at a time",
        )
    })
}

fn patience(seen: &Seen, sentinel: &Sentinel) -> Option<Words> {
    let down_after: u32 = sentinel.master.get("down-after-milliseconds")?.parse().ok()?;
    let stated = seen.cluster.down_after_ms;
    (down_after != stated).then(|| {
        words(
            Severity::Warning,
            "down-after-differs",
            format!("down-after-milliseconds is {down_after}; baton.toml says {stated}"),
            "Baton waits for the wrong moment before it takes a silent master for dead",
            format!(
                "SENTINEL SET {} down-after-milliseconds {stated}, or correct baton.toml",
                seen.cluster.master_name
            ),
        )
    })
}

fn alike(seen: &Seen, report: &mut Report) {
    for setting in ["quorum", "failover-timeout", "parallel-syncs"] {
        let mut values: Vec<String> = seen
            .sentinels
            .iter()
            .filter_map(|it| Some(format!("{} {}", it.address, it.master.get(setting)?)))
            .collect();
        values.sort();
        let mut distinct: Vec<&str> =
            values.iter().filter_map(|it| it.split_once(' ')).map(|it| it.1).collect();
        distinct.sort_unstable();
        distinct.dedup();
        report.look(
            &seen.cluster.name,
            (distinct.len() > 1).then(|| {
                words(
                    Severity::Warning,
                    "sentinels-differ",
                    format!("{setting} differs: {}", values.join(", ")),
                    "what happens depends on which Sentinel leads",
                    format!("SENTINEL SET {} {setting} <value> on each", seen.cluster.master_name),
                )
            }),
        );
    }
}
