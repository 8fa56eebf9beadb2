//! When a replica acknowledges next.
//!
//! It does so once a second, from its own clock (Redis 7.0, `replicationCron`); the master
//! shows what was acknowledged, so the moment at which that moves is the moment of the
//! acknowledgement. Two of them give the next.

use crate::{Input, TIMEOUT_MS};
use baton_plugin::redis::{Command, Info, Request};
use baton_plugin::{Cluster, Fault, Host, Level};
use baton_succession::attached;
use baton_topology::{gate_commands, same_address};

/// Between two looks, ms.
const POLL_MS: u32 = 3;

/// Nothing was acknowledged for so long: nothing is written, and there is nothing to wait
/// for. More than a second, and less than what a person would notice.
const IDLE_MS: u64 = 1500;

/// Two acknowledgements lie so far apart, ms; anything else was something else.
const PERIOD_MS: std::ops::RangeInclusive<u64> = 900..=1200;

/// So long before an acknowledgement the command should arrive, ms: what is not yet
/// acknowledged has to reach the replica first.
const LEAD_MS: u64 = 6;

/// How often the cost of a change is tried.
const COSTS: usize = 5;

/// So long before the next acknowledgement the cost of a change is tried, ms.
const PREPARE_MS: u64 = 400;

/// Looks for a pair of acknowledgements for so long, ms.
const LOOK_MS: u64 = 6000;

/// The command may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// An acknowledgement is about to come.
    Aligned,
    /// Nothing is written: any moment will do.
    Idle,
    /// No rhythm was found.
    Unaligned,
}

/// Waits for the moment.
pub(crate) fn wait<H: Host>(
    cluster: &Cluster,
    input: &Input,
    host: &mut H,
) -> Result<Ready, Fault> {
    let begun_ms = host.now_ms();
    let mut last: Option<i64> = None;
    let mut moved_ms: Option<u64> = None;
    let mut looked_ms = begun_ms;
    loop {
        let (acknowledged, head) = acknowledged(cluster, input, host)?;
        let now_ms = host.now_ms();
        // It came between two looks: what counts is the earlier one, since too late is a
        // second too late, and too early a few milliseconds.
        let earliest_ms = std::mem::replace(&mut looked_ms, now_ms);
        if last.is_some_and(|it| it != acknowledged) {
            if let Some(before_ms) = moved_ms
                && PERIOD_MS.contains(&(earliest_ms - before_ms))
            {
                let period_ms = earliest_ms - before_ms;
                let next_ms = earliest_ms + period_ms;
                sleep_until(next_ms.saturating_sub(PREPARE_MS), host);
                let cost_ms = cost_ms(cluster, input, host)?;
                // Where that took longer than there was time for: one period later.
                let lead_ms = LEAD_MS + cost_ms;
                let now_ms = host.now_ms();
                let late = now_ms + lead_ms > next_ms;
                let at_ms = if late { next_ms + period_ms } else { next_ms } - lead_ms;
                let wait_ms = at_ms.saturating_sub(now_ms);
                host.log(
                    Level::Debug,
                    &format!("acknowledged every {period_ms} ms, a change leaves in {cost_ms} ms, the command in {wait_ms} ms"),
                );
                sleep_until(at_ms, host);
                return Ok(Ready::Aligned);
            }
            moved_ms = Some(earliest_ms);
        }
        let quiet_since_ms = moved_ms.unwrap_or(begun_ms);
        if acknowledged == head && now_ms - quiet_since_ms >= IDLE_MS {
            return Ok(Ready::Idle);
        }
        if now_ms - begun_ms >= LOOK_MS {
            return Ok(Ready::Unaligned);
        }
        last = Some(acknowledged);
        host.sleep(POLL_MS);
    }
}

fn sleep_until<H: Host>(at_ms: u64, host: &mut H) {
    let wait_ms = at_ms.saturating_sub(host.now_ms());
    host.sleep(u32::try_from(wait_ms).unwrap_or(0));
}

/// What the target has acknowledged, and what the master has written.
fn acknowledged<H: Host>(
    cluster: &Cluster,
    input: &Input,
    host: &mut H,
) -> Result<(i64, i64), Fault> {
    let info = replication(cluster, &input.master, host)?;
    let line = attached(&info).into_iter().find(|it| same_address(&it.address, &input.target));
    let line = line.ok_or_else(|| {
        let why = format!("{} does not list {} as its replica", input.master, input.target);
        Fault::retryable("target-lost", why)
    })?;
    Ok((line.acknowledged, info.int("master_repl_offset").unwrap_or(i64::MAX)))
}

/// INFO replication of one node.
pub(crate) fn replication<H: Host>(
    cluster: &Cluster,
    address: &str,
    host: &mut H,
) -> Result<Info, Fault> {
    let request = Request::new(address, vec![Command::line("INFO replication")]);
    let what = format!("cannot ask {address}");
    let mut results = host
        .call(&cluster.name, &[request], TIMEOUT_MS)
        .map_err(|error| Fault::from_redis(&what, &error))?;
    match results.pop() {
        Some(Ok(replies)) => Ok(replies.first().and_then(Info::from_value).unwrap_or_default()),
        Some(Err(error)) => Err(Fault::from_redis(&what, &error)),
        None => Err(Fault::retryable("internal", format!("{what}: no result"))),
    }
}

/// How long a change takes to leave: its intent goes to disk first. Tried with one that
/// changes nothing. The first one also takes to disk all that the looks have heard, which
/// the command must not have to wait for.
fn cost_ms<H: Host>(cluster: &Cluster, input: &Input, host: &mut H) -> Result<u64, Fault> {
    let mut all_ms = Vec::new();
    for _ in 0..COSTS {
        let begun_ms = host.now_ms();
        let set = gate_commands(input.min_replicas).swap_remove(0);
        let request = Request::new(input.master.clone(), vec![set]);
        let results = host
            .call(&cluster.name, &[request], TIMEOUT_MS)
            .map_err(|error| Fault::from_redis("cannot try a change", &error))?;
        if let Some(error) = results.into_iter().find_map(Result::err) {
            return Err(Fault::from_redis("cannot try a change", &error));
        }
        all_ms.push(host.now_ms() - begun_ms);
    }
    // The usual one: a slow disk now and then must not make every moment too early.
    all_ms.sort_unstable();
    Ok(all_ms[COSTS / 2])
}
