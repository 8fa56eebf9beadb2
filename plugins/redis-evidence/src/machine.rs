//! The end of a node's log, and its machine: by commands that the operator listed.

use crate::{Input, tame};
use baton_plugin::{CallError, ErrorKind, Host};

/// Longest time of one command, ms.
const TIMEOUT_MS: u32 = 4000;
/// Of all commands: evidence is not waited for, ms.
const BUDGET_MS: u64 = 8000;
/// Lines of a log that are kept: its last ones.
const LOG_LINES_MAX: usize = 20;
/// A line, characters.
const LINE_CHARS_MAX: usize = 240;

/// What was learned of one node's log and machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) address: String,
    /// All that came, for a look at it.
    pub(crate) text: String,
    /// The end of the log.
    pub(crate) log: Vec<String>,
    /// `df` and memory as they came.
    pub(crate) state: String,
    pub(crate) not_told: Vec<String>,
}

/// Asks for each node; a command that baton.toml does not list is nothing to speak of.
pub(crate) fn ask<H: Host>(input: &Input, addresses: &[String], host: &mut H) -> Vec<Machine> {
    let until_ms = host.now_ms().saturating_add(BUDGET_MS);
    let mut machines = Vec::new();
    let mut listed = [true, true];
    for address in addresses {
        let mut machine = Machine { address: address.clone(), ..Machine::default() };
        for (at, command) in [&input.log_command, &input.machine_command].into_iter().enumerate() {
            if !listed[at] {
                continue;
            }
            match one(command, address, until_ms, host) {
                Ok(text) if at == 0 => {
                    let lines: Vec<&str> =
                        text.lines().filter(|it| !it.trim().is_empty()).collect();
                    let last = &lines[lines.len().saturating_sub(LOG_LINES_MAX)..];
                    machine.log = last.iter().map(|it| tame(it, LINE_CHARS_MAX)).collect();
                    machine.text = text;
                }
                Ok(text) => machine.state = text,
                Err(error) if error.kind == ErrorKind::NotFound => listed[at] = false,
                Err(error) => machine.not_told.push(format!("{command}: {error}")),
            }
        }
        machines.push(machine);
    }
    // Where neither is listed there is nothing to say.
    machines.retain(|it| *it != Machine { address: it.address.clone(), ..Machine::default() });
    machines
}

fn one<H: Host>(
    command: &str,
    address: &str,
    until_ms: u64,
    host: &mut H,
) -> Result<String, CallError> {
    let left_ms = u32::try_from(until_ms.saturating_sub(host.now_ms())).unwrap_or(u32::MAX);
    if left_ms == 0 {
        return Err(CallError::new(ErrorKind::TimedOut, "not asked: the others took all the time"));
    }
    let left = host.exec(command, &[address], left_ms.min(TIMEOUT_MS))?;
    if left.is_success() {
        return Ok(String::from_utf8_lossy(&left.stdout).into_owned());
    }
    let why = String::from_utf8_lossy(&left.stderr);
    let why = tame(why.trim().lines().last().unwrap_or_default(), LINE_CHARS_MAX);
    Err(CallError::new(ErrorKind::Internal, format!("exit code {:?}: {why}", left.exit)))
}
