//! One process and all that it begins: started without a shell, bounded in time and
//! output, ended as a group.
//!
//! **Invariant:** whoever drops it ends it: no command outlives its attempt unasked. What
//! a command that ended by itself has left running (a service that it started) is left
//! alone.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Child;
use tokio::time::{sleep, timeout};

use super::command::{Command, SEARCHED};
use crate::guest::wit::types::{Error, ErrorKind};
use crate::limits;

/// What a process wrote and how it ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: Written,
    pub(super) stderr: Written,
}

/// The head of a stream, and how much more there was.
#[derive(Default)]
pub(super) struct Written {
    pub(super) bytes: Vec<u8>,
    pub(super) left_out: u64,
}

/// The program as a file that can be executed.
///
/// # Errors
/// If there is none.
pub(super) fn program(command: &Command) -> Result<PathBuf, Error> {
    let Command { name, program, .. } = command;
    let found = if program.contains('/') {
        Some(PathBuf::from(program)).filter(|path| is_program(path))
    } else {
        let folders = SEARCHED.split(':').map(|folder| Path::new(folder).join(program));
        folders.into_iter().find(|path| is_program(path))
    };
    found.ok_or_else(|| Error {
        kind: ErrorKind::NotFound,
        message: format!(
            "{name} cannot be run: there is no program {program}: correct `command` under [exec.{name}] in baton.toml, or install it"
        ),
    })
}

fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// Starts `program` in a group of its own.
///
/// # Errors
/// If the system cannot; nothing ran.
pub(super) fn start(
    program: &Path,
    command: &Command,
    arguments: &[String],
) -> std::io::Result<Group> {
    let mut order = tokio::process::Command::new(program);
    order
        .args(&command.fixed)
        .args(arguments)
        .current_dir(&command.cwd)
        .env_clear()
        .env("PATH", SEARCHED)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    for name in &command.env {
        if let Some(value) = std::env::var_os(name) {
            order.env(name, value);
        }
    }
    for (name, secret) in &command.secrets {
        order.env(name, secret.expose());
    }
    order.spawn().map(|child| Group { child })
}

/// A process that leads a group.
pub(super) struct Group {
    child: Child,
}

impl Group {
    /// Hears it out, at most for `time`. None if it did not end by itself: then its group
    /// is ended.
    pub(super) async fn end(mut self, time: Duration, bytes_max: usize) -> Option<Ended> {
        let (mut stdout, mut stderr) = (Written::default(), Written::default());
        let pipes = (self.child.stdout.take(), self.child.stderr.take());
        let mut reading = Box::pin(async {
            tokio::join!(
                take(pipes.0, &mut stdout, bytes_max),
                take(pipes.1, &mut stderr, bytes_max)
            )
        });
        let heard = timeout(time, async {
            let mut is_heard = false;
            let status = loop {
                tokio::select! {
                    status = self.child.wait() => break status.ok(),
                    _ = &mut reading, if !is_heard => is_heard = true,
                }
            };
            if !is_heard {
                // Somebody whom it left behind may hold its output open for ever.
                let _ = timeout(limits::EXEC_DRAIN, &mut reading).await;
            }
            status
        });
        let status = heard.await.ok().flatten();
        if status.is_none() {
            self.signal(Signal::TERM);
            // It may be in the middle of something that it can still put in order.
            let _ = timeout(limits::EXEC_GRACE, self.leader_ended()).await;
            self.signal(Signal::KILL);
            // What is killed ends.
            let _ = self.child.wait().await;
        }
        drop(reading);
        status.map(|status| Ended { status, stdout, stderr })
    }

    /// Resolves when the leader has ended. It is not reaped by this: until then its number,
    /// which is the group's, can be nobody else's.
    async fn leader_ended(&self) {
        let Some(pid) = self.pid() else { return };
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        while let Ok(None) = waitid(WaitId::Pid(pid), look) {
            sleep(limits::EXEC_LOOK_EVERY).await;
        }
    }

    /// None once the leader is reaped.
    fn pid(&self) -> Option<Pid> {
        self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
    }

    /// To all of the group, unless its leader was reaped.
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // Gone by itself is as good.
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Reads to the end; keeps the head.
async fn take(pipe: Option<impl AsyncRead + Unpin>, written: &mut Written, bytes_max: usize) {
    let Some(mut pipe) = pipe else { return };
    let mut piece = vec![0; limits::EXEC_PIECE_BYTES];
    while let Ok(count @ 1..) = pipe.read(&mut piece).await {
        let room = bytes_max.saturating_sub(written.bytes.len()).min(count);
        written.bytes.extend_from_slice(&piece[..room]);
        written.left_out += (count - room) as u64;
    }
}

/// `exit 3`, `signal 9`.
pub(super) fn word(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
