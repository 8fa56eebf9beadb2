//! One knock at a node's door: the fence itself.

use crate::TIMEOUT_MS;
use baton_plugin::redis::{Command, ErrorKind, Request, Value};
use baton_plugin::{Cluster, Fault, Host, Level};
use baton_topology::{FENCE_REPLICAS, gate_commands, gate_question, is_fence, read_gate};

/// How it was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Knock {
    /// It was let in: the fence stands.
    Fenced,
    /// It hangs: the fence waits in its kernel.
    Left,
    /// Nobody was there, and nothing was sent.
    Gone,
}

/// Asks for the gate and sets the fence, in one go. `had` is the gate that it had.
pub(crate) fn knock<H: Host>(
    cluster: &Cluster,
    address: &str,
    had: &mut Option<i64>,
    timeout_ms: u32,
    host: &mut H,
) -> Result<Knock, Fault> {
    let commands: Vec<Command> =
        std::iter::once(gate_question()).chain(gate_commands(FENCE_REPLICAS)).collect();
    let result = host
        .call(&cluster.name, &[Request::new(address, commands)], timeout_ms)
        .map_err(|error| Fault::from_redis("cannot fence", &error))?
        .pop();
    match result {
        Some(Ok(replies)) => {
            if let Some(error) = replies.get(1).and_then(Value::error) {
                let why = format!("{address} is back and refuses its fence: {error}");
                return Err(Fault::retryable("refused", why));
            }
            let gate = replies.first().and_then(read_gate).filter(|it| !is_fence(*it));
            if gate.is_some() {
                *had = gate;
                host.log(Level::Info, &format!("{address} is back and fenced"));
            }
            if let Some(error) = replies.get(2).and_then(Value::error) {
                let why = format!(
                    "{address} could not write its config file ({error}): a restart forgets the fence"
                );
                host.log(Level::Warn, &why);
            }
            Ok(Knock::Fenced)
        }
        Some(Err(error)) => match error.kind {
            ErrorKind::Refused | ErrorKind::Unreachable => Ok(Knock::Gone),
            ErrorKind::TimedOut | ErrorKind::Closed | ErrorKind::InDoubt => Ok(Knock::Left),
            ErrorKind::Denied
            | ErrorKind::NotFound
            | ErrorKind::Unauthorized
            | ErrorKind::Protocol
            | ErrorKind::Limit
            | ErrorKind::Internal => {
                Err(Fault::from_redis(&format!("cannot fence {address}"), &error))
            }
        },
        None => Err(Fault::retryable("internal", "the host gave no result")),
    }
}

/// Ends the connections of clients that stayed: they ask Sentinel anew.
pub(crate) fn send_away<H: Host>(
    cluster: &Cluster,
    address: &str,
    host: &mut H,
) -> Result<(), Fault> {
    let commands = vec![Command::line("CLIENT KILL TYPE normal")];
    let results = host
        .call(&cluster.name, &[Request::new(address, commands)], TIMEOUT_MS)
        .map_err(|error| Fault::from_redis("cannot send the clients away", &error))?;
    let refused =
        results.into_iter().flatten().flatten().find_map(|it| it.error().map(str::to_owned));
    if let Some(error) = refused {
        let why = format!("{address} did not send its clients away ({error}); they cannot write");
        host.log(Level::Warn, &why);
    }
    Ok(())
}
