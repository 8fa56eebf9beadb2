//! One handover by the server itself, and what became of it.

use crate::phase::{self, Ready, replication};
use crate::{Input, TIMEOUT_MS};
use baton_plugin::redis::{Command, Request, Value};
use baton_plugin::{Cluster, Fault, Host, Level};
use baton_topology::split_address;

/// A handover that has not begun by then missed the acknowledgement: given up, ms. Longer
/// each time, since on a busy machine the moment is met less exactly; after the last one a
/// handover is let run as long as it takes.
const BEGIN_MS: [u64; 5] = [30, 30, 45, 70, 100];

/// Between two looks at one under way, ms.
const POLL_MS: u32 = 2;

/// How often a handover may come back without a result before it is a fault.
const ROUNDS_MAX: u32 = 8;

/// How long writes stopped.
pub(crate) struct Gap {
    /// At most, ms; none where nothing was handed over here.
    pub(crate) ms: Option<u64>,
    /// Handovers begun.
    pub(crate) tries: u32,
}

/// Begins one, or waits for one under way. What came of it is for the next look to say.
pub(crate) fn hand_over<H: Host>(
    cluster: &Cluster,
    input: &Input,
    limit_ms: u32,
    gap: &mut Gap,
    notes: &mut Vec<String>,
    host: &mut H,
) -> Result<(), Fault> {
    let (ip, port) = split_address(&input.target).ok_or_else(|| {
        Fault::permanent("bad-address", format!("{} is no host:port", input.target))
    })?;
    if state(cluster, input, host)? != State::Idle {
        // Begun by an attempt that was cut off.
        return watch(cluster, input, None, limit_ms, host).map(|_| ());
    }
    if gap.tries >= ROUNDS_MAX {
        let why = format!("{} came back as master {} times", input.master, gap.tries);
        return Err(Fault::retryable("rolled-back", why));
    }
    let ready = phase::wait(cluster, input, host)?;
    let aligned_ms = usize::try_from(gap.tries).ok().and_then(|it| BEGIN_MS.get(it)).copied();
    let begin_ms = aligned_ms.filter(|_| ready != Ready::Unaligned);
    gap.tries += 1;
    let sent_ms = host.now_ms();
    let port = port.to_string();
    let limit = limit_ms.to_string();
    let reply = tell(cluster, input, &["FAILOVER", "TO", &ip, &port, "TIMEOUT", &limit], host)?;
    if let Some(error) = reply {
        if error.contains("already in progress") || error.contains("is a replica") {
            return Ok(());
        }
        let why = format!("{} refused FAILOVER: {error}", input.master);
        return Err(Fault::retryable("refused", why));
    }
    let took_ms = host.now_ms() - sent_ms;
    host.log(
        Level::Info,
        &format!("FAILOVER TO {}, {ready:?}, left in {took_ms} ms", input.target),
    );
    if watch(cluster, input, begin_ms, limit_ms, host)? {
        gap.ms = Some(host.now_ms() - sent_ms);
    } else if begin_ms.is_none() {
        notes.push(format!("the server gave a handover up after {limit_ms} ms and rolled back"));
    }
    Ok(())
}

/// What the old master is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// It waits for the acknowledgement, and takes no writes.
    Waiting,
    /// The replica has everything and is being told.
    Moving,
    /// It is a replica.
    Moved,
}

fn state<H: Host>(cluster: &Cluster, input: &Input, host: &mut H) -> Result<State, Fault> {
    let info = replication(cluster, &input.master, host)?;
    Ok(match (info.get("role"), info.get("master_failover_state")) {
        // It demotes itself before the target answers: over when it is no failover.
        (Some("slave"), Some("failover-in-progress")) => State::Moving,
        (Some("slave"), _) => State::Moved,
        (_, Some("waiting-for-sync")) => State::Waiting,
        (_, Some("failover-in-progress")) => State::Moving,
        (_, _) => State::Idle,
    })
}

/// Whether it was handed over. Given up where it has not begun within `begin_ms`.
fn watch<H: Host>(
    cluster: &Cluster,
    input: &Input,
    begin_ms: Option<u64>,
    limit_ms: u32,
    host: &mut H,
) -> Result<bool, Fault> {
    let sent_ms = host.now_ms();
    // The server gives up by itself; the second is for the way.
    let until_ms = sent_ms + u64::from(limit_ms) + u64::from(TIMEOUT_MS);
    loop {
        let now_ms = host.now_ms();
        match state(cluster, input, host)? {
            State::Moved => return Ok(true),
            State::Idle => return Ok(false),
            State::Waiting if begin_ms.is_some_and(|it| now_ms >= sent_ms + it) => {
                // An error means that it has begun, or ended, in this moment.
                if tell(cluster, input, &["FAILOVER", "ABORT"], host)?.is_none() {
                    host.log(Level::Info, "given up before it began: the next moment");
                    return Ok(false);
                }
            }
            State::Waiting | State::Moving if now_ms >= until_ms => {
                let why =
                    format!("the handover of {} is not over after {limit_ms} ms", input.master);
                return Err(Fault::retryable("not-over", why));
            }
            State::Waiting | State::Moving => {}
        }
        host.sleep(POLL_MS);
    }
}

/// Sends one command; gives the error it is answered with.
fn tell<H: Host>(
    cluster: &Cluster,
    input: &Input,
    words: &[&str],
    host: &mut H,
) -> Result<Option<String>, Fault> {
    let request = Request::new(input.master.clone(), vec![Command::of(words)]);
    let what = format!("cannot send {} to {}", words.join(" "), input.master);
    let result = host
        .call(&cluster.name, &[request], TIMEOUT_MS)
        .map_err(|error| Fault::from_redis(&what, &error))?
        .pop();
    match result {
        Some(Ok(replies)) => Ok(replies.first().and_then(Value::error).map(str::to_owned)),
        Some(Err(error)) => Err(Fault::from_redis(&what, &error)),
        None => Err(Fault::retryable("internal", format!("{what}: no result"))),
    }
}
