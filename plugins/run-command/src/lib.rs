//! `run-command`: one command of the engine's machine that the operator listed.

use baton_plugin::exec::Output as Left;
use baton_plugin::{About, Fault, Host, JsonSchema, Plugin, json};
use serde::{Deserialize, Serialize};

/// Longest time of the command, ms, unless the input says otherwise.
const TIMEOUT_MS_DEFAULT: u32 = 30_000;
/// Of each stream in the output, for people and for conditions.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// What to run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A command of baton.toml.
    pub command: String,
    /// One for each of its patterns there.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Longest time, ms, within the command's own.
    pub timeout_ms: Option<u32>,
    /// Exit codes that are as they should be; absent: 0.
    pub exits: Option<Vec<i32>>,
}

/// What it left.
#[derive(Debug, Serialize, JsonSchema, PartialEq)]
pub struct Output {
    /// The exit code.
    pub exit: i32,
    /// The head of what it wrote.
    pub stdout: String,
    /// The same of its errors.
    pub stderr: String,
}

/// The plugin.
pub struct RunCommand;

impl Plugin for RunCommand {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "run-command",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Runs one command that the operator listed",
            redis_commands: &[],
            when_interrupted: "replay",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let Input { command, arguments, timeout_ms, exits } = input;
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let time_ms = timeout_ms.unwrap_or(TIMEOUT_MS_DEFAULT);
        let left = host.exec(&command, &words, time_ms).map_err(|error| {
            let what = format!("cannot run {command}");
            if !error.kind.leaves_doubt() {
                return Fault::from_call(&what, &error);
            }
            // How far it came is for a person to see, not to be tried again.
            let message = format!("{what}: {error}; look at what it has done");
            Fault::permanent(error.kind.code(), message)
        })?;
        let Left { exit, signal, stdout, stderr, left_out } = left;
        let (stdout, stderr) = (text(&stdout), text(&stderr));
        let fine = exits.unwrap_or_else(|| vec![0]);
        match exit {
            Some(exit) if fine.contains(&exit) => Ok(Output { exit, stdout, stderr }),
            _ => {
                let how = match (exit, signal) {
                    (Some(code), _) => format!("exit code {code}"),
                    (None, Some(signal)) => format!("signal {signal}"),
                    (None, None) => "no exit code".to_owned(),
                };
                let last = stderr.trim().lines().last().unwrap_or_default();
                let details = json!({ "stdout": stdout, "stderr": stderr, "left_out": left_out });
                Err(Fault::permanent(
                    "command-failed",
                    format!("{command} ended with {how}: {last}"),
                )
                .with(details))
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(TEXT_BYTES_MAX)];
    String::from_utf8_lossy(head).into_owned()
}

baton_plugin::export!(RunCommand);

#[cfg(test)]
mod tests {
    use super::*;
    use baton_plugin::testing::FakeCluster;
    use baton_plugin::{CallError, ErrorKind, FaultKind};

    fn run(left: Result<Left, CallError>, exits: Option<Vec<i32>>) -> Result<Output, Fault> {
        let mut fake = FakeCluster::doors_only().on_exec("restart", "api-1", vec![left]);
        let arguments = vec!["api-1".to_owned()];
        RunCommand::run(
            Input { command: "restart".into(), arguments, timeout_ms: None, exits },
            &mut fake,
        )
    }

    fn exited(exit: i32) -> Left {
        Left {
            exit: Some(exit),
            stdout: b"out \xff".to_vec(),
            stderr: b"first\nlast\n".to_vec(),
            ..Left::default()
        }
    }

    #[test]
    fn the_exit_code_decides() {
        let output = run(Ok(exited(0)), None).unwrap();
        assert_eq!((output.exit, output.stdout.as_str()), (0, "out \u{fffd}"));
        let fault = run(Ok(exited(3)), None).unwrap_err();
        assert_eq!((fault.code, fault.kind), ("command-failed", FaultKind::Permanent));
        assert_eq!(fault.message, "restart ended with exit code 3: last");
        assert_eq!(fault.details["stderr"], "first\nlast\n");
        assert_eq!(run(Ok(exited(3)), Some(vec![0, 3])).unwrap().exit, 3);
        let killed = Ok(Left { signal: Some(9), ..Left::default() });
        assert!(run(killed, None).unwrap_err().message.contains("signal 9"));
    }

    #[test]
    fn g4_what_may_have_run_is_never_tried_again() {
        for (kind, expected) in [
            (ErrorKind::InDoubt, FaultKind::Permanent),
            (ErrorKind::TimedOut, FaultKind::Permanent),
            (ErrorKind::Denied, FaultKind::Permanent),
            (ErrorKind::Internal, FaultKind::Retryable),
        ] {
            let fault = run(Err(CallError::new(kind, "so")), None).unwrap_err();
            assert_eq!((fault.kind, fault.code), (expected, kind.code()));
        }
    }
}
